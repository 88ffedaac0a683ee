"""Keep the on-air history of the last day in memory, for the process that looks for follow-ups every minute.

`LiveHistory.update` reads only new raw files. It skips a compacted file whose parts have all been read. It rebuilds its
state if a file was changed or removed, for example by `forget`, and if the clock was set back. A new process also
starts empty: the state is never written to disk, because it names creators.

Of consecutive readings that agree, those in the middle are dropped. `followups.plan` gives the same result without
them. A creator's readings are read from the lake again in two cases: a late reading lies between dropped ones and
contradicts them, or the creator's account has become known or has changed. The account decides which responses count.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from tiktok_pipeline import tables
from tiktok_pipeline.capture.clock import hours_between
from tiktok_pipeline.capture.followups import CAPABILITIES
from tiktok_pipeline.capture.known_accounts import UNDERIVED, names_account
from tiktok_pipeline.capture.last_seen import LastSeen, account_of
from tiktok_pipeline.capture.live_states import (
    KIND,
    USABLE_OUTCOMES,
    decode,
    is_request_for,
    readings_of,
    reported_on_air,
)
from tiktok_pipeline.errors import DamagedFileError, LakeError
from tiktok_pipeline.lake.store import Lake, landed_names
from tiktok_pipeline.providers import VENDORS
from tiktok_pipeline.providers.accounts import Account
from tiktok_pipeline.providers.observations import ProfileReading
from tiktok_pipeline.providers.vendor import Outcome, Target
from tiktok_pipeline.tables import Table

READINGS = pl.Schema(
    {"creator_id": pl.String(), "polled_at": pl.Datetime("us", "UTC"), "on_air": pl.Boolean()},
)
NEWEST_RESPONSES = pl.Schema({"table": pl.String(), "creator_id": pl.String(), "polled_at": pl.Datetime("us", "UTC")})

# Compaction may remove files between listing and reading; it does not run twice within a second.
_LISTINGS = 10

# Version of a file: size in bytes, time of change in ns, inode.
_Version = tuple[int, int, int]


@dataclass(frozen=True)
class _File:
    """A file that was read, with the names of the landed files that it is or contains."""

    version: _Version
    names: frozenset[str]


@dataclass(frozen=True)
class _Naming:
    """A response under a creator's first handle that names an account."""

    requested_at: datetime
    capture_id: str
    vendor: str
    observed_at: datetime
    profiles: tuple[ProfileReading, ...]


@dataclass
class _State:
    """The state of `LiveHistory`: the files and rows read so far."""

    now: datetime
    # By hour folder and name.
    files: dict[Path, dict[str, _File]] = field(default_factory=dict)
    readings: pl.DataFrame = field(default_factory=READINGS.to_frame)
    newest_responses: pl.DataFrame = field(default_factory=NEWEST_RESPONSES.to_frame)
    # Rows whose request time is later than the clock.
    ahead: list[tuple[Table, pl.DataFrame]] = field(default_factory=list)
    # Creators with a response that was decoded, and the account that decided which responses count.
    decoded: set[str] = field(default_factory=set)
    accounts: dict[str, Account] = field(default_factory=dict)
    # The roster, with the accounts that it names.
    listed: dict[str, tuple[Target, Account]] = field(default_factory=dict)
    # Creators without a known account: responses that name one.
    namings: dict[str, dict[str, _Naming]] = field(default_factory=dict)


class _ChangedError(Exception):
    """A file that was read has changed or was removed: the state no longer matches the lake."""


