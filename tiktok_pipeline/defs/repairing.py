"""Request repair runs: runs of `derive` that rebuild damaged files of older days, identified by tags."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import dagster as dg

from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.partitions import FIRST_DAY, day_range_tags
from tiktok_pipeline.upkeep.repair import Repair, repairs

# Tags of a repair run: the fact, and the key of the damage.
REPAIR_TAG, _DAMAGE = "tiktok_pipeline/repair", "tiktok_pipeline/damage"

# Delay before the same damage is repaired again, if a run did not repair it.
_TRIED_AGAIN = timedelta(days=1)


def repairs_before(lake: Lake, day: date) -> list[Repair]:
    """Return the runs that rebuild damaged files of days before `day`."""
    return repairs(lake, earliest=date.fromisoformat(FIRST_DAY), before=day)


def repair_tags(repair: Repair) -> dict[str, str]:
    """Return the tags of the run that rebuilds its files."""
    return {**day_range_tags(repair.first, repair.last), REPAIR_TAG: "true", _DAMAGE: repair.key}


def repaired_lately(instance: dg.DagsterInstance, repair: Repair | None = None) -> bool:
    """Return whether there was a repair run within the last day; with `repair`, one for this damage."""
    tags = {REPAIR_TAG: "true"} if repair is None else {_DAMAGE: repair.key}
    lately = dg.RunsFilter(job_name="derive", tags=tags, created_after=datetime.now(UTC) - _TRIED_AGAIN)
    return bool(instance.get_run_records(lately, limit=1))
