"""Lifts in worlds that the method was not designed for: small runs of the benchmark with their own seeds.

Bounds are wider than the benchmark's by the scatter of a few hundred streams. With a rhythm of two waves and without
the prior of other creators coverage was .42, and false positives 56 %, where streams hide the peak of the day.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl
import pytest

from benchmarks.accuracy.hard_worlds import HARD_WORLDS, simulate_world
from benchmarks.accuracy.lift_estimates import estimated, judged_histories, score, undisturbed
from benchmarks.accuracy.lift_totals import score_board
from tiktok_pipeline.config.settings import Lift

WORLDS = {world.name.strip(): world for world in HARD_WORLDS}


@dataclass(frozen=True)
class Bounds:
    """The least coverage of streams and totals, the most false positives and width (days)."""

    covers: float
    false_positives: float
    totals: float
    width: float


@pytest.mark.parametrize(
    ("name", "bounds"),
    [
        ("same hour daily, growth peaks there", Bounds(0.90, 0.07, 0.88, 0.40)),
        ("the same, sharp peak", Bounds(0.84, 0.13, 0.75, 0.55)),
        ("same hour daily, growth peaks elsewhere", Bounds(0.88, 0.07, 0.85, 0.30)),
        ("sharp rhythm", Bounds(0.86, 0.08, 0.85, 0.25)),
        ("streams back to back", Bounds(0.85, 0.09, 0.85, 0.25)),
        ("on air 12 to 17 hours a day", Bounds(0.86, 0.09, 0.85, 0.80)),
        ("counts cached for 3 h", Bounds(0.86, 0.08, 0.85, 0.50)),
        ("slow purges", Bounds(0.86, 0.09, 0.80, 0.60)),
    ],
)
def test_intervals_keep_their_coverage_where_the_methods_assumptions_fail(name: str, bounds: Bounds) -> None:
    histories = simulate_world(WORLDS[name], creators=24, seed=7)
    lifts = estimated(histories, Lift())
    got = score(undisturbed(judged_histories(histories, Lift(), lifts)))
    assert got is not None
    assert got.streams > 300
    assert bounds.covers <= got.coverage
    assert got.false_positives <= bounds.false_positives
    assert got.width <= bounds.width
    assert score_board(histories, lifts).coverage >= bounds.totals


def test_an_hour_never_seen_off_air_is_flagged_and_an_ordinary_habit_is_not() -> None:
    daily, ordinary = (
        judged_histories(simulate_world(WORLDS[name], creators=15, seed=9), Lift())
        for name in ("the same, sharp peak", "usual habits")
    )
    flagged = pl.col("flags").list.contains("hour_never_seen")
    assert daily.select(flagged.mean()).item() > 0.9
    assert ordinary.select(flagged.mean()).item() < 0.2


def test_undeclared_rounding_is_found_and_a_large_account_is_not_observable() -> None:
    rows = judged_histories(simulate_world(WORLDS["undeclared rounding"], creators=40, seed=7), Lift())
    rounded = rows.filter(pl.col("size") > 12_000)
    assert rounded.select(pl.col("flags").list.contains("unit_found").mean()).item() > 0.95
    assert rows.filter(pl.col("size") > 1.2e6)["observable"].sum() == 0
    assert rows.filter(pl.col("size") < 8_000)["observable"].mean() == 1
    seen = score(rounded)
    assert seen is not None
    assert seen.coverage >= 0.86


def test_a_cache_is_found_and_counts_are_compared_at_times_at_which_they_were_true() -> None:
    rows = judged_histories(simulate_world(WORLDS["counts cached for 3 h"], creators=30, seed=7), Lift())
    assert rows["flags"].list.contains("cached_counts").all()
    # A cached count from before the end would miss most of a stream.
    assert abs((rows["lift"] - rows["true_lift"]).sum()) < 0.05 * rows["naive_delta"].sum()
