"""The one clock: all time in the project comes from here.

The real clock waits. The replay clock jumps: when everybody who runs on it is asleep, it moves to the earliest
moment that somebody sleeps for, so that the same code polls days in seconds, and politeness holds in replayed
time. It never goes back, and it does not move while an answer is on its way: a replayed answer is received at
the instant that it was asked for.

`gather`, `park` and `wake` exist because the replay clock has to know who runs: code that waits for something
other than time or an answer says so with them. On the real clock they are plain asyncio.
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
    """What capture code may ask of time."""

    replaying: bool

    def now(self) -> datetime:
        """The time, UTC."""

    async def sleep_until(self, moment: datetime) -> None:
        """Return at `moment`, at once if it has passed."""

    async def gather(self, coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
        """Run them together and return their results in order."""

    async def park(self, future: asyncio.Future[None]) -> None:
        """Wait for somebody else on this clock to `wake` the future."""

    def wake(self, future: asyncio.Future[None]) -> None:
        """Let whoever parked on the future go on."""


class RealClock:
    """The time of day. With `speed` and `start`, that of a server whose clock runs fast: see `make dev`."""

    replaying = False

    def __init__(self, *, speed: float = 1.0, anchor: datetime | None = None, start: datetime | None = None) -> None:
        self.speed = speed
        self._anchor = anchor
        self._start = start or anchor

    def now(self) -> datetime:
        """The time, UTC."""
        return self.at(datetime.now(UTC))

    def at(self, wall: datetime) -> datetime:
        """What this clock shows at a time of day."""
        if self._anchor is None or self._start is None:
            return wall
        return self._start + (wall - self._anchor) * self.speed

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
        """Resolve the future, unless its waiter has gone."""
        if not future.done():
            future.set_result(None)


class ReplayClock:
    """A clock that stands still while anybody runs and jumps when all are asleep."""

    replaying = True

    def __init__(self, start: datetime) -> None:
        self._now = start
        self._order = itertools.count()
        self._sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = []
        # Whoever calls first runs; gather() adds those it starts, sleeping and parking take away.
        self._running = 1

    def now(self) -> datetime:
        """The replayed time, UTC."""
        return self._now

    async def sleep_until(self, moment: datetime) -> None:
        """Be the next to run once all others are asleep and none sleeps for an earlier moment."""
        if moment <= self._now:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (moment, next(self._order), future))
        self._rest()
        await future

    async def gather(self, coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
        """Run them together; the last to finish hands its turn back to the caller."""
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
        """Wait without holding the clock."""
        self._rest()
        await future

    def wake(self, future: asyncio.Future[None]) -> None:
        """Let the one who parked run again before the clock moves."""
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
    """Whether TIKTOK_PIPELINE_CLOCK says `replay`.

    Raises:
        SettingsError: it says something else than `real` or `replay`.
    """
    said = environment.get("TIKTOK_PIPELINE_CLOCK") or "real"
    if said not in ("real", "replay"):
        raise SettingsError("TIKTOK_PIPELINE_CLOCK must be real or replay")
    return said == "replay"


def real_clock(environment: Mapping[str, str] = os.environ) -> RealClock:
    """The real clock; fast where TIKTOK_PIPELINE_CLOCK_SPEED and _ANCHOR say so (`make dev` sets them).

    _ANCHOR is `<wall time>/<time that the clock showed then>`, both RFC 3339, so that every process agrees.
    """
    speed, anchor = environment.get("TIKTOK_PIPELINE_CLOCK_SPEED"), environment.get("TIKTOK_PIPELINE_CLOCK_ANCHOR")
    if not speed or not anchor:
        return RealClock()
    try:
        wall, _, shown = anchor.partition("/")
        clock = RealClock(speed=float(speed), anchor=datetime.fromisoformat(wall), start=datetime.fromisoformat(shown))
        if not 0 < float(speed) < float("inf"):
            raise ValueError("the speed must be above 0")
        clock.now()  # refuses times without a zone, and times out of range
    except (ValueError, TypeError, OverflowError) as error:
        raise SettingsError(f"TIKTOK_PIPELINE_CLOCK_SPEED or TIKTOK_PIPELINE_CLOCK_ANCHOR is wrong: {error}") from None
    return clock


def written(moment: datetime) -> str:
    """RFC 3339 with milliseconds and Z, as the `X-Replay-At` header carries it."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def hours_between(start: datetime, end: datetime) -> list[datetime]:
    """The starts of the hours that [start, end) touches."""
    hour = start.replace(minute=0, second=0, microsecond=0)
    hours = []
    while hour < end:
        hours.append(hour)
        hour += timedelta(hours=1)
    return hours
