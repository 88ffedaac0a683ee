"""The raw table `raw_lives`."""

from tiktok_pipeline.defs.raw.capturing import raw_asset
from tiktok_pipeline.tables import RAW_LIVES

_ABOUT = """
Asks who is live and lands every answer. By hand it asks everybody on the roster once and ends; the schedule's
runs watch for the length of a window (`[watch] window_minutes`), and ask the rooms of those who are live as
well.

Runs every ten minutes by the schedule `watch`. Read by the normalized tables. It interprets nothing: an error
is a row, and a body is kept as it came, less secrets. It cannot be backfilled: vendors only know now.
"""

raw_lives = raw_asset(RAW_LIVES, _ABOUT)
