"""Starts, ends, continuation and merging of streams: docs/methods.md 1.4 to docs/methods.md 1.8."""

from __future__ import annotations

import pytest

from tiktok_pipeline.tables import STREAMS
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
    unknown,
)

A, B = room(60), room(100)


def test_no_readings_give_no_streams() -> None:
    assert streams(live_frame(), settings=Streams(), as_of=at(0)).equals(STREAMS.empty())


def test_no_reading_on_air_is_no_stream() -> None:
    assert drawn(off(0), unknown(5), off(10)) == []


def test_a_stream_is_named_after_its_room() -> None:
    stream = only(off(50), live(65, A), off(90), off(95))
    assert (stream["stream_id"], stream["room_id"], stream["rooms"]) == (f"ana:{A}", A, 1)


# Starts (docs/methods.md 1.4)


def test_the_start_is_the_vendors() -> None:
    stream = only(off(50), live(65, A, started_at=at(61)))
    assert (stream["started_at"], stream["started_at_lo"], stream["started_at_hi"]) == (at(61), at(50), at(65))
    assert stream["detection_delay_s"] == 240


def test_without_a_vendors_start_the_room_id_gives_it() -> None:
    stream = only(off(50), live(65, A))
    assert stream["started_at"] == at(60)
    assert stream["detection_delay_s"] == 300


def test_without_both_the_start_is_the_middle_of_off_air_and_on_air() -> None:
    stream = only(off(50), live(65, "room-without-a-time"))
    assert stream["started_at"] == at(57.5)
    assert stream["detection_delay_s"] is None


def test_without_any_evidence_the_start_is_the_first_reading() -> None:
    stream = only(live(65), live(70))
    assert (stream["started_at"], stream["started_at_lo"]) == (at(65), None)
    assert stream["flags"] == ["censored_start", "no_room_id"]


def test_a_stream_live_at_the_first_reading_keeps_the_vendors_start_and_has_no_lower_bound() -> None:
    stream = only(live(300, A, started_at=at(61)))
    assert (stream["started_at"], stream["started_at_lo"]) == (at(61), None)
    assert "censored_start" in stream["flags"]


def test_the_middle_of_a_gap_of_half_a_day_is_not_used_as_start() -> None:
    stream = only(off(0), live(13 * 60), live(13 * 60 + 5))
    assert (stream["started_at"], stream["started_at_lo"]) == (at(13 * 60), at(0))
    assert "censored_start" in stream["flags"]


def test_a_start_before_an_off_air_reading_is_kept_and_flagged() -> None:
    stream = only(off(50), off(80), live(85, A, started_at=at(61)))
    assert (stream["started_at"], stream["started_at_lo"]) == (at(61), at(61))
    assert stream["flags"] == ["disagree_start"]


def test_a_start_a_few_minutes_before_off_air_is_no_disagreement() -> None:
    assert only(off(65), live(70, A, started_at=at(61)))["flags"] == []


def test_a_start_before_the_room_was_created_belongs_to_another_stream() -> None:
    stream = only(off(50), live(65, A, started_at=at(-600)))
    assert stream["started_at"] == at(60)
    assert stream["flags"] == ["disagree_start"]


def test_a_start_shortly_after_the_first_reading_is_cut_to_it() -> None:
    assert only(off(50), live(65, "r", started_at=at(65.5)))["started_at"] == at(65)


def test_a_start_long_after_the_first_reading_is_rejected() -> None:
    assert only(off(50), live(65, A, started_at=at(90)))["started_at"] == at(60)


def test_a_room_id_from_the_future_gives_no_start() -> None:
    assert only(off(50), live(65, room(120)))["started_at"] == at(57.5)


def test_the_start_of_most_readings_is_used() -> None:
    rows = [live(65, A, started_at=at(61)), live(70, A, started_at=at(63)), live(75, A, started_at=at(61))]
    assert only(off(50), *rows)["started_at"] == at(61)


# Ends (docs/methods.md 1.5)


def test_two_off_air_readings_end_a_stream_in_the_middle() -> None:
    stream = only(live(65, A), live(80, A), off(84), off(86))
    assert stream["status"] == "ended"
    assert (stream["ended_at_lo"], stream["ended_at"], stream["ended_at_hi"]) == (at(80), at(82), at(84))


def test_two_off_air_readings_too_close_together_end_no_stream() -> None:
    stream = only(live(65, A), off(70), off(71))
    assert (stream["status"], stream["ended_at"]) == ("live", None)


