"""The truth over HTTP agrees with the world; the ledger and the log count every request."""

from __future__ import annotations

import csv
import io
from datetime import datetime, timedelta

import pytest

from tiktok_pipeline.sandbox.world import World
from tiktok_pipeline_tests.sandbox.conftest import START, Asker

SPAN = "from=2026-03-02T00:00:00Z&to=2026-03-07T00:00:00Z"
END = START + timedelta(days=5)


def test_the_roster_is_a_roster_file_of_all_creators(ask: Asker, world: World) -> None:
    rows = list(csv.DictReader(io.StringIO(ask("/truth/roster.csv").body.decode())))
    assert list(rows[0]) == ["handle", "niche", "tier", "user_id", "sec_uid", "note"]
    assert [row["handle"] for row in rows] == [c.handle for c in world.creators]
    assert {row["tier"] for row in rows} <= {"a", "b", "c"}


def test_creators_have_kind_and_rename(ask: Asker, world: World) -> None:
    rows = ask("/truth/creators", END).json
    assert [row["kind"] for row in rows] == [c.kind for c in world.creators]
    assert [row["handle_now"] for row in rows] == [world.handle_at(c, END) for c in world.creators]


def test_streams_have_rooms_lift_and_audience(ask: Asker, world: World) -> None:
    rows = ask(f"/truth/streams?{SPAN}").json
    true = {s.rooms[0].room_id: s for c in world.creators for s in world.streams(c, START, END)}
    assert {row["room_id"] for row in rows} == set(true)
    assert [row["started_at"] for row in rows] == sorted(row["started_at"] for row in rows)
    for row in rows:
        stream = true[row["room_id"]]
        assert row["creator"] == stream.creator.handle
        assert datetime.fromisoformat(row["ended_at"]) == stream.ended_at
        assert row["lift"] == pytest.approx(world.stream_lift(stream))
        assert row["reconnects"] == len(row["rooms"]) - 1
        assert 0 < row["average_viewers"] <= row["peak_viewers"] <= row["viewers_total"]
        assert row["hours_watched"] == pytest.approx(row["average_viewers"] * row["airtime_s"] / 3600)


def test_streams_can_be_requested_for_one_creator(ask: Asker, world: World) -> None:
    handle = next(c.handle for c in world.creators if world.streams(c, START, END))
    rows = ask(f"/truth/streams?{SPAN}&creator={handle}").json
    assert {row["creator"] for row in rows} == {handle}


@pytest.mark.parametrize(
    "query", ["at=2026-03-03T00:00:00Z,2026-03-04T00:00:00Z", "at=2026-03-03T00:00:00Z&at=2026-03-04T00:00:00Z"]
)
def test_followers_are_returned_for_several_instants_at_once(ask: Asker, world: World, query: str) -> None:
    creator = world.creators[0]
    rows = ask(f"/truth/followers?creator={creator.handle}&{query}").json
    expected = [world.followers_at(creator, START + timedelta(days=days)) for days in (1, 2)]
    assert [row["followers"] for row in rows] == expected


def test_the_lift_of_a_span_is_returned_for_all_creators(ask: Asker, world: World) -> None:
    rows = ask(f"/truth/lift?{SPAN}").json
    assert [row["lift"] for row in rows] == pytest.approx([world.lift_between(c, START, END) for c in world.creators])


def test_stories_have_their_final_counts(ask: Asker, world: World) -> None:
    rows = ask(f"/truth/stories?{SPAN}").json
    true = {s.story_id: s for c in world.creators for s in world.stories(c, START, END)}
    assert {row["story_id"] for row in rows} == set(true)
    assert all(
        row["views"] == true[row["story_id"]].views(true[row["story_id"]].expires_at.timestamp()) for row in rows
    )


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/truth/streams", "from is required"),
        ("/truth/streams?from=yesterday&to=2026-03-02T00:00:00Z", "not an RFC 3339 time"),
        ("/truth/followers?at=2026-03-02T00:00:00", "no time zone"),
        ("/truth/followers?at=2026-03-02T00:00:00Z&creator=nobody", "no creator starts as"),
    ],
)
def test_a_wrong_request_has_a_readable_error(ask: Asker, path: str, words: str) -> None:
    reply = ask(path)
    assert reply.status == 400
    assert words in reply.json["error"]


def test_an_offset_with_an_unescaped_plus_is_accepted(ask: Asker) -> None:
    plain = ask(f"/truth/streams?{SPAN}").body
    assert ask("/truth/streams?from=2026-03-02T00:00:00+00:00&to=2026-03-07T00:00:00+00:00").body == plain


def test_an_unknown_path_lists_the_known_ones(ask: Asker) -> None:
    reply = ask("/truth/everything")
    assert reply.status == 404
    assert "/truth/streams" in reply.json["error"]


def test_the_ledger_counts_requests_statuses_and_credits(ask: Asker, world: World) -> None:
    creator = next(c for c in world.creators if c.kind == "public" and c.renamed_at is None)
    for _ in range(3):
        ask(f"/konbini/v1/tiktok/users/{creator.handle}", START)
    ask("/konbini/v1/tiktok/users/nobody.at.all", START)
    ask(f"/konbini/v1/tiktok/users/{creator.handle}", START, {})
    (row,) = ask("/truth/ledger").json
    assert row == {
        "vendor": "konbini",
        "endpoint": "/v1/tiktok/users/{username}",
        "requests": 5,
        "by_status": {"200": 3, "401": 1, "404": 1},
        "credits": 4.0,
    }