class LiveHistory:
    """The history in memory (see the module). `update` returns it; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._state: _State | None = None
        self._span: timedelta | None = None
        # Rows that `update` has read in total: for tests and logs.
        self.rows_read = 0

    def update(
        self, lake: Lake, targets: Sequence[Target], begin: datetime, now: datetime, *, span: timedelta
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Read new raw files and return the history.

        Args:
            lake: the lake; always the same one.
            targets: the roster. Responses about other accounts are ignored.
            begin: readings from here on are kept.
            now: rows with a later request time wait for a later call.
            span: the shortest time between `begin` and a reading that starts a stream of interest. Dropping readings
                makes no gap of this length.

        Returns:
            Readings of [begin, now] with a known state, READINGS schema: `followups.plan` gives the same result for
            them as for all readings. And the newest request with a usable
            response by table and creator, NEWEST_RESPONSES schema.

        Raises:
            LakeError: files are removed repeatedly while they are read.
        """
        with self._lock:
            for _ in range(_LISTINGS):
                state = self._state
                if state is None or now < state.now or span != self._span:
                    state = _State(now)
                self._state, self._span = None, span
                try:
                    self._advance(lake, state, targets, begin, now, span)
                except (_ChangedError, FileNotFoundError):
                    continue
                self._state = state
                return state.readings, state.newest_responses
        raise LakeError(f"raw files of {lake.root} change while they are read; find the process that changes them")

    def _advance(
        self,
        lake: Lake,
        state: _State,
        targets: Sequence[Target],
        begin: datetime,
        now: datetime,
        span: timedelta,
    ) -> None:
        first = not state.files
        until = now + timedelta(microseconds=1)
        hours = hours_between(min(begin, until - UNDERIVED), until)
        new = _new_files(lake, state, hours)
        state.now = now
        listed = _listed(state, targets)
        unknown = {t.creator_id for t in targets if t.handle == t.creator_id and not listed[t.creator_id]}
        # A new creator of the roster: files that were read before may name the account.
        late = sorted(unknown - state.namings.keys())
        state.namings = {creator_id: state.namings.get(creator_id, {}) for creator_id in sorted(unknown)}
        batches = [(table, self._rows(lake, table, files, unknown)) for table, files in new]
        batches, state.ahead = [*state.ahead, *batches], []
        if late and not first:
            self._find_namings(lake, state, late, hours_between(until - UNDERIVED, until))
        lives = []
        for table, rows in batches:
            landed = rows.filter(pl.col("requested_at") <= now)
            if landed.height < rows.height:
                state.ahead.append((table, rows.filter(pl.col("requested_at") > now)))
            _record_namings(state, landed)
            _record_responses(state, table, landed)
            if table is tables.RAW_LIVES:
                lives.append(landed)
        accounts = listed | _named(state, targets, until)
        changed = {
            creator_id for creator_id in state.decoded if accounts.get(creator_id) != state.accounts.get(creator_id)
        }
        state.accounts = accounts
        self._merge(lake, state, lives, changed, hours, begin, span)

    def _merge(
        self,
        lake: Lake,
        state: _State,
        lives: Sequence[pl.DataFrame],
        changed: set[str],
        hours: Sequence[datetime],
        begin: datetime,
        span: timedelta,
    ) -> None:
        """Add the readings of new rows; read the rows of `changed` creators again."""
        found = [_readings(state, rows) for rows in lives]
        new = pl.concat([READINGS.to_frame(), *found]).filter(pl.col("polled_at") >= begin)
        old = state.readings.filter(pl.col("polled_at") >= begin)
        stale = changed | _contradicted(old, new)
        if stale:
            of_stale = pl.col("creator_id").is_in(sorted(stale))
            reread = [
                _readings(state, rows.filter(pl.col("requested_at") <= state.now))
                for rows in self._landed(lake, tables.RAW_LIVES, hours, of_stale, frozenset())
            ]
            new = pl.concat([new.filter(~of_stale), *reread]).filter(pl.col("polled_at") >= begin)
            old = old.filter(~of_stale)
        state.readings = _thinned(pl.concat([old, new]), span / 2)

    def _find_namings(self, lake: Lake, state: _State, creators: Sequence[str], hours: Sequence[datetime]) -> None:
        of_creators = pl.col("creator_id").is_in(list(creators))
        for table in (tables.RAW_LIVES, tables.RAW_PROFILES):
            for rows in self._landed(lake, table, hours, of_creators, frozenset(creators)):
                _record_namings(state, rows.filter(pl.col("requested_at") <= state.now))

    def _landed(
        self, lake: Lake, table: Table, hours: Iterable[datetime], predicate: pl.Expr, unknown: Collection[str]
    ) -> Iterator[pl.DataFrame]:
        """Yield the rows of all files in `hours`."""
        for hour in hours:
            files = lake.hour_files(table, hour)
            if files:
                yield self._rows(lake, table, files, unknown, predicate)

    def _rows(
        self,
        lake: Lake,
        table: Table,
        files: Sequence[Path],
        unknown: Collection[str],
        predicate: pl.Expr | None = None,
    ) -> pl.DataFrame:
        """Return the requests with a usable response in files; `body` is null where it is not decoded."""
        is_usable = pl.col("outcome").is_in(USABLE_OUTCOMES) & pl.col("creator_id").is_not_null()
        wanted = is_usable & pl.col("endpoint").is_in(_endpoints(_WANTED[table.name]))
        if predicate is not None:
            wanted &= predicate
        ok = pl.col("outcome") == Outcome.OK.value
        needs_body = ok & pl.col("endpoint").is_in(_endpoints({"live"}) if table is tables.RAW_LIVES else [""])
        if unknown:
            needs_body |= names_account(sorted(unknown))
        rows = lake.read_raw_files(table, files, _COLUMNS, wanted)
        self.rows_read += rows.height
        rows = rows.filter(pl.any_horizontal(is_request_for(capability) for capability in _WANTED[table.name]))
        if table is not tables.RAW_LIVES and not unknown:
            return rows.with_columns(body=pl.lit(None, pl.String))
        bodies = lake.read_raw_files(table, files, ["capture_id", "body"], wanted & needs_body)
        return rows.join(bodies, on="capture_id", how="left", maintain_order="left")


