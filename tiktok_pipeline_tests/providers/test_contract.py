"""One suite over every vendor: the outcome, price and readings of each documented response."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tiktok_pipeline.providers import VENDORS, konbini, social_fetch, tikhub, tikliveapi
from tiktok_pipeline.providers.observations import (
    LiveReading,
    PostReading,
    Problem,
    ProfileReading,
    Reading,
    StoryReading,
)
from tiktok_pipeline.providers.vendor import Outcome, Target
from tiktok_pipeline_tests.providers import bodies
from tiktok_pipeline_tests.providers.bodies import CASES, Case

READABLE = [case for case in CASES if case.outcome != "malformed"]
TARGET = Target("mira.paints", "mira.paints", bodies.USER_ID, bodies.SEC_UID, bodies.ROOM_ID)


def read(case: Case) -> list[Reading | Problem]:
    return list(VENDORS[case.vendor].read(case.endpoint, Outcome(case.outcome), case.body))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.vendor}: {case.about}")
def test_a_response_has_its_expected_outcome_and_price(case: Case) -> None:
    verdict = VENDORS[case.vendor].judge(case.endpoint, case.status, case.headers, case.body)
    assert verdict.outcome == case.outcome
    assert verdict.credits == case.credits
    if case.error is not None or case.outcome in ("ok", "not_live", "empty"):
        assert verdict.error == case.error
    if case.retry_after_s is not None:
        assert verdict.retry_after_s == case.retry_after_s


@pytest.mark.parametrize("case", READABLE, ids=lambda case: f"{case.vendor}: {case.about}")
def test_a_body_gives_exactly_its_expected_readings(case: Case) -> None:
    readings = read(case)
    states = [r.live_state for r in readings if isinstance(r, LiveReading)]
    if case.endpoint not in (konbini.USER,):
        assert states == ([case.live_state] if case.live_state else [])
    counts = [r.followers for r in readings if isinstance(r, ProfileReading) and r.followers is not None]
    assert counts == ([case.followers] if case.followers is not None else [])
    assert not [r for r in readings if isinstance(r, Problem)]


@pytest.mark.parametrize("case", READABLE, ids=lambda case: f"{case.vendor}: {case.about}")
def test_ids_survive_as_strings(case: Case) -> None:
    for reading in read(case):
        for name in ("room_id", "user_id", "story_id"):
            value = getattr(reading, name, None)
            assert value is None or (isinstance(value, str) and not value.endswith("000"))
        if isinstance(reading, LiveReading) and reading.room_id:
            assert reading.room_id == bodies.ROOM_ID


@pytest.mark.parametrize("case", READABLE, ids=lambda case: f"{case.vendor}: {case.about}")
def test_no_address_keeps_its_signature(case: Case) -> None:
    for reading in read(case):
        written = repr(reading)
        assert "sign=" not in written
        assert "x-signature" not in written


@pytest.mark.parametrize("vendor", VENDORS.values(), ids=lambda vendor: vendor.name)
@pytest.mark.parametrize(
    "body", [b"", b"<html></html>", b"{", b"[]", b"null", b"{}", b'"words"', b"\xff\xfe", b"x" * 10_000]
)
@pytest.mark.parametrize("status", [200, 404, 429, 500, 503])
def test_a_nonsense_body_is_never_a_success_and_raises_no_exception(vendor: object, body: bytes, status: int) -> None:
    for endpoint in vendor.endpoints:  # type: ignore[attr-defined]
        verdict = vendor.judge(endpoint, status, {}, body)  # type: ignore[attr-defined]
        assert verdict.outcome not in (Outcome.OK, Outcome.NOT_LIVE, Outcome.EMPTY, Outcome.PRIVATE)


@pytest.mark.parametrize("vendor", VENDORS.values(), ids=lambda vendor: vendor.name)
def test_every_endpoint_builds_a_request_with_its_own_path(vendor: object) -> None:
    for endpoint, capability in vendor.endpoints.items():  # type: ignore[attr-defined]
        # A ranking is requested by list and region, a search by keyword.
        subject = {"live_ranking": "hourly:US", "user_search": "paints"}.get(capability)
        request = vendor.request(capability, replace(TARGET, subject=subject))  # type: ignore[attr-defined]
        assert request is not None
        assert request.endpoint == endpoint
        assert "{" not in request.path
    assert vendor.request("no such capability", TARGET) is None  # type: ignore[attr-defined]


def one(vendor: str, endpoint: str, kind: type, about: str | None = None) -> object:
    case = next(c for c in CASES if c.vendor == vendor and c.endpoint == endpoint and (about or c.about) == c.about)
    return next(reading for reading in read(case) if isinstance(reading, kind))


@pytest.mark.parametrize(
    ("vendor", "endpoint"),
    [("konbini", konbini.VIDEOS), ("social_fetch", social_fetch.VIDEOS), ("tikliveapi", tikliveapi.POSTS)],
)
def test_a_post_reads_the_same_from_every_vendor(vendor: str, endpoint: str) -> None:
    post = one(vendor, endpoint, PostReading)
    assert isinstance(post, PostReading)
    assert post.post_id == "7569000111111111111"
    assert post.published_at == datetime(2026, 11, 2, 10, tzinfo=UTC)
    assert post.duration_s in (20.0, 20.5)
    assert None not in (post.views, post.likes, post.comments, post.shares, post.saves)


@pytest.mark.parametrize(("vendor", "endpoint"), [("tikliveapi", tikliveapi.STORIES), ("tikhub", tikhub.STORIES)])
def test_a_story_in_tiktoks_own_format_expires_a_day_after_publishing(vendor: str, endpoint: str) -> None:
    story = one(vendor, endpoint, StoryReading)
    assert isinstance(story, StoryReading)
    assert story.published_at == datetime(2026, 11, 2, 10, tzinfo=UTC)
    assert story.expires_at == datetime(2026, 11, 3, 10, tzinfo=UTC)
    assert (story.views, story.media_type, story.media_url) == (10, "video", "https://v.example/s.mp4")


@pytest.mark.parametrize(
    ("vendor", "endpoint", "cursor"),
    [
        ("konbini", konbini.VIDEOS, "1793600000000"),
        ("social_fetch", social_fetch.VIDEOS, "abc"),
        ("tikliveapi", tikliveapi.POSTS, "1793600000000"),
        ("tikliveapi", tikliveapi.FOLLOWERS, "1793600000"),
    ],
)
def test_the_next_page_is_requested_with_the_received_cursor(vendor: str, endpoint: str, cursor: str) -> None:
    case = next(c for c in CASES if c.vendor == vendor and c.endpoint == endpoint and c.outcome == "ok")
    verdict = VENDORS[vendor].judge(endpoint, 200, {}, case.body)
    assert verdict.next_cursor == cursor
    request = VENDORS[vendor].request(VENDORS[vendor].endpoints[endpoint], TARGET, page=1, cursor=cursor)
    assert request is not None
    assert (request.page, request.cursor) == (1, cursor)
    assert cursor in request.params.values()


def test_no_request_contains_a_credential() -> None:
    for vendor in VENDORS.values():
        for capability in vendor.endpoints.values():
            assert "secret" not in repr(vendor.request(capability, TARGET))
    assert tikliveapi.USERINFO in VENDORS["tikliveapi"].endpoints
