"""Find damaged derived files, and the order in which their days are rebuilt.

Only raw is a source: a damaged file of a normalized table or of a mart is rebuilt from the layer below it. Days that
every `derive` rebuilds need no repair of their own. An older day does: `repairs` finds it and returns the days and
tables of one run.

Damage is detected in a file's footer, or by a read of a damaged page (`Lake.wanted_rebuilds`). A file that is missing
from its day's folder counts as damaged: every derived day has a file of every table. A normalized day whose raw rows
were removed cannot be rebuilt, and is skipped.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from tiktok_pipeline.lake import parquet
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.tables import STREAM_HOURS, STREAM_LIFT, STREAMS, TABLES, VENDOR_USAGE, Table
from tiktok_pipeline.upkeep.retention import retired

# One run rebuilds at most a month, as a backfill does.
_MOST_DAYS = 31

# Runs of one scan: the others follow with the next scans, so that a lake full of damage does not fill the run queue.
_MOST_RUNS = 4

_DERIVED = tuple(table for table in TABLES.values() if table.layer in ("normalized", "marts") and table.files == "day")

_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Repair:
    """The days from `first` to `last`, to be rebuilt in one run, with the `tables` that are damaged in them.

    `key` identifies the damage: the same files, damaged in the same way, have the same key.
    """

    first: date
    last: date
    tables: tuple[str, ...]
    key: str


# Path -> size, time of change and inode of a file with a good footer. A file that did not change since is not opened
# again: a scan of years of files takes a stat of each.
_Stat = tuple[int, int, int]
_good: dict[Path, _Stat] = {}


def damaged(lake: Lake) -> dict[Table, dict[date, str]]:
    """Return the damaged days of every daily derived table, with the reason."""
    found: dict[Table, dict[date, str]] = defaultdict(dict)
    requested = set(lake.wanted_rebuilds())
    for table in _DERIVED:
        for day in lake.days(table):
            path = lake.day_file(table, day)
            if path in requested:
                found[table][day] = "a read could not use it"
                continue
            stat = _stat(path)
            if stat is not None and _good.get(path) == stat:
                continue
            reason = parquet.problem(table, path)
            if reason is not None:
                found[table][day] = reason
            elif stat is not None:
                _good[path] = stat
    return found


def repairs(lake: Lake, *, earliest: date, before: date) -> list[Repair]:
    """Return the runs that rebuild damaged days from `earliest` up to, not including, `before`: at most a few.

    Tables that are sources of others come first. The others follow at the next scan, when their sources are whole.
    """
    found = {
        table: days
        for table, every in damaged(lake).items()
        if (days := [day for day in every if earliest <= day < before and _can_be_made(lake, table, day)])
    }
    if not found:
        return []
    turn = min(_turn(table) for table in found)
    tables: dict[date, set[str]] = defaultdict(set)
    for table, days in found.items():
        if _turn(table) == turn:
            for day in days:
                tables[day].add(table.name)
    return [_repair(lake, span, tables) for span in _spans(tables)][:_MOST_RUNS]


def _turn(table: Table) -> int:
    """Return when a table is repaired: sources of other tables go first."""
    if table.layer == "normalized":
        return 0
    return {STREAMS: 1, STREAM_LIFT: 2, STREAM_HOURS: 2}.get(table, 3)


def _can_be_made(lake: Lake, table: Table, day: date) -> bool:
    from_raw = table.layer == "normalized" or table is VENDOR_USAGE
    return not (from_raw and (retired(lake, day) or retired(lake, day - _ONE_DAY)))


def _spans(days: Iterable[date]) -> list[list[date]]:
    """Return consecutive days, at most a month of them, oldest first."""
    spans: list[list[date]] = []
    for day in sorted(days):
        if spans and spans[-1][-1] == day - _ONE_DAY and len(spans[-1]) < _MOST_DAYS:
            spans[-1].append(day)
        else:
            spans.append([day])
    return spans


def _repair(lake: Lake, span: list[date], tables: Mapping[date, set[str]]) -> Repair:
    names = sorted({name for day in span for name in tables[day]})
    files = [lake.day_file(TABLES[name], day) for day in span for name in sorted(tables[day])]
    listed = "\n".join(f"{file.relative_to(lake.root)} {_stat(file)}" for file in files)
    return Repair(span[0], span[-1], tuple(names), hashlib.blake2b(listed.encode(), digest_size=8).hexdigest())


def _stat(path: Path) -> _Stat | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino
