"""The raw table `raw_live_rankings`."""

from collections.abc import Iterator

import dagster as dg

from tiktok_pipeline.defs.raw.capturing import CaptureConfig, capture
from tiktok_pipeline.defs.shown import describe, shown
from tiktok_pipeline.partitions import HOURLY
from tiktok_pipeline.resources import Pipeline
from tiktok_pipeline.tables import RAW_LIVE_RANKINGS

_ABOUT = """
Asks for TikTok's live rankings of the regions in `[sweeps] ranking_regions`; asks nothing where there are none.

Runs every hour by the schedule `sweep_live_rankings`: an hourly ranking is gone after its hour. It cannot be
backfilled.
"""


@dg.asset(
    partitions_def=HOURLY,
    backfill_policy=dg.BackfillPolicy.single_run(),
    output_required=False,
    description=describe(RAW_LIVE_RANKINGS, _ABOUT),
    **shown(RAW_LIVE_RANKINGS),
)
def raw_live_rankings(
    context: dg.AssetExecutionContext, config: CaptureConfig, pipeline: Pipeline
) -> Iterator[dg.MaterializeResult[None]]:
    """Land one capture window."""
    yield from capture(context, config, pipeline, RAW_LIVE_RANKINGS)