def test_the_number_of_off_air_readings_that_end_a_stream_can_be_set() -> None:
    rows, three = [live(65, A), off(70), off(75)], Streams(confirm_offline=3)
    assert only(*rows, settings=three)["status"] == "live"
    assert only(*rows, off(80), settings=three)["ended_at_hi"] == at(70)


def test_one_off_air_reading_is_pending() -> None:
    stream = only(live(65, A), off(70))
    assert (stream["status"], stream["ended_at"], stream["ended_at_hi"]) == ("live", None, None)
    assert "pending_end" in stream["flags"]


def test_one_false_off_air_reading_changes_nothing() -> None:
    stream = only(live(65, A), off(70), live(75, A), off(80), off(85))
    assert (stream["ended_at_lo"], stream["ended_at_hi"], stream["rooms"]) == (at(75), at(80), 1)
    assert stream["flags"] == ["censored_start"]


def test_unknown_readings_end_no_stream_and_confirm_no_end() -> None:
    stream = only(live(65, A), unknown(70), unknown(75), off(80), unknown(85), as_of=86)
    assert (stream["status"], stream["ended_at_lo"]) == ("live", at(65))
    assert "pending_end" in stream["flags"]


def test_unknown_readings_between_two_off_air_ones_do_not_cancel_them() -> None:
    assert only(live(65, A), off(80), unknown(82), off(85))["status"] == "ended"


def test_the_rooms_own_end_closes_at_once_and_exactly() -> None:
    stream = only(live(65, A), live(80, A), ended(90, A, 83))
    assert (stream["status"], stream["ended_at"]) == ("ended", at(83))
    assert (stream["ended_at_lo"], stream["ended_at_hi"]) == (at(80), at(83))


def test_a_finished_room_without_an_end_time_closes_at_once_in_the_middle() -> None:
    stream = only(live(65, A), live(80, A), ended(90, None, None))
    assert (stream["status"], stream["ended_at"]) == ("ended", at(85))


def test_a_reported_end_without_a_room_is_the_end_of_the_room_on_air() -> None:
    assert only(live(65, A), ended(90, None, 83))["ended_at"] == at(83)


def test_a_weak_reading_that_names_the_room_counts_as_one_of_two() -> None:
    assert only(live(65, A), off(80, room_id=A, vendor="tikhub"))["status"] == "live"
    assert only(live(65, A), off(80, room_id=A, vendor="tikhub"), off(83))["status"] == "ended"


def test_the_end_of_another_room_does_not_end_the_one_on_air() -> None:
    stream = only(live(65, A), live(99, A), live(101, B), ended(105, A, 99.5), off(108, room_id=A), live(110, B))
    assert (stream["status"], stream["rooms"]) == ("live", 2)
    assert "pending_end" not in stream["flags"]


def test_readings_after_a_reported_end_are_cached_responses() -> None:
    stream = only(live(65, A, viewers=9), live(84, A, viewers=700), ended(86, A, 82))
    assert (stream["ended_at"], stream["ended_at_lo"]) == (at(82), at(65))
    assert (stream["observations"], stream["peak_viewers"]) == (1, 9)


def test_a_stream_seen_only_in_a_cached_response_keeps_its_reported_times() -> None:
    stream = only(off(50), live(84, A, started_at=at(61)), ended(86, A, 82))
    assert (stream["started_at"], stream["ended_at"]) == (at(61), at(82))
    assert stream["started_at_hi"] == stream["ended_at_lo"] == at(82)


def test_a_room_seen_long_after_its_reported_end_did_not_end_then() -> None:
    rows = [live(m, A, viewers=m) for m in range(65, 125, 5)]
    stream = only(*rows, ended(126, A, 83), off(130))
    assert stream["ended_at"] == at(123)
    assert "disagree_end" in stream["flags"]


def test_a_new_room_ends_the_previous_one() -> None:
    one, two = drawn(live(65, A), live(70, A), live(130, room(125)), off(135), off(140))
    assert (one["status"], one["ended_at_lo"], one["ended_at_hi"]) == ("ended", at(70), at(125))
    assert one["ended_at"] == at(97.5)
    assert two["started_at_lo"] == at(70)


def test_one_off_air_reading_before_a_new_room_bounds_the_end() -> None:
    one, _ = drawn(live(65, A), off(75), live(130, room(125)))
    assert (one["ended_at_hi"], one["ended_at"]) == (at(75), at(70))


# Continuation (docs/methods.md 1.6)


def test_paused_is_live() -> None:
    stream = only(live(65, A), *(reading(m, "paused", room_id=A) for m in range(70, 300, 10)), live(300, A))
    assert (stream["status"], stream["observations"], stream["rooms"]) == ("live", 25, 1)


