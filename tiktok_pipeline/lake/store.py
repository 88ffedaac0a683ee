"""Write and read the files of the lake: Parquet, one file a partition, replaced atomically.

    raw/<table>/date=YYYY-MM-DD/hour=HH/<window>-<flush>.parquet     landed files: only added ...
    raw/<table>/date=YYYY-MM-DD/hour=HH/compacted-<number>.parquet   ... until a closed hour is compacted to one file
    normalized/<table>/date=YYYY-MM-DD/<table>.parquet               one file a day
    marts/<table>/date=YYYY-MM-DD/<table>.parquet                    one file a day
    marts/<table>/<table>.parquet                                    whole tables

A file is written in `_staging/` (outside every table, on the same filesystem), synced, and moved over the old one.
Readers see the old file or the new one, never a part. Every `*.parquet` under a table is data.

Compaction changes several files, so it is not atomic: the compacted file appears first, then the compacted landed files
are removed. `scan_raw` hides this from its readers. It lists an hour when it reads it, deduplicates captures that two
files contain, and lists again if a file was removed meanwhile. The Parquet metadata of a compacted file lists the
landed files that it contains.

A damaged file never stops a read: other files are read, and `Lake.damaged` collects skipped files and reasons. Damaged
files under a table are never deleted. A damaged derived file is recorded in `_rebuild/` until it is written again (see
upkeep/repair.py). Obstacles to a write, such as a folder with the name of the file, are moved to `_aside/`. Sums over
raw hours are cached in `_sums/` (see capture/spending.py).
"""

from __future__ import annotations

import contextlib
import fcntl
import filecmp
import logging
import os
import re
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import polars as pl
from polars.io.plugins import register_io_source

from tiktok_pipeline.erased.creators import ErasedCreators
from tiktok_pipeline.errors import DamagedFileError, LakeError
from tiktok_pipeline.files import sync
from tiktok_pipeline.lake import parquet, reads
from tiktok_pipeline.lake.reads import Reads
from tiktok_pipeline.tables import TABLES, Table

_log = logging.getLogger(__name__)

COMPACTED = "compacted-"

# Key of a compacted file's Parquet metadata: a JSON list of the names of the landed files that it contains.
_HOLDS = "tiktok_pipeline.holds"

# Exact names of folders: a copy such as `date=2026-11-20 (copy)` is not a day.
_DAY = re.compile(r"date=(\d{4}-\d{2}-\d{2})")
_HOUR = re.compile(r"hour=([01]\d|2[0-3])")
_COMPACTED_FILE = re.compile(rf"{COMPACTED}(\d+)")

# A list of days, as reads record it: `<layer>/<table>/before=YYYY-MM-DD`.
_BEFORE = "before="

# A read of some creators skips the row groups of others.
_ROW_GROUP = 100_000

# An hour is compacted once a day; files that disappear more often than this have another cause.
_LISTINGS = 10


class NameTakenError(LakeError):
    """A file with this name exists already, and must not be replaced."""


