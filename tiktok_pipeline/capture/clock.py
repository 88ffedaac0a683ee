"""The clocks. All capture code takes its time from one of them.

The real clock waits. The replay clock jumps: when all its tasks sleep, it moves to the earliest wake-up time. So the
same code replays days in seconds, and rate limits hold in replayed time. It never goes back. It stands still during a
request, so a replayed response is received at the time of its request.

The replay clock must know which tasks run. A task that waits for anything but time or a response uses `gather`, `park`
and `wake`. On the real clock these are plain asyncio.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import os
from collections.abc import Coroutine, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar

from tiktok_pipeline.errors import SettingsError

T = TypeVar("T")


class Clock(Protocol):
    """Time and waiting for capture code."""

    replaying: bool

    def now(self) -> datetime:
        """The time, UTC."""

    async def sleep_until(self, moment: datetime) -> None:
        """Wait until `moment`; return at once if it has passed."""

    async def gather(self, coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
        """Run coroutines concurrently and return their results in order."""

    async def park(self, future: asyncio.Future[None]) -> None:
        """Wait until another task on this clock calls `wake` for the future."""

    def wake(self, future: asyncio.Future[None]) -> None:
        """Resume the task that waits for the future."""


class RealClock:
    """The system time, or with `speed` and `start` the time of a server whose clock runs fast: see `make dev`."""

    replaying = False

    def __init__(self, *, speed: float = 1.0, anchor: datetime | None = None, start: datetime | None = None) -> None:
        self.speed = speed
        self._anchor = anchor
        self._start = start or anchor

    def now(self) -> datetime:
        """The time, UTC."""
        return self.at(datetime.now(UTC))

    def at(self, wall: datetime) -> datetime:
        """Convert a system time to the time of this clock, which stands still until its anchor."""
        if self._anchor is None or self._start is None:
            return wall
        return self._start + max(wall - self._anchor, timedelta(0)) * self.speed

    def stands_still(self, wall: datetime) -> bool:
        """Return whether this clock has not started at a system time."""
        return self._anchor is not None and wall < self._anchor

    async def sleep_until(self, moment: datetime) -> None:
        """Wait until `moment`."""
        seconds = (moment - self.now()).total_seconds() / self.speed
        if seconds > 0:
            await asyncio.sleep(seconds)

    async def gather(self, coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
        """`asyncio.gather`."""
        return list(await asyncio.gather(*coroutines))

    async def park(self, future: asyncio.Future[None]) -> None:
        """Wait for the future."""
        await future

    def wake(self, future: asyncio.Future[None]) -> None:
        """Resolve the future, unless it is done or cancelled."""
        if not future.done():
            future.set_result(None)


class ReplayClock:
    """A clock that stands still while a task runs, and jumps when all tasks sleep."""

    replaying = True

    def __init__(self, start: datetime) -> None:
        self._now = start
        self._order = itertools.count()
        self._sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = []
        # Tasks that run: the first caller, plus those of gather(), less those that sleep or are parked.
        self._running = 1

    def now(self) -> datetime:
        """The replayed time, UTC."""
        return self._now

    async def sleep_until(self, moment: datetime) -> None:
        """Wait until all other tasks sleep and no earlier wake-up time is left."""
        if moment <= self._now:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (moment, next(self._order), future))
        self._rest()
        await future

    async def gather(self, coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
        """Run coroutines concurrently; the caller counts as running again when the last one ends."""
        pending = list(coroutines)
        left = len(pending)
        if not left:
            return []

        async def turn(coroutine: Coroutine[Any, Any, T]) -> T:
            nonlocal left
            try:
                return await coroutine
            finally:
                left -= 1
                if left:
                    self._rest()

        self._running += left - 1
        tasks = [asyncio.ensure_future(turn(coroutine)) for coroutine in pending]
        try:
            return list(await asyncio.gather(*tasks))
        except BaseException:
            for task in tasks:
                task.cancel()
            raise

    async def park(self, future: asyncio.Future[None]) -> None:
        """Wait for the future; the clock may jump meanwhile."""
        self._rest()
        await future

    def wake(self, future: asyncio.Future[None]) -> None:
        """Count the parked task as running before the clock moves, and resume it."""
        if not future.done():
            self._running += 1
            future.set_result(None)

    def _rest(self) -> None:
        self._running -= 1
        if self._running == 0 and self._sleepers:
            self._now = self._sleepers[0][0]
            while self._sleepers and self._sleepers[0][0] == self._now:
                self.wake(heapq.heappop(self._sleepers)[2])


def replaying(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether TIKTOK_PIPELINE_CLOCK is `replay`.

    Raises:
        SettingsError: the variable is neither `real` nor `replay`.
    """
    value = environment.get("TIKTOK_PIPELINE_CLOCK") or "real"
    if value not in ("real", "replay"):
        raise SettingsError(f"TIKTOK_PIPELINE_CLOCK must be real or replay, not {value[:40]!r}")
    return value == "replay"


def real_clock(environment: Mapping[str, str] = os.environ) -> RealClock:
    """Return the real clock; a fast one if TIKTOK_PIPELINE_CLOCK_SPEED and _ANCHOR are set, as `make dev` does.

    _ANCHOR is `<system time>/<time of the fast clock then>`, both RFC 3339, so that all processes agree.
    """
    speed, anchor = environment.get("TIKTOK_PIPELINE_CLOCK_SPEED"), environment.get("TIKTOK_PIPELINE_CLOCK_ANCHOR")
    if not speed or not anchor:
        return RealClock()
    try:
        wall, _, shown = anchor.partition("/")
        clock = RealClock(speed=float(speed), anchor=datetime.fromisoformat(wall), start=datetime.fromisoformat(shown))
        if not 0 < float(speed) < float("inf"):
            raise ValueError("the speed must be above 0")
        clock.now()  # raises for times without a zone, and for times out of range
    except (ValueError, TypeError, OverflowError) as error:
        raise SettingsError(
            f"TIKTOK_PIPELINE_CLOCK_SPEED or TIKTOK_PIPELINE_CLOCK_ANCHOR is invalid: {error}"
        ) from None
    return clock


def rfc3339(moment: datetime) -> str:
    """Format as RFC 3339 with milliseconds and Z, for the `X-Replay-At` header."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def hours_between(start: datetime, end: datetime) -> list[datetime]:
    """Return the starts of the hours that overlap [start, end)."""
    hour = start.replace(minute=0, second=0, microsecond=0)
    hours = []
    while hour < end:
        hours.append(hour)
        hour += timedelta(hours=1)
    return hours
