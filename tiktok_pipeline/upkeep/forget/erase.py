"""Erase one creator, step by step. Every step can be repeated: a second call ends what an interrupted one began.

The creator goes onto the list of erased creators first, marked as begun. From then on no window polls them and no
write of the lake lets them through. The list's hashes recognize every name, so that an interrupted erasure can be
ended even where the rows that told the names are gone. The entry is marked as done when all steps have ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from tiktok_pipeline.config import roster, settings
from tiktok_pipeline.config.known_gifts import forget_known_gifts, read_known_gifts
from tiktok_pipeline.erased.creators import Entry, ErasedCreators
from tiktok_pipeline.erased.names import Names, hashes_of
from tiktok_pipeline.errors import LakeError, RosterError
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.publish import postgres
from tiktok_pipeline.publish.duckdb_file import LINK, prune, publish
from tiktok_pipeline.publish.report.page import write_report
from tiktok_pipeline.upkeep.forget import places as files
from tiktok_pipeline.upkeep.forget.identity import Person, identify, plain

# Type of the function that erases Dagster's records. Arguments: the names to erase, texts of which every mention
# contains one, and whether an earlier call may have left bytes. Result: the number of changed records.
Records = Callable[[Names, list[str] | None, bool], int]


@dataclass
class Erased:
    """What was removed: rows by table, rows of others that were redacted, and what else named the creator."""

    creator_id: str
    rows: Counter[str] = field(default_factory=Counter)
    redacted: Counter[str] = field(default_factory=Counter)
    from_roster: bool = False
    # Dagster's records that were redacted; None where there is no Dagster instance.
    records: int | None = None
    snapshots: int = 0
    exports: list[Path] = field(default_factory=list)
    # Files that this pipeline did not write, and that name the creator: they stay.
    left: list[Path] = field(default_factory=list)
    # When the call that this one ended began; None where nothing was interrupted.
    resumed: datetime | None = None


def forget(
    handle: str,
    places: settings.Places,
    hash_key: bytes,
    postgres_url: str | None = None,
    *,
    as_creator: str | None = None,
    records: Records | None = None,
    say: Callable[[str], None] = lambda message: None,
) -> Erased:
    """Erase the creator with this handle, present or past, from everything that this deployment keeps.

    Args:
        handle: a handle, or a creator_id.
        places: the deployment.
        hash_key: the key of the list of erased creators.
        postgres_url: the Postgres that is published to, if any.
        as_creator: which creator_id is meant, where several creators had the handle.
        records: erases Dagster's records, if there is an instance.
        say: called with progress.

    Raises:
        RosterError: no creator with that handle is known, or several creators had it.
        SettingsError: the settings, or the file of known gifts that they name, cannot be read.
        LakeError: a file could not be read or rewritten; everything else of the lake was erased from.
        PublishError: the warehouse, the report or Postgres could not be published to again. A Postgres that cannot
            be reached is found out before anything is removed.
    """
    if postgres_url is not None:
        say("Postgres: checking")
        postgres.check(postgres_url)
    erased = ErasedCreators(places.lake, lambda: hash_key)
    lake = Lake(places.lake)
    configured = settings.load_settings(places.settings)
    gifts = configured.gifts.path
    listed = roster.read_roster(places.roster).creators if places.roster.exists() else ()
    # A file that cannot be read must stop this before anything is removed.
    read_known_gifts(gifts)
    # Upkeep would compact rows that it read before they were erased; a second `forget` waits.
    with lake.exclusive():
        before = erased.find(plain(handle))
        say("identity: reading")
        person = identify(handle, lake, places, listed, postgres_url, as_creator)
        if person is None and before is None:
            raise RosterError(f"@{plain(handle)} is not known here, neither on the roster nor in the lake: "
                              "nothing was removed")  # fmt: skip
        entry = erased.add(_hashes(hash_key, plain(handle), person), datetime.now(UTC))
        result = Erased(person.creator_id if person else plain(handle))
        if before is not None and before.done is None:
            result.resumed = before.begun
        names = erased.names_of([entry])
        # After an interruption some names may be known by their hashes only.
        terms = person.terms if person is not None and before is None else None
        _Erasure(
            places, lake, erased, names, terms, postgres_url, records, say, result, configured.publish.observation_days
        ).run(listed, gifts)
        _nothing_left(result, before, handle)
        erased.finish(entry, datetime.now(UTC))
    return result


def _hashes(key: bytes, typed: str, person: Person | None) -> set[str]:
    if person is None:
        return hashes_of(key, handles=[typed])
    return hashes_of(
        key,
        creator_ids=[person.creator_id],
        handles=person.handles,
        ids=person.ids,
        display_names=person.display_names,
    )


def _nothing_left(result: Erased, before: Entry | None, handle: str) -> None:
    """Refuse a call for a creator who was erased before, if no data was found since."""
    found = result.rows.total() + result.redacted.total() + result.snapshots + len(result.exports)
    if before is None or before.done is None or found or result.from_roster or result.records:
        return
    raise RosterError(
        f"@{plain(handle)} is not known here: erased on {before.done:%Y-%m-%d}, and nothing was left to remove"
    )


@dataclass
class _Erasure:
    places: settings.Places
    lake: Lake
    erased: ErasedCreators
    names: Names
    terms: list[str] | None
    postgres_url: str | None
    records: Records | None
    say: Callable[[str], None]
    result: Erased
    observation_days: int
    # Files of the lake that cannot be read, and why.
    broken: list[str] = field(default_factory=list)

    def run(self, listed: tuple[roster.Creator, ...], gifts: Path | None) -> None:
        """All steps in order. Steps that need names run before the step that removes the last row with them."""
        self._inputs(listed, gifts)
        self._dagster()
        self._other_files()
        self._lake()
        self._served()
        if self.postgres_url is not None:
            self.say("Postgres: publishing")
            postgres.publish(
                self.postgres_url, self.lake, now=datetime.now(UTC), observation_days=self.observation_days
            )
            self.say("Postgres: rewriting tables")
            postgres.vacuum(self.postgres_url)
        # Runs that were under way during the erasure may have written since.
        self._dagster()
        if self.broken:
            raise LakeError(
                f"{'; '.join(self.broken)}: put it back from a backup or remove it, and run `forget` again; the "
                "creator is erased from everything else"
            )

    def _inputs(self, listed: tuple[roster.Creator, ...], gifts: Path | None) -> None:
        """The files of the operator: the roster, and known gifts."""
        self.say("roster: removing")
        files.remove_staged_copies(self.places.roster, gifts)
        theirs = {c.creator_id for c in listed if self.names.any_of(c.creator_id, c.handle, c.user_id, c.sec_uid)}
        if self.places.roster.exists():
            removed = [
                roster.remove_creator(self.places.roster, each)
                for each in sorted({*theirs, self.result.creator_id})
                if each in theirs or self.names.matches("creator", each)
            ]
            self.result.from_roster = any(removed)
        self.say("known gifts: removing")
        for creator_id in sorted(_creators_with_gifts(gifts, self.names)):
            self.result.rows["known_gifts"] += forget_known_gifts(gifts, creator_id)

    def _dagster(self) -> None:
        if self.records is not None:
            self.say("Dagster's records: searching")
            changed = self.records(self.names, self.terms, self.result.resumed is not None)
            self.result.records = (self.result.records or 0) + changed

    def _other_files(self) -> None:
        self.say("other files of the home: searching")
        own = [self.places.lake, self.places.warehouse, self.places.report.parent, self.places.home / "dagster"]
        own += [self.places.home / "gates", self.places.home / "hash.key", self.places.roster, self.places.settings]
        self.result.exports, left = files.erase_other_files(self.places.home, own, self.names)
        warehouse = self.places.warehouse
        # Files that a publish replaces or removes. All others were moved aside, or added by hand.
        served = [*warehouse.glob("*.duckdb"), *warehouse.glob("parquet/*.parquet"), *warehouse.glob("building-*")]
        # Records of publishes hold table names, days and hashes.
        served += warehouse.glob(".*.json*")
        moved, strays = files.erase_other_files(warehouse, [*served, warehouse / "_staging"], self.names)
        self.result.exports += moved
        self.result.left = [*left, *strays, *files.stray_files(self.lake, self.names)]

    def _lake(self) -> None:
        with self.erased.locked():
            files.remove_leftovers(self.lake)
            files.remove_kept_readings(self.lake)
        self.broken = files.erase_lake(
            self.lake, self.names, self.terms, self.result.rows, self.result.redacted, self.say
        )

    def _served(self) -> None:
        places = self.places
        if places.report.parent.exists():
            # Removed first: a page that cannot be made again must not go on naming the creator.
            self.say("report: removing")
            files.remove_pages(places.report.parent, self.names)
        if not places.warehouse.exists():
            return
        self.say("warehouse: publishing")
        with duckdb.connect(":memory:") as connection:
            # Older snapshots hold the creator as well: only the new one stays. It is built from nothing, because the
            # free space of a snapshot that was refreshed may hold the creator's rows.
            publish(
                connection,
                self.lake,
                places.warehouse,
                now=datetime.now(UTC),
                keep=1,
                observation_days=self.observation_days,
                mode="clean",
            )
        self.say("warehouse: removing older snapshots")
        self.result.snapshots = len(prune(places.warehouse, keep=1))
        if places.report.parent.exists():
            self.say("report: writing")
            write_report(places.warehouse / LINK, places.report)


def _creators_with_gifts(gifts: Path | None, names: Names) -> set[str]:
    ids = {stream_id.partition(":")[0] for stream_id in read_known_gifts(gifts)["stream_id"]}
    return {creator_id for creator_id in ids if names.matches("creator", creator_id)}
