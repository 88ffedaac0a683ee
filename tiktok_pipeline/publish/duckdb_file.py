"""Publish the read-only DuckDB file for BI tools, with one Parquet file a table beside it.

The cost of a publish depends on the changed files only. The new snapshot begins as a copy of the served one, in which
the days with changed files are replaced (`snapshot.refresh`); in the Parquet files only those days are encoded again
(`parquet_copies`). A snapshot is built from nothing (`snapshot.build`)
- on request,
- after an erasure: free space of a refreshed file may still hold deleted rows,
- if the served file is missing, was changed by another program, or does not match its record,
- after an upgrade that changes tables, views, or the version of DuckDB.
Both ways give the same rows.

The file is built under another name, in a storage version that every DuckDB since 1.2 opens. It is checked and made
read-only before the link `tiktok.duckdb` moves to it. Readers keep their open file, and new readers open the new one.
If a builder dies, the old file stays served. A lock lets one builder run at a time.

`.tiktok-<generation>.json` records the content of a snapshot: files of the lake by hash, and the size and time of the
snapshot itself. `.fingerprints.json` keeps the hashes of the lake's files.

A Parquet file is replaced as a whole; a reader of two of them may see two publications. Join tables in DuckDB.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import itertools
import logging
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import duckdb
import msgspec

from tiktok_pipeline.errors import PublishError
from tiktok_pipeline.files import replace_bytes, sync
from tiktok_pipeline.lake.blocked_days import blocked_days, on_one_line
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.publish import snapshot as snapshots
from tiktok_pipeline.publish.catalog import FINGERPRINTS, PUBLISHED, Fingerprints, Part, fingerprint, generation, parts
from tiktok_pipeline.publish.parquet_copies import Copy, is_intact, stage
from tiktok_pipeline.publish.snapshot import Held, StaleSnapshotError
from tiktok_pipeline.publish.views import VIEWS
from tiktok_pipeline.tables import PUBLICATION

_log = logging.getLogger(__name__)

LINK = "tiktok.duckdb"

# Raise it when the code that fills a snapshot or its Parquet files changes: all of them are then rebuilt.
_METHOD = 2

# changed: replace the changed days. clean: leave no byte of a deleted row. full: build in any case.
Mode = Literal["changed", "clean", "full"]


@dataclass(frozen=True)
class ServedSnapshot:
    """The served publication: the snapshot, rows by table, and whether this run made it.

    `built`: it was built from nothing. `files`: files of the lake that were new, changed or removed since the last one.
    """

    snapshot: Path
    rows: dict[str, int]
    changed: bool
    built: bool = False
    files: int = 0


class _Record(msgspec.Struct, frozen=True):
    """The content of a snapshot, and its size and time when it was finished."""

    version: str
    size: int
    mtime_ns: int
    built: bool
    stands_still: str | None
    observation_days: int | None
    held: list[Held]
    copies: dict[str, Copy]

    def is_of(self, made_of: Sequence[Part], stands_still: str | None, observation_days: int | None) -> bool:
        """Return whether a snapshot of these files would be the same."""
        expected = {(part.table.name, part.day): part.fingerprint for part in made_of}
        held = {(each.table, each.day): each.fingerprint for each in self.held}
        return (self.stands_still, self.observation_days) == (stands_still, observation_days) and held == expected


def publish(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    warehouse: Path,
    *,
    now: datetime,
    keep: int,
    observation_days: int | None = None,
    mode: Mode = "changed",
) -> ServedSnapshot:
    """Build, check and serve a snapshot of the lake; do nothing if nothing has changed.

    Args:
        connection: an in-memory connection that the snapshot is attached to.
        lake: where marts and observations are read.
        warehouse: the folder to serve from.
        now: names the generation.
        keep: snapshots to keep, this one included: a reader may still have an older one open.
        observation_days: days of observations to publish, back from the newest; None: all.
        mode: "changed" replaces changed days. "clean" leaves no byte of a deleted row in the file, and "full" builds
            the snapshot from nothing in any case.

    Raises:
        PublishError: the snapshot could not be built, or its rows differ from the lake's.
    """
    try:
        warehouse.mkdir(parents=True, exist_ok=True)
        with _alone(warehouse):
            _clear(warehouse)
            return _Publisher(connection, lake, warehouse, now, keep, observation_days).publish(mode)
    except (duckdb.Error, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise PublishError(f"the warehouse in {warehouse} was not replaced: {reason}") from error


@dataclass(frozen=True)
class _Publisher:
    """One publish, while the folder is locked."""

    connection: duckdb.DuckDBPyConnection
    lake: Lake
    warehouse: Path
    now: datetime
    keep: int
    observation_days: int | None

    def publish(self, mode: Mode) -> ServedSnapshot:
        """Publish in the given mode."""
        known = Fingerprints(self.warehouse / FINGERPRINTS)
        made_of = parts(self.lake, now=self.now, observation_days=self.observation_days, fingerprints=known)
        stands_still = on_one_line(blocked_days(self.lake))
        served = _served(self.warehouse)
        record = None if served is None else self._record(served)
        if served is None or record is None:
            return self._replace(made_of, stands_still, None, None)
        if mode == "full" or not record.is_of(made_of, stands_still, self.observation_days):
            return self._replace(made_of, stands_still, served, record, build=mode != "changed")
        if mode == "clean" and not record.built:
            return self._replace(made_of, stands_still, served, record, build=True)
        self._enter_damaged(made_of, record)
        self._heal_parquet(served, record)
        return ServedSnapshot(served, snapshots.rows_by_table(record.held), changed=False, built=record.built)

    def _replace(
        self,
        made_of: Sequence[Part],
        stands_still: str | None,
        served: Path | None,
        record: _Record | None,
        *,
        build: bool = False,
    ) -> ServedSnapshot:
        """Make a snapshot and its Parquet files, and serve them."""
        of = fingerprint(made_of, stands_still, self.observation_days)
        name = self._free_name(generation(self.now, of))
        about = snapshots.PublicationRow(name, self.now, of, stands_still, self.observation_days)
        building, snapshot = self.warehouse / f"building-{name}.duckdb", self.warehouse / f"tiktok-{name}.duckdb"
        held: list[Held] | None = None
        rows: dict[str, int] = {}
        base = None if build else record
        try:
            if base is not None and served is not None:
                held, rows = self._refresh(building, made_of, about, served, base)
            if held is None:
                base = None
                held = snapshots.build(self.connection, building, self.lake, made_of, about)
                rows = snapshots.verify(self.connection, building, held)
            copies = self._stage_parquet(building, held, {} if base is None else base.copies)
            sync(building)
            building.chmod(0o444)
            found = building.stat()
            made = _Record(
                version(),
                found.st_size,
                found.st_mtime_ns,
                base is None,
                stands_still,
                self.observation_days,
                held,
                copies,
            )
            _write_record(snapshot, made)
            building.replace(snapshot)
            # First the tables, then the link: after a kill in between, the record of the served snapshot does not
            # match these tables, and they are written again.
            self._move_parquet()
            _serve(snapshot, self.warehouse / LINK)
        finally:
            _clear(self.warehouse)
        _prune(self.warehouse, snapshot, self.keep)
        before = set() if record is None else {(each.table, each.day, each.fingerprint) for each in record.held}
        after = {(each.table, each.day, each.fingerprint) for each in held}
        files = len({each[:2] for each in before ^ after})
        return ServedSnapshot(snapshot, rows, changed=True, built=base is None, files=files)

    def _refresh(
        self, building: Path, made_of: Sequence[Part], about: snapshots.PublicationRow, served: Path, record: _Record
    ) -> tuple[list[Held] | None, dict[str, int]]:
        """Make the snapshot from a copy of the served one; None if the copy cannot be used."""
        try:
            _copy_file(served, building)
            held = snapshots.refresh(self.connection, building, self.lake, made_of, about, record.held)
            return held, snapshots.verify(self.connection, building, held)
        except (StaleSnapshotError, PublishError, duckdb.Error) as error:
            reason = str(error).partition("\n")[0]
            _log.warning("Building the snapshot from nothing, because a copy of %s cannot be used: %s", served, reason)
            _clear(self.warehouse)
            return None, {}

    def _free_name(self, name: str) -> str:
        """Return an unused file name: a reader may have the existing file open, or left a log beside it."""
        names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
        return next(free for free in names if not list(self.warehouse.glob(f"tiktok-{free}.duckdb*")))

    def _record(self, served: Path) -> _Record | None:
        """Return the record of the served snapshot; None if it is missing or does not match the file."""
        if served.with_name(f"{served.name}.wal").exists():
            return None
        try:
            found = served.stat()
            record = _read_record(self.warehouse, served, found.st_size, found.st_mtime_ns)
            if record is None or record.version != version():
                return None
            held = snapshots.row_counts(self.connection, served)
        except (OSError, duckdb.Error):
            return None
        return record if held == snapshots.rows_by_table(record.held) else None

    def _enter_damaged(self, made_of: Sequence[Part], record: _Record) -> None:
        """Add damaged files that the served snapshot lacks to the lake's list: they are still damaged."""
        problems = {(each.table, each.day): each.problem for each in record.held if each.problem is not None}
        for part in made_of:
            problem = problems.get((part.table.name, part.day))
            if problem is not None:
                snapshots.enter_damaged(self.lake, part.path, problem)

    def _stage_parquet(self, snapshot: Path, held: Sequence[Held], before: dict[str, Copy]) -> dict[str, Copy]:
        """Write the changed Parquet files to the staging folder."""
        staging = self.warehouse / "_staging"
        staging.mkdir()
        return stage(self.connection, snapshot, staging, held, self.warehouse / "parquet", before)

    def _move_parquet(self) -> None:
        """Replace each Parquet file by its staged one; remove files of tables that are no longer published."""
        folder = self.warehouse / "parquet"
        if not folder.is_dir():
            clear_way(folder)
        folder.mkdir(exist_ok=True)
        for staged in sorted((self.warehouse / "_staging").iterdir()):
            place(staged, folder / staged.name)
        for file in folder.glob("*.parquet"):
            if file.stem not in {table.name for table in PUBLISHED} and not file.is_dir():
                file.unlink()

    def _heal_parquet(self, served: Path, record: _Record) -> None:
        """Write Parquet files again that are missing or were changed."""
        folder = self.warehouse / "parquet"
        if all(is_intact(folder / f"{name}.parquet", copy) for name, copy in record.copies.items()):
            return
        try:
            copies = self._stage_parquet(served, record.held, record.copies)
            self._move_parquet()
            _write_record(served, msgspec.structs.replace(record, copies=copies))
        finally:
            _clear(self.warehouse)


