"""Removing raw days that the operator does not want to keep, and what killed processes left behind.

A removed day stays in the normalized tables and the marts, and cannot be made again: `retired` tells those who would
otherwise replace it with nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import polars as pl

from tiktok_pipeline.errors import LakeError
from tiktok_pipeline.lake import Lake
from tiktok_pipeline.tables import TABLES, Table

_RAW = tuple(table for table in TABLES.values() if table.layer == "raw")
_FROM_RAW = tuple(table for table in TABLES.values() if table.layer == "normalized")

# No write takes this long: what is older lies in staging because its process was killed.
_ABANDONED = timedelta(days=1)


@dataclass
class Retirement:
    """What was removed: raw days with their files and bytes, and files that killed processes had left."""

    days: list[date] = field(default_factory=list)
    files: int = 0
    bytes: int = 0
    abandoned: int = 0


def retire(lake: Lake, *, today: date, raw_days: int | None) -> Retirement:
    """Remove raw days older than `raw_days` before `today`, each from all tables at once; None keeps all.

    Raises:
        LakeError: a folder could not be removed; what went before it is gone.
    """
    done = Retirement()
    try:
        with lake.exclusive():
            if raw_days is not None:
                first_kept = today - timedelta(days=raw_days)
                for day in sorted({day for table in _RAW for day in lake.days(table) if day < first_kept}):
                    _remove(lake, _RAW, day, done)
            _tidy(lake, done)
    except OSError as error:
        raise LakeError(f"{error.filename} cannot be removed: {error.strerror}") from None
    return done


def retired(lake: Lake, day: date) -> bool:
    """Whether the raw rows of a day are gone while what was read from them is still there.

    A day that nobody polled has no raw rows either, but nothing was read from it.
    """
    if any(lake.day_folder(table, day).exists() for table in _RAW):
        return False
    return any(lake.scan_days(table, day, day).select(pl.len()).collect().item() for table in _FROM_RAW)


def _remove(lake: Lake, tables: Sequence[Table], day: date, done: Retirement) -> None:
    """Take the day out of every table before anything is deleted: a day is there or it is not."""
    taken = []
    for table in tables:
        folder = lake.day_folder(table, day)
        if folder.exists():
            taken.append(folder.replace(lake.staging() / f"retired-{table.name}-{day:%Y-%m-%d}"))
    for folder in taken:
        sizes = [file.stat().st_size for file in folder.rglob("*.parquet")]
        done.files += len(sizes)
        done.bytes += sum(sizes)
        shutil.rmtree(folder)
    done.days.append(day)


def _tidy(lake: Lake, done: Retirement) -> None:
    oldest = datetime.now().timestamp() - _ABANDONED.total_seconds()  # noqa: DTZ005 - compared with files' own times
    for path in lake.staging().iterdir():
        if path.name.startswith("retired-"):
            shutil.rmtree(path)
        elif path.suffix == ".part" and path.stat().st_mtime < oldest:
            path.unlink()
            done.abandoned += 1
