"""Common parts of the upkeep assets."""

from typing import Any

import dagster as dg

from tiktok_pipeline.defs.asset_metadata import OWNER

UPKEEP: dict[str, Any] = {
    "group_name": "upkeep",
    "owners": [OWNER],
    "metadata": {"docs": dg.MetadataValue.path("docs/operations.md#upkeep")},
}
