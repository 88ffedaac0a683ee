"""The raw table `raw_posts`."""

from collections.abc import Iterator

import dagster as dg

from tiktok_pipeline.defs.raw.capturing import CaptureConfig, capture
from tiktok_pipeline.defs.shown import describe, shown
from tiktok_pipeline.partitions import HOURLY
from tiktok_pipeline.resources import Pipeline
from tiktok_pipeline.tables import RAW_POSTS

_ABOUT = """
Asks for everybody's newest posts, page by page, until a page holds one that is known or the page limit is reached.
Pinned posts come first and out of order: they end no walk.

Runs every six hours by the schedule `sweep_posts`. Recaps of streams are found among them. It cannot be backfilled:
counts of a past hour are gone.
"""


@dg.asset(
    partitions_def=HOURLY,
    backfill_policy=dg.BackfillPolicy.single_run(),
    output_required=False,
    description=describe(RAW_POSTS, _ABOUT),
    **shown(RAW_POSTS),
)
def raw_posts(
    context: dg.AssetExecutionContext, config: CaptureConfig, pipeline: Pipeline
) -> Iterator[dg.MaterializeResult[None]]:
    """Land one capture window."""
    yield from capture(context, config, pipeline, RAW_POSTS)
