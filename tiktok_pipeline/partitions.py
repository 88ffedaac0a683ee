"""Define the partitions of the project: hours for raw, days for all later tables.

`HOURLY` and `DAILY` begin at a fixed day, and need no file. A deployment shows partitions from its own beginning on:
see `begin_at`.

`end_offset=1` makes the current hour and the current day valid keys. With hourly files after raw, reading a year would
take thirty times as long; listing a minutely definition would take half a minute.
"""

from __future__ import annotations

import warnings
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.tables import RAW_TABLES, TABLES

FIRST_DAY = "2025-01-01"

HOURLY = dg.HourlyPartitionsDefinition(start_date=f"{FIRST_DAY}-00:00", end_offset=1)
DAILY = dg.DailyPartitionsDefinition(start_date=FIRST_DAY, end_offset=1)

# A backfill of days is split into runs of a month. A run per day would spend most of its time on starting (5 s for 1 s
# of work). One run for years would hold too much in memory, and lose too much if it is killed.
BY_THE_MONTH = dg.BackfillPolicy.multi_run(max_partitions_per_run=31)

# An open stream may end, and a story grow, until the day after: every run derives the last days.
TRAILING_DAYS = 4

_HOUR_FORMAT = "%Y-%m-%d-%H:%M"


def first_day(lake: Lake, today: date, configured: date | None = None) -> date:
    """Return the first day of a deployment: of its first capture, of `configured`, or today, whichever is earliest.

    Retention may have removed the first raw days. Derived days are kept, and reach back further.
    """
    captured = [days[0] for table in RAW_TABLES if (days := lake.days(table))]
    derived = [days[0] for table in TABLES.values() if table.files == "day" and (days := lake.days(table))]
    before = timedelta(days=TRAILING_DAYS - 1)
    # A folder of a wrong date must not give partitions for decades.
    found = [max(day, date.fromisoformat(FIRST_DAY)) for day in (*captured, *(day + before for day in derived))]
    return min([today, *found, *([configured] if configured else [])])


def begin_at(definitions: dg.Definitions, first: date) -> dg.Definitions:
    """Return the definitions with partitions from a deployment's first day on; keys stay the same.

    Hours begin at that day. Days begin some days earlier, because every run of `derive` covers the last days.
    """
    begins = {
        HOURLY: dg.HourlyPartitionsDefinition(start_date=f"{first}-00:00", end_offset=1),
        DAILY: dg.DailyPartitionsDefinition(start_date=f"{first - timedelta(days=TRAILING_DAYS - 1)}", end_offset=1),
    }

    def begun(spec: dg.AssetSpec) -> dg.AssetSpec:
        of = spec.partitions_def
        return spec.replace_attributes(partitions_def=begins[of]) if of in begins else spec

    with warnings.catch_warnings():
        # The release of Dagster is pinned.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return definitions.map_asset_specs(func=begun)


def hour_key(moment: datetime) -> str:
    """Return the key of the hour of `moment`."""
    return moment.replace(minute=0).strftime(_HOUR_FORMAT)


def hour_of_key(key: str) -> datetime:
    """Return the start of the hour with this key, UTC."""
    return datetime.strptime(key, _HOUR_FORMAT).replace(tzinfo=UTC)


def days_of_keys(keys: list[str]) -> list[date]:
    """Return the days with these keys."""
    return [date.fromisoformat(key) for key in keys]


def day_range_tags(first: date, last: date) -> dict[str, str]:
    """Return run tags that make one run materialize all days from `first` to `last`."""
    return {"dagster/asset_partition_range_start": f"{first}", "dagster/asset_partition_range_end": f"{last}"}


def neighbours(asset: str, *, before: int = 0, after: int = 0) -> dg.AssetDep:
    """Depend on the days that a computation reads of a daily or hourly asset; missing days do not block a run.

    Args:
        asset: the name of the asset.
        before: number of days before the day that is made.
        after: number of days after it.
    """
    return dg.AssetDep(
        asset,
        partition_mapping=dg.TimeWindowPartitionMapping(
            start_offset=-before, end_offset=after, allow_nonexistent_upstream_partitions=True
        ),
    )
