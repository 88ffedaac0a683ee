"""Remove raw days beyond their retention, and leftovers of killed processes.

A removed day stays in the normalized tables and the marts, and cannot be rebuilt: `retired` prevents that an empty
result replaces it.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl

from tiktok_pipeline.errors import LakeError
from tiktok_pipeline.lake import parquet
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.tables import RAW_TABLES, TABLES, VENDOR_USAGE, Table

_FROM_RAW = (*(table for table in TABLES.values() if table.layer == "normalized"), VENDOR_USAGE)

# No write takes this long: older files in staging are leftovers of a killed process.
_ABANDONED = timedelta(days=1)


@dataclass
class Retirement:
    """What was removed: raw days with their files and bytes, and leftovers of killed processes."""

    days: list[date] = field(default_factory=list)
    files: int = 0
    bytes: int = 0
    abandoned: int = 0


def retire(lake: Lake, *, today: date, raw_days: int | None) -> Retirement:
    """Remove raw days older than `raw_days` before `today`, each from all tables at once; None keeps all.

    Raises:
        LakeError: a folder could not be removed; earlier folders are removed.
    """
    done = Retirement()
    try:
        with lake.exclusive():
            _tidy(lake, done)
            if raw_days is not None:
                first_kept = today - timedelta(days=raw_days)
                for day in sorted({day for table in RAW_TABLES for day in lake.days(table) if day < first_kept}):
                    _remove(lake, RAW_TABLES, day, done)
    except OSError as error:
        raise LakeError(f"{error.filename} cannot be removed: {error.strerror}") from None
    return done


def retired(lake: Lake, day: date) -> bool:
    """Return whether the raw rows of a day were removed while derived rows are still there.

    A day without polls has no raw rows either, but no derived rows. If every derived file of the day is damaged, the
    day counts as removed: those files may be the only copy.
    """
    if any(lake.day_folder(table, day).exists() for table in RAW_TABLES):
        return False
    made = [table for table in _FROM_RAW if lake.day_file(table, day).exists()]
    if any(lake.scan_days(table, day, day).select(pl.len()).collect().item() for table in made):
        return True
    return bool(made) and all(parquet.problem(table, lake.day_file(table, day)) for table in made)


def _remove(lake: Lake, tables: Sequence[Table], day: date, done: Retirement) -> None:
    """Move the day out of every table before anything is deleted, so that a day is never half removed."""
    taken = []
    for table in tables:
        folder = lake.day_folder(table, day)
        if folder.exists():
            taken.append(folder.replace(lake.staging() / f"retired-{table.name}-{day:%Y-%m-%d}"))
    for folder in taken:
        sizes = [file.lstat().st_size for file in folder.rglob("*.parquet") if not file.is_dir()]
        done.files += len(sizes)
        done.bytes += sum(sizes)
        _delete(folder)
    done.days.append(day)


def _tidy(lake: Lake, done: Retirement) -> None:
    """Remove leftovers of killed processes in staging. Only the lock is older than a write takes."""
    oldest = datetime.now().timestamp() - _ABANDONED.total_seconds()  # noqa: DTZ005 - compared with files' own times
    for path in lake.staging().iterdir():
        if path.name.startswith("retired-"):
            _delete(path)
        elif path.name != ".lock" and path.lstat().st_mtime < oldest:
            _delete(path)
            done.abandoned += 1


def _delete(path: Path) -> None:
    """Delete a folder with its content, a file, or a link but not its target."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
