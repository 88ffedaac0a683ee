"""Where files lie, and how they are written and read: Parquet, one file a partition, replaced atomically.

    raw/<table>/date=YYYY-MM-DD/hour=HH/<window>-<flush>.parquet     only ever added to
    normalized/<table>/date=YYYY-MM-DD/<table>.parquet               one file a day
    marts/<table>/date=YYYY-MM-DD/<table>.parquet                    one file a day
    marts/<table>/<table>.parquet                                    whole tables

A file is written in `_staging/` (outside every table, on the same filesystem), synced, and moved over the old
one: readers see the old file or the new one, never a part. Every `*.parquet` under a table is data.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl

from tiktok_pipeline.errors import LakeError
from tiktok_pipeline.tables import Table


@dataclass(frozen=True)
class Lake:
    """The lake in the folder `root`."""

    root: Path

    def folder(self, table: Table) -> Path:
        """The folder of a table: everything that lies below it and ends in .parquet is data."""
        return self.root / table.layer / table.name

    def hour_folder(self, table: Table, hour: datetime) -> Path:
        """The folder of one hour of a raw table."""
        return self.folder(table) / f"date={hour:%Y-%m-%d}" / f"hour={hour:%H}"

    def day_file(self, table: Table, day: date) -> Path:
        """The file of one day of a table."""
        return self.folder(table) / f"date={day:%Y-%m-%d}" / f"{table.name}.parquet"

    def whole_file(self, table: Table) -> Path:
        """The file of a table that is kept whole."""
        return self.folder(table) / f"{table.name}.parquet"

    def write_raw(self, table: Table, hour: datetime, name: str, frame: pl.DataFrame) -> Path:
        """Land `frame` as `<name>.parquet` in its hour."""
        return self._write(self.hour_folder(table, hour) / f"{name}.parquet", table.conform(frame))

    def write_day(self, table: Table, day: date, frame: pl.DataFrame) -> Path:
        """Replace one day of a table; an empty frame empties the day."""
        return self._write(self.day_file(table, day), _ordered(table, frame))

    def write_whole(self, table: Table, frame: pl.DataFrame) -> Path:
        """Replace a table that is kept whole."""
        return self._write(self.whole_file(table), _ordered(table, frame))

    def raw_files(self, table: Table, hours: Iterable[datetime]) -> list[Path]:
        """The files of a raw table in these hours, oldest hour first."""
        return [file for hour in sorted(hours) for file in sorted(self.hour_folder(table, hour).glob("*.parquet"))]

    def raw_window(self, table: Table, hour: datetime, window: str) -> list[Path]:
        """The files that a capture window landed in this hour."""
        return sorted(self.hour_folder(table, hour).glob(f"{window}-*.parquet"))

    def scan_raw(self, table: Table, hours: Iterable[datetime]) -> pl.LazyFrame:
        """Rows of a raw table in these hours, each capture once however often its file was landed."""
        files = self.raw_files(table, hours)
        return _scan(table, files).unique(subset="capture_id", keep="first", maintain_order=True)

    def scan_days(self, table: Table, first: date, last: date) -> pl.LazyFrame:
        """Rows of a daily table from `first` to `last`, both included; days without a file are passed over."""
        days = (first + timedelta(days=n) for n in range((last - first).days + 1))
        return _scan(table, [file for file in (self.day_file(table, day) for day in days) if file.exists()])

    def scan_all(self, table: Table) -> pl.LazyFrame:
        """Every row of a daily or whole table."""
        pattern = f"{table.name}.parquet" if table.files == "whole" else f"date=*/{table.name}.parquet"
        return _scan(table, sorted(self.folder(table).glob(pattern)))

    def scan_all_raw(self, table: Table) -> pl.LazyFrame:
        """Every row of a raw table, as landed."""
        return _scan(table, sorted(self.folder(table).rglob("*.parquet")))

    def rewrite(self, path: Path, frame: pl.DataFrame) -> Path:
        """Replace one file, raw ones too: for erasing a person, and for nothing else."""
        return self._write(path, frame)

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

    def _staged(self) -> Path:
        staging = self.root / "_staging"
        try:
            staging.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LakeError(f"the lake {self.root} cannot be written: {error.strerror}") from None
        return staging / f"{uuid.uuid4().hex}.part"

    def _write(self, path: Path, frame: pl.DataFrame) -> Path:
        staged = self._staged()
        try:
            frame.write_parquet(staged, compression="zstd", compression_level=1)
            with staged.open("rb") as written:
                os.fsync(written.fileno())
            path.parent.mkdir(parents=True, exist_ok=True)
            staged.replace(path)
        except OSError as error:
            staged.unlink(missing_ok=True)
            raise LakeError(f"{path} cannot be written: {error.strerror}") from None
        return path


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
