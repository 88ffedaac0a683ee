"""A capture window, from its beginning to its last flush: what a raw asset runs.

Four ways to run one: `sweep_now`, `watch_now` and `boundary_now` on the real clock, and `replay_hours` on the replay
clock, over any number of hours at once. Each lands as it goes and returns a `Report`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import polars as pl

from tiktok_pipeline import tables
from tiktok_pipeline.capture import boundary, memory, spending, sweep
from tiktok_pipeline.capture.budget import Budget, OwnBudget, SharedBudget
from tiktok_pipeline.capture.client import Client, Tally, open_client
from tiktok_pipeline.capture.clock import Clock, RealClock, ReplayClock, hours_between
from tiktok_pipeline.capture.deployment import Deployment
from tiktok_pipeline.capture.gate import Departures, OwnDepartures, SharedDepartures
from tiktok_pipeline.capture.history import LiveHistory
from tiktok_pipeline.capture.landing import Attempt, Landings, captures_of, hour_of, is_over
from tiktok_pipeline.capture.watch import watch
from tiktok_pipeline.errors import BackfillError, CaptureError, LakeError, SettingsError
from tiktok_pipeline.lake import Lake
from tiktok_pipeline.providers import VENDORS
from tiktok_pipeline.providers.vendor import Target
from tiktok_pipeline.tables import Table

Sweep = Callable[[Client, Deployment], Awaitable[None]]

# What a sweep of each raw table asks, and the route that it needs.
SWEEPS: dict[str, tuple[Sweep, str]] = {
    tables.RAW_LIVES.name: (sweep.sweep_lives, "live"),
    tables.RAW_PROFILES.name: (sweep.sweep_profiles, "profile"),
    tables.RAW_STORIES.name: (sweep.sweep_stories, "stories"),
    tables.RAW_POSTS.name: (sweep.sweep_posts, "posts"),
    tables.RAW_FOLLOWERS.name: (sweep.sweep_followers, "followers"),
    tables.RAW_LIVE_RANKINGS.name: (sweep.sweep_live_rankings, "live_ranking"),
    tables.RAW_USER_SEARCHES.name: (sweep.sweep_user_searches, "user_search"),
}


# Size of the waiting bodies that triggers a flush before the next regular one.
_WAITING_BYTES = 8 * 2**20

# Retry policy of a window's last flush while the lake cannot be written: total time, and shortest interval.
_LAST_FLUSH_S = 600.0
_LAST_FLUSH_EVERY_S = 10.0

# How late a scheduled run may begin: the queue may be long, and `make dev` counts hours in minutes.
_LATEST_START = timedelta(hours=12)


@dataclass
class Report:
    """What a window landed."""

    tally: Tally = field(default_factory=Tally)
    rows: int = 0
    # Rows of the window's own table, by the hour that they landed in.
    hours: dict[datetime, int] = field(default_factory=dict)
    hours_skipped: int = 0
    seconds: float = 0.0


def vendors_for(deployment: Deployment, capability: str) -> list[str]:
    """The vendors of a route that this deployment has credentials for."""
    return [name for name in getattr(deployment.settings.routes, capability) if name in deployment.accesses]


def check_partition(hour: datetime, now: datetime, asked_for: datetime | None = None) -> None:
    """Refuse to capture for another hour than this one: vendors only know "now".

    A scheduled run may begin late, and lands in the hour that it is then; `asked_for` is when it was asked for. Much
    later it is no late run but an old one that somebody started again.

    Raises:
        BackfillError: `hour` is not the hour of `now`, and no run was asked for it just now.
    """
    late = asked_for is not None and hour_of(asked_for) == hour and timedelta(0) <= now - asked_for <= _LATEST_START
    if hour_of(now) != hour and not late:
        raise BackfillError(
            f"raw cannot be captured for {hour:%Y-%m-%d %H}:00 UTC: vendors only know now "
            f"({now:%Y-%m-%d %H:%M} UTC). Nothing was asked and nothing was touched. Materialize the current hour; "
            "normalized tables and marts can be backfilled from what landed."
        )


def sweep_now(deployment: Deployment, table: Table, clock: RealClock, window: str) -> Report:
    """Ask everybody once, now."""
    asks, _ = SWEEPS[table.name]
    return _run(deployment, table, clock, "sweep", window, lambda client: asks(client, deployment))


def watch_now(deployment: Deployment, clock: RealClock, *, until: datetime, window: str) -> Report:
    """Ask who is live, again and again, until `until`."""
    return _run(deployment, tables.RAW_LIVES, clock, "watch", window, _watching(deployment, clock.now(), until))


def boundary_now(
    deployment: Deployment, table: Table, clock: RealClock, creator_ids: Collection[str], window: str
) -> Report:
    """Ask about these creators what moments of their streams ask for; who is not on the roster is left out.

    No answer is no failure here: what nobody answered stays due, and is asked for again.
    """
    chosen = [target for target in deployment.targets if target.creator_id in creator_ids]
    asks = SWEEPS[table.name][0]
    if table is tables.RAW_LIVES:
        asks = sweep.sweep_rooms
        now = clock.now()
        chosen = memory.identified(deployment.lake, chosen, now)
        chosen = memory.last_rooms(deployment.lake, chosen, now - boundary.reach(deployment.settings.boundary), now)
    about = replace(deployment, targets=chosen)
    return _run(deployment, table, clock, "boundary", window, lambda client: asks(client, about), must_answer=False)


def boundary_moments(deployment: Deployment, since: datetime, until: datetime) -> pl.DataFrame:
    """The moments in [since, until) of streams that landed, of creators on the roster (`boundary.MOMENTS`)."""
    settings = deployment.settings
    merge_gap = timedelta(minutes=settings.streams.merge_gap_minutes)
    begin = since - boundary.reach(settings.boundary) - merge_gap
    targets = memory.identified(deployment.lake, deployment.targets, until)
    readings = memory.on_air_readings(deployment.lake, begin, until, targets)
    listed = [target.creator_id for target in deployment.targets]
    found = boundary.moments(readings, settings.boundary, merge_gap=merge_gap)
    return found.filter(pl.col("at") >= since, pl.col("at") < until, pl.col("creator_id").is_in(listed))


def boundary_due(deployment: Deployment, now: datetime, history: LiveHistory | None = None) -> pl.DataFrame:
    """Return the follow-ups that are due: begun, not expired, without an answer, with a vendor (`boundary.MOMENTS`).

    With `history`, the state of earlier calls for the same lake, only what landed since is read; the result is the
    same.
    """
    settings = deployment.settings
    since = now - timedelta(minutes=settings.boundary.patience_minutes)
    merge_gap = timedelta(minutes=settings.streams.merge_gap_minutes)
    span = boundary.reach(settings.boundary) + merge_gap
    readings, answered = (history or LiveHistory()).update(
        deployment.lake, deployment.targets, since - span, now, span=span
    )
    listed = {target.creator_id for target in deployment.targets}
    streamers = set(readings.filter("on_air")["creator_id"].unique()) & listed
    possible = [table for table, asks in boundary.CAPABILITIES.items() if vendors_for(deployment, asks)]
    found = boundary.moments(
        readings.filter(pl.col("creator_id").is_in(sorted(streamers))), settings.boundary, merge_gap=merge_gap
    ).filter(pl.col("at") >= since, pl.col("table").is_in(possible))
    return boundary.due(found, answered, now)


def replay_hours(
    deployment: Deployment, table: Table, hours: Sequence[datetime], *, kind: str, every_hours: int = 1
) -> Report:
    """Replay `hours`: as a watch, or as a sweep at the start of every hour that `every_hours` divides.

    A sweep also asks at the moments around streams, as far as their watch has landed. An hour that this kind of
    window has landed is not asked again, unless no vendor answered in it then.

    Raises:
        CaptureError: a whole span went by and no vendor answered.
    """
    asks, _ = SWEEPS[table.name]
    report = Report()
    begun = time.perf_counter()
    for start, end in _spans([hour for hour in hours if not _landed(deployment.lake, table, hour, kind)]):
        clock = ReplayClock(start)

        async def asking(client: Client, start: datetime = start, end: datetime = end) -> None:
            for moment, targets in _agenda(deployment, table, start, end, every_hours):
                await client.clock.sleep_until(moment)
                await asks(client, replace(deployment, targets=targets))

        work = _watching(deployment, start, end) if kind == "watch" else asking
        done = _run(deployment, table, clock, kind, None, work, span=(start, end))
        report.rows += done.rows
        report.hours |= done.hours
        _add(report.tally, done.tally)
        report.hours_skipped -= len(hours_between(start, end))
    report.hours_skipped += len(hours)
    report.seconds = time.perf_counter() - begun
    return report


def _watching(deployment: Deployment, start: datetime, until: datetime) -> Callable[[Client], Awaitable[None]]:
    """A watch from `start` on, with what had landed by then."""
    settings = deployment.settings.watch
    seen = memory.last_seen(deployment.lake, start, deployment.targets)
    known = [seen[t.creator_id].identified(t) if t.creator_id in seen else t for t in deployment.targets]
    # Who renamed since `creators` was derived is asked under the new name at once.
    targets = [seen[t.creator_id].named(t) if t.creator_id in seen else t for t in known]
    habits = memory.habits(deployment.lake, targets, start) if settings.policy == "adaptive" else None
    return lambda client: watch(client, targets, settings, until=until, seen=seen, habits=habits)


def _agenda(
    deployment: Deployment, table: Table, start: datetime, end: datetime, every_hours: int
) -> list[tuple[datetime, list[Target]]]:
    """When a replayed sweep asks about whom: everybody at its hours, some at moments of their streams."""
    agenda = [
        (hour, list(deployment.targets))
        for hour in hours_between(start, end)
        if every_hours == 1 or hour.hour % every_hours == 0
    ]
    # Rooms are asked by the watch itself; what no moment asks for needs no look at who was on air.
    if table is tables.RAW_LIVES or table.name not in boundary.CAPABILITIES:
        return agenda
    by_id = {target.creator_id: target for target in deployment.targets}
    found = boundary_moments(deployment, start, end).filter(pl.col("table") == table.name)
    for at, creator_ids in found.group_by("at").agg(pl.col("creator_id").unique().sort()).iter_rows():
        agenda.append((at, [by_id[creator_id] for creator_id in creator_ids]))
    return sorted(agenda, key=lambda entry: entry[0])


def _run(
    deployment: Deployment,
    table: Table,
    clock: Clock,
    kind: str,
    window: str | None,
    work: Callable[[Client], Awaitable[None]],
    *,
    span: tuple[datetime, datetime] | None = None,
    must_answer: bool = True,
) -> Report:
    begun = time.perf_counter()
    landings = Landings(deployment.lake, kind, window, deployment.run_id)
    start, end = span or (clock.now(), clock.now() + timedelta(hours=1))
    days = sorted({hour.date() for hour in hours_between(start, end)})
    spent = spending.spent(deployment.lake, days, deployment.settings.vendors)
    flusher = _Flusher(landings, table, clock, deployment.settings.watch.flush_seconds, deployment.progress)

    def budget(vendor: str) -> Budget:
        landed = {day: credits for (name, day), credits in spent.items() if name == vendor}
        if clock.replaying or deployment.gates is None:
            return OwnBudget(landed)
        return SharedBudget(deployment.gates / f"{vendor}.credits", landed)

    asked = memory.departures(deployment.lake, hours_between(start, end)) if clock.replaying else {}

    def departures(vendor: str) -> Departures | None:
        if clock.replaying:
            return OwnDepartures(asked.get(vendor, ()))
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
                await work(client)
            return client.tally

    try:
        tally = _run_loop(main)
    finally:
        # Whatever ended the window, what was answered is landed; a replayed hour that was cut short is not,
        # so that it is asked again as a whole.
        if not clock.replaying:
            flusher.flush_last()
    if clock.replaying:
        landings.flush()
        for hour in hours_between(start, end):
            landings.of(table).mark(hour)
    for who in tally.unanswered.values():
        # Dagster stores this report: leave out creators that were erased during the window.
        for creator_id in [c for c in who if not deployment.may_poll(Target(c, c))]:
            del who[creator_id]
    if must_answer:
        _check_answered(tally, table)
    return Report(tally, landings.rows, landings.of(table).hours, seconds=time.perf_counter() - begun)


class _Flusher:
    """Writes the rows that wait: every `flush_seconds`, when their bodies are large, and when a replayed hour is over.

    On the real clock a flush that fails is reported, and its rows wait for the next one.
    """

    def __init__(
        self, landings: Landings, table: Table, clock: Clock, seconds: float, progress: Callable[[str], None]
    ) -> None:
        self._landings = landings
        self._table = table
        self._clock = clock
        self._seconds = seconds
        self._progress = progress
        self._hour: datetime | None = None
        self._failed = False
        self.tally = Tally()

    @contextlib.asynccontextmanager
    async def keeping_time(self) -> AsyncIterator[None]:
        """On the real clock, flush by time: a lull in the asking must not keep answers in memory."""

        async def flush_again_and_again() -> None:
            while True:
                await asyncio.sleep(self._seconds)
                self._try_flush()
                self._report(self._clock.now())

        timer = None if self._clock.replaying else asyncio.create_task(flush_again_and_again())
        try:
            yield
        finally:
            if timer is not None:
                timer.cancel()

    def add(self, attempt: Attempt) -> None:
        self._landings.add(attempt)
        if self._clock.replaying:
            hour = hour_of(attempt.requested_at)
            if self._hour is not None and hour > self._hour:
                self._landings.flush(before=hour)
                _check_answered(self.tally, self._table)
                self._report(hour)
            self._hour = max(hour, self._hour or hour)
        if self._landings.waiting_bytes < _WAITING_BYTES:
            return
        if self._clock.replaying:
            self._landings.flush(partly=True)
        elif not self._failed:  # after a failure the timer retries, not every response
            self._try_flush()

    def flush_last(self) -> None:
        """Write all waiting rows at the end of a window; on failure, retry for ten minutes.

        Raises:
            LakeError: it still fails; says how many rows are lost.
        """
        until = time.monotonic() + _LAST_FLUSH_S
        while (error := self._try_flush()) is not None:
            if time.monotonic() > until:
                raise LakeError(f"{self._landings.waiting:,} rows of {self._table.name} are lost: {error}")
            time.sleep(min(self._seconds, _LAST_FLUSH_EVERY_S))

    def _try_flush(self) -> LakeError | None:
        try:
            self._landings.flush()
        except LakeError as error:
            self._failed = True
            self.tally.flush_failures += 1
            waiting = self._landings.waiting
            self.tally.most_rows_waiting = max(self.tally.most_rows_waiting, waiting)
            self._progress(f"{self._table.name}: {error}. {waiting:,} rows wait in memory; the next flush tries again")
            return error
        self._failed = False
        return None

    def _report(self, moment: datetime) -> None:
        tally, waiting = self.tally, self._landings.waiting
        self._progress(
            f"{self._table.name} {moment:%Y-%m-%d %H:%M}: {tally.requests:,} asked, "
            f"{tally.answered:,} answered, {tally.credits:,.0f} credits"
            + (f", {waiting:,} rows wait in memory" if waiting else "")
        )


def _check_answered(tally: Tally, table: Table) -> None:
    if tally.requests and not tally.answered:
        troubles = "; ".join(f"{vendor}: {trouble}" for vendor, trouble in sorted(tally.troubles.items()))
        raise CaptureError(
            f"{table.name}: no vendor answered any of {tally.requests} requests ({troubles}). "
            "What came back is landed. Run `tiktok-pipeline check`."
        )


def _landed(lake: Lake, table: Table, hour: datetime, kind: str) -> bool:
    """Return whether a replayed window is complete on disk: nothing was due in it, or a vendor responded."""
    window = f"{kind}-{hour:%Y%m%dT%H}"
    if not is_over(lake, table, hour, window):
        return False
    mine = pl.col("capture_id").str.starts_with(captures_of(table, window))
    statuses = lake.scan_raw(table, [hour]).filter(mine).select("http_status").collect()["http_status"]
    return statuses.is_empty() or statuses.null_count() < len(statuses)


def _spans(hours: Sequence[datetime]) -> list[tuple[datetime, datetime]]:
    """Hours joined to spans without a hole."""
    spans: list[tuple[datetime, datetime]] = []
    for hour in sorted(hours):
        if spans and spans[-1][1] == hour:
            spans[-1] = (spans[-1][0], hour + timedelta(hours=1))
        else:
            spans.append((hour, hour + timedelta(hours=1)))
    return spans


def _add(total: Tally, part: Tally) -> None:
    total.outcomes.update(part.outcomes)
    total.credits += part.credits
    for question, who in part.unanswered.items():
        total.unanswered.setdefault(question, Counter()).update(who)
    total.troubles.update(part.troubles)
    total.unforeseen.update(part.unforeseen)
    total.flush_failures += part.flush_failures
    total.most_rows_waiting = max(total.most_rows_waiting, part.most_rows_waiting)


def _run_loop(main: Callable[[], Awaitable[Tally]]) -> Tally:
    """Run on uvloop where it is installed: it costs a seventh less a request."""
    factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    with contextlib.suppress(ImportError):
        import uvloop  # noqa: PLC0415 - not installed on every platform

        factory = uvloop.new_event_loop

    async def entry() -> Tally:
        return await main()

    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(entry())


def require_route(deployment: Deployment, capability: str) -> None:
    """Refuse a window that nobody could answer.

    Raises:
        SettingsError: no vendor of the route has credentials; names the variables.
    """
    if not vendors_for(deployment, capability):
        route = getattr(deployment.settings.routes, capability)
        wanted = "; or ".join(" and ".join(VENDORS[name].credential_variables) for name in route)
        raise SettingsError(f"nobody can be asked for {capability}: set {wanted}")
