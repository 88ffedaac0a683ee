"""The mart `streams`."""

from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from tiktok_pipeline.config.settings import Streams
from tiktok_pipeline.defs.asset_checks import Results
from tiktok_pipeline.defs.asset_metadata import describe, shown
from tiktok_pipeline.defs.marts import sketches
from tiktok_pipeline.defs.marts.daily import DAILY_MART, around, median, sketch, spoken_for_until, write_each_day
from tiktok_pipeline.partitions import neighbours
from tiktok_pipeline.resources import Pipeline
from tiktok_pipeline.tables import LIVE_OBSERVATIONS, STREAMS
from tiktok_pipeline.transforms.creator_ranges import range_filters
from tiktok_pipeline.transforms.streams import streams as rebuild

_ABOUT = """
Rebuilt from the readings of the day and its neighbours, so that a stream over midnight is one stream. Every run of
`derive` rebuilds the last days, because open streams end later. An older day is rebuilt as long as one of its streams
is open. Read by lift, boards and BI tools. Times are estimates with bounds: see `started_at_lo`, `started_at_hi` and
`flags`. Streams without any reading are missing.

The declared dependency is the default `[streams] lookback_days`: the setting, and a longer stream, extend it.
"""

_DAY = pl.col("started_at").dt.date()
_LOOKBACK_DAYS = Streams().lookback_days


@dg.asset(
    deps=[neighbours(LIVE_OBSERVATIONS.name, before=_LOOKBACK_DAYS, after=_LOOKBACK_DAYS)],
    description=describe(STREAMS, _ABOUT),
    **DAILY_MART,
    **shown(STREAMS),
)
def streams(context: dg.AssetExecutionContext, pipeline: Pipeline) -> Results:
    """Rebuild the streams that started on each day."""
    lake, settings = pipeline.lake, pipeline.settings().streams

    def rebuild_day(day: date) -> pl.DataFrame:
        newest = max(lake.days(LIVE_OBSERVATIONS), default=None)
        rebuilt, still, after = STREAMS.empty(), pl.lit(value=True), settings.lookback_days
        while True:
            window = around(day, day, before=settings.lookback_days, after=after)
            as_of = spoken_for_until(lake, *window)
            if as_of is None or newest is None:
                return STREAMS.empty()
            readings = lake.scan_days(LIVE_OBSERVATIONS, *window).filter(still)
            # Creators do not depend on each other: one range at a time bounds the memory.
            found = pl.concat(
                rebuild(readings.filter(part), settings=settings, as_of=as_of).filter(day == _DAY)
                for part in range_filters(readings)
            )
            going_on = pl.col("creator_id").is_in(found.filter(pl.col("ended_at").is_null())["creator_id"].implode())
            if window[1] >= newest or found.filter(going_on).is_empty():
                return rebuilt.vstack(found)
            # Streams that outlast the neighbouring days are rebuilt with more of the following days.
            rebuilt = rebuilt.vstack(found.filter(~going_on))
            still, after = going_on, 2 * after

    yield from write_each_day(context, pipeline, STREAMS, rebuild_day, _DAY, _numbers)


def _numbers(frame: pl.DataFrame) -> dict[str, Any]:
    return {
        "live_now": frame.filter(pl.col("status") == "live").height,
        "airtime_hours": round(float(frame["airtime_s"].sum()) / 3600, 2),
        "hours_watched": round(float(frame["hours_watched"].sum()), 1),
        "peak_viewers": frame["peak_viewers"].max(),
        "median_detection_delay_s": median(frame["detection_delay_s"]),
        "median_coverage": median(frame["coverage_ratio"]),
        "on_air": sketch(sketches.on_air(frame)),
    }