_COLUMNS = ("capture_id", "creator_id", "vendor", "endpoint", "subject", "outcome", "requested_at", "observed_at")

# Capabilities read of each table: those of follow-ups, those that report on air, those that name an account.
_WANTED = {
    **{table: {capability} for table, capability in CAPABILITIES.items()},
    tables.RAW_LIVES.name: {CAPABILITIES[tables.RAW_LIVES.name], "live"},
    tables.RAW_PROFILES.name: {CAPABILITIES[tables.RAW_PROFILES.name], "profile", "user_id"},
}


def _endpoints(capabilities: Iterable[str]) -> list[str]:
    """Return the endpoints of all vendors for these capabilities; another vendor may use one for something else."""
    return sorted({e for v in VENDORS.values() for e, capability in v.endpoints.items() if capability in capabilities})


def _new_files(lake: Lake, state: _State, hours: Sequence[datetime]) -> list[tuple[Table, list[Path]]]:
    """Return the files that must be read, by table and hour, and record them as read.

    Raises:
        _ChangedError: a file that was read has changed, or was removed and no compacted file contains it.
    """
    new: list[tuple[Table, list[Path]]] = []
    folders: set[Path] = set()
    for table in (tables.TABLES[name] for name in CAPABILITIES):
        for hour in hours:
            folder = lake.hour_folder(table, hour)
            folders.add(folder)
            listed, read = _versions(folder), state.files.get(folder, {})
            if any(listed.get(name, file.version) != file.version for name, file in read.items()):
                raise _ChangedError
            added = {
                name: _File(version, _names_in(lake, folder / name))
                for name, version in sorted(listed.items())
                if name not in read
            }
            if not added and len(listed) == len(read):
                continue
            known_names = {name for file in read.values() for name in file.names}
            files = [folder / name for name, file in added.items() if not (file.names and file.names <= known_names)]
            now = {name: file for name, file in read.items() if name in listed} | added
            present = {name for file in now.values() for name in file.names}
            if not known_names <= present:
                raise _ChangedError
            state.files[folder] = now
            if files:
                new.append((table, files))
    state.files = {folder: files for folder, files in state.files.items() if folder in folders}
    return new


def _names_in(lake: Lake, file: Path) -> frozenset[str]:
    """Return the names of the landed files that a file contains; none for a damaged file."""
    try:
        return frozenset(landed_names(file))
    except DamagedFileError as error:
        lake.damaged.add(error.path, error.reason)
        return frozenset()


def _versions(folder: Path) -> dict[str, _Version]:
    found = {}
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".parquet"):
                with suppress(OSError):
                    stat = entry.stat()
                    found[entry.name] = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
    return found


def _record_namings(state: _State, rows: pl.DataFrame) -> None:
    for row in rows.filter(names_account(list(state.namings)), pl.col("body").is_not_null()).iter_rows(named=True):
        readings = decode(row["vendor"], row["endpoint"], row["outcome"], row["body"])
        profiles = tuple(reading for reading in readings if isinstance(reading, ProfileReading))
        if any(Account.of(profile.user_id, profile.sec_uid) for profile in profiles):
            state.namings[row["creator_id"]][row["capture_id"]] = _Naming(
                row["requested_at"], row["capture_id"], row["vendor"], row["observed_at"], profiles
            )


