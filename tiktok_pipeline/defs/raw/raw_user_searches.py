"""The raw table `raw_user_searches`."""

from tiktok_pipeline.defs.raw.capturing import raw_asset
from tiktok_pipeline.tables import RAW_USER_SEARCHES

_ABOUT = """
Searches for users by the keywords in `[sweeps] keywords`; asks nothing where there are none. Hits are candidates for
a roster, and nobody is added by itself.

Runs every day by the schedule `sweep_user_searches`. It cannot be backfilled.
"""

raw_user_searches = raw_asset(RAW_USER_SEARCHES, _ABOUT)
