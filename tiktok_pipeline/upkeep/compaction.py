"""Folding the raw files of a closed hour into one, sorted by creator and time.

Windows land a file a minute, in the order of the answers. The same creator asked again says nearly the same, so rows
sorted by creator are several times smaller, and one file is read many times faster than sixty. Every row stays:
the fold is compared with what it was made from before anything is removed.

A damaged file, and one that a fold would take something from, is left alone and named: a column that this release does
not know, nanoseconds, rows without a capture_id. The other files of the hour are folded. When a release that knows the
column is installed, its compaction takes the file.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from tiktok_pipeline.errors import DamagedFileError, LakeError
from tiktok_pipeline.lake import parquet
from tiktok_pipeline.lake.store import COMPACTED, Lake, landed_names
from tiktok_pipeline.tables import Table

_HOUR = timedelta(hours=1)

# After its hour a window may still be landing, or a retry of it. Later files are folded in the next time.
_SETTLE = timedelta(hours=2)


@dataclass
class Compaction:
    """What was folded. Bytes and files are those of the hours that were touched; problems name what was left."""

    hours: int = 0
    rows: int = 0
    files_before: int = 0
    files_after: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    problems: list[str] = field(default_factory=list)


def compact(lake: Lake, tables: Iterable[Table], *, now: datetime, window: timedelta) -> Compaction:
    """Fold every hour of raw `tables` that is closed at `now`; `window` is the length of a capture window.

    A file that cannot be read, and an hour that cannot be written, is left as it is and named; the others are folded
    all the same.
    """
    done = Compaction()
    closed = now - _HOUR - max(_SETTLE, 2 * window)
    for table in tables:
        for hour in lake.raw_hours(table):
            if hour > closed:
                break
            try:
                with lake.exclusive():
                    _fold(lake, table, hour, done)
            except LakeError as error:
                done.problems.append(str(error))
    return done


def _fold(lake: Lake, table: Table, hour: datetime, done: Compaction) -> None:
    listed = lake.hour_files(table, hour)
    if len(listed) < 2:
        return
    parts: dict[Path, pl.DataFrame] = {}
    for file in listed:
        try:
            parts[file] = _read(table, file)
        except DamagedFileError as error:
            done.problems.append(f"{error}: it was left as it is")
    files = [file for file, rows in parts.items() if file.name.startswith(COMPACTED) or _answered(rows)]
    if len(files) < 2:
        return
    # A fold that was killed half-way left the same rows in two files: those, and no others, are one.
    rows = pl.concat([parts[file] for file in files])
    folded = rows.unique(subset="capture_id").sort("creator_id", "requested_at", "capture_id", nulls_last=True)
    if _content(folded) != _content(rows if folded.height == rows.height else rows.unique()):
        where = lake.hour_folder(table, hour)
        raise LakeError(f"{where} was left as it is: different answers carry the same capture_id")
    before = sum(file.stat().st_size for file in files)
    path = lake.compact(table, hour, files, folded)
    done.hours += 1
    done.rows += folded.height
    done.files_before += len(files)
    done.files_after += 1
    done.bytes_before += before
    done.bytes_after += path.stat().st_size


def _read(table: Table, file: Path) -> pl.DataFrame:
    """Every row of a raw file.

    Raises:
        DamagedFileError: the file cannot be read, or rows of `table` cannot hold all of it.
    """
    try:
        landed_names(file)
        found = parquet.open_file(table, file)
    except FileNotFoundError:
        raise DamagedFileError(file, "it has gone since it was listed") from None
    rows = parquet.conform(table, found, file)
    reason = parquet.lost(table, found)
    if reason is None and rows["capture_id"].null_count():
        reason = "rows without a capture_id"
    if reason is not None:
        raise DamagedFileError(file, f"as rows of this release it would lose {reason}")
    return rows


def _answered(rows: pl.DataFrame) -> bool:
    """Whether a landed file is final. On the replay clock a window that no vendor answered is asked again, and
    replaces its file: folded, it could not be replaced."""
    return rows.is_empty() or rows["http_status"].null_count() < rows.height


def _content(rows: pl.DataFrame) -> tuple[int, int]:
    """Number and content of rows, in whatever order."""
    return rows.height, int(rows.hash_rows().sum() or 0)
