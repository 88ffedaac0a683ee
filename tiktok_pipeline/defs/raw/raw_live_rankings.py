"""The raw table `raw_live_rankings`."""

from tiktok_pipeline.defs.raw.capturing import raw_asset
from tiktok_pipeline.tables import RAW_LIVE_RANKINGS

_ABOUT = """
Asks for TikTok's live rankings of the regions in `[sweeps] ranking_regions` and, with `ranking_of_live`, for the places
of who is on air; asks nothing where neither is set.

Runs every hour by the schedule `sweep_live_rankings`: an hourly ranking is gone after its hour. It cannot be
backfilled.
"""

raw_live_rankings = raw_asset(RAW_LIVE_RANKINGS, _ABOUT)
