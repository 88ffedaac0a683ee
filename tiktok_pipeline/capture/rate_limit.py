"""How hard one vendor is asked: requests in any second, and requests in flight.

The rate is a sliding window: request n leaves no sooner than a second after request n - rate, so that no second,
wherever it begins, holds more than `requests_per_second`. Windows that run beside each other share it: on the real
clock through a file of the last departures, on the replay clock through what the others have landed.
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

# Requests are timed where they leave, and counted where they arrive: one that opens a connection, on a busy machine,
# arrives later than the next on an open one. A tenth of the rate is given up for that.
_MARGIN_S = 0.1


class Departures(Protocol):
    """The departures of one vendor: when the next may be, and that one is."""

    def try_leave(self, now: datetime, burst: int, window: timedelta) -> datetime:
        """Note a departure at `now` and return `now`, or return the earliest time to try again."""


class OwnDepartures:
    """Departures of this window, beside those that other windows of the same time have landed."""

    def __init__(self, others: Sequence[datetime] = ()) -> None:
        self._all = sorted(others)

    def try_leave(self, now: datetime, burst: int, window: timedelta) -> datetime:
        """See `Departures`. Others may also lie ahead: a replay captures one table after the other."""
        first, last = bisect_right(self._all, now - window), bisect_left(self._all, now + window)
        if last - first < burst or not self._too_many(now, burst, window, first, last):
            insort(self._all, now)
            return now
        # The earliest departure that is in the way leaves the window first.
        return max(self._all[first] + window, now + timedelta(milliseconds=1))

    def _too_many(self, now: datetime, burst: int, window: timedelta, first: int, last: int) -> bool:
        """Whether any window that holds `now` would hold more than `burst` with one more."""
        near = self._all[first:last]
        insort(near, now)
        return any(near[n + burst] - near[n] < window for n in range(len(near) - burst))


class SharedDepartures:
    """Departures of every process of this deployment, in a small file under a lock.

    While the file cannot be read or written, as on a full disk, this process goes on with what it knows.
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
            # Another process may have left since `now` was read; further ahead is a clock that was set back, which
            # must not hold everybody up.
            latest = now.timestamp() + window.total_seconds()
            recent = [sent for sent in recent if sent <= latest][-burst:]
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
    """Return the requests a second that a gate with this limit lets through in the long run."""
    burst, window = _burst(requests_per_second, replaying=replaying)
    return burst / window.total_seconds()


def limit_for(sustained: float, *, replaying: bool = False) -> float:
    """Return the lowest limit, in requests a second, whose sustained rate is `sustained`: a whole number above 1."""
    margin = 0.0 if replaying else _MARGIN_S
    whole = sustained * (1 + margin)
    return float(math.ceil(whole)) if whole > 1 else 1 / (1 / sustained - margin)


def _burst(requests_per_second: float, *, replaying: bool) -> tuple[int, timedelta]:
    """Return a number of requests, and the window that holds no more than these."""
    burst = max(1, int(requests_per_second))
    window = timedelta(seconds=max(1.0, burst / requests_per_second))
    return burst, window if replaying else window + timedelta(seconds=_MARGIN_S)


class Gate:
    """Lets a request through when fewer than `max_in_flight` are out and the rate allows it.

    Below one request a second the window is longer than a second.
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
        """Wait for a turn; the turn ends with the block."""
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
            again = self._departures.try_leave(now, self._burst, self._window)
            if again <= now:
                self._in_flight += 1
                return
            await self._clock.sleep_until(again)
