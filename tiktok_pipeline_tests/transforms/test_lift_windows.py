"""The lift's window: the compared counts, the organic part, and observability."""

from __future__ import annotations

import math
from typing import Any

import pytest
from polars.testing import assert_frame_equal

from tiktok_pipeline.config.settings import Lift
from tiktok_pipeline.tables import LIVE_OBSERVATIONS, PROFILE_OBSERVATIONS, STREAM_LIFT, STREAMS
from tiktok_pipeline.transforms.lift import stream_lift
from tiktok_pipeline_tests.transforms.counts import (
    DAYS_H,
    END,
    NO_LIVE,
    NO_POSTS,
    START,
    every,
    lift_of,
    lifts,
    room_reading,
    rounded,
    snapshot,
    steady,
    stream,
    with_lift,
)
from tiktok_pipeline_tests.transforms.frames import frame, hours

NOTHING = (
    "followers_before", "before_at", "followers_after", "after_at", "naive_delta", "expected_organic", "lift",
    "lift_lo", "lift_hi", "interval_level", "lift_pct", "lift_per_hour", "resolution", "is_significant",
)  # fmt: skip


def test_no_streams_give_no_rows() -> None:
    nothing = (STREAMS.empty(), PROFILE_OBSERVATIONS.empty(), NO_LIVE, NO_POSTS)
    empty = stream_lift(*nothing, settings=Lift(), as_of=hours(0))
    assert_frame_equal(empty, STREAM_LIFT.empty())


def test_the_lift_is_the_gain_less_usual_growth() -> None:
    row = lift_of(every(15, with_lift(300)))
    # From the start to an hour after the end are three hours of ten each.
    assert (row["before_at"], row["after_at"]) == (hours(START), hours(END + 1))
    assert (row["naive_delta"], row["expected_organic"]) == (330, pytest.approx(30, rel=0.01))
    assert row["lift"] == 330 - row["expected_organic"]
    assert row["baseline_rate_per_h"] == pytest.approx(10, rel=0.01)
    assert (row["observable"], row["is_final"], row["is_significant"]) == (True, True, True)
    assert row["lift_lo"] < 300 < row["lift_hi"]
    assert row["interval_level"] == pytest.approx(0.9)


def test_a_stream_without_lift_is_not_significant() -> None:
    def wobbling(hour: float) -> float:
        return steady(hour) + 8 * math.sin(hour * 2.7)

    row = lift_of(every(15, wobbling))
    assert row["lift_lo"] < 0 < row["lift_hi"]
    assert row["is_significant"] is False


def test_growth_by_the_hour_of_the_day_is_not_counted_as_lift() -> None:
    def evenings(hour: float) -> float:
        # 5 to 15 an hour, most at noon; the stream is at noon of the fourth day.
        return 100_000 + 10 * hour - 5 * 24 / (2 * math.pi) * math.sin(2 * math.pi * (hour - 84 - 12) / 24)

    row = lift_of(every(15, evenings), stream(83, 85))
    assert row["naive_delta"] == pytest.approx(44, abs=1)
    assert row["profile_used"]
    assert abs(row["lift"]) < 3


def test_one_day_of_counts_gives_no_rhythm() -> None:
    counts = every(15, with_lift(300), since=START - 24)
    assert lift_of(counts, as_of=END + 2)["profile_used"] is False


def test_lift_is_reported_in_percent_and_by_the_hour() -> None:
    row = lift_of(every(15, with_lift(300)))
    assert row["lift_pct"] == pytest.approx(100 * row["lift"] / 100_841)
    assert row["lift_per_hour"] == pytest.approx(row["lift"] / 2)


# Choice of counts


def test_the_count_before_is_the_last_before_the_start_and_after_the_first_past_the_carry_over() -> None:
    row = lift_of(every(25, with_lift(300)))
    assert (row["before_at"], row["after_at"]) == (hours(START - 0.25), hours(END + 1 + 5 / 60))
    assert (row["before_gap_s"], row["after_gap_s"]) == (pytest.approx(900), pytest.approx(300))


def test_the_carry_over_can_be_set() -> None:
    row = lift_of(every(15, with_lift(300)), settings=Lift(carry_over_minutes=0))
    assert (row["after_at"], row["carry_over_min"]) == (hours(END), 0)


