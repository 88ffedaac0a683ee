"""The sandbox's TikLiveAPI: both shapes, rounding, ids, and that only successes are billed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tiktok_pipeline.sandbox.world import World
from tiktok_pipeline_tests.sandbox.conftest import START, Asker, of_kind

AT = "/tikliveapi"


def test_a_profile_is_rounded_in_both_shapes_which_stay_with_their_creator(ask: Asker, world: World) -> None:
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


def test_the_id_still_answers_after_a_rename(ask: Asker, world: World) -> None:
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
