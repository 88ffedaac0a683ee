"""Where files lie, and how they are written and read: Parquet, one file a partition, replaced atomically.

    raw/<table>/date=YYYY-MM-DD/hour=HH/<window>-<flush>.parquet     only ever added to ...
    raw/<table>/date=YYYY-MM-DD/hour=HH/compacted-<number>.parquet   ... until upkeep folds a closed hour into one
    normalized/<table>/date=YYYY-MM-DD/<table>.parquet               one file a day
    marts/<table>/date=YYYY-MM-DD/<table>.parquet                    one file a day
    marts/<table>/<table>.parquet                                    whole tables

A file is written in `_staging/` (outside every table, on the same filesystem), synced, and moved over the old
one: readers see the old file or the new one, never a part. Every `*.parquet` under a table is data.

A fold is more than one file, so it cannot be one step: the folded file appears, then what it holds goes. `scan_raw`
makes it one for its readers: it lists an hour when it is read, reads a capture that two files hold once, and lists
again when a file has gone since. A folded file says in its Parquet metadata which landed files it holds.

A damaged file never stops a read: the others are read, and `Lake.damaged` collects which files were passed over and
why. Nothing under a table is deleted for being damaged. A derived file that turned out to be damaged is entered in
`_rebuild/` until it is written again (see upkeep/repair.py). What stands in the way of a write, such as a folder
named like the file, is moved to `_aside/`. Small sums over raw hours are kept in `_sums/` (see capture/spending.py).
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

# Key of a folded file's Parquet metadata: a JSON list of the names of the landed files that it holds.
_HOLDS = "tiktok_pipeline.holds"

# Names of folders, to the letter: a copy such as `date=2026-11-20 (copy)` is no day.
_DAY = re.compile(r"date=(\d{4}-\d{2}-\d{2})")
_HOUR = re.compile(r"hour=([01]\d|2[0-3])")
_FOLD = re.compile(rf"{COMPACTED}(\d+)")

# Of a list of days, as a read notes it: `<layer>/<table>/before=YYYY-MM-DD`.
_BEFORE = "before="

# A read of some creators skips the row groups of others.
_ROW_GROUP = 100_000

# An hour is folded once a day; a reader that meets more folds than this is not meeting folds.
_LISTINGS = 10


class NameTakenError(LakeError):
    """A file that must be new is there already."""


class Damaged:
    """Files that reads of the lake skipped: path and reason, each once. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[Path, str] = {}
        self._new: dict[Path, str] = {}

    def add(self, path: Path, reason: str) -> None:
        """Enter a file, and write a warning to the log when it is a new one."""
        with self._lock:
            if path in self._found:
                return
            self._found[path] = self._new[path] = reason
        _log.warning("Passed over %s: %s", path, reason)

    def new(self) -> dict[Path, str]:
        """The files that were entered since the last call."""
        with self._lock:
            new, self._new = self._new, {}
        return new

    def all(self) -> dict[Path, str]:
        """All files that were entered."""
        with self._lock:
            return dict(self._found)


