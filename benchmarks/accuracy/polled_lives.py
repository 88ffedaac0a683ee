"""Simulate streams and the responses of vendors that are polled about them.

The model is that of docs/methods.md 9.4. Vendors have false off-air responses, errors and caches. Streams reconnect,
most of them in a new room. The poller polls more often while it takes a creator to be on air. Habits and rates are
assumptions: ratios between rule sets carry over to real data, absolute figures do not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import polars as pl

from tiktok_pipeline.tables import LIVE_OBSERVATIONS

_EPOCH_S = datetime(2026, 3, 2, tzinfo=UTC).timestamp()
_DAY_S = 86_400.0
_LEAST_GAP_S = 20 * 60.0  # by construction: a shorter gap is a reconnect
_OFF_AIR_S, _ON_AIR_S, _CONFIRM_S = 15 * 60.0, 5 * 60.0, 2 * 60.0
_ROOM_TYPE = 11


@dataclass(frozen=True)
class Vendor:
    """One vendor: shares of wrong and failed responses, the cache time, and whether it names the room."""

    name: str
    false_offline: float
    errors: float
    cache_s: float
    says_start: float  # Share of responses with the start.
    names_room: bool = True

    def flaky(self, false_offline: float) -> Vendor:
        """Return the same vendor with another share of false off-air responses."""
        return replace(self, false_offline=false_offline)


VENDORS = (
    Vendor("social_fetch", 0.01, 0.02, 30.0, 0.9),
    Vendor("konbini", 0.02, 0.05, 8 * 60.0, 0.9),
    Vendor("tikliveapi", 0.03, 0.03, 3 * 60.0, 0.0, names_room=False),
)
# The middle one is polled most, the flag of a profile least.
_SHARES = (0.5, 0.4, 0.1)


@dataclass(frozen=True)
class Room:
    """One true room, in seconds since the simulation began."""

    room_id: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Lives:
    """`truth`: creator_id, started_at, ended_at of every true stream. `live`: LIVE_OBSERVATIONS."""

    truth: pl.DataFrame
    live: pl.DataFrame
    as_of: datetime


def simulate(
    *, creators: int, days: int, seed: int, vendors: tuple[Vendor, ...] = VENDORS, ask_room: bool = False
) -> Lives:
    """Simulate and poll streams of `creators` over `days`; with `ask_room`, poll the room once after each end."""
    rng = np.random.default_rng(seed)
    truth: list[tuple[str, float, float]] = []
    rows: list[tuple[object, ...]] = []
    for number in range(creators):
        creator = f"creator.{number:04d}"
        spans = _spans(rng, days * _DAY_S)
        rooms = [room for span in spans for room in _rooms(rng, *span, number)]
        truth += [(creator, start, end) for start, end in spans]
        rows += _poll(rng, creator, rooms, days * _DAY_S, vendors, ask_room=ask_room)
    times = [pl.from_epoch(pl.col(name) * 1e6, "us").dt.replace_time_zone("UTC") for name in ("started_at", "ended_at")]
    return Lives(
        truth=pl.DataFrame(truth, schema=["creator_id", "started_at", "ended_at"], orient="row")
        .with_columns(*(pl.col(name) + _EPOCH_S for name in ("started_at", "ended_at")))
        .with_columns(times),
        live=_frame(rows),
        as_of=datetime.fromtimestamp(_EPOCH_S + days * _DAY_S, UTC),
    )


def _spans(rng: np.random.Generator, until_s: float) -> list[tuple[float, float]]:
    """Draw streams of one creator: on half of the days, mostly evenings, 5 minutes to 6 hours, sometimes a second
    one.
    """
    evening = rng.uniform(0, _DAY_S)
    median = 59 * 60 * math.exp(rng.normal(0, 0.4))
    starts = []
    for day in range(int(until_s // _DAY_S)):
        if rng.random() < 0.45:
            starts.append(day * _DAY_S + evening + rng.normal(0, 3_600))
            if rng.random() < 0.12:
                starts.append(starts[-1] + rng.uniform(1.5, 6) * 3_600)
    spans: list[tuple[float, float]] = []
    free = 2 * 3_600.0
    for start in sorted(starts):
        short = rng.random() < 0.13
        length = rng.uniform(5, 14) * 60 if short else min(max(median * math.exp(rng.normal(0, 0.7)), 300), 21_600)
        if free <= start and start + length < until_s - 3_600:
            spans.append((start, start + length))
            free = start + length + _LEAST_GAP_S
    return spans


def _rooms(rng: np.random.Generator, start: float, end: float, number: int) -> list[Room]:
    """Draw one room, or in a tenth of the streams a lost connection: six of ten return in a new room."""
    cuts = [(start, end)]
    if end - start > 900 and rng.random() < 0.1:
        lost = start + (end - start) * rng.uniform(0.2, 0.7)
        back = lost + rng.uniform(60, 360)
        if back < end - 60:
            cuts = [(start, lost), (back, end)]
    same_room = rng.random() < 0.4
    rooms = []
    for begin, finish in cuts:
        created = int(_EPOCH_S + begin - rng.uniform(0, 60))
        room_id = str(created << 32 | number % 1024 << 12 | _ROOM_TYPE << 8 | int(rng.integers(256)))
        rooms.append(Room(rooms[0].room_id if rooms and same_room else room_id, begin, finish))
    return rooms


def _poll(
    rng: np.random.Generator,
    creator: str,
    rooms: list[Room],
    until_s: float,
    vendors: tuple[Vendor, ...],
    *,
    ask_room: bool,
) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    kept: dict[str, tuple[float, tuple[object, ...]]] = {}
    shares = np.cumsum(_SHARES[: len(vendors)]) / sum(_SHARES[: len(vendors)])
    now, on_air, pending, last_room, position = rng.uniform(0, _OFF_AIR_S), False, False, None, 0
    first_start = {room.room_id: room.start_s for room in reversed(rooms)}
    while now < until_s:
        vendor = vendors[int(np.searchsorted(shares, rng.random()))]
        while position < len(rooms) and rooms[position].end_s <= now - 3_600:
            position += 1
        draw = rng.random(4)
        if draw[0] < vendor.errors:
            response: tuple[object, ...] = ("unknown", None, None, None, None)
        else:
            fetched, response = kept.get(vendor.name, (-math.inf, ()))
            # The vendor's own cached response, or one that it fetched for another client in between.
            if now - fetched >= vendor.cache_s:
                true_at = now - (draw[1] * vendor.cache_s if draw[2] < 0.2 else 0.0)
                response = _response(rng, rooms[position : position + 4], true_at, first_start, vendor)
                kept[vendor.name] = (true_at, response)
            if response[0] == "live" and draw[3] < vendor.false_offline:
                response = ("ended", None, None, None, None)
        rows.append((creator, vendor.name, now, *response, None))
        if response[0] == "live":
            on_air, pending, last_room = True, False, response[1] or last_room
            now += _ON_AIR_S * rng.uniform(0.8, 1.2)
        elif response[0] == "unknown":
            now += _CONFIRM_S if on_air else _OFF_AIR_S
        elif on_air and not pending:
            pending = True
            now += _CONFIRM_S + 1
        else:
            if on_air and ask_room and last_room is not None:
                room = next(room for room in reversed(rooms) if room.room_id == last_room and room.start_s <= now)
                if room.end_s <= now:
                    rows.append((creator, "tikhub", now + 2, "ended", last_room, room.start_s, None, None, room.end_s))
            on_air = pending = False
            now += _OFF_AIR_S * rng.uniform(0.9, 1.1)
    return rows


def _response(
    rng: np.random.Generator, rooms: list[Room], at: float, first_start: dict[str, float], vendor: Vendor
) -> tuple[object, ...]:
    room = next((room for room in rooms if room.start_s <= at < room.end_s), None)
    if room is None:
        return ("ended", None, None, None, None)
    if not vendor.names_room:
        return ("live", None, None, None, None)
    start = math.floor(first_start[room.room_id]) if rng.random() < vendor.says_start else None
    viewers = int(rng.integers(20, 2_000))
    return ("live", room.room_id, start, viewers, viewers * 10)


def _frame(rows: list[tuple[object, ...]]) -> pl.DataFrame:
    columns = ["creator_id", "vendor", "at", "live_state", "room_id", "start", "viewers", "viewers_total", "end"]
    types = {
        "start": pl.Float64,
        "end": pl.Float64,
        "viewers": pl.Int64,
        "viewers_total": pl.Int64,
        "room_id": pl.String,
    }
    frame = pl.DataFrame(rows, schema=columns, schema_overrides=types, orient="row")

    def moment(name: str) -> pl.Expr:
        seconds = (pl.col(name) + _EPOCH_S) * 1e6
        return pl.from_epoch(seconds.cast(pl.Int64), "us").dt.replace_time_zone("UTC")

    strong = pl.col("room_id").is_not_null()
    written = frame.with_row_index("n").with_columns(
        observed_at=moment("at"),
        started_at=moment("start"),
        ended_at=moment("end"),
        capture_id=pl.format("capture-{}", "n"),
        evidence=pl.when(strong).then(pl.lit("strong")).otherwise(pl.lit("weak")),
    )
    return written.select(
        (pl.col(name) if name in written.columns else pl.lit(None, dtype).alias(name))
        for name, dtype in LIVE_OBSERVATIONS.schema.items()
    )
