"""Hand-written readings of live states for the tests of streams."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import count
from typing import Any

import polars as pl

from tiktok_pipeline.config.settings import Streams
from tiktok_pipeline.tables import LIVE_OBSERVATIONS
from tiktok_pipeline.transforms.streams import streams
from tiktok_pipeline_tests.transforms.frames import DAY, frame

_numbers = count()


def at(minutes: float) -> datetime:
    """Return the instant this many minutes after the start of the test day."""
    return DAY + timedelta(minutes=minutes)


def room(minutes: float, low: int = 7) -> str:
    """Return the id of a live room opened at that minute."""
    return str(int(at(minutes).timestamp()) << 32 | 11 << 8 | low)


def reading(minutes: float, state: str, **more: Any) -> dict[str, Any]:
    """Return one reading of creator ana; on air it is strong if it names a room, else weak."""
    strong = state in ("live", "paused") and more.get("room_id") is not None
    return {
        "creator_id": "ana",
        "vendor": "social_fetch",
        "observed_at": at(minutes),
        "capture_id": f"capture-{next(_numbers)}",
        "live_state": state,
        "evidence": "strong" if strong else "weak",
    } | more


def live(minutes: float, room_id: str | None = None, **more: Any) -> dict[str, Any]:
    """Return a reading of on air."""
    return reading(minutes, "live", room_id=room_id, **more)


def off(minutes: float, **more: Any) -> dict[str, Any]:
    """Return a reading of off air, weak by default."""
    return reading(minutes, "ended", **more)


def ended(minutes: float, room_id: str | None, end: float | None, **more: Any) -> dict[str, Any]:
    """Return a certain reading of off air, from the room's own status."""
    end_at = None if end is None else at(end)
    return reading(minutes, "ended", vendor="tikhub", evidence="strong", room_id=room_id, ended_at=end_at, **more)


def unknown(minutes: float, **more: Any) -> dict[str, Any]:
    """Return a reading of a failed poll."""
    return reading(minutes, "unknown", reason="server_error", **more)


def live_frame(*rows: dict[str, Any]) -> pl.DataFrame:
    """Return LIVE_OBSERVATIONS with these rows."""
    return frame(LIVE_OBSERVATIONS, *rows)


def drawn(*rows: dict[str, Any], as_of: float | None = None, settings: Streams | None = None) -> list[dict[str, Any]]:
    """Derive the streams of these readings, by default as of the last of them."""
    readings = live_frame(*rows)
    moment = readings["observed_at"].max() if as_of is None else at(as_of)
    assert isinstance(moment, datetime)
    return streams(readings, settings=settings or Streams(), as_of=moment).to_dicts()


def only(*rows: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Derive the one stream of these readings."""
    (stream,) = drawn(*rows, **more)
    return stream
