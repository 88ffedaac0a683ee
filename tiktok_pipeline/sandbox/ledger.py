"""Requests, charges and damages, for tests and benchmarks. No response about the world depends on them."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from datetime import UTC, datetime
from typing import Any

from tiktok_pipeline.sandbox.damage import Damage

_LOG_ROWS = 500_000  # a demo of five days sends about a tenth of this; older rows are dropped


class Ledger:
    """Counts by vendor and endpoint, and one row a request in order."""

    def __init__(self) -> None:
        self._statuses: dict[tuple[str, str], Counter[int]] = {}
        self._credits: defaultdict[tuple[str, str], float] = defaultdict(float)
        self._charged: defaultdict[str, float] = defaultdict(float)
        self._log: deque[tuple[str, str, str, str, datetime, float, int, float]] = deque(maxlen=_LOG_ROWS)
        self._damages: deque[tuple[str, str, str, str, datetime, Damage]] = deque(maxlen=_LOG_ROWS)

    def record(
        self,
        vendor: str,
        endpoint: str,
        subject: str,
        at: datetime,
        wall: float,
        status: int,
        credits: float,
        *,
        query: str = "",
        damage: Damage | None = None,
    ) -> None:
        """Record one request; status 0 means a connection that was cut."""
        key = (vendor, endpoint)
        statuses = self._statuses.get(key)
        if statuses is None:
            statuses = self._statuses[key] = Counter()
        statuses[status] += 1
        if credits:
            self._credits[key] += credits
            self._charged[vendor] += credits
        self._log.append((vendor, endpoint, subject, query, at, wall, status, credits))
        if damage is not None:
            self._damages.append((vendor, endpoint, subject, query, at, damage))

    def charged(self, vendor: str) -> float:
        """Return the credits charged by a vendor in total."""
        return self._charged[vendor]

    def totals(self) -> list[dict[str, Any]]:
        """Return one row per vendor and endpoint."""
        return [
            {
                "vendor": vendor,
                "endpoint": endpoint,
                "requests": sum(statuses.values()),
                "by_status": {str(status): count for status, count in sorted(statuses.items())},
                "credits": self._credits[vendor, endpoint],
            }
            for (vendor, endpoint), statuses in sorted(self._statuses.items())
        ]

    def log(self) -> list[dict[str, Any]]:
        """Return one row a request, in the order of the responses."""
        return [
            {
                "vendor": vendor,
                "endpoint": endpoint,
                "subject": subject,
                "query": query,
                "at": at,
                "wall": datetime.fromtimestamp(wall, UTC),
                "status": status,
                "credits": credits,
            }
            for vendor, endpoint, subject, query, at, wall, status, credits in self._log
        ]

    def damages(self) -> list[dict[str, Any]]:
        """Return one row a response that the profile `hostile` damaged: the request, then part, kind and path."""
        return [
            {
                "vendor": vendor,
                "endpoint": endpoint,
                "subject": subject,
                "query": query,
                "at": at,
                "part": damage.part,
                "kind": damage.kind,
                "path": damage.path,
            }
            for vendor, endpoint, subject, query, at, damage in self._damages
        ]
