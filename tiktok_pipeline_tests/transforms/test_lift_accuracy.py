"""Lifts against simulated truth: a small run of the benchmark with its own seeds.

Bounds are wider than the benchmark's by the scatter of a few hundred streams.
"""

from __future__ import annotations

import polars as pl
import pytest

from benchmarks.accuracy.follower_histories import Scenario
from benchmarks.accuracy.lift_estimates import Score, judged, score, undisturbed
from benchmarks.accuracy.lift_totals import score_totals


def scored(scenario: Scenario) -> Score:
    rows = pl.concat([judged(scenario, creators=40, seed=seed) for seed in (7, 8)])
    got = score(undisturbed(rows))
    assert got is not None
    return got


@pytest.mark.parametrize(
    ("scenario", "coverage"),
    [
        (Scenario("15 minutes"), 0.87),
        (Scenario("past only", provisional=True), 0.87),
        (Scenario("240 minutes", off_air_min=240, on_air_min=30), 0.87),
        (Scenario("stale", stale_share=0.3, stale_min=60), 0.87),
    ],
    ids=lambda value: value.name if isinstance(value, Scenario) else None,
)
def test_lifts_are_far_better_than_naive_and_have_valid_intervals(scenario: Scenario, coverage: float) -> None:
    got = scored(scenario)
    assert got.streams > 900
    assert got.observable == 1
    assert got.mae_to_naive <= 0.48
    assert abs(got.bias) <= 0.025
    assert coverage <= got.coverage <= 0.95
    assert got.false_positives <= 0.08
    assert got.power >= 0.8


def test_in_the_first_week_intervals_are_wider_and_keep_their_coverage() -> None:
    short = [judged(Scenario("a week", days=7, warm_up_days=0), creators=150, seed=seed) for seed in (7, 8)]
    got = score(undisturbed(pl.concat(short)))
    assert got is not None
    assert got.streams > 500
    assert got.mae_to_naive <= 0.48
    assert abs(got.bias) <= 0.025
    # If overlapping windows counted as independent, coverage would be 0.89 here.
    assert 0.90 <= got.coverage <= 0.95
    assert got.false_positives <= 0.075


def test_a_months_totals_rank_creators_better_than_naive_differences() -> None:
    got = score_totals(creators=60, seed=7)
    assert got.creators > 50
    assert got.mae_to_naive <= 0.2
    assert 0.85 <= got.coverage <= 0.99
    assert got.rank_correlation > max(got.naive_rank_correlation, got.confident_rank_correlation)


def test_lifts_of_large_accounts_with_rounded_counts_are_not_observable() -> None:
    rows = judged(Scenario("rounded", rounded=True, days=28), creators=40, seed=7)
    large = rows.filter(pl.col("size") >= 1e6)
    small = rows.filter(pl.col("size") < 9_000)
    assert large.height > 20
    assert large["observable"].mean() == 0
    assert small["observable"].mean() == 1
