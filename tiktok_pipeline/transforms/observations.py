"""Raw rows to observations: each body is decoded once and gives rows of every normalized table.

Values that cannot be read go to `quarantine` with a reason, and the rest goes on. This file also adds what one body
does not contain: a failed live request is an `unknown` reading, and a 404 means off air if the profile is known.
`transforms/identity.py` decides by day whether a body is about the creator.
"""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from tiktok_pipeline import tables
from tiktok_pipeline.providers import VENDORS, guard
from tiktok_pipeline.providers.observations import (
    ABSENT,
    FollowerReading,
    HitReading,
    LiveReading,
    PostReading,
    Problem,
    ProfileReading,
    RankingReading,
    Reading,
    StoryReading,
    VariantReading,
)
from tiktok_pipeline.providers.vendor import Outcome

_TABLE_OF_READING: dict[type, tables.Table] = {
    ProfileReading: tables.PROFILE_OBSERVATIONS,
    LiveReading: tables.LIVE_OBSERVATIONS,
    VariantReading: tables.STREAM_VARIANTS,
    StoryReading: tables.STORY_OBSERVATIONS,
    PostReading: tables.POST_OBSERVATIONS,
    FollowerReading: tables.FOLLOWER_LIST_ENTRIES,
    RankingReading: tables.LIVE_RANKING_ENTRIES,
    HitReading: tables.SEARCH_HITS,
}
NORMALIZED = (*_TABLE_OF_READING.values(), tables.QUARANTINE)

_LIVE_CAPABILITIES = ("live", "room", "live_check")

# How long a successful profile proves that a creator exists, so that "not found" from /live means off air.
PROFILE_VOUCHES_FOR = timedelta(hours=48)


def read_bodies(raw: pl.DataFrame, table: str, *, hash_key: bytes) -> dict[str, pl.DataFrame]:
    """Return the observations in the rows of one raw table, unfiltered; `identity.expel` removes other accounts.

    Args:
        raw: rows with the raw columns, of one raw table.
        table: that table's name, for the quarantine.
        hash_key: key of the one-way hash of followers' ids.

    Returns:
        A frame for each normalized table, by name, in its schema.
    """
    batch = _Batch(table, hash_key)
    columns = ("capture_id", "vendor", "endpoint", "creator_id", "subject", "page", "observed_at", "outcome", "body")
    # A loop over rows: msgspec decodes one body at a time, and one bad body must cost one row, not a batch.
    with _no_garbage_collection():
        for row in raw.select(columns).iter_rows():
            batch.read(*row)
    return batch.frames()


# Raw rows of a newer release may have other outcomes.
_OUTCOMES = frozenset(Outcome)


class _Batch:
    def __init__(self, raw_table: str, hash_key: bytes) -> None:
        self._raw_table = raw_table
        self._hash_key = hash_key
        self._found: dict[type, list[tuple[Any, ...]]] = {kind: [] for kind in _TABLE_OF_READING}
        self._problems: list[tuple[Any, ...]] = []

    def read(
        self,
        capture_id: str,
        vendor: str,
        endpoint: str,
        creator_id: str | None,
        subject: str,
        page: int,
        observed_at: datetime,
        outcome: str,
        body: str | None,
    ) -> None:
        about = (creator_id, vendor, observed_at, capture_id)
        reader = VENDORS.get(vendor)
        capability = reader.endpoints.get(endpoint) if reader else None
        if reader is None or capability is None:
            self._quarantine(about, Problem("no reader for this vendor and endpoint", None, f"{vendor} {endpoint}"))
            return
        readings: list[Reading] = []
        if outcome not in _OUTCOMES:
            self._quarantine(about, Problem("an outcome that this release does not know", "outcome", outcome))
        elif outcome == Outcome.MALFORMED:
            self._quarantine(about, Problem("the body is not what the vendor documents", None, (body or "")[:200]))
        else:
            for reading in guard.read(reader, endpoint, Outcome(outcome), (body or "").encode()):
                if isinstance(reading, Problem):
                    self._quarantine(about, reading)
                else:
                    readings.append(reading)
        # A live request without a state in its response is a reading too: unknown, never off air.
        if capability in _LIVE_CAPABILITIES and not any(isinstance(r, LiveReading) for r in readings):
            readings.append(LiveReading(live_state="unknown", evidence="weak", reason=outcome))
        for reading in readings:
            self._found[type(reading)].append((*about, *self._row(reading, subject, page).values()))

    def _row(self, reading: Reading, subject: str, page: int) -> dict[str, Any]:
        """Return a reading's columns, and those that only the request has."""
        row = {name: getattr(reading, name) for name in reading.__struct_fields__}
        if isinstance(reading, FollowerReading):
            plain = row.pop("follower_id").encode()
            key = hashlib.blake2b(plain, key=self._hash_key, digest_size=16).hexdigest()
            return {"follower_key": key, "page": page} | row
        if isinstance(reading, RankingReading):
            kind, _, region = subject.partition(":")
            return {"list": kind, "region": region or None} | row
        if isinstance(reading, HitReading):
            return {"keyword": subject} | row
        return row

    def _quarantine(self, about: tuple[Any, ...], problem: Problem) -> None:
        value = None if problem.value is None else problem.value[:200]
        self._problems.append((*about, self._raw_table, problem.reason[:200], problem.field, value))

    def frames(self) -> dict[str, pl.DataFrame]:
        frames = {}
        for kind, table in _TABLE_OF_READING.items():
            # Rows are in the order of the reading's fields; the table has its own.
            fields = {name: table.schema[name] for name in _COLUMNS[kind]}
            frame = pl.DataFrame(self._found[kind], schema=fields, orient="row")
            frames[table.name] = frame.select(table.schema.names())
        frames[tables.QUARANTINE.name] = pl.DataFrame(self._problems, schema=tables.QUARANTINE.schema, orient="row")
        return frames


