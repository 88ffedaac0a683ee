"""The job and the schedule of upkeep."""

from datetime import timedelta

import dagster as dg

from tiktok_pipeline.defs.scheduling import Pace, given_up_after, home_in_use, stale, under_way
from tiktok_pipeline.resources import Pipeline

_CADENCE = timedelta(days=1)

# Compaction of a year's lake for the first time takes hours.
_LONGEST = timedelta(hours=6)

upkeep = dg.define_asset_job(
    "upkeep",
    selection=dg.AssetSelection.groups("upkeep"),
    description="Compacts closed raw hours, deletes expired data and superseded runs, and measures storage.",
    tags=given_up_after(_LONGEST),
)


@dg.definitions
def automation() -> dg.Definitions:
    """Define the job and its schedule."""
    pace = Pace.from_environment()
    schedule = dg.schedule(
        name="upkeep",
        job=upkeep,
        cron_schedule=pace.cron(hours=24, at_minute=55),
        default_status=pace.schedules,
        description="Every day at 00:55: compacts, prunes and measures, unless the last run is still under way.",
    )
    return dg.Definitions(jobs=[upkeep], schedules=[schedule(_tick)])


def _tick(context: dg.ScheduleEvaluationContext, pipeline: Pipeline) -> dg.SkipReason | dg.RunRequest:
    """Return a run, or the reason to skip the tick."""
    if pipeline.replaying:
        return dg.SkipReason("TIKTOK_PIPELINE_CLOCK=replay: after `tiktok-pipeline replay`, run it by hand")
    reason = (
        home_in_use(pipeline.places.home, pipeline.variables)
        or stale(context.scheduled_execution_time, _CADENCE)
        or under_way(context.instance, "upkeep")
    )
    return reason or dg.RunRequest()
