"""Circuit breaker: pause requests to a vendor after an account error, or after repeated failures."""

from __future__ import annotations

from datetime import datetime, timedelta

from tiktok_pipeline.providers.vendor import Fate, Verdict

# The pause doubles up to this limit: a recovered vendor is used again within 15 minutes.
_LONGEST_PAUSE = timedelta(minutes=15)


class Circuit:
    """Closed: requests pass. Open: the vendor is skipped until the pause ends, then one trial passes (half-open).

    An error of the whole account (key, credits, session) opens it at once. `failures` failed attempts in a row
    open it for `pause`, which doubles after each failed trial.
    """

    def __init__(self, failures: int, pause_s: float) -> None:
        self._failures = failures
        self._pause = self._next_pause = timedelta(seconds=pause_s)
        self._in_a_row = 0
        self._open_until: datetime | None = None
        self._trying = False
        self.reason: str | None = None

    def allows(self, now: datetime) -> bool:
        """Return whether a request may be sent; when half-open, allow one at a time."""
        if self._open_until is None:
            return True
        if now < self._open_until or self._trying:
            return False
        self._trying = True
        return True

    def record(self, verdict: Verdict, now: datetime) -> None:
        """Update the circuit with the verdict of an attempt."""
        trial, self._trying = self._trying, False
        if verdict.fate in (Fate.USABLE, Fate.PERMANENT):
            self._in_a_row, self._open_until, self._next_pause, self.reason = 0, None, self._pause, None
            return
        if self._open_until is not None and not trial:
            return  # sent before the circuit opened: already counted as one failure
        self._in_a_row += 1
        if verdict.fate is Fate.VENDOR or self._in_a_row >= self._failures:
            self.reason = verdict.error or verdict.outcome.value
            self._open_until = now + self._next_pause
            self._next_pause = min(self._next_pause * 2, _LONGEST_PAUSE)
