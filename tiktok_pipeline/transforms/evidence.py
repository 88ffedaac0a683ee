"""Turn live readings into evidence: whether a creator was on air at an instant, before any stream is derived.

Duplicates and unknown states are dropped, repeated responses are dated back, and contradicting readings of the same
second are resolved: docs/methods.md 1.2 and docs/methods.md 1.3. `rooms` and `streams` derive rooms and streams
from the settled readings.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tiktok_pipeline.providers import VENDORS
from tiktok_pipeline.providers.observations import ON_AIR

# Vendors with a room endpoint: their response for a room id is the room's own status.
_ROOM_VENDORS = sorted(name for name, vendor in VENDORS.items() if "room" in vendor.endpoints.values())

# Up to here a float holds every integer: a longer id may have been rounded in transit (docs/vendors.md 1.7).
_EXACT_IN_FLOAT = 2**53
_ROOM_TYPE = 11
# Half the step of a float of that size, and half of the thousand that it is rounded to.
_ROUNDED_BY = 512 + 500

# Bits of a non-negative 64-bit integer.
_BITS = 63

# How long a vendor may repeat a cached response, in seconds: assumptions until measured (docs/methods.md 1.2).
_CACHE_S = {"social_fetch": 60}
_CACHE_ELSEWHERE_S = 300


@dataclass(frozen=True)
class SettledReadings:
    """Resolved readings, sorted by creator and time.

    `known` has one row a reading: creator (an Enum, in the order of the names), at, on, strong, room_id, ended_at,
    and row, the position in `on_air` of a reading of on air (null for off air). `on_air` has the other columns of
    those readings: vendor, title, started_at, counts; fresh, which is false for a repeated response; and oldest, the
    earliest instant from which a vendor's cache can have kept the response.
    """

    known: pl.DataFrame
    on_air: pl.DataFrame


def settle(live: pl.LazyFrame, as_of: datetime) -> SettledReadings:
    """Settle the readings in `live` (LIVE_OBSERVATIONS schema, any order, repeated rows allowed) up to `as_of`."""
    readings = _with_sound_rooms(live.filter(pl.col("observed_at") <= as_of))
    names = readings.select(pl.col("creator_id").unique().sort()).collect().to_series()
    plain = readings.with_columns(
        creator=pl.col("creator_id").cast(pl.Enum(names)),
        strong=pl.col("evidence") == "strong",
        tie=pl.col("capture_id").hash(),
    )
    off_air = (
        plain.filter(pl.col("live_state") == "ended")
        .select(
            "creator",
            "strong",
            "room_id",
            "tie",
            at="observed_at",
            on=pl.lit(value=False),
            ended_at=pl.when("strong").then("ended_at"),
            rank=_rank(),
            row=pl.lit(None, pl.UInt32),
        )
        .collect()
    )
    on_air = _dated(plain.filter(pl.col("live_state").is_in(ON_AIR)))
    known = pl.concat(
        [
            off_air,
            on_air.select(
                "creator",
                "strong",
                "room_id",
                "tie",
                "at",
                on=pl.lit(value=True),
                ended_at=pl.lit(None, off_air.schema["ended_at"]),
                rank="rank",
                row=pl.int_range(pl.len(), dtype=pl.UInt32),
            ),
        ]
    )
    del off_air
    known = known[_order(known)]
    repeated = _same("creator") & _same("at") & _same("on") & _same("tie")
    known = _undisputed(known.filter(~repeated))
    return SettledReadings(known.drop("tie", "rank"), on_air.drop("rank", "tie", "strong", "creator", "at"))


def _order(known: pl.DataFrame) -> NDArray[np.int64]:
    """Return the order by creator, time, on air first, and tie.

    One integer holds all but the tie, and sorts in a third of the time; ties are few.
    """
    creator = known["creator"].to_physical().cast(pl.Int64).to_numpy()
    at, off = known["at"].dt.epoch("us").to_numpy(), (~known["on"]).cast(pl.Int64).to_numpy()
    tie = known["tie"].to_numpy()
    since = int(at.min()) if at.size else 0
    bits = int((at - since).max(initial=0)).bit_length() + 1
    if int(creator.max(initial=0)).bit_length() + bits > _BITS:
        return np.lexsort((tie, off, at, creator))
    key = (creator << bits) | ((at - since) << 1) | off
    order = np.argsort(key)
    ordered = key[order]
    same = np.flatnonzero(ordered[1:] == ordered[:-1])
    if same.size:
        # Sort each run of equal keys by its ties.
        tied = np.union1d(same, same + 1)
        order[tied] = order[tied][np.lexsort((tie[order[tied]], ordered[tied]))]
    return order


def _with_sound_rooms(readings: pl.LazyFrame) -> pl.LazyFrame:
    """Return `readings` with usable room ids: null for "", "0" and damaged ids, the exact id where it is known.

    An id that went through floating point ends in 000 and lies within `_ROUNDED_BY` of the exact one. If the creator
    has no exact id so near, the id counts as damaged if it lacks the type bits that live rooms carry: one exact id of
    a thousand ends in 000 too (docs/methods.md 1.3).
    """
    number = _number(pl.col("room_id"))
    rounded = ((number > _EXACT_IN_FLOAT) & (number % 1000 == 0)).fill_null(value=False)
    near = [
        pl.when(
            pl.col("creator_id").eq(pl.col("creator_id").shift(step)),
            ~pl.col("rounded").shift(step),
            (pl.col("number") - pl.col("number").shift(step)).abs() <= _ROUNDED_BY,
        ).then(pl.col("room_id").shift(step))
        for step in (1, -1)
    ]
    ids = (
        readings.filter(pl.col("room_id").is_not_null())
        .select("creator_id", "room_id")
        .unique()
        .collect()
        .with_columns(number=number, rounded=rounded)
        .sort("creator_id", "number", "room_id")
        .with_columns(sound=pl.coalesce(*near))
    )
    typeless = pl.col("sound").is_null() & (_type_of(pl.col("number")) != _ROOM_TYPE)
    wrong = ids.filter(
        (pl.col("rounded") & (pl.col("sound").is_not_null() | typeless)) | pl.col("room_id").is_in(["", "0"])
    )
    if wrong.is_empty():
        return readings
    corrected = wrong.select("creator_id", "room_id", "sound", is_wrong=pl.lit(value=True)).lazy()
    return (
        readings.join(corrected, on=["creator_id", "room_id"], how="left")
        .with_columns(room_id=pl.when("is_wrong").then("sound").otherwise("room_id"))
        .drop("sound", "is_wrong")
    )


def room_created_at(room_id: pl.Expr) -> pl.Expr:
    """Return when a live room was created, from its id: seconds in bits 63-32, type 11 in bits 11-8; else null.

    See docs/methods.md 1.3. TikTok had no live rooms before 2018: an older "time" is another kind of id.
    """
    number = _number(room_id)
    created = ((number // 2**32) * 1_000_000).cast(pl.Datetime("us", "UTC"))
    return pl.when(_type_of(number) == _ROOM_TYPE, created.dt.year() >= 2018).then(created)


def _number(room_id: pl.Expr) -> pl.Expr:
    """Return a room id as a number; null for other text, and beyond 63 bits, where TikTok has no ids."""
    number = room_id.cast(pl.Int64, strict=False)
    return pl.when(number >= 0).then(number)


def _type_of(number: pl.Expr) -> pl.Expr:
    return number // 256 % 16


def _rank() -> pl.Expr:
    """Rank readings of the same second (docs/methods.md 1.2): a room's own status, a reading with a room id, a flag."""
    ended_for_sure = (pl.col("live_state") == "ended") & pl.col("strong")
    named = pl.col("strong") | pl.col("room_id").is_not_null()
    own = (pl.col("vendor").is_in(_ROOM_VENDORS) & named) | (pl.col("live_state") == "paused") | ended_for_sure
    return pl.when(own).then(2).when(named).then(1).otherwise(0).cast(pl.Int8)


