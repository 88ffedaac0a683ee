"""The mart `creator_days`."""

from datetime import date

import dagster as dg
import polars as pl

from tiktok_pipeline.defs.asset_checks import Results
from tiktok_pipeline.defs.asset_metadata import describe, shown
from tiktok_pipeline.defs.marts.daily import (
    DAILY_MART,
    LONGEST_STREAM_DAYS,
    around,
    before_any_capture,
    write_each_day,
)
from tiktok_pipeline.partitions import neighbours
from tiktok_pipeline.resources import Pipeline
from tiktok_pipeline.tables import (
    COVERAGE,
    CREATOR_DAYS,
    CREATORS,
    PROFILE_OBSERVATIONS,
    STREAM_HOURS,
    STREAM_LIFT,
    STREAMS,
)
from tiktok_pipeline.transforms.creator_days import STREAK_DAYS
from tiktok_pipeline.transforms.creator_days import creator_days as summarize
from tiktok_pipeline.transforms.creator_ranges import range_filters

_ABOUT = """
Each creator has a row for every day since the first observation, also for days without a stream. If no reading of the
day had a known state, `active_day` is null, not false. Streams, lift and streaks count on the day of the start, as on
the boards; airtime and viewers count on the day on air. Streaks look 366 days back. A day without observations ends a
streak, so streaks are lower bounds.
"""

_PROFILE = ("creator_id", "vendor", "observed_at", "capture_id", "source")
_COUNT = ("followers", "followers_precision", "followers_unit")


@dg.asset(
    deps=[
        neighbours(STREAMS.name, before=STREAK_DAYS),
        neighbours(STREAM_HOURS.name, before=LONGEST_STREAM_DAYS),
        neighbours(STREAM_LIFT.name),
        neighbours(COVERAGE.name),
        neighbours(PROFILE_OBSERVATIONS.name, before=1),
        CREATORS.name,
    ],
    description=describe(CREATOR_DAYS, _ABOUT),
    **DAILY_MART,
    **shown(CREATOR_DAYS),
)
def creator_days(context: dg.AssetExecutionContext, pipeline: Pipeline) -> Results:
    """Summarize each creator's day."""
    lake = pipeline.lake
    creators = lake.scan_all(CREATORS).select(
        "creator_id",
        "on_roster",
        "first_seen_at",
        # Only the day matters here: the time changes with every poll.
        last_seen_at=pl.col("last_seen_at").dt.truncate("1d"),
    )
    known = creators.collect()

    def summarize_day(day: date) -> pl.DataFrame:
        streams = lake.scan_days(STREAMS, *around(day, day, before=STREAK_DAYS, after=0))
        starts = streams.select("creator_id", "started_at").collect()
        hours = lake.scan_days(STREAM_HOURS, *around(day, day, before=LONGEST_STREAM_DAYS, after=0))
        hours_on_air = hours.filter(pl.col("hour").dt.date() == day).collect()
        profiles = lake.scan_days(PROFILE_OBSERVATIONS, *around(day, day, before=1, after=0))
        profiles = profiles.select(*_PROFILE, *_COUNT)
        lift, coverage = (lake.scan_days(table, day, day).collect() for table in (STREAM_LIFT, COVERAGE))
        listed = known.clear() if before_any_capture(lake, day) else known
        everyone = pl.concat([frame.select("creator_id").lazy() for frame in (listed, starts, hours_on_air, profiles)])
        # Creators do not depend on each other: one range at a time bounds the memory.
        return pl.concat(
            summarize(
                day,
                streams=starts.filter(part),
                hours=hours_on_air.filter(part),
                lift=lift.filter(part),
                coverage=coverage.filter(part),
                profiles=profiles.filter(part).collect(),
                creators=listed.filter(part),
            )
            for part in range_filters(everyone)
        )

    yield from write_each_day(context, pipeline, CREATOR_DAYS, summarize_day, pl.col("day"), _numbers, made_from=known)


def _numbers(frame: pl.DataFrame) -> dict[str, float | int]:
    return {
        "active": int(frame["active_day"].sum() or 0),
        "not_known": int(frame["active_day"].is_null().sum()),
        "airtime_hours": round(float(frame["airtime_s"].sum() or 0) / 3600, 2),
    }
