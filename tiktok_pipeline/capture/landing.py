"""Landing: attempts become raw rows, rows become files, and nothing is interpreted.

A capture window has an id; its files are `<window>-<flush>.parquet` in the hour that the request was sent in,
and its capture ids carry the window, so that whatever lands can be told from whatever else lands.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec
import polars as pl

from tiktok_pipeline import tables
from tiktok_pipeline.lake import Lake
from tiktok_pipeline.providers import VENDORS
from tiktok_pipeline.providers.vendor import Request, Verdict

TABLE_OF_CAPABILITY = {
    "live": tables.RAW_LIVES,
    "room": tables.RAW_LIVES,
    "profile": tables.RAW_PROFILES,
    "user_id": tables.RAW_PROFILES,
    "identity": tables.RAW_PROFILES,
    "stories": tables.RAW_STORIES,
    "live_check": tables.RAW_LIVES,
    "posts": tables.RAW_POSTS,
    "followers": tables.RAW_FOLLOWERS,
    "live_ranking": tables.RAW_LIVE_RANKINGS,
    "live_ranking_of": tables.RAW_LIVE_RANKINGS,
    "user_search": tables.RAW_USER_SEARCHES,
}


@dataclass(frozen=True)
class Attempt:
    """One HTTP attempt, redacted, as it will be landed."""

    vendor: str
    request: Request
    requested_at: datetime
    received_at: datetime
    observed_at: datetime
    elapsed_ms: float
    attempt: int
    http_status: int | None
    verdict: Verdict
    headers: dict[str, str]
    body: bytes | None


@dataclass
class Landing:
    """The rows of one window of one raw table, until they are flushed.

    On the real clock a window is a run's, and its flushes are numbered on after those that an earlier try of
    the same window landed: they are real answers, and paid for. On the replay clock a window is an hour, flushed
    once, and asking again gives the same answers: its file is replaced.
    """

    lake: Lake
    table: tables.Table
    kind: str
    window: str | None = None
    run_id: str | None = None
    rows: int = 0
    # Rows on disk, by hour.
    hours: dict[datetime, int] = field(default_factory=dict)
    _waiting: list[Attempt] = field(default_factory=list)
    _flush: int = 0

    def add(self, attempt: Attempt) -> None:
        """Keep an attempt until the next flush."""
        self._waiting.append(attempt)

    def flush(self, before: datetime | None = None) -> None:
        """Write what waits, one file an hour touched; with `before`, only what was sent before that moment."""
        by_hour: dict[datetime, list[Attempt]] = defaultdict(list)
        for attempt in self._waiting:
            by_hour[hour_of(attempt.requested_at)].append(attempt)
        for hour, attempts in sorted(by_hour.items()):
            if before is None or hour < before:
                self._write(hour, attempts)
                # Only now: a write that failed is tried again with the next flush.
                self._waiting = [a for a in self._waiting if hour_of(a.requested_at) != hour]

    def mark(self, hour: datetime) -> None:
        """Say that an hour was asked about and nothing was due: an empty file."""
        if not self.lake.raw_window(self.table, hour, self.name(hour)):
            self._write(hour, [])

    def name(self, hour: datetime) -> str:
        """The window's id: the run's, or on the replay clock the hour's."""
        return self.window or f"{self.kind}-{hour:%Y%m%dT%H}"

    def _write(self, hour: datetime, attempts: Sequence[Attempt]) -> None:
        window = self.name(hour)
        if self.window is not None:
            taken = [int(name.rpartition("-")[2]) for name in self.lake.raw_window(self.table, hour, window)]
            self._flush = max([self._flush, *(number + 1 for number in taken)])
        name = f"{window}-{self._flush:04d}"
        # The hour is part of the id where a window crosses it: both its files may be flush 0.
        frame = raw_frame(attempts, f"{captures_of(self.table, name)}{hour:%H}", self.run_id)
        self.lake.write_raw(self.table, hour, name, frame)
        self.rows += frame.height
        self.hours[hour] = self.hours.get(hour, 0) + frame.height


@dataclass
class Landings:
    """The landings of one window: a question that leads to another may land in another table."""

    lake: Lake
    kind: str
    window: str | None = None
    run_id: str | None = None
    _by_table: dict[str, Landing] = field(default_factory=dict)

    def of(self, table: tables.Table) -> Landing:
        """The landing of one table."""
        if table.name not in self._by_table:
            self._by_table[table.name] = Landing(self.lake, table, self.kind, self.window, self.run_id)
        return self._by_table[table.name]

    def add(self, attempt: Attempt) -> None:
        """Keep an attempt, for the table of what was asked."""
        capability = VENDORS[attempt.vendor].endpoints[attempt.request.endpoint]
        self.of(TABLE_OF_CAPABILITY[capability]).add(attempt)

    def flush(self, before: datetime | None = None) -> None:
        """Write what waits in all of them."""
        for landing in self._by_table.values():
            landing.flush(before)

    @property
    def rows(self) -> int:
        """Rows on disk."""
        return sum(landing.rows for landing in self._by_table.values())


def captures_of(table: tables.Table, window: str) -> str:
    """What the ids of all captures of a window (or of one of its flushes) begin with."""
    return f"{table.name.removeprefix('raw_')}-{window}-"


def hour_of(moment: datetime) -> datetime:
    """The hour that a moment is in."""
    return moment.replace(minute=0, second=0, microsecond=0)


def raw_frame(attempts: Sequence[Attempt], prefix: str, run_id: str | None) -> pl.DataFrame:
    """Attempts as rows of a raw table, sorted by creator and time; capture ids are `<prefix>-<number>`."""
    return pl.DataFrame(
        {
            "capture_id": [f"{prefix}-{number:06d}" for number in range(len(attempts))],
            "vendor": [a.vendor for a in attempts],
            "endpoint": [a.request.endpoint for a in attempts],
            "creator_id": [a.request.creator_id for a in attempts],
            "subject": [a.request.subject for a in attempts],
            "page": [a.request.page for a in attempts],
            "cursor": [a.request.cursor for a in attempts],
            "requested_at": [a.requested_at for a in attempts],
            "received_at": [a.received_at for a in attempts],
            "observed_at": [a.observed_at for a in attempts],
            "elapsed_ms": [a.elapsed_ms for a in attempts],
            "attempt": [a.attempt for a in attempts],
            "http_status": [a.http_status for a in attempts],
            "outcome": [a.verdict.outcome.value for a in attempts],
            "error": [a.verdict.error for a in attempts],
            "request_id": [a.verdict.request_id for a in attempts],
            "credits": [a.verdict.credits for a in attempts],
            "headers": [msgspec.json.encode(a.headers).decode() for a in attempts],
            # Bytes that are not UTF-8 cannot stand in a string column; the replacement mark says where they were.
            "body": [None if a.body is None else a.body.decode("utf-8", "replace") for a in attempts],
            "run_id": [run_id] * len(attempts),
        },
        schema=tables.RAW_LIVES.schema,
    ).sort("creator_id", "requested_at", "capture_id", nulls_last=True)
