"""The follower list agrees with the follower count, loses members, and ends every walk."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tiktok_pipeline.sandbox.creators import Creator
from tiktok_pipeline.sandbox.followers import FollowerList
from tiktok_pipeline.sandbox.world import World

START = datetime(2026, 3, 2, tzinfo=UTC)
AT = START.timestamp()
DAY = 86_400.0


@pytest.fixture(scope="module")
def crowd() -> World:
    return World(seed=9, creators=240, start=START)


@pytest.fixture(scope="module")
def small(crowd: World) -> list[Creator]:
    return sorted((c for c in crowd.creators if c.kind == "public"), key=lambda c: c.followers_at_start)[:10]


def walk(members: FollowerList, at: float, count: int, ticks: int) -> list[str]:
    """Return all user ids of the list, with cursors that are instants."""
    page, user_ids = members.page(at, None, count, ticks), []
    while True:
        user_ids += [follower.user_id for follower in page.followers]
        if page.next_tick is None:
            return user_ids
        page = members.page(at, members.joined(page.next_tick / ticks), count, ticks)


def test_joined_minus_left_minus_purged_is_the_follower_count_at_every_instant(crowd: World) -> None:
    for c in crowd.creators[::3]:
        members = crowd.follower_list(c)
        for day in range(-30, 170, 25):
            at = START + timedelta(days=day, hours=day % 24)
            purged = sum(p.size for p in crowd.purges(c, START - timedelta(days=99), at))
            second = at.timestamp()
            assert members.joined(second) - members.left(second) - purged == crowd.followers_at(c, at)


def test_the_number_of_members_equals_the_follower_count(crowd: World, small: list[Creator]) -> None:
    assert any(crowd.purges(c, START, START + timedelta(days=160)) for c in small)
    for c in small:
        members = crowd.follower_list(c)
        for day in (0, 160):
            at = START + timedelta(days=day)
            counted = sum(members.is_member(n, at.timestamp()) for n in range(members.joined(at.timestamp())))
            assert counted == crowd.followers_at(c, at)


def test_leavers_were_members_and_are_none(crowd: World, small: list[Creator]) -> None:
    for c in small:
        members, until = crowd.follower_list(c), AT + 160 * DAY
        leavers = list(members.leavers(AT, until))
        all_numbers = range(members.joined(until))
        before = {n for n in all_numbers if members.is_member(n, AT)}
        after = {n for n in all_numbers if members.is_member(n, until)}
        assert len(set(leavers)) == len(leavers)
        assert {n for n in leavers if n < members.joined(AT)} == before - after
        assert not set(leavers) & after


def test_one_follower_in_twelve_leaves_again(crowd: World) -> None:
    c = max(crowd.creators, key=crowd.organic_per_day)
    members, until = crowd.follower_list(c), AT + 30 * DAY
    joined, left = members.joined(until) - members.joined(AT), members.left(until) - members.left(AT)
    assert left / joined == pytest.approx(1 / 12, rel=0.01)


def test_an_account_depends_only_on_creator_and_number(crowd: World) -> None:
    one, other = crowd.follower_list(crowd.creators[0]), crowd.follower_list(crowd.creators[1])
    fresh = World(seed=9, creators=240, start=START)
    assert one.account(77) == fresh.follower_list(fresh.creators[0]).account(77)
    ids = [members.account(n).user_id for members in (one, other) for n in range(2_000)]
    assert len(set(ids)) == len(ids)
    assert all(len(user_id) == 19 for user_id in ids)


@pytest.mark.parametrize(("count", "ticks"), [(30, 1000), (50, 1), (7, 1)])
def test_a_walk_ends_and_shows_each_of_the_newest_members_once_except_banned_ones(
    crowd: World, count: int, ticks: int
) -> None:
    for c in [c for c in crowd.creators if c.kind == "public"][:6]:
        members = crowd.follower_list(c)
        user_ids = walk(members, AT, count, ticks)
        joined = members.joined(AT)
        bottom = max(joined - 5_000, members.joined(c.created_at.timestamp()))
        shown = [n for n in range(joined - 1, bottom - 1, -1) if members.is_member(n, AT) and not members.is_banned(n)]
        assert user_ids == [members.account(n).user_id for n in shown]


def test_two_accounts_in_a_hundred_are_banned_so_no_walk_is_complete(crowd: World, small: list[Creator]) -> None:
    members = crowd.follower_list(small[-1])
    assert 0.01 <= sum(members.is_banned(n) for n in range(4_000)) / 4_000 <= 0.03
    assert all(len(walk(crowd.follower_list(c), AT, 50, 1)) < crowd.followers_at(c, START) for c in small)


def test_more_followers_in_one_second_than_a_page_holds_are_lost_but_do_not_stop_a_walk(crowd: World) -> None:
    members = crowd.follower_list(max(crowd.creators, key=crowd.organic_per_day))
    assert 1_000 < len(walk(members, AT, 1, 1)) < len(walk(members, AT, 50, 1))


def test_a_cursor_from_before_the_account_existed_ends_the_walk(crowd: World) -> None:
    members = crowd.follower_list(crowd.creators[0])
    page = members.page(AT, members.joined(AT - 4_000 * DAY), 50)
    assert (page.followers, page.next_start, page.next_tick) == ([], None, None)


def test_one_list_in_eight_is_hidden_and_every_private_one(crowd: World) -> None:
    public = [crowd.follower_list(c).hidden for c in crowd.creators if c.kind == "public"]
    assert 0.07 <= sum(public) / len(public) <= 0.19
    assert all(crowd.follower_list(c).hidden for c in crowd.creators if c.kind == "private")


def test_the_order_of_requests_does_not_matter(crowd: World) -> None:
    fresh = World(seed=9, creators=240, start=START)
    instants = [AT + n * 0.37 * DAY for n in range(20)]
    forward = [crowd.follower_list(crowd.creators[3]).page(at, None, 20) for at in instants]
    backward = [fresh.follower_list(fresh.creators[3]).page(at, None, 20) for at in reversed(instants)]
    assert forward == backward[::-1]


def test_accounts_are_years_old_and_have_plausible_counts(crowd: World) -> None:
    accounts = [crowd.follower_list(crowd.creators[0]).account(n) for n in range(500)]
    born = [datetime.fromtimestamp(a.created_s, UTC) for a in accounts]
    assert datetime(2018, 1, 1, tzinfo=UTC) <= min(born)
    assert max(born) < datetime(2026, 1, 1, tzinfo=UTC)
    assert all(0 < a.followers < 10_000 and 0 <= a.following < 2_000 and 0 <= a.videos < 15 for a in accounts)
    assert len({a.handle for a in accounts}) == len({a.sec_uid for a in accounts}) == 500
