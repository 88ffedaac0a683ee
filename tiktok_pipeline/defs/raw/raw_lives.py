"""The raw table `raw_lives`."""

from collections.abc import Iterator

import dagster as dg

from tiktok_pipeline.defs.raw.capturing import CaptureConfig, capture
from tiktok_pipeline.defs.shown import describe, shown
from tiktok_pipeline.partitions import HOURLY
from tiktok_pipeline.resources import Pipeline
from tiktok_pipeline.tables import RAW_LIVES

_ABOUT = """
Asks who is live and lands every answer. By hand it asks everybody on the roster once and ends; the schedule's
runs watch for the length of a window (`[watch] window_minutes`), and ask the rooms of those who are live as
well.

Runs every ten minutes by the schedule `watch`. Read by the normalized tables. It interprets nothing: an error
is a row, and a body is kept as it came, less secrets. It cannot be backfilled: vendors only know now.
"""


@dg.asset(
    partitions_def=HOURLY,
    backfill_policy=dg.BackfillPolicy.single_run(),
    output_required=False,
    description=describe(RAW_LIVES, _ABOUT),
    **shown(RAW_LIVES),
)
def raw_lives(
    context: dg.AssetExecutionContext, config: CaptureConfig, pipeline: Pipeline
) -> Iterator[dg.MaterializeResult[None]]:
    """Land one capture window."""
    yield from capture(context, config, pipeline, RAW_LIVES)
