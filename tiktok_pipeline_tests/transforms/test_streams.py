"""Streams, rule by rule, from hand-written readings. Times are minutes of a day that begins at 0."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tiktok_pipeline.config.settings import Streams
from tiktok_pipeline.tables import LIVE_OBSERVATIONS, STREAMS
from tiktok_pipeline.transforms.streams import streams
from tiktok_pipeline_tests.transforms.frames import DAY, frame


def at(minute: float) -> datetime:
    return DAY + timedelta(minutes=minute)


def room_id(minute: float, low: int = 7) -> str:
    """Return the id of a room opened at that minute: unix seconds, type 11, a low byte."""
    return str((int(at(minute).timestamp()) << 32) | (11 << 8) | low)


def on(minute: float, room: str | None = "r1", **more: Any) -> dict[str, Any]:
    return {
        "creator_id": "mira", "vendor": "social_fetch", "capture_id": f"on{minute}{room}{more.get('vendor', '')}",
        "observed_at": at(minute), "live_state": "live", "evidence": "strong" if room else "weak", "room_id": room,
        "viewers": 100,
    } | more  # fmt: skip


def off(minute: float, **more: Any) -> dict[str, Any]:
    return {
        "creator_id": "mira", "vendor": "social_fetch", "capture_id": f"off{minute}{more.get('vendor', '')}",
        "observed_at": at(minute), "live_state": "ended", "evidence": "weak",
    } | more  # fmt: skip


def unknown(minute: float) -> dict[str, Any]:
    return off(minute, live_state="unknown", capture_id=f"unknown{minute}")


def rebuilt(*readings: dict[str, Any], as_of: float = 600) -> list[dict[str, Any]]:
    return streams(frame(LIVE_OBSERVATIONS, *readings), settings=Streams(), as_of=at(as_of)).rows(named=True)


def only(*readings: dict[str, Any], as_of: float = 600) -> dict[str, Any]:
    (row,) = rebuilt(*readings, as_of=as_of)
    return row


PLAIN = (off(0), on(10), on(15), on(20), off(25), off(30))


def test_a_stream_lies_between_the_readings_around_it() -> None:
    row = only(*PLAIN)
    assert (row["started_at_lo"], row["started_at"], row["started_at_hi"]) == (at(0), at(5), at(10))
    assert (row["ended_at_lo"], row["ended_at"], row["ended_at_hi"]) == (at(20), at(22.5), at(25))
    assert row["status"] == "ended"
    assert row["stream_id"] == "mira:r1"
    assert row["observations"] == 3
    assert row["flags"] == []


def test_the_vendors_start_is_accepted_and_the_delay_measured() -> None:
    row = only(off(0), on(10, started_at=at(4)), on(15), off(20), off(25))
    assert row["started_at"] == at(4)
    assert row["detection_delay_s"] == 360
    assert only(*PLAIN)["detection_delay_s"] is None


def test_without_a_reported_start_the_room_id_gives_the_start() -> None:
    row = only(off(0), on(10, room_id(7)), off(20), off(25))
    assert row["started_at"] == at(7)
    assert row["detection_delay_s"] == 180


def test_a_start_in_the_future_of_the_reading_is_rejected() -> None:
    row = only(off(0), on(10, started_at=at(60)), off(20), off(25))
    assert row["started_at"] == at(5)


def test_a_start_long_before_an_off_air_reading_is_kept_and_flagged() -> None:
    row = only(off(0), off(40), on(50, started_at=at(10)), off(60), off(65))
    assert row["started_at"] == at(10)
    assert row["started_at_lo"] <= row["started_at"]
    assert row["flags"] == ["disagree_start"]


def test_a_stream_already_live_at_the_first_reading_is_censored() -> None:
    row = only(on(10), on(15), off(20), off(25))
    assert row["flags"] == ["censored_start"]
    assert row["started_at_lo"] is None
    assert row["started_at"] == row["started_at_hi"] == at(10)


def test_one_off_air_reading_ends_no_stream() -> None:
    row = only(off(0), on(10), off(15), on(20), off(25), off(30))
    assert (row["ended_at_lo"], row["observations"]) == (at(20), 2)


def test_two_off_air_readings_too_close_together_end_no_stream() -> None:
    row = only(off(0), on(10), off(15), off(16), on(20), off(25), off(30))
    assert row["observations"] == 2


def test_errors_are_never_off_air() -> None:
    row = only(off(0), on(10), *(unknown(minute) for minute in range(11, 40)), on(40), off(45), off(50))
    assert row["observations"] == 2
    assert row["ended_at_lo"] == at(40)


def test_errors_only_give_no_stream() -> None:
    assert rebuilt(*(unknown(minute) for minute in range(10))) == []
    assert rebuilt() == []


def test_a_pause_is_the_same_stream() -> None:
    row = only(off(0), on(10), on(15, live_state="paused"), on(20, live_state="paused"), on(25), off(30), off(35))
    assert row["rooms"] == 1
    assert row["ended_at_lo"] == at(25)


def test_a_room_that_reports_its_end_ends_the_stream_at_once_and_exactly() -> None:
    ended = off(25, vendor="tikhub", evidence="strong", room_id="r1", ended_at=at(21))
    row = only(off(0), on(10), on(20), ended)
    assert (row["status"], row["ended_at"], row["ended_at_hi"]) == ("ended", at(21), at(21))


def test_an_end_before_the_last_reading_of_on_air_is_rejected() -> None:
    ended = off(25, vendor="tikhub", evidence="strong", room_id="r1", ended_at=at(12))
    row = only(off(0), on(10), on(20), ended, off(30))
    assert row["ended_at"] == at(22.5)


def test_a_reconnect_with_a_new_room_is_one_stream() -> None:
    row = only(off(0), on(10, "r1"), on(20, "r1"), off(21), off(24), on(26, "r2", started_at=at(25)), off(30), off(35))
    assert (row["rooms"], row["reconnects"], row["stream_id"]) == (2, 1, "mira:r1")
    assert (row["ended_at_lo"], row["airtime_s"]) == (at(26), (28 - 5) * 60)


def test_rooms_further_apart_than_the_gap_are_two_streams() -> None:
    first, second = rebuilt(
        off(0), on(10, "r1"), off(15), off(20), off(40), on(45, "r2", started_at=at(44)), off(50), off(55)
    )
    assert (first["stream_id"], second["stream_id"]) == ("mira:r1", "mira:r2")
    assert second["gap_since_previous_s"] == (44 - 12.5) * 60
    assert first["gap_since_previous_s"] is None


def test_a_new_room_ends_the_old_one_without_any_off_air_reading() -> None:
    first, second = rebuilt(off(0), on(10, "r1"), on(20, "r1"), on(90, "r2", started_at=at(80)), off(100), off(105))
    assert (first["status"], first["ended_at_lo"], first["ended_at_hi"]) == ("ended", at(20), at(80))
    assert second["started_at"] == at(80)


def test_the_same_room_again_reopens_the_stream() -> None:
    row = only(off(0), on(10), off(15), off(20), on(35), off(40), off(45))
    assert (row["rooms"], row["observations"], row["ended_at_lo"]) == (1, 2, at(35))


def test_an_on_air_flag_without_a_room_is_its_own_stream() -> None:
    row = only(off(0), on(10, None), on(15, None), off(20), off(25))
    assert row["room_id"] is None
    assert row["stream_id"] == f"mira:{row['started_at']:%Y-%m-%dT%H:%M:%SZ}"


def test_an_on_air_flag_belongs_to_the_open_room() -> None:
    row = only(off(0), on(10, None, vendor="konbini"), on(12, "r1"), on(15, None, vendor="konbini"), off(20), off(25))
    assert (row["room_id"], row["rooms"], row["observations"]) == ("r1", 1, 3)
    assert row["vendors"] == ["konbini", "social_fetch"]


def test_at_the_same_instant_on_air_takes_precedence() -> None:
    row = only(off(0), on(10), off(15, vendor="konbini"), on(15), off(20), off(25))
    assert row["ended_at_lo"] == at(15)


def test_an_open_stream_is_live_then_lost_then_given_up() -> None:
    readings = (off(0), on(10), on(20))
    live, lost, given_up = (only(*readings, as_of=minute) for minute in (40, 120, 20 + 13 * 60))
    assert (live["status"], live["ended_at"], live["airtime_s"]) == ("live", None, 15 * 60)
    assert (lost["status"], lost["ended_at"], lost["flags"]) == ("lost", None, ["stale_open"])
    assert (given_up["status"], given_up["ended_at"], given_up["flags"]) == ("lost", at(20), ["censored_end"])


def test_a_stream_over_midnight_and_one_over_a_day_are_whole() -> None:
    midnight = only(off(1_400), on(1_410), on(1_500), off(1_510), off(1_515), as_of=2_000)
    assert midnight["ended_at_lo"] == at(1_500)
    long = [on(minute) for minute in range(10, 26 * 60, 10)]
    row = only(off(0), *long, off(26 * 60), off(26 * 60 + 5), as_of=30 * 60)
    assert row["flags"] == ["over_24h"]
    assert row["coverage_ratio"] > 0.99


def test_creators_do_not_affect_each_other() -> None:
    other = [reading | {"creator_id": "nora", "capture_id": f"n{n}"} for n, reading in enumerate(PLAIN)]
    rows = rebuilt(*PLAIN, *other)
    assert [row["creator_id"] for row in rows] == ["mira", "nora"]
    assert rows[0]["started_at"] == rows[1]["started_at"]
    assert rows[1]["gap_since_previous_s"] is None


def test_viewers_are_weighted_by_the_time_that_they_lasted() -> None:
    row = only(
        off(0), on(10, viewers=10, started_at=at(10)), on(20, viewers=40), on(25, viewers=None), off(30), off(35)
    )
    # 10 for the nearer five minutes, 40 for the other five and the 7.5 to the end; a missing count changes nothing.
    assert row["hours_watched"] == pytest.approx((10 * 5 + 40 * 12.5) / 60)
    assert row["average_viewers"] == pytest.approx((10 * 5 + 40 * 12.5) / 17.5)
    assert (row["peak_viewers"], row["peak_at"]) == (40, at(20))


def test_a_missing_viewer_count_is_null_and_not_zero() -> None:
    row = only(off(0), on(10, viewers=None), off(15), off(20))
    assert (row["peak_viewers"], row["average_viewers"], row["hours_watched"]) == (None, None, None)
    assert (row["viewers_total"], row["likes"]) == (None, None)


def test_totals_are_the_largest_of_a_room_summed_over_rooms() -> None:
    row = only(
        off(0), on(10, "r1", viewers_total=50), on(15, "r1", viewers_total=80), on(20, "r2", viewers_total=30),
        off(25), off(30),
    )  # fmt: skip
    assert row["viewers_total"] == 110


def test_a_long_gap_counts_as_observed_only_up_to_the_cap() -> None:
    row = only(off(0), on(10, started_at=at(10)), on(100), off(101), off(104))
    assert row["observed_s"] == 15 * 60 + 30
    assert row["coverage_ratio"] < 0.2


def test_two_vendors_that_see_two_rooms_do_not_end_each_other() -> None:
    long = [on(minute, "a") for minute in range(0, 241, 10)]
    other = [on(62, "b", vendor="konbini", started_at=at(61)), on(67, "b", vendor="konbini")]
    row = only(off(-10), *long, *other, off(245), off(250))
    assert (row["rooms"], row["status"]) == (2, "ended")
    assert row["ended_at_lo"] == at(240)
    assert row["ended_at"] == at(242.5)


def test_readings_without_a_room_id_far_apart_are_separate_streams() -> None:
    first, second = rebuilt(off(0), on(10, None), on(15, None), on(15 + 30 * 60, None), as_of=16 + 30 * 60)
    assert first["ended_at_lo"] == at(15)
    assert second["status"] == "live"


def test_the_end_of_another_room_ends_no_stream() -> None:
    late = off(25, vendor="tikhub", evidence="strong", room_id="a", ended_at=at(14))
    row = only(off(0), on(10, "a"), on(15, "b", started_at=at(15)), on(20, "b"), late, as_of=40)
    assert row["status"] == "live"


MANY = [
    *PLAIN,
    unknown(17),
    on(12, None, vendor="konbini"),
    on(60, "r2", started_at=at(55)),
    on(70, "r2", viewers_total=5),
    off(75, vendor="tikhub", evidence="strong", room_id="r2", ended_at=at(73)),
    on(78, "r3", started_at=at(77)),
    on(200, None),
    *(reading | {"creator_id": "nora", "capture_id": f"n{n}"} for n, reading in enumerate(PLAIN)),
]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(len(MANY))), again=st.lists(st.integers(0, len(MANY) - 1), max_size=8))
def test_order_and_repetition_change_nothing(order: list[int], again: list[int]) -> None:
    once = streams(frame(LIVE_OBSERVATIONS, *MANY), settings=Streams(), as_of=at(300))
    shuffled = [MANY[n] for n in (*order, *again)]
    assert streams(frame(LIVE_OBSERVATIONS, *shuffled), settings=Streams(), as_of=at(300)).equals(once)


def test_bounds_hold_for_any_readings() -> None:
    rows = streams(frame(LIVE_OBSERVATIONS, *MANY), settings=Streams(), as_of=at(300))
    assert rows.schema == STREAMS.schema
    assert rows.filter(pl.col("started_at") > pl.col("started_at_hi")).is_empty()
    assert rows.filter(pl.col("started_at_lo") > pl.col("started_at")).is_empty()
    assert rows.filter(pl.col("ended_at") < pl.col("ended_at_lo")).is_empty()
    assert rows.filter(pl.col("ended_at") > pl.col("ended_at_hi")).is_empty()
    assert rows["coverage_ratio"].is_between(0, 1).all()
