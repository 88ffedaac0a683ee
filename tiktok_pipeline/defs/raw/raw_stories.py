"""The raw table `raw_stories`."""

from collections.abc import Iterator

import dagster as dg

from tiktok_pipeline.defs.raw.capturing import CaptureConfig, capture
from tiktok_pipeline.defs.shown import describe, shown
from tiktok_pipeline.partitions import HOURLY
from tiktok_pipeline.resources import Pipeline
from tiktok_pipeline.tables import RAW_STORIES

_ABOUT = """
Asks for everybody's stories, page by page, and lands every answer.

Runs every two hours by the schedule `sweep_stories`: a story lives for 24. It cannot be backfilled: what has
expired is gone.
"""


@dg.asset(
    partitions_def=HOURLY,
    backfill_policy=dg.BackfillPolicy.single_run(),
    output_required=False,
    description=describe(RAW_STORIES, _ABOUT),
    **shown(RAW_STORIES),
)
def raw_stories(
    context: dg.AssetExecutionContext, config: CaptureConfig, pipeline: Pipeline
) -> Iterator[dg.MaterializeResult[None]]:
    """Land one capture window."""
    yield from capture(context, config, pipeline, RAW_STORIES)
