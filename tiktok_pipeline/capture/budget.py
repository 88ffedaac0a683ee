"""Keep each vendor's daily spending within `credits_per_day`: a request over the cap is not sent.

A window starts from the credits in raw rows, so a restart loses no spending. On the real clock, concurrent windows also
share a small file, because their newest requests are not in raw rows yet.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Protocol

# Requests sent yesterday may still be settled after midnight; older days are not needed.
_DAYS_KEPT = 2


# Upper bound of one amount, so that sums stay finite. No account has as many credits.
_MOST = 1e15


def known_credits(credits: float | None) -> float | None:
    """Return the credits as charged; None if they are missing, negative, NaN or infinite."""
    return credits if credits is not None and math.isfinite(credits) and credits >= 0 else None


class Budget(Protocol):
    """The spending of one vendor, by day, in credits."""

    def affords(self, day: date, price: float, cap: float) -> bool:
        """Return whether `price` more is within `cap`."""

    def reserve(self, day: date, price: float, cap: float) -> bool:
        """Add `price` to the day's spending before a request is sent; False, without adding, if it exceeds `cap`."""

    def settle(self, day: date, difference: float) -> None:
        """Correct a reservation by the difference between the charged credits and the price."""


class OwnBudget:
    """Spending of one window, added to the credits in raw rows at its start."""

    def __init__(self, landed: Mapping[date, float] | None = None) -> None:
        self._spent = {day: _amount(credits) for day, credits in (landed or {}).items()}

    def affords(self, day: date, price: float, cap: float) -> bool:
        """See `Budget`."""
        return self._spent.get(day, 0.0) + price <= cap

    def reserve(self, day: date, price: float, cap: float) -> bool:
        """See `Budget`."""
        if not self.affords(day, price, cap):
            return False
        self.settle(day, price)
        return True

    def settle(self, day: date, difference: float) -> None:
        """See `Budget`."""
        if math.isfinite(difference):
            self._spent[day] = _amount(self._spent.get(day, 0.0) + difference)


class SharedBudget:
    """Spending of all processes of this deployment, in a small locked file.

    A lost file does no harm: each window counts the credits in raw rows when it begins. A killed window leaves its
    last reservation in the file, so the cap is reached a little early, never late. While the file cannot be read or
    written, for example on a full disk, this process continues with its own totals.
    """

    def __init__(self, path: Path, landed: Mapping[date, float] | None = None) -> None:
        self._path = path
        # The totals at the last read, and the amounts of this process that are not in the file yet.
        self._known: dict[str, float] = {}
        self._unwritten: dict[str, float] = {}
        with self._held() as spent:
            for day, credits in (landed or {}).items():
                spent[day.isoformat()] = max(spent.get(day.isoformat(), 0.0), _amount(credits))

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
        if difference and math.isfinite(difference):
            with self._held() as spent:
                spent[day.isoformat()] = _amount(spent.get(day.isoformat(), 0.0) + difference)

    @contextmanager
    def _held(self) -> Iterator[dict[str, float]]:
        """Yield the totals by day, locked against other processes; write them back if they changed."""
        descriptor = self._locked()
        try:
            written = dict(self._known) if descriptor is None else _read(descriptor)
            spent = dict(written)
            for day, amount in self._unwritten.items():
                spent[day] = _amount(spent.get(day, 0.0) + amount)
            yield spent
            if spent != written and not (descriptor is not None and _write(descriptor, spent)):
                self._unwritten = {day: spent[day] - written.get(day, 0.0) for day in spent}
            else:
                written, self._unwritten = spent, {}
            self._known = written
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def _locked(self) -> int | None:
        """Open and lock the file; return None if that fails."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:
            os.close(descriptor)
            return None
        return descriptor


# Fixed size of the file: its disk block is already allocated, so it can be written when the disk is full.
_FILE_BYTES = 512


def _read(descriptor: int) -> dict[str, float]:
    """Return the totals in the file; empty if the file is truncated or invalid."""
    try:
        found = json.loads(os.pread(descriptor, 2 * _FILE_BYTES, 0) or b"{}")
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {day: _amount(spent) for day, spent in found.items() if isinstance(spent, int | float)}


def _write(descriptor: int, spent: Mapping[str, float]) -> bool:
    """Write the newest days; return whether the write was complete."""
    content = json.dumps(dict(sorted(spent.items())[-_DAYS_KEPT:])).encode().ljust(_FILE_BYTES)
    try:
        return os.pwrite(descriptor, content, 0) == len(content)
    except OSError:
        return False


def _amount(credits: float) -> float:
    """Clamp credits to 0 to `_MOST`, so that sums stay finite; 0 for NaN."""
    return min(max(credits, 0.0), _MOST) if not math.isnan(credits) else 0.0
