"""Land attempts: turn them into raw rows and write the rows to files, without interpreting bodies.

A capture window has an id. Its files are `<window>-<flush>.parquet` in the hour of the request. Its capture ids contain
the window's id, so that ids of different windows never collide.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec
import polars as pl

from tiktok_pipeline import tables
from tiktok_pipeline.errors import LakeError
from tiktok_pipeline.lake.store import Lake, NameTakenError
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
    """One HTTP attempt, redacted, ready to be landed."""

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

    On the real clock a window belongs to one run. Its flushes get the next free numbers, also after an earlier attempt
    of the window or another window with the same name: a file is never replaced.

    On the replay clock a window is an hour. Repeating it gives the same responses, so its files are replaced. Flush 0
    is written when the hour is over; an hour without it is polled again as a whole. If an hour holds more than fits in
    memory, flushes from 1 on are written before.
    """

    lake: Lake
    table: tables.Table
    kind: str
    window: str | None = None
    run_id: str | None = None
    rows: int = 0
    # Rows on disk, by hour.
    hours: dict[datetime, int] = field(default_factory=dict)
    # Approximate size of the waiting rows.
    waiting_bytes: int = 0
    _waiting: list[Attempt] = field(default_factory=list)
    _flush: int = 0
    _parts: dict[datetime, int] = field(default_factory=dict)

    @property
    def waiting(self) -> int:
        """Rows that are not on disk yet."""
        return len(self._waiting)

    def add(self, attempt: Attempt) -> None:
        """Keep an attempt until the next flush."""
        self._waiting.append(attempt)
        self.waiting_bytes += _size(attempt)

    def flush(self, before: datetime | None = None, *, partly: bool = False) -> None:
        """Write waiting rows, one file per hour; with `before`, only rows of requests before that time.

        With `partly`, more rows of the same hours may follow; on the real clock this is always possible.

        Raises:
            LakeError: an hour could not be written. Its rows wait for the next flush; other hours are written.
        """
        by_hour: dict[datetime, list[Attempt]] = defaultdict(list)
        for attempt in self._waiting:
            by_hour[hour_of(attempt.requested_at)].append(attempt)
        failure: LakeError | None = None
        for hour, attempts in sorted(by_hour.items()):
            if before is not None and hour >= before:
                continue
            try:
                self._write(hour, attempts, partly=partly)
            except LakeError as error:
                failure = error
            else:
                self._waiting = [a for a in self._waiting if hour_of(a.requested_at) != hour]
                self.waiting_bytes = sum(map(_size, self._waiting))
        if failure is not None:
            raise failure

    def mark(self, hour: datetime) -> None:
        """Mark a replayed hour as complete: write an empty flush 0, unless there is one."""
        if not is_over(self.lake, self.table, hour, self.name(hour)):
            self._write(hour, [], partly=False)

    def name(self, hour: datetime) -> str:
        """Return the window's id: that of the run, or on the replay clock that of the hour."""
        return self.window or f"{self.kind}-{hour:%Y%m%dT%H}"

    def _write(self, hour: datetime, attempts: Sequence[Attempt], *, partly: bool) -> None:
        window = self.name(hour)
        if self.window is None:
            self._write_as(hour, attempts, self._part(hour, window, partly=partly), replace=True)
            return
        while True:
            taken = _flushes(self.lake.raw_window(self.table, hour, window))
            self._flush = max([self._flush, *(number + 1 for number in taken)])
            try:
                self._write_as(hour, attempts, self._flush, replace=False)
            except NameTakenError:
                continue  # another window of the same name took this number since the folder was listed
            return

    def _write_as(self, hour: datetime, attempts: Sequence[Attempt], flush: int, *, replace: bool) -> None:
        name = f"{self.name(hour)}-{flush:04d}"
        # The hour is part of the id where a window crosses it: both its files may be flush 0.
        frame = raw_frame(attempts, f"{captures_of(self.table, name)}{hour:%H}", self.run_id)
        self.lake.write_raw(self.table, hour, name, frame, replace=replace)
        self.rows += frame.height
        self.hours[hour] = self.hours.get(hour, 0) + frame.height

    def _part(self, hour: datetime, window: str, *, partly: bool) -> int:
        """Return the number of a replayed hour's next flush; first remove files of an interrupted attempt."""
        if hour not in self._parts:
            for number in filter(None, _flushes(self.lake.raw_window(self.table, hour, window))):
                (self.lake.hour_folder(self.table, hour) / f"{window}-{number:04d}.parquet").unlink(missing_ok=True)
        if not partly:
            return 0
        self._parts[hour] = self._parts.get(hour, 0) + 1
        return self._parts[hour]


