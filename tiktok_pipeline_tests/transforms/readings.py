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
    """A moment, by minutes since the test day began."""
    return DAY + timedelta(minutes=minutes)


def room(minutes: float, low: int = 7) -> str:
    """The id of a live room that was made at that minute."""
    return str(int(at(minutes).timestamp()) << 32 | 11 << 8 | low)


def reading(minutes: float, state: str, **more: Any) -> dict[str, Any]:
    """One reading of creator ana; on air it is strong where it names a room, else weak."""
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
    """On air."""
    return reading(minutes, "live", room_id=room_id, **more)


def off(minutes: float, **more: Any) -> dict[str, Any]:
    """Off air, weak unless said otherwise."""
    return reading(minutes, "ended", **more)


def ended(minutes: float, room_id: str | None, end: float | None, **more: Any) -> dict[str, Any]:
    """Off air for sure, by the room's own status."""
    end_at = None if end is None else at(end)
    return reading(minutes, "ended", vendor="tikhub", evidence="strong", room_id=room_id, ended_at=end_at, **more)


def unknown(minutes: float, **more: Any) -> dict[str, Any]:
    """A question that brought nothing."""
    return reading(minutes, "unknown", reason="server_error", **more)


def live_frame(*rows: dict[str, Any]) -> pl.DataFrame:
    """LIVE_OBSERVATIONS of these rows."""
    return frame(LIVE_OBSERVATIONS, *rows)


def drawn(*rows: dict[str, Any], as_of: float | None = None, settings: Streams | None = None) -> list[dict[str, Any]]:
    """The streams that these readings show, as of the last of them unless said otherwise."""
    readings = live_frame(*rows)
    moment = readings["observed_at"].max() if as_of is None else at(as_of)
    assert isinstance(moment, datetime)
    return streams(readings, settings=settings or Streams(), as_of=moment).to_dicts()


def only(*rows: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The one stream that these readings show."""
    (stream,) = drawn(*rows, **more)
    return stream
