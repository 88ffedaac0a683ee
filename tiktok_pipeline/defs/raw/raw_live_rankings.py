"""The raw table `raw_live_rankings`."""

from tiktok_pipeline.defs.raw.capturing import raw_asset
from tiktok_pipeline.tables import RAW_LIVE_RANKINGS

_ABOUT = """
Requests TikTok's live rankings of the regions in `[sweeps] ranking_regions` and, with `ranking_of_live`, the rank of
each creator on air. Makes no request if neither is set.

Runs every hour by the schedule `sweep_live_rankings`, because vendors return only the current hour's ranking. A
backfill is not possible.
"""

raw_live_rankings = raw_asset(RAW_LIVE_RANKINGS, _ABOUT)
