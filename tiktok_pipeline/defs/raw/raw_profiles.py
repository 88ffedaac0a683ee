"""The raw table `raw_profiles`."""

from collections.abc import Iterator

import dagster as dg

from tiktok_pipeline.defs.raw.capturing import CaptureConfig, capture
from tiktok_pipeline.defs.shown import describe, shown
from tiktok_pipeline.partitions import HOURLY
from tiktok_pipeline.resources import Pipeline
from tiktok_pipeline.tables import RAW_PROFILES

_ABOUT = """
Asks for everybody's profile once and lands every answer.

Runs every hour by the schedule `sweep_profiles`: follower counts off the air are what the lift of a stream is
measured against. It cannot be backfilled: vendors only know now.
"""


@dg.asset(
    partitions_def=HOURLY,
    backfill_policy=dg.BackfillPolicy.single_run(),
    output_required=False,
    description=describe(RAW_PROFILES, _ABOUT),
    **shown(RAW_PROFILES),
)
def raw_profiles(
    context: dg.AssetExecutionContext, config: CaptureConfig, pipeline: Pipeline
) -> Iterator[dg.MaterializeResult[None]]:
    """Land one capture window."""
    yield from capture(context, config, pipeline, RAW_PROFILES)
