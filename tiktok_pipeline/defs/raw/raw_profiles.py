"""The raw table `raw_profiles`."""

from tiktok_pipeline.defs.raw.capturing import raw_asset
from tiktok_pipeline.tables import RAW_PROFILES

_ABOUT = """
Requests each creator's profile once and stores every response.

Runs every hour by the schedule `sweep_profiles`. Follower counts between streams are the baseline of lift. A backfill
is not possible, because vendors return only the current state.
"""

raw_profiles = raw_asset(RAW_PROFILES, _ABOUT)
