"""Estimates by hour of the week claim what is true: benchmarks/accuracy/hours_of_week.py has the full table."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from benchmarks.accuracy.hours_of_week import WORLDS, HourWorld, score_hours, simulate_hours
from tiktok_pipeline.tables import STREAM_HOURS
from tiktok_pipeline.transforms.creator_hours import ESTIMATED_FROM, creator_hours
from tiktok_pipeline.transforms.hour_estimates import (
    LEAST_STREAMS,
    NEIGHBOURS,
    Shares,
    _quantile,
    hour_estimates,
    variance_shares,
)
from tiktok_pipeline_tests.transforms.frames import frame, hours

STRONG, RARE, _, _, NONE = WORLDS
ESTIMATES = [f"typical_{what}{bound}" for what in ("viewers", "lift_per_hour") for bound in ("", "_lo", "_hi")]


@pytest.mark.parametrize("world", [STRONG, RARE], ids=lambda world: world.name)
def test_the_best_hour_claims_no_more_than_it_has(world: HourWorld) -> None:
    scores = score_hours(world, creators=150, weeks=8, seed=7)
    assert 0.8 <= scores["viewers"].claimed <= 1.2
    assert scores["viewers"].claimed_by_means > 2
    assert scores["viewers"].true_advantage > 1.1 * scores["viewers"].true_advantage_by_means
    assert 0.85 <= scores["viewers"].covered <= 0.95
    assert 0.6 <= scores["lift"].claimed <= 1.4
    assert scores["lift"].claimed_by_means > 3
    assert 0.85 <= scores["lift"].covered <= 0.98


def test_where_hours_do_not_matter_all_hours_are_nearly_alike() -> None:
    made, _ = simulate_hours(NONE, creators=50, weeks=6, seed=3)
    spread = (
        hour_estimates(made)
        .group_by("creator_id")
        .agg(
            pl.col("typical_viewers").log().std(),
            pl.col("typical_lift_per_hour").std() / pl.col("typical_lift_per_hour").mean(),
        )
    )
    # The plain means of these hours differ by 0.4.
    assert spread["typical_viewers"].median() < 0.1  # type: ignore[operator]
    assert abs(spread["typical_lift_per_hour"].median()) < 0.1  # type: ignore[arg-type]


def test_estimates_equal_the_predictions_of_the_whole_model() -> None:
    """Against the textbook formula with the full covariance of one creator's observations."""
    made, _ = simulate_hours(STRONG, creators=3, weeks=4, seed=5)
    found = hour_estimates(made).filter(pl.col("creator_id") == "c0001")
    rows = (
        made.with_columns(
            weekday=pl.col("hour").dt.weekday().cast(pl.Int64), day=pl.col("hour").dt.hour().cast(pl.Int64)
        )
        .group_by("creator_id", "stream_id", "weekday", "day")
        .agg(pl.col("average_viewers").log1p().mean())
        .sort("creator_id", "stream_id", "weekday", "day")
    )
    shares = variance_shares(rows.rename({"average_viewers": "value", "day": "hour"}))
    own = rows.filter(pl.col("creator_id") == "c0001")
    value = own["average_viewers"].to_numpy()
    same = {
        name: own[name].to_numpy()[:, None] == own[name].to_numpy()[None, :] for name in ("stream_id", "weekday", "day")
    }
    week = same["weekday"] & same["day"]
    alike = NEIGHBOURS @ NEIGHBOURS.T
    covariance = (
        shares.day * alike[own["day"].to_numpy()][:, own["day"].to_numpy()]
        + shares.week * week
        + shares.stream * same["stream_id"]
        + shares.noise * np.eye(value.size)
    )
    inverse = np.linalg.inv(covariance)
    ones = np.ones(value.size)
    mean = (ones @ inverse @ value) / (ones @ inverse @ ones)
    residual = inverse @ (value - mean)
    variance = float((value - mean) @ residual) / (value.size - 1)
    quantile = _quantile(own["stream_id"].n_unique() - 1)
    for weekday, hour, typical, low, high in found.select("weekday", "hour", *ESTIMATES[:3]).iter_rows():
        here_day = own["day"].to_numpy() == hour
        here = shares.day * alike[hour, own["day"].to_numpy()] + shares.week * (
            here_day & (own["weekday"].to_numpy() == weekday)
        )
        expected = mean + here @ residual
        left = 1 - here @ inverse @ ones
        spread = shares.day + shares.week - here @ inverse @ here + left**2 / (ones @ inverse @ ones)
        half = quantile * np.sqrt(variance * spread)
        assert np.log1p([typical, low, high]) == pytest.approx([expected, expected - half, expected + half], abs=1e-9)