class Damaged:
    """Files that reads of the lake skipped, each once, with the reason. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[Path, str] = {}
        self._new: dict[Path, str] = {}

    def add(self, path: Path, reason: str) -> None:
        """Add a file; log a warning if it is new."""
        with self._lock:
            if path in self._found:
                return
            self._found[path] = self._new[path] = reason
        _log.warning("Skipped %s: %s", path, reason)

    def new(self) -> dict[Path, str]:
        """Return the files that were added since the last call."""
        with self._lock:
            new, self._new = self._new, {}
        return new

    def all(self) -> dict[Path, str]:
        """Return all files that were added."""
        with self._lock:
            return dict(self._found)


@dataclass(frozen=True)
class Lake:
    """The lake in the folder `root`.

    With `erased`, writes of tables leave out erased creators. `damaged` collects the files that reads skipped.
    """

    root: Path
    erased: ErasedCreators | None = None
    damaged: Damaged = field(default_factory=Damaged, compare=False, repr=False)

    def folder(self, table: Table) -> Path:
        """Return the folder of a table: every .parquet file below it is data."""
        return self.root / table.layer / table.name

    def day_folder(self, table: Table, day: date) -> Path:
        """Return the folder of one day of a table."""
        return self.folder(table) / f"date={day:%Y-%m-%d}"

    def hour_folder(self, table: Table, hour: datetime) -> Path:
        """Return the folder of one hour of a raw table."""
        return self.day_folder(table, hour) / f"hour={hour:%H}"

    def day_file(self, table: Table, day: date) -> Path:
        """Return the file of one day of a table."""
        return self.day_folder(table, day) / f"{table.name}.parquet"

    def whole_file(self, table: Table) -> Path:
        """Return the file of a whole table."""
        return self.folder(table) / f"{table.name}.parquet"

    def write_raw(self, table: Table, hour: datetime, name: str, frame: pl.DataFrame, *, replace: bool = True) -> Path:
        """Write `frame` as `<name>.parquet` in its hour.

        Raises:
            LakeError: the file could not be written.
            NameTakenError: the file exists already, and `replace` is off.
        """
        path = self.hour_folder(table, hour) / f"{name}.parquet"
        return self._write_without_erased(path, table.conform(frame), replace=replace)

    def write_day(self, table: Table, day: date, frame: pl.DataFrame) -> Path:
        """Replace one day of a table; an empty frame empties the day."""
        return self._replace(self.day_file(table, day), _ordered(table, frame))

    def write_whole(self, table: Table, frame: pl.DataFrame) -> Path:
        """Replace a whole table."""
        return self._replace(self.whole_file(table), _ordered(table, frame))

    def _replace(self, path: Path, frame: pl.DataFrame) -> Path:
        self._write_without_erased(path, frame)
        with contextlib.suppress(OSError):
            entry = self._rebuild_entry(path)
            entry.unlink()
            os.removedirs(entry.parent)
        return path

    def raw_hours(self, table: Table) -> Iterator[datetime]:
        """Yield the hours for which a raw table has a folder, oldest first."""
        for day in self.days(table):
            for hour in sorted(_folders(self.day_folder(table, day), _HOUR)):
                yield datetime(day.year, day.month, day.day, int(hour), tzinfo=UTC)

    def hour_files(self, table: Table, hour: datetime) -> list[Path]:
        """List the files of one hour of a raw table: landed files by name, then compacted files.

        A listing may miss files that are added or removed during it, so it is repeated until it stays the same.
        Folders, broken links and the like are left out.
        """
        return self._list_hour(table, hour)[0]

    def _list_hour(self, table: Table, hour: datetime) -> tuple[list[Path], dict[Path, str]]:
        """Return the files of one hour, and other entries with the name of a Parquet file, with their kind."""
        folder = self.hour_folder(table, hour)
        names, listed_again = None, _names(folder)
        while names != listed_again:
            names, listed_again = listed_again, _names(folder)
        regular, odd = listed_again
        files = [folder / name for name in sorted(regular, key=lambda name: (name.startswith(COMPACTED), name))]
        return files, {folder / name: reason for name, reason in odd.items()}

    def hour_state(self, table: Table, hour: datetime) -> tuple[list[Path], str]:
        """Return the files of one hour of a raw table, and their signature (see `reads`); record other entries."""
        files, odd = self._list_hour(table, hour)
        for path, reason in odd.items():
            self.damaged.add(path, reason)
        signature = reads.of_files([*files, *odd])
        self._note(self.hour_folder(table, hour), signature, reads.recorders())
        return files, signature

    def read_landed(self, table: Table, files: Sequence[Path]) -> pl.DataFrame:
        """Read the rows of some files of one hour of a raw table, each capture once; skip damaged files.

        Raises:
            FileNotFoundError: a file was removed.
        """
        return self._read_files(table, files, None, None, None)

    def raw_window(self, table: Table, hour: datetime, window: str) -> list[str]:
        """Return the names (without ending) of the files that a window landed in this hour, compacted ones included.

        A damaged compacted file is skipped: its captures are unknown.
        """
        found = set()
        for file in self.hour_files(table, hour):
            try:
                found.update(landed_names(file))
            except DamagedFileError as error:
                self.damaged.add(error.path, error.reason)
        parts = ((name, name.rpartition("-")) for name in found)
        # A copy such as `<window>-0003 (copy)` is not a flush of the window.
        return sorted(name for name, (start, _, flush) in parts if start == window and flush.isdecimal())

    def scan_raw(self, table: Table, hours: Iterable[datetime]) -> pl.LazyFrame:
        """Scan the rows of a raw table in these hours, each capture once, even if several files contain it.

        The hours are listed and read one by one when the frame is collected. Damaged files are skipped.

        Raises (at collection):
            LakeError: files are removed repeatedly while they are read.
        """
        wanted = sorted(set(hours))
        recorders = reads.recorders()

        def read(
            columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, _batch: int | None
        ) -> Iterator[pl.DataFrame]:
            for hour in wanted:
                frame = self._read_hour(table, hour, columns, predicate, rows, recorders)
                if frame is None:
                    continue
                if rows is not None:
                    # Polars passes a number of rows only without a predicate.
                    rows -= frame.height
                yield frame
                if rows == 0:
                    return

        return register_io_source(read, schema=table.schema)

    def _read_hour(
        self,
        table: Table,
        hour: datetime,
        columns: list[str] | None,
        predicate: pl.Expr | None,
        rows: int | None,
        recorders: Sequence[Reads],
    ) -> pl.DataFrame | None:
        for _ in range(_LISTINGS):
            files, odd = self._list_hour(table, hour)
            if recorders:
                self._note(self.hour_folder(table, hour), reads.of_files([*files, *odd]), recorders)
            for path, reason in odd.items():
                self.damaged.add(path, reason)
            if not files:
                return None
            with contextlib.suppress(FileNotFoundError):  # compacted since the listing
                return self._read_files(table, files, columns, predicate, rows)
        raise LakeError(
            f"files in {self.hour_folder(table, hour)} are removed during reads; find the process that removes them"
        )

    def read_raw_files(
        self, table: Table, files: Sequence[Path], columns: Sequence[str], predicate: pl.Expr
    ) -> pl.DataFrame:
        """Read rows of some raw files, each capture once; skip damaged files.

        Raises:
            FileNotFoundError: a file was removed after it was listed, for example by a compaction.
        """
        return self._read_files(table, files, list(columns), predicate, None)

    def _read_files(
        self,
        table: Table,
        files: Sequence[Path],
        columns: list[str] | None,
        predicate: pl.Expr | None,
        rows: int | None,
    ) -> pl.DataFrame:
        """Read the rows of files in one scan, or one by one if that fails; skip damaged files.

        Raises:
            FileNotFoundError: a file was removed.
        """

        def query(frame: pl.LazyFrame) -> pl.DataFrame:
            # Polars passes a number of rows only without a predicate.
            if predicate is not None:
                # First, so that Parquet statistics skip files: two copies of a capture are equal.
                frame = frame.filter(predicate)
            if table.layer == "raw" and len(files) > 1:
                frame = frame.unique(subset="capture_id", keep="first", maintain_order=True)
            if rows is not None:
                frame = frame.head(rows)
            return (frame if columns is None else frame.select(columns)).collect()

        try:
            frame = query(parquet.scan(table, files))
            if parquet.complete(table, frame):
                return frame
        except FileNotFoundError:
            raise
        except parquet.FAILURES:
            pass
        used = None
        if columns is not None:
            roots = [] if predicate is None else predicate.meta.root_names()
            used = [*columns, *roots, *table.key]
        parts = [self._read_file(table, file, used) for file in files]
        found = [part for part in parts if part is not None]
        empty = table.empty() if used is None else table.empty().select(name for name in table.schema if name in used)
        return query(pl.concat(found or [empty]).lazy())

    def _read_file(self, table: Table, file: Path, columns: Sequence[str] | None) -> pl.DataFrame | None:
        """Return the rows of one file; None if it is damaged, which is recorded."""
        try:
            rows, reason = parquet.read(table, file, columns)
        except DamagedFileError as error:
            rows, reason = None, error.reason
        if reason is not None:
            self.damaged.add(file, reason)
            if table.layer != "raw":
                self.want_rebuild(file)
        return rows

    def compact(self, table: Table, hour: datetime, files: Sequence[Path], frame: pl.DataFrame) -> Path:
        """Replace `files` of one hour by one file with `frame`, which holds all their rows.

        The new file is read back before the others are removed. If killed in between, both stay: readers see each
        capture once, and the next compaction takes them all. Call it within `exclusive()`.

        Raises:
            LakeError: the file could not be written, or differs from `frame`; nothing was removed.
        """
        holds = sorted({name for file in files for name in landed_names(file)})
        # Count every entry of the hour, folders too: the new file must not replace one that is not compacted.
        folder = self.hour_folder(table, hour)
        taken = (_COMPACTED_FILE.fullmatch(path.stem) for path in folder.glob(f"{COMPACTED}*"))
        number = max((int(match[1]) for match in taken if match), default=-1) + 1
        path = folder / f"{COMPACTED}{number:04d}.parquet"

        def same(staged: Path) -> None:
            if not pl.read_parquet(staged, hive_partitioning=False).equals(frame):
                raise LakeError(f"{path} differs from the written rows: nothing was removed; check the disk")

        self._write(path, frame, metadata={_HOLDS: msgspec.json.encode(holds).decode()}, check=same)
        sync(path.parent)
        for file in files:
            file.unlink(missing_ok=True)
        return path

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Lock out other processes that remove or rewrite raw files; readers and capture windows do not need it."""
        path = self.staging() / ".lock"
        try:
            lock = path.open("w")
        except OSError as error:
            raise LakeError(f"{path} cannot be opened: {error.strerror}; remove it") from None
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def scan_days(self, table: Table, first: date, last: date) -> pl.LazyFrame:
        """Scan a daily table from `first` to `last`, both included; skip days without a file."""
        days = (first + timedelta(days=n) for n in range((last - first).days + 1))
        return self._scan(table, (self.day_file(table, day) for day in days))

    def scan_all(self, table: Table) -> pl.LazyFrame:
        """Scan all rows of a daily or whole table."""
        if table.files == "whole":
            return self._scan(table, [self.whole_file(table)])
        return self._scan(table, (self.day_file(table, day) for day in self.days(table)))

    def _scan(self, table: Table, paths: Iterable[Path]) -> pl.LazyFrame:
        """Scan the existing files; skip damaged ones."""
        files = []
        recorders = reads.recorders()
        for path in paths:
            if recorders:
                self._note(path, reads.of_file(path), recorders)
            if path.is_file():
                files.append(path)
            elif path.is_symlink() or path.exists():
                self.damaged.add(path, parquet.problem(table, path) or "not a file")

        def read(
            columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, _batch: int | None
        ) -> Iterator[pl.DataFrame]:
            left = files
            while left:
                try:
                    yield self._read_files(table, left, columns, predicate, rows)
                    return
                except FileNotFoundError:  # removed by `forget` since the listing
                    left = [file for file in left if file.exists()]

        return register_io_source(read, schema=table.schema) if files else table.empty().lazy()

    def want_rebuild(self, file: Path) -> None:
        """Record that a damaged derived file must be made again; writing it removes the record."""
        entry = self._rebuild_entry(file)
        # A reader may lack the right to write. That does no harm: every writer reads the file as well.
        with contextlib.suppress(OSError):
            entry.parent.mkdir(parents=True, exist_ok=True)
            entry.touch()

    def wants_rebuild(self, file: Path) -> bool:
        """Return whether a read found this derived file damaged, and it was not written since."""
        return self._rebuild_entry(file).exists()

    def wanted_rebuilds(self) -> list[Path]:
        """List the derived files that reads found damaged and that were not written since."""
        folder = self.root / "_rebuild"
        return sorted(self.root / entry.relative_to(folder) for entry in folder.rglob("*.parquet"))

    def _rebuild_entry(self, file: Path) -> Path:
        return self.root / "_rebuild" / file.relative_to(self.root)

    def rewrite(self, path: Path, frame: pl.DataFrame) -> Path:
        """Replace one file, also of raw: only to erase a creator. Call it within `exclusive()`."""
        return self._write(path, frame, metadata=_metadata(path))

    def days(self, table: Table, *, before: date = date.max) -> list[date]:
        """List the days for which a table has a folder, oldest first. Other folders are ignored."""
        found = []
        for name in _folders(self.folder(table), _DAY):
            with contextlib.suppress(ValueError):  # 2026-13-45
                found.append(date.fromisoformat(name))
        days = sorted(day for day in found if day < before)
        if recorders := reads.recorders():
            self._note(self.folder(table) / f"{_BEFORE}{before}", _of_days(days), recorders)
        return days

    def _note(self, path: Path, signature: str, recorders: Iterable[Reads]) -> None:
        """Record a read of a file or folder."""
        for recorder in recorders:
            recorder.add(f"{path.relative_to(self.root)}", signature)

    def signature(self, path: str) -> str:
        """Return the present signature of a path that a read recorded.

        Raises:
            ValueError: reads record no such path.
        """
        place = self.root / path
        if place.suffix == ".parquet":
            return reads.of_file(place)
        parts = Path(path).parts
        table = TABLES.get(parts[1]) if len(parts) in (3, 4) else None
        if table is None:
            raise ValueError(f"{path} is not a file, hour or list of days of a table")
        if len(parts) == 3:
            return _of_days(self.days(table, before=date.fromisoformat(parts[2].removeprefix(_BEFORE))))
        day, hour = _DAY.fullmatch(parts[2]), _HOUR.fullmatch(parts[3])
        if day is None or hour is None:
            raise ValueError(f"{path} is not an hour of a table")
        return self.hour_signature(table, datetime.fromisoformat(f"{day[1]}T{hour[1]}").replace(tzinfo=UTC))

    def hour_signature(self, table: Table, hour: datetime) -> str:
        """Return the signature of the files of an hour of a raw table (see `reads`)."""
        files, odd = self._list_hour(table, hour)
        return reads.of_files([*files, *odd])

    def check_writable(self) -> None:
        """Check that a file can be written.

        Raises:
            LakeError: it cannot; the message gives the place and the reason.
        """
        probe = self._staged()
        probe.write_bytes(b"")
        probe.unlink()

    def staging(self) -> Path:
        """Return the folder for files that are not data yet: outside every table, on the same filesystem."""
        staging = self.root / "_staging"
        try:
            staging.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LakeError(f"the lake {self.root} cannot be written: {error.strerror}") from None
        return staging

    def _write_without_erased(self, path: Path, frame: pl.DataFrame, *, replace: bool = True) -> Path:
        """Write `frame` without the rows of erased creators."""
        if self.erased is None:
            return self._write(path, frame, replace=replace)
        with self.erased.filtered(frame) as allowed:
            return self._write(path, allowed, replace=replace)

    def _staged(self) -> Path:
        return self.staging() / f"{uuid.uuid4().hex}.part"

    def _write(
        self,
        path: Path,
        frame: pl.DataFrame,
        *,
        metadata: Mapping[str, str] | None = None,
        check: Callable[[Path], None] = lambda staged: None,
        replace: bool = True,
    ) -> Path:
        staged = self._staged()
        try:
            frame.write_parquet(
                staged,
                compression="zstd",
                compression_level=1,
                row_group_size=_ROW_GROUP,
                metadata=dict(metadata) if metadata else None,
            )
            check(staged)
            if replace and _same_bytes(staged, path):
                return path
            with staged.open("rb") as written:
                os.fsync(written.fileno())
            try:
                _place(staged, path, replace=replace)
            except (FileExistsError, NotADirectoryError, IsADirectoryError):
                self._clear_way(path)
                _place(staged, path, replace=replace)
        except (OSError, pl.exceptions.PolarsError) as error:
            # Polars reports a full disk as its own error type.
            raise LakeError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}") from None
        finally:
            staged.unlink(missing_ok=True)
        return path

    def _clear_way(self, path: Path) -> None:
        """Move obstacles of a file to `_aside/`: a folder with its name, or a file in the place of a folder."""
        within = path.relative_to(self.root)
        # Never move a layer or a table: if it is not a folder, an operator must inspect it.
        for place in (*(p for p in reversed(within.parents) if len(p.parts) > len(("layer", "table"))), within):
            obstacle = self.root / place
            wanted = obstacle.is_file() if obstacle == path else obstacle.is_dir()
            if not wanted and (obstacle.is_symlink() or obstacle.exists()):
                aside = self.root / "_aside" / f"{uuid.uuid4().hex[:8]}-{obstacle.name}"
                aside.parent.mkdir(exist_ok=True)
                obstacle.rename(aside)
                _log.warning("Moved %s, an obstacle to a write, to %s", obstacle, aside)
                return


