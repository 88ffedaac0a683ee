"""The sandbox's TikHub: the room in its envelope, damaged numbers, the states of a room, and errors."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from tiktok_pipeline.sandbox.creators import Creator
from tiktok_pipeline.sandbox.rankings import ListKind
from tiktok_pipeline.sandbox.streams import Room, TrueStream
from tiktok_pipeline.sandbox.world import World
from tiktok_pipeline_tests.sandbox.conftest import START, Asker, of_kind

INFO = "/tikhub/api/v1//live/info"


def address(creator: Creator, room: Room) -> str:
    return f"{INFO}?room_id={room.room_id}&user_id={creator.user_id}"


def middle(room: Room) -> datetime:
    return room.started_at + (room.ended_at - room.started_at) / 2


def platform(ask: Asker, path: str, at: datetime) -> dict[str, Any]:
    reply = ask(path, at)
    assert (reply.status, reply.json["code"], reply.json["msg"]) == (200, 0, "success")
    data: dict[str, Any] = reply.json["data"]
    return data


def test_a_live_room_agrees_with_the_truth(ask: Asker, world: World, streams: list[TrueStream]) -> None:
    for stream in (s for s in streams[::6] if not s.rooms[0].pauses):
        room = stream.rooms[0]
        at = middle(room)
        data = platform(ask, address(stream.creator, room), at)["data"]
        assert data["status"] == 2
        assert data["id_str"] == room.room_id
        assert data["create_time"] == int(room.room_id) >> 32 == data["finish_time"]
        assert data["start_time"] == int(room.start_s)
        assert data["last_ping_time"] == int(at.timestamp())
        assert data["user_count"] == world.viewers_at(stream.creator, at)
        assert data["stats"]["total_user"] == data["stats"]["enter_count"] == 0
        assert data["owner"]["follow_info"]["follower_count"] == world.followers_at(stream.creator, at)


def test_a_paused_room_has_status_three(ask: Asker, streams: list[TrueStream]) -> None:
    stream = next(s for s in streams if s.rooms[0].pauses)
    begin, end = stream.rooms[0].pauses[0]
    at = stream.started_at + timedelta(seconds=(begin + end) / 2 - stream.start_s)
    data = platform(ask, address(stream.creator, stream.rooms[0]), at)["data"]
    assert data["status"] == 3
    assert data["finish_time"] == data["create_time"]


def test_an_ended_room_reports_its_end_for_a_day_and_then_only_that_it_finished(
    ask: Asker, world: World, streams: list[TrueStream]
) -> None:
    stream = streams[3]
    room = stream.rooms[-1]
    just_before_the_day_is_over = room.ended_at + timedelta(hours=23, minutes=59)
    data = platform(ask, address(stream.creator, room), just_before_the_day_is_over)["data"]
    assert (data["status"], data["finish_time"]) == (4, int(room.end_s))
    assert (data["user_count"], data["last_ping_time"]) == (0, 0)
    now = world.followers_at(stream.creator, just_before_the_day_is_over)
    assert data["owner"]["follow_info"]["follower_count"] == now
    later = platform(ask, address(stream.creator, room), room.ended_at + timedelta(hours=24))
    assert later["status_code"] == 30003
    assert later["data"]["message"] == "room has finished"


def test_the_first_room_of_a_reconnect_has_ended_in_the_gap(ask: Asker, streams: list[TrueStream]) -> None:
    stream = next(s for s in streams if len(s.rooms) == 2)
    at = stream.rooms[0].ended_at + timedelta(seconds=20)
    data = platform(ask, address(stream.creator, stream.rooms[0]), at)["data"]
    assert (data["status"], data["finish_time"]) == (4, int(stream.rooms[0].end_s))
    assert platform(ask, address(stream.creator, stream.rooms[1]), at)["status_code"] == 10011


@pytest.mark.parametrize("room_id", ["7000000000000000001", "1", "room"])
def test_a_room_that_does_not_exist_gives_the_platforms_bad_parameter(ask: Asker, room_id: str) -> None:
    assert platform(ask, f"{INFO}?room_id={room_id}&user_id=7000000000000000002", START)["status_code"] == 10011


def test_a_future_room_does_not_exist_yet(ask: Asker, streams: list[TrueStream]) -> None:
    room = streams[0].rooms[0]
    before = room.started_at - timedelta(seconds=10)
    assert platform(ask, address(streams[0].creator, room), before)["status_code"] == 10011


def test_numeric_ids_are_rounded_as_by_javascript_and_their_string_twins_are_exact(
    ask: Asker, streams: list[TrueStream]
) -> None:
    damaged = 0
    for stream in streams[::9]:
        data = platform(ask, address(stream.creator, stream.rooms[0]), middle(stream.rooms[0]))["data"]
        for holder, name in ((data, "id"), (data["owner"], "id"), (data["stats"], "id")):
            number, text = holder[name], holder[f"{name}_str"]
            assert float(number) == float(text)
            assert number % 100 == 0  # Seventeen of nineteen digits survive.
            damaged += str(number) != text
        assert data["owner_user_id_str"] == ""
        assert data["owner"]["id_str"] == stream.creator.user_id
    assert damaged > 0


def test_two_creators_in_three_have_the_platforms_count_of_new_followers(ask: Asker, streams: list[TrueStream]) -> None:
    by_creator: dict[str, set[bool]] = {}
    for stream in streams:
        room = stream.rooms[0]
        data = platform(ask, address(stream.creator, room), room.ended_at)["data"]
        by_creator.setdefault(stream.creator.user_id, set()).add(data["stats"]["follow_count"] > 0)
    assert all(len(seen) == 1 for seen in by_creator.values())
    share = sum(seen == {True} for seen in by_creator.values()) / len(by_creator)
    assert 0.4 <= share <= 0.9


def test_the_body_has_a_realistic_size(ask: Asker, streams: list[TrueStream]) -> None:
    room = streams[0].rooms[0]
    assert 3_000 <= len(ask(address(streams[0].creator, room), middle(room)).body) <= 12_000


@pytest.mark.parametrize("query", ["", "?room_id=7000000000000000001", "?user_id=7000000000000000001"])
def test_both_parameters_are_required(ask: Asker, query: str) -> None:
    reply = ask(INFO + query, START)
    assert (reply.status, reply.json["code"]) == (400, 400)
    assert ask("/truth/ledger").json[0]["credits"] == 0


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic d3Jvbmc6d3Jvbmc="}])
def test_bad_credentials_are_unauthorized(ask: Asker, headers: dict[str, str]) -> None:
    reply = ask(INFO + "?room_id=1&user_id=1", START, headers)
    assert (reply.status, reply.json["code"], reply.json["data"]) == (401, 401, None)


API = "/tikhub/api/v1/"


def test_a_user_has_exact_counts_and_the_room_of_the_last_stream(
    ask: Asker, world: World, streams: list[TrueStream]
) -> None:
    for stream in streams[::20]:
        at = stream.ended_at + timedelta(minutes=2)
        reply = ask(f"{API}/user/info?user_id={stream.creator.user_id}", at).json["data"]
        user = reply["user"]
        assert reply["status_code"] == 0
        assert user["follower_count"] == world.followers_at(stream.creator, at)
        assert user["room_id_str"] == stream.rooms[-1].room_id
        assert user["room_id"] != 0
        assert user["unique_id"] == world.handle_at(stream.creator, at)


def test_an_unknown_user_has_the_platforms_status_and_is_billed(ask: Asker, world: World) -> None:
    data = ask(f"{API}/user/info?user_id={of_kind(world, 'missing').user_id}", START).json["data"]
    assert data["status_code"] == 2065
    assert "user" not in data
    assert ask("/truth/ledger").json[0]["credits"] == 1


def test_a_check_of_several_rooms_reports_which_are_open(ask: Asker, streams: list[TrueStream]) -> None:
    stream = streams[5]
    at = middle(stream.rooms[0])
    over = next(s.rooms[-1] for s in streams if s.ended_at < at)
    rooms = [stream.rooms[0].room_id, over.room_id, "123"]
    rows = platform(ask, f"{API}/live/check?room_id={','.join(rooms)}", at)["data"]
    assert [(row["room_id_str"], row["alive"]) for row in rows] == list(zip(rooms, [True, False, False], strict=True))
    assert float(rows[0]["room_id"]) == float(rooms[0])


@pytest.mark.parametrize(("rank_type", "kind"), [("", "hourly"), ("&rank_type=0", "hourly"), ("&rank_type=8", "daily")])
def test_a_ranking_agrees_with_the_truth_and_has_no_follower_counts(
    ask: Asker, world: World, streams: list[TrueStream], rank_type: str, kind: ListKind
) -> None:
    rows = 0
    for stream in streams[::10]:
        at, region = middle(stream.rooms[0]), stream.creator.region
        data = platform(ask, f"{API}/live/ranking?region={region}{rank_type}", at)["data"]
        ranking = world.ranking(kind, region, at)
        found = [(row["user"]["id_str"], row["rank"], row["score"]) for row in data["ranks"]]
        assert found == [(row.creator.user_id, row.rank, row.score) for row in ranking.rows]
        assert data["begin_time"] == ranking.begin_s
        assert data["begin_time"] + (3600 if kind == "hourly" else 86_400) == int(at.timestamp()) + data["delta_time"]
        assert (data["currency"], data["has_more"], data["anchor_info"]) == (ranking.unit, 0, None)
        assert all(row["user"]["follow_info"]["follower_count"] == 0 for row in data["ranks"])
        assert all(b["delta"] == a["score"] - b["score"] for a, b in pairwise(data["ranks"]))
        rows += len(found)
    assert rows > 0


def test_an_anchor_gets_its_own_place_or_rank_zero(ask: Asker, world: World, streams: list[TrueStream]) -> None:
    ranks = set()
    for stream in streams[::5]:
        room = stream.rooms[0]
        for at in (room.started_at + timedelta(seconds=2), middle(room)):
            data = platform(ask, f"{API}/live/ranking/info?room_id={room.room_id}&user_id={stream.creator.user_id}", at)
            own = data["data"]["anchor_info"]
            true = world.ranking("hourly", stream.creator.region, at).rows
            rank = next((row.rank for row in true if row.creator is stream.creator), 0)
            assert (own["user"]["id_str"], own["rank"]) == (stream.creator.user_id, rank)
            assert rank > 0 or own["score"] == 0
            ranks.add(rank)
    assert {0, 1} <= ranks


def test_a_ranking_for_a_room_of_another_owner_is_a_bad_parameter(ask: Asker, streams: list[TrueStream]) -> None:
    stream = streams[0]
    other = next(s.creator for s in streams if s.creator is not stream.creator)
    path = f"{API}/live/ranking/info?room_id={stream.rooms[0].room_id}&user_id={other.user_id}"
    assert platform(ask, path, middle(stream.rooms[0]))["status_code"] == 10011


def test_stories_are_the_platforms_list_with_integers_and_can_be_walked_to_the_end(ask: Asker, world: World) -> None:
    at = START + timedelta(days=3)
    for creator in (c for c in world.creators if c.kind != "missing"):
        cursor, found, more = 0, [], 1
        while more:
            data = ask(f"{API}/user/stories?user_id={creator.user_id}&count=2&cursor={cursor}", at).json["data"]
            assert data["HasMoreAfter"] in (0, 1)
            assert isinstance(data["MinCursor"], int)
            found += [item["aweme_id"] for item in data.get("itemList", [])]
            cursor, more = data["MinCursor"], data["HasMoreAfter"]
        shown = world.stories_at(creator, at)
        assert found == [s.story_id for s in reversed(shown)]
        assert ("itemList" in data) == bool(shown)


def test_the_key_balance_is_free_of_charge(ask: Asker, world: World) -> None:
    before = ask(f"{API}/key/info", START).json["data"]
    ask(f"{API}/user/info?user_id={world.creators[0].user_id}", START)
    after = ask(f"{API}/key/info", START).json["data"]
    assert before["remaining"] - after["remaining"] == after["used"] - before["used"] == 1


@pytest.mark.parametrize(
    "path",
    [
        "/user/info",
        "/user/info?user_id=MS4w",
        "/live/check",
        "/live/check?room_id=1,x",
        "/live/check?room_id=" + ",".join(["1"] * 51),
        "/live/check?room_id=" + "9" * 400,
        "/live/ranking",
        "/live/ranking?region=US&rank_type=3",
        "/live/ranking/info?room_id=1",
        "/user/stories",
        "/user/stories?user_id=1&cursor=x",
    ],
)
def test_a_request_without_parameters_is_refused_free(ask: Asker, path: str) -> None:
    reply = ask(API + path, START)
    assert (reply.status, reply.json["code"], reply.json["data"]) == (400, 400, None)
    assert ask("/truth/ledger").json[0]["credits"] == 0