def test_too_few_streams_have_no_estimate_and_the_others_keep_theirs() -> None:
    made, _ = simulate_hours(RARE, creators=20, weeks=6, seed=1)
    few = made.filter(pl.col("creator_id") == "c0003")["stream_id"].unique().sort().head(LEAST_STREAMS - 1)
    made = made.filter((pl.col("creator_id") != "c0003") | pl.col("stream_id").is_in(few.implode()))
    found = hour_estimates(made)
    assert (
        found.filter(pl.col("creator_id") == "c0003")
        .select(pl.all_horizontal(pl.col(ESTIMATES).is_null()).all())
        .item()
    )
    assert (
        found.filter(pl.col("creator_id") != "c0003")
        .select(pl.all_horizontal(pl.col(ESTIMATES).is_not_null()).all())
        .item()
    )


def test_unknown_viewers_and_lifts_are_no_zeros() -> None:
    made, _ = simulate_hours(STRONG, creators=10, weeks=4, seed=2)
    unknown = made.with_columns(
        average_viewers=pl.when(pl.col("creator_id") != "c0001").then("average_viewers"),
        lift=pl.when(pl.col("creator_id") != "c0002").then("lift"),
    )
    found = hour_estimates(unknown)
    nulls = dict(found.group_by("creator_id").agg(pl.col(ESTIMATES[0]).is_null().all()).iter_rows())
    assert [name for name, null in nulls.items() if null] == ["c0001"]
    nulls = dict(found.group_by("creator_id").agg(pl.col(ESTIMATES[3]).is_null().all()).iter_rows())
    assert [name for name, null in nulls.items() if null] == ["c0002"]


@pytest.mark.parametrize(
    ("average", "lift"),
    [(None, None), (0.0, 0.0), (1e12, -1e9), (5.0, 3.0)],
    ids=["nothing", "zeros", "extremes", "equal"],
)
def test_streams_without_any_variance_give_equal_bounds(average: float | None, lift: float | None) -> None:
    rows = [
        {"creator_id": "ana", "stream_id": f"s{n}", "hour": hours(24 * n + 20), "started_at": hours(24 * n + 20),
         "airtime_s": 3600.0, "counted_s": 3600.0, "average_viewers": average, "lift": lift}
        for n in range(8)
    ]  # fmt: skip
    found = hour_estimates(frame(STREAM_HOURS, *rows))
    assert found.height == 7
    for expected, names in ((average, ESTIMATES[:3]), (lift, ESTIMATES[3:])):
        for name in names:
            known = found[name].drop_nulls().to_list()
            assert known == ([] if expected is None else pytest.approx([expected] * 7, rel=1e-6, abs=1e-6))


def test_no_streams_give_no_rows() -> None:
    assert hour_estimates(frame(STREAM_HOURS)).height == 0
    assert creator_hours(frame(STREAM_HOURS)).height == 0


def test_the_order_of_rows_changes_nothing() -> None:
    made, _ = simulate_hours(STRONG, creators=20, weeks=3, seed=9)
    assert_frame_equal(
        hour_estimates(made), hour_estimates(made.sample(fraction=1, shuffle=True, seed=1)), check_exact=True
    )


def test_creator_hours_estimates_from_the_last_weeks_only() -> None:
    made, _ = simulate_hours(STRONG, creators=5, weeks=4, seed=4)
    old = made.with_columns(
        pl.col("hour") - ESTIMATED_FROM - timedelta(days=28),
        pl.col("average_viewers") * 50,
        stream_id=pl.col("stream_id") + "-old",
    )
    both = creator_hours(_rows(pl.concat([made, old])))
    recent = creator_hours(_rows(made))
    keys = ["creator_id", "weekday", "hour"]
    same = both.select(*keys, *ESTIMATES).join(recent.select(keys), on=keys, how="semi")
    assert_frame_equal(same, recent.select(*keys, *ESTIMATES))
    assert both["streams"].sum() == 2 * recent["streams"].sum()


def _rows(made: pl.DataFrame) -> pl.DataFrame:
    """Return rows with all columns of the table."""
    viewers = pl.col("average_viewers")
    return STREAM_HOURS.conform(
        made.with_columns(started_at=pl.col("hour"), hours_watched=viewers, peak_viewers=viewers.cast(pl.Int64))
    )


def test_the_quantile_is_that_of_students_t() -> None:
    # Two-sided 90 %, from a table of Student's t.
    for degrees, expected in ((4, 2.132), (9, 1.833), (30, 1.697), (1000, 1.646)):
        assert _quantile(degrees) == pytest.approx(expected, abs=0.02)


def test_shares_of_a_known_model_are_found() -> None:
    made, _ = simulate_hours(STRONG, creators=200, weeks=8, seed=11)
    rows = (
        made.with_columns(weekday=pl.col("hour").dt.weekday(), hour=pl.col("hour").dt.hour())
        .group_by("creator_id", "stream_id", "weekday", "hour")
        .agg(value=pl.col("average_viewers").log().mean())
    )
    found = variance_shares(rows)
    total = 0.3**2 + 0.1**2 + 0.5**2 + 0.15**2
    true = Shares(0.3**2 / total, 0.1**2 / total, 0.5**2 / total, 0.15**2 / total)
    assert found == pytest.approx(true, abs=0.06)
