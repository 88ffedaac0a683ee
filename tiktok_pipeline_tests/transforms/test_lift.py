"""Lift from histories of follower counts with known truth."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from tiktok_pipeline.config.settings import Lift
from tiktok_pipeline.tables import LIVE_OBSERVATIONS, POST_OBSERVATIONS, PROFILE_OBSERVATIONS, STREAM_LIFT, STREAMS
from tiktok_pipeline.transforms.lift import stream_lift
from tiktok_pipeline_tests.transforms.frames import frame, hours

# Ten days of history, a stream on the eleventh at noon, and two days after it.
SPAN_H = 13 * 24
START_H, END_H = 10 * 24 + 12.0, 10 * 24 + 14.0


def stream(start_h: float = START_H, end_h: float | None = END_H, **more: Any) -> dict[str, Any]:
    ended = None if end_h is None else hours(end_h)
    return {
        "stream_id": f"mira:{start_h}", "creator_id": "mira", "started_at": hours(start_h),
        "started_at_hi": hours(start_h), "ended_at": ended, "ended_at_lo": ended or hours(start_h + 1),
        "status": "ended" if ended else "live", "airtime_s": ((end_h or start_h + 1) - start_h) * 3600,
    } | more  # fmt: skip


def grown(rate: Callable[[float], float], base: int = 100_003, step_h: float = 0.25) -> Callable[[float], int]:
    """Return followers by hour, from a rate of followers an hour."""
    grid = np.arange(0, SPAN_H + 1, step_h)
    total = np.concatenate([[0.0], np.cumsum([rate(h) * step_h for h in grid[:-1]])])
    return lambda hour: base + int(np.interp(hour, grid, total))


def counts(
    followers: Callable[[float], int],
    *,
    step_h: float = 0.25,
    until_h: float = SPAN_H,
    from_h: float = 0,
    unit: int = 1,
    vendor: str = "social_fetch",
) -> list[dict[str, Any]]:
    return [
        {
            "creator_id": "mira", "vendor": vendor, "observed_at": hours(hour), "capture_id": f"{vendor}{hour}",
            "source": "live", "followers": round(followers(hour) / unit) * unit, "followers_unit": unit,
            "followers_precision": "exact" if unit == 1 else "rounded",
        }
        for hour in np.arange(from_h, until_h, step_h)
    ]  # fmt: skip


def estimated(
    streams: list[dict[str, Any]],
    profiles: list[dict[str, Any]],
    *,
    as_of_h: float = SPAN_H,
    live: pl.DataFrame | None = None,
) -> list[dict[str, Any]]:
    rows = stream_lift(
        frame(STREAMS, *streams),
        frame(PROFILE_OBSERVATIONS, *profiles),
        LIVE_OBSERVATIONS.empty() if live is None else live,
        POST_OBSERVATIONS.empty(),
        settings=Lift(),
        as_of=hours(as_of_h),
    )
    assert rows.schema == STREAM_LIFT.schema
    for name, dtype in rows.schema.items():
        if dtype == pl.Float64:
            assert not rows[name].is_nan().any(), name
    return rows.rows(named=True)


def only(streams: list[dict[str, Any]], profiles: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    (row,) = estimated(streams, profiles, **more)
    return row


def steady(hour: float) -> float:
    return 40.0


def with_stream(rate: Callable[[float], float], lift_an_hour: float) -> Callable[[float], float]:
    return lambda hour: rate(hour) + (lift_an_hour if START_H <= hour < END_H else 0.0)


def evening(hour: float) -> float:
    """Return a day rhythm: four times as much at its peak, the stream's hour, as at its trough."""
    return 40.0 * (1 + 0.6 * np.cos((hour % 24 - 13) / 24 * 2 * np.pi))


def test_ordinary_growth_is_subtracted() -> None:
    row = only([stream()], counts(grown(with_stream(steady, 100))))
    assert row["naive_delta"] == pytest.approx(200 + 40 * 3, abs=15)
    assert row["expected_organic"] == pytest.approx(40 * 3, abs=15)
    assert row["lift"] == pytest.approx(200, abs=3)
    assert row["lift"] == pytest.approx(row["naive_delta"] - row["expected_organic"])
    assert row["lift_lo"] <= 200 <= row["lift_hi"]
    assert row["is_significant"]
    assert row["lift_per_hour"] == pytest.approx(row["lift"] / 2)
    assert row["lift_pct"] == pytest.approx(row["lift"] / row["followers_before"] * 100)
    assert row["interval_level"] == pytest.approx(0.9)
    # No posts were captured.
    assert row["flags"] == ["viral_unknown"]


def test_a_stream_without_lift_is_not_significant() -> None:
    row = only([stream()], counts(grown(steady)))
    assert row["naive_delta"] > 100
    assert row["lift"] == pytest.approx(0, abs=3)
    assert not row["is_significant"]
    assert row["lift_lo"] <= 0 <= row["lift_hi"]


