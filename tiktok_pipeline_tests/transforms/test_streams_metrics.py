"""Metrics of a stream: airtime, coverage, viewers, counts and flags."""

from __future__ import annotations

import pytest

from tiktok_pipeline_tests.transforms.readings import at, drawn, ended, live, off, only, reading, room

A, B = room(60), room(100)


def test_airtime_runs_from_start_to_end() -> None:
    assert only(live(65, A), ended(80, A, 75))["airtime_s"] == 15 * 60


def test_airtime_of_a_stream_on_air_runs_to_its_last_reading() -> None:
    assert only(live(65, A), live(72, A))["airtime_s"] == 12 * 60


def test_a_gap_between_readings_counts_as_observed_up_to_fifteen_minutes() -> None:
    stream = only(live(65, A), live(70, A), live(130, A), ended(135, A, 132))
    # 5 before the first reading, 5, 60 cut to 15, 2 after the last.
    assert stream["observed_s"] == (5 + 5 + 15 + 2) * 60
    assert stream["coverage_ratio"] == pytest.approx(27 / 72)


def test_a_stream_of_one_instant_is_fully_covered() -> None:
    stream = only(live(65))
    assert (stream["airtime_s"], stream["observed_s"], stream["coverage_ratio"]) == (0, 0, 1)


def test_viewers_are_averaged_over_time_and_not_over_readings() -> None:
    counts = {60: 100, 70: 100, 71: 400, 72: 400, 73: 400, 74: 400}
    rows = [live(m, A, viewers=viewers, viewers_total=1_000 + m) for m, viewers in counts.items()]
    stream = only(*rows, ended(80, A, 74))
    # Each count holds for the time nearest to it: 10.5 minutes of 100, 3.5 of 400.
    assert stream["hours_watched"] == pytest.approx((10.5 * 100 + 3.5 * 400) / 60)
    assert stream["average_viewers"] == pytest.approx((10.5 * 100 + 3.5 * 400) / 14)


def test_the_average_covers_only_time_with_a_count() -> None:
    rows = [live(60, A, viewers=50), live(70, A, viewers=50, viewers_total=9), live(130, A), live(135, A)]
    stream = only(*rows, ended(140, A, 136))
    assert stream["average_viewers"] == 50
    # Readings cover 10 minutes, 60 cut to 15, 5, and 1 to the end.
    assert stream["observed_s"] == (10 + 15 + 5 + 1) * 60
    assert stream["hours_watched"] == pytest.approx(50 * 31 / 60)


def test_the_time_before_the_first_and_after_the_last_reading_counts_too() -> None:
    stream = only(live(66, A, viewers=30), ended(80, A, 70))
    assert (stream["airtime_s"], stream["observed_s"]) == (600, 600)
    assert (stream["average_viewers"], stream["hours_watched"]) == (30, pytest.approx(30 * 10 / 60))


def test_hours_watched_are_average_viewers_times_the_observed_airtime() -> None:
    counts = {65: 10, 70: None, 95: 400, 96: 90, 130: 20, 131: None}
    stream = only(*(live(m, A, viewers=v, viewers_total=m) for m, v in counts.items()), ended(200, A, 190))
    assert stream["coverage_ratio"] < 1
    assert stream["hours_watched"] == pytest.approx(stream["average_viewers"] * stream["observed_s"] / 3600)


def test_the_edges_of_a_stream_count_up_to_the_cap() -> None:
    stream = only(live(120, A, viewers=30), live(122, A, viewers=90, viewers_total=5), ended(200, A, 182))
    # 60 before the first reading and 60 after the last, cut to 15 each; one minute of the two between for each count.
    assert stream["average_viewers"] == pytest.approx((16 * 30 + 16 * 90) / 32)
    assert stream["hours_watched"] == pytest.approx(60 * 32 / 60)


def test_zero_viewers_are_zero_and_not_unknown() -> None:
    stream = only(live(60, A, viewers=0), live(70, A, viewers=0))
    assert (stream["average_viewers"], stream["hours_watched"], stream["peak_viewers"]) == (0, 0, 0)


def test_without_a_count_viewers_are_null_and_not_zero() -> None:
    stream = only(live(60, A), live(70, A))
    assert stream["average_viewers"] is stream["hours_watched"] is stream["peak_viewers"] is stream["peak_at"] is None
    assert stream["viewers_total"] is stream["likes"] is None


def test_a_single_count_is_its_own_average() -> None:
    assert only(live(65, viewers=7))["average_viewers"] == 7


def test_the_peak_is_dated_to_its_first_reading() -> None:
    rows = [live(65, A, viewers=3), live(70, A, viewers=9), live(75, A, viewers=5), live(80, A, viewers=9)]
    stream = only(*rows)
    assert (stream["peak_viewers"], stream["peak_at"]) == (9, at(70))


def test_cumulative_counts_are_the_largest_of_each_room_summed_over_rooms() -> None:
    rows = [
        live(65, A, viewers_total=10, likes=4), live(90, A, viewers_total=80), live(95, A, viewers_total=70, likes=9),
        live(101, B, viewers_total=5),
    ]  # fmt: skip
    stream = only(*rows)
    assert (stream["viewers_total"], stream["likes"]) == (85, 9)


def test_vendors_are_those_with_an_on_air_reading() -> None:
    rows = [live(65, A, vendor="tikhub"), live(70, A), off(80, vendor="konbini"), off(85, vendor="konbini")]
    assert only(*rows)["vendors"] == ["social_fetch", "tikhub"]


def test_the_title_is_the_last_reported_one() -> None:
    rows = [live(65, A, title="first"), live(70, A, title="second"), live(99, A)]
    assert only(*rows)["title"] == "second"
    assert only(*rows, live(101, B, title="third"))["title"] == "third"


def test_each_on_air_reading_counts_once() -> None:
    row = live(65, A)
    assert only(row, row, reading(70, "paused", room_id=A), off(75), off(80))["observations"] == 2


def test_the_gap_runs_from_the_end_of_the_previous_stream() -> None:
    one, two, three = drawn(
        live(65, A), ended(84, A, 83), live(305, room(303)), off(310), off(320), live(605, room(600))
    )
    assert one["gap_since_previous_s"] is None
    assert two["gap_since_previous_s"] == (303 - 83) * 60
    assert three["gap_since_previous_s"] == (600 - 307.5) * 60
