"""A closed room that is on air again much later: the break is no airtime, and ids stay unique."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from tiktok_pipeline_tests.transforms.readings import at, drawn, ended, live, off, only, room, unknown

ROOM = room(10)
DAY_MINUTES = 24 * 60


def on(first: float, last: float, room_id: str | None = ROOM, **more: Any) -> list[dict[str, Any]]:
    """Return on-air readings every five minutes, each with other counts."""
    minutes = range(int(first), int(last) + 1, 5)
    return [live(m, room_id, viewers=m % 7 + 1, viewers_total=m, **more) for m in minutes]


def breaks(first: float, last: float, every: int = 10) -> list[dict[str, Any]]:
    """Return weak off-air readings."""
    return [off(m) for m in range(int(first), int(last) + 1, every)]


def airtimes(streams: list[dict[str, Any]]) -> list[float]:
    return [stream["airtime_s"] / 60 for stream in streams]


def test_a_closed_room_that_opens_again_is_two_streams_without_the_break() -> None:
    rows = drawn(
        off(0), *on(10, 60, started_at=at(10)), ended(62, ROOM, 60), *breaks(65, 148),
        *on(151, 210, started_at=at(150)), ended(212, ROOM, 210),
    )  # fmt: skip
    assert airtimes(rows) == [50, 60]
    assert [row["room_id"] for row in rows] == [ROOM, ROOM]
    assert [row["stream_id"] for row in rows] == [f"ana:{ROOM}", f"ana:{ROOM}:{at(150):%Y-%m-%dT%H:%M:%SZ}"]
    assert [row["status"] for row in rows] == ["ended", "ended"]
    assert ["opened_again" in row["flags"] for row in rows] == [False, True]
    assert rows[1]["gap_since_previous_s"] == 90 * 60


def test_a_break_seen_only_in_weak_readings_is_no_airtime_either() -> None:
    rows = drawn(off(0), *on(10, 60), *breaks(65, 145), *on(150, 210), off(215), off(220))
    assert airtimes(rows) == [52.5, 65]
    assert rows[1]["started_at"] == at(147.5)


def test_a_repeated_first_start_is_not_the_start_of_the_second_opening() -> None:
    rows = drawn(
        off(0), *on(10, 60, started_at=at(10)), ended(62, ROOM, 60), *breaks(65, 145),
        *on(150, 210, started_at=at(10)), ended(212, ROOM, 210),
    )  # fmt: skip
    assert airtimes(rows) == [50, 62.5]
    assert "disagree_start" not in rows[1]["flags"]
    assert rows[1]["detection_delay_s"] is None


def test_three_openings_are_three_streams_with_their_own_ids() -> None:
    rows = drawn(
        off(0), *on(10, 60), ended(62, ROOM, 60), *on(150, 210), ended(212, ROOM, 210),
        *on(300, 330), ended(335, ROOM, 331), as_of=400,
    )  # fmt: skip
    assert len({row["stream_id"] for row in rows}) == 3
    assert [row["ended_at"] for row in rows] == [at(60), at(210), at(331)]
    assert all(a["ended_at"] <= b["started_at"] for a, b in pairwise(rows))


@pytest.mark.parametrize("shift", [0, 23 * 60])
def test_a_break_over_midnight_separates_two_streams(shift: int) -> None:
    rows = drawn(
        off(shift), *on(10 + shift, 60 + shift), ended(62 + shift, ROOM, 60 + shift), *breaks(65 + shift, 145 + shift),
        *on(150 + shift, 210 + shift), off(215 + shift), off(220 + shift),
    )  # fmt: skip
    assert len(rows) == 2
    assert rows[0]["ended_at"] == at(60 + shift)
    assert airtimes(rows)[1] == 65


@pytest.mark.parametrize("days", [1, 2, 5])
def test_a_break_of_days_separates_two_streams_on_their_own_days(days: int) -> None:
    later = 100 + days * DAY_MINUTES
    first = [off(0), *on(10, 60), ended(62, ROOM, 60)]
    second = [*on(later, later + 60), off(later + 65), off(later + 70)]
    rows = drawn(*first, *breaks(65, later - 5, every=30), *second)
    assert len(rows) == 2
    assert rows[1]["started_at"] == at(later - 2.5)
    # A window of days that does not reach back to the first opening gives the same second stream.
    (alone,) = drawn(off(later - 5), *second) if days > 3 else (rows[1],)
    assert (alone["stream_id"], alone["started_at"]) == (rows[1]["stream_id"], rows[1]["started_at"])


def test_a_break_without_a_room_id_separates_two_streams() -> None:
    rows = drawn(off(0), *on(10, 60, None), *breaks(65, 145), *on(150, 210, None), off(215), off(220))
    assert airtimes(rows) == [57.5, 65]
    assert len({row["stream_id"] for row in rows}) == 2


def test_stale_cached_responses_in_the_break_change_nothing() -> None:
    first, second = on(10, 60), on(150, 210)
    stale = [
        live(m, ROOM, viewers=first[-1]["viewers"], viewers_total=first[-1]["viewers_total"]) for m in (64, 70, 100)
    ]
    late_end = ended(220, ROOM, 60)
    plain = drawn(off(0), *first, ended(62, ROOM, 60), *breaks(65, 145), *second, ended(214, ROOM, 212))
    odd = drawn(off(0), *first, ended(62, ROOM, 60), *breaks(65, 145), *stale, *second, ended(214, ROOM, 212), late_end)
    assert airtimes(odd) == airtimes(plain)
    assert [row["stream_id"] for row in odd] == [row["stream_id"] for row in plain]


def test_unknown_readings_in_the_break_are_no_evidence() -> None:
    row = only(off(0), *on(10, 60), *(unknown(m) for m in range(65, 146, 10)), *on(150, 210), off(215), off(220))
    assert row["airtime_s"] / 60 == 202.5


def test_a_pause_or_a_short_reconnect_stays_one_stream() -> None:
    paused = only(
        off(0), *on(10, 60), *(live(m, ROOM, live_state="paused") for m in range(65, 146, 10)), *on(150, 210),
        off(215), off(220),
    )  # fmt: skip
    assert paused["airtime_s"] / 60 == 202.5
    for reopened in (64, 69):
        row = only(off(0), *on(10, 60), ended(62, ROOM, 60), *on(reopened, reopened + 30), off(120), off(125))
        assert row["stream_id"] == f"ana:{ROOM}"
        assert row["started_at"] == at(10)


def test_a_break_shown_by_two_readings_only_is_not_subtracted() -> None:
    row = only(off(0), *on(10, 60), off(65), off(68), *on(120, 150), off(155), off(160))
    assert "reopened" in row["flags"]
    assert row["airtime_s"] / 60 == 142.5


def test_the_second_opening_is_live_while_on_air() -> None:
    rows = drawn(off(0), *on(10, 60), ended(62, ROOM, 60), *breaks(65, 145), *on(150, 210))
    assert [row["status"] for row in rows] == ["ended", "live"]
    assert rows[1]["ended_at"] is None


def test_another_room_in_the_break_is_its_own_stream() -> None:
    other = room(90)
    rows = drawn(
        off(0), *on(10, 60), ended(62, ROOM, 60), off(80), *on(95, 120, other), ended(122, other, 121), off(130),
        *on(150, 210), off(215), off(220),
    )  # fmt: skip
    assert [row["room_id"] for row in rows] == [ROOM, other, ROOM]
    assert all(a["ended_at"] <= b["started_at"] for a, b in pairwise(rows))
    assert len({row["stream_id"] for row in rows}) == 3


def test_a_start_after_the_end_proves_a_second_opening_although_the_counts_repeat() -> None:
    counts = {"viewers": 43, "viewers_total": 600}
    again = [live(m, ROOM, started_at=at(150), **counts) for m in range(151, 210, 5)]
    rows = drawn(
        off(0), *on(10, 60, started_at=at(10)), ended(62, ROOM, 60), *breaks(65, 148), *again, ended(212, ROOM, 210)
    )
    assert airtimes(rows) == [50, 60]
    assert [row["room_id"] for row in rows] == [ROOM, ROOM]
    assert rows[1]["peak_viewers"] == 43


@pytest.mark.parametrize("start", [10, 61])
def test_a_repeated_response_with_a_start_before_the_end_proves_no_second_opening(start: float) -> None:
    stuck = [live(m, ROOM, viewers=5, viewers_total=60, started_at=at(start)) for m in range(151, 210, 5)]
    rows = drawn(off(0), *on(10, 60, started_at=at(10)), ended(62, ROOM, 60), *breaks(65, 148), *stuck, off(215))
    assert airtimes([row for row in rows if row["room_id"]]) == [50]
