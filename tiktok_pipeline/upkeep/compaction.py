"""Compact the raw files of a closed hour into one file, sorted by creator and time.

Windows write a file a minute, in the order of the responses. Responses of one creator are similar, so rows sorted by
creator are several times smaller, and one file is read many times faster than sixty. Every row stays: the compacted
rows are compared with the source rows before any file is removed.

Compaction skips and reports a damaged file, and a file that would lose data: a column that this release does not know,
nanoseconds, rows without a capture_id. The other files of the hour are compacted. A release that knows the column
compacts the skipped file.
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

# After its hour, a window or its retry may still write files. Later files are compacted in the next run.
_SETTLE = timedelta(hours=2)


@dataclass
class Compaction:
    """The result. Bytes and files are those of the changed hours; problems list the skipped files."""

    hours: int = 0
    rows: int = 0
    files_before: int = 0
    files_after: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    problems: list[str] = field(default_factory=list)


def compact(lake: Lake, tables: Iterable[Table], *, now: datetime, window: timedelta) -> Compaction:
    """Compact every hour of raw `tables` that is closed at `now`; `window` is the length of a capture window.

    A file that cannot be read, and an hour that cannot be written, is skipped and reported; the others are still
    compacted.
    """
    done = Compaction()
    closed = now - _HOUR - max(_SETTLE, 2 * window)
    for table in tables:
        for hour in lake.raw_hours(table):
            if hour > closed:
                break
            try:
                with lake.exclusive():
                    _compact_hour(lake, table, hour, done)
            except LakeError as error:
                done.problems.append(str(error))
    return done


def _compact_hour(lake: Lake, table: Table, hour: datetime, done: Compaction) -> None:
    listed = lake.hour_files(table, hour)
    if len(listed) < 2:
        return
    parts: dict[Path, pl.DataFrame] = {}
    for file in listed:
        try:
            parts[file] = _read(table, file)
        except DamagedFileError as error:
            done.problems.append(f"{error}: it was skipped")
    files = [file for file, rows in parts.items() if file.name.startswith(COMPACTED) or _is_final(rows)]
    if len(files) < 2:
        return
    # A compaction that was killed may leave the same rows in two files: deduplicate only those.
    rows = pl.concat([parts[file] for file in files])
    compacted = rows.unique(subset="capture_id").sort("creator_id", "requested_at", "capture_id", nulls_last=True)
    if _content(compacted) != _content(rows if compacted.height == rows.height else rows.unique()):
        where = lake.hour_folder(table, hour)
        raise LakeError(f"{where} was skipped: different responses have the same capture_id")
    before = sum(file.stat().st_size for file in files)
    path = lake.compact(table, hour, files, compacted)
    done.hours += 1
    done.rows += compacted.height
    done.files_before += len(files)
    done.files_after += 1
    done.bytes_before += before
    done.bytes_after += path.stat().st_size


def _read(table: Table, file: Path) -> pl.DataFrame:
    """Read every row of a raw file.

    Raises:
        DamagedFileError: the file cannot be read, or has data that rows of `table` cannot hold.
    """
    try:
        landed_names(file)
        found = parquet.open_file(table, file)
    except FileNotFoundError:
        raise DamagedFileError(file, "it was removed since it was listed") from None
    rows = parquet.conform(table, found, file)
    reason = parquet.lost(table, found)
    if reason is None and rows["capture_id"].null_count():
        reason = "rows without a capture_id"
    if reason is not None:
        raise DamagedFileError(file, f"as rows of this release it would lose {reason}")
    return rows


def _is_final(rows: pl.DataFrame) -> bool:
    """Return whether a raw file is final. On the replay clock a window without any response is polled again and
    replaces its file; compacted, it could not be replaced."""
    return rows.is_empty() or rows["http_status"].null_count() < rows.height


def _content(rows: pl.DataFrame) -> tuple[int, int]:
    """Return number and content of rows, independent of their order."""
    return rows.height, int(rows.hash_rows().sum() or 0)