def test_a_room_that_returns_within_half_an_hour_was_never_closed() -> None:
    stream = only(live(65, A), off(70), off(73), live(95, A), off(100), off(105))
    assert (stream["ended_at_lo"], stream["rooms"]) == (at(95), 1)
    assert "reopened" in stream["flags"]


def test_a_single_late_reading_of_a_closed_room_is_a_cached_response() -> None:
    stream = only(live(65, A), off(70), off(73), live(400, A), off(405), off(410))
    assert (stream["status"], stream["ended_at"], stream["observations"]) == ("ended", at(67.5), 1)


def test_a_room_that_returns_late_for_good_is_the_same_stream() -> None:
    stream = only(
        live(65, A, viewers=1), off(70), off(73), live(120, A, viewers=2), live(125, A, viewers=3), off(130), off(135)
    )
    assert (stream["ended_at_lo"], stream["observations"]) == (at(125), 3)
    assert "reopened" in stream["flags"]


def test_a_stuck_response_does_not_bring_a_closed_room_back() -> None:
    stuck = [live(m, A, viewers=5, viewers_total=9) for m in range(400, 500, 5)]
    stream = only(live(65, A, viewers=1), off(70), off(73), *stuck)
    assert (stream["status"], stream["ended_at_lo"]) == ("ended", at(65))


def test_readings_without_a_room_do_not_reopen_a_closed_room() -> None:
    old, new = drawn(live(65, A), ended(80, A, 78), live(95, A), off(200), live(310), live(315), off(320), off(325))
    assert (old["ended_at"], old["observations"]) == (at(78), 1)
    assert (new["room_id"], new["observations"], new["started_at_lo"]) == (None, 2, at(200))


def test_after_the_rooms_own_end_a_cached_response_does_not_reopen_it() -> None:
    stream = only(live(65, A), ended(80, A, 78), live(95, A), off(100), off(103))
    assert (stream["ended_at"], stream["observations"]) == (at(78), 1)


def test_a_late_reading_of_the_last_room_does_not_interrupt_the_next_stream() -> None:
    later = room(300)
    one, two = drawn(
        live(65, A, viewers=1), off(70), off(73), live(305, later, viewers=2), live(307, A),
        live(310, later, viewers=3), off(315), off(320),
    )  # fmt: skip
    assert (one["ended_at_lo"], two["ended_at_lo"], two["ended_at_hi"]) == (at(65), at(310), at(315))


# Merging (docs/methods.md 1.7)


def test_a_new_room_within_ten_minutes_is_a_reconnect() -> None:
    stream = only(live(65, A), live(96, A), live(101, B), off(120), off(125))
    assert (stream["stream_id"], stream["rooms"], stream["reconnects"]) == (f"ana:{A}", 2, 1)
    assert (stream["started_at"], stream["ended_at_lo"]) == (at(60), at(101))


def test_a_new_room_after_more_than_ten_minutes_is_another_stream() -> None:
    one, two = drawn(live(65, A), ended(84, A, 83), live(101, B), off(120), off(125))
    assert (one["room_id"], two["room_id"]) == (A, B)
    assert two["gap_since_previous_s"] == (100 - 83) * 60


def test_the_gap_that_merges_rooms_can_be_set() -> None:
    rows = [live(65, A), ended(84, A, 83), live(101, B), off(120), off(125)]
    assert len(drawn(*rows, settings=Streams(merge_gap_minutes=20))) == 1


def test_two_vendors_that_name_different_rooms_at_once_see_one_stream() -> None:
    other = room(61)
    rows = [live(65, A), live(66, other), live(70, A), live(71, other), off(80), off(85)]
    stream = only(off(55), *rows)
    assert (stream["rooms"], stream["stream_id"]) == (2, f"ana:{A}")


def test_creators_do_not_affect_each_other() -> None:
    rows = [live(65, A), off(80), off(85)]
    others = [{**row, "creator_id": "bo", "capture_id": f"b{n}"} for n, row in enumerate(rows)]
    both = drawn(*rows, *others, live(70, A, creator_id="cy"))
    assert [stream["creator_id"] for stream in both] == ["ana", "bo", "cy"]
    assert [stream["status"] for stream in both] == ["ended", "ended", "live"]
    assert both[0] == {**both[1], "stream_id": both[0]["stream_id"], "creator_id": "ana"}


