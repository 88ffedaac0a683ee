"""The raw table `raw_followers`."""

from collections.abc import Iterator

import dagster as dg

from tiktok_pipeline.defs.raw.capturing import CaptureConfig, capture
from tiktok_pipeline.defs.shown import describe, shown
from tiktok_pipeline.partitions import HOURLY
from tiktok_pipeline.resources import Pipeline
from tiktok_pipeline.tables import RAW_FOLLOWERS

_ABOUT = """
Asks for the newest followers of everybody, page by page. Lists are never complete and may be hidden; the list's total
is exact where profiles are rounded.

Runs every day by the schedule `sweep_followers`. Bodies hold people's ids: below raw they are keyed hashes only. It
cannot be backfilled.
"""


@dg.asset(
    partitions_def=HOURLY,
    backfill_policy=dg.BackfillPolicy.single_run(),
    output_required=False,
    description=describe(RAW_FOLLOWERS, _ABOUT),
    **shown(RAW_FOLLOWERS),
)
def raw_followers(
    context: dg.AssetExecutionContext, config: CaptureConfig, pipeline: Pipeline
) -> Iterator[dg.MaterializeResult[None]]:
    """Land one capture window."""
    yield from capture(context, config, pipeline, RAW_FOLLOWERS)
