"""The job and the schedule of upkeep."""

from datetime import timedelta

import dagster as dg

from tiktok_pipeline.defs.guard import STATUS, every, stale_or_overlapping
from tiktok_pipeline.resources import Pipeline

# A year's lake that was never folded takes longer than run monitoring allows a run.
_LONGEST_S = 6 * 3600

upkeep = dg.define_asset_job(
    "upkeep",
    selection=dg.AssetSelection.groups("upkeep"),
    description="Folds closed raw hours, removes what need not be kept, and measures what is there.",
    tags={"dagster/max_runtime": str(_LONGEST_S)},
)


@dg.schedule(
    name="upkeep",
    job=upkeep,
    cron_schedule=every(hours=24, at_minute=55),
    default_status=STATUS,
    description="Every day at 00:55: folds and prunes, unless the last run is still under way.",
)
def upkeep_schedule(context: dg.ScheduleEvaluationContext) -> dg.SkipReason | dg.RunRequest:
    """See the description."""
    if Pipeline().replaying:
        return dg.SkipReason("TIKTOK_PIPELINE_CLOCK=replay: after `tiktok-pipeline replay`, run it by hand")
    return stale_or_overlapping(context, "upkeep", timedelta(days=1)) or dg.RunRequest()
