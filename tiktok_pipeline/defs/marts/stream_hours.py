"""The mart `stream_hours`."""

from datetime import date

import dagster as dg
import polars as pl

from tiktok_pipeline.defs.asset_checks import Results
from tiktok_pipeline.defs.asset_metadata import describe, shown
from tiktok_pipeline.defs.marts.daily import DAILY_MART, OVER_MIDNIGHT_DAYS, last_day_on_air, numbers, write_each_day
from tiktok_pipeline.partitions import neighbours
from tiktok_pipeline.resources import Pipeline
from tiktok_pipeline.tables import LIVE_OBSERVATIONS, STREAM_HOURS, STREAM_LIFT, STREAMS
from tiktok_pipeline.transforms.stream_hours import stream_hours as split

_ABOUT = """
The input of `creator_days` and `creator_hours`; sum it for your own heatmaps, in UTC or any other time zone. Viewers
count in the hour of their reading and add up to the stream's. Lift is split by airtime, because the minute at which a
stream gained followers is not known.

The declared dependency covers streams over one midnight: a stream over more nights extends it.
"""


@dg.asset(
    deps=[
        neighbours(STREAMS.name),
        neighbours(STREAM_LIFT.name),
        neighbours(LIVE_OBSERVATIONS.name, after=OVER_MIDNIGHT_DAYS),
    ],
    description=describe(STREAM_HOURS, _ABOUT),
    **DAILY_MART,
    **shown(STREAM_HOURS),
)
def stream_hours(context: dg.AssetExecutionContext, pipeline: Pipeline) -> Results:
    """Split the streams that started on each day over the hours that they overlap."""
    lake, settings = pipeline.lake, pipeline.settings().streams

    def split_day(day: date) -> pl.DataFrame:
        streams, lift = (lake.scan_days(table, day, day).collect() for table in (STREAMS, STREAM_LIFT))
        live = lake.scan_days(LIVE_OBSERVATIONS, day, last_day_on_air(streams, day))
        read = live.filter(pl.col("viewers").is_not_null()).select(
            "capture_id", "creator_id", "observed_at", "live_state", "viewers"
        )
        return split(streams, lift, read.collect(), settings=settings)

    started_on = pl.col("started_at").dt.date()
    yield from write_each_day(
        context,
        pipeline,
        STREAM_HOURS,
        split_day,
        started_on,
        lambda frame: numbers(frame, ("airtime_s", "hours_watched")),
    )
