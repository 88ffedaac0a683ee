"""The sandbox's TikLiveAPI: both shapes, rounding, ids, and billing of successes only."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tiktok_pipeline.sandbox.world import World
from tiktok_pipeline_tests.sandbox.conftest import START, Asker, of_kind

AT = "/tikliveapi"


def test_each_creators_profile_is_rounded_and_always_in_the_same_one_of_two_shapes(ask: Asker, world: World) -> None:
    shapes = set()
    for creator in (c for c in world.creators if c.kind == "public" and c.renamed_at is None):
        bodies = [
            ask(f"{AT}/userinfo-by-username/?username={creator.handle}", START + timedelta(days=d)).json for d in (0, 9)
        ]
        nested = ["stats" in body["user"] for body in bodies]
        assert nested[0] == nested[1] == ("stats" not in bodies[0])
        shapes.add(nested[0])
        stats = bodies[0]["user"]["stats"] if nested[0] else bodies[0]["stats"]
        followers = world.followers_at(creator, START)
        unit = 1 if followers < 10_000 else 100 if followers < 1_000_000 else 100_000
        assert stats["followerCount"] % unit == 0
        assert abs(stats["followerCount"] - followers) <= unit / 2
        assert bodies[0]["user"]["id"] == creator.user_id
    assert shapes == {True, False}


def test_a_handle_gives_the_id_and_the_id_gives_the_same_profile(ask: Asker, world: World) -> None:
    creator = next(c for c in world.creators if c.kind == "public" and c.renamed_at is None)
    assert ask(f"{AT}/userid/?username={creator.handle}", START).json == {"userid": creator.user_id}
    by_id = ask(f"{AT}/userinfo-by-id/?userid={creator.user_id}", START).body
    assert by_id == ask(f"{AT}/userinfo-by-username/?username={creator.handle}", START).body


def test_the_id_is_still_found_after_a_rename(ask: Asker, world: World) -> None:
    creator = next(c for c in world.creators if c.renamed_at is not None)
    assert creator.renamed_at is not None
    later = creator.renamed_at + timedelta(hours=1)
    assert ask(f"{AT}/userinfo-by-username/?username={creator.handle}", later).status == 404
    assert ask(f"{AT}/userinfo-by-id/?userid={creator.user_id}", later).json["user"]["uniqueId"] == creator.renamed_to


def test_only_successes_are_billed(ask: Asker, world: World) -> None:
    missing, found = of_kind(world, "missing"), of_kind(world, "private")
    assert ask(f"{AT}/userinfo-by-username/?username={missing.handle}", START).status == 404
    assert ask(f"{AT}/userinfo-by-id/?userid={missing.user_id}", START).status == 404
    assert ask(f"{AT}/userid/?username={missing.handle}", START).status == 404
    assert sum(row["credits"] for row in ask("/truth/ledger").json) == 0
    assert ask(f"{AT}/userinfo-by-username/?username={found.handle}", START).json["user"]["privateAccount"] is True
    assert sum(row["credits"] for row in ask("/truth/ledger").json) == 1


@pytest.mark.parametrize("path", ["/userid/", "/userinfo-by-username/", "/userinfo-by-id/?userid=MS4wLjABAAAA"])
def test_a_missing_or_wrong_parameter_is_refused(ask: Asker, path: str) -> None:
    assert ask(AT + path, START).status == 400


@pytest.mark.parametrize(("headers", "status"), [({}, 401), ({"X-Api-Key": "wrong"}, 401)])
def test_a_bad_key_is_unauthorized(ask: Asker, headers: dict[str, str], status: int) -> None:
    assert ask(f"{AT}/userid/?username=x", START, headers).status == status


def test_there_is_no_live_endpoint(ask: Asker) -> None:
    assert ask(f"{AT}/live/?username=x", START).status == 404


def walk(ask: Asker, path: str, items: str, names: tuple[str, ...], at: Any) -> list[dict[str, Any]]:
    """Return each page until `hasMore` is false, sending back the tokens of these names."""
    pages, sent = [], ""
    while True:
        reply = ask(f"{AT}{path}{sent}", at)
        assert reply.status == 200
        pages.append(reply.json)
        if not reply.json["hasMore"]:
            return pages
        sent = "".join(f"&{name}={reply.json[name]}" for name in names if name in reply.json)
        assert len(pages) < 300


def test_posts_can_be_walked_to_the_end_pinned_first_and_some_repeat_the_cursor(ask: Asker, world: World) -> None:
    at = START + timedelta(days=12)
    promised = []
    for creator in (c for c in world.creators if c.kind == "public"):
        pages = walk(ask, f"/user-posts/?userid={creator.user_id}&count=12", "videos", ("cursor",), at)
        pinned = [p.post_id for p in world.feed(creator).pinned()]
        true = world.posts(creator, START - timedelta(days=36), at + timedelta(seconds=1))
        found = [video["video_id"] for page in pages for video in page["videos"]]
        assert found == [*pinned, *(p.post_id for p in reversed(true))]
        assert all(isinstance(page["cursor"], str) and len(page["videos"]) <= 12 for page in pages)
        promised.append(pages[-1]["videos"] == [])
        assert not promised[-1] or pages[-1]["cursor"] == pages[-2]["cursor"]
    assert {True, False} == set(promised)


def test_a_post_agrees_with_the_truth_and_sometimes_has_no_title(ask: Asker, world: World) -> None:
    at = START + timedelta(days=12)
    titles = []
    for creator in (c for c in world.creators if c.kind == "public"):
        true = {p.post_id: p for p in [*world.feed(creator).pinned(), *world.posts(creator, at - timedelta(99), at)]}
        for video in ask(f"{AT}/user-posts/?userid={creator.user_id}&count=99", at).json["videos"]:
            post = true[video["video_id"]]
            assert video["create_time"] == int(post.published_s)
            assert (video["play_count"], video["digg_count"]) == (
                post.views(at.timestamp()),
                post.likes(at.timestamp()),
            )
            assert video["author"]["unique_id"] == world.handle_at(creator, at)
            titles.append(video["title"])
    assert 0 < titles.count(None) < 0.12 * len(titles)


def test_ten_posts_are_the_default_and_35_the_maximum(ask: Asker, world: World) -> None:
    at = START + timedelta(days=100)
    creator = max(world.creators, key=lambda c: len(world.posts(c, START, at)))
    for query, count in (("", 10), ("&count=35", 35), ("&count=500", 35)):
        assert len(ask(f"{AT}/user-posts/?userid={creator.user_id}{query}", at).json["videos"]) == count


def test_the_next_token_of_followers_is_time_or_cursor_or_both_by_creator(ask: Asker, world: World) -> None:
    seen = set()
    for creator in (c for c in world.creators if c.kind == "public" and not world.follower_list(c).hidden):
        bodies = [ask(f"{AT}/user-followers/?userid={creator.user_id}", START + timedelta(days=d)).json for d in (0, 7)]
        names = [tuple(sorted({"time", "cursor"} & body.keys())) for body in bodies]
        assert names[0] == names[1]
        seen.add(names[0])
    assert seen == {("time",), ("cursor",), ("cursor", "time")}


def test_followers_can_be_walked_to_the_end_and_their_total_is_exact(ask: Asker, world: World) -> None:
    open_lists = [c for c in world.creators if c.kind == "public" and not world.follower_list(c).hidden]
    for creator in sorted(open_lists, key=lambda c: c.followers_at_start)[:3]:
        pages = walk(ask, f"/user-followers/?userid={creator.user_id}", "followers", ("time", "cursor"), START)
        found = [follower["id"] for page in pages for follower in page["followers"]]
        assert all(len(page["followers"]) <= 50 for page in pages)
        assert {page["total"] for page in pages} == {world.followers_at(creator, START)}
        assert len(set(found)) == len(found) < pages[0]["total"]


def test_a_repeated_token_after_the_end_gives_an_empty_page(ask: Asker, world: World) -> None:
    creator = next(c for c in world.creators if c.kind == "public" and not world.follower_list(c).hidden)
    for name in ("time", "cursor"):
        body = ask(f"{AT}/user-followers/?userid={creator.user_id}&{name}=1200000000", START).json
        assert (body["followers"], body["hasMore"]) == ([], False)


def test_a_hidden_or_private_list_is_empty_except_for_the_total(ask: Asker, world: World) -> None:
    hidden = next(c for c in world.creators if c.kind == "public" and world.follower_list(c).hidden)
    for creator in (hidden, of_kind(world, "private")):
        body = ask(f"{AT}/user-followers/?userid={creator.user_id}", START).json
        assert (body["followers"], body["hasMore"]) == ([], False)
        assert body["total"] == world.followers_at(creator, START)
    assert ask(f"{AT}/user-posts/?userid={of_kind(world, 'private').user_id}", START).json["videos"] == []


def test_each_keywords_search_is_always_in_the_same_one_of_two_shapes(ask: Asker, world: World) -> None:
    shapes = set()
    for keyword in ("gaming", "beauty", "music", "cooking", "fitness", "talk", "a", "e", "o"):
        pages = walk(ask, f"/search-user/?keyword={keyword}&count=3", "user_list", ("cursor",), START)
        rows = [row for page in pages for row in page["user_list"]]
        shape = {"user" if "user" in row else "user_info" for row in rows}
        assert len(shape) == 1
        found = [(row.get("user") or row["user_info"])["uniqueId"] for row in rows]
        assert found == [c.handle for c in world.search(keyword, START)]
        shapes |= shape
    assert shapes == {"user", "user_info"}


def test_stories_are_the_platforms_own_list_without_an_item_list_if_there_are_none(ask: Asker, world: World) -> None:
    at = START + timedelta(days=3)
    counts = set()
    for creator in (c for c in world.creators if c.kind != "missing"):
        shown = world.stories_at(creator, at)
        body = ask(f"{AT}/user-stories/?userid={creator.user_id}&count=35", at).json
        assert body["TotalCount"] == str(len(shown))
        assert ("itemList" in body) == bool(shown)
        found = {item["aweme_id"]: item for item in body.get("itemList", [])}
        assert list(found) == [s.story_id for s in reversed(shown)]
        assert all(found[s.story_id]["statistics"]["play_count"] == s.views(at.timestamp()) for s in shown)
        counts.add(len(shown))
    assert {0} < counts


def test_stories_are_paged_by_the_smallest_cursor(ask: Asker, world: World) -> None:
    at = START + timedelta(days=3)
    creator = max(world.creators, key=lambda c: len(world.stories_at(c, at)))
    cursor, found, more = "0", [], True
    while more:
        body = ask(f"{AT}/user-stories/?userid={creator.user_id}&count=2&cursor={cursor}", at).json
        found += [item["aweme_id"] for item in body["itemList"]]
        assert body["HasMoreBefore"] == (cursor != "0")
        cursor, more = body["MinCursor"], body["HasMoreAfter"]
    assert found == [s.story_id for s in reversed(world.stories_at(creator, at))]
    after = ask(f"{AT}/user-stories/?userid={creator.user_id}&cursor={cursor}", at).json
    assert ("itemList" in after, after["HasMoreAfter"]) == (False, False)


@pytest.mark.parametrize(
    "path",
    [
        "/user-posts/",
        "/user-posts/?userid=MS4wLjABAAAA",
        "/user-posts/?userid=1&cursor=x",
        "/user-followers/?userid=1&count=0",
        "/user-stories/",
        "/search-user/",
        "/search-user/?keyword=%20",
    ],
)
def test_a_list_request_without_parameters_is_refused_and_an_unknown_user_is_a_free_miss(
    ask: Asker, world: World, path: str
) -> None:
    assert ask(AT + path, START).status == 400
    for list_of in ("user-posts", "user-followers", "user-stories"):
        assert ask(f"{AT}/{list_of}/?userid={of_kind(world, 'missing').user_id}", START).status == 404
    assert sum(row["credits"] for row in ask("/truth/ledger").json) == 0
