"""Notices of stream starts and ends: one each, also when rows land twice, late or never."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import polars as pl

from tiktok_pipeline.alerts.on_air import Notice, OnAir, advance
from tiktok_pipeline.alerts.wording import on_air as worded
from tiktok_pipeline.config.settings import Streams
from tiktok_pipeline.providers.observations import ABSENT
from tiktok_pipeline_tests.transforms.readings import at, ended, live, live_frame, off, unknown

SETTINGS = Streams()


class Watched:
    """Run sensor ticks: each tick gets readings and returns notices."""

    def __init__(self) -> None:
        self.state = OnAir()
        self.tick(off(0), now=0)

    def tick(self, *rows: dict[str, Any], now: float) -> list[Notice]:
        self.state = msgspec.json.decode(msgspec.json.encode(self.state), type=OnAir)
        return advance(self.state, live_frame(*rows), settings=SETTINGS, now=at(now))


def summaries(notices: list[Notice]) -> list[tuple[str, bool]]:
    return [(notice.creator_id, notice.ended_at is not None) for notice in notices]


def test_a_started_stream_is_reported_once_with_its_reported_start() -> None:
    watched = Watched()
    (notice,) = watched.tick(live(10, "r1", started_at=at(8), title="Sing", viewers=40), now=10)
    assert (notice.creator_id, notice.since, notice.title, notice.viewers) == ("ana", at(8), "Sing", 40)
    assert watched.tick(live(15, "r1", started_at=at(8)), now=15) == []
    assert watched.tick(live(20, "r1"), unknown(21), now=21) == []


def test_streams_already_live_at_switch_on_give_no_start_notice_but_an_end_notice() -> None:
    state = OnAir()
    assert advance(state, live_frame(live(10, "r1")), settings=SETTINGS, now=at(10)) == []
    assert advance(state, live_frame(ended(20, "r1", 20)), settings=SETTINGS, now=at(21)) == []
    assert summaries(advance(state, live_frame(), settings=SETTINGS, now=at(31))) == [("ana", True)]


def test_repeated_readings_give_no_second_notice() -> None:
    watched = Watched()
    rows = [live(10, "r1"), live(15, "r1")]
    assert summaries(watched.tick(*rows, now=15)) == [("ana", False)]
    assert watched.tick(*rows, now=16) == []
    assert watched.tick(*rows, off(20), off(25), now=40) != []
    assert watched.tick(*rows, off(20), off(25), now=41) == []


def test_one_off_air_reading_does_not_end_a_stream_and_errors_never_do() -> None:
    watched = Watched()
    watched.tick(live(10, "r1"), now=10)
    assert watched.tick(off(15), unknown(20), unknown(25), now=60) == []
    assert watched.tick(live(61, "r1"), now=61) == []


def test_two_off_air_readings_end_a_stream_at_the_time_of_the_first() -> None:
    watched = Watched()
    watched.tick(live(10, "r1"), now=10)
    assert watched.tick(off(15), off(16), now=16) == []
    assert watched.tick(off(20), now=20) == []
    (notice,) = watched.tick(off(25), now=26)
    assert notice.ended_at == at(15)


def test_absent_for_a_creator_on_air_means_off_air() -> None:
    watched = Watched()
    watched.tick(live(10, "r1"), now=10)
    absent = [unknown(minute) | {"reason": ABSENT} for minute in (15, 20)]
    assert summaries(watched.tick(*absent, now=40)) == [("ana", True)]


def test_a_reconnect_gives_neither_an_end_nor_a_start_notice() -> None:
    watched = Watched()
    watched.tick(live(10, "r1"), now=10)
    assert watched.tick(ended(20, "r1", 20), now=20) == []
    assert watched.tick(live(25, "r2"), now=25) == []
    assert watched.tick(live(40, "r2"), now=40) == []
    assert summaries(watched.tick(ended(50, "r2", 50), now=61)) == [("ana", True)]


def test_the_end_of_an_older_room_does_not_end_the_current_stream() -> None:
    watched = Watched()
    watched.tick(live(10, "r2"), now=10)
    assert watched.tick(ended(12, "r1", 5), now=40) == []


def test_the_next_stream_is_reported_again() -> None:
    watched = Watched()
    watched.tick(live(10, "r1"), now=10)
    assert summaries(watched.tick(ended(20, "r1", 20), now=40)) == [("ana", True)]
    assert summaries(watched.tick(live(90, "r2"), now=90)) == [("ana", False)]


def test_a_room_that_comes_back_after_its_end_was_reported_is_not_reported_twice() -> None:
    watched = Watched()
    watched.tick(live(10, "r1"), now=10)
    watched.tick(ended(20, "r1", 20), now=40)
    assert watched.tick(live(45, "r1"), now=45) == []


def test_old_readings_in_a_new_file_give_no_notice() -> None:
    watched = Watched()
    watched.tick(off(600), now=600)
    # A compacted hour is a new file that holds old readings.
    assert watched.tick(live(500, "r1"), now=601) == []


def test_many_creators_are_distinguished() -> None:
    watched = Watched()
    notices = watched.tick(
        live(10, "r1"), live(10, "r2") | {"creator_id": "bo"}, off(11) | {"creator_id": "cy"}, now=11
    )
    assert summaries(notices) == [("ana", False), ("bo", False)]


def test_streams_of_the_previous_day_are_removed_from_the_state() -> None:
    watched = Watched()
    watched.tick(live(10, "r1"), now=10)
    watched.tick(off(1000) | {"creator_id": "bo"}, now=1000)
    assert watched.state.broadcasts == {}


def test_notice_texts_name_handle_time_viewers_and_duration() -> None:
    since = datetime(2026, 11, 2, 18, 30, tzinfo=UTC)
    began = worded(Notice("ana", since, title="Sing", viewers=1200), "ana.new")
    assert began.text == "@ana.new is live since 18:30 UTC, 1,200 viewers: Sing https://www.tiktok.com/@ana.new/live"
    over = worded(Notice("ana", since, ended_at=datetime(2026, 11, 2, 20, 0, tzinfo=UTC)), "ana.new")
    assert over.text == "@ana.new ended at 20:00 UTC, after 90 minutes."
    assert over.key != began.key


def test_an_empty_lake_gives_no_notice() -> None:
    state = OnAir()
    empty: pl.DataFrame = live_frame()
    assert advance(state, empty, settings=SETTINGS, now=at(0)) == []
