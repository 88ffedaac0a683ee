"""When a vendor is left alone: after a refusal that no retry mends, or after failures in a row."""

from __future__ import annotations

from datetime import datetime, timedelta

from tiktok_pipeline.providers.vendor import Fate, Verdict

# Doubling pauses end here: a vendor that comes back is found again within the quarter of an hour.
_LONGEST_PAUSE = timedelta(minutes=15)


class Circuit:
    """Closed: ask. Open: pass the vendor over until the pause ends, then let one request try (half-open).

    A refusal of the whole account (key, credits, session) opens it at once; `failures` failed attempts in a row
    open it for `pause`, doubled each time that the trial fails.
    """

    def __init__(self, failures: int, pause_s: float) -> None:
        self._failures = failures
        self._pause = self._next_pause = timedelta(seconds=pause_s)
        self._in_a_row = 0
        self._open_until: datetime | None = None
        self._trying = False
        self.reason: str | None = None

    def allows(self, now: datetime) -> bool:
        """Whether a request may be sent; when half-open, to one caller at a time."""
        if self._open_until is None:
            return True
        if now < self._open_until or self._trying:
            return False
        self._trying = True
        return True

    def record(self, verdict: Verdict, now: datetime) -> None:
        """What the last attempt came to."""
        trial, self._trying = self._trying, False
        if verdict.fate in (Fate.ANSWER, Fate.PERMANENT):
            self._in_a_row, self._open_until, self._next_pause, self.reason = 0, None, self._pause, None
            return
        if self._open_until is not None and not trial:
            return  # was on its way when the circuit opened: one trouble, not many
        self._in_a_row += 1
        if verdict.fate is Fate.VENDOR or self._in_a_row >= self._failures:
            self.reason = verdict.error or verdict.outcome.value
            self._open_until = now + self._next_pause
            self._next_pause = min(self._next_pause * 2, _LONGEST_PAUSE)
