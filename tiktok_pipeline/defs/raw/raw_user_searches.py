"""The raw table `raw_user_searches`."""

from collections.abc import Iterator

import dagster as dg

from tiktok_pipeline.defs.raw.capturing import CaptureConfig, capture
from tiktok_pipeline.defs.shown import describe, shown
from tiktok_pipeline.partitions import HOURLY
from tiktok_pipeline.resources import Pipeline
from tiktok_pipeline.tables import RAW_USER_SEARCHES

_ABOUT = """
Searches for users by the keywords in `[sweeps] keywords`; asks nothing where there are none. Hits are candidates for
a roster, and nobody is added by itself.

Runs every day by the schedule `sweep_user_searches`. It cannot be backfilled.
"""


@dg.asset(
    partitions_def=HOURLY,
    backfill_policy=dg.BackfillPolicy.single_run(),
    output_required=False,
    description=describe(RAW_USER_SEARCHES, _ABOUT),
    **shown(RAW_USER_SEARCHES),
)
def raw_user_searches(
    context: dg.AssetExecutionContext, config: CaptureConfig, pipeline: Pipeline
) -> Iterator[dg.MaterializeResult[None]]:
    """Land one capture window."""
    yield from capture(context, config, pipeline, RAW_USER_SEARCHES)
