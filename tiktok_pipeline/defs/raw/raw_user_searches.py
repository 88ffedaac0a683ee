"""The raw table `raw_user_searches`."""

from tiktok_pipeline.defs.raw.capturing import raw_asset
from tiktok_pipeline.tables import RAW_USER_SEARCHES

_ABOUT = """
Searches for users by the keywords in `[sweeps] keywords`. Makes no request if there are none. Hits are candidates for
the roster; they are not added automatically.

Runs every day by the schedule `sweep_user_searches`. A backfill is not possible.
"""

raw_user_searches = raw_asset(RAW_USER_SEARCHES, _ABOUT)
