"""The raw table `raw_lives`."""

from tiktok_pipeline.defs.raw.capturing import raw_asset
from tiktok_pipeline.tables import RAW_LIVES

_ABOUT = """
Polls the live state of creators and stores every response. A run by hand polls each creator on the roster once. A run
of the schedule polls in rounds for one window (`[watch] window_minutes`). It also requests the rooms of creators on
air.

Runs by the schedule `watch`, one window after the other. Read by the normalized tables. Responses are not interpreted
here: an error is a row, and bodies are stored unchanged except for redacted secrets. A backfill is not possible,
because vendors return only the current state.
"""

raw_lives = raw_asset(RAW_LIVES, _ABOUT)