def _record_responses(state: _State, table: Table, rows: pl.DataFrame) -> None:
    responses = rows.filter(is_request_for(CAPABILITIES[table.name])).select(
        pl.lit(table.name).alias("table"), "creator_id", polled_at="requested_at"
    )
    if responses.height:
        state.newest_responses = (
            pl.concat([state.newest_responses, responses])
            .group_by("table", "creator_id")
            .agg(pl.col("polled_at").max())
        )


def _listed(state: _State, targets: Sequence[Target]) -> dict[str, Account]:
    """Return the account of each target by the ids of the roster; without ids if they are unknown."""
    before = state.listed
    state.listed = {
        target.creator_id: entry
        if (entry := before.get(target.creator_id)) is not None and entry[0] == target
        else (target, account_of(target))
        for target in targets
    }
    return {creator_id: account for creator_id, (_, account) in state.listed.items()}


def _named(state: _State, targets: Sequence[Target], until: datetime) -> dict[str, Account]:
    """Return the accounts that responses agreed on, for targets without ids; see `known_accounts.identified`."""
    first = hours_between(until - UNDERIVED, until)[0]
    accounts = {}
    for target in targets:
        seen = LastSeen()
        namings = state.namings.get(target.creator_id, {}).values()
        for naming in sorted(namings, key=lambda naming: (naming.requested_at, naming.capture_id)):
            if first <= naming.requested_at < until:
                seen = seen.sighted(naming.profiles, target, naming.vendor, naming.observed_at)
                if account := account_of(seen.identified(target)):
                    accounts[target.creator_id] = account
                    break
    return accounts


def _readings(state: _State, rows: pl.DataFrame) -> pl.DataFrame:
    """Return the on-air and off-air readings in rows of raw_lives; rows without a state are left out."""
    polls = rows.filter(is_request_for("live")).with_columns(kind=KIND)
    ok = pl.col("outcome") == Outcome.OK.value
    settled, decided = polls.filter(~ok), polls.filter(ok)
    off = [kind for kind in settled["kind"].unique() if reported_on_air(kind, readings_of(kind, None)) is False]
    states = []
    for creator_id, kind, subject, body in decided.select("creator_id", "kind", "subject", "body").iter_rows():
        state.decoded.add(creator_id)
        account = state.accounts.get(creator_id)
        target = None if account is None else Target(creator_id, subject, account.user_id, account.sec_uid)
        states.append(reported_on_air(kind, readings_of(kind, body), target, subject))
    columns = ("creator_id", pl.col("requested_at").alias("polled_at"))
    return pl.concat(
        [
            settled.filter(pl.col("kind").is_in(off)).select(*columns, on_air=pl.lit(value=False)),
            decided.select(*columns).with_columns(on_air=pl.Series(states, dtype=pl.Boolean)),
        ]
    ).filter(pl.col("on_air").is_not_null())


def _contradicted(old: pl.DataFrame, new: pl.DataFrame) -> set[str]:
    """Return the creators with a new reading that contradicts the old ones directly before and after it.

    Readings between those two old ones may have been dropped.
    """
    last = old.group_by("creator_id").agg(last=pl.col("polled_at").max())
    late = new.join(last, on="creator_id").filter(pl.col("polled_at") <= pl.col("last")).drop("last")
    if late.is_empty():
        return set()
    among = old.join(late.select("creator_id").unique(), on="creator_id", how="semi")
    both = pl.concat([among.with_columns(was=pl.col("on_air")), late.with_columns(was=pl.lit(None, pl.Boolean))])
    beside = both.sort("creator_id", "polled_at", "on_air").with_columns(
        before=pl.col("was").forward_fill().over("creator_id"), after=pl.col("was").backward_fill().over("creator_id")
    )
    found = beside.filter(
        pl.col("was").is_null(), pl.col("before") == pl.col("after"), pl.col("before") != pl.col("on_air")
    )
    return set(found["creator_id"])


def _thinned(readings: pl.DataFrame, width: timedelta) -> pl.DataFrame:
    """Drop readings whose neighbours on both sides agree with them and lie in the same interval of `width`."""
    interval = pl.col("polled_at").dt.epoch("us") // max(1, width // timedelta(microseconds=1))
    ordered = readings.unique().sort("creator_id", "polled_at", "on_air")
    same = (
        (pl.col("creator_id") == pl.col("creator_id").shift())
        & (pl.col("on_air") == pl.col("on_air").shift())
        & (interval == interval.shift())
    ).fill_null(value=False)
    return ordered.filter(~(same & same.shift(-1).fill_null(value=False)))
