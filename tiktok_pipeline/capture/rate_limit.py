"""Limit the requests to one vendor: per second, and in flight.

The limit is a sliding window: no interval of one second holds more than `requests_per_second` requests. Concurrent
windows share it: on the real clock through a file of the last send times, on the replay clock through the request times
of rows that other windows have landed.
"""

from __future__ import annotations

import asyncio
import fcntl
import io
import math
import os
import struct
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from tiktok_pipeline.capture.clock import Clock

# Requests are timed at send, but vendors count them on arrival. On a busy machine, a request on a new connection
# arrives later than the next request on an open one. A tenth of the rate is reserved as a margin for that.
_MARGIN_S = 0.1


class Departures(Protocol):
    """The send times of one vendor's requests."""

    def try_leave(self, now: datetime, burst: int, window: timedelta) -> datetime:
        """Record a request at `now` and return `now`, or return the earliest time to try again."""


class OwnDepartures:
    """Send times of this window and of concurrent windows that have landed rows."""

    def __init__(self, landed: Sequence[datetime] = ()) -> None:
        self._all = sorted(landed)

    def try_leave(self, now: datetime, burst: int, window: timedelta) -> datetime:
        """See `Departures`. Send times may lie ahead of `now`: a replay captures one table after the other."""
        first, last = bisect_right(self._all, now - window), bisect_left(self._all, now + window)
        if last - first < burst or not self._too_many(now, burst, window, first, last):
            insort(self._all, now)
            return now
        # The earliest of the conflicting requests leaves the window first.
        return max(self._all[first] + window, now + timedelta(milliseconds=1))

    def _too_many(self, now: datetime, burst: int, window: timedelta, first: int, last: int) -> bool:
        """Return whether one more request at `now` would put more than `burst` into a window that contains `now`."""
        near = self._all[first:last]
        insort(near, now)
        return any(near[n + burst] - near[n] < window for n in range(len(near) - burst))


class SharedDepartures:
    """Send times of all processes of this deployment, in a small locked file.

    While the file cannot be read or written, for example on a full disk, this process uses its own send times.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # Send times of this process that are not in the file yet.
        self._unwritten: tuple[float, ...] = ()

    def try_leave(self, now: datetime, burst: int, window: timedelta) -> datetime:
        """See `Departures`."""
        with self._locked() as file:
            written = b""
            if file is not None:
                with suppress(OSError):
                    written = file.read()
            count = len(written) // 8
            recent = sorted((*struct.unpack(f"<{count}d", written[: count * 8]), *self._unwritten))
            # Another process may have sent since `now` was read. Later times come from a clock that was set back since;
            # they are dropped, so that they do not block requests.
            latest = now.timestamp() + window.total_seconds()
            recent = [time for time in recent if time <= latest][-burst:]
            if len(recent) == burst and now.timestamp() - recent[0] < window.total_seconds():
                return datetime.fromtimestamp(recent[0], UTC) + window
            departures = sorted((*recent, now.timestamp()))[-burst:]
            self._unwritten = (*self._unwritten, now.timestamp())[-burst:]
            if file is not None:
                with suppress(OSError):
                    # Overwrite first, then truncate: this needs no new disk space.
                    file.seek(0)
                    if file.write(packed := struct.pack(f"<{len(departures)}d", *departures)) == len(packed):
                        file.truncate()
                        self._unwritten = ()
            return now

    @contextmanager
    def _locked(self) -> Iterator[io.FileIO | None]:
        """Open and lock the file; return None if that fails."""
        with ExitStack() as stack:
            file = None
            with suppress(OSError):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                opened = stack.enter_context(io.FileIO(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644), "r+b"))
                fcntl.flock(opened, fcntl.LOCK_EX)
                file = opened
            yield file


def sustained_rate(requests_per_second: float, *, replaying: bool = False) -> float:
    """Return the sustained requests per second that a gate with this limit allows."""
    burst, window = _burst(requests_per_second, replaying=replaying)
    return burst / window.total_seconds()


def limit_for(sustained: float, *, replaying: bool = False) -> float:
    """Return the lowest limit, in requests per second, with this sustained rate: a whole number above 1."""
    margin = 0.0 if replaying else _MARGIN_S
    whole = sustained * (1 + margin)
    return float(math.ceil(whole)) if whole > 1 else 1 / (1 / sustained - margin)


def _burst(requests_per_second: float, *, replaying: bool) -> tuple[int, timedelta]:
    """Return a number of requests, and the window that may hold at most that many."""
    burst = max(1, int(requests_per_second))
    window = timedelta(seconds=max(1.0, burst / requests_per_second))
    return burst, window if replaying else window + timedelta(seconds=_MARGIN_S)


class Gate:
    """Admits a request if fewer than `max_in_flight` are in flight and the rate limit allows it.

    Below one request per second the window is longer than a second.
    """

    def __init__(
        self, clock: Clock, requests_per_second: float, max_in_flight: int, departures: Departures | None = None
    ) -> None:
        self._clock = clock
        self._burst, self._window = _burst(requests_per_second, replaying=clock.replaying)
        self._departures = departures or OwnDepartures()
        self._max_in_flight = max_in_flight
        self._in_flight = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def passing(self) -> AsyncIterator[None]:
        """Wait for admission; the request counts as in flight within the block."""
        await self._enter()
        try:
            yield
        finally:
            self._in_flight -= 1
            if self._waiting:
                self._clock.wake(self._waiting.popleft())

    async def _enter(self) -> None:
        while True:
            if self._in_flight >= self._max_in_flight:
                turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._waiting.append(turn)
                await self._clock.park(turn)
                continue
            now = self._clock.now()
            earliest = self._departures.try_leave(now, self._burst, self._window)
            if earliest <= now:
                self._in_flight += 1
                return
            await self._clock.sleep_until(earliest)
