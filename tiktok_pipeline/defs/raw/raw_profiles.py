"""The raw table `raw_profiles`."""

from tiktok_pipeline.defs.raw.capturing import raw_asset
from tiktok_pipeline.tables import RAW_PROFILES

_ABOUT = """
Asks for everybody's profile once and lands every answer.

Runs every hour by the schedule `sweep_profiles`: follower counts off the air are what the lift of a stream is
measured against. It cannot be backfilled: vendors only know now.
"""

raw_profiles = raw_asset(RAW_PROFILES, _ABOUT)