_ABOUT = ("creator_id", "vendor", "observed_at", "capture_id")
_FROM_QUESTION: dict[type, tuple[str, ...]] = {
    FollowerReading: ("follower_key", "page"),
    RankingReading: ("list", "region"),
    HitReading: ("keyword",),
}
_COLUMNS: dict[type, tuple[str, ...]] = {
    kind: (
        *_ABOUT,
        *_FROM_QUESTION.get(kind, ()),
        *(name for name in kind.__struct_fields__ if name != "follower_id"),  # type: ignore[attr-defined]
    )
    for kind in _TABLE_OF_READING
}


def settle_absences(live: pl.DataFrame, responses: pl.DataFrame) -> pl.DataFrame:
    """Return `live` with "not found" changed to off air (weak) if the creator is known to exist.

    KonbiniAPI returns the same 404 for offline, private and unknown (docs/vendors.md 2.4). A profile that was
    found within `PROFILE_VOUCHES_FOR`, and not refuted since, tells them apart. Before the first profile response,
    the next one after vouches too.

    Args:
        live: LIVE_OBSERVATIONS schema.
        responses: creator_id, observed_at, known (bool): the results of profile requests, any order.
    """
    profiles = responses.filter(pl.col("creator_id").is_not_null()).sort("observed_at")
    absent = (pl.col("reason") == ABSENT).fill_null(value=False)
    if profiles.is_empty() or live.is_empty():
        return live
    open_questions = live.sort("observed_at").with_row_index("row")
    before, after = (
        open_questions.join_asof(
            profiles,
            on="observed_at",
            by="creator_id",
            strategy=strategy,
            tolerance=PROFILE_VOUCHES_FOR,
            check_sortedness=False,
        )["known"]
        for strategy in ("backward", "forward")
    )
    exists = pl.Series("exists", before).fill_null(pl.Series(after)).fill_null(value=False)
    off_air = absent & exists
    return (
        open_questions.with_columns(
            live_state=pl.when(off_air).then(pl.lit("ended")).otherwise("live_state"),
            reason=pl.when(off_air).then(pl.lit("absent, and the profile is known")).otherwise("reason"),
        )
        .drop("row")
        .select(live.columns)
    )


def profile_existence(requests: pl.DataFrame) -> pl.DataFrame:
    """Return the existence of creators by profile requests: creator_id, vendor, endpoint, observed_at, known.

    Args:
        requests: `identity.REQUEST_COLUMNS` of raw rows.
    """
    profile_endpoints = [
        (vendor.name, endpoint)
        for vendor in VENDORS.values()
        for endpoint, capability in vendor.endpoints.items()
        if capability == "profile"
    ]
    is_profile = pl.any_horizontal(
        (pl.col("vendor") == vendor) & (pl.col("endpoint") == endpoint) for vendor, endpoint in profile_endpoints
    )
    return (
        requests.filter(is_profile, pl.col("outcome").is_in(["ok", "private", "not_found"]))
        # A private account cannot be watched: a missing live room then does not mean off air.
        .select("creator_id", "vendor", "endpoint", "observed_at", known=pl.col("outcome") == "ok")
    )


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Pause garbage collection: for millions of small objects without cycles it costs 5 to 12 % and finds nothing."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
