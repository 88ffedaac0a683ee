"""The mart `stories`."""

import dagster as dg
import polars as pl

from tiktok_pipeline.defs.checked import Results
from tiktok_pipeline.defs.marts.daily import DAILY_MART, around, days, write_days
from tiktok_pipeline.defs.shown import describe, shown
from tiktok_pipeline.partitions import neighbours
from tiktok_pipeline.resources import Pipeline
from tiktok_pipeline.tables import STORIES, STORY_OBSERVATIONS
from tiktok_pipeline.transforms.stories import stories as summarize

_ABOUT = """
A story belongs to the day that it was published on and is watched until it is gone, a day later. Views at an age are
interpolated between two readings around it and null where there are none; `completeness` says how far the last
reading reaches into the story's day.
"""


@dg.asset(
    deps=[neighbours(STORY_OBSERVATIONS.name, after=1)],
    description=describe(STORIES, _ABOUT),
    **DAILY_MART,
    **shown(STORIES),
)
def stories(context: dg.AssetExecutionContext, pipeline: Pipeline) -> Results:
    """Summarize the stories that were published on each day."""
    window = around(*days(context), before=0, after=1)
    frame = summarize(pipeline.lake.scan_days(STORY_OBSERVATIONS, *window).collect())
    yield from write_days(context, pipeline, STORIES, frame, pl.col("published_at").dt.date())
