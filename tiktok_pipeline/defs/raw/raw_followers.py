"""The raw table `raw_followers`."""

from tiktok_pipeline.defs.raw.capturing import raw_asset
from tiktok_pipeline.tables import RAW_FOLLOWERS

_ABOUT = """
Requests each creator's newest followers, page by page. Lists are never complete and may be hidden. The total of a list
is exact, also from vendors that round it in profiles.

Runs every day by the schedule `sweep_followers`. Bodies contain follower ids; tables below raw contain only keyed
hashes of them. A backfill is not possible.
"""

raw_followers = raw_asset(RAW_FOLLOWERS, _ABOUT)