def test_a_short_room_within_a_long_one_does_not_shorten_the_long_one() -> None:
    long, short, third = room(60), room(100), room(305)
    rows = [live(m, long, viewers=m) for m in range(65, 305, 10)]
    stream = only(*rows, live(106, short), live(308, third), off(320), off(325))
    assert (stream["rooms"], stream["stream_id"]) == (3, f"ana:{long}")


def test_a_new_creator_is_not_compared_with_the_rooms_of_another() -> None:
    later = [live(500, room(495)), off(510), off(515), live(700, room(695)), off(710), off(715)]
    early = [live(65, A, creator_id="bo"), off(80, creator_id="bo"), off(85, creator_id="bo")]
    assert [stream["room_id"] for stream in drawn(*later, *early)] == [room(495), room(695), A]


# Streams without a room id (docs/methods.md 1.3)


def test_a_stream_without_a_room_is_named_after_its_start() -> None:
    stream = only(off(60), live(70), live(75), off(80), off(85))
    assert (stream["stream_id"], stream["room_id"]) == ("ana:2026-11-02T01:05:00Z", None)


def test_a_reading_without_a_room_belongs_to_the_room_on_air() -> None:
    stream = only(live(65, A), live(70), live(75), off(80), off(85))
    assert (stream["rooms"], stream["observations"], stream["ended_at_lo"]) == (1, 3, at(75))


def test_a_room_named_later_takes_the_readings_before_it() -> None:
    stream = only(off(50), live(65), live(70, A))
    assert (stream["stream_id"], stream["rooms"], stream["started_at_hi"]) == (f"ana:{A}", 1, at(65))


def test_a_room_created_later_does_not_take_the_readings_before_it() -> None:
    stream = only(off(50), live(65), live(95), live(101, B))
    assert (stream["stream_id"], stream["rooms"]) == (f"ana:{B}", 2)


def test_two_streams_without_rooms_are_two() -> None:
    assert len(drawn(live(60), live(65), off(70), off(75), live(130), live(135))) == 2


def test_a_flag_right_after_an_end_is_a_cached_response() -> None:
    stream = only(live(65, A), off(70), off(73), live(76, vendor="konbini"), off(80), off(85))
    assert (stream["ended_at_lo"], stream["observations"]) == (at(65), 1)


# Open, stale and lost streams (docs/methods.md 1.8)


@pytest.mark.parametrize(
    ("as_of", "status", "end", "flag"),
    [(94, "live", None, None), (96, "lost", None, "stale_open"), (65 + 12 * 60 + 1, "lost", 65, "censored_end")],
)
def test_a_stream_without_an_end_is_live_then_stale_then_given_up(
    as_of: float, status: str, end: float | None, flag: str | None
) -> None:
    stream = only(off(50), live(65, A), as_of=as_of)
    assert (stream["status"], stream["ended_at"]) == (status, None if end is None else at(end))
    assert stream["flags"] == ([flag] if flag else [])
    assert stream["ended_at_hi"] is None


def test_a_lost_stream_that_is_seen_again_was_never_lost() -> None:
    stream = only(off(50), live(65, A), live(65 + 13 * 60, A))
    assert (stream["status"], stream["observations"]) == ("live", 2)


def test_after_a_gap_of_half_a_day_a_stream_without_a_room_is_another() -> None:
    one, two = drawn(live(60), live(65), live(65 + 13 * 60), live(70 + 13 * 60))
    assert (one["status"], one["ended_at"], two["status"]) == ("lost", at(65), "live")
    assert "censored_end" in one["flags"]


def test_an_end_within_a_gap_of_half_a_day_is_lost() -> None:
    stream = only(live(65, A), off(65 + 13 * 60), off(70 + 13 * 60))
    assert (stream["status"], stream["ended_at"], stream["ended_at_hi"]) == ("lost", at(65), at(65 + 13 * 60))


def test_a_stream_over_midnight_is_one_stream_of_its_start_day() -> None:
    late = room(23 * 60)
    stream = only(*(live(m, late) for m in range(23 * 60 + 5, 26 * 60, 5)), off(26 * 60), off(26 * 60 + 5))
    assert (stream["started_at"].date(), stream["ended_at"].date()) == (at(0).date(), at(1500).date())


def test_a_stream_of_more_than_a_day_is_one_stream_and_flagged() -> None:
    stream = only(*(live(m, A) for m in range(60, 60 + 25 * 60, 10)))
    assert stream["airtime_s"] > 24 * 3600
    assert "over_24h" in stream["flags"]


def test_readings_after_as_of_are_ignored() -> None:
    stream = only(live(65, A), off(70), off(75), as_of=71)
    assert stream["status"] == "live"
