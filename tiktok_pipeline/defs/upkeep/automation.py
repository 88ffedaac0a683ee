"""The job and the schedule of upkeep."""

from datetime import timedelta

import dagster as dg

from tiktok_pipeline.defs.scheduling import STATUS, every, given_up_after, stale, under_way
from tiktok_pipeline.resources import Pipeline

_CADENCE = timedelta(days=1)

# A year's lake that was never folded takes hours.
_LONGEST = timedelta(hours=6)

upkeep = dg.define_asset_job(
    "upkeep",
    selection=dg.AssetSelection.groups("upkeep"),
    description="Compacts closed raw hours, deletes expired data and superseded runs, and measures storage.",
    tags=given_up_after(_LONGEST),
)


@dg.schedule(
    name="upkeep",
    job=upkeep,
    cron_schedule=every(hours=24, at_minute=55),
    default_status=STATUS,
    description="Every day at 00:55: compacts, prunes and measures, unless the last run is still under way.",
)
def upkeep_schedule(context: dg.ScheduleEvaluationContext) -> dg.SkipReason | dg.RunRequest:
    """See the description."""
    if Pipeline().replaying:
        return dg.SkipReason("TIKTOK_PIPELINE_CLOCK=replay: after `tiktok-pipeline replay`, run it by hand")
    reason = stale(context.scheduled_execution_time, _CADENCE) or under_way(context.instance, "upkeep")
    return reason or dg.RunRequest()