def test_the_log_has_one_row_per_request_in_order_with_its_instant(ask: Asker, world: World) -> None:
    instants = [START + timedelta(minutes=m) for m in (9, 3, 6)]
    for at in instants:
        ask(f"/social-fetch/v1/tiktok/profiles/{world.creators[0].handle}/live", at)
    rows = ask("/truth/log").json
    assert [datetime.fromisoformat(row["at"]) for row in rows] == instants
    assert {(row["vendor"], row["status"], row["subject"]) for row in rows} == {
        ("social_fetch", 200, world.creators[0].handle)
    }


def test_requests_for_the_truth_are_not_in_the_ledger(ask: Asker) -> None:
    ask(f"/truth/streams?{SPAN}")
    assert ask("/truth/ledger").json == []


def test_posts_have_the_stream_that_they_recap(ask: Asker, world: World) -> None:
    rows = ask(f"/truth/posts?{SPAN}").json
    true = {p.post_id: p for c in world.creators for p in world.posts(c, START, END)}
    assert {row["post_id"] for row in rows} == set(true)
    for row in rows:
        post = true[row["post_id"]]
        assert row["recap_of"] == (None if post.recap_of is None else post.recap_of.rooms[0].room_id)
        assert row["views"] == post.views(END.timestamp())
    assert any(row["recap_of"] for row in rows)


def test_joined_and_left_in_a_span_add_up_to_the_change_of_the_total(ask: Asker, world: World) -> None:
    for creator in sorted(world.creators, key=lambda c: c.followers_at_start)[:8]:
        (row,) = ask(f"/truth/followers-list?{SPAN}&creator={creator.handle}").json
        assert row["total_to"] - row["total_from"] == row["joined"] - row["left"] - row["purged"]
        assert row["total_from"] == world.followers_at(creator, START)
        assert len(row["joined_ids"]) == row["joined"]
        assert len(row["left_ids"]) == row["left"] + row["purged"]
        assert set(row["banned_ids"]) <= set(row["joined_ids"])


def test_joined_in_a_span_equals_the_difference_of_two_walks_of_a_vendor(ask: Asker, world: World) -> None:
    open_lists = [c for c in world.creators if c.kind == "public" and not world.follower_list(c).hidden]
    creator = min(open_lists, key=lambda c: c.followers_at_start)
    seen = []
    for at in (START, END):
        path, time, ids = f"/tikliveapi/user-followers/?userid={creator.user_id}", 0, set()
        while True:
            body = ask(f"{path}&time={time}", at).json
            ids |= {follower["id"] for follower in body["followers"]}
            if not body["hasMore"]:
                break
            time = body.get("time", body.get("cursor"))
        seen.append(ids)
    (row,) = ask(f"/truth/followers-list?{SPAN}&creator={creator.handle}").json
    assert row["joined"] > 0
    assert seen[1] - seen[0] == set(row["joined_ids"]) - set(row["banned_ids"]) - set(row["left_ids"])
    assert seen[0] - seen[1] <= set(row["left_ids"])


def test_a_span_with_too_many_joins_is_refused_with_a_reason(ask: Asker, world: World) -> None:
    largest = max(world.creators, key=lambda c: c.followers_at_start)
    path = f"/truth/followers-list?from=2026-03-02T00:00:00Z&to=2036-03-02T00:00:00Z&creator={largest.handle}"
    assert "shorter span" in ask(path).json["error"]


def test_rankings_are_returned_for_several_instants_with_window_and_unit(ask: Asker, world: World) -> None:
    rows = ask("/truth/rankings?at=2026-03-03T20:10:00Z,2026-03-04T03:10:00Z").json
    assert {row["at"] for row in rows} == {"2026-03-03T20:10:00Z", "2026-03-04T03:10:00Z"}
    for row in rows:
        at, start = datetime.fromisoformat(row["at"]), datetime.fromisoformat(row["window_start"])
        assert start == at.replace(minute=0, hour=at.hour if row["list"] == "hourly" else 0)
        assert row["score_unit"] == {"hourly": "diamonds", "daily": "popularity"}[row["list"]]
        true = world.ranking(row["list"], row["region"], at).rows
        assert (row["user_id"], row["rank"], row["score"]) in {(r.creator.user_id, r.rank, r.score) for r in true}
    assert ask("/truth/rankings", datetime.fromisoformat("2026-03-03T20:10:00Z")).json == [
        row for row in rows if row["at"] == "2026-03-03T20:10:00Z"
    ]


def test_the_change_of_followers_is_returned_beside_purges(ask: Asker, world: World) -> None:
    until = START + timedelta(days=150)
    rows = ask("/truth/lift?from=2026-03-02T00:00:00Z&to=2026-07-30T00:00:00Z").json
    purged = {c.handle: sum(p.size for p in world.purges(c, START, until)) for c in world.creators}
    assert {row["creator"]: row["purged"] for row in rows} == purged
    assert any(purged.values())


def test_the_ledger_names_every_endpoint(ask: Asker, world: World) -> None:
    user_id, handle = world.creators[0].user_id, world.creators[0].handle
    endpoints = {
        f"/konbini/v1/tiktok/users/{handle}/videos": "/v1/tiktok/users/{username}/videos",
        f"/social-fetch/v1/tiktok/profiles/{handle}/followers": "/v1/tiktok/profiles/{handle}/followers",
        f"/tikliveapi/user-posts/?userid={user_id}": "/user-posts/",
        "/tikhub/api/v1//live/ranking?region=US": "/api/v1//live/ranking",
    }
    for path in endpoints:
        ask(path, START)
    assert {row["endpoint"] for row in ask("/truth/ledger").json} == set(endpoints.values())
    subjects = {row["endpoint"]: row["subject"] for row in ask("/truth/log").json}
    assert subjects["/user-posts/"] == user_id
    assert subjects["/api/v1//live/ranking"] == "US"