@dataclass(frozen=True)
class Lake:
    """The lake in the folder `root`.

    With `erased`, no write of a table lets an erased creator through. `damaged` collects the files that reads passed
    over.
    """

    root: Path
    erased: ErasedCreators | None = None
    damaged: Damaged = field(default_factory=Damaged, compare=False, repr=False)

    def folder(self, table: Table) -> Path:
        """The folder of a table: everything that lies below it and ends in .parquet is data."""
        return self.root / table.layer / table.name

    def day_folder(self, table: Table, day: date) -> Path:
        """The folder of one day of a table that has days."""
        return self.folder(table) / f"date={day:%Y-%m-%d}"

    def hour_folder(self, table: Table, hour: datetime) -> Path:
        """The folder of one hour of a raw table."""
        return self.day_folder(table, hour) / f"hour={hour:%H}"

    def day_file(self, table: Table, day: date) -> Path:
        """The file of one day of a table."""
        return self.day_folder(table, day) / f"{table.name}.parquet"

    def whole_file(self, table: Table) -> Path:
        """The file of a table that is kept whole."""
        return self.folder(table) / f"{table.name}.parquet"

    def write_raw(self, table: Table, hour: datetime, name: str, frame: pl.DataFrame, *, replace: bool = True) -> Path:
        """Land `frame` as `<name>.parquet` in its hour.

        Raises:
            LakeError: it could not be written.
            NameTakenError: the file is there already, and `replace` is off.
        """
        path = self.hour_folder(table, hour) / f"{name}.parquet"
        return self._write_obeying(path, table.conform(frame), replace=replace)

    def write_day(self, table: Table, day: date, frame: pl.DataFrame) -> Path:
        """Replace one day of a table; an empty frame empties the day."""
        return self._replace(self.day_file(table, day), _ordered(table, frame))

    def write_whole(self, table: Table, frame: pl.DataFrame) -> Path:
        """Replace a table that is kept whole."""
        return self._replace(self.whole_file(table), _ordered(table, frame))

    def _replace(self, path: Path, frame: pl.DataFrame) -> Path:
        self._write_obeying(path, frame)
        with contextlib.suppress(OSError):
            entry = self._rebuild_entry(path)
            entry.unlink()
            os.removedirs(entry.parent)
        return path

    def raw_hours(self, table: Table) -> Iterator[datetime]:
        """The hours that a raw table has a folder for, oldest first."""
        for day in self.days(table):
            for hour in sorted(_folders(self.day_folder(table, day), _HOUR)):
                yield datetime(day.year, day.month, day.day, int(hour), tzinfo=UTC)

    def hour_files(self, table: Table, hour: datetime) -> list[Path]:
        """The files of one hour of a raw table: what was landed by name, then what was folded.

        A listing may miss a file that came while it was made and one that went: it is made until nothing moved.
        Folders, links to nothing and the like are not among them.
        """
        return self._list_hour(table, hour)[0]

    def _list_hour(self, table: Table, hour: datetime) -> tuple[list[Path], dict[Path, str]]:
        """The files of one hour, and what else is there under the name of a file, with what it is."""
        folder = self.hour_folder(table, hour)
        names, again = None, _names(folder)
        while names != again:
            names, again = again, _names(folder)
        regular, odd = again
        files = [folder / name for name in sorted(regular, key=lambda name: (name.startswith(COMPACTED), name))]
        return files, {folder / name: reason for name, reason in odd.items()}

    def hour_state(self, table: Table, hour: datetime) -> tuple[list[Path], str]:
        """The files of one hour of a raw table, and their signature (see `reads`); what is no file is noted."""
        files, odd = self._list_hour(table, hour)
        for path, reason in odd.items():
            self.damaged.add(path, reason)
        signature = reads.of_files([*files, *odd])
        self._note(self.hour_folder(table, hour), signature, reads.recorders())
        return files, signature

    def read_landed(self, table: Table, files: Sequence[Path]) -> pl.DataFrame:
        """Rows of some files of one hour of a raw table, each capture once; damaged files are passed over.

        Raises:
            FileNotFoundError: a file has gone.
        """
        return self._read_files(table, files, None, None, None)

    def raw_window(self, table: Table, hour: datetime, window: str) -> list[str]:
        """Names (without ending) of the files that a capture window landed in this hour, folded ones included.

        A damaged compacted file is skipped: its captures are not known.
        """
        found = set()
        for file in self.hour_files(table, hour):
            try:
                found.update(landed_names(file))
            except DamagedFileError as error:
                self.damaged.add(error.path, error.reason)
        parts = ((name, name.rpartition("-")) for name in found)
        # A copy such as `<window>-0003 (copy)` is no flush of the window.
        return sorted(name for name, (start, _, flush) in parts if start == window and flush.isdecimal())

    def scan_raw(self, table: Table, hours: Iterable[datetime]) -> pl.LazyFrame:
        """Rows of a raw table in these hours, each capture once however often its file was landed.

        The hours are listed and read one by one when the frame is collected. Damaged files are passed over.

        Raises (at collection):
            LakeError: files go away while they are read.
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
                    # Polars asks for a number of rows only where it has no predicate to be asked first.
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
            with contextlib.suppress(FileNotFoundError):  # folded since it was listed
                return self._read_files(table, files, columns, predicate, rows)
        raise LakeError(f"files in {self.hour_folder(table, hour)} go away while they are read: who removes them?")

    def read_raw_files(
        self, table: Table, files: Sequence[Path], columns: Sequence[str], predicate: pl.Expr
    ) -> pl.DataFrame:
        """Read rows of some raw files, each capture once; damaged files are passed over.

        Raises:
            FileNotFoundError: a file has gone since it was listed, as after a compaction.
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
        """Rows of files: all in one scan, or one by one where that fails; damaged ones are passed over.

        Raises:
            FileNotFoundError: a file has gone.
        """

        def asked_of(frame: pl.LazyFrame) -> pl.DataFrame:
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
            frame = asked_of(parquet.scan(table, files))
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
        return asked_of(pl.concat(found or [empty]).lazy())

    def _read_file(self, table: Table, file: Path, columns: Sequence[str] | None) -> pl.DataFrame | None:
        """Rows of one file; None where it is damaged, which is noted."""
        try:
            rows, reason = parquet.read(table, file, columns)
        except DamagedFileError as error:
            rows, reason = None, error.reason
        if reason is not None:
            self.damaged.add(file, reason)
            if table.layer != "raw":
                self.want_rebuild(file)
        return rows

    def fold(self, table: Table, hour: datetime, files: Sequence[Path], frame: pl.DataFrame) -> Path:
        """Put `frame`, which holds every row of `files`, in their place as one file.

        The new file is read back before the others go. Killed in between, both stay: readers see each capture once,
        and the next fold takes them all. Call it within `exclusive()`.

        Raises:
            LakeError: the file could not be written, or does not say what `frame` says; nothing was removed.
        """
        holds = sorted({name for file in files for name in landed_names(file)})
        # Every file of the hour counts, folders too: the new one must not replace one that is not folded.
        folder = self.hour_folder(table, hour)
        folds = (_FOLD.fullmatch(path.stem) for path in folder.glob(f"{COMPACTED}*"))
        number = max((int(fold[1]) for fold in folds if fold), default=-1) + 1
        path = folder / f"{COMPACTED}{number:04d}.parquet"

        def same(staged: Path) -> None:
            if not pl.read_parquet(staged, hive_partitioning=False).equals(frame):
                raise LakeError(f"{path} did not read back as it was written: nothing was removed; check the disk")

        self._write(path, frame, metadata={_HOLDS: msgspec.json.encode(holds).decode()}, check=same)
        sync(path.parent)
        for file in files:
            file.unlink(missing_ok=True)
        return path

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the lake against others who remove or rewrite raw files; readers and windows do not ask."""
        path = self.staging() / ".lock"
        try:
            lock = path.open("w")
        except OSError as error:
            raise LakeError(f"{path} cannot be opened: {error.strerror}; move it away") from None
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def scan_days(self, table: Table, first: date, last: date) -> pl.LazyFrame:
        """Rows of a daily table from `first` to `last`, both included; days without a file are passed over."""
        days = (first + timedelta(days=n) for n in range((last - first).days + 1))
        return self._scan(table, (self.day_file(table, day) for day in days))

    def scan_all(self, table: Table) -> pl.LazyFrame:
        """Every row of a daily or whole table."""
        if table.files == "whole":
            return self._scan(table, [self.whole_file(table)])
        return self._scan(table, (self.day_file(table, day) for day in self.days(table)))

    def _scan(self, table: Table, paths: Iterable[Path]) -> pl.LazyFrame:
        """Read the rows of the existing files; skip damaged ones."""
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
            there = files
            while there:
                try:
                    yield self._read_files(table, there, columns, predicate, rows)
                    return
                except FileNotFoundError:  # erased since it was listed
                    there = [file for file in there if file.exists()]

        return register_io_source(read, schema=table.schema) if files else table.empty().lazy()

    def want_rebuild(self, file: Path) -> None:
        """Enter a damaged derived file among those that must be made again; writing it takes it out."""
        entry = self._rebuild_entry(file)
        # A reader may lack the right to write. That is no problem: every writer reads the file as well.
        with contextlib.suppress(OSError):
            entry.parent.mkdir(parents=True, exist_ok=True)
            entry.touch()

    def wants_rebuild(self, file: Path) -> bool:
        """Whether a read found this derived file damaged, and it was not written since."""
        return self._rebuild_entry(file).exists()

    def wanted_rebuilds(self) -> list[Path]:
        """The derived files that reads found damaged and that were not written since."""
        folder = self.root / "_rebuild"
        return sorted(self.root / entry.relative_to(folder) for entry in folder.rglob("*.parquet"))

    def _rebuild_entry(self, file: Path) -> Path:
        return self.root / "_rebuild" / file.relative_to(self.root)

    def rewrite(self, path: Path, frame: pl.DataFrame) -> Path:
        """Replace one file, raw ones too: for erasing a person, and for nothing else. Call it within `exclusive()`."""
        return self._write(path, frame, metadata=_metadata(path))

    def days(self, table: Table, *, before: date = date.max) -> list[date]:
        """The days that a table has a folder for, oldest first. Folders of any other name are no days."""
        found = []
        for name in _folders(self.folder(table), _DAY):
            with contextlib.suppress(ValueError):  # 2026-13-45
                found.append(date.fromisoformat(name))
        days = sorted(day for day in found if day < before)
        if recorders := reads.recorders():
            self._note(self.folder(table) / f"{_BEFORE}{before}", _of_days(days), recorders)
        return days

    def _note(self, path: Path, signature: str, recorders: Iterable[Reads]) -> None:
        """Note a read of a file or folder."""
        for recorder in recorders:
            recorder.add(f"{path.relative_to(self.root)}", signature)

    def signature(self, path: str) -> str:
        """The present signature of a path that a read noted.

        Raises:
            ValueError: no read notes such a path.
        """
        place = self.root / path
        if place.suffix == ".parquet":
            return reads.of_file(place)
        parts = Path(path).parts
        table = TABLES.get(parts[1]) if len(parts) in (3, 4) else None
        if table is None:
            raise ValueError(f"{path} is no file, hour or list of days of a table")
        if len(parts) == 3:
            return _of_days(self.days(table, before=date.fromisoformat(parts[2].removeprefix(_BEFORE))))
        day, hour = _DAY.fullmatch(parts[2]), _HOUR.fullmatch(parts[3])
        if day is None or hour is None:
            raise ValueError(f"{path} is no hour of a table")
        return self.hour_signature(table, datetime.fromisoformat(f"{day[1]}T{hour[1]}").replace(tzinfo=UTC))

    def hour_signature(self, table: Table, hour: datetime) -> str:
        """The signature of the files of an hour of a raw table (see `reads`)."""
        files, odd = self._list_hour(table, hour)
        return reads.of_files([*files, *odd])

    def check_writable(self) -> None:
        """Prove that a file can be written.

        Raises:
            LakeError: it cannot; says where and why.
        """
        probe = self._staged()
        probe.write_bytes(b"")
        probe.unlink()

    def staging(self) -> Path:
        """Where files are before they are data, and after: outside every table, on the same filesystem."""
        staging = self.root / "_staging"
        try:
            staging.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LakeError(f"the lake {self.root} cannot be written: {error.strerror}") from None
        return staging

    def _write_obeying(self, path: Path, frame: pl.DataFrame, *, replace: bool = True) -> Path:
        """Write `frame` without erased creators."""
        if self.erased is None:
            return self._write(path, frame, replace=replace)
        with self.erased.obeyed(frame) as allowed:
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
            # Polars reports a full disk as an error of its own.
            raise LakeError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}") from None
        finally:
            staged.unlink(missing_ok=True)
        return path

    def _clear_way(self, path: Path) -> None:
        """Move what is in the way of a file to `_aside/`: a folder of its name, a file where a folder must be."""
        within = path.relative_to(self.root)
        # Never move a layer or a table: if it is not a folder, an operator must look at it.
        for place in (*(p for p in reversed(within.parents) if len(p.parts) > len(("layer", "table"))), within):
            obstacle = self.root / place
            wanted = obstacle.is_file() if obstacle == path else obstacle.is_dir()
            if not wanted and (obstacle.is_symlink() or obstacle.exists()):
                aside = self.root / "_aside" / f"{uuid.uuid4().hex[:8]}-{obstacle.name}"
                aside.parent.mkdir(exist_ok=True)
                obstacle.rename(aside)
                _log.warning("Moved %s, which was in the way of a file, to %s", obstacle, aside)
                return


def landed_names(file: Path) -> list[str]:
    """Names (without ending) of the landed files that a raw file is, or holds.

    Raises:
        DamagedFileError: a folded file cannot be read.
    """
    if not _FOLD.fullmatch(file.stem):
        return [file.stem]
    try:
        holds = _metadata(file).get(_HOLDS)
        # A copy that another tool made of a compacted file has no reliable list of captures.
        return [file.stem] if holds is None else msgspec.json.decode(holds, type=list[str])
    except (*parquet.FAILURES, msgspec.MsgspecError) as error:
        raise DamagedFileError(file, str(error).partition("\n")[0]) from None


def _metadata(file: Path) -> dict[str, str]:
    """The project's own keys of a file's Parquet metadata."""
    return {k: v for k, v in pl.read_parquet_metadata(file).items() if k.startswith("tiktok_pipeline.")}


def _move_to_new(staged: Path, path: Path) -> None:
    """Move a file to a name that must be free. Raises NameTakenError where another file has it."""
    try:
        os.link(staged, path)
    except OSError:
        if path.is_file():
            raise NameTakenError(f"{path} is there already") from None
        if path.is_symlink() or path.exists():
            raise FileExistsError(f"{path} is no file") from None
        staged.replace(path)  # a filesystem without hard links


def _names(folder: Path) -> tuple[set[str], dict[str, str]]:
    """Names of the Parquet files in a folder, and what else carries such a name, with what it is."""
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
                        odd[entry.name] = "not a file" if entry.is_dir() else "a link to nothing, or no file"
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
    """Whether a file holds these bytes already: leaving it as it is tells readers that nothing has changed."""
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
    """Sorted by the table's order, which no two rows share, so that the same rows are the same bytes."""
    return table.conform(frame).sort(table.order, nulls_last=True)
