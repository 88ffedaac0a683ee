"""The sandbox's Social Fetch: shape, key, billing, exact counts, the shared cache; agreement with the truth."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from tiktok_pipeline.sandbox.creators import Creator
from tiktok_pipeline.sandbox.streams import TrueStream
from tiktok_pipeline.sandbox.world import World
from tiktok_pipeline_tests.sandbox.conftest import START, Asker, Reply, of_kind

PROFILES = "/social-fetch/v1/tiktok/profiles/"


def as_of(reply: Reply, at: datetime) -> datetime:
    return at - timedelta(seconds=int(reply.headers.get("age", 0)))


def test_followers_are_exact_as_of_the_answers_age(ask: Asker, world: World) -> None:
    for creator in (c for c in world.creators if c.kind == "public" and c.renamed_at is None):
        for hour in range(0, 48, 3):
            at = START + timedelta(hours=hour)
            reply = ask(PROFILES + creator.handle, at)
            assert reply.json["data"]["metrics"]["followers"] == world.followers_at(creator, as_of(reply, at))


def test_a_live_answer_agrees_with_the_truth(ask: Asker, world: World, streams: list[TrueStream]) -> None:
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


def test_titles_and_starts_are_missing_now_and_then(ask: Asker, streams: list[TrueStream]) -> None:
    lives = [
        ask(f"{PROFILES}{s.creator.handle}/live", s.started_at + timedelta(minutes=3)).json["data"]["live"]
        for s in streams
    ]
    for field, most in (("title", 0.2), ("coverUrl", 0.12), ("startedAt", 0.09)):
        assert 0 < sum(live[field] is None for live in lives) < most * len(lives)


def test_offline_is_found_and_still_carries_the_follower_count(
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


def test_nine_creators_in_ten_carry_the_count_always_or_never(ask_with: Callable[..., Asker]) -> None:
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


def test_a_miss_is_a_billed_200(ask: Asker, world: World) -> None:
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


def test_one_answer_in_twenty_comes_from_a_cache_of_a_minute_and_is_billed(
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


def test_asking_again_at_the_same_instant_gives_the_same_bytes(
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


def test_an_unknown_route_and_a_handle_too_long_are_refused_free(ask: Asker) -> None:
    assert (ask("/social-fetch/v1/nothing", START).status, ask(PROFILES + "x" * 65, START).status) == (404, 400)
    assert sum(row["credits"] for row in ask("/truth/ledger").json) == 0
