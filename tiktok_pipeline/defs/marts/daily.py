"""What the daily marts share: replacing the days of a run, and how that is reported."""

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import dagster as dg
import polars as pl

from tiktok_pipeline.lake import Lake
from tiktok_pipeline.partitions import BY_THE_MONTH, DAILY, days_of_keys
from tiktok_pipeline.tables import LIVE_OBSERVATIONS, Table

DAILY_MART: dict[str, Any] = {
    "partitions_def": DAILY,
    "backfill_policy": BY_THE_MONTH,
}

# How far back the start of a stream may lie that is still on air.
LONGEST_STREAM_DAYS = 60


def days(context: dg.AssetExecutionContext) -> tuple[date, date]:
    """First and last day of the run."""
    keys = days_of_keys(list(context.partition_keys))
    return min(keys), max(keys)


def write_days(
    context: dg.AssetExecutionContext,
    lake: Lake,
    table: Table,
    frame: pl.DataFrame,
    day_of_row: pl.Expr,
    metadata: Callable[[pl.DataFrame], dict[str, Any]] = lambda frame: {},
) -> dg.MaterializeResult[None]:
    """Replace each day of the run with its rows of `frame`; rows of other days are left to their own runs."""
    keys = days_of_keys(list(context.partition_keys))
    by_day = frame.with_columns(_day=day_of_row)
    written = by_day.filter(pl.col("_day").is_in(keys)).drop("_day")
    for day in keys:
        lake.write_day(table, day, by_day.filter(pl.col("_day") == day).drop("_day"))
    rows = "dagster/partition_row_count" if len(keys) == 1 else "dagster/row_count"
    return dg.MaterializeResult(metadata={rows: written.height, "days": len(keys), **metadata(written)})


def write_each_day(
    context: dg.AssetExecutionContext,
    lake: Lake,
    table: Table,
    make: Callable[[date], pl.DataFrame],
    day_of_row: pl.Expr,
    metadata: Callable[[pl.DataFrame], dict[str, Any]],
) -> dg.MaterializeResult[None]:
    """Make and replace each day by itself: what a day says must not depend on which days a run has."""
    made = [make(day).filter(day_of_row == day) for day in days_of_keys(list(context.partition_keys))]
    return write_days(context, lake, table, pl.concat(made), day_of_row, metadata)


def spoken_for_until(lake: Lake, first: date, last: date) -> datetime | None:
    """The newest instant that live readings speak for, failed ones included; None without any."""
    newest = lake.scan_days(LIVE_OBSERVATIONS, first, last).select(pl.col("observed_at").max()).collect().item()
    return newest if isinstance(newest, datetime) else None


def last_day_on_air(streams: pl.DataFrame, day: date) -> date:
    """The last day that the streams of `day` were on air: a stream may go on over nights."""
    until = streams.select(pl.max_horizontal(pl.col("ended_at").max(), pl.col("ended_at_lo").max())).item()
    return max(day, until.date()) if isinstance(until, datetime) else day


def around(first: date, last: date, *, before: int, after: int) -> tuple[date, date]:
    """The days from `before` days before `first` to `after` days after `last`."""
    return first - timedelta(days=before), last + timedelta(days=after)


def numbers(frame: pl.DataFrame, columns: Sequence[str]) -> dict[str, float]:
    """Sums of columns as metadata that the UI plots; nulls are left out."""
    return {column: float(frame[column].sum() or 0) for column in columns}