@dataclass
class Landings:
    """The landings of one window, by table: one request may lead to another, whose response goes to another table."""

    lake: Lake
    kind: str
    window: str | None = None
    run_id: str | None = None
    _by_table: dict[str, Landing] = field(default_factory=dict)

    def of(self, table: tables.Table) -> Landing:
        """Return the landing of one table."""
        if table.name not in self._by_table:
            self._by_table[table.name] = Landing(self.lake, table, self.kind, self.window, self.run_id)
        return self._by_table[table.name]

    def add(self, attempt: Attempt) -> None:
        """Keep an attempt for the table of its capability."""
        capability = VENDORS[attempt.vendor].endpoints[attempt.request.endpoint]
        self.of(TABLE_OF_CAPABILITY[capability]).add(attempt)

    def flush(self, before: datetime | None = None, *, partly: bool = False) -> None:
        """Flush all landings: see `Landing.flush`."""
        failure: LakeError | None = None
        for landing in self._by_table.values():
            try:
                landing.flush(before, partly=partly)
            except LakeError as error:
                failure = error
        if failure is not None:
            raise failure

    @property
    def rows(self) -> int:
        """Rows on disk."""
        return sum(landing.rows for landing in self._by_table.values())

    @property
    def waiting(self) -> int:
        """Rows that are not on disk yet."""
        return sum(landing.waiting for landing in self._by_table.values())

    @property
    def waiting_bytes(self) -> int:
        """Return the approximate number of bytes that are not on disk yet."""
        return sum(landing.waiting_bytes for landing in self._by_table.values())


def is_over(lake: Lake, table: tables.Table, hour: datetime, window: str) -> bool:
    """Return whether a replayed window has written its last flush, which is flush 0."""
    return f"{window}-0000" in lake.raw_window(table, hour, window)


def _flushes(names: Iterable[str]) -> list[int]:
    """Return the flush numbers in file names; ignore other files."""
    return [int(number) for number in (name.rpartition("-")[2] for name in names) if number.isdecimal()]


def captures_of(table: tables.Table, window: str) -> str:
    """Return the common prefix of all capture ids of a window, or of one of its flushes."""
    return f"{table.name.removeprefix('raw_')}-{window}-"


def hour_of(moment: datetime) -> datetime:
    """Truncate a time to its hour."""
    return moment.replace(minute=0, second=0, microsecond=0)


def raw_frame(attempts: Sequence[Attempt], prefix: str, run_id: str | None) -> pl.DataFrame:
    """Convert attempts to rows of a raw table, sorted by creator and time; capture ids are `<prefix>-<number>`."""
    return pl.DataFrame(
        {
            "capture_id": [f"{prefix}-{number:06d}" for number in range(len(attempts))],
            "vendor": [a.vendor for a in attempts],
            "endpoint": [a.request.endpoint for a in attempts],
            "creator_id": [_writable(a.request.creator_id) for a in attempts],
            "subject": [_writable(a.request.subject) for a in attempts],
            "page": [a.request.page for a in attempts],
            "cursor": [_writable(a.request.cursor) for a in attempts],
            "requested_at": [a.requested_at for a in attempts],
            "received_at": [a.received_at for a in attempts],
            "observed_at": [a.observed_at for a in attempts],
            "elapsed_ms": [a.elapsed_ms for a in attempts],
            "attempt": [a.attempt for a in attempts],
            "http_status": [a.http_status for a in attempts],
            "outcome": [a.verdict.outcome.value for a in attempts],
            "error": [_writable(a.verdict.error) for a in attempts],
            "request_id": [_writable(a.verdict.request_id) for a in attempts],
            "credits": [a.verdict.credits for a in attempts],
            "headers": [msgspec.json.encode(a.headers).decode() for a in attempts],
            "body": _bodies(attempts),
            "run_id": [run_id] * len(attempts),
        },
        schema=tables.RAW_LIVES.schema,
    ).sort("creator_id", "requested_at", "capture_id", nulls_last=True)


def _bodies(attempts: Sequence[Attempt]) -> pl.Series:
    """Convert bodies to text. Bytes that are not UTF-8 become replacement characters at their positions.

    Through bytes: as a Python str, one character beyond Latin-1 turns a body of 16 MiB into one of 64 MiB.
    """
    return pl.Series("body", [_utf8(a.body) for a in attempts], dtype=pl.Binary).cast(pl.String)


def _utf8(body: bytes | None) -> bytes | None:
    if body is None or body.isascii():
        return body
    return body.decode("utf-8", "replace").encode()


def _writable(text: str | None) -> str | None:
    """Return text without lone surrogates: Parquet cannot store them."""
    return text if text is None or text.isascii() else text.encode("utf-8", "replace").decode()


# Memory of one row without its body, in bytes.
_ROW_BYTES = 2_000


def _size(attempt: Attempt) -> int:
    return _ROW_BYTES + len(attempt.body or b"")
