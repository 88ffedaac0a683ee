"""The only partitions in the project: hours for raw, days for everything after it.

`end_offset=1` makes the hour and the day that are going on valid keys. Hourly files after raw would make a year
thirty times slower to read; a minutely definition would take half a minute just to list.
"""

from datetime import UTC, date, datetime

import dagster as dg

FIRST_DAY = "2025-01-01"

HOURLY = dg.HourlyPartitionsDefinition(start_date=f"{FIRST_DAY}-00:00", end_offset=1)
DAILY = dg.DailyPartitionsDefinition(start_date=FIRST_DAY, end_offset=1)

# A backfill of days is cut into runs of a month: a run a day would spend most of its time on starting (5 s for 1 s of
# work), and one run for years holds too much in memory and loses too much when it is killed.
BY_THE_MONTH = dg.BackfillPolicy.multi_run(max_partitions_per_run=31)

_HOUR_FORMAT = "%Y-%m-%d-%H:%M"


def hour_key(moment: datetime) -> str:
    """The key of the hour that `moment` is in."""
    return moment.replace(minute=0).strftime(_HOUR_FORMAT)


def hour_of_key(key: str) -> datetime:
    """The start of the hour with this key, UTC."""
    return datetime.strptime(key, _HOUR_FORMAT).replace(tzinfo=UTC)


def days_of_keys(keys: list[str]) -> list[date]:
    """The days with these keys."""
    return [date.fromisoformat(key) for key in keys]


def day_range_tags(first: date, last: date) -> dict[str, str]:
    """Run tags that make one run materialize all days from `first` to `last`."""
    return {"dagster/asset_partition_range_start": f"{first}", "dagster/asset_partition_range_end": f"{last}"}


def neighbours(asset: str, *, before: int = 0, after: int = 0) -> dg.AssetDep:
    """A dependency on the days that a computation reads of a daily or hourly asset; missing days are no obstacle.

    Args:
        asset: the name of the asset.
        before: days before the day that is made.
        after: days after it.
    """
    return dg.AssetDep(
        asset,
        partition_mapping=dg.TimeWindowPartitionMapping(
            start_offset=-before, end_offset=after, allow_nonexistent_upstream_partitions=True
        ),
    )
