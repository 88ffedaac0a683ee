"""The small marts: stories, vendor usage and coverage."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest

from tiktok_pipeline.tables import LIVE_OBSERVATIONS, RAW_LIVES, STORY_OBSERVATIONS
from tiktok_pipeline.transforms.coverage import coverage
from tiktok_pipeline.transforms.stories import stories
from tiktok_pipeline.transforms.vendor_usage import vendor_usage
from tiktok_pipeline_tests.transforms.frames import frame, hours


def story(age_h: float, views: int | None, **more: Any) -> dict[str, Any]:
    return {
        "creator_id": "mira", "vendor": "konbini", "capture_id": f"c{age_h}", "story_id": "s1",
        "observed_at": hours(age_h), "published_at": hours(0), "expires_at": hours(24), "views": views,
        "media_type": "video",
    } | more  # fmt: skip


def test_views_at_an_age_are_interpolated_and_the_last_counts_are_final() -> None:
    rows = frame(STORY_OBSERVATIONS, story(0.5, 50), story(2, 200), story(5, 500), story(7, 900), story(23.5, 2_000))
    row = stories(rows).row(0, named=True)
    assert (row["views_1h"], row["views_6h"], row["views_24h"]) == (100, 700, 2_000)
    assert row["views"] == 2_000
    assert row["observations"] == 5
    assert row["completeness"] == pytest.approx(23.5 / 24)


def test_an_age_without_a_reading_is_null_and_not_zero() -> None:
    row = stories(frame(STORY_OBSERVATIONS, story(10, 500))).row(0, named=True)
    assert (row["views_1h"], row["views_6h"], row["views_24h"]) == (None, None, None)


def test_a_count_seen_once_is_kept_and_repetition_changes_nothing() -> None:
    rows = frame(STORY_OBSERVATIONS, story(1, 10, likes=3), story(2, 20, likes=None))
    assert stories(rows)["likes"].to_list() == [3]
    assert stories(pl.concat([rows, rows])).equals(stories(rows))
    assert stories(rows.reverse()).equals(stories(rows))


def attempt(outcome: str, credits: float | None, ms: float, status: int | None = 200) -> dict[str, Any]:
    return {
        "vendor": "konbini", "endpoint": "/x", "requested_at": hours(1), "outcome": outcome, "credits": credits,
        "elapsed_ms": ms, "http_status": status,
    }  # fmt: skip


def test_vendor_usage_counts_every_attempt_once_and_unknown_credits_not_as_zero() -> None:
    rows = [attempt("ok", 1, 10), attempt("ok", 1, 30), attempt("server_error", 0, 20, 500)]
    row = vendor_usage(frame(RAW_LIVES, *rows, attempt("network_error", None, 9_000, None))).row(0, named=True)
    assert (row["day"], row["requests"], row["ok"], row["server_error"]) == (date(2026, 11, 2), 4, 2, 1)
    assert (row["credits"], row["not_billed"]) == (2, 1)
    assert (row["p50_ms"], row["p95_ms"]) == (20, 30)
    unknown = vendor_usage(frame(RAW_LIVES, attempt("network_error", None, 9_000, None)))
    assert unknown["credits"].to_list() == [None]


def poll(minute: float, state: str, creator: str = "mira") -> dict[str, Any]:
    return {
        "creator_id": creator, "vendor": "v", "capture_id": f"{creator}{minute}", "live_state": state,
        "observed_at": hours(minute / 60),
    }  # fmt: skip


def test_coverage_counts_unknown_apart_and_shows_creators_without_polls() -> None:
    live = frame(LIVE_OBSERVATIONS, poll(0, "ended"), poll(5, "unknown"), poll(10, "live"), poll(15, "live"))
    days = pl.DataFrame({"day": [date(2026, 11, 2)]})
    rows = coverage(live, pl.Series("creator_id", ["mira", "never"]), days).rows(named=True)
    assert [row["creator_id"] for row in rows] == ["mira", "never"]
    watched, unasked = rows
    assert (watched["polls"], watched["known_polls"]) == (4, 3)
    assert watched["largest_gap_s"] == timedelta(minutes=10).total_seconds()
    assert watched["median_gap_s"] == 450
    assert watched["unknown_share"] == 0.25
    assert (unasked["polls"], unasked["largest_gap_s"], unasked["unknown_share"]) == (0, None, None)
