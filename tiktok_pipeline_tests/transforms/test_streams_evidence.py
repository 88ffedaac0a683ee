"""Single readings: duplicates, stale responses, damaged ids, vendors that disagree (docs/methods.md 1.2)."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from tiktok_pipeline.transforms.evidence import room_created_at
from tiktok_pipeline.transforms.streams import streams
from tiktok_pipeline_tests.transforms.readings import (
    Streams,
    at,
    drawn,
    ended,
    live,
    live_frame,
    off,
    only,
    reading,
    room,
)

A, B = room(60), room(100)


# Stale responses (docs/methods.md 1.2)


def test_a_repeated_response_is_dated_back_by_the_vendors_cache_time() -> None:
    rows = [live(m, A, vendor="konbini", viewers=40, viewers_total=90) for m in (65, 85)]
    assert only(*rows, off(90), off(95))["ended_at_lo"] == at(80)


def test_a_repeated_response_is_never_older_than_the_one_it_repeats() -> None:
    rows = [live(m, A, vendor="konbini", viewers_total=40) for m in (82, 85)]
    assert only(live(65, A), *rows, off(90), off(95))["ended_at_lo"] == at(82)


def test_social_fetch_caches_responses_for_a_minute_only() -> None:
    rows = [live(m, A, viewers=4, viewers_total=40) for m in (65, 85)]
    assert only(*rows, off(90), off(95))["ended_at_lo"] == at(84)


@pytest.mark.parametrize(
    "second", [{"viewers": 41}, {"viewers_total": 91}, {"viewers_total": None}, {"vendor": "tikhub"}]
)
def test_a_changed_response_is_not_dated_back(second: dict[str, object]) -> None:
    first = {"vendor": "konbini", "viewers": 40, "viewers_total": 90}
    stream = only(live(65, A, **first), live(85, A, **(first | second)), off(90), off(95))
    assert stream["ended_at_lo"] == at(85)


def test_responses_without_a_cumulative_count_never_count_as_repeated() -> None:
    assert only(live(65, A, viewers=5), live(85, A, viewers=5), off(90), off(95))["ended_at_lo"] == at(85)


# The same second (docs/methods.md 1.2)


def test_a_rooms_own_status_outranks_a_live_response_of_the_same_second() -> None:
    stream = only(live(65, A), live(80, A), ended(80.005, A, 79))
    assert (stream["status"], stream["ended_at"], stream["observations"]) == ("ended", at(79), 1)


def test_a_response_with_a_room_outranks_a_flag_of_the_same_second() -> None:
    offline = [off(m, vendor="konbini") for m in (70.005, 75.005)]
    stream = only(live(65, A), live(70, A), live(75, A), *offline)
    assert (stream["status"], stream["ended_at_lo"], stream["flags"]) == ("live", at(75), ["censored_start"])


def test_a_flag_of_on_air_outranks_a_flag_of_off_air_of_the_same_second() -> None:
    assert only(live(65), live(75), off(75.005), off(80))["status"] == "live"


def test_a_rooms_status_decides_the_room_if_vendors_disagree_in_the_same_second() -> None:
    stream = only(live(65, A, vendor="tikhub"), live(65.005, B), as_of=66)
    assert (stream["room_id"], stream["rooms"], stream["observations"]) == (A, 1, 1)


def test_the_end_of_one_room_does_not_contradict_another_of_the_same_second() -> None:
    stream = only(live(65, A), ended(101, A, 99), live(101.005, B), as_of=102)
    assert (stream["status"], stream["rooms"]) == ("live", 2)


def test_readings_more_than_a_second_apart_both_count() -> None:
    assert only(live(65, A), live(80, A), off(80.02), off(85))["ended_at_hi"] == at(80.02)


# Room ids (docs/methods.md 1.3)


@pytest.mark.parametrize("nothing", ["", "0", "7137682087200560000"])
def test_an_invalid_room_id_is_ignored(nothing: str) -> None:
    stream = only(off(60), live(70, nothing), live(75, nothing))
    assert (stream["room_id"], stream["stream_id"]) == (None, "ana:2026-11-02T01:05:00Z")


@pytest.mark.parametrize("low", range(0, 256, 17))
def test_a_room_id_rounded_by_a_float_is_matched_to_its_room(low: int) -> None:
    intact = room(60, low)
    damaged = f"{float(intact):.15e}".replace(".", "")[:16] + "000"
    stream = only(off(55), live(65, damaged), live(70, intact), live(75, damaged), off(80), off(85))
    assert (stream["stream_id"], stream["rooms"], stream["observations"]) == (f"ana:{intact}", 1, 3)


def test_a_valid_room_id_may_end_in_three_zeros() -> None:
    intact = next(str(n) for n in range(int(A) - int(A) % 1000, int(A) + 10**7, 1000) if n // 256 % 16 == 11)
    assert only(live(65, intact))["room_id"] == intact
    assert only(live(65, "1000"))["room_id"] == "1000"


@pytest.mark.parametrize(
    ("room_id", "minute"),
    [(A, 60), ("7600000000000000001", None), ("room", None), (None, None), (str(5 << 32 | 11 << 8), None)],
)
def test_only_ids_of_live_rooms_contain_a_time(room_id: str | None, minute: float | None) -> None:
    created_at = pl.select(room_created_at(pl.lit(room_id, pl.String))).item()
    assert created_at == (None if minute is None else at(minute))


# Order and repetition (docs/methods.md 1.2)


def story() -> list[dict[str, object]]:
    """Return two streams with every kind of fault, and another creator."""
    return [
        off(50), live(65, A, viewers=10), live(65.005, A, vendor="tikhub", viewers=12),
        reading(70, "paused", room_id=A), off(75), live(78), live(80, A, viewers=10), reading(85, "unknown"),
        live(99, A), live(101, B, viewers=30),
        ended(103, A, 99.5), off(120), off(123), live(126, B, viewers=30), ended(140, B, 127), live(141, B, viewers=30),
        off(300), live(310), live(315, viewers=3), off(320), off(321), off(322), live(900, A), off(905), off(910),
        live(70, A, creator_id="bo", viewers=4), live(75, A, creator_id="bo", viewers=5),
    ]  # fmt: skip


ROWS = story()
READINGS = live_frame(*ROWS)
AS_OF = at(1000)
EXPECTED = streams(READINGS, settings=Streams(), as_of=AS_OF)


def test_the_story_has_streams_of_two_creators() -> None:
    assert EXPECTED["creator_id"].to_list() == ["ana", "ana", "bo"]
    assert EXPECTED["rooms"].to_list() == [2, 1, 1]


@given(order=st.permutations(range(len(ROWS))), again=st.lists(st.integers(0, len(ROWS) - 1), max_size=12))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_the_order_and_repetition_of_readings_change_nothing(order: list[int], again: list[int]) -> None:
    assert_frame_equal(streams(READINGS[order + again], settings=Streams(), as_of=AS_OF), EXPECTED)


def test_a_lazy_frame_gives_the_same_streams_as_a_frame() -> None:
    assert_frame_equal(streams(READINGS.lazy(), settings=Streams(), as_of=AS_OF), EXPECTED)


@st.composite
def logs(draw: st.DrawFn) -> list[dict[str, object]]:
    """Draw any log of readings, plausible or not."""
    rows = []
    for _ in range(draw(st.integers(1, 25))):
        minute = draw(st.integers(0, 2_000)) + draw(st.sampled_from([0.0, 0.005]))
        state = draw(st.sampled_from(["live", "live", "paused", "ended", "ended", "unknown"]))
        rows.append(
            reading(
                minute,
                state,
                creator_id=draw(st.sampled_from(["ana", "bo"])),
                vendor=draw(st.sampled_from(["konbini", "social_fetch", "tikhub", "another"])),
                evidence=draw(st.sampled_from(["strong", "weak"])),
                room_id=draw(st.sampled_from([None, A, B, room(900), "room", "0"])),
                started_at=draw(st.sampled_from([None, at(55), at(61), at(950)])),
                ended_at=at(minute - 3) if state == "ended" and draw(st.booleans()) else None,
                viewers=draw(st.sampled_from([None, 0, 7, 8])),
                viewers_total=draw(st.sampled_from([None, 20, 21])),
            )
        )
    return rows


@given(rows=logs(), data=st.data())
@settings(max_examples=80, deadline=None, derandomize=True)
def test_for_any_readings_the_streams_keep_their_invariants(rows: list[dict[str, object]], data: st.DataObject) -> None:
    readings = live_frame(*rows)
    found = streams(readings, settings=Streams(), as_of=at(2_100))
    order = data.draw(st.permutations(range(len(rows))))
    assert_frame_equal(streams(readings[order + order[:3]], settings=Streams(), as_of=at(2_100)), found)
    assert found["stream_id"].is_unique().all()
    for stream in found.to_dicts():
        low, high = stream["started_at_lo"], stream["started_at_hi"]
        assert stream["started_at"] <= high <= stream["ended_at_lo"]
        assert low is None or low <= stream["started_at"]
        if stream["ended_at"] is not None:
            assert stream["ended_at_lo"] <= stream["ended_at"]
        if stream["ended_at_hi"] is not None:
            assert stream["ended_at"] <= stream["ended_at_hi"]
        assert stream["status"] != "live" or stream["ended_at"] is None
        assert stream["status"] != "ended" or stream["ended_at"] is not None
        assert 0 <= stream["coverage_ratio"] <= 1
        assert 0 <= stream["observed_s"] <= stream["airtime_s"]
        if stream["average_viewers"] is not None:
            assert stream["average_viewers"] <= stream["peak_viewers"] * (1 + 1e-9)
        assert stream["flags"] == sorted(stream["flags"])
    for before, after in zip(found.to_dicts(), found.to_dicts()[1:], strict=False):
        if before["creator_id"] == after["creator_id"]:
            assert (before["ended_at"] or before["ended_at_lo"]) < after["started_at"]


def test_the_upper_bound_of_an_end_is_never_before_the_end() -> None:
    assert [s["ended_at_hi"] for s in drawn(live(65, A), ended(80, A, 90), off(95))] == [at(90)]


@pytest.mark.parametrize("odd", ["9223372036854775808", "18446744073709551616", "-5", "1e30", "a:b", "٣", "0x10"])
def test_a_room_id_that_is_no_63_bit_number_is_an_ordinary_name(odd: str) -> None:
    first, second = drawn(off(0), live(10, odd), live(12, odd), off(20), off(25), live(60, room(58)), off(70), off(75))
    assert (first["room_id"], second["room_id"]) == (odd, room(58))
    assert first["started_at"] == at(5)
