"""The raw table `raw_posts`."""

from tiktok_pipeline.defs.raw.capturing import raw_asset
from tiktok_pipeline.tables import RAW_POSTS

_ABOUT = """
Requests each creator's newest posts, page by page, until all posts of a page are known or the page limit is reached.
Pinned posts come first and out of order, so one known post does not end the walk.

Runs every six hours by the schedule `sweep_posts`. Recaps of streams are detected among these posts. A backfill is not
possible, because vendors return only current counts.
"""

raw_posts = raw_asset(RAW_POSTS, _ABOUT)
