"""What a vendor has cost today, against the cap of the day: no request is sent that the cap has no room for.

Every window begins with what had landed, so that a restart forgets nothing; windows that run beside each other on
the real clock also share a small file, because what one of them has just spent has not landed yet.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Protocol

# Yesterday may still be settled; what is older is nobody's concern.
_DAYS_KEPT = 2


class Budget(Protocol):
    """The spending of one vendor, by day, in credits."""

    def affords(self, day: date, price: float, cap: float) -> bool:
        """Whether `price` more would still lie within `cap`."""

    def reserve(self, day: date, price: float, cap: float) -> bool:
        """Take `price` from the day's budget before a request leaves; False, and nothing taken, where it is spent."""

    def settle(self, day: date, difference: float) -> None:
        """Correct a reservation by what the answer cost more, or less."""


class OwnBudget:
    """Spending of one window, over what had landed when it began."""

    def __init__(self, landed: Mapping[date, float] | None = None) -> None:
        self._spent = dict(landed or {})

    def affords(self, day: date, price: float, cap: float) -> bool:
        """See `Budget`."""
        return self._spent.get(day, 0.0) + price <= cap

    def reserve(self, day: date, price: float, cap: float) -> bool:
        """See `Budget`."""
        if not self.affords(day, price, cap):
            return False
        self._spent[day] = self._spent.get(day, 0.0) + price
        return True

    def settle(self, day: date, difference: float) -> None:
        """See `Budget`."""
        self._spent[day] = self._spent.get(day, 0.0) + difference


class SharedBudget:
    """Spending of every process of this deployment, in a small file under a lock.

    A file that is lost is no loss: what landed is counted when a window begins. A window that was killed leaves its
    last reservation in the file: the day then ends a little early, never late.
    """

    def __init__(self, path: Path, landed: Mapping[date, float] | None = None) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._held() as spent:
            for day, credits in (landed or {}).items():
                spent[day.isoformat()] = max(spent.get(day.isoformat(), 0.0), credits)

    def affords(self, day: date, price: float, cap: float) -> bool:
        """See `Budget`."""
        with self._held() as spent:
            return spent.get(day.isoformat(), 0.0) + price <= cap

    def reserve(self, day: date, price: float, cap: float) -> bool:
        """See `Budget`."""
        with self._held() as spent:
            if spent.get(day.isoformat(), 0.0) + price > cap:
                return False
            spent[day.isoformat()] = spent.get(day.isoformat(), 0.0) + price
            return True

    def settle(self, day: date, difference: float) -> None:
        """See `Budget`."""
        if difference:
            with self._held() as spent:
                spent[day.isoformat()] = spent.get(day.isoformat(), 0.0) + difference

    @contextmanager
    def _held(self) -> Iterator[dict[str, float]]:
        """The totals by day, nobody else's while they are held; what is changed is kept."""
        with os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644), "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                spent: dict[str, float] = json.loads(file.read() or b"{}")
            except ValueError:
                spent = {}  # cut short by a crash: what landed was counted when this window began
            before = dict(spent)
            yield spent
            if spent != before:
                file.seek(0)
                file.truncate()
                file.write(json.dumps(dict(sorted(spent.items())[-_DAYS_KEPT:])).encode())
