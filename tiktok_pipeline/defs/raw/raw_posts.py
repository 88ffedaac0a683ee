"""The raw table `raw_posts`."""

from tiktok_pipeline.defs.raw.capturing import raw_asset
from tiktok_pipeline.tables import RAW_POSTS

_ABOUT = """
Asks for everybody's newest posts, page by page, until a page holds one that is known or the page limit is reached.
Pinned posts come first and out of order: they end no walk.

Runs every six hours by the schedule `sweep_posts`. Recaps of streams are found among them. It cannot be backfilled:
counts of a past hour are gone.
"""

raw_posts = raw_asset(RAW_POSTS, _ABOUT)
