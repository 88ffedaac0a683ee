"""`tiktok-pipeline upgrade --check`: what this version rebuilds, and the CPU time that it takes. It changes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import version

from tiktok_pipeline.capture.clock import real_clock, replaying
from tiktok_pipeline.capture.newest import newest_capture
from tiktok_pipeline.config import roster
from tiktok_pipeline.config.settings import Places, load_settings
from tiktok_pipeline.defs.marts.automation import first_unsettled_day
from tiktok_pipeline.derive.decoded import DecodedHours
from tiktok_pipeline.derive.up_to_date import FOLDER, package_version, records
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.publish.duckdb_file import LINK, is_of_this_version
from tiktok_pipeline.tables import RAW_LIVES, RAW_TABLES, TABLES, Table

# Decoding is measured on the newest hours of each raw table.
_SAMPLE_HOURS = 3

# CPU time of all tables after decoding, as a multiple of the time for decoding: for days whose derivation was not
# measured yet. A demo of 14 creators and 7 days took 4 times as long.
_DERIVING = 4.0


def check_upgrade(places: Places) -> Iterator[str]:
    """Yield what the next `derive` rebuilds, a line each, with its estimated CPU time.

    Raises:
        PipelineError: the settings or the roster cannot be used by this version; the message names the line.
    """
    load_settings(places.settings)
    yield f"package    {version('tiktok-pipeline')}, code {package_version()[:8]}"
    for what, path in (("settings", places.settings), ("roster", places.roster)):
        yield f"{what:<10} {path}: {'valid, not changed' if path.exists() else 'no file'}"
    if places.roster.exists():
        for problem in roster.read_roster(places.roster).problems:
            yield f"{'roster':<10} bad line: {problem}"
    # Reads only: without the list of erased creators, whose key would be made here.
    lake = Lake(places.lake)
    captured = lake.days(RAW_LIVES)
    if not captured:
        yield "lake       no raw rows yet: nothing to rebuild"
        return
    newest = newest_capture(lake)
    now = newest if replaying() and newest is not None else real_clock().now()
    first = first_unsettled_day(lake, now.date())
    yield from _days(lake, first, now.date())
    built = is_of_this_version(places.warehouse)
    link = places.warehouse / LINK
    size = f" ({link.stat().st_size / 1e6:.0f} MB now)" if link.is_file() else ""
    yield f"warehouse  {'refreshed' if built else 'built from nothing'} by the next publish{size}; served until then"
    yield "vendors    no request; no raw row changes"


def _days(lake: Lake, first: date, last: date) -> Iterator[str]:
    """Yield the days that the next `derive` rebuilds, and those that stay as an earlier version made them."""
    made = {folder.name: records(lake, folder.name) for folder in sorted((lake.root / FOLDER).glob("*"))}
    other: dict[date, set[str]] = {}
    cost: dict[date, float] = {}
    for asset, days in made.items():
        for day, record in days.items():
            cost[day] = cost.get(day, 0.0) + record.cpu_s
            if record.code != package_version():
                other.setdefault(day, set()).add(asset)
    derived = {day for table in TABLES.values() if table.layer == "marts" and table.files == "day"
               for day in lake.days(table)}  # fmt: skip
    stale = {day: other.get(day, set(made)) for day in sorted(derived | set(other)) if day in other or not made}
    due = [day for day in stale if first <= day <= last]
    older = [day for day in stale if day < first]
    decoding = _Decoding(lake)
    if due:
        cpu = sum(max(cost.get(day, 0.0), decoding.seconds(day) * _DERIVING) for day in due)
        cpu += sum(map(decoding.seconds, due))
        yield f"derive     rebuilds {_span(due)}, within an hour: about {_amount(cpu)} of CPU time"
    else:
        yield "derive     nothing to rebuild: the last days were made by this code"
    if older:
        cpu = sum(max(cost.get(day, 0.0), decoding.seconds(day) * _DERIVING) + decoding.seconds(day) for day in older)
        yield f"older      not rebuilt: {_span(older)}; a backfill of them takes about {_amount(cpu)} of CPU time"


class _Decoding:
    """CPU time to decode the raw rows of a day, measured on some hours, in memory."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._seconds_a_byte = self._measured()

    def seconds(self, day: date) -> float:
        """Return the estimated time for a day."""
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        hours = [start + timedelta(hours=hour) for hour in range(24)]
        return sum(_size(self._lake, table, hour) for table in RAW_TABLES for hour in hours) * self._seconds_a_byte

    def _measured(self) -> float:
        decoded = DecodedHours(self._lake, b"estimate", 1, "", "", keep=False)
        hours = [(table, hour) for table in RAW_TABLES for hour in sorted(self._lake.raw_hours(table))[-_SAMPLE_HOURS:]]
        begun = time.process_time()
        for table, hour in hours:
            decoded.read(table, [hour])
        sizes = sum(_size(self._lake, table, hour) for table, hour in hours)
        return (time.process_time() - begun) / sizes if sizes else 0.0


def _size(lake: Lake, table: Table, hour: datetime) -> int:
    return sum(file.stat().st_size for file in lake.hour_files(table, hour))


def _span(days: list[date]) -> str:
    if len(days) == 1:
        return f"1 day ({days[0]})"
    return f"{len(days):,} days ({days[0]} to {days[-1]})"


def _amount(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
