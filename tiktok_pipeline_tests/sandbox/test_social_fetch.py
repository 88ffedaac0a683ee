"""The sandbox's Social Fetch: shape, key, billing, exact counts, shared cache, and agreement with the truth."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from tiktok_pipeline.sandbox.creators import Creator
from tiktok_pipeline.sandbox.streams import TrueStream
from tiktok_pipeline.sandbox.world import World
from tiktok_pipeline_tests.sandbox.conftest import START, Asker, Reply, of_kind

PROFILES = "/social-fetch/v1/tiktok/profiles/"


def as_of(reply: Reply, at: datetime) -> datetime:
    return at - timedelta(seconds=int(reply.headers.get("age", 0)))


def test_followers_are_exact_as_of_the_responses_age(ask: Asker, world: World) -> None:
    for creator in (c for c in world.creators if c.kind == "public" and c.renamed_at is None):
        for hour in range(0, 48, 3):
            at = START + timedelta(hours=hour)
            reply = ask(PROFILES + creator.handle, at)
            assert reply.json["data"]["metrics"]["followers"] == world.followers_at(creator, as_of(reply, at))


def test_a_live_response_agrees_with_the_truth(ask: Asker, world: World, streams: list[TrueStream]) -> None:
    for stream in streams[::5]:
        room = stream.rooms[0]
        at = room.started_at + (room.ended_at - room.started_at) / 2
        reply = ask(f"{PROFILES}{stream.creator.handle}/live", at)
        data, second = reply.json["data"], as_of(reply, at).timestamp()
        assert (data["lookupStatus"], data["liveStatus"]) == ("found", "live")
        assert data["live"]["roomId"] == room.room_id
        assert data["live"]["viewerCount"] == room.viewers(second)
        assert data["live"]["enterCount"] == room.enters(second)
        if data["live"]["startedAt"] is not None:
            assert datetime.fromisoformat(data["live"]["startedAt"]) == room.started_at
        assert {v["codecFamily"] for v in data["live"]["streams"]} == {"h264", "h265"}
        assert all(v["source"] in ("primary", "hevc") and v["qualityKey"] for v in data["live"]["streams"])


def test_titles_and_starts_are_sometimes_missing(ask: Asker, streams: list[TrueStream]) -> None:
    lives = [
        ask(f"{PROFILES}{s.creator.handle}/live", s.started_at + timedelta(minutes=3)).json["data"]["live"]
        for s in streams
    ]
    for field, most in (("title", 0.2), ("coverUrl", 0.12), ("startedAt", 0.09)):
        assert 0 < sum(live[field] is None for live in lives) < most * len(lives)


def test_an_offline_response_is_found_and_has_the_follower_count(
    ask: Asker, world: World, streams: list[TrueStream]
) -> None:
    counted = []
    for creator in {s.creator for s in streams}:
        first = next(s for s in streams if s.creator is creator)
        at = first.started_at - timedelta(minutes=5)
        reply = ask(f"{PROFILES}{creator.handle}/live", at)
        data = reply.json["data"]
        assert (data["lookupStatus"], data["liveStatus"], data["live"]) == ("found", "offline", None)
        counted.append("followerCount" in data["profile"])
        if counted[-1]:
            assert data["profile"]["followerCount"] == world.followers_at(creator, as_of(reply, at))
    assert sum(counted) > len(counted) / 2


def test_nine_creators_in_ten_have_the_count_always_or_never(ask_with: Callable[..., Asker]) -> None:
    world = World(creators=200, start=START)
    ask: Asker = ask_with(world)
    shares = []
    for creator in (c for c in world.creators if c.kind == "public" and c.renamed_at is None):
        seen = {
            "followerCount"
            in ask(f"{PROFILES}{creator.handle}/live", START + timedelta(hours=7 * n)).json["data"]["profile"]
            for n in range(3)
        }
        assert len(seen) == 1
        shares.append(seen.pop())
    assert 0.83 <= sum(shares) / len(shares) <= 0.97


def test_not_found_is_a_billed_200(ask: Asker, world: World) -> None:
    reply = ask(f"{PROFILES}{of_kind(world, 'missing').handle}/live", START)
    assert reply.status == 200
    assert reply.json["data"] == {"lookupStatus": "not_found", "liveStatus": None, "profile": None, "live": None}
    assert reply.json["meta"]["creditsCharged"] == 1
    profile = ask(PROFILES + "nobody.at.all", START)
    assert profile.json["data"] == {"lookupStatus": "not_found", "profile": None, "metrics": None}


def test_a_private_profile_has_no_id_no_bio_and_no_posts(ask: Asker, world: World) -> None:
    data = ask(PROFILES + of_kind(world, "private").handle, START).json["data"]
    assert data["lookupStatus"] == "private"
    assert data["profile"]["privateAccount"] is True
    assert data["profile"]["bio"] is None
    assert "platformUserId" not in data["profile"]
    assert data["metrics"]["posts"] == 0


def test_one_response_in_twenty_comes_from_a_cache_of_a_minute_and_is_billed(
    ask: Asker, world: World, streams: list[TrueStream]
) -> None:
    creator = streams[0].creator
    instants = [START + timedelta(seconds=61 * n) for n in range(1500)]
    replies = [ask(f"{PROFILES}{creator.handle}/live", at) for at in instants]
    cached = [(at, r) for at, r in zip(instants, replies, strict=True) if r.json["meta"].get("cached")]
    assert 0.035 <= len(cached) / len(replies) <= 0.065
    for at, reply in cached:
        assert 1 <= int(reply.headers["age"]) <= 60
        assert reply.json["meta"]["creditsCharged"] == 1
        live = world.room_at(creator, as_of(reply, at)) is not None
        assert reply.json["data"]["liveStatus"] == ("live" if live else "offline")
    assert all("age" not in r.headers for r in replies if not r.json["meta"].get("cached"))


def test_a_repeated_request_at_the_same_instant_gives_the_same_bytes(
    ask: Asker, ask_with: Callable[..., Asker], world: World
) -> None:
    path, at = f"{PROFILES}{world.creators[0].handle}/live", START + timedelta(hours=20)
    fresh: Asker = ask_with(World(seed=7, creators=24, start=START))
    assert ask(path, at).body == ask(path, at).body == fresh(path, at).body


def test_balance_and_whoami_are_free_and_the_balance_falls(ask: Asker, public: list[Creator]) -> None:
    before = ask("/social-fetch/v1/balance", START).json
    ask(PROFILES + public[0].handle, START)
    ask("/social-fetch/v1/whoami", START)
    assert before["meta"]["creditsCharged"] == 0
    assert before["data"]["balance"] - ask("/social-fetch/v1/balance", START).json["data"]["balance"] == 1


@pytest.mark.parametrize("headers", [{}, {"x-api-key": "sfk_wrong"}])
def test_a_bad_key_is_unauthorized(ask: Asker, headers: dict[str, str]) -> None:
    reply = ask(PROFILES + "anybody", START, headers)
    assert reply.status == 401
    assert reply.json["error"].keys() == {"code", "message", "requestId"}
    assert reply.json["error"]["code"] == "unauthorized"


def test_an_unknown_route_and_an_overlong_handle_are_refused_free_of_charge(ask: Asker) -> None:
    assert (ask("/social-fetch/v1/nothing", START).status, ask(PROFILES + "x" * 65, START).status) == (404, 400)
    assert sum(row["credits"] for row in ask("/truth/ledger").json) == 0


def uncached(ask: Asker, path: str, at: datetime) -> tuple[Reply, datetime]:
    """Return the first response from `at` on that is not from the cache, and its instant."""
    while True:
        reply = ask(path, at)
        if "age" not in reply.headers:
            return reply, at
        at += timedelta(seconds=1)


def walk(ask: Asker, path: str, items: str, at: datetime) -> list[list[dict[str, Any]]]:
    """Return the items of each page until `hasMore` is false."""
    pages, cursor, mark = [], "", "&" if "?" in path else "?"
    while True:
        data = ask(path + (f"{mark}cursor={cursor}" if cursor else ""), at).json["data"]
        pages.append(data[items])
        assert data["page"]["hasMore"] == (data["page"]["nextCursor"] is not None)
        if not data["page"]["hasMore"]:
            return pages
        assert data["page"]["nextCursor"] != cursor
        cursor = data["page"]["nextCursor"]


def test_videos_can_be_walked_to_the_end_with_pinned_ones_once(ask: Asker, world: World, public: list[Creator]) -> None:
    for creator in [c for c in public if c.renamed_at is None][:6]:
        path = f"{PROFILES}{creator.handle}/videos"
        _, at = uncached(ask, path, START + timedelta(days=15))
        pages = walk(ask, path, "videos", at)
        found = [video for page in pages for video in page]
        pinned = [p.post_id for p in world.feed(creator).pinned()]
        true = world.posts(creator, START - timedelta(days=36), at + timedelta(seconds=1))
        assert all(len(page) == 20 for page in pages[:-1])
        assert [v["id"] for v in found] == [*pinned, *(p.post_id for p in reversed(true))]
        assert [v["pinned"] for v in found] == [True] * len(pinned) + [False] * len(true)


def test_a_video_has_exact_counts_as_of_the_responses_age_and_no_caption_at_times(
    ask: Asker, world: World, public: list[Creator]
) -> None:
    captions = []
    for creator in [c for c in public if c.renamed_at is None]:
        at = START + timedelta(days=8)
        reply = ask(f"{PROFILES}{creator.handle}/videos?sortBy=latest", at)
        second = as_of(reply, at).timestamp()
        true = {p.post_id: p for p in [*world.feed(creator).pinned(), *world.posts(creator, at - timedelta(50), at)]}
        for video in reply.json["data"]["videos"]:
            post = true[video["id"]]
            assert video["stats"]["views"] == post.views(second)
            assert video["stats"]["saves"] == post.saves(second)
            assert video["durationMs"] // 1000 == post.duration_s
            assert datetime.fromisoformat(video["createdAt"]) == post.published_at
            captions.append(video["caption"])
    assert 0 < captions.count(None) < 0.12 * len(captions)


def test_videos_of_private_and_unknown_accounts_are_an_empty_list_without_an_error(ask: Asker, world: World) -> None:
    for handle in (of_kind(world, "private").handle, of_kind(world, "missing").handle, "nobody.at.all"):
        reply = ask(f"{PROFILES}{handle}/videos", START)
        assert reply.json["data"] == {"videos": [], "page": {"nextCursor": None, "hasMore": False}}
        assert reply.json["meta"]["creditsCharged"] == 1


def test_followers_can_be_walked_to_the_end_and_each_page_is_billed(
    ask: Asker, world: World, public: list[Creator]
) -> None:
    creator = min(
        (c for c in public if c.renamed_at is None and not world.follower_list(c).hidden),
        key=lambda c: c.followers_at_start,
    )
    path = f"{PROFILES}{creator.handle}/followers"
    reply, at = uncached(ask, path, START)
    assert reply.json["data"]["lookupStatus"] == "found"
    before = sum(row["credits"] for row in ask("/truth/ledger").json)
    pages = walk(ask, path, "followers", at)
    found = [follower["platformUserId"] for page in pages for follower in page]
    members = world.follower_list(creator)
    assert found[:15] == [f.user_id for f in members.page(at.timestamp(), None, 20).followers][:15]
    assert 0.5 * world.followers_at(creator, at) < len(set(found)) == len(found) < world.followers_at(creator, at)
    assert isinstance(pages[0][0]["accountCreatedAt"], int)
    assert sum(row["credits"] for row in ask("/truth/ledger").json) - before == len(pages)


def test_a_follower_list_reports_whether_it_is_hidden_private_or_unknown(ask: Asker, world: World) -> None:
    hidden = next(c for c in world.creators if c.kind == "public" and world.follower_list(c).hidden)
    statuses = {
        hidden.handle: "hidden",
        of_kind(world, "private").handle: "private",
        of_kind(world, "missing").handle: "not_found",
    }
    for handle, status in statuses.items():
        data = ask(f"{PROFILES}{handle}/followers", START).json["data"]
        assert (data["lookupStatus"], data["followers"], data["page"]["hasMore"]) == (status, [], False)


def test_a_search_can_be_walked_to_the_end_with_exact_counts(ask: Asker, world: World) -> None:
    path = "/social-fetch/v1/tiktok/users/search?query=a"
    _, at = uncached(ask, path, START)
    found = [user for page in walk(ask, path, "users", at) for user in page]
    hits = world.search("a", at)
    assert [user["handle"] for user in found] == [c.handle for c in hits]
    assert [user["followerCount"] for user in found] == [world.followers_at(c, at) for c in hits]


@pytest.mark.parametrize("cursor", ["!!", "bm90aGluZw==", "Zm9sbG93ZXJzLzU="])
def test_a_forged_cursor_or_one_of_another_list_is_refused_free(ask: Asker, world: World, cursor: str) -> None:
    reply = ask(f"{PROFILES}{world.creators[0].handle}/videos?cursor={cursor}", START)
    assert (reply.status, reply.json["error"]["code"]) == (400, "bad_request")
    assert sum(row["credits"] for row in ask("/truth/ledger").json) == 0


@pytest.mark.parametrize("path", ["users/search", "users/search?query=%20", "profiles/x/videos?sortBy=popular"])
def test_unsupported_requests_are_bad_requests(ask: Asker, path: str) -> None:
    assert ask(f"/social-fetch/v1/tiktok/{path}", START).status == 400
