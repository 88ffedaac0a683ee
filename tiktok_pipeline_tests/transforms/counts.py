"""Hand-made follower counts and streams for the tests of the lift."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date
from itertools import count
from typing import Any

import polars as pl

from tiktok_pipeline.config.settings import Lift
from tiktok_pipeline.tables import LIVE_OBSERVATIONS, POST_OBSERVATIONS, PROFILE_OBSERVATIONS, STREAMS
from tiktok_pipeline.transforms.lift import stream_lift
from tiktok_pipeline_tests.transforms.frames import frame, hours

Row = dict[str, Any]

_numbers = count()
NO_LIVE, NO_POSTS = LIVE_OBSERVATIONS.empty(), POST_OBSERVATIONS.empty()

# A stream in the fourth of six days of counts, with a full day on both sides.
START, END = 84.0, 86.0
DAYS_H = 144.0


def steady(hour: float) -> float:
    """Return 100,001 followers plus ten an hour, so that counts at full hours are not all round numbers."""
    return 100_001 + 10 * hour


def with_lift(gain: float, start: float = START, end: float = END) -> Callable[[float], float]:
    """Return the steady creator with `gain` more followers over the stream."""
    return lambda hour: steady(hour) + gain * min(max((hour - start) / (end - start), 0.0), 1.0)


def snapshot(hour: float, followers: float, **more: Any) -> Row:
    """Return one exact count of creator ana."""
    return {
        "creator_id": "ana",
        "vendor": "social_fetch",
        "observed_at": hours(hour),
        "capture_id": f"count-{next(_numbers)}",
        "followers": int(followers),
        "followers_precision": "exact",
        "followers_unit": 1,
        "source": "profile",
    } | more


def every(
    minutes: float, followers: Callable[[float], float], until: float = DAYS_H, since: float = 0.0, **more: Any
) -> list[Row]:
    """Return counts at a constant interval."""
    steps = int((until - since) * 60 / minutes)
    return [snapshot(since + n * minutes / 60, followers(since + n * minutes / 60), **more) for n in range(steps + 1)]


def rounded(followers: Callable[[float], float], unit: int) -> Callable[[float], float]:
    """Return the counts of a vendor that rounds to `unit`."""
    return lambda hour: round(followers(hour) / unit) * unit


def stream(start: float = START, end: float | None = END, **more: Any) -> Row:
    """Return one stream of creator ana; without an end it is on air."""
    creator = more.get("creator_id", "ana")
    return {
        "stream_id": f"{creator}:{start}",
        "creator_id": creator,
        "started_at": hours(start),
        "started_at_hi": hours(start),
        "ended_at": None if end is None else hours(end),
        "ended_at_lo": hours(start + 0.5 if end is None else end),
        "ended_at_hi": None if end is None else hours(end),
        "status": "live" if end is None else "ended",
        "airtime_s": 1_800.0 if end is None else (end - start) * 3600,
    } | more


def room_reading(hour: float, room_id: str, new_followers: int | None, state: str = "live") -> Row:
    """Return one reading of a room with TikTok's own count of new followers."""
    return {
        "creator_id": "ana", "vendor": "tikhub", "observed_at": hours(hour), "live_state": state, "room_id": room_id,
        "new_followers": new_followers, "capture_id": f"room-{room_id}-{hour}", "evidence": "strong",
    }  # fmt: skip


def captured(post_id: str, published: float, views: dict[float, int], **more: Any) -> list[Row]:
    """Return captures of one post of creator ana: its views by hour."""
    return [
        {
            "creator_id": "ana", "vendor": "konbini", "observed_at": hours(hour), "capture_id": f"{post_id}-{hour}",
            "post_id": post_id, "published_at": hours(published), "views": count,
        } | more
        for hour, count in views.items()
    ]  # fmt: skip


def lifts(
    streams: Iterable[Row],
    snapshots: Iterable[Row],
    *,
    as_of: float = DAYS_H,
    live: pl.DataFrame = NO_LIVE,
    posts: pl.DataFrame = NO_POSTS,
    settings: Lift | None = None,
    day: date | None = None,
) -> list[Row]:
    """Estimate the lifts of these streams."""
    return stream_lift(
        frame(STREAMS, *streams),
        frame(PROFILE_OBSERVATIONS, *snapshots),
        live,
        posts,
        settings=settings or Lift(),
        as_of=hours(as_of),
        day=day,
    ).to_dicts()


def lift_of(snapshots: Iterable[Row], *streams: Row, **more: Any) -> Row:
    """Estimate the lift of the first of these streams, or of the one in the fourth day."""
    first = streams[0] if streams else stream()
    return next(row for row in lifts(streams or [first], snapshots, **more) if row["stream_id"] == first["stream_id"])
