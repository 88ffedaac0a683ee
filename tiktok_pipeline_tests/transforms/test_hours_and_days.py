"""Streams split over hours, summed to days and to hours of the week."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiktok_pipeline.config.settings import Streams
from tiktok_pipeline.tables import (
    COVERAGE,
    CREATORS,
    LIVE_OBSERVATIONS,
    PROFILE_OBSERVATIONS,
    STREAM_LIFT,
    STREAMS,
)
from tiktok_pipeline.transforms.creator_days import STREAK_DAYS, creator_days
from tiktok_pipeline.transforms.creator_hours import creator_hours
from tiktok_pipeline.transforms.stream_hours import stream_hours
from tiktok_pipeline_tests.transforms.frames import DAY, frame, hours

Row = dict[str, Any]
MONDAY = DAY.date()


def stream(
    start: float, end: float | None, watched: float | None = None, average: float | None = None, **more: Any
) -> Row:
    """Return a stream of ana, in hours of the test Monday."""
    creator = more.get("creator_id", "ana")
    return {
        "stream_id": f"{creator}:{start}", "creator_id": creator, "started_at": hours(start), "status": "ended",
        "ended_at": None if end is None else hours(end), "ended_at_lo": hours(start + 0.5 if end is None else end),
        "hours_watched": watched, "average_viewers": average,
        "airtime_s": 1800.0 if end is None else (end - start) * 3600,
        "observed_s": watched / average * 3600 if watched and average else 3600.0,
    } | more  # fmt: skip


def reading(hour: float, viewers: int | None, **more: Any) -> Row:
    return {
        "creator_id": "ana", "observed_at": hours(hour), "capture_id": f"r{hour}", "live_state": "live",
        "viewers": viewers,
    } | more  # fmt: skip


def lifted(stream_id: str, lift: float | None, start: float = 0, **more: Any) -> Row:
    return {
        "stream_id": stream_id, "creator_id": "ana", "started_at": hours(start), "lift": lift,
        "observable": lift is not None,
    } | more  # fmt: skip


def split(*streams: Row, live: tuple[Row, ...] = (), lift: tuple[Row, ...] = ()) -> pl.DataFrame:
    return stream_hours(
        frame(STREAMS, *streams), frame(STREAM_LIFT, *lift), frame(LIVE_OBSERVATIONS, *live), settings=Streams()
    )


def test_a_stream_is_split_over_the_hours_that_it_overlaps() -> None:
    rows = split(stream(10.75, 13.25), lift=(lifted("ana:10.75", 50.0),))
    assert rows["hour"].to_list() == [hours(10), hours(11), hours(12), hours(13)]
    assert rows["airtime_s"].to_list() == [900, 3600, 3600, 900]
    assert rows["lift"].to_list() == [5, 20, 20, 5]


def test_an_hour_that_a_stream_only_touches_gets_no_row() -> None:
    assert split(stream(10, 11))["hour"].to_list() == [hours(10)]


def test_a_stream_with_one_reading_has_its_hour_without_airtime() -> None:
    rows = split(stream(10.5, 10.5), lift=(lifted("ana:10.5", 3.0),))
    assert rows.select("hour", "airtime_s", "lift").rows() == [(hours(10.0), 0.0, 3.0)]


def test_a_stream_on_air_counts_up_to_its_last_reading() -> None:
    assert split(stream(10.75, None))["airtime_s"].to_list() == [900, 900]


def test_viewers_count_in_the_hours_of_their_readings_and_add_up_to_the_stream() -> None:
    live = tuple(reading(10.5 + n / 12, 100 if n < 6 else 700) for n in range(12))
    rows = split(stream(10.5, 11.5, watched=425, average=425), live=live)
    # Of the five minutes around the hour, each count gets the half that is nearest to it.
    assert rows["hours_watched"].to_list() == pytest.approx([(27.5 * 100 + 2.5 * 700) / 60, 350])
    assert rows["average_viewers"].to_list() == pytest.approx([150, 700])
    assert rows["peak_viewers"].to_list() == [100, 700]
    assert rows["counted_s"].to_list() == pytest.approx([1800, 1800])
    # The hours follow `streams`, whatever these readings show.
    half = split(stream(10.5, 11.5, watched=212.5, average=212.5), live=live)
    assert half["hours_watched"].to_list() == pytest.approx([37.5, 175])


def test_hours_keep_the_identity_of_the_stream_from_its_start_on() -> None:
    rows = split(stream(10.75, 11.25, watched=10, average=20), live=(reading(10.8, 20), reading(11.02, 20)))
    assert rows["counted_s"].to_list() == pytest.approx([900, 900])
    assert rows["average_viewers"].to_list() == pytest.approx([20, 20])
    assert rows["hours_watched"].sum() == pytest.approx(10)


def test_an_hour_without_a_count_is_null_and_not_0() -> None:
    rows = split(stream(10.5, 11.5, watched=10, average=40), live=(reading(10.6, 40),))
    assert rows["hours_watched"].to_list() == [10, None]
    assert rows["average_viewers"].to_list() == [40, None]
    assert rows["airtime_s"].to_list() == [1800, 1800]


def test_a_stream_with_zero_viewers_has_0_in_each_hour_and_one_without_counts_has_null() -> None:
    live = tuple(reading(10.5 + n / 12, 0) for n in range(12))
    assert split(stream(10.5, 11.5, watched=0, average=0), live=live)["average_viewers"].to_list() == [0, 0]
    unknown = split(stream(10.5, 11.5))
    assert unknown["hours_watched"].to_list() == [None, None]
    assert unknown["peak_viewers"].to_list() == [None, None]


def test_readings_of_other_creators_or_off_air_or_repeated_change_nothing() -> None:
    live = tuple(reading(10.5 + n / 12, 100) for n in range(12))
    plain = split(stream(10.5, 11.5, watched=100, average=100), live=live)
    irrelevant = (
        reading(10.7, 9_000, creator_id="bo", capture_id="x"),
        reading(10.8, 9_000, live_state="ended", capture_id="y"),
        reading(12.0, 9_000, capture_id="z"),
    )
    assert split(stream(10.5, 11.5, watched=100, average=100), live=(*live, *irrelevant, *live)).equals(plain)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0.01, 3), st.floats(0, 30), st.integers(1, 5_000), st.integers(0, 60)),
        min_size=1, max_size=6,
    )
)  # fmt: skip
def test_hours_add_up_to_their_streams_for_any_streams_and_readings(
    spans: list[tuple[float, float, int, int]],
) -> None:
    at, streams, live = 0.0, [], []
    for gap, length, viewers, readings in spans:
        start, at = at + gap, at + gap + length
        streams.append(stream(start, at, watched=viewers * length, average=float(viewers)))
        live += [reading(start + length * n / 60, viewers + n) for n in range(readings)]
    rows = split(*streams, live=tuple(live), lift=tuple(lifted(row["stream_id"], 7.0) for row in streams))
    assert rows["airtime_s"].max() <= 3600  # type: ignore[operator]
    sums = rows.group_by("stream_id").agg(pl.col("airtime_s", "hours_watched", "lift").sum())
    for row in frame(STREAMS, *streams).join(sums, on="stream_id", suffix="_sum").rows(named=True):
        assert row["airtime_s_sum"] == pytest.approx(row["airtime_s"], abs=1e-4)
        assert row["hours_watched_sum"] == pytest.approx(row["hours_watched"], rel=1e-6, abs=1e-6)
        assert row["lift"] == pytest.approx(7.0)


def test_hours_of_the_week_are_iso_and_sum_over_weeks() -> None:
    tuesday = 24 + 23.5
    rows = creator_hours(
        split(
            stream(tuesday, tuesday + 1), stream(tuesday + 168, tuesday + 168.25), lift=(lifted(f"ana:{tuesday}", 8.0),)
        )
    )
    assert rows.select("weekday", "hour", "streams", "airtime_s", "lift").rows() == [
        (2, 23, 2, 2700.0, 4.0),
        (3, 0, 1, 1800.0, 4.0),
    ]


def test_average_viewers_of_an_hour_of_the_week_are_a_ratio_of_sums() -> None:
    live = (reading(10.0, 100), *(reading(178 + n / 12, 1_000) for n in range(9)))
    rows = creator_hours(split(stream(10, 10.25, 25, 100), stream(178, 178.75, 750, 1_000), live=live))
    assert rows["average_viewers"].to_list() == pytest.approx([775])


def creator(name: str = "ana", first: float | None = 0, last: float | None = 24 * 400, on_roster: bool = True) -> Row:
    return {
        "creator_id": name, "on_roster": on_roster,
        "first_seen_at": None if first is None else hours(first), "last_seen_at": None if last is None else hours(last),
    }  # fmt: skip


def polled(day: int, known: int = 200, name: str = "ana") -> Row:
    return {"day": MONDAY + timedelta(days=day), "creator_id": name, "polls": 288, "known_polls": known}


def count(hour: float, followers: int, vendor: str = "social_fetch", **more: Any) -> Row:
    return {
        "creator_id": "ana", "vendor": vendor, "observed_at": hours(hour), "capture_id": f"{vendor}{hour}",
        "followers": followers, "followers_precision": "exact", "followers_unit": 1, "source": "profile",
    } | more  # fmt: skip


def day_of(day: int, *streams: Row, **inputs: Any) -> dict[str, Row]:
    """Return the rows of a day (0 is the test Monday) by creator."""
    lift = inputs.get("lift", ())
    rows = creator_days(
        MONDAY + timedelta(days=day),
        streams=frame(STREAMS, *streams),
        hours=split(*streams, live=inputs.get("live", ()), lift=lift),
        lift=frame(STREAM_LIFT, *lift),
        coverage=frame(COVERAGE, *inputs.get("coverage", [polled(n) for n in range(-1, 400)])),
        profiles=frame(PROFILE_OBSERVATIONS, *inputs.get("counts", ())),
        creators=frame(CREATORS, *inputs.get("creators", [creator()])),
    )
    assert rows["creator_id"].is_unique().all()
    return {row["creator_id"]: row for row in rows.rows(named=True)}


def test_airtime_counts_on_its_own_day_and_the_stream_on_the_day_of_its_start() -> None:
    night = stream(23, 26, watched=300, average=100)
    live = tuple(reading(23 + n / 12, 100) for n in range(36))
    lift = (lifted(night["stream_id"], 9.0, 23),)
    monday, tuesday = (day_of(day, night, live=live, lift=lift)["ana"] for day in (0, 1))
    assert (monday["streams"], monday["active_day"], monday["airtime_s"], monday["lift"]) == (1, True, 3600, 9)
    assert (tuesday["streams"], tuesday["active_day"], tuesday["airtime_s"], tuesday["lift"]) == (0, False, 7200, None)
    assert (monday["hours_watched"], tuesday["hours_watched"]) == pytest.approx((100, 200))
    assert (monday["lift_streams"], tuesday["lift_streams"]) == (1, 0)


def test_a_day_off_has_a_row_with_zeros_and_a_day_without_polls_has_nulls() -> None:
    off, dark = day_of(0)["ana"], day_of(0, coverage=[polled(0, known=0)])["ana"]
    assert (off["active_day"], off["streams"], off["airtime_s"], off["hours_watched"]) == (False, 0, 0.0, 0.0)
    assert (off["average_viewers"], off["peak_viewers"], off["lift"]) == (None, None, None)
    for column in ("active_day", "streams", "airtime_s", "hours_watched", "current_streak_days", "lift_streams"):
        assert dark[column] is None, column
    assert day_of(0, coverage=[])["ana"]["active_day"] is None


def test_a_stream_makes_a_day_known_even_without_known_polls() -> None:
    assert day_of(0, stream(5, 6), coverage=[polled(0, known=0)])["ana"]["active_day"] is True


def test_each_creator_has_a_row_from_the_first_sighting_until_removal() -> None:
    known = [
        creator("early", 0), creator("late", 30), creator("never", None, None),
        creator("left", 0, 25, on_roster=False), creator("gone", -99, -50, on_roster=False),
    ]  # fmt: skip
    assert list(day_of(0, creators=known)) == ["early", "left"]
    assert list(day_of(1, creators=known)) == ["early", "late", "left"]
    assert list(day_of(2, creators=known)) == ["early", "late"]
    assert list(day_of(0, stream(3, 4, creator_id="unlisted"), creators=[])) == ["unlisted"]


def test_streaks_are_runs_of_days_with_a_start() -> None:
    # Active on days 0, 1, 2, then 5 and 6; two streams on day 6.
    streams = [stream(24 * day + 12, 24 * day + 13) for day in (0, 1, 2, 5, 6)] + [stream(24 * 6 + 20, 24 * 6 + 21)]
    found = [day_of(day, *streams)["ana"] for day in range(9)]
    assert [row["current_streak_days"] for row in found] == [1, 2, 3, 0, 0, 1, 2, 0, 0]
    assert [row["longest_streak_days"] for row in found] == [1, 2, 3, 3, 3, 3, 3, 3, 3]
    assert [row["days_since_last_stream"] for row in found] == [0, 0, 0, 1, 2, 0, 0, 1, 2]
    before = day_of(-1, *streams, creators=[creator(first=-99)])["ana"]
    assert (before["longest_streak_days"], before["days_since_last_stream"]) == (0, None)


def test_streaks_look_back_one_year_at_most() -> None:
    daily = [stream(24 * day + 12, 24 * day + 13) for day in range(400)]
    row = day_of(399, *daily)["ana"]
    assert (row["current_streak_days"], row["longest_streak_days"]) == (STREAK_DAYS, STREAK_DAYS)
    assert day_of(STREAK_DAYS, stream(12, 13))["ana"]["days_since_last_stream"] is None
    assert day_of(STREAK_DAYS - 1, stream(12, 13))["ana"]["days_since_last_stream"] == STREAK_DAYS - 1


@settings(max_examples=60, deadline=None)
@given(st.sets(st.integers(0, 30)), st.integers(0, 30))
def test_streaks_equal_a_count_day_by_day(active: set[int], day: int) -> None:
    row = day_of(day, *(stream(24 * n + 12, 24 * n + 13) for n in sorted(active)))["ana"]
    run = longest = 0
    for n in range(day + 1):
        run = run + 1 if n in active else 0
        longest = max(longest, run)
    past = [n for n in active if n <= day]
    assert (row["current_streak_days"], row["longest_streak_days"]) == (run, longest)
    assert row["days_since_last_stream"] == (day - max(past) if past else None)


def test_followers_are_the_last_count_of_the_day_and_the_change_is_against_the_previous_day() -> None:
    counts = [count(-1, 900), count(-20, 850), count(1, 910), count(23.9, 950), count(24.1, 999)]
    row = day_of(0, counts=counts)["ana"]
    assert (row["followers_end"], row["followers_change"], row["followers_at"]) == (950, 50, hours(23.9))
    assert (row["followers_precision"], row["followers_unit"], row["followers_vendor"]) == ("exact", 1, "social_fetch")
    assert day_of(0, counts=[count(5, 900)])["ana"]["followers_change"] is None
    assert day_of(0, counts=[count(-5, 900)])["ana"]["followers_end"] is None


ROUNDED = {"followers_precision": "rounded", "followers_unit": 100}
MILLIONS = ROUNDED | {"followers_unit": 100_000}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (count(-1, 10_000), count(23, 10_050, "tikhub")),
        (count(-1, 10_000, "konbini", **ROUNDED), count(23, 10_050)),
        (count(-1, 10_000, "konbini", **ROUNDED), count(23, 9_999, "konbini")),
        (count(-1, 999_900, "konbini", **ROUNDED), count(23, 1_000_000, "konbini", **MILLIONS)),
        (count(-1, 10_000, "tikliveapi", source="followers"), count(23, 10_050, "tikliveapi")),
    ],
    ids=["vendors", "precisions", "both", "quanta", "list and profile"],
)  # fmt: skip
def test_counts_of_two_kinds_are_never_subtracted(before: Row, after: Row) -> None:
    row = day_of(0, counts=[before, after])["ana"]
    assert row["followers_end"] == after["followers"]
    assert row["followers_change"] is None


def test_exact_counts_and_the_usual_vendor_take_precedence() -> None:
    late = count(23.9, 10_000, "konbini", **ROUNDED)
    assert day_of(0, counts=[count(1, 9_950), late])["ana"]["followers_end"] == 9_950
    steady = [count(hour, 1_000 + hour) for hour in range(-20, 24)]
    row = day_of(0, counts=[*steady, count(23.5, 1_100, "tikhub")])["ana"]
    assert (row["followers_end"], row["followers_change"]) == (1_023, 24)


def test_lift_sums_observable_streams_and_is_null_without_any() -> None:
    streams = [stream(2, 3), stream(8, 9), stream(14, 15)]
    lift = tuple(lifted(row["stream_id"], value, 2) for row, value in zip(streams, (5.0, -2.0, None), strict=True))
    row = day_of(0, *streams, lift=lift)["ana"]
    assert (row["lift"], row["lift_streams"], row["streams"]) == (3.0, 2, 3)
    unseen = day_of(0, streams[2], lift=lift[2:])["ana"]
    assert (unseen["lift"], unseen["lift_streams"]) == (None, 0)


def test_the_order_of_the_rows_changes_nothing() -> None:
    streams = [stream(2, 3, 10, 10), stream(8, 9, 20, 20)]
    counts = [count(-1, 900), count(3, 910), count(3, 911, "tikhub"), count(20, 950)]
    assert day_of(0, *streams, counts=counts) == day_of(0, *reversed(streams), counts=counts[::-1])


def test_the_days_are_dates_of_the_requested_day() -> None:
    assert day_of(3)["ana"]["day"] == date(2026, 11, 5)
