"""Sum the credits in raw rows by vendor and day; cache the sums of closed hours in small files.

    lake/_sums/credits/YYYY-MM-DD.json     the sums of one day's closed hours, each with its list of source files

A sum is valid only while its hour contains the same files (see `reads`). A late file, a compaction or an erased creator
changes them; then the hour is read again. The files can be deleted at any time. They name vendors, but no creator.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import polars as pl

from tiktok_pipeline.capture.clock import hours_between
from tiktok_pipeline.files import replace_bytes
from tiktok_pipeline.lake.reads import ABSENT
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.providers.vendor import Limits
from tiktok_pipeline.tables import RAW_TABLES, Table

# Increase this when the sum of the same rows changes.
_VERSION = 1

# Files of older days are deleted: windows read the credits of today and, around midnight, of yesterday.
_DAYS_KEPT = timedelta(days=3)


class _Sum(msgspec.Struct, frozen=True):
    """One vendor in one hour of a table: reported credits, and rows that report none."""

    credits: float
    unreported: int


class _Hour(msgspec.Struct, frozen=True):
    """Sums by vendor, and a hash of the source files."""

    files: str
    vendors: dict[str, _Sum]


class _Day(msgspec.Struct):
    """Sums by "table hour"."""

    version: int = _VERSION
    hours: dict[str, _Hour] = {}


def spent(
    lake: Lake, days: Iterable[date], vendors: Mapping[str, Limits], *, cache: bool = True
) -> dict[tuple[str, date], float]:
    """Return credits by vendor and day. A row that reports no cost counts as the price of one request.

    Args:
        lake: the raw rows and the cached sums.
        days: the days to sum.
        vendors: price of a request by vendor; 1 credit for other vendors.
        cache: write the sums of closed hours; without it, no file changes.
    """
    totals: dict[tuple[str, date], float] = {}
    for day in days:
        amounts: dict[str, list[float]] = {}
        for hour in _hours(lake, day, cache=cache):
            for vendor, found in hour.items():
                price = vendors[vendor].credits_per_request if vendor in vendors else 1.0
                amounts.setdefault(vendor, []).extend((found.credits, found.unreported * price))
        totals |= {(vendor, day): math.fsum(parts) for vendor, parts in amounts.items()}
    return totals


def _hours(lake: Lake, day: date, *, cache: bool) -> list[dict[str, _Sum]]:
    """Return the sums of every hour and table of a day; read the hours without a cached sum."""
    path = lake.root / "_sums" / "credits" / f"{day}.json"
    kept = _read(path)
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    now: dict[str, _Hour] = {}
    unkept: list[dict[str, _Sum]] = []
    for table in RAW_TABLES:
        for hour in hours_between(start, start + timedelta(days=1)):
            key, files = f"{table.name} {hour:%H}", lake.hour_signature(table, hour)
            if files == ABSENT:
                continue
            if key in kept.hours and kept.hours[key].files == files:
                now[key] = kept.hours[key]
                continue
            sums = _sums(lake, table, hour)
            damaged = any(lake.hour_folder(table, hour) in path.parents for path in lake.damaged.all())
            # Not cached: hours whose files changed meanwhile, and hours with damaged files. The next window reads them.
            if lake.hour_signature(table, hour) == files and not damaged:
                now[key] = _Hour(files, sums)
            else:
                unkept.append(sums)
    if cache and now != kept.hours:
        _write(path, _Day(hours=now))
    return [*(hour.vendors for hour in now.values()), *unkept]


def _sums(lake: Lake, table: Table, hour: datetime) -> dict[str, _Sum]:
    # Negative, NaN and infinite costs count as missing: older releases wrote them to raw.
    reported = pl.col("credits").is_finite().fill_null(value=False) & (pl.col("credits") >= 0).fill_null(value=False)
    rows = (
        lake.scan_raw(table, [hour])
        .filter(pl.col("vendor").is_not_null())
        .group_by("vendor")
        .agg(pl.col("credits").filter(reported).sum(), unreported=(~reported).sum())
        .collect()
    )
    return {vendor: _Sum(credits, unreported) for vendor, credits, unreported in sorted(rows.iter_rows())}


def _read(path: Path) -> _Day:
    """Read the cached sums; empty if the file is missing, damaged or of another version."""
    try:
        day = msgspec.json.decode(path.read_bytes(), type=_Day)
    except (OSError, msgspec.MsgspecError):
        return _Day()
    return day if day.version == _VERSION else _Day()


def _write(path: Path, day: _Day) -> None:
    """Replace the cached sums. A failed write costs only time: the hours are read again."""
    with contextlib.suppress(OSError):
        replace_bytes(path, msgspec.json.encode(day))
        oldest = date.fromisoformat(path.stem) - _DAYS_KEPT
        for other in path.parent.glob("*.json"):
            if other.stem < f"{oldest}":
                other.unlink(missing_ok=True)
