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
"""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import polars as pl
from polars.io.plugins import register_io_source

from tiktok_pipeline.erased.creators import ErasedCreators
from tiktok_pipeline.errors import LakeError
from tiktok_pipeline.tables import Table

COMPACTED = "compacted-"

# Key of a folded file's Parquet metadata: a JSON list of the names of the landed files that it holds.
_HOLDS = "tiktok_pipeline.holds"

# An hour is folded once a day; a reader that meets more folds than this is not meeting folds.
_LISTINGS = 10


class NameTakenError(LakeError):
    """A file that must be new is there already."""


@dataclass(frozen=True)
class Lake:
    """The lake in the folder `root`. With `erased`, no write of a table lets an erased creator through."""

    root: Path
    erased: ErasedCreators | None = None

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
        return self._write_obeying(self.day_file(table, day), _ordered(table, frame))

    def write_whole(self, table: Table, frame: pl.DataFrame) -> Path:
        """Replace a table that is kept whole."""
        return self._write_obeying(self.whole_file(table), _ordered(table, frame))

    def raw_hours(self, table: Table) -> Iterator[datetime]:
        """The hours that a raw table has a folder for, oldest first."""
        for day in self.days(table):
            for hour in sorted(path.name[5:] for path in self.day_folder(table, day).glob("hour=*")):
                yield datetime(day.year, day.month, day.day, int(hour), tzinfo=UTC)

    def hour_files(self, table: Table, hour: datetime) -> list[Path]:
        """The files of one hour of a raw table: what was landed by name, then what was folded.

        A listing may miss a file that came while it was made and one that went: it is made until nothing moved.
        """
        folder = self.hour_folder(table, hour)
        names, again = None, _names(folder)
        while names != again:
            names, again = again, _names(folder)
        return [folder / name for name in sorted(again, key=lambda name: (name.startswith(COMPACTED), name))]

    def raw_window(self, table: Table, hour: datetime, window: str) -> list[str]:
        """Names (without ending) of the files that a capture window landed in this hour, folded ones included."""
        found = set()
        for file in self.hour_files(table, hour):
            found.update(landed_names(file))
        return sorted(name for name in found if name.rpartition("-")[0] == window)

    def scan_raw(self, table: Table, hours: Iterable[datetime]) -> pl.LazyFrame:
        """Rows of a raw table in these hours, each capture once however often its file was landed.

        The hours are listed and read one by one when the frame is collected.

        Raises (at collection):
            LakeError: a file cannot be read; names it.
        """
        wanted = sorted(set(hours))

        def read(
            columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, _batch: int | None
        ) -> Iterator[pl.DataFrame]:
            for hour in wanted:
                frame = self._read_hour(table, hour, columns, predicate, rows)
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
        self, table: Table, hour: datetime, columns: list[str] | None, predicate: pl.Expr | None, rows: int | None
    ) -> pl.DataFrame | None:
        for _ in range(_LISTINGS):
            files = self.hour_files(table, hour)
            if not files:
                return None
            frame = _scan(table, files)
            if len(files) > 1:
                frame = frame.unique(subset="capture_id", keep="first", maintain_order=True)
            if rows is not None:
                frame = frame.head(rows)
            if predicate is not None:
                frame = frame.filter(predicate)
            if columns is not None:
                frame = frame.select(columns)
            try:
                return frame.collect()
            except FileNotFoundError:
                continue  # folded since it was listed
            except pl.exceptions.ComputeError as error:
                raise LakeError(_unreadable(files, error)) from None
        raise LakeError(f"files in {self.hour_folder(table, hour)} go away while they are read: who removes them?")

    def fold(self, table: Table, hour: datetime, files: Sequence[Path], frame: pl.DataFrame) -> Path:
        """Put `frame`, which holds every row of `files`, in their place as one file.

        The new file is read back before the others go. Killed in between, both stay: readers see each capture once,
        and the next fold takes them all. Call it within `exclusive()`.

        Raises:
            LakeError: the file could not be written, or does not say what `frame` says; nothing was removed.
        """
        holds = sorted({name for file in files for name in landed_names(file)})
        numbers = [int(file.stem[len(COMPACTED) :]) for file in files if file.name.startswith(COMPACTED)]
        path = self.hour_folder(table, hour) / f"{COMPACTED}{max(numbers, default=-1) + 1:04d}.parquet"

        def same(staged: Path) -> None:
            if not pl.read_parquet(staged, hive_partitioning=False).equals(frame):
                raise LakeError(f"{path} did not read back as it was written: nothing was removed; check the disk")

        self._write(path, frame, metadata={_HOLDS: msgspec.json.encode(holds).decode()}, check=same)
        _sync_folder(path.parent)
        for file in files:
            file.unlink(missing_ok=True)
        return path

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the lake against others who remove or rewrite raw files; readers and windows do not ask."""
        with (self.staging() / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def scan_days(self, table: Table, first: date, last: date) -> pl.LazyFrame:
        """Rows of a daily table from `first` to `last`, both included; days without a file are passed over."""
        days = (first + timedelta(days=n) for n in range((last - first).days + 1))
        return _scan(table, [file for file in (self.day_file(table, day) for day in days) if file.exists()])

    def scan_all(self, table: Table) -> pl.LazyFrame:
        """Every row of a daily or whole table."""
        pattern = f"{table.name}.parquet" if table.files == "whole" else f"date=*/{table.name}.parquet"
        return _scan(table, sorted(self.folder(table).glob(pattern)))

    def scan_all_raw(self, table: Table) -> pl.LazyFrame:
        """Every row of a raw table, as it lies there: for a lake that nobody folds meanwhile."""
        return _scan(table, sorted(self.folder(table).rglob("*.parquet")))

    def rewrite(self, path: Path, frame: pl.DataFrame) -> Path:
        """Replace one file, raw ones too: for erasing a person, and for nothing else. Call it within `exclusive()`."""
        return self._write(path, frame, metadata=_metadata(path))

    def days(self, table: Table) -> list[date]:
        """The days that a table has, oldest first."""
        return sorted(date.fromisoformat(path.name[5:]) for path in self.folder(table).glob("date=*"))

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
                staged, compression="zstd", compression_level=1, metadata=dict(metadata) if metadata else None
            )
            check(staged)
            with staged.open("rb") as written:
                os.fsync(written.fileno())
            path.parent.mkdir(parents=True, exist_ok=True)
            if replace:
                staged.replace(path)
            else:
                _move_to_new(staged, path)
        except (OSError, pl.exceptions.PolarsError) as error:
            # Polars reports a full disk as an error of its own.
            raise LakeError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}") from None
        finally:
            staged.unlink(missing_ok=True)
        return path


