"""Jobs and schedules that capture: watch, profiles, stories."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg

from tiktok_pipeline.capture.sweep import PROFILE_SWEEP_HOURS, STORY_SWEEP_HOURS
from tiktok_pipeline.defs.guard import STATUS, every, stale_or_overlapping
from tiktok_pipeline.partitions import HOURLY, hour_key
from tiktok_pipeline.resources import Pipeline
from tiktok_pipeline.tables import RAW_LIVES, RAW_PROFILES, RAW_STORIES

watch = dg.define_asset_job(
    "watch",
    selection=[RAW_LIVES.name],
    partitions_def=HOURLY,
    description="One watch window: who on the roster is live, asked again and again for the length of a window.",
    config={"ops": {RAW_LIVES.name: {"config": {"mode": "watch"}}}},
    tags={"tiktok/poll": "watch"},
)
sweep_profiles = dg.define_asset_job(
    "sweep_profiles",
    selection=[RAW_PROFILES.name],
    partitions_def=HOURLY,
    description="One profile sweep: everybody on the roster is asked once.",
    tags={"tiktok/poll": "profiles"},
)
sweep_stories = dg.define_asset_job(
    "sweep_stories",
    selection=[RAW_STORIES.name],
    partitions_def=HOURLY,
    description="One story sweep: everybody's stories, page by page.",
    tags={"tiktok/poll": "stories"},
)

replay = dg.define_asset_job(
    "replay",
    selection=[RAW_LIVES.name, RAW_PROFILES.name, RAW_STORIES.name],
    partitions_def=HOURLY,
    description="All that is captured, over any span of hours, on the replay clock: `tiktok-pipeline replay` runs it.",
)

_ASSETS = {
    watch.name: RAW_LIVES.name,
    sweep_profiles.name: RAW_PROFILES.name,
    sweep_stories.name: RAW_STORIES.name,
}


def _captures(context: dg.ScheduleEvaluationContext, job: str, cadence: timedelta) -> dg.SkipReason | dg.RunRequest:
    """A run for the hour that it is now, unless the guard says no."""
    pipeline = Pipeline()
    if pipeline.replaying:
        return dg.SkipReason("TIKTOK_PIPELINE_CLOCK=replay: capture with `tiktok-pipeline replay`")
    reason = stale_or_overlapping(context, job, cadence)
    if reason is not None:
        return reason
    now = pipeline.clock().now()
    config = {"window_start": now.isoformat(timespec="seconds")}
    if job == watch.name:
        config["mode"] = "watch"
    return dg.RunRequest(partition_key=hour_key(now), run_config={"ops": {_ASSETS[job]: {"config": config}}})


@dg.schedule(
    name="watch",
    job=watch,
    cron_schedule=every(minutes=10),
    default_status=STATUS,
    description="Every ten minutes: starts a watch window, unless the last one is still running.",
)
def watch_schedule(context: dg.ScheduleEvaluationContext) -> dg.SkipReason | dg.RunRequest:
    """See the description."""
    return _captures(context, "watch", timedelta(minutes=10))


@dg.schedule(
    name="sweep_profiles",
    job=sweep_profiles,
    cron_schedule=every(hours=PROFILE_SWEEP_HOURS, at_minute=5),
    default_status=STATUS,
    description="Every hour at :05: asks for everybody's profile, unless the last sweep is still running.",
)
def profiles_schedule(context: dg.ScheduleEvaluationContext) -> dg.SkipReason | dg.RunRequest:
    """See the description."""
    return _captures(context, "sweep_profiles", timedelta(hours=PROFILE_SWEEP_HOURS))


@dg.schedule(
    name="sweep_stories",
    job=sweep_stories,
    cron_schedule=every(hours=STORY_SWEEP_HOURS, at_minute=15),
    default_status=STATUS,
    description="Every two hours at :15: asks for everybody's stories, unless the last sweep is still running.",
)
def stories_schedule(context: dg.ScheduleEvaluationContext) -> dg.SkipReason | dg.RunRequest:
    """See the description."""
    return _captures(context, "sweep_stories", timedelta(hours=STORY_SWEEP_HOURS))
