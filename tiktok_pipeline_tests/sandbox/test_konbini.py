"""The sandbox's KonbiniAPI: shape, key, billing, rounding and errors, and agreement with the truth."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from tiktok_pipeline.sandbox.creators import Creator
from tiktok_pipeline.sandbox.streams import TrueStream
from tiktok_pipeline.sandbox.world import World
from tiktok_pipeline_tests.sandbox.conftest import START, Asker, of_kind

USERS = "/konbini/v1/tiktok/users/"


def middle(stream: TrueStream) -> datetime:
    return stream.started_at + (stream.rooms[0].ended_at - stream.started_at) / 2


def spelling(data: dict[str, object]) -> str:
    return "old" if "internalId" in data else "new"


def test_a_user_is_a_person_with_rounded_counts(ask: Asker, world: World) -> None:
    for creator in (c for c in world.creators if c.kind != "missing"):
        reply = ask(USERS + creator.handle, START)
        person = reply.json["data"]
        followers = world.followers_at(creator, START)
        unit = 1 if followers < 10_000 else 100 if followers < 1_000_000 else 100_000
        assert person["type"] == "Person"
        assert person["preferredUsername"] == creator.handle
        assert person["isPrivate"] == (creator.kind == "private")
        assert person["followerCount"] % unit == 0
        assert abs(person["followerCount"] - followers) <= unit / 2
        assert reply.headers["x-credits-used"] == "1"


def test_each_creator_always_has_the_same_one_of_two_spellings(ask: Asker, world: World) -> None:
    seen = {}
    for creator in (c for c in world.creators if c.kind == "public" and c.renamed_at is None):
        spellings = {
            spelling(ask(USERS + creator.handle, START + timedelta(days=day)).json["data"]) for day in range(3)
        }
        assert len(spellings) == 1
        seen[creator.handle] = spellings.pop()
    assert set(seen.values()) == {"old", "new"}
    assert list(seen.values()).count("old") < len(seen) / 2


def test_the_old_spelling_has_the_old_names_throughout(ask: Asker, world: World, streams: list[TrueStream]) -> None:
    bodies = [ask(f"{USERS}{s.creator.handle}/live", middle(s)).json["data"] for s in streams[::5]]
    old = [data for data in bodies if spelling(data) == "old"]
    new = [data for data in bodies if spelling(data) == "new"]
    assert old
    assert new
    for data in old:
        assert isinstance(data["image"], dict)
        assert "content" not in data
        assert {"internalId", "userId", "videoCount"} <= data["attributedTo"].keys()
    for data in new:
        assert isinstance(data["image"], list)
        assert "summary" not in data
        assert {"entityId", "mediaCount"} <= data["attributedTo"].keys()


def test_a_live_response_agrees_with_the_truth(ask: Asker, world: World, streams: list[TrueStream]) -> None:
    for stream in streams[::7]:
        at = middle(stream)
        data = ask(f"{USERS}{stream.creator.handle}/live", at).json["data"]
        room = stream.rooms[0]
        assert data.get("entityId", data.get("internalId")) == room.room_id
        assert datetime.fromisoformat(data["published"]) == room.started_at
        assert data["viewerCount"] == world.viewers_at(stream.creator, at)
        assert data["viewCount"] == room.enters(at.timestamp())
        assert data["isLive"] is True
        assert data["attributedTo"]["isLive"] is False


def test_a_pause_is_live_and_a_reconnect_gap_is_not(ask: Asker, streams: list[TrueStream]) -> None:
    paused = next(s for s in streams if s.rooms[0].pauses)
    begin, end = paused.rooms[0].pauses[0]
    at = paused.started_at + timedelta(seconds=(begin + end) / 2 - paused.start_s)
    assert ask(f"{USERS}{paused.creator.handle}/live", at).status == 200
    broken = next(s for s in streams if len(s.rooms) == 2)
    gap = broken.rooms[0].ended_at + (broken.rooms[1].started_at - broken.rooms[0].ended_at) / 2
    assert ask(f"{USERS}{broken.creator.handle}/live", gap).status == 404


def test_offline_private_and_unknown_give_the_same_billed_404(
    ask: Asker, world: World, streams: list[TrueStream]
) -> None:
    offline = streams[0]
    handles = [
        offline.creator.handle,
        of_kind(world, "private").handle,
        of_kind(world, "missing").handle,
        "nobody.at.all",
    ]
    replies = [ask(f"{USERS}{handle}/live", offline.started_at - timedelta(minutes=10)) for handle in handles]
    assert len({reply.body for reply in replies}) == 1
    for reply in replies:
        assert reply.status == 404
        assert reply.json["errors"][0]["code"] == "not_found"
        assert reply.json["data"] is None
        assert reply.headers["x-credits-used"] == "1"


def test_a_handle_may_have_an_at_sign_and_capitals(ask: Asker, public: list[Creator]) -> None:
    handle = next(c for c in public if c.renamed_at is None).handle
    assert ask(f"{USERS}@{handle.upper()}", START).body == ask(USERS + handle, START).body


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "missing_api_key"),
        ({"Authorization": "sandbox"}, "missing_api_key"),
        ({"Authorization": "Bearer knbn_wrong"}, "invalid_api_key"),
    ],
)
def test_a_bad_key_is_refused_free_of_charge_without_credit_headers(
    ask: Asker, headers: dict[str, str], code: str
) -> None:
    reply = ask(USERS + "anybody", START, headers)
    assert reply.status == 401
    assert reply.json == {"errors": [{"code": code, "message": reply.json["errors"][0]["message"]}], "data": None}
    assert "x-credits-remaining" not in reply.headers
    assert ask("/truth/ledger").json[0]["credits"] == 0


def test_an_unknown_route_has_its_own_code_and_is_free(ask: Asker) -> None:
    reply = ask("/konbini/v1/tiktok/nothing", START)
    assert (reply.status, reply.json["errors"][0]["code"]) == (404, "route_not_found")
    assert reply.headers["x-credits-used"] == "0"


def test_credits_remaining_fall_by_the_credits_used(ask: Asker, world: World) -> None:
    left = [int(ask(USERS + world.creators[0].handle, START).headers["x-credits-remaining"]) for _ in range(3)]
    assert [left[0] - value for value in left] == [0, 1, 2]


def test_pages_of_stories_lose_and_repeat_no_story(ask: Asker, world: World) -> None:
    moments = [START + timedelta(hours=6 * n) for n in range(40)]
    creator, at = max(
        ((c, at) for c in world.creators if c.renamed_at is None for at in moments),
        key=lambda pair: len(world.stories_at(*pair)),
    )
    shown = world.stories_at(creator, at)
    assert len(shown) >= 4
    cursor, found = "0", []
    while cursor is not None:
        page = ask(f"{USERS}{creator.handle}/stories?count=2&cursor={cursor}", at).json["data"]
        assert len(page["orderedItems"]) <= 2
        found += page["orderedItems"]
        cursor = page["nextCursor"]
    assert [s.get("entityId", s.get("internalId")) for s in found] == [s.story_id for s in reversed(shown)]
    for item, story in zip(found, reversed(shown), strict=True):
        assert item["viewCount"] == story.views(at.timestamp())
        assert datetime.fromisoformat(item["endTime"]) == story.expires_at
        assert ("duration" in item) == (story.media_type == "video")
        assert ("headers" in item["attachment"][0]) == (story.media_type == "video")


def test_four_stories_are_the_default_page(ask: Asker, world: World) -> None:
    at = START + timedelta(days=2)
    creator = max((c for c in world.creators if c.renamed_at is None), key=lambda c: len(world.stories_at(c, at)))
    page = ask(f"{USERS}{creator.handle}/stories", at).json["data"]
    assert page["itemCount"] == len(page["orderedItems"]) == min(4, len(world.stories_at(creator, at)))


@pytest.mark.parametrize("query", ["count=0", "count=36", "count=many", "cursor=later"])
def test_an_invalid_page_parameter_is_a_free_validation_error(ask: Asker, world: World, query: str) -> None:
    reply = ask(f"{USERS}{world.creators[0].handle}/stories?{query}", START)
    assert (reply.status, reply.json["errors"][0]["code"]) == (400, "validation_error")
    assert reply.headers["x-credits-used"] == "0"


def entity(item: dict[str, Any]) -> str:
    found: str = item.get("entityId", item.get("internalId"))
    return found


def walk(ask: Asker, path: str, at: datetime) -> list[list[dict[str, Any]]]:
    """Return the items of each page until `nextCursor` is null."""
    cursor, pages, mark = "0", [], "&" if "?" in path else "?"
    while cursor is not None:
        reply = ask(f"{path}{mark}cursor={cursor}", at)
        assert reply.status == 200
        data = reply.json["data"]
        assert data["cursor"] == cursor
        assert data["itemCount"] == len(data["orderedItems"])
        assert data["nextCursor"] != cursor
        pages.append(data["orderedItems"])
        cursor = data["nextCursor"]
    return pages


def test_videos_can_be_walked_to_the_end_with_pinned_ones_on_top_of_each_page(
    ask: Asker, world: World, public: list[Creator]
) -> None:
    at = START + timedelta(days=20)
    for creator in [c for c in public if c.renamed_at is None][:6]:
        pinned = [p.post_id for p in world.feed(creator).pinned()]
        pages = walk(ask, f"{USERS}{creator.handle}/videos?count=10", at)
        assert len(pages) > 1
        for page in pages:
            assert len(page) <= 10
            assert [entity(item) for item in page[: len(pinned)]] == pinned
        found = [entity(item) for page in pages for item in page[len(pinned) :]]
        true = world.posts(creator, START - timedelta(days=36), at + timedelta(seconds=1))
        assert found == [p.post_id for p in reversed(true)]


def test_a_video_agrees_with_the_truth_and_its_media_has_a_cookie(
    ask: Asker, world: World, public: list[Creator]
) -> None:
    at = START + timedelta(days=9)
    for creator in [c for c in public if c.renamed_at is None]:
        true = {p.post_id: p for p in [*world.feed(creator).pinned(), *world.posts(creator, at - timedelta(99), at)]}
        for item in ask(f"{USERS}{creator.handle}/videos", at).json["data"]["orderedItems"]:
            post = true[entity(item)]
            assert item["viewCount"] == post.views(at.timestamp())
            assert item.get("content", item.get("summary")) == post.caption
            assert datetime.fromisoformat(item["published"]) == post.published_at
            assert item["duration"] == post.duration_s
            assert "Cookie" in item["attachment"][0]["headers"]
            assert "endTime" not in item
            assert spelling(item) == spelling(item["attributedTo"])


def test_35_videos_are_the_default_and_the_maximum(ask: Asker, world: World, public: list[Creator]) -> None:
    at = START + timedelta(days=120)
    handle = next(c.handle for c in public if c.renamed_at is None and len(world.posts(c, START, at)) > 40)
    assert ask(f"{USERS}{handle}/videos", at).json["data"]["itemCount"] == 35
    for query in ("count=36", "count=0", "cursor=x", "order=popular"):
        assert ask(f"{USERS}{handle}/videos?{query}", at).status == 400


def test_a_cursor_after_the_end_gives_only_pinned_videos(ask: Asker, public: list[Creator]) -> None:
    handle = next(c.handle for c in public if c.renamed_at is None)
    for _ in range(2):
        data = ask(f"{USERS}{handle}/videos?cursor=1500000000000", START).json["data"]
        assert 1 <= data["itemCount"] <= 2
        assert data["nextCursor"] is None


def test_followers_can_be_walked_to_the_end_and_agree_with_the_truth(
    ask: Asker, world: World, public: list[Creator]
) -> None:
    creator = min(
        (c for c in public if c.renamed_at is None and not world.follower_list(c).hidden),
        key=lambda c: c.followers_at_start,
    )
    pages = walk(ask, f"{USERS}{creator.handle}/followers", START)
    found = [entity(person) for page in pages for person in page]
    assert all(len(page) <= 30 for page in pages)
    assert len(set(found)) == len(found) < world.followers_at(creator, START)
    members = world.follower_list(creator)
    newest = members.page(START.timestamp(), None, 30).followers
    assert found[: len(newest)] == [follower.sec_uid for follower in newest]
    assert sum(row["credits"] for row in ask("/truth/ledger").json) == len(pages)


def test_a_hidden_follower_list_is_an_empty_page_and_a_private_one_not_found(ask: Asker, world: World) -> None:
    hidden = next(c for c in world.creators if c.kind == "public" and world.follower_list(c).hidden)
    data = ask(f"{USERS}{hidden.handle}/followers", START).json["data"]
    assert (data["orderedItems"], data["nextCursor"]) == ([], None)
    for kind in ("private", "missing"):
        for list_of in ("followers", "videos"):
            reply = ask(f"{USERS}{of_kind(world, kind).handle}/{list_of}", START)
            assert (reply.status, reply.headers["x-credits-used"]) == (404, "1")


def test_a_search_has_pages_of_ten_and_ends(ask: Asker, world: World) -> None:
    pages = walk(ask, "/konbini/v1/tiktok/search/users?query=a", START)
    assert [len(page) for page in pages[:-1]] == [10] * (len(pages) - 1)
    found = [person["preferredUsername"] for page in pages for person in page]
    assert found == [world.handle_at(c, START) for c in world.search("a", START)]
    assert len(found) > 10
    assert ask("/konbini/v1/tiktok/search/users?query=nobody.at.all", START).json["data"]["orderedItems"] == []


@pytest.mark.parametrize("query", ["", "query=", "query=a&count=20", "query=a&cursor=x"])
def test_a_search_without_a_query_or_with_another_page_size_is_refused_free_of_charge(ask: Asker, query: str) -> None:
    reply = ask(f"/konbini/v1/tiktok/search/users?{query}", START)
    assert (reply.status, reply.json["errors"][0]["code"]) == (400, "validation_error")
    assert sum(row["credits"] for row in ask("/truth/ledger").json) == 0
