"""Write the rows of a window to the lake at intervals while the window runs."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime

from tiktok_pipeline.capture.client import Tally
from tiktok_pipeline.capture.clock import Clock
from tiktok_pipeline.capture.landing import Attempt, Landings, hour_of
from tiktok_pipeline.errors import CaptureError, LakeError
from tiktok_pipeline.tables import Table

# Size of the waiting bodies that triggers a flush before the next regular one.
_WAITING_BYTES = 8 * 2**20


# Retry policy of a window's last flush while the lake cannot be written: total time, and shortest interval.
_LAST_FLUSH_S = 600.0

_LAST_FLUSH_EVERY_S = 10.0


class Flusher:
    """Writes waiting rows: every `flush_seconds`, when their bodies are large, and at the end of a replayed hour.

    On the real clock a failed flush is reported, and its rows wait for the next one.
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
        """On the real clock, flush at intervals, so that responses do not stay in memory when requests pause."""

        async def flush_repeatedly() -> None:
            while True:
                await asyncio.sleep(self._seconds)
                self._try_flush()
                self._report(self._clock.now())

        timer = None if self._clock.replaying else asyncio.create_task(flush_repeatedly())
        try:
            yield
        finally:
            if timer is not None:
                timer.cancel()

    def add(self, attempt: Attempt) -> None:
        """Add an attempt; flush when a replayed hour is over, or when the waiting bodies are large."""
        self._landings.add(attempt)
        if self._clock.replaying:
            hour = hour_of(attempt.requested_at)
            if self._hour is not None and hour > self._hour:
                self._landings.flush(before=hour)
                check_usable_responses(self.tally, self._table)
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
            LakeError: the last retry failed; the message reports the number of lost rows.
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
            f"{self._table.name} {moment:%Y-%m-%d %H:%M}: {tally.requests:,} requests, "
            f"{tally.usable_responses:,} usable responses, {tally.credits:,.0f} credits"
            + (f", {waiting:,} rows wait in memory" if waiting else "")
        )


def check_usable_responses(tally: Tally, table: Table) -> None:
    """Fail a window in which no request got a usable response.

    Raises:
        CaptureError: the message names the failure of each vendor.
    """
    if tally.requests and not tally.usable_responses:
        troubles = "; ".join(f"{vendor}: {trouble}" for vendor, trouble in sorted(tally.troubles.items()))
        raise CaptureError(
            f"{table.name}: no vendor answered any of {tally.requests} requests ({troubles}). "
            "The responses are landed. Run `tiktok-pipeline check`."
        )