def test_the_creators_day_rhythm_is_taken_into_account() -> None:
    row = only([stream()], counts(grown(evening)))
    flat = 40.0 * (row["after_at"] - row["before_at"]).total_seconds() / 3600
    assert row["profile_used"]
    # At the peak hour a flat rate would count much of the growth as lift.
    assert row["expected_organic"] > flat * 1.3
    assert abs(row["lift"]) < 0.15 * row["naive_delta"]


def test_real_snapshots_bracket_the_stream() -> None:
    row = only([stream()], counts(grown(steady), step_h=0.7))
    assert row["before_at"] <= row["started_at"]
    assert row["after_at"] >= row["ended_at"] + timedelta(minutes=60)
    assert 0 <= row["before_gap_s"] <= 0.7 * 3600
    assert 0 <= row["after_gap_s"] <= 0.7 * 3600
    assert (row["provider_before"], row["provider_after"]) == ("social_fetch", "social_fetch")


def test_a_difference_never_mixes_counts_of_two_vendors() -> None:
    exact = counts(grown(with_stream(steady, 100)), until_h=START_H + 0.1)
    rounded = counts(grown(with_stream(steady, 100)), unit=100, vendor="konbini")
    row = only([stream()], exact + rounded)
    assert row["provider_before"] == row["provider_after"] == "konbini"
    assert row["resolution"] == 100


def test_exact_counts_take_precedence_over_closer_rounded_ones() -> None:
    exact = counts(grown(with_stream(steady, 100)), step_h=1.5)
    rounded = counts(grown(with_stream(steady, 100)), step_h=0.1, unit=100, vendor="konbini")
    assert only([stream()], exact + rounded)["resolution"] == 1


def test_a_difference_within_the_rounding_is_not_observable_and_not_zero() -> None:
    big = grown(with_stream(steady, 100), base=9_000_000)
    row = only([stream()], counts(big, unit=100_000))
    assert not row["observable"]
    assert (row["lift"], row["lift_lo"], row["is_significant"]) == (None, None, None)
    assert row["resolution"] == 100_000
    assert "below_resolution" in row["flags"]


def test_rounding_widens_the_interval() -> None:
    loud = with_stream(steady, 5_000)
    exact, rounded = (only([stream()], counts(grown(loud), unit=unit)) for unit in (1, 100))
    assert rounded["observable"]
    assert rounded["lift"] == pytest.approx(exact["lift"], abs=100)
    assert rounded["lift_hi"] - rounded["lift_lo"] > exact["lift_hi"] - exact["lift_lo"]
    assert rounded["lift_hi"] - rounded["lift_lo"] >= 2 * 70


@pytest.mark.parametrize(("as_of_h", "final"), [(END_H + 2, False), (END_H + 1.2 + 27, True)])
def test_an_estimate_is_provisional_until_the_next_day(as_of_h: float, final: bool) -> None:
    row = only([stream()], counts(grown(with_stream(steady, 100)), until_h=as_of_h), as_of_h=as_of_h)
    assert row["is_final"] is final
    assert row["lift"] == pytest.approx(200, abs=15)


def test_without_an_earlier_count_the_first_one_on_air_is_used_and_flagged() -> None:
    row = only([stream()], counts(grown(with_stream(steady, 100)), from_h=START_H + 0.5))
    assert "late_before" in row["flags"]
    assert row["before_at"] > row["started_at"]


@pytest.mark.parametrize("end_h", [None, END_H])
def test_missing_counts_or_a_missing_end_give_nulls_and_no_error(end_h: float | None) -> None:
    lonely = counts(grown(steady), from_h=START_H - 1, until_h=START_H - 0.9)
    for profiles in ([], lonely, counts(grown(steady)) if end_h is None else []):
        row = only([stream(end_h=end_h)], profiles)
        assert not row["observable"]
        assert row["lift"] is None
        assert row["followers_after"] is None


def test_the_next_stream_ends_the_window_and_is_flagged() -> None:
    following = stream(END_H + 0.5, END_H + 1.5)
    first, second = estimated([stream(), following], counts(grown(with_stream(steady, 100))))
    assert "overlap_next" in first["flags"]
    assert "adjacent_prev" in second["flags"]
    assert first["after_at"] <= hours(END_H + 0.75)


def test_carry_over_of_a_stream_shortly_before_is_expected_without_this_one() -> None:
    first, second = estimated([stream(), stream(END_H + 2, END_H + 4)], counts(grown(with_stream(steady, 400))))
    for row in (first, second):
        assert row["lift"] == pytest.approx(row["naive_delta"] - row["expected_organic"])
    # Beyond the hours' own growth.
    assert second["expected_organic"] > 1.2 * second["baseline_rate_per_h"] * 3


def test_two_streams_between_the_same_two_counts_are_not_distinguished() -> None:
    profiles = [p for p in counts(grown(with_stream(steady, 100))) if not START_H - 1 < hour_of(p) < START_H + 11]
    rows = estimated([stream(), stream(START_H + 5, START_H + 7)], profiles)
    for row in rows:
        assert "shared_bracket" in row["flags"]
        assert (row["observable"], row["lift"]) == (False, None)
        assert row["naive_delta"] is not None