def version() -> str:
    """Hash the version of all inputs beside the lake's files: tables, views, and the code that writes them."""
    of = (PUBLISHED, PUBLICATION, VIEWS, snapshots.STORAGE_VERSION, duckdb.__version__, _METHOD)
    return hashlib.blake2b(repr(of).encode(), digest_size=16).hexdigest()


def is_of_this_version(warehouse: Path) -> bool:
    """Return whether the served snapshot can be refreshed; False: the next publish builds it from nothing."""
    served = _served(warehouse)
    if served is None:
        return False
    found = served.stat()
    record = _read_record(warehouse, served, found.st_size, found.st_mtime_ns)
    return record is not None and record.version == version()


def prune(warehouse: Path, keep: int = 1) -> list[Path]:
    """Remove all but the newest `keep` snapshots, and leftovers of killed publishes; return what was removed.

    Raises:
        PublishError: a file could not be removed.
    """
    before = {path for path in warehouse.rglob("*") if path.is_file() and not path.is_symlink()}
    # These files hold no rows.
    before -= {*warehouse.glob(".*.json*")}
    served = _served(warehouse)
    try:
        with _alone(warehouse):
            _clear(warehouse)
            for left in (warehouse / f".{LINK}.next", *warehouse.glob(".*.json*.next")):
                left.unlink(missing_ok=True)
            if served is not None:
                _prune(warehouse, served, keep)
            for log in warehouse.glob("*.duckdb.wal"):
                log.unlink()
    except OSError as error:
        raise PublishError(f"old snapshots in {warehouse} were not removed: {error}") from error
    return sorted(path for path in before if not path.exists())


