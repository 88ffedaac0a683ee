"""Run one capture window: poll vendors, write the responses to raw (*land* them), and return the totals.

`sweep_now`, `watch_now` and `followups_now` run on the real clock; `replay.py` runs the same windows on the replay
clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tiktok_pipeline import tables
from tiktok_pipeline.capture import followups, on_air, sweep
from tiktok_pipeline.capture.budget import Budget, OwnBudget, SharedBudget
from tiktok_pipeline.capture.client import Client, Tally, open_client
from tiktok_pipeline.capture.clock import Clock, RealClock, hours_between
from tiktok_pipeline.capture.deployment import Deployment
from tiktok_pipeline.capture.flush import Flusher, check_usable_responses
from tiktok_pipeline.capture.known_accounts import identified
from tiktok_pipeline.capture.landing import Landings, hour_of
from tiktok_pipeline.capture.rate_limit import Departures, OwnDepartures, SharedDepartures
from tiktok_pipeline.capture.watch import watch
from tiktok_pipeline.capture.window_state import WindowState
from tiktok_pipeline.errors import BackfillError
from tiktok_pipeline.providers.vendor import Target
from tiktok_pipeline.tables import Table

# The requests of a window, from the client and the state at its start.
Work = Callable[[Client, WindowState], Awaitable[None]]

# The sweep of each raw table, and the capability that it needs.
SWEEPS: dict[str, tuple[sweep.Sweep, str]] = {
    tables.RAW_LIVES.name: (sweep.sweep_lives, "live"),
    tables.RAW_PROFILES.name: (sweep.sweep_profiles, "profile"),
    tables.RAW_STORIES.name: (sweep.sweep_stories, "stories"),
    tables.RAW_POSTS.name: (sweep.sweep_posts, "posts"),
    tables.RAW_FOLLOWERS.name: (sweep.sweep_followers, "followers"),
    tables.RAW_LIVE_RANKINGS.name: (sweep.sweep_live_rankings, "live_ranking"),
    tables.RAW_USER_SEARCHES.name: (sweep.sweep_user_searches, "user_search"),
}

# Longest delay of a run: the queue may be long, and under `make dev` an hour passes in minutes.
_LATEST_START = timedelta(hours=12)

# A person may choose the current hour in the UI this long before the run is requested.
_CHOSEN_BEFORE = timedelta(minutes=15)


@dataclass
class WindowReport:
    """The totals of a window: requests and landed rows; `seconds` is wall time."""

    tally: Tally = field(default_factory=Tally)
    rows: int = 0
    # Rows of the window's own table, by hour.
    hours: dict[datetime, int] = field(default_factory=dict)
    hours_skipped: int = 0
    seconds: float = 0.0


def current_hours(requested: datetime, clock: RealClock) -> set[datetime]:
    """Return the hours that named the present when a run was requested by hand, at this system time.

    The hour may have changed since a person chose it. With a fast clock the newest partition is of the system time: it
    also means the present.
    """
    chosen = requested - _CHOSEN_BEFORE
    hours = set(hours_between(clock.at(chosen), clock.at(requested) + timedelta(microseconds=1)))
    return hours if clock.speed == 1 else hours | {hour_of(chosen), hour_of(requested)}


def check_partition(
    hour: datetime, now: datetime, scheduled_at: datetime | None = None, current: Collection[datetime] = ()
) -> None:
    """Reject a run for any hour except the current one: vendors report only the current state.

    A scheduled run may begin late; its rows then land in the hour in which it runs. Later than `_LATEST_START` after
    its tick, it is a re-execution of an old run and is rejected.

    Args:
        hour: start of the partition.
        now: the current time.
        scheduled_at: the tick of the schedule; None for other runs.
        current: for a run by hand, the hours that count as the current one; see `current_hours`.

    Raises:
        BackfillError: `hour` is not the current hour, and the run is not a delayed run of that hour.
    """
    late = (
        scheduled_at is not None
        and hour_of(scheduled_at) == hour
        and timedelta(0) <= now - scheduled_at <= _LATEST_START
    )
    if hour_of(now) != hour and not late and hour not in current:
        raise BackfillError(
            f"raw cannot be captured for {hour:%Y-%m-%d %H}:00 UTC: vendors report only the current state "
            f"({now:%Y-%m-%d %H:%M} UTC). No request was made and no file was changed. Materialize the newest hour. "
            "Normalized tables and marts can be backfilled from raw."
        )


def sweep_now(deployment: Deployment, table: Table, clock: RealClock, window: str) -> WindowReport:
    """Run a sweep on the real clock: the requests of one raw table for every creator, once."""
    poll, _ = SWEEPS[table.name]
    return run_window(
        deployment, table, clock, "sweep", window, lambda client, state: poll(client, deployment.targets, state)
    )


def watch_now(deployment: Deployment, clock: RealClock, *, until: datetime, window: str) -> WindowReport:
    """Run a watch on the real clock: poll live states in rounds until `until`."""
    return run_window(deployment, tables.RAW_LIVES, clock, "watch", window, watch_until(until))


def followups_now(
    deployment: Deployment, table: Table, clock: RealClock, creator_ids: Collection[str], window: str
) -> WindowReport:
    """Make the follow-up requests of one table for these creators; creators that are not on the roster are left out.

    A window without a usable response does not fail: its follow-ups stay due, and the next window retries them.
    """
    chosen = [target for target in deployment.targets if target.creator_id in creator_ids]
    poll = SWEEPS[table.name][0]
    if table is tables.RAW_LIVES:
        poll = sweep.sweep_rooms
        now = clock.now()
        chosen = identified(deployment.lake, chosen, now)
        chosen = on_air.last_rooms(deployment.lake, chosen, now - followups.reach(deployment.settings.boundary), now)
    return run_window(
        deployment,
        table,
        clock,
        "boundary",
        window,
        lambda client, state: poll(client, chosen, state),
        needs_response=False,
    )


def watch_until(until: datetime) -> Work:
    """Return the work of a watch that ends at `until`."""

    async def work(client: Client, state: WindowState) -> None:
        await watch(client, state.targets, state.settings.watch, until=until, seen=state.seen, habits=state.habits)

    return work


def run_window(
    deployment: Deployment,
    table: Table,
    clock: Clock,
    kind: str,
    window: str | None,
    work: Work,
    *,
    span: tuple[datetime, datetime] | None = None,
    needs_response: bool = True,
) -> WindowReport:
    """Run one window: open the client, do `work`, land the responses, and return the totals.

    kind: the capture mode: watch, sweep or boundary (follow-ups).
    window: the id of the window, a part of the file names; None in a replay.
    span: the hours of a replayed window; by default the window begins now and ends within an hour.

    Raises:
        CaptureError: no request got a usable response, and `needs_response` is set.
        LakeError: the last flush failed for ten minutes; its rows are lost.
    """
    began = time.perf_counter()
    start, end = span or (clock.now(), clock.now() + timedelta(hours=1))
    state = WindowState(deployment, start, end)
    landings = Landings(deployment.lake, kind, window, deployment.run_id)
    flusher = Flusher(landings, table, clock, deployment.settings.watch.flush_seconds, deployment.progress)

    def budget(vendor: str) -> Budget:
        landed = {day: credits for (name, day), credits in state.spent.items() if name == vendor}
        if clock.replaying or deployment.gates is None:
            return OwnBudget(landed)
        return SharedBudget(deployment.gates / f"{vendor}.credits", landed)

    def departures(vendor: str) -> Departures | None:
        if clock.replaying:
            return OwnDepartures(state.departures.get(vendor, ()))
        return SharedDepartures(deployment.gates / vendor) if deployment.gates else None

    async def main() -> Tally:
        async with open_client(
            deployment.accesses,
            deployment.settings,
            clock,
            flusher.add,
            budgets=budget,
            departures=departures,
            transport=deployment.transport,
        ) as client:
            flusher.tally = client.tally
            client.may_poll = deployment.may_poll
            async with flusher.keeping_time():
                await work(client, state)
            return client.tally

    try:
        tally = _run_loop(main)
    finally:
        # Responses are landed even if the window failed. An interrupted replayed hour is not landed, so that the next
        # replay repeats it as a whole.
        if not clock.replaying:
            flusher.flush_last()
    if clock.replaying:
        landings.flush()
        for hour in hours_between(start, end):
            landings.of(table).mark(hour)
    for failed in tally.failures.values():
        # Dagster stores this report: leave out creators that were erased during the window.
        for creator_id in [c for c in failed if not deployment.may_poll(Target(c, c))]:
            del failed[creator_id]
    if needs_response:
        check_usable_responses(tally, table)
    return WindowReport(tally, landings.rows, landings.of(table).hours, seconds=time.perf_counter() - began)


def _run_loop(main: Callable[[], Awaitable[Tally]]) -> Tally:
    """Run on uvloop if it is installed: it saves a seventh of the time per request."""
    factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    with contextlib.suppress(ImportError):
        import uvloop  # noqa: PLC0415 - not installed on every platform

        factory = uvloop.new_event_loop

    async def entry() -> Tally:
        return await main()

    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(entry())
