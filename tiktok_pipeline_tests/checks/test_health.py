"""Warning checks pass on healthy data; otherwise they name the problem, the place and the remedy."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import polars as pl

from tiktok_pipeline.checks.check_result import CheckResult, together
from tiktok_pipeline.checks.health import budget, completeness, freshness, readability, vendor_errors
from tiktok_pipeline.config.settings import Checks
from tiktok_pipeline.providers.vendor import Limits, Outcome
from tiktok_pipeline.tables import COVERAGE, QUARANTINE, VENDOR_USAGE
from tiktok_pipeline_tests.transforms.frames import frame, hours

SETTINGS = Checks()
DAY = date(2026, 11, 2)


def usage(vendor: str, credits: float | None = None, **outcomes: int) -> dict[str, Any]:
    counts = dict.fromkeys((o.value for o in Outcome), 0) | outcomes
    return {
        "day": DAY, "vendor": vendor, "endpoint": "/x", "requests": sum(counts.values()), "not_billed": 0,
        "credits": credits, **counts,
    }  # fmt: skip


def test_readings_are_fresh_up_to_the_configured_age_and_stale_after_it() -> None:
    now = hours(10)
    fresh = freshness(now - timedelta(minutes=60), now=now, settings=SETTINGS)
    stale = freshness(now - timedelta(minutes=61), now=now, settings=SETTINGS)
    assert (fresh.passed, stale.passed) == (True, False)
    assert stale.numbers == {"minutes_since_newest": 61.0}
    assert "61 minutes ago" in stale.message
    assert "watch" in stale.message


def test_no_reading_at_all_is_stale() -> None:
    assert not freshness(None, now=hours(1), settings=SETTINGS).passed


def covered(*polls: tuple[int, int]) -> pl.DataFrame:
    rows = [
        {"day": DAY, "creator_id": f"c{n:02}", "polls": number, "known_polls": known}
        for n, (number, known) in enumerate(polls)
    ]
    return frame(COVERAGE, *rows)


def test_a_fully_polled_roster_is_complete() -> None:
    verdict = completeness(covered(*[(10, 9)] * 20), settings=SETTINGS)
    assert verdict.passed
    assert verdict.numbers["unknown_share"] == 0.1


def test_creators_without_a_poll_are_named() -> None:
    verdict = completeness(covered((0, 0), (0, 0), *[(10, 10)] * 18), settings=SETTINGS)
    assert not verdict.passed
    assert "2 of 20 creators" in verdict.message
    assert verdict.examples == ("c00", "c01")


def test_readings_without_a_live_state_are_reported() -> None:
    verdict = completeness(covered(*[(10, 6)] * 5), settings=SETTINGS)
    assert not verdict.passed
    assert "40% of 50 readings have no live state" in verdict.message


def test_an_empty_roster_gives_no_warning() -> None:
    assert completeness(COVERAGE.empty(), settings=SETTINGS).passed


def test_not_found_and_not_live_are_no_vendor_errors() -> None:
    rows = frame(VENDOR_USAGE, usage("konbini", ok=10, not_found=50, not_live=20, private=5, empty=5))
    verdict = vendor_errors(rows, settings=SETTINGS)
    assert verdict.passed
    assert verdict.numbers == {"error_share_konbini": 0.0}


def test_a_failing_vendor_is_named_with_its_most_common_outcome() -> None:
    rows = frame(VENDOR_USAGE, usage("konbini", ok=60, server_error=30, rate_limited=10), usage("social_fetch", ok=100))
    verdict = vendor_errors(rows, settings=SETTINGS)
    assert not verdict.passed
    assert "40% of 100 attempts at konbini failed, most as server_error" in verdict.message
    assert "social_fetch" not in verdict.message


def test_a_few_failures_of_a_few_attempts_give_no_warning() -> None:
    assert vendor_errors(frame(VENDOR_USAGE, usage("tikhub", ok=1, server_error=9)), settings=SETTINGS).passed


def test_credits_near_the_cap_warn_before_it_is_reached() -> None:
    limits = {"konbini": Limits(credits_per_day=100), "tikhub": Limits()}
    below = budget(frame(VENDOR_USAGE, usage("konbini", 79.0, ok=79)), limits, settings=SETTINGS)
    near = budget(frame(VENDOR_USAGE, usage("konbini", 80.0, ok=80)), limits, settings=SETTINGS)
    assert (below.passed, near.passed) == (True, False)
    assert "konbini has spent 80 of 100 credits" in near.message
    assert near.numbers["budget_share_konbini"] == 0.8


def test_a_vendor_without_a_cap_gives_no_budget_warning() -> None:
    verdict = budget(frame(VENDOR_USAGE, usage("tikhub", 1e9, ok=1)), {"tikhub": Limits()}, settings=SETTINGS)
    assert verdict.passed
    assert "budget_share_tikhub" not in verdict.numbers


def quarantined(number: int) -> pl.DataFrame:
    rows = [
        {"creator_id": "ana", "vendor": "konbini", "observed_at": hours(1), "capture_id": f"c{n}", "table": "raw_lives",
         "reason": "not a time", "field": "data.x", "value": "somebody's text"}
        for n in range(number)
    ]  # fmt: skip
    return frame(QUARANTINE, *rows)


def test_unreadable_bodies_are_reported_by_reason_without_their_text() -> None:
    few = readability(quarantined(2), 100, settings=SETTINGS)
    many = readability(quarantined(3), 100, settings=SETTINGS)
    assert (few.passed, many.passed) == (True, False)
    assert many.examples == ("konbini raw_lives: not a time (data.x), 3 times",)
    assert "somebody" not in many.message + str(many.examples)


def test_one_unforeseen_parser_exception_warns_however_small_its_share() -> None:
    rows = quarantined(1).with_columns(reason=pl.lit("unforeseen RecursionError"))
    verdict = readability(rows, 1_000_000, settings=SETTINGS)
    assert not verdict.passed
    assert verdict.numbers["unforeseen"] == 1
    assert verdict.examples == ("konbini: unforeseen RecursionError, 1 times",)
    assert readability(quarantined(1), 1_000_000, settings=SETTINGS).numbers["unforeseen"] == 0


def test_a_day_without_captures_passes() -> None:
    assert readability(QUARANTINE.empty(), 0, settings=SETTINGS).passed


def test_results_of_days_are_combined_and_only_failed_ones_are_reported() -> None:
    sound, broken = CheckResult(True, "fine", {"rows": 2.0}), CheckResult(False, "bad", {"rows": 3.0}, ("x",))
    both = together([sound, broken, sound])
    assert (both.passed, both.message, both.numbers, both.examples) == (False, "bad", {"rows": 7.0}, ("x",))
    assert together([sound, sound]).passed
