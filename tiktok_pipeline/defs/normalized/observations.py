"""The normalized tables, made together: each raw body is decoded once and gives rows of all of them."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import polars as pl

from tiktok_pipeline.capture.clock import hours_between
from tiktok_pipeline.capture.memory import RAW_TABLES
from tiktok_pipeline.defs.shown import describe, shown
from tiktok_pipeline.lake import Lake
from tiktok_pipeline.partitions import BY_THE_MONTH, DAILY, days_of_keys
from tiktok_pipeline.resources import Pipeline, plain_failures
from tiktok_pipeline.tables import LIVE_OBSERVATIONS
from tiktok_pipeline.transforms.observations import NORMALIZED, profile_answers, read_bodies, settle_absences
from tiktok_pipeline.upkeep.retention import retired

_ABOUT = """
Made from the raw rows of a day by reading every body once, with the job `derive`. A day is the day of the request:
an answer from a cache may speak of some seconds before it. Derived from raw alone, so any day can be rebuilt.
"""


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            table.name,
            deps=[
                dg.AssetDep(
                    raw.name,
                    partition_mapping=dg.TimeWindowPartitionMapping(allow_nonexistent_upstream_partitions=True),
                )
                for raw in RAW_TABLES
            ],
            description=describe(table, _ABOUT),
            partitions_def=DAILY,
            skippable=True,
            **shown(table),
        )
        for table in NORMALIZED
    ],
    can_subset=True,
    backfill_policy=BY_THE_MONTH,
)
def observations(context: dg.AssetExecutionContext, pipeline: Pipeline) -> Iterator[dg.MaterializeResult[None]]:
    """Read the raw rows of each day and replace the day's files."""
    lake, hash_key = pipeline.lake, pipeline.hash_key()
    rows: dict[str, int] = dict.fromkeys((table.name for table in NORMALIZED), 0)
    days = days_of_keys(list(context.partition_keys))
    for day in days:
        # A day is read with the one before it: with either gone, what stands is better than what could be made.
        if retired(lake, day) or retired(lake, day - timedelta(days=1)):
            context.log.warning("%s stays as it is: its raw rows, or those of the day before, were removed", day)
            continue
        with plain_failures():
            frames = _read_day(lake, day, hash_key)
        for table in NORMALIZED:
            if dg.AssetKey(table.name) in context.selected_asset_keys:
                lake.write_day(table, day, frames[table.name])
                rows[table.name] += frames[table.name].height
    one_day = len(days) == 1
    for table in NORMALIZED:
        if dg.AssetKey(table.name) in context.selected_asset_keys:
            yield dg.MaterializeResult(
                asset_key=table.name,
                metadata={
                    "dagster/partition_row_count" if one_day else "dagster/row_count": rows[table.name],
                    "days": len(days),
                },
            )


def _read_day(lake: Lake, day: date, hash_key: bytes) -> dict[str, pl.DataFrame]:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    hours = hours_between(start, start + timedelta(days=1))
    read = [read_bodies(lake.scan_raw(table, hours).collect(), table.name, hash_key=hash_key) for table in RAW_TABLES]
    frames = {table.name: pl.concat([frames[table.name] for frames in read]) for table in NORMALIZED}
    # The day before as well: a profile vouches for a creator over midnight.
    around = hours_between(start - timedelta(days=1), start + timedelta(days=1))
    answers = profile_answers(lake.scan_raw(table, around) for table in RAW_TABLES)
    frames[LIVE_OBSERVATIONS.name] = settle_absences(frames[LIVE_OBSERVATIONS.name], answers)
    return frames
