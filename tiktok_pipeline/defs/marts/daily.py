"""What the marts share: checking and replacing what a run made, and how that is reported."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import dagster as dg
import polars as pl

from tiktok_pipeline.checks.verdict import Verdict
from tiktok_pipeline.defs.checked import Checking, Results
from tiktok_pipeline.lake import Lake
from tiktok_pipeline.partitions import BY_THE_MONTH, DAILY, days_of_keys
from tiktok_pipeline.resources import Pipeline
from tiktok_pipeline.tables import LIVE_OBSERVATIONS, RAW_LIVES, Table

DAILY_MART: dict[str, Any] = {
    "partitions_def": DAILY,
    "backfill_policy": BY_THE_MONTH,
}

# An open stream ends, and a story grows, until the day after: the last days are derived with every run.
TRAILING_DAYS = 4

# How far back the start of a stream may lie that is still on air.
LONGEST_STREAM_DAYS = 60

# What the UI shows of a table's rows beside their number: numbers that it plots, a sketch. None is left out.
Numbers = Callable[[pl.DataFrame], Mapping[str, Any]]

# Check -> what it says of the newest of the run's days that has rows.
Warnings = Mapping[str, Callable[[pl.DataFrame], Verdict]]


def days(context: dg.AssetExecutionContext) -> tuple[date, date]:
    """First and last day of the run."""
    keys = days_of_keys(list(context.partition_keys))
    return min(keys), max(keys)


def write_days(
    context: dg.AssetExecutionContext,
    pipeline: Pipeline,
    table: Table,
    frame: pl.DataFrame,
    day_of_row: pl.Expr,
    metadata: Numbers = lambda rows: {},
    warnings: Warnings | None = None,
) -> Results:
    """Replace each day of the run with its rows of `frame`, unless a blocking check says that they are wrong.

    Rows of other days are left to their own runs. `metadata` is asked of each day's rows: the UI plots days.

    Raises:
        dagster.Failure: a day was not replaced.
    """
    keys = days_of_keys(list(context.partition_keys))
    checking = Checking.of(table, pipeline)
    by_day = frame.with_columns(_day=day_of_row)
    for day in keys:
        rows = by_day.filter(pl.col("_day") == day).drop("_day")
        if checking.passes(rows, f"{day}"):
            pipeline.lake.write_day(table, day, rows)
            shown = {"dagster/partition_row_count": rows.height, **_known(metadata(rows))}
            context.add_asset_metadata(shown, table.name, f"{day}")
    written = by_day.filter(pl.col("_day").is_in(keys))
    newest = written.filter(pl.col("_day") == pl.col("_day").max()).drop("_day")
    yield from checking.results({name: judge(newest) for name, judge in (warnings or {}).items()})
    checking.raise_if_blocked()
    yield dg.MaterializeResult()


def write_each_day(
    context: dg.AssetExecutionContext,
    pipeline: Pipeline,
    table: Table,
    make: Callable[[date], pl.DataFrame],
    day_of_row: pl.Expr,
    metadata: Numbers,
    warnings: Warnings | None = None,
) -> Results:
    """Make and replace each day by itself: what a day says must not depend on which days a run has."""
    made = [make(day).filter(day_of_row == day) for day in days_of_keys(list(context.partition_keys))]
    yield from write_days(context, pipeline, table, pl.concat(made), day_of_row, metadata, warnings)


def write_whole(pipeline: Pipeline, table: Table, frame: pl.DataFrame, metadata: Numbers) -> Results:
    """Replace a table that is kept whole, unless a blocking check says that it is wrong.

    Raises:
        dagster.Failure: it was not replaced.
    """
    checking = Checking.of(table, pipeline)
    if checking.passes(frame, "today"):
        pipeline.lake.write_whole(table, frame)
    yield from checking.results({})
    checking.raise_if_blocked()
    yield dg.MaterializeResult(metadata={"dagster/row_count": frame.height, **_known(metadata(frame))})


def before_any_capture(lake: Lake, day: date) -> bool:
    """Whether nothing had been captured yet: such a day is derived for streams that go back to it, and for no other."""
    landed = lake.days(RAW_LIVES)
    return not landed or day < landed[0]


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


def median(column: pl.Series) -> float | None:
    """The median of what is known; None where nothing is."""
    value = column.median()
    return round(float(value), 4) if isinstance(value, int | float) else None


def sketch(drawn: str | None) -> dg.MarkdownMetadataValue | None:
    """A picture in text as metadata."""
    return None if drawn is None else dg.MetadataValue.md(drawn)


def _known(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metadata.items() if value is not None}
