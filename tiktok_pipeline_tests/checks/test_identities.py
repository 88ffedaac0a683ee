"""Every rule fails on a row that breaks it and on no other; nulls break no rule."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from tiktok_pipeline.checks.identities import RULES, identities
from tiktok_pipeline.tables import TABLES
from tiktok_pipeline_tests.checks.rows import SOUND, sound
from tiktok_pipeline_tests.transforms.frames import frame, hours

# Table, the change to its valid row, and the rule that reports it.
BROKEN: list[tuple[str, dict[str, Any], str]] = [
    ("profile_observations", {"followers": -1}, "followers is not negative"),
    ("profile_observations", {"following": -1}, "following is not negative"),
    ("profile_observations", {"likes": -1}, "likes is not negative"),
    ("profile_observations", {"videos": -1}, "videos is not negative"),
    ("profile_observations", {"followers_precision": "guessed"}, "followers_precision is one of"),
    ("profile_observations", {"followers_precision": "exact"}, "an exact count has unit 1"),
    ("profile_observations", {"followers_unit": 1}, "an exact count has unit 1"),
    ("live_observations", {"live_state": "offline"}, "live_state is one of"),
    ("live_observations", {"evidence": "some"}, "evidence is one of"),
    *(("live_observations", {name: -1}, f"{name} is not negative")
      for name in ("viewers", "viewers_total", "likes", "gifters", "new_followers")),
    ("live_observations", {"live_state": "unknown", "ended_at": hours(1)}, "an unknown state states no end"),
    ("streams", {"status": "over"}, "status is one of"),
    ("streams", {"airtime_s": 7201.0, "coverage_ratio": 3600 / 7201}, "airtime_s = end"),
    ("streams", {"airtime_s": -1.0}, "airtime_s is not negative"),
    ("streams", {"observed_s": 7300.0, "coverage_ratio": 1.0}, "observed_s <= airtime_s"),
    ("streams", {"coverage_ratio": 0.9}, "coverage_ratio = observed_s / airtime_s"),
    ("streams", {"coverage_ratio": 1.5}, "coverage_ratio is between 0 and 1"),
    ("streams", {"reconnects": 2}, "reconnects = rooms - 1"),
    ("streams", {"status": "live"}, "an ended stream has an end"),
    ("streams", {"ended_at": None, "airtime_s": 6840.0, "coverage_ratio": 3600 / 6840}, "an ended stream has an end"),
    ("streams", {"hours_watched": 80.0}, "hours_watched = average_viewers x observed_s"),
    ("streams", {"average_viewers": None}, "hours_watched = average_viewers x observed_s"),
    ("streams", {"average_viewers": 91.0, "hours_watched": 91.0}, "average_viewers <= peak_viewers"),
    ("streams", {"started_at_lo": hours(2)}, "started_at_lo <= started_at_hi"),
    ("streams", {"ended_at_lo": hours(4)}, "ended_at_lo <= ended_at_hi"),
    ("streams", {"hours_watched": -40.0, "average_viewers": -40.0}, "hours_watched is not negative"),
    ("streams", {"peak_viewers": -1, "average_viewers": None}, "peak_viewers is not negative"),
    ("streams", {"detection_delay_s": -1.0}, "detection_delay_s is not negative"),
    ("stream_lift", {"naive_delta": 90, "lift": 70.0, "lift_pct": 7.0}, "naive_delta = followers_after"),
    ("stream_lift", {"lift": 81.0, "lift_pct": 8.1}, "lift = naive_delta - expected_organic"),
    ("stream_lift", {"lift_pct": 80.0}, "lift_pct = 100 lift / followers_before"),
    ("stream_lift", {"is_significant": False}, "is_significant = lift_lo > 0"),
    ("stream_lift", {"lift_lo": 85.0}, "the interval holds the lift"),
    ("stream_lift", {"lift_hi": 70.0}, "the interval holds the lift"),
    ("stream_lift", {"lift": None, "lift_pct": None}, "an observable stream has a lift"),
    ("stream_lift", {"provider_after": "tikhub"}, "both counts are of one vendor"),
    ("stream_lift", {"before_at": hours(6)}, "before_at <= after_at"),
    ("stream_lift", {"followers_before": -5, "followers_after": 95, "lift_pct": None}, "followers_before is not neg"),
    ("stream_lift", {"followers_after": -1, "naive_delta": -1001, "lift": None, "lift_pct": None, "observable": False},
     "followers_after is not negative"),
    ("stream_lift", {"placebos": -1}, "placebos is not negative"),
    *(("post_observations", {name: -1}, f"{name} is not negative")
      for name in ("views", "likes", "comments", "shares", "saves", "duration_s")),
    ("stream_hours", {"airtime_s": 3601.0}, "airtime_s of an hour is at most an hour"),
    ("stream_hours", {"hours_watched": 41.0}, "hours_watched = average_viewers x counted_s"),
    *(("stream_hours", {name: -1}, f"{name} is not negative")
      for name in ("counted_s", "hours_watched", "peak_viewers")),
    ("creator_days", {"airtime_s": 90_000.0}, "airtime_s of a day is at most a day"),
    ("creator_days", {"active_day": False}, "an active day is one on which a stream started"),
    ("creator_days", {"lift_streams": 3}, "lift_streams <= streams"),
    ("creator_days", {"followers_precision": "guessed", "followers_unit": 5}, "followers_precision is one of"),
    ("creator_days", {"followers_unit": 100}, "an exact count has unit 1"),
    ("creator_days", {"streams": -1, "active_day": False, "lift_streams": None}, "streams is not negative"),
    *(("creator_days", {name: -1}, f"{name} is not negative")
      for name in ("hours_watched", "peak_viewers", "followers_end", "days_since_last_stream")),
    ("creator_hours", {"weekday": 0}, "weekday is 1 to 7"),
    *(("creator_hours", {name: -1}, f"{name} is not negative")
      for name in ("streams", "airtime_s", "hours_watched", "typical_viewers_lo")),
    ("creator_hours", {"typical_viewers_lo": 5.0, "typical_viewers": 4.0}, "typical_viewers_lo <= typical_viewers"),
    ("creator_hours", {"typical_viewers_hi": 3.0, "typical_viewers": 4.0}, "typical_viewers <= typical_viewers_hi"),
    ("creator_hours", {"typical_lift_per_hour_lo": 5.0, "typical_lift_per_hour": 4.0},
     "typical_lift_per_hour_lo <= typical_lift_per_hour"),
    ("creator_hours", {"typical_lift_per_hour_hi": 3.0, "typical_lift_per_hour": 4.0},
     "typical_lift_per_hour <= typical_lift_per_hour_hi"),
    ("stream_conversions", {"conversion": 0.5}, "conversion = joined / viewers_total"),
    ("stream_conversions", {"before_at": hours(6)}, "before_at <= after_at"),
    ("stream_conversions", {"left_recent": 91}, "left_recent <= compared"),
    ("stream_conversions", {"joined": -8, "conversion": -0.02}, "joined is not negative"),
    *(("stream_conversions", {name: -1}, f"{name} is not negative") for name in ("left", "left_recent")),
    ("recaps", {"band": "later"}, "band is one of"),
    ("recaps", {"score": 1.5}, "score is between 0 and 1"),
    ("recaps", {"stream_id": None}, "a band other than none names its stream"),
    *(("recaps", {name: -1}, f"{name} is not negative") for name in ("views", "likes")),
    ("gift_estimates", {"basis": "guess"}, "basis is one of"),
    ("gift_estimates", {"gift_index": 101.0}, "gift_index is between 0 and 100"),
    ("gift_estimates", {"basis": "none"}, "without known streams there is no range"),
    ("gift_estimates", {"low": 21.0}, "low <= mid"),
    ("gift_estimates", {"high": 19.0}, "mid <= high"),
    ("leaderboard", {"rank": 2, "rank_change": 1}, "rank follows value"),
    ("leaderboard", {"rank_change": -2}, "rank_change = previous_rank - rank"),
    ("leaderboard", {"is_new": True}, "is_new where there was no rank before"),
    ("leaderboard", {"share": 1.4}, "share is between 0 and 1"),
    ("leaderboard", {"share": 0.3}, "shares of a board add up to 1"),
    ("leaderboard", {"value_lo": 4.5}, "value_lo <= value"),
    ("leaderboard", {"value_hi": 3.5}, "value <= value_hi"),
    ("stories", {"completeness": 1.2}, "completeness is between 0 and 1"),
    *(("stories", {name: -1}, f"{name} is not negative") for name in ("views", "likes", "comments", "shares", "saves")),
    ("vendor_usage", {"ok": 8}, "requests = the sum of their outcomes"),
    ("vendor_usage", {"not_billed": 11}, "not_billed <= requests"),
    ("vendor_usage", {"p50_ms": 10.0}, "p50_ms <= p95_ms"),
    ("vendor_usage", {"credits": -1.0}, "credits is not negative"),
    ("coverage", {"known_polls": 11}, "known_polls <= polls"),
    ("coverage", {"unknown_share": 1.5}, "unknown_share is between 0 and 1"),
    ("coverage", {"median_gap_s": 500.0}, "median_gap_s <= largest_gap_s"),
    ("creators", {"first_seen_at": hours(6)}, "first_seen_at <= last_seen_at"),
    ("creators", {"followers": -5}, "followers is not negative"),
]  # fmt: skip


@pytest.mark.parametrize("name", RULES)
def test_valid_rows_break_no_rule(name: str) -> None:
    verdict = identities(TABLES[name], sound(name))
    assert verdict.passed, verdict.message
    assert verdict.numbers["rows_that_break_a_rule"] == 0


@pytest.mark.parametrize(("name", "changed", "says"), BROKEN, ids=lambda value: str(value)[:60])
def test_a_row_that_breaks_a_rule_is_reported_with_the_rule_and_its_key(
    name: str, changed: dict[str, Any], says: str
) -> None:
    verdict = identities(TABLES[name], sound(name, **changed))
    assert not verdict.passed
    assert says in verdict.message
    assert verdict.numbers["rows_that_break_a_rule"] >= 1
    key = TABLES[name].key[-1]
    assert any(f"{key}={SOUND[name][0][key]}" in example for example in verdict.examples)


def test_every_rule_has_a_row_that_breaks_it() -> None:
    tried = [(name, says) for name, _, says in BROKEN]
    for name, rules in RULES.items():
        for rule in rules:
            assert any(name == table and rule.statement.startswith(says[:20]) for table, says in tried), (
                name,
                rule.statement,
            )


@pytest.mark.parametrize("name", RULES)
def test_missing_values_break_no_rule(name: str) -> None:
    table = TABLES[name]
    first = SOUND[name][0]
    bare = {column.name: first.get(column.name) for column in table.columns if not column.nullable}
    bare |= {"is_new": True} if name == "leaderboard" else {}
    bare |= {"band": "none"} if name == "recaps" else {}
    bare |= {"status": "lost"} if name == "streams" else {}
    bare |= {"observable": False} if name == "stream_lift" else {}
    verdict = identities(table, frame(table, bare))
    assert verdict.passed, verdict.message


def test_ties_share_a_rank_and_the_next_rank_counts_them() -> None:
    # Valid ranks are 1, 1, 3; dense ranks (1, 1, 2) are wrong here.
    board = sound("leaderboard").with_columns(
        pl.when(pl.col("rank") == 3).then(2).otherwise("rank").cast(pl.Int64).alias("rank"),
        pl.when(pl.col("rank") == 3).then(-1).otherwise("rank_change").cast(pl.Int64).alias("rank_change"),
    )
    verdict = identities(TABLES["leaderboard"], board)
    assert not verdict.passed
    assert "rank follows value" in verdict.message