def test_exact_counts_take_precedence_over_closer_rounded_ones() -> None:
    coarse = {"vendor": "konbini", "followers_precision": "rounded", "followers_unit": 100}
    row = lift_of([*every(60, with_lift(300)), *every(5, rounded(with_lift(300), 100), **coarse)])
    assert (row["provider_before"], row["provider_after"], row["resolution"]) == ("social_fetch", "social_fetch", 1)


def test_of_two_exact_vendors_the_one_with_closer_counts_is_used_and_never_both() -> None:
    near = every(7, with_lift(300), vendor="tikliveapi")
    # The other vendor counts 5,000 more: a mixture would show as a lift of thousands.
    far = [row | {"followers": row["followers"] + 5_000} for row in every(60, with_lift(300), since=0.5)]
    row = lift_of([*near, *far])
    assert (row["provider_before"], row["provider_after"]) == ("tikliveapi", "tikliveapi")
    assert row["lift"] == pytest.approx(300, abs=5)


def test_a_vendor_with_only_one_of_the_two_counts_is_not_used() -> None:
    missing = [r for r in every(5, with_lift(300), vendor="tikhub", source="room") if r["observed_at"] < hours(END)]
    assert lift_of([*every(60, with_lift(300)), *missing])["provider_before"] == "social_fetch"


def test_a_vendor_with_a_baseline_takes_precedence_over_a_closer_one_without() -> None:
    close = [snapshot(h, with_lift(300)(h), vendor="tikhub", source="room") for h in (START, END + 1)]
    row = lift_of([*every(55, with_lift(300)), *close])
    assert (row["provider_before"], row["lift"]) == ("social_fetch", pytest.approx(300, abs=10))


def test_the_total_of_a_follower_list_is_never_compared_with_a_profile() -> None:
    profile = every(15, with_lift(300), until=END)
    listed = every(15, lambda hour: with_lift(300)(hour) + 900, since=END + 1, source="followers")
    row = lift_of([*profile, *listed])
    assert (row["naive_delta"], row["observable"]) == (None, False)


def test_counts_with_different_units_are_never_compared() -> None:
    def million(hour: float) -> float:
        return 999_900 + 100 * hour

    low = [r for r in every(15, rounded(million, 100)) if r["followers"] < 1_000_000]
    high = [r for r in every(15, rounded(million, 100_000)) if r["observed_at"] > low[-1]["observed_at"]]
    for row, unit in [(r, 100) for r in low] + [(r, 100_000) for r in high]:
        row |= {"followers_precision": "rounded", "followers_unit": unit}
    row = lift_of([*low, *high], stream(0.2, 0.3))
    assert (row["naive_delta"], row["observable"]) == (None, False)


def test_without_an_earlier_count_the_first_one_on_air_is_used_and_flagged() -> None:
    row = lift_of(every(15, with_lift(300), since=START + 0.5))
    assert row["before_at"] == hours(START + 0.5)
    assert "late_before" in row["flags"]


def test_a_count_of_the_previous_day_is_not_the_count_before() -> None:
    counts = [r for r in every(15, with_lift(300)) if not hours(START - 13) < r["observed_at"] <= hours(END)]
    row = lift_of(counts)
    assert [row[name] for name in NOTHING] == [None] * len(NOTHING)
    assert (row["observable"], "no_before" in row["flags"]) == (False, True)


def test_a_count_of_the_next_day_is_not_the_count_after() -> None:
    counts = [r for r in every(15, with_lift(300)) if not hours(END) < r["observed_at"] < hours(END + 14)]
    row = lift_of(counts)
    assert (row["naive_delta"], row["observable"], "no_after" in row["flags"]) == (None, False, True)


def test_a_count_that_stayed_constant_for_too_long_is_a_cached_response() -> None:
    def fast(hour: float) -> float:
        return 1_000_003 + 1_000 * hour

    counts = every(15, fast)
    stuck = next(n for n, row in enumerate(counts) if row["observed_at"] == hours(START))
    counts[stuck] |= {"followers": counts[stuck - 1]["followers"]}
    row = lift_of(counts)
    assert row["before_at"] == hours(START - 0.25)
    assert "stale_suspect" in row["flags"]
    assert row["lift"] == pytest.approx(0, abs=1)


