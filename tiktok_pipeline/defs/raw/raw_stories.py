"""The raw table `raw_stories`."""

from tiktok_pipeline.defs.raw.capturing import raw_asset
from tiktok_pipeline.tables import RAW_STORIES

_ABOUT = """
Asks for everybody's stories, page by page, and lands every answer.

Runs every two hours by the schedule `sweep_stories`: a story lives for 24. It cannot be backfilled: what has
expired is gone.
"""

raw_stories = raw_asset(RAW_STORIES, _ABOUT)