def _dated(on_air: pl.LazyFrame) -> pl.DataFrame:
    """Return the distinct readings of on air with `at`: the latest instant at which each is true (docs/methods.md 1.2).

    A response that repeats the counts of the previous one may come from the vendor's cache. It is then dated back by
    the lifetime of that cache, but not before the response that it repeats.
    """
    rows = (
        on_air.select(
            "creator",
            "observed_at",
            "strong",
            "room_id",
            "tie",
            "vendor",
            "title",
            "started_at",
            "viewers",
            "viewers_total",
            "likes",
            rank=_rank(),
        )
        .collect()
        .sort("creator", "vendor", "room_id", "observed_at", "tie")
    )
    rows = rows.filter(~(_same("creator") & _same("observed_at") & _same("tie")))
    # Only a cumulative count proves a repetition: a small room keeps its five viewers for an hour.
    repeats = pl.col("viewers_total").is_not_null() & pl.all_horizontal(
        _same(name) for name in ("creator", "vendor", "room_id", "viewers", "viewers_total")
    )
    cache = pl.col("vendor").replace_strict(_CACHE_S, default=_CACHE_ELSEWHERE_S, return_dtype=pl.Int64)
    before = pl.col("observed_at").shift(1)
    return rows.with_columns(fresh=~repeats, oldest=pl.col("observed_at") - pl.duration(seconds=cache)).with_columns(
        at=pl.when(repeats).then(pl.max_horizontal("oldest", before)).otherwise("observed_at")
    )


def _same(column: str) -> pl.Expr:
    """Return whether the row above has the same value."""
    return pl.col(column).eq_missing(pl.col(column).shift(1)) & (pl.int_range(pl.len()) > 0)


def _undisputed(known: pl.DataFrame) -> pl.DataFrame:
    """Return `known` without readings that a higher-ranked one of the same second contradicts (docs/methods.md 1.2)."""
    second = pl.col("at").dt.truncate("1s")
    together = _same("creator") & second.eq(second.shift(1)).fill_null(value=False)
    numbered = known.with_row_index("position").with_columns(
        shares=together | together.shift(-1, fill_value=False), opens=~together
    )
    disputed = numbered.filter("shares")
    if disputed.is_empty():
        return known
    # Take the best of each second. On air wins a tie: cached responses report off air longer than it is true.
    ranked = disputed.with_columns(moment=pl.col("opens").cum_sum()).sort(
        "moment", "rank", "on", "position", descending=[False, True, True, False]
    )
    first = (pl.col("moment") != pl.col("moment").shift(1)).fill_null(value=True)
    judged = ranked.with_columns(
        best_on=pl.when(first).then("on").forward_fill(),
        best_rank=pl.when(first).then("rank").forward_fill(),
        best_room=pl.when(first).then(pl.col("room_id").fill_null("")).forward_fill(),
    )
    # The end of another room is no contradiction; another room on air contradicts only lower-ranked readings.
    same_room = (pl.col("room_id").is_null()) | (pl.col("best_room") == "") | (pl.col("room_id") == pl.col("best_room"))
    denied = (pl.col("on") != pl.col("best_on")) & same_room
    mistaken = pl.col("on") & pl.col("best_on") & ~same_room & (pl.col("rank") < pl.col("best_rank"))
    lost = judged.filter(denied | mistaken)["position"]
    return known.filter(~pl.int_range(pl.len(), dtype=pl.UInt32).is_in(lost.implode()))
