"""Erase one creator, step by step. Every step can be repeated: a second call completes an interrupted one.

The creator first goes onto the list of erased creators, marked as begun. From then on no window polls the creator, and
no write of the lake accepts their rows. The list's hashes recognize every name, so that an interrupted erasure can be
completed even after the rows with the names were removed. The entry is marked as done after the last step.
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
    """What was removed: rows by table, redacted rows of others, and other places that named the creator."""

    creator_id: str
    rows: Counter[str] = field(default_factory=Counter)
    redacted: Counter[str] = field(default_factory=Counter)
    from_roster: bool = False
    # Dagster's records that were redacted; None where there is no Dagster instance.
    records: int | None = None
    snapshots: int = 0
    exports: list[Path] = field(default_factory=list)
    # Files of other programs that name the creator: they stay.
    left: list[Path] = field(default_factory=list)
    # When the call that this one completes began; None without an interruption.
    resumed: datetime | None = None


def forget(
    handle: str,
    places: settings.Places,
    hash_key: bytes,
    postgres_url: str | None = None,
    *,
    as_creator: str | None = None,
    records: Records | None = None,
    progress: Callable[[str], None] = lambda message: None,
) -> Erased:
    """Erase the creator with this handle, present or past, from all data of this deployment.

    Args:
        handle: a handle, or a creator_id.
        places: the deployment.
        hash_key: the key of the list of erased creators.
        postgres_url: the Postgres that is published to, if any.
        as_creator: which creator_id is meant, where several creators had the handle.
        records: erases Dagster's records, if there is an instance.
        progress: called with messages.

    Raises:
        RosterError: no creator with that handle is known, or several creators had it.
        SettingsError: the settings, or the file of known gifts that they name, cannot be read.
        LakeError: a file could not be read or rewritten; everything else of the lake was erased from.
        PublishError: the warehouse, the report or Postgres could not be published to again. An unreachable Postgres
            is detected before anything is removed.
    """
    if postgres_url is not None:
        progress("Postgres: checking")
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
        progress("identity: reading")
        person = identify(handle, lake, places, listed, postgres_url, as_creator)
        if person is None and before is None:
            raise RosterError(f"@{plain(handle)} is not known here: it is neither on the roster nor in the lake: "
                              "nothing was removed")  # fmt: skip
        entry = erased.add(_hashes(hash_key, plain(handle), person), datetime.now(UTC))
        result = Erased(person.creator_id if person else plain(handle))
        if before is not None and before.done is None:
            result.resumed = before.begun
        names = erased.names_of([entry])
        # After an interruption, only the hashes of some names may be left.
        terms = person.terms if person is not None and before is None else None
        _Erasure(
            places,
            lake,
            erased,
            names,
            terms,
            postgres_url,
            records,
            progress,
            result,
            configured.publish.observation_days,
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
    progress: Callable[[str], None]
    result: Erased
    observation_days: int
    # Files of the lake that cannot be read, and why.
    broken: list[str] = field(default_factory=list)

    def run(self, listed: tuple[roster.Creator, ...], gifts: Path | None) -> None:
        """Run all steps in order. Steps that need names run before the step that removes the last row with them."""
        self._inputs(listed, gifts)
        self._dagster()
        self._other_files()
        self._lake()
        self._served()
        if self.postgres_url is not None:
            self.progress("Postgres: publishing")
            postgres.publish(
                self.postgres_url, self.lake, now=datetime.now(UTC), observation_days=self.observation_days
            )
            self.progress("Postgres: rewriting tables")
            postgres.vacuum(self.postgres_url)
        # Runs that were active during the erasure may have written since.
        self._dagster()
        if self.broken:
            raise LakeError(
                f"{'; '.join(self.broken)}: put it back from a backup or remove it, and run `forget` again; the "
                "creator is erased from everything else"
            )

    def _inputs(self, listed: tuple[roster.Creator, ...], gifts: Path | None) -> None:
        """Erase from the operator's files: the roster, and known gifts."""
        self.progress("roster: removing")
        files.remove_staged_copies(self.places.roster, gifts)
        listed_ids = {c.creator_id for c in listed if self.names.any_of(c.creator_id, c.handle, c.user_id, c.sec_uid)}
        if self.places.roster.exists():
            removed = [
                roster.remove_creator(self.places.roster, each)
                for each in sorted({*listed_ids, self.result.creator_id})
                if each in listed_ids or self.names.matches("creator", each)
            ]
            self.result.from_roster = any(removed)
        self.progress("known gifts: removing")
        for creator_id in sorted(_creators_with_gifts(gifts, self.names)):
            self.result.rows["known_gifts"] += forget_known_gifts(gifts, creator_id)

    def _dagster(self) -> None:
        if self.records is not None:
            self.progress("Dagster's records: searching")
            changed = self.records(self.names, self.terms, self.result.resumed is not None)
            self.result.records = (self.result.records or 0) + changed

    def _other_files(self) -> None:
        self.progress("other files of the home: searching")
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
            self.lake, self.names, self.terms, self.result.rows, self.result.redacted, self.progress
        )

    def _served(self) -> None:
        places = self.places
        if places.report.parent.exists():
            # Remove the report first: a page that cannot be made again must not keep the creator's name.
            self.progress("report: removing")
            files.remove_pages(places.report.parent, self.names)
        if not places.warehouse.exists():
            return
        self.progress("warehouse: publishing")
        with duckdb.connect(":memory:") as connection:
            # Older snapshots hold the creator as well: keep only the new one. Build it from nothing, because the
            # free space of a refreshed snapshot may hold the creator's rows.
            publish(
                connection,
                self.lake,
                places.warehouse,
                now=datetime.now(UTC),
                keep=1,
                observation_days=self.observation_days,
                mode="clean",
            )
        self.progress("warehouse: removing older snapshots")
        self.result.snapshots = len(prune(places.warehouse, keep=1))
        if places.report.parent.exists():
            self.progress("report: writing")
            write_report(places.warehouse / LINK, places.report)


def _creators_with_gifts(gifts: Path | None, names: Names) -> set[str]:
    ids = {stream_id.partition(":")[0] for stream_id in read_known_gifts(gifts)["stream_id"]}
    return {creator_id for creator_id in ids if names.matches("creator", creator_id)}
