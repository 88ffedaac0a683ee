"""Jobs and schedules that capture: the watch, and a sweep of every other raw table."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any

import dagster as dg

from tiktok_pipeline import tables
from tiktok_pipeline.capture.sweep import EVERY_HOURS
from tiktok_pipeline.defs.scheduling import Pace, given_up_after, home_in_use, stale, under_way
from tiktok_pipeline.partitions import hour_key
from tiktok_pipeline.resources import Pipeline

# The watch ticks every minute and starts a window when the last one, of `[watch] window_minutes`, is over: the setting
# is read at each tick, because Dagster fixes the times of ticks when definitions are loaded.
_WINDOW_TAG = "tiktok_pipeline/window_start"
_NEWEST_RUNS = 5

_TICK = timedelta(minutes=1)

# Time limit of a sweep: the time to the next one, and with a slow vendor at least this.
_SHORTEST_LIMIT = timedelta(hours=1)


@dataclass(frozen=True)
class _Capture:
    """One job with its schedule: its asset, the minute of its ticks, and its description."""

    job: str
    asset: str
    at_minute: int
    does: str
    cadence_text: str

    @property
    def watching(self) -> bool:
        return self.job == "watch"


# Each sweep ticks at a different minute, so that sweeps do not start at the same time.
_CAPTURES = (
    _Capture(
        "watch",
        "raw_lives",
        0,
        "polls the live state of all creators in rounds for one window",
        "Every `[watch] window_minutes`",
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
    mode = {"mode": "watch"} if capture.watching else {}
    return dg.define_asset_job(
        capture.job,
        selection=[capture.asset],
        description=f"One window: {capture.does}.",
        config={"ops": {capture.asset: {"config": mode}}},
        tags={"tiktok/poll": capture.job},
    )


def _schedule(capture: _Capture, job: Any, pace: Pace) -> dg.ScheduleDefinition:
    hours = EVERY_HOURS.get(capture.asset, 0)

    @dg.schedule(
        name=capture.job,
        job=job,
        cron_schedule=pace.cron(minutes=1) if capture.watching else pace.cron(hours=hours, at_minute=capture.at_minute),
        default_status=pace.schedules,
        description=f"{capture.cadence_text}: {capture.does}, unless the last run is still under way.",
    )
    def tick(context: dg.ScheduleEvaluationContext, pipeline: Pipeline) -> dg.SkipReason | list[dg.RunRequest]:
        return _requests(context, pipeline, capture)

    return tick


def _requests(
    context: dg.ScheduleEvaluationContext, pipeline: Pipeline, capture: _Capture
) -> dg.SkipReason | list[dg.RunRequest]:
    """Return a run for the hour of the tick, or the reason to skip it; two runs at the start of a fast clock."""
    if pipeline.replaying:
        return dg.SkipReason("TIKTOK_PIPELINE_CLOCK=replay: capture with `tiktok-pipeline replay`")
    settings, clock = pipeline.settings(), pipeline.clock()
    if clock.stands_still(context.scheduled_execution_time):
        return dg.SkipReason("the world of `make dev` has not started")
    # A window begins at its tick, even if the tick is evaluated late: windows must not drift into each other.
    start = clock.at(context.scheduled_execution_time)
    window = timedelta(minutes=settings.watch.window_minutes)
    cadence = window / clock.speed if capture.watching else timedelta(hours=EVERY_HOURS[capture.asset])
    # If a window ends late, the next one waits for it and still ends at its own time.
    reason = (
        home_in_use(pipeline.places.home, pipeline.variables)
        or stale(context.scheduled_execution_time, cadence)
        or (_not_due(context.instance, start, window, clock.speed) if capture.watching else None)
        or under_way(context.instance, capture.job, one_may_wait=capture.watching)
    )
    if reason is not None:
        return reason
    if capture.job == "sweep_live_rankings" and not settings.sweeps.has_rankings:
        return dg.SkipReason("no ranking to request: set [sweeps] ranking_regions, or set ranking_of_live")
    if capture.job == "sweep_user_searches" and not settings.sweeps.keywords:
        return dg.SkipReason("nothing to search for: set [sweeps] keywords")
    if not capture.watching:
        return [_run(capture, start, given_up_after(max(cadence, _SHORTEST_LIMIT), speed=clock.speed))]
    if clock.speed == 1:
        return [_run(capture, start, given_up_after(window))]
    return _windows_ahead(context.instance, capture, start, window, clock.speed)


def _run(capture: _Capture, start: datetime, tags: Mapping[str, str]) -> dg.RunRequest:
    config = {"window_start": start.isoformat(timespec="seconds")}
    of_window = {_WINDOW_TAG: config["window_start"]} if capture.watching else {}
    mode = {"mode": "watch"} if capture.watching else {}
    return dg.RunRequest(
        # Dagster wants a key for each of several runs of a tick.
        run_key=config["window_start"],
        partition_key=hour_key(start),
        run_config={"ops": {capture.asset: {"config": {**config, **mode}}}},
        tags={**tags, **of_window},
    )


def _windows_ahead(
    instance: dg.DagsterInstance, capture: _Capture, start: datetime, window: timedelta, speed: float
) -> list[dg.RunRequest]:
    """Return the run of the window after the next tick, and the present one's if that has none.

    While a process starts, a fast clock moves on by most of a window. So a run starts one tick early and waits.
    """
    ahead = _TICK * speed
    begun = _last_window(instance)
    starts = [start + ahead]
    if begun is None or start >= begun + window:
        starts = [start, start + ahead] if window <= ahead else [start]
    limit = given_up_after(window + ahead, speed=speed)
    # Two runs of the watch are active at a time: they alternate between two places under the limit of runs by this tag.
    period = ceil(window / ahead) * ahead.total_seconds()
    return [
        _run(capture, each, {**limit, "tiktok/poll": f"{capture.job} {int(each.timestamp() // period) % 2}"})
        for each in starts
    ]


def _not_due(instance: dg.DagsterInstance, start: datetime, window: timedelta, speed: float) -> dg.SkipReason | None:
    """Why no window begins at `start`: the last one of the schedule is not over."""
    begun = _last_window(instance)
    if begun is not None and speed != 1:
        # Windows are requested one tick ahead.
        start += _TICK * speed
    # Half a tick: where the clock is fast, ticks are not at whole seconds of it.
    if begun is None or start >= begun + window - timedelta(seconds=30) * speed:
        return None
    return dg.SkipReason(f"the window of {begun:%H:%M} UTC is not over: the next begins at {begun + window:%H:%M} UTC")


def _last_window(instance: dg.DagsterInstance) -> datetime | None:
    """Return the start of the newest window of the schedule."""
    records = instance.get_run_records(dg.RunsFilter(job_name="watch"), limit=_NEWEST_RUNS)
    tags = [record.dagster_run.tags.get(_WINDOW_TAG) for record in records]
    return max((datetime.fromisoformat(tag) for tag in tags if tag), default=None)


@dg.definitions
def automation() -> dg.Definitions:
    """Return all of them, and the job of `tiktok-pipeline replay`."""
    jobs = [_job(capture) for capture in _CAPTURES]
    pace = Pace.from_environment()
    schedules = [_schedule(capture, job, pace) for capture, job in zip(_CAPTURES, jobs, strict=True)]
    replay = dg.define_asset_job(
        "replay",
        selection=[table.name for table in tables.RAW_TABLES],
        description="Captures all raw tables for any span on the simulated clock. Started by `tiktok-pipeline replay`.",
    )
    return dg.Definitions(jobs=[*jobs, replay], schedules=schedules)