def hour_of(profile: dict[str, Any]) -> float:
    return float((profile["observed_at"] - hours(0)).total_seconds() / 3600)


def test_a_purge_within_the_window_is_flagged_and_one_outside_is_excluded_from_the_baseline() -> None:
    def purged_at(hour: float) -> Callable[[float], int]:
        plain = grown(with_stream(steady, 100))
        return lambda h: plain(h) - (5_000 if h >= hour else 0)

    assert "count_anomaly" in only([stream()], counts(purged_at(START_H + 0.6)))["flags"]
    outside = only([stream()], counts(purged_at(START_H - 8)))
    assert "count_anomaly" not in outside["flags"]
    assert outside["lift"] == pytest.approx(200, abs=5)


def test_a_new_creator_gets_the_errors_of_the_others() -> None:
    other_streams = [s | {"creator_id": "nora", "stream_id": "nora:1"} for s in [stream()]]
    noras = [p | {"creator_id": "nora", "capture_id": f"n{n}"} for n, p in enumerate(counts(grown(evening)))]
    short = counts(grown(with_stream(steady, 100)), from_h=START_H - 7, until_h=END_H + 3)
    rows = {row["creator_id"]: row for row in estimated([stream(), *other_streams], short + noras)}
    assert "few_placebo" in rows["mira"]["flags"]
    assert rows["mira"]["lift_lo"] is not None


def test_tiktoks_own_count_is_the_largest_of_each_room_summed() -> None:
    def room_row(minute: float, room: str, follows: int | None) -> dict[str, Any]:
        return {
            "creator_id": "mira", "vendor": "tikhub", "capture_id": f"{minute}", "room_id": room,
            "observed_at": hours(START_H + minute / 60), "live_state": "live", "evidence": "strong",
            "new_followers": follows,
        }  # fmt: skip

    live = frame(
        LIVE_OBSERVATIONS,
        room_row(5, "r1", 10),
        room_row(20, "r1", 30),
        room_row(60, "r2", 7),
        room_row(90, "r2", None),
    )
    assert only([stream()], counts(grown(steady)), live=live)["platform_new_followers"] == 37
    assert only([stream()], counts(grown(steady)))["platform_new_followers"] is None
    # The room of the next stream counts for the next stream, however soon it begins.
    soon = stream(END_H + 0.25, END_H + 1)
    more = pl.concat([live, frame(LIVE_OBSERVATIONS, room_row(140, "r3", 700), room_row(150, "r3", 710))])
    first, second = estimated([stream(), soon], counts(grown(steady)), live=more)
    assert (first["platform_new_followers"], second["platform_new_followers"]) == (37, 710)


def test_order_and_repetition_change_nothing() -> None:
    profiles = counts(grown(with_stream(evening, 100)))
    once = estimated([stream()], profiles)
    assert estimated([stream()], [*reversed(profiles), *profiles[::7]]) == once


def test_intervals_have_their_nominal_coverage() -> None:
    """A small version of the benchmark: noisy growth with a rhythm, known lifts, 200 creators."""
    random = np.random.default_rng(1)
    grid = np.arange(0, SPAN_H, 0.25)
    streams, profiles, truth = [], [], {}
    for number in range(200):
        creator, lift = f"c{number:03}", float(random.choice([0, 0, 150, 600]))
        scale, phase = random.uniform(20, 120), random.uniform(0, 24)
        rhythm = scale * (1 + 0.5 * np.cos((grid % 24 - phase) / 24 * 2 * np.pi))
        slow = np.exp(np.cumsum(random.normal(0, 0.02, grid.size)) * 0.5)
        gained = random.poisson(rhythm * slow * 0.25) + np.where((grid >= START_H) & (grid < END_H), lift / 8, 0)
        total = 100_000 + np.concatenate([[0], np.cumsum(gained)[:-1]]).astype(np.int64)
        streams.append(stream() | {"creator_id": creator, "stream_id": creator})
        history = frame(PROFILE_OBSERVATIONS, *counts(lambda hour: 0))
        profiles.append(history.with_columns(creator_id=pl.lit(creator), followers=pl.Series(total)))
        truth[creator] = lift
    rows = stream_lift(
        frame(STREAMS, *streams),
        pl.concat(profiles),
        LIVE_OBSERVATIONS.empty(),
        POST_OBSERVATIONS.empty(),
        settings=Lift(),
        as_of=hours(SPAN_H),
    ).with_columns(truth=pl.col("creator_id").replace_strict(truth))
    estimated_error, naive_error = rows["lift"] - rows["truth"], rows["naive_delta"] - rows["truth"]
    covered = rows["truth"].is_between(rows["lift_lo"], rows["lift_hi"])
    # The bounds of docs/methods.md 9.2, with a margin for the scatter of 200 draws.
    assert estimated_error.abs().mean() <= 0.48 * naive_error.abs().mean()  # type: ignore[operator]
    assert 0.85 <= covered.mean() <= 0.96  # type: ignore[operator]
    assert rows.filter(pl.col("truth") == 0)["is_significant"].mean() <= 0.12  # type: ignore[operator]
