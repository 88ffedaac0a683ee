"""How schedules tick, and what keeps them from piling up: no second run beside one under way, no old ticks."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from math import ceil

import dagster as dg

# `make dev` runs the world and the clock this many times faster; its schedules tick more often by as much.
_SPEED = float(os.environ.get("TIKTOK_PIPELINE_CLOCK_SPEED") or 1)

# Asking vendors costs money: schedules are off until somebody says TIKTOK_PIPELINE_SCHEDULES=on, or switches them
# on in the UI.
STATUS = (
    dg.DefaultScheduleStatus.RUNNING
    if os.environ.get("TIKTOK_PIPELINE_SCHEDULES") == "on"
    else dg.DefaultScheduleStatus.STOPPED
)

_UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def every(*, hours: int = 0, minutes: int = 0, at_minute: int = 0) -> str:
    """A cron line for a cadence, with the first tick of the hour at `at_minute`."""
    if _SPEED != 1:
        return f"*/{min(59, max(1, ceil((hours * 60 + minutes) / _SPEED)))} * * * *"
    if hours:
        hour = "0" if hours == 24 else "*" if hours == 1 else f"*/{hours}"
        return f"{at_minute} {hour} * * *"
    return f"{at_minute}-59/{minutes} * * * *"


def stale_or_overlapping(
    context: dg.ScheduleEvaluationContext, job: str, cadence: timedelta, *, now: datetime | None = None
) -> dg.SkipReason | None:
    """Why this tick must not start a run of `job`; None when it may.

    A tick that is more than two cadences old is a leftover of a daemon that was down: what it would have asked,
    nobody can answer now.
    """
    tick = context.scheduled_execution_time
    late = (now or datetime.now(UTC)) - tick
    if late > 2 * cadence:
        return dg.SkipReason(f"the tick of {tick:%Y-%m-%d %H:%M} UTC is {late} old: its window is over")
    runs = context.instance.get_run_records(dg.RunsFilter(job_name=job, statuses=_UNDER_WAY), limit=1)
    if runs:
        return dg.SkipReason(f"run {runs[0].dagster_run.run_id} of {job} is still under way")
    return None
