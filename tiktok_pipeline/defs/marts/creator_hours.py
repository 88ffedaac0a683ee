"""The mart `creator_hours`."""

from typing import Any

import dagster as dg
import polars as pl

from tiktok_pipeline.defs.asset_checks import Results
from tiktok_pipeline.defs.asset_metadata import describe, shown
from tiktok_pipeline.defs.marts import sketches
from tiktok_pipeline.defs.marts.daily import sketch, write_whole
from tiktok_pipeline.resources import Pipeline
from tiktok_pipeline.tables import CREATOR_HOURS, STREAM_HOURS
from tiktok_pipeline.transforms.creator_hours import creator_hours as summarize

_ABOUT = """
The heatmap of weekday and hour, over all days, in UTC. For other spans and time zones, sum `stream_hours`, the input
of this table.

To compare hours, use `typical_viewers` and `typical_lift_per_hour`: estimates with an interval, which do not take one
good stream for a good hour.
"""


@dg.asset(
    deps=[dg.AssetDep(STREAM_HOURS.name, partition_mapping=dg.AllPartitionMapping())],
    description=describe(CREATOR_HOURS, _ABOUT),
    **shown(CREATOR_HOURS),
)
def creator_hours(pipeline: Pipeline) -> Results:
    """Replace the table with the sums of all hours."""
    hours = pipeline.lake.scan_all(STREAM_HOURS)
    yield from write_whole(pipeline, CREATOR_HOURS, lambda: summarize(hours), _numbers)


def _numbers(frame: pl.DataFrame) -> dict[str, Any]:
    return {
        "airtime_hours": round(float(frame["airtime_s"].sum()) / 3600, 2),
        "week": sketch(sketches.week(frame)),
    }
