"""KonbiniAPI: what is its own. The suite of all vendors is `test_contract.py`."""

from __future__ import annotations

from tiktok_pipeline.providers import VENDORS, konbini
from tiktok_pipeline.providers.observations import Problem, ProfileReading, StoryReading
from tiktok_pipeline.providers.vendor import Outcome
from tiktok_pipeline_tests.providers import bodies


def test_a_negative_count_is_an_overflow_and_read_as_null() -> None:
    body = bodies.encoded({"data": bodies.person(likeCount=-977_433_948)})
    reading = next(VENDORS["konbini"].read(konbini.USER, Outcome.OK, body))
    assert isinstance(reading, ProfileReading)
    assert reading.likes is None


def test_a_story_without_an_id_is_a_problem_and_the_next_is_read() -> None:
    nameless = bodies.konbini_story()
    del nameless["entityId"]
    body = bodies.konbini_page([nameless, bodies.konbini_story()], None)
    readings = list(VENDORS["konbini"].read(konbini.STORIES, Outcome.OK, body))
    assert [type(r) for r in readings] == [Problem, StoryReading]
    story = readings[1]
    assert isinstance(story, StoryReading)
    assert (story.media_type, story.duration_s, story.views, story.music) == ("video", 14.0, 1_200, "original sound")


def test_pagination_follows_the_cursor_and_ends_with_an_empty_page() -> None:
    judge = VENDORS["konbini"].judge
    more = judge(konbini.STORIES, 200, {}, bodies.konbini_page([bodies.konbini_story()], "1793600000000"))
    assert more.next_cursor == "1793600000000"
    end = judge(konbini.STORIES, 200, {}, bodies.konbini_page([bodies.konbini_story()], None))
    assert end.next_cursor is None
    empty = judge(konbini.STORIES, 200, {}, bodies.konbini_page([], None))
    assert empty.next_cursor is None


def test_counts_are_rounded() -> None:
    rounded = next(VENDORS["konbini"].read(konbini.USER, Outcome.OK, bodies.encoded({"data": bodies.person()})))
    assert isinstance(rounded, ProfileReading)
    assert (rounded.followers_precision, rounded.followers_unit) == ("rounded", 100)
    big = bodies.encoded({"data": bodies.person(followerCount=9_000_000)})
    reading = next(VENDORS["konbini"].read(konbini.USER, Outcome.OK, big))
    assert isinstance(reading, ProfileReading)
    assert (reading.followers_precision, reading.followers_unit) == ("rounded", 100_000)
