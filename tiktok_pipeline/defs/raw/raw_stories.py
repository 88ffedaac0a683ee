"""The raw table `raw_stories`."""

from tiktok_pipeline.defs.raw.capturing import raw_asset
from tiktok_pipeline.tables import RAW_STORIES

_ABOUT = """
Requests each creator's stories, page by page, and stores every response.

Runs every two hours by the schedule `sweep_stories`; a story expires after 24 hours. A backfill is not possible,
because vendors return no expired stories.
"""

raw_stories = raw_asset(RAW_STORIES, _ABOUT)
