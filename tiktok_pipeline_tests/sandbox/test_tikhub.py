"""The sandbox's TikHub: the room in its envelope, damaged numbers, the states of a room, errors."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from tiktok_pipeline.sandbox.creators import Creator
from tiktok_pipeline.sandbox.streams import Room, TrueStream
from tiktok_pipeline.sandbox.world import World
from tiktok_pipeline_tests.sandbox.conftest import START, Asker

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


def test_a_paused_room_says_three(ask: Asker, streams: list[TrueStream]) -> None:
    stream = next(s for s in streams if s.rooms[0].pauses)
    begin, end = stream.rooms[0].pauses[0]
    at = stream.started_at + timedelta(seconds=(begin + end) / 2 - stream.start_s)
    data = platform(ask, address(stream.creator, stream.rooms[0]), at)["data"]
    assert data["status"] == 3
    assert data["finish_time"] == data["create_time"]


def test_an_ended_room_tells_its_end_for_a_day_and_then_only_that_it_finished(
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
def test_a_room_that_does_not_exist_is_a_bad_parameter_to_the_platform(ask: Asker, room_id: str) -> None:
    assert platform(ask, f"{INFO}?room_id={room_id}&user_id=7000000000000000002", START)["status_code"] == 10011


def test_a_room_of_the_future_does_not_exist_yet(ask: Asker, streams: list[TrueStream]) -> None:
    room = streams[0].rooms[0]
    before = room.started_at - timedelta(seconds=10)
    assert platform(ask, address(streams[0].creator, room), before)["status_code"] == 10011


def test_numeric_ids_are_damaged_as_by_a_javascript_client_and_their_twins_are_right(
    ask: Asker, streams: list[TrueStream]
) -> None:
    damaged = 0
    for stream in streams[::9]:
        data = platform(ask, address(stream.creator, stream.rooms[0]), middle(stream.rooms[0]))["data"]
        for holder, name in ((data, "id"), (data["owner"], "id"), (data["stats"], "id")):
            number, text = holder[name], holder[f"{name}_str"]
            assert float(number) == float(text)
            assert number % 100 == 0  # seventeen digits of nineteen survive
            damaged += str(number) != text
        assert data["owner_user_id_str"] == ""
        assert data["owner"]["id_str"] == stream.creator.user_id
    assert damaged > 0


def test_two_creators_in_three_have_the_platforms_count_of_new_follows(ask: Asker, streams: list[TrueStream]) -> None:
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
