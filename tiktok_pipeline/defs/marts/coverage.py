"""The mart `coverage`."""

from datetime import date
from functools import partial

import dagster as dg
import polars as pl

from tiktok_pipeline.checks import health
from tiktok_pipeline.defs.asset_checks import Results
from tiktok_pipeline.defs.asset_metadata import describe, shown
from tiktok_pipeline.defs.marts.daily import DAILY_MART, before_any_capture, median, write_each_day
from tiktok_pipeline.partitions import neighbours
from tiktok_pipeline.resources import Pipeline
from tiktok_pipeline.tables import COVERAGE, LIVE_OBSERVATIONS
from tiktok_pipeline.transforms.coverage import coverage as measure
from tiktok_pipeline.transforms.creator_ranges import range_filters

_ABOUT = """
How often each creator was polled, and the longest time without a known state. A creator on the roster without any poll
has a row with 0 polls. Check this table before you conclude that a creator did not stream.
"""


@dg.asset(
    deps=[neighbours(LIVE_OBSERVATIONS.name)],
    description=describe(COVERAGE, _ABOUT),
    **DAILY_MART,
    **shown(COVERAGE),
)
def coverage(context: dg.AssetExecutionContext, pipeline: Pipeline) -> Results:
    """Measure how densely each creator was polled on each day."""
    listed = pl.Series("creator_id", [c.creator_id for c in pipeline.roster().creators], dtype=pl.String)

    def measure_day(day: date) -> pl.DataFrame:
        if before_any_capture(pipeline.lake, day):
            return COVERAGE.empty()
        reported_days = pl.DataFrame({"day": [day]}, schema={"day": pl.Date})
        live = pipeline.lake.scan_days(LIVE_OBSERVATIONS, day, day)
        # One range of creators at a time bounds the memory. Creators without a poll come last.
        polled = [measure(live.filter(part), listed.clear(), reported_days) for part in range_filters(live)]
        seen = pl.concat([part["creator_id"] for part in polled])
        never = measure(LIVE_OBSERVATIONS.empty(), listed.filter(~listed.is_in(seen.implode())), reported_days)
        return pl.concat([*polled, never])

    complete = partial(health.completeness, settings=pipeline.settings().checks)
    yield from write_each_day(
        context, pipeline, COVERAGE, measure_day, pl.col("day"), _numbers, {"completeness": complete}
    )


def _numbers(frame: pl.DataFrame) -> dict[str, float | int | None]:
    return {
        "polls": int(frame["polls"].sum()),
        "never_asked": frame.filter(pl.col("polls") == 0).height,
        "largest_gap_minutes": median(frame["largest_gap_s"].top_k(1) / 60),
        "median_gap_minutes": median(frame["median_gap_s"] / 60),
        "median_unknown_share": median(frame["unknown_share"]),
    }