def landed_names(file: Path) -> list[str]:
    """Names (without ending) of the landed files that a raw file is, or holds."""
    if not file.name.startswith(COMPACTED):
        return [file.stem]
    return msgspec.json.decode(_metadata(file)[_HOLDS], type=list[str])


def _metadata(file: Path) -> dict[str, str]:
    """The project's own keys of a file's Parquet metadata."""
    return {k: v for k, v in pl.read_parquet_metadata(file).items() if k.startswith("tiktok_pipeline.")}


def _move_to_new(staged: Path, path: Path) -> None:
    """Move a file to a name that must be free. Raises NameTakenError where it is not."""
    try:
        os.link(staged, path)
    except OSError:
        if path.exists():
            raise NameTakenError(f"{path} is there already") from None
        staged.replace(path)  # a filesystem without hard links


def _names(folder: Path) -> set[str]:
    try:
        return {name for name in os.listdir(folder) if name.endswith(".parquet")}
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise LakeError(f"{folder} cannot be listed: {error.strerror}") from None


def _unreadable(files: Sequence[Path], error: Exception) -> str:
    """What to say of files that polars refused together: which of them, and what to do."""
    for file in files:
        try:
            pl.scan_parquet(file, hive_partitioning=False, glob=False).collect()
        except (pl.exceptions.ComputeError, OSError) as reason:
            said = str(reason).splitlines()[0]
            return f"{file} cannot be read ({said}): put it back from a backup, or move it out of the lake"
    return f"files in {files[0].parent} cannot be read together: {str(error).splitlines()[0]}"


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _ordered(table: Table, frame: pl.DataFrame) -> pl.DataFrame:
    """Sorted by the table's key, so that the same rows are the same bytes."""
    return table.conform(frame).sort(table.key, nulls_last=True)


def _scan(table: Table, files: Sequence[Path]) -> pl.LazyFrame:
    """The files as one frame of the table's schema; a column that old files lack is null."""
    if not files:
        return table.empty().lazy()
    return pl.scan_parquet(
        list(files), schema=table.schema, missing_columns="insert", hive_partitioning=False, glob=False
    )
