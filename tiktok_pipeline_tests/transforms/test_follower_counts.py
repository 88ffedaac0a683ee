"""Detect undeclared rounding units and caches of vendors from the counts."""

from __future__ import annotations

import numpy as np
import pytest

from tiktok_pipeline.transforms.follower_counts import as_of_true_times, cache_hours, found_units


def found(followers: list[int], declared: int = 1) -> list[int]:
    units = found_units(np.array(followers, np.int64), declared)
    return [declared] * len(followers) if units is None else units.tolist()


@pytest.mark.parametrize(
    ("followers", "declared", "unit"),
    [
        ([12_300, 12_400], 1, 100),
        ([12_310, 12_320, 12_330, 12_350], 1, 10),
        # Two or three round counts of an exact creator are chance.
        ([12_310, 12_320, 12_330], 1, 1),
        ([5_000], 1, 1),
        ([12_345, 12_400, 12_500], 1, 1),
        ([12_000, 13_000], 100, 100),
        ([12_000, 13_000, 14_000, 17_000], 100, 1_000),
        ([1_200_000], 1, 100_000),
    ],
)
def test_a_unit_is_found_only_if_chance_cannot_explain_the_counts(
    followers: list[int], declared: int, unit: int
) -> None:
    assert found(followers, declared) == [unit] * len(followers)


def test_a_vendor_that_rounds_from_ten_thousand_on_has_two_units() -> None:
    assert found([9_973, 9_991, 10_000, 10_100, 10_200]) == [1, 1, 100, 100, 100]


def served(rate: float, cache_h: float, days: int = 10) -> tuple[np.ndarray, np.ndarray]:
    at = np.arange(0, days * 24, 0.25)
    true_at = np.floor(at / cache_h) * cache_h if cache_h else at
    return at, np.floor(10_000 + rate * true_at)


def test_a_cache_is_found_with_its_duration_and_only_if_there_is_one() -> None:
    assert cache_hours([served(200, 3.0)] * 3) == pytest.approx(3.0, abs=0.3)
    assert cache_hours([served(200, 0.0)] * 3) == 0
    # Counts of creators who hardly grow stay constant without a cache, and show none.
    assert cache_hours([served(0.5, 0.0)] * 3) == 0
    assert cache_hours([served(0.5, 3.0)] * 3) == 0
    assert cache_hours([]) == 0


def test_a_cached_count_is_used_at_times_at_which_it_was_true() -> None:
    hour = 3_600_000_000
    at = np.arange(0, 9) * hour
    followers = np.array([5, 5, 5, 5, 5, 9, 9, 9, 9], dtype=float)
    when, counts = as_of_true_times(at, followers, 3.0)
    # The fives were last served at 4: true at 1. The nines at 8, which is no later than their first time.
    assert (when / hour).tolist() == [0, 1, 5]
    assert counts.tolist() == [5, 5, 9]
    assert as_of_true_times(at[:0], followers[:0], 3.0)[0].size == 0