def test_a_count_that_dips_and_comes_back_is_a_cached_response_and_no_purge() -> None:
    counts = every(15, with_lift(3_000))
    after = next(n for n, row in enumerate(counts) if row["observed_at"] == hours(END + 1))
    counts[after] |= {"followers": int(with_lift(3_000)(END - 1))}
    row = lift_of(counts)
    assert row["after_at"] == hours(END + 1.25)
    assert (row["lift"], "count_anomaly" in row["flags"]) == (pytest.approx(3_000, abs=5), False)


# Uncertainty


def test_rare_jumps_widen_the_lower_side_of_the_interval() -> None:
    # A jump of 200 every 13 hours: most windows grow less than the mean, a few far more.
    row = lift_of(every(15, lambda hour: steady(hour) + 200 * (hour // 13)))
    assert row["lift"] - row["lift_lo"] > 2 * (row["lift_hi"] - row["lift"])


def test_a_higher_confidence_level_widens_the_interval() -> None:
    def wobbling(hour: float) -> float:
        return steady(hour) + 30 * math.sin(hour * 2.7) + 20 * math.sin(hour * 0.9)

    half, most = (lift_of(every(15, wobbling), settings=Lift(alpha=alpha)) for alpha in (0.5, 0.1))
    assert most["lift_hi"] - most["lift_lo"] > 1.3 * (half["lift_hi"] - half["lift_lo"])
    assert (half["interval_level"], most["interval_level"]) == (0.5, 0.9)


def test_without_clean_hours_near_by_the_baseline_looks_further_back() -> None:
    counts = [*every(15, with_lift(300), until=44), *(snapshot(h, with_lift(300)(h)) for h in (START, END + 1))]
    row = lift_of(counts, as_of=END + 2)
    assert row["baseline_hours"] == pytest.approx(8, abs=0.5)
    assert row["lift"] == pytest.approx(300, abs=2)


# Not observable


def test_a_stream_on_air_has_no_lift_yet() -> None:
    row = lift_of(every(15, steady), stream(140, None))
    assert [row[name] for name in NOTHING] == [None] * len(NOTHING)
    assert (row["observable"], row["is_final"], row["placebos"]) == (False, False, 0)
    assert "no_end" in row["flags"]


def test_before_the_end_of_the_carry_over_there_is_no_count_after() -> None:
    row = lift_of(every(15, with_lift(300)), as_of=END + 0.5)
    assert (row["naive_delta"], row["observable"], row["is_final"]) == (None, False, False)
    assert "no_after" in row["flags"]


def test_a_creator_without_counts_has_no_lift() -> None:
    row = lift_of([])
    assert (row["lift"], row["observable"], row["placebos"], row["profile_used"]) == (None, False, 0, False)
    assert {"no_before", "no_after"} <= set(row["flags"])


@pytest.mark.parametrize("kept", [[START], [END + 1], [START, END + 1], [START, START + 1, END + 1]])
def test_a_creator_with_two_counts_has_no_lift_and_raises_no_error(kept: list[float]) -> None:
    row = lift_of([snapshot(hour, steady(hour)) for hour in kept])
    assert (row["lift"], row["lift_lo"], row["lift_hi"], row["observable"]) == (None, None, None, False)


def test_without_a_baseline_the_counts_are_given_and_the_lift_is_null() -> None:
    row = lift_of([snapshot(START, 1_000), snapshot(END + 1, 1_500)])
    assert (row["naive_delta"], row["expected_organic"], row["lift"]) == (500, None, None)
    assert "short_baseline" in row["flags"]


def test_a_new_creator_gets_the_errors_of_others() -> None:
    old = every(15, lambda hour: with_lift(300)(hour) + 8 * math.sin(hour * 2.7), creator_id="bo")
    new = every(60, with_lift(300), since=START - 9, until=END + 1)
    streams = [stream(), stream(creator_id="bo")]
    alone = lift_of(new, as_of=END + 1)
    row = lift_of([*old, *new], *streams, as_of=END + 1)
    assert (alone["observable"], alone["lift"], alone["placebos"]) == (False, None, row["placebos"])
    assert (row["observable"], row["placebos"] < 19) == (True, True)
    assert row["lift_lo"] < row["lift"] < row["lift_hi"]
    assert "few_placebo" in row["flags"]


def test_a_rounded_account_of_millions_is_not_observable() -> None:
    def million(hour: float) -> float:
        return with_lift(20_000)(hour) + 8_912_000

    counts = every(15, rounded(million, 100_000), followers_precision="rounded", followers_unit=100_000)
    row = lift_of(counts)
    assert (row["observable"], row["lift"], row["lift_lo"], row["lift_hi"]) == (False, None, None, None)
    assert row["interval_level"] is row["is_significant"] is row["lift_pct"] is row["lift_per_hour"] is None
    assert (row["resolution"], row["naive_delta"]) == (100_000, 0)
    assert "below_resolution" in row["flags"]


def test_two_quanta_of_a_rounded_account_are_unobservable_and_three_are_observable() -> None:
    coarse: dict[str, Any] = {"followers_precision": "rounded", "followers_unit": 100}
    little = lift_of(every(15, rounded(with_lift(170), 100), **coarse))
    much = lift_of(every(15, rounded(with_lift(270), 100), **coarse))
    assert (little["naive_delta"], little["observable"], little["lift"]) == (200, False, None)
    assert (much["naive_delta"], much["observable"]) == (300, True)
    assert much["lift_lo"] <= much["lift"] - 70
    assert much["lift_hi"] >= much["lift"] + 70


def test_an_exact_account_has_no_rounding_unit_as_a_limit() -> None:
    row = lift_of(every(15, lambda hour: 5_000))
    assert (row["naive_delta"], row["observable"], row["lift"]) == (0, True, 0)


# Neighbouring streams and purges


def test_the_window_ends_at_the_next_start() -> None:
    row = lift_of(every(15, with_lift(300)), stream(), stream(END + 0.5, END + 2))
    assert row["after_at"] == hours(END + 0.5)
    assert {"overlap_next", "stream_group"} <= set(row["flags"])


def test_a_stream_after_another_is_flagged_and_its_interval_includes_carry_over() -> None:
    first, second = lifts([stream(), stream(END + 2, END + 3)], every(15, with_lift(300)))
    assert "adjacent_prev" not in first["flags"]
    assert "adjacent_prev" in second["flags"]
    assert "stream_group" not in second["flags"]
    # No followers came after the end here. Of three hundred a tenth may have.
    assert -40 < second["lift"] < 0
    assert second["lift_lo"] < second["lift"] < second["lift_hi"]
    assert not second["is_significant"]


def test_other_streams_are_excluded_from_the_baseline() -> None:
    def twice(hour: float) -> float:
        return with_lift(300)(hour) + with_lift(2_000, START - 12, START - 10)(hour) - steady(hour)

    known = lift_of(every(15, twice), stream(), stream(START - 12, START - 10))
    assert known["lift"] == pytest.approx(300, abs=2)
    assert lift_of(every(15, twice))["lift"] < 250


def test_a_purge_is_excluded_from_the_baseline() -> None:
    def purged(hour: float) -> float:
        return with_lift(300)(hour) - (4_000 if hour >= START - 10 else 0)

    row = lift_of(every(15, purged))
    assert row["lift"] == pytest.approx(300, abs=2)
    assert "count_anomaly" not in row["flags"]


def test_a_purge_within_the_window_is_flagged() -> None:
    def purged(hour: float) -> float:
        return with_lift(300)(hour) - (4_000 if hour >= START + 1 else 0)

    assert "count_anomaly" in lift_of(every(15, purged))["flags"]


def test_a_lost_stream_is_excluded_from_the_baseline_of_another() -> None:
    def rising(hour: float) -> float:
        return steady(hour) + 500 * min(max(hour - (START - 11), 0), 6)

    lost, within = stream(START - 11, None, status="lost"), stream(START - 10, START - 9.9)
    assert lift_of(every(15, rising), stream(), lost)["lift"] == pytest.approx(0, abs=2)
    assert lift_of(every(15, rising), stream(), lost, within)["lift"] == pytest.approx(0, abs=2)


def test_flags_of_the_streams_own_bounds_are_passed_on() -> None:
    row = lift_of(every(15, steady), stream(flags=["censored_end", "censored_start", "no_room_id"]))
    assert {"censored_start", "censored_end"} <= set(row["flags"])
    assert "no_room_id" not in row["flags"]
    assert row["flags"] == sorted(row["flags"])


def test_two_streams_between_the_same_counts_cannot_be_distinguished() -> None:
    counts = [row for row in every(15, with_lift(300)) if not hours(START) < row["observed_at"] < hours(END + 4)]
    first, second = lifts([stream(), stream(END + 1.5, END + 3)], counts)
    assert [row["lift"] for row in (first, second)] == [None, None]
    assert not first["observable"]
    assert "shared_bracket" in first["flags"]


# Final estimates


def test_until_a_day_after_the_second_count_the_baseline_looks_back_only() -> None:
    def quicker(hour: float) -> float:
        return steady(hour) + 20 * max(hour - (END + 3), 0)

    early = lift_of(every(15, quicker), as_of=END + 1 + 26.9)
    late = lift_of(every(15, quicker), as_of=END + 1 + 27)
    assert (early["is_final"], early["baseline_rate_per_h"]) == (False, pytest.approx(10, rel=0.1))
    assert late["is_final"] is True
    assert late["baseline_rate_per_h"] > 15


def test_without_a_count_after_the_lift_is_final_once_none_can_come() -> None:
    row = lift_of([snapshot(START, 5)])
    assert (row["is_final"], row["observable"]) == (True, False)


def test_counts_after_as_of_are_ignored() -> None:
    counts = every(15, with_lift(300))
    past = [row for row in counts if row["observed_at"] <= hours(END + 3)]
    assert lift_of(counts, as_of=END + 3) == lift_of(past, as_of=END + 3)


def test_a_day_has_the_streams_that_started_on_it() -> None:
    streams = [stream(), stream(START + 10, START + 11), stream(START + 24, START + 25), stream(30, 31)]
    day = hours(START).date()
    found = lifts(streams, every(15, with_lift(300)), day=day)
    assert [row["stream_id"] for row in found] == [each["stream_id"] for each in streams[:2]]
    assert found[0]["lift"] == pytest.approx(300, abs=3)
    assert lifts(streams, every(15, with_lift(300)), day=hours(-50).date()) == []


def test_a_final_lift_does_not_change_with_later_counts_and_streams() -> None:
    final_h = END + 1 + Lift().final_after_hours
    day = hours(START).date()
    # From a week of counts on, the errors of other creators come from earlier days.
    counts, later = every(15, with_lift(300), since=-240), [stream(), stream(final_h + 4, final_h + 5)]
    early = lifts([stream()], [row for row in counts if row["observed_at"] <= hours(final_h)], as_of=final_h, day=day)
    late = lifts(later, [*counts, *every(15, steady, since=DAYS_H, until=DAYS_H + 50)], as_of=DAYS_H + 50, day=day)
    assert early[0]["is_final"]
    assert early == late[:1]


def test_a_provisional_lift_stays_the_same_until_it_is_final() -> None:
    day, counts = hours(START).date(), every(15, with_lift(300), since=-240)
    found = [lifts([stream()], counts, as_of=as_of, day=day) for as_of in (END + 5, END + 6, END + 27.9, END + 28)]
    assert [rows[0]["is_final"] for rows in found] == [False, False, False, True]
    assert found[0] == found[1] == found[2] != found[3]


def test_a_late_count_is_the_count_after() -> None:
    # No count for eleven hours after the stream.
    counts = [row for row in every(15, with_lift(300)) if not hours(END) < row["observed_at"] < hours(END + 11)]
    row = lift_of(counts, as_of=END + 20, day=hours(START).date())
    assert (row["after_at"], row["is_final"]) == (hours(END + 11), False)


# TikTok's own count


def test_tiktoks_own_count_is_the_largest_of_each_room_summed_over_the_streams_rooms() -> None:
    rows = [
        room_reading(START + 0.1, "a", 5), room_reading(START + 0.9, "a", 40),
        room_reading(START + 1.2, "b", None), room_reading(START + 1.5, "b", 7),
        # A poll after the end still returns the room's count.
        room_reading(END + 5, "b", 9, "ended"), room_reading(END + 40, "c", 1_000),
    ]  # fmt: skip
    row = lift_of(every(15, steady), live=frame(LIVE_OBSERVATIONS, *rows))
    assert row["platform_new_followers"] == 49


def test_without_tiktoks_count_it_is_null_and_not_zero() -> None:
    row = lift_of(every(15, steady), live=frame(LIVE_OBSERVATIONS, room_reading(START + 0.1, "a", None)))
    assert row["platform_new_followers"] is None
