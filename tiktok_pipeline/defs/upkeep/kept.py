"""What the assets of upkeep share."""

from typing import Any

from tiktok_pipeline.defs.shown import OWNER

UPKEEP: dict[str, Any] = {"group_name": "upkeep", "owners": [OWNER]}
