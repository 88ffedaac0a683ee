"""Detect streams that began or ended, each once, from raw readings as they arrive.

Simpler than the mart `streams`, which uses days of readings: here a minute matters. A creator with a live reading is on
air. A reported end, or two readings of off air as far apart as `[streams]` says, ends the stream. Another room within
the reconnect gap continues it, so that an end is sent only after that gap.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec
import polars as pl

from tiktok_pipeline.config.settings import Streams
from tiktok_pipeline.providers.observations import ABSENT, ON_AIR

# Files arrive up to a flush late, and windows overlap; older files were read before.
LATE = timedelta(minutes=15)


class Broadcast(msgspec.Struct):
    """A creator's last stream, kept until the creator has been silent for long."""

    since: datetime
    seen: datetime
    room_id: str | None = None
    off_at: datetime | None = None
    ended_at: datetime | None = None
    told_end: bool = False


class OnAir(msgspec.Struct):
    """Streams by creator, and the time of the newest reading; None before the first."""

    broadcasts: dict[str, Broadcast] = {}
    until: datetime | None = None


class Notice(msgspec.Struct, frozen=True):
    """A creator went live (`ended_at` is null), or a stream ended."""

    creator_id: str
    since: datetime
    ended_at: datetime | None = None
    title: str | None = None
    viewers: int | None = None


def advance(state: OnAir, live: pl.DataFrame, *, settings: Streams, now: datetime) -> list[Notice]:
    """Apply readings to `state`, and return the streams that began and ended.

    The first readings only set the state: creators that are live when the notices are switched on give no notice.

    Args:
        state: changed in place.
        live: LIVE_OBSERVATIONS schema, any order, repetitions allowed.
        settings: when readings of off air end a stream, and how far rooms of one stream lie apart.
        now: the time, on the clock of the readings.
    """
    columns = ("creator_id", "observed_at", "live_state", "evidence", "reason", "room_id", "started_at", "title")
    rows = live.filter(pl.col("creator_id").is_not_null()).sort("observed_at", "capture_id")
    learning = state.until is None
    oldest = (state.until or now - LATE) - LATE
    notices = []
    for row in rows.filter(pl.col("observed_at") >= oldest).select(*columns, "viewers").iter_rows(named=True):
        began = _read(state, row, settings)
        if began is not None:
            notices.append(began)
    newest = rows["observed_at"].max()
    if isinstance(newest, datetime):
        state.until = max(newest, state.until or newest)
    notices += _over(state, settings, now)
    forgotten_after = timedelta(hours=settings.censor_hours)
    state.broadcasts = {
        creator_id: cast for creator_id, cast in state.broadcasts.items() if now - cast.seen < forgotten_after
    }
    return [] if learning else notices


def _read(state: OnAir, row: dict[str, object], settings: Streams) -> Notice | None:
    creator_id, at, room_id = row["creator_id"], row["observed_at"], row["room_id"]
    assert isinstance(creator_id, str)
    assert isinstance(at, datetime)
    cast = state.broadcasts.get(creator_id)
    if row["live_state"] in ON_AIR:
        return _seen_live(state, cast, row, settings)
    if cast is None or cast.ended_at is not None or at <= cast.seen:
        return None
    if row["live_state"] == "ended" and row["evidence"] == "strong":
        # The end of an older room does not end this one.
        if room_id is None or cast.room_id is None or room_id == cast.room_id:
            cast.ended_at = cast.off_at or at
        return None
    # "Absent" of a creator that was just live means off air: the account exists.
    if row["live_state"] == "ended" or row["reason"] == ABSENT:
        if cast.off_at is None:
            cast.off_at = at
        elif at - cast.off_at >= timedelta(seconds=settings.confirm_span_seconds):
            cast.ended_at = cast.off_at
    return None


def _seen_live(state: OnAir, cast: Broadcast | None, row: dict[str, object], settings: Streams) -> Notice | None:
    creator_id, at, room_id, reported_start = row["creator_id"], row["observed_at"], row["room_id"], row["started_at"]
    title, viewers = row["title"], row["viewers"]
    assert isinstance(creator_id, str)
    assert isinstance(at, datetime)
    room = room_id if isinstance(room_id, str) else None
    if cast is not None:
        if at <= cast.seen:
            return None
        same_room = room is None or cast.room_id is None or room == cast.room_id
        reconnect = at - (cast.ended_at or cast.seen) <= timedelta(minutes=settings.merge_gap_minutes)
        going_on = not cast.told_end and (reconnect or (same_room and cast.ended_at is None))
        # A room that comes back after its end was sent gives no second notice.
        if going_on or (room is not None and room == cast.room_id):
            cast.seen, cast.room_id = at, room or cast.room_id
            cast.off_at = None
            if not cast.told_end:
                cast.ended_at = None
            return None
    since = reported_start if isinstance(reported_start, datetime) and reported_start <= at else at
    state.broadcasts[creator_id] = Broadcast(since=since, seen=at, room_id=room)
    return Notice(
        creator_id,
        since,
        title=title if isinstance(title, str) else None,
        viewers=viewers if isinstance(viewers, int) else None,
    )


def _over(state: OnAir, settings: Streams, now: datetime) -> Iterable[Notice]:
    """Yield ends that no reconnect can undo any more."""
    gap = timedelta(minutes=settings.merge_gap_minutes)
    for creator_id, cast in sorted(state.broadcasts.items()):
        if cast.ended_at is not None and not cast.told_end and now - cast.ended_at > gap:
            cast.told_end = True
            yield Notice(creator_id, cast.since, ended_at=cast.ended_at)
