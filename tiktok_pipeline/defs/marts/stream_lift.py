"""The mart `stream_lift`."""

from datetime import date, datetime, timedelta
from typing import Any

import dagster as dg
import polars as pl

from tiktok_pipeline.config.settings import Lift
from tiktok_pipeline.defs.asset_checks import Results
from tiktok_pipeline.defs.asset_metadata import describe, shown
from tiktok_pipeline.defs.marts import sketches
from tiktok_pipeline.defs.marts.daily import DAILY_MART, OVER_MIDNIGHT_DAYS, sketch, spoken_for_until, write_each_day
from tiktok_pipeline.derive.counted_days import CountedDays
from tiktok_pipeline.lake.remembered import Remembered
from tiktok_pipeline.partitions import neighbours
from tiktok_pipeline.resources import Pipeline
from tiktok_pipeline.tables import LIVE_OBSERVATIONS, POST_OBSERVATIONS, PROFILE_OBSERVATIONS, STREAM_LIFT, STREAMS
from tiktok_pipeline.transforms.lift import RememberedEstimates
from tiktok_pipeline.transforms.lift import lifts as estimate

_ABOUT = """
The naive difference of two follower counts, minus the creator's organic growth at that time of day, with an interval
from placebo windows without a stream. `observable` is false if counts are too coarse. `is_final` is true once the day
after the stream is known. Lift is the gain within a window, not proof of a cause.

The declared dependency is the default `[lift] lookback_days`, and streams over one midnight: the setting, and a stream
over more nights, extend it.
"""

# The carry-over, and the day of the baseline after it, lie within the two days that follow an end.
_AFTER_DAYS = 2
# A room is opened at most this long before the stream that it belongs to.
_ROOM_DAYS = 2
# Estimates are stored for the days that every run derives, and some more; a prior is small.
_ESTIMATED_DAYS, _PRIORS = 8, 64


@dg.asset(
    deps=[
        neighbours(table.name, before=Lift().lookback_days, after=_AFTER_DAYS + OVER_MIDNIGHT_DAYS)
        for table in (STREAMS, PROFILE_OBSERVATIONS, LIVE_OBSERVATIONS, POST_OBSERVATIONS)
    ],
    description=describe(STREAM_LIFT, _ABOUT),
    **DAILY_MART,
    **shown(STREAM_LIFT),
)
def stream_lift(context: dg.AssetExecutionContext, pipeline: Pipeline) -> Results:
    """Estimate the lift of the streams that started on each day."""
    lake, settings = pipeline.lake, pipeline.settings().lift
    # Shared by the days of the run: each file is read once. Rows do not depend on it.
    counted = CountedDays(lake)
    memory = RememberedEstimates(
        Remembered(lake, "lift-estimates", _ESTIMATED_DAYS), Remembered(lake, "lift-priors", _PRIORS)
    )

    def estimate_day(day: date) -> pl.DataFrame:
        ends = lake.scan_days(STREAMS, day, day).select(pl.col("ended_at").max()).collect().item()
        last = max(day, ends.date()) if isinstance(ends, datetime) else day
        window = day - timedelta(days=settings.lookback_days), last + timedelta(days=_AFTER_DAYS)
        as_of = spoken_for_until(lake, *window)
        if as_of is None:
            return STREAM_LIFT.empty()
        return estimate(
            lake.scan_days(STREAMS, *window).collect(),
            counted.history(*window),
            lake.scan_days(LIVE_OBSERVATIONS, day - timedelta(days=_ROOM_DAYS), window[1]),
            lake.scan_days(POST_OBSERVATIONS, *window),
            settings=settings,
            as_of=as_of,
            day=day,
            memory=memory,
        )

    yield from write_each_day(context, pipeline, STREAM_LIFT, estimate_day, pl.col("started_at").dt.date(), _numbers)


def _numbers(frame: pl.DataFrame) -> dict[str, Any]:
    return {
        "observable": int(frame["observable"].sum()),
        "final": int(frame["is_final"].sum()),
        "significant": int(frame["is_significant"].sum() or 0),
        "total_lift": round(float(frame["lift"].sum() or 0), 1),
        "lifts": sketch(sketches.lifts(frame)),
    }