@contextmanager
def _alone(warehouse: Path) -> Iterator[None]:
    """Wait until no other builder works in this folder; the lock of a dead builder is free."""
    with (warehouse / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _clear(warehouse: Path) -> None:
    """Remove leftovers of a dead or failed builder."""
    for left in (*warehouse.glob("building-*"), warehouse / "_staging"):
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        else:
            left.unlink(missing_ok=True)


def _copy_file(source: Path, target: Path) -> None:
    """Copy a file: within the kernel if possible, and without a copy of the blocks if the filesystem supports it."""
    with source.open("rb") as read, target.open("wb") as write:
        left = os.fstat(read.fileno()).st_size
        try:
            while left > 0 and (done := os.copy_file_range(read.fileno(), write.fileno(), left)):
                left -= done
        except (OSError, AttributeError):
            read.seek(0)
            write.seek(0)
            write.truncate()
            shutil.copyfileobj(read, write, 1 << 20)


def _record_of(snapshot: Path) -> Path:
    return snapshot.with_name(f".{snapshot.stem}.json")


def _write_record(snapshot: Path, record: _Record) -> None:
    replace_bytes(_record_of(snapshot), msgspec.json.encode(record), durable=True)


def _read_record(warehouse: Path, served: Path, size: int, mtime_ns: int) -> _Record | None:
    """Return the record of a served file that was not changed since it was finished."""
    # Without links, the served file is a copy of the snapshot, with its time.
    files = warehouse.glob(".tiktok-*.json") if served.name == LINK else [_record_of(served)]
    for file in files:
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            record = msgspec.json.decode(file.read_bytes(), type=_Record)
            if (record.size, record.mtime_ns) == (size, mtime_ns):
                return record
    return None


def _served(warehouse: Path) -> Path | None:
    """Return the target of the link, if it is a file."""
    link = warehouse / LINK
    return link.resolve() if link.is_file() else None


def place(staged: Path, path: Path) -> None:
    """Move a finished file to its place atomically; rename a folder in the way, never delete it."""
    if path.is_dir() and not path.is_symlink():
        clear_way(path)
    staged.replace(path)


def clear_way(path: Path) -> None:
    """Rename a file or folder that blocks the path of one of our files."""
    if path.is_symlink() or path.exists():
        aside = path.with_name(f"{path.name}.aside-{uuid.uuid4().hex[:8]}")
        path.rename(aside)
        _log.warning("Moved %s, which blocked a file of this pipeline, to %s", path, aside)


def _serve(snapshot: Path, link: Path) -> None:
    """Point the link at the snapshot, atomically; without support for links, move a copy there."""
    staged = link.with_name(f".{LINK}.next")
    staged.unlink(missing_ok=True)
    try:
        staged.symlink_to(snapshot.name)
    except OSError:
        # A stale write-ahead log of a crashed client would be replayed into the new file.
        link.with_name(f"{LINK}.wal").unlink(missing_ok=True)
        shutil.copyfile(snapshot, staged)
        made = snapshot.stat()
        os.utime(staged, ns=(made.st_atime_ns, made.st_mtime_ns))
        sync(staged)
        staged.chmod(0o444)
    place(staged, link)
    sync(link.parent)


def _prune(warehouse: Path, newest: Path, keep: int) -> None:
    """Remove all but the `keep` newest snapshots by file time: the clock that names them may go back."""
    snapshots = sorted(warehouse.glob("tiktok-*.duckdb"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    older = [snapshot for snapshot in snapshots if snapshot != newest]
    for old in older[max(keep - 1, 0) :]:
        # If the system does not remove open files, the file stays until the next publish.
        with contextlib.suppress(PermissionError):
            old.unlink()
            old.with_name(f"{old.name}.wal").unlink(missing_ok=True)
    for record in warehouse.glob(".tiktok-*.json"):
        if not warehouse.joinpath(f"{record.stem[1:]}.duckdb").exists():
            record.unlink(missing_ok=True)
