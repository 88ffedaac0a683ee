"""One valid row of each table that has rules; tests break one rule at a time."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl

from tiktok_pipeline.providers.vendor import Outcome
from tiktok_pipeline.tables import TABLES
from tiktok_pipeline_tests.transforms.frames import frame, hours

_OBSERVED = {"creator_id": "ana", "vendor": "konbini", "observed_at": hours(1), "capture_id": "c1"}

SOUND: dict[str, list[dict[str, Any]]] = {
    "profile_observations": [
        _OBSERVED | {"followers": 1_200_000, "following": 3, "likes": 9, "videos": 2, "source": "profile",
                     "followers_precision": "rounded", "followers_unit": 100_000},
    ],
    "live_observations": [
        _OBSERVED | {"live_state": "live", "evidence": "strong", "viewers": 5, "viewers_total": 50, "likes": 1,
                     "gifters": 0, "new_followers": 2},
    ],
    "streams": [
        {"stream_id": "ana:1", "creator_id": "ana", "started_at": hours(1), "started_at_lo": hours(0.9),
         "started_at_hi": hours(1.1), "ended_at": hours(3), "ended_at_lo": hours(2.9), "ended_at_hi": hours(3.1),
         "status": "ended", "rooms": 2, "reconnects": 1, "airtime_s": 7200.0, "observed_s": 3600.0,
         "coverage_ratio": 0.5, "observations": 12, "peak_viewers": 90, "average_viewers": 40.0,
         "hours_watched": 40.0, "detection_delay_s": 20.0},
    ],
    "stream_lift": [
        {"stream_id": "ana:1", "creator_id": "ana", "started_at": hours(1), "ended_at": hours(3),
         "followers_before": 1000, "before_at": hours(0.5), "followers_after": 1100, "after_at": hours(4.5),
         "provider_before": "konbini", "provider_after": "konbini", "carry_over_min": 60, "naive_delta": 100,
         "profile_used": False, "expected_organic": 20.0, "lift": 80.0, "lift_lo": 60.0, "lift_hi": 95.0,
         "lift_pct": 8.0, "resolution": 1, "observable": True, "placebos": 50, "is_significant": True,
         "is_final": True, "method": "m/1"},
    ],
    "post_observations": [
        _OBSERVED | {"post_id": "p1", "views": 9, "likes": 3, "comments": 1, "shares": 0, "saves": 0,
                     "duration_s": 9.5},
    ],
    "stream_hours": [
        {"stream_id": "ana:1", "creator_id": "ana", "hour": hours(1), "started_at": hours(1), "airtime_s": 3600.0,
         "counted_s": 3000.0, "hours_watched": 40.0, "average_viewers": 48.0, "peak_viewers": 90},
    ],
    "creator_days": [
        {"day": date(2026, 11, 2), "creator_id": "ana", "active_day": True, "streams": 2, "airtime_s": 7200.0,
         "hours_watched": 80.0, "peak_viewers": 90, "followers_end": 1100, "followers_precision": "exact",
         "followers_unit": 1, "lift_streams": 1, "longest_streak_days": 2, "days_since_last_stream": 0},
    ],
    "creator_hours": [
        {"creator_id": "ana", "weekday": 1, "hour": 20, "streams": 2, "airtime_s": 7200.0, "hours_watched": 80.0},
    ],
    "stream_conversions": [
        {"stream_id": "ana:1", "creator_id": "ana", "started_at": hours(1), "joined": 8, "left": 2, "left_recent": 1,
         "compared": 90, "viewers_total": 400, "conversion": 0.02, "before_at": hours(0.5), "after_at": hours(4.5)},
    ],
    "recaps": [
        {"stream_id": "ana:1", "post_id": "p1", "creator_id": "ana", "published_at": hours(5), "score": 0.8,
         "band": "3h", "views": 9, "likes": 3, "method": "m/1"},
    ],
    "gift_estimates": [
        {"stream_id": "ana:1", "creator_id": "ana", "started_at": hours(1), "gift_index": 70.0, "compared_with": 9,
         "low": 10.0, "mid": 20.0, "high": 60.0, "basis": "roster", "known_streams": 40, "method": "m/1"},
    ],
    "leaderboard": [
        {"as_of": date(2026, 11, 2), "period": "day", "niche": "*", "metric": "airtime", "creator_id": creator,
         "value": value, "value_lo": value - 1, "value_hi": value + 1, "share": value / 10, "rank": rank,
         "previous_rank": before, "rank_change": change, "is_new": before is None}
        for creator, value, rank, before, change in (
            ("ana", 4.0, 1, 3, 2), ("bo", 4.0, 1, None, None), ("cy", 2.0, 3, 1, -2)
        )
    ],
    "stories": [
        {"story_id": "s1", "creator_id": "ana", "published_at": hours(1), "views": 5, "likes": 1, "comments": 0,
         "shares": 0, "saves": 0, "observations": 3, "last_observed_at": hours(5), "completeness": 0.2},
    ],
    "vendor_usage": [
        {"day": date(2026, 11, 2), "vendor": "konbini", "endpoint": "/x",
         **dict.fromkeys((outcome.value for outcome in Outcome), 0),
         "requests": 10, "ok": 9, "server_error": 1, "credits": 9.0, "not_billed": 1, "p50_ms": 5.0, "p95_ms": 9.0},
    ],
    "coverage": [
        {"day": date(2026, 11, 2), "creator_id": "ana", "polls": 10, "known_polls": 9, "unknown_share": 0.1,
         "median_gap_s": 300.0, "largest_gap_s": 400.0},
    ],
    "creators": [
        {"creator_id": "ana", "handle": "ana", "followers": 5, "first_seen_at": hours(1), "last_seen_at": hours(5),
         "on_roster": True},
    ],
}  # fmt: skip


def sound(table: str, **changed: Any) -> pl.DataFrame:
    """Return the table's valid rows, with changed columns in the first row."""
    first, *others = SOUND[table]
    return frame(TABLES[table], first | changed, *others)
