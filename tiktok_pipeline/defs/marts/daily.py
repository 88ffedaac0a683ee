"""Common parts of the marts: checking and replacing the derived rows, and reporting them."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import dagster as dg
import polars as pl

from tiktok_pipeline.checks.check_result import CheckResult
from tiktok_pipeline.defs.asset_checks import Checking, Results, warn_of_damage
from tiktok_pipeline.defs.skipping import Skipping, metadata_of
from tiktok_pipeline.lake.blocked_days import WHOLE
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.partitions import BY_THE_MONTH, DAILY, days_of_keys
from tiktok_pipeline.resources import Pipeline
from tiktok_pipeline.tables import LIVE_OBSERVATIONS, RAW_LIVES, Table

DAILY_MART: dict[str, Any] = {
    "partitions_def": DAILY,
    "backfill_policy": BY_THE_MONTH,
}

# How far back the start of a stream on air may lie.
LONGEST_STREAM_DAYS = 60

# Declared dependencies cover streams that go on over one midnight; longer ones read the days up to their end.
OVER_MIDNIGHT_DAYS = 1

# Metadata of a table's rows beside their number: numbers to plot, a sketch. None is left out.
Numbers = Callable[[pl.DataFrame], Mapping[str, Any]]

# Metadata key that the UI shows as a partition's rows.
_ROWS = "dagster/partition_row_count"

# Check -> its function on the newest day of the run that has rows.
Warnings = Mapping[str, Callable[[pl.DataFrame], CheckResult]]


def days(context: dg.AssetExecutionContext) -> tuple[date, date]:
    """Return the first and last day of the run."""
    keys = days_of_keys(list(context.partition_keys))
    return min(keys), max(keys)


def write_each_day(
    context: dg.AssetExecutionContext,
    pipeline: Pipeline,
    table: Table,
    make: Callable[[date], pl.DataFrame],
    day_of_row: pl.Expr,
    metadata: Numbers = lambda rows: {},
    warnings: Warnings | None = None,
    made_from: pl.DataFrame | None = None,
) -> Results:
    """Make and replace each day separately: the rows of a day must not depend on the other days of the run.

    A day that is up to date is skipped: `make` must read files through the lake, so that they are recorded, or through
    `reads.Once`. `made_from` is a frame that was read before: its values count, not its file. A day whose `make` fails,
    or that the check `contract` rejects, keeps its last good file; the other days are replaced. `metadata` is called
    with each day's rows: the UI plots days.
    """
    checking, skipping = Checking.of(table, pipeline), Skipping.of(context, pipeline, table.name, [table], made_from)
    newest: tuple[date, pl.DataFrame | None] | None = None
    for day in days_of_keys(list(context.partition_keys)):
        record = skipping.up_to_date(day)
        if record is not None:
            context.add_asset_metadata(metadata_of(record, table), table.name, f"{day}")
            checking.unchanged()
            if newest is None or record.numbers[table.name][_ROWS]:
                newest = day, None
            continue
        with skipping.making(day) as made:
            rows = checking.made(lambda day=day: make(day).filter(day_of_row == day), f"{day}")  # type: ignore[misc]
            if rows is None:
                context.add_asset_metadata(checking.metadata(f"{day}"), table.name, f"{day}")
                continue
            pipeline.lake.write_day(table, day, rows)
            numbers = {_ROWS: rows.height, **_known(metadata(rows))}
            context.add_asset_metadata(numbers, table.name, f"{day}")
            made.add(table, numbers)
        if newest is None or rows.height:
            newest = day, rows
    warn_of_damage(context, pipeline.lake)
    # Warnings are about the newest day that has rows.
    newest_rows = _rows_of(pipeline.lake, table, newest) if warnings else table.empty()
    yield from checking.results({name: judge(newest_rows) for name, judge in (warnings or {}).items()})
    yield dg.MaterializeResult()


def _rows_of(lake: Lake, table: Table, of: tuple[date, pl.DataFrame | None] | None) -> pl.DataFrame:
    """Return the rows of a day: those of this run, or those in its file."""
    if of is None:
        return table.empty()
    day, rows = of
    return lake.scan_days(table, day, day).collect() if rows is None else rows


def write_whole(pipeline: Pipeline, table: Table, make: Callable[[], pl.DataFrame], metadata: Numbers) -> Results:
    """Make and replace a table in one file; if the check `contract` rejects it, it keeps its last good file."""
    checking = Checking.of(table, pipeline)
    frame = checking.made(make, WHOLE)
    if frame is not None:
        pipeline.lake.write_whole(table, frame)
    yield from checking.results({})
    if frame is None:
        yield dg.MaterializeResult(metadata=checking.metadata(WHOLE))
    else:
        yield dg.MaterializeResult(metadata={"dagster/row_count": frame.height, **_known(metadata(frame))})


def before_any_capture(lake: Lake, day: date) -> bool:
    """Return whether nothing was captured yet: such a day is derived only for streams that go back to it."""
    captured = lake.days(RAW_LIVES)
    return not captured or day < captured[0]


def spoken_for_until(lake: Lake, first: date, last: date) -> datetime | None:
    """Return the newest instant of a live reading, failed ones included; None without any."""
    newest = lake.scan_days(LIVE_OBSERVATIONS, first, last).select(pl.col("observed_at").max()).collect().item()
    return newest if isinstance(newest, datetime) else None


def last_day_on_air(streams: pl.DataFrame, day: date) -> date:
    """Return the last day that the streams of `day` were on air: a stream may last several nights."""
    until = streams.select(pl.max_horizontal(pl.col("ended_at").max(), pl.col("ended_at_lo").max())).item()
    return max(day, until.date()) if isinstance(until, datetime) else day


def around(first: date, last: date, *, before: int, after: int) -> tuple[date, date]:
    """Return the days from `before` days before `first` to `after` days after `last`."""
    return first - timedelta(days=before), last + timedelta(days=after)


def numbers(frame: pl.DataFrame, columns: Sequence[str]) -> dict[str, float]:
    """Return sums of columns as metadata that the UI plots; nulls are left out."""
    return {column: float(frame[column].sum() or 0) for column in columns}


def median(column: pl.Series) -> float | None:
    """Return the median of the known values; None if there are none."""
    value = column.median()
    return round(float(value), 4) if isinstance(value, int | float) else None


def sketch(drawn: str | None) -> dg.MarkdownMetadataValue | None:
    """Return a picture in text as metadata."""
    return None if drawn is None else dg.MetadataValue.md(drawn)


def _known(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metadata.items() if value is not None}
