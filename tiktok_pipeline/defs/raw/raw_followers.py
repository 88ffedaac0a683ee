"""The raw table `raw_followers`."""

from tiktok_pipeline.defs.raw.capturing import raw_asset
from tiktok_pipeline.tables import RAW_FOLLOWERS

_ABOUT = """
Asks for the newest followers of everybody, page by page. Lists are never complete and may be hidden; the list's total
is exact where profiles are rounded.

Runs every day by the schedule `sweep_followers`. Bodies hold people's ids: below raw they are keyed hashes only. It
cannot be backfilled.
"""

raw_followers = raw_asset(RAW_FOLLOWERS, _ABOUT)