def landed_names(file: Path) -> list[str]:
    """Return the names (without ending) of the landed files that a raw file is or contains.

    Raises:
        DamagedFileError: a compacted file cannot be read.
    """
    if not _COMPACTED_FILE.fullmatch(file.stem):
        return [file.stem]
    try:
        holds = _metadata(file).get(_HOLDS)
        # A copy of a compacted file made by another tool has no reliable list of landed files.
        return [file.stem] if holds is None else msgspec.json.decode(holds, type=list[str])
    except (*parquet.FAILURES, msgspec.MsgspecError) as error:
        raise DamagedFileError(file, str(error).partition("\n")[0]) from None


def _metadata(file: Path) -> dict[str, str]:
    """Return the project's own keys of a file's Parquet metadata."""
    return {k: v for k, v in pl.read_parquet_metadata(file).items() if k.startswith("tiktok_pipeline.")}


def _move_to_new(staged: Path, path: Path) -> None:
    """Move a file to an unused name. Raises NameTakenError if a file with that name exists."""
    try:
        os.link(staged, path)
    except OSError:
        if path.is_file():
            raise NameTakenError(f"{path} exists already") from None
        if path.is_symlink() or path.exists():
            raise FileExistsError(f"{path} is not a file") from None
        staged.replace(path)  # a filesystem without hard links


