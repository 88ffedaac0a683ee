"""The mart `stories`."""

from datetime import date

import dagster as dg
import polars as pl

from tiktok_pipeline.defs.asset_checks import Results
from tiktok_pipeline.defs.asset_metadata import describe, shown
from tiktok_pipeline.defs.marts.daily import DAILY_MART, around, write_each_day
from tiktok_pipeline.partitions import neighbours
from tiktok_pipeline.resources import Pipeline
from tiktok_pipeline.tables import STORIES, STORY_OBSERVATIONS
from tiktok_pipeline.transforms.stories import stories as summarize

_ABOUT = """
A story belongs to the day of its publication and is observed until it expires, a day later. Views at an age are
interpolated between the readings before and after, and null without them. `completeness` is the share of the story's
day up to the last reading.
"""


@dg.asset(
    deps=[neighbours(STORY_OBSERVATIONS.name, before=1, after=1)],
    description=describe(STORIES, _ABOUT),
    **DAILY_MART,
    **shown(STORIES),
)
def stories(context: dg.AssetExecutionContext, pipeline: Pipeline) -> Results:
    """Summarize the stories that were published on each day."""

    def summarize_day(day: date) -> pl.DataFrame:
        # Include the day before: if vendors disagree on the day, the story belongs to the earlier one only.
        window = around(day, day, before=1, after=1)
        return summarize(pipeline.lake.scan_days(STORY_OBSERVATIONS, *window).collect())

    yield from write_each_day(context, pipeline, STORIES, summarize_day, pl.col("published_at").dt.date())
