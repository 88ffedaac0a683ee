"""Jobs and schedules that capture: the watch, and a sweep of every other raw table."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import dagster as dg

from tiktok_pipeline import tables
from tiktok_pipeline.capture.sweep import EVERY_HOURS
from tiktok_pipeline.defs.scheduling import STATUS, every, given_up_after, stale, under_way
from tiktok_pipeline.partitions import HOURLY, hour_key
from tiktok_pipeline.resources import Pipeline

_WATCH_EVERY = timedelta(minutes=10)

# A sweep may take as long as the time to the next, and with a slow vendor at least this.
_SHORTEST_LIMIT = timedelta(hours=1)


@dataclass(frozen=True)
class _Capture:
    """One job with its schedule: its asset, the minute of its ticks, and its description."""

    job: str
    asset: str
    at_minute: int
    does: str
    said: str

    @property
    def cadence(self) -> timedelta:
        return timedelta(hours=EVERY_HOURS[self.asset]) if self.asset in EVERY_HOURS else _WATCH_EVERY


# Each sweep ticks at a different minute, so that sweeps do not start at the same time.
_CAPTURES = (
    _Capture(
        "watch", "raw_lives", 0, "polls the live state of all creators in rounds for one window", "Every ten minutes"
    ),
    _Capture("sweep_profiles", "raw_profiles", 5, "requests each creator's profile once", "Every hour at :05"),
    _Capture(
        "sweep_stories", "raw_stories", 15, "requests each creator's stories, page by page", "Every two hours at :15"
    ),
    _Capture("sweep_posts", "raw_posts", 25, "requests each creator's newest posts", "Every six hours at :25"),
    _Capture("sweep_followers", "raw_followers", 35, "requests each creator's newest followers", "Every day at 00:35"),
    _Capture("sweep_live_rankings", "raw_live_rankings", 50, "requests live rankings", "Every hour at :50"),
    _Capture("sweep_user_searches", "raw_user_searches", 45, "searches for users by keyword", "Every day at 00:45"),
)


def _job(capture: _Capture) -> Any:  # Dagster's type for it is not public
    mode = {"mode": "watch"} if capture.job == "watch" else {}
    return dg.define_asset_job(
        capture.job,
        selection=[capture.asset],
        partitions_def=HOURLY,
        description=f"One window: {capture.does}.",
        config={"ops": {capture.asset: {"config": mode}}},
        tags={"tiktok/poll": capture.job},
    )


def _schedule(capture: _Capture, job: Any) -> dg.ScheduleDefinition:
    hours = EVERY_HOURS.get(capture.asset, 0)
    cron = every(hours=hours, at_minute=capture.at_minute) if hours else every(minutes=10)

    @dg.schedule(
        name=capture.job,
        job=job,
        cron_schedule=cron,
        default_status=STATUS,
        description=f"{capture.said}: {capture.does}, unless the last run is still under way.",
    )
    def tick(context: dg.ScheduleEvaluationContext) -> dg.SkipReason | dg.RunRequest:
        return _request(context, capture)

    return tick


def _request(context: dg.ScheduleEvaluationContext, capture: _Capture) -> dg.SkipReason | dg.RunRequest:
    """Return a run for the hour of the tick, or the reason to skip it."""
    pipeline = Pipeline()
    if pipeline.replaying:
        return dg.SkipReason("TIKTOK_PIPELINE_CLOCK=replay: capture with `tiktok-pipeline replay`")
    watching = capture.job == "watch"
    # If a window ends late, the next one waits for it and still ends at its own time.
    reason = stale(context.scheduled_execution_time, capture.cadence) or under_way(
        context.instance, capture.job, one_may_wait=watching
    )
    if reason is not None:
        return reason
    settings = pipeline.settings()
    if capture.job == "sweep_live_rankings" and not settings.sweeps.asks_rankings:
        return dg.SkipReason("no ranking to ask for: name [sweeps] ranking_regions, or set ranking_of_live")
    if capture.job == "sweep_user_searches" and not settings.sweeps.keywords:
        return dg.SkipReason("nothing to search for: name keywords in [sweeps] keywords")
    # A window begins at its tick, even if the tick is evaluated late: windows must not drift into each other.
    start = pipeline.clock().at(context.scheduled_execution_time)
    config = {"window_start": start.isoformat(timespec="seconds")}
    length = max(capture.cadence, _SHORTEST_LIMIT)
    if watching:
        config["mode"] = "watch"
        length = timedelta(minutes=settings.watch.window_minutes)
    return dg.RunRequest(
        partition_key=hour_key(start),
        run_config={"ops": {capture.asset: {"config": config}}},
        tags=given_up_after(length, waits=True),
    )


@dg.definitions
def automation() -> dg.Definitions:
    """All of them, and the job of `tiktok-pipeline replay`."""
    jobs = [_job(capture) for capture in _CAPTURES]
    schedules = [_schedule(capture, job) for capture, job in zip(_CAPTURES, jobs, strict=True)]
    replay = dg.define_asset_job(
        "replay",
        selection=[table.name for table in tables.RAW_TABLES],
        partitions_def=HOURLY,
        description="Captures all raw tables for any span on the simulated clock. Started by `tiktok-pipeline replay`.",
    )
    return dg.Definitions(jobs=[*jobs, replay], schedules=schedules)
