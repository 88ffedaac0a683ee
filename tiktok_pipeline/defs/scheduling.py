"""Intervals of schedules and sensors, and their guards: one run at a time, no old ticks."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil
from pathlib import Path

import dagster as dg

from tiktok_pipeline.capture.clock import real_clock
from tiktok_pipeline.config.home_lock import running_program

# At many times real speed, a sensor ticks no more often than this; a run takes some seconds to start.
_SHORTEST_INTERVAL_S = 10

# Time that a run needs to start, to store the last responses and to end.
_ENDING_S = 120

_WAITING = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED]
_UNDER_WAY = [
    *_WAITING,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def switched_on(environment: Mapping[str, str]) -> bool:
    """Return whether TIKTOK_PIPELINE_SCHEDULES switches on paid requests to vendors. It is off by default."""
    return environment.get("TIKTOK_PIPELINE_SCHEDULES") == "on"


@dataclass(frozen=True)
class Pace:
    """The tick rate of schedules and sensors, and whether those with paid requests are on.

    Dagster fixes both when definitions are loaded. Call `from_environment` in a `@dg.definitions` function, never at
    import. `make dev` runs the world and the clock `speed` times faster; its schedules tick more often by this factor.
    """

    speed: float = 1.0
    on: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Pace:
        """Return the pace of the deployment.

        Raises:
            SettingsError: the speed of the clock is wrong.
        """
        return cls(real_clock(environment).speed, switched_on(environment))

    @property
    def schedules(self) -> dg.DefaultScheduleStatus:
        """Return the default status of a schedule with paid requests."""
        return dg.DefaultScheduleStatus.RUNNING if self.on else dg.DefaultScheduleStatus.STOPPED

    @property
    def sensors(self) -> dg.DefaultSensorStatus:
        """Return the default status of a sensor with paid requests."""
        return dg.DefaultSensorStatus.RUNNING if self.on else dg.DefaultSensorStatus.STOPPED

    def cron(self, *, hours: int = 0, minutes: int = 0, at_minute: int = 0) -> str:
        """Return a cron line for a cadence, with the first tick of the hour at `at_minute`."""
        if self.speed != 1:
            return f"*/{min(59, max(1, ceil((hours * 60 + minutes) / self.speed)))} * * * *"
        if hours:
            hour = "0" if hours == 24 else "*" if hours == 1 else f"*/{hours}"
            return f"{at_minute} {hour} * * *"
        return f"{at_minute}-59/{minutes} * * * *"


def interval(seconds: int, *, speed: float) -> int:
    """Return the seconds between two ticks of a sensor; at many times real speed at least the shortest interval."""
    return max(seconds if speed == 1 else _SHORTEST_INTERVAL_S, ceil(seconds / speed))


def given_up_after(length: timedelta, *, speed: float = 1) -> dict[str, str]:
    """Return run tags with a time limit: a run that is active for longer than `length` is treated as dead.

    A run that waits for the deployment's clock is shorter if that clock is fast: pass its `speed`.

    The code server that started a run detects at once that its process was killed. This limit is for runs that were
    lost with their machine: without it no run of the job would start for hours.
    """
    return {"dagster/max_runtime": str(ceil(length.total_seconds() / speed) + _ENDING_S)}


def stale(tick: datetime, cadence: timedelta, *, now: datetime | None = None) -> dg.SkipReason | None:
    """Return why this tick is too old for a run, because vendors no longer have its data; None if it is not.

    A tick that is more than two cadences old is left from a time when the daemon was down.
    """
    late = (now or datetime.now(UTC)) - tick
    if late > 2 * cadence:
        return dg.SkipReason(f"the tick of {tick:%Y-%m-%d %H:%M} UTC is {late} old: its window is over")
    return None


def home_in_use(home: Path, environment: Mapping[str, str] = os.environ) -> dg.SkipReason | None:
    """Return why no run may start: a `demo`, `replay` or `dev` uses the home, and this daemon is not that of `dev`."""
    program = running_program(home)
    # `dev` gives its own daemon its clock.
    if program is None or (program.command == "dev" and environment.get("TIKTOK_PIPELINE_CLOCK_ANCHOR")):
        return None
    return dg.SkipReason(f"{program} runs in {home}: two programs must not capture into one lake")


def under_way(instance: dg.DagsterInstance, job: str, *, one_may_wait: bool = False) -> dg.SkipReason | None:
    """Return why no run of `job` may start: one is active. With `one_may_wait`: one is queued already."""
    statuses = _WAITING if one_may_wait else _UNDER_WAY
    runs = instance.get_run_records(dg.RunsFilter(job_name=job, statuses=statuses), limit=1)
    if runs:
        return dg.SkipReason(f"run {runs[0].dagster_run.run_id} of {job} is still under way")
    return None


def succeeded_within(
    instance: dg.DagsterInstance, job: str, tags: Mapping[str, str], length: timedelta, *, speed: float
) -> bool:
    """Return whether a run of `job` with these tags began within the last `length` and succeeded."""
    began = datetime.now(UTC) - length / speed
    lately = dg.RunsFilter(job_name=job, tags=dict(tags), statuses=[dg.DagsterRunStatus.SUCCESS], created_after=began)
    return bool(instance.get_run_records(lately, limit=1))
