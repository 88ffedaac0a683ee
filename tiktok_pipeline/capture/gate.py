"""How hard one vendor is asked: requests in any second, and requests in flight."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from tiktok_pipeline.capture.clock import Clock

# Requests are timed where they leave; the network may bring two of them closer together on arrival.
_MARGIN_S = 0.05


class Gate:
    """Lets a request through when fewer than `max_in_flight` are out and the rate allows it.

    The rate is a sliding window: request n leaves no sooner than a second after request n - rate, so that no
    second, wherever it begins, holds more than `requests_per_second`. Below one a second the window is longer.
    """

    def __init__(self, clock: Clock, requests_per_second: float, max_in_flight: int) -> None:
        self._clock = clock
        self._burst = max(1, int(requests_per_second))
        self._window = timedelta(seconds=max(1.0, self._burst / requests_per_second))
        if not clock.replaying:
            self._window += timedelta(seconds=_MARGIN_S)
        self._sent: deque[datetime] = deque(maxlen=self._burst)
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
            free = self._sent[0] + self._window if len(self._sent) == self._burst else now
            if free <= now:
                self._sent.append(now)
                self._in_flight += 1
                return
            await self._clock.sleep_until(free)