def _names(folder: Path) -> tuple[set[str], dict[str, str]]:
    """Return the names of the Parquet files in a folder, and other entries with such a name, with their kind."""
    regular, odd = set(), {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.endswith(".parquet"):
                    continue
                try:
                    if entry.is_file():
                        regular.add(entry.name)
                    else:
                        odd[entry.name] = "not a file" if entry.is_dir() else "a broken link, or not a file"
                except OSError as error:
                    odd[entry.name] = f"{error.strerror}"
    except (FileNotFoundError, NotADirectoryError):
        return set(), {}
    except OSError as error:
        return set(), {"": f"the folder cannot be listed: {error.strerror}"}
    return regular, odd


def _folders(folder: Path, pattern: re.Pattern[str]) -> list[str]:
    """Return the matched parts of the names of subfolders that match a pattern."""
    try:
        with os.scandir(folder) as entries:
            found = [(entry, pattern.fullmatch(entry.name)) for entry in entries]
            return [match[1] for entry, match in found if match and entry.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise LakeError(f"{folder} cannot be listed: {error.strerror}") from None


def _same_bytes(staged: Path, path: Path) -> bool:
    """Return whether a file has the same bytes; it then stays, so that readers see it as unchanged."""
    try:
        return path.stat().st_size == staged.stat().st_size and filecmp.cmp(staged, path, shallow=False)
    except OSError:
        return False


def _place(staged: Path, path: Path, *, replace: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if replace:
        staged.replace(path)
    else:
        _move_to_new(staged, path)


def _of_days(days: Iterable[date]) -> str:
    return reads.of_names(f"{day}" for day in days)


def _ordered(table: Table, frame: pl.DataFrame) -> pl.DataFrame:
    """Sort by the table's order, which is unique, so that equal rows give equal bytes."""
    return table.conform(frame).sort(table.order, nulls_last=True)
