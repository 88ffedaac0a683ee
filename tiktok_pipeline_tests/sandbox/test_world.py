"""The world is deterministic, and its statistics are as specified within the tolerances of its size."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest

from tiktok_pipeline.sandbox.streams import MIN_GAP_S, TrueStream
from tiktok_pipeline.sandbox.world import World

START = datetime(2026, 3, 2, tzinfo=UTC)
SINCE, UNTIL = START - timedelta(days=35), START + timedelta(days=180)


@pytest.fixture(scope="module")
def crowd() -> World:
    return World(seed=11, creators=120, start=START)


@pytest.fixture(scope="module")
def crowd_streams(crowd: World) -> list[TrueStream]:
    return [s for c in crowd.creators for s in crowd.streams(c, SINCE, UNTIL)]


def facts(world: World) -> list[object]:
    at = START + timedelta(days=3, hours=7)
    return [
        (
            c.handle,
            c.user_id,
            c.sec_uid,
            c.bio,
            world.followers_at(c, at),
            [r.room_id for s in world.streams(c, SINCE, UNTIL) for r in s.rooms],
        )
        for c in world.creators
    ]


def test_the_same_seed_gives_the_same_world() -> None:
    assert facts(World(seed=3, creators=12, start=START)) == facts(World(seed=3, creators=12, start=START))


def test_another_seed_gives_another_world() -> None:
    one, other = (World(seed=seed, creators=12, start=START) for seed in (3, 4))
    assert not {c.handle for c in one.creators} & {c.handle for c in other.creators}
    assert not {c.user_id for c in one.creators} & {c.user_id for c in other.creators}


def test_the_order_of_requests_does_not_matter() -> None:
    instants = [START + timedelta(hours=5 * n) for n in range(-40, 80)]
    forward, backward = (World(seed=5, creators=9, start=START) for _ in range(2))
    expected = {
        (c.index, at): (forward.followers_at(c, at), forward.viewers_at(c, at))
        for at in instants
        for c in forward.creators
    }
    for at in reversed(instants):
        for c in reversed(backward.creators):
            assert expected[c.index, at] == (backward.followers_at(c, at), backward.viewers_at(c, at))


def test_a_start_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        World(start=datetime(2026, 3, 2))  # noqa: DTZ001  the missing zone is the point


@pytest.mark.parametrize(("size", "odd"), [(8, 1), (12, 1), (23, 1), (24, 2), (60, 5)])
def test_of_twelve_creators_one_is_private_and_one_missing(size: int, odd: int) -> None:
    kinds = Counter(c.kind for c in World(creators=size, start=START).creators)
    assert kinds["private"] == kinds["missing"] == odd


@pytest.mark.parametrize("seed", range(6))
def test_a_creator_renames_within_five_days_and_keeps_the_ids(seed: int) -> None:
    world = World(seed=seed, creators=8, start=START)
    renamed = [c for c in world.creators if c.renamed_at is not None]
    assert renamed
    for c in renamed:
        assert c.renamed_at is not None
        assert c.renamed_to is not None
        assert c.kind == "public"
        assert START < c.renamed_at < START + timedelta(days=5)
        before, after = c.renamed_at - timedelta(seconds=1), c.renamed_at
        assert world.find(c.handle, before) is c
        assert world.find(c.handle, after) is None
        assert world.find(c.renamed_to, before) is None
        assert world.find(c.renamed_to, after) is c
        assert world.find_id(c.user_id) is c


@pytest.mark.parametrize("seed", range(6))
def test_twelve_creators_span_all_sizes(seed: int) -> None:
    sizes = sorted(
        c.followers_at_start for c in World(seed=seed, creators=12, start=START).creators if c.kind == "public"
    )
    assert 1_500 <= sizes[0] < 10_000
    assert 4_000_000 <= sizes[-1] <= 60_000_000
    assert sum(10_000 <= size < 1_000_000 for size in sizes) >= 5


def test_identities_are_unique_and_ids_exceed_a_float() -> None:
    creators = World(creators=500, start=START).creators
    for field in ("handle", "user_id", "sec_uid"):
        assert len({getattr(c, field) for c in creators}) == 500
    assert all(len(c.user_id) == 19 and int(c.user_id) > 2**53 for c in creators)
    assert all(c.sec_uid.startswith("MS4wLjABAAAA") and len(c.sec_uid) == 76 for c in creators)
    assert any("\n" in c.bio for c in creators)
    assert any(any("֐" <= letter <= "ۿ" for letter in c.bio) for c in creators)


@pytest.mark.parametrize("seed", range(4))
def test_most_public_creators_go_live_twice_in_a_demo_of_five_days(seed: int) -> None:
    world = World(seed=seed, creators=12, start=START)
    counts = [len(world.streams(c, START, START + timedelta(days=5))) for c in world.creators if c.kind == "public"]
    assert sum(count >= 2 for count in counts) >= 0.6 * len(counts)


def test_private_and_missing_creators_never_stream(crowd_streams: list[TrueStream]) -> None:
    assert {s.creator.kind for s in crowd_streams} == {"public"}


def test_streams_last_five_minutes_to_four_hours(crowd_streams: list[TrueStream]) -> None:
    minutes = np.array([s.end_s - s.start_s for s in crowd_streams]) / 60
    assert minutes.min() >= 5
    assert minutes.max() <= 240
    assert 50 <= np.median(minutes) <= 70
    assert 0.12 <= (minutes < 15).mean() <= 0.18


def test_streams_of_one_creator_are_twenty_minutes_apart(crowd: World) -> None:
    for c in crowd.creators:
        own = crowd.streams(c, SINCE, UNTIL)
        assert all(after.start_s - before.end_s >= MIN_GAP_S for before, after in pairwise(own))


def test_one_stream_in_ten_reconnects_with_a_new_room_after_one_to_six_minutes(crowd_streams: list[TrueStream]) -> None:
    twice = [s for s in crowd_streams if len(s.rooms) == 2]
    assert 0.08 <= len(twice) / len(crowd_streams) <= 0.12
    for s in twice:
        assert s.rooms[0].room_id != s.rooms[1].room_id
        assert 60 <= s.rooms[1].start_s - s.rooms[0].end_s <= 360


def test_pauses_last_one_to_five_minutes_inside_their_room(crowd_streams: list[TrueStream]) -> None:
    paused = [(r, pause) for s in crowd_streams for r in s.rooms for pause in r.pauses]
    assert len(paused) > 0.05 * len(crowd_streams)
    for room, (begin, end) in paused:
        assert 60 <= end - begin <= 300
        assert room.start_s < begin < end < room.end_s


def test_some_streams_cross_midnight(crowd_streams: list[TrueStream]) -> None:
    assert sum(s.started_at.date() != s.ended_at.date() for s in crowd_streams) > 0.02 * len(crowd_streams)


def test_a_room_id_contains_the_creation_time(crowd_streams: list[TrueStream]) -> None:
    rooms = [r for s in crowd_streams for r in s.rooms]
    assert len({r.room_id for r in rooms}) == len(rooms)
    for r in rooms:
        number = int(r.room_id)
        assert (number >> 32) * 1000 + (number >> 22 & 0x3FF) == r.created_ms
        assert number >> 8 & 0xF == 11
        assert 1.0 <= r.start_s - r.created_ms / 1000 <= 5.0


def test_a_room_is_found_by_its_id_alone(crowd: World, crowd_streams: list[TrueStream]) -> None:
    for s in crowd_streams[::50]:
        assert crowd.find_room(s.rooms[-1].room_id) == (s.creator, s.rooms[-1])
    assert crowd.find_room("123") is None
    assert crowd.find_room("abc") is None


def test_entries_never_fall_and_are_never_below_viewers(crowd_streams: list[TrueStream]) -> None:
    for s in crowd_streams[::40]:
        for r in s.rooms:
            instants = np.arange(r.start_s, r.end_s, 20.0)
            enters = [r.enters(at) for at in instants]
            assert enters == sorted(enters)
            assert all(0 < r.viewers(at) <= count for at, count in zip(instants, enters, strict=True))
            assert r.viewers(r.end_s) == 0


def test_lift_has_the_shares_of_the_methods(crowd: World, crowd_streams: list[TrueStream]) -> None:
    days = np.array([crowd.stream_lift(s) / crowd.organic_per_day(s.creator) for s in crowd_streams])
    assert 0.32 <= (days == 0).mean() <= 0.38
    median, p75, p95 = np.quantile(days, [0.5, 0.75, 0.95])
    assert 0.045 <= median <= 0.075
    assert 0.27 <= p75 <= 0.37
    assert 1.3 <= p95 <= 1.7


def test_most_of_the_lift_falls_in_the_stream_and_all_within_a_day_after(
    crowd: World, crowd_streams: list[TrueStream]
) -> None:
    lifted = [s for s in crowd_streams if crowd.stream_lift(s) > 0]
    shares = [crowd.stream_lift(s, until=s.ended_at) / crowd.stream_lift(s) for s in lifted]
    assert 0.65 <= np.mean(shares) <= 0.75
    for s in lifted[::25]:
        total = crowd.stream_lift(s)
        assert crowd.stream_lift(s, until=s.started_at) == 0
        assert crowd.stream_lift(s, until=s.ended_at + timedelta(hours=24)) == total
        middle = s.ended_at + timedelta(minutes=30)
        parts = crowd.stream_lift(s, until=middle) + crowd.stream_lift(s, since=middle)
        assert parts == pytest.approx(total)


def test_the_lift_of_a_span_is_the_sum_over_its_streams(crowd: World) -> None:
    since, until = START, START + timedelta(days=40)
    for c in [c for c in crowd.creators if c.kind == "public"][:20]:
        own = crowd.streams(c, SINCE, UNTIL)
        summed = sum(crowd.stream_lift(s, since=since, until=until) for s in own)
        assert crowd.lift_between(c, since, until) == pytest.approx(summed, abs=1e-6)


def test_followers_have_the_given_number_at_the_start_and_grow_except_for_purges(crowd: World) -> None:
    instants = [START + timedelta(minutes=97 * n) for n in range(200)]
    for c in crowd.creators:
        assert abs(crowd.followers_at(c, START) - c.followers_at_start) <= 1
        purged = [sum(p.size for p in crowd.purges(c, START, at)) for at in instants]
        counts = [crowd.followers_at(c, at) + gone for at, gone in zip(instants, purged, strict=True)]
        assert counts == sorted(counts)


def test_purges_are_rare_sudden_steps_down(crowd: World) -> None:
    purges = [(c, p) for c in crowd.creators for p in crowd.purges(c, SINCE, UNTIL)]
    assert 0.7 <= len(purges) / len(crowd.creators) <= 1.4  # one in 200 days
    for c, purge in purges:
        before, after = (datetime.fromtimestamp(purge.at_s - back, UTC) for back in (1.0, 0.0))
        step = crowd.followers_at(c, before) - crowd.followers_at(c, after)
        assert purge.size - 1 <= step + 20 <= purge.size + 20  # Others join in that second.
        assert 0.002 <= purge.size / c.followers_at_start <= 0.016


def test_a_purge_is_not_part_of_the_lift(crowd: World) -> None:
    c, purge = next((c, p) for c in crowd.creators for p in crowd.purges(c, START, UNTIL))
    around = [datetime.fromtimestamp(purge.at_s + shift, UTC) for shift in (-0.5, 0.0)]
    assert 0 <= crowd.lift_between(c, *around) < 2


def test_a_search_finds_handles_before_names_and_niches_and_larger_creators_first(crowd: World) -> None:
    wanted = next(c for c in crowd.creators if c.kind == "public" and c.renamed_at is None)
    assert crowd.search(f" @{wanted.handle.upper()} ", START)[0] is wanted
    assert wanted in crowd.search(wanted.handle[:4], START)
    niche = crowd.search("cooking", START)
    assert {c.niche for c in niche} == {"cooking"}
    assert len(niche) == sum(c.niche == "cooking" and c.kind != "missing" for c in crowd.creators)
    sizes = [c.followers_at_start for c in niche]
    assert sizes == sorted(sizes, reverse=True)


def test_a_search_by_an_old_handle_or_a_blank_has_no_hit(crowd: World) -> None:
    renamed = next(c for c in crowd.creators if c.renamed_to is not None)
    assert renamed in crowd.search(renamed.handle, START)
    assert renamed not in crowd.search(renamed.handle, UNTIL)
    assert renamed in crowd.search(renamed.renamed_to or "", UNTIL)
    assert crowd.search("  @ ", START) == []


def test_the_last_room_stays_known_after_its_end(crowd: World, crowd_streams: list[TrueStream]) -> None:
    for s in crowd_streams[::60]:
        assert crowd.last_room(s.creator, s.ended_at + timedelta(minutes=1)) is s.rooms[-1]
        assert crowd.last_room(s.creator, s.started_at) is s.rooms[0]
    assert crowd.last_room(crowd_streams[0].creator, SINCE - timedelta(days=9)) is None


def test_mean_organic_growth_a_day_is_as_specified(crowd: World) -> None:
    public = [c for c in crowd.creators if c.kind == "public" and crowd.organic_per_day(c) > 20]
    ratios = []
    for c in public:
        gained = crowd.followers_at(c, UNTIL) - crowd.followers_at(c, SINCE) - crowd.lift_between(c, SINCE, UNTIL)
        ratios.append(gained / 215 / crowd.organic_per_day(c))
    assert 0.95 <= np.mean(ratios) <= 1.25  # viral bumps and the noise of the rate only add


def test_far_outside_the_promised_span_it_still_responds(crowd: World) -> None:
    c = crowd.creators[0]
    for at in (START - timedelta(days=3000), START + timedelta(days=3000)):
        assert crowd.followers_at(c, at) >= 0
        assert crowd.room_at(c, at) is None
        assert crowd.stories_at(c, at) == []


def test_stories_are_shown_for_a_day_while_their_counts_grow(crowd: World) -> None:
    stories = [s for c in crowd.creators for s in crowd.stories(c, SINCE, UNTIL)]
    assert {s.media_type for s in stories} == {"video", "image"}
    a_day = Counter((s.creator.index, int(s.published_s - SINCE.timestamp()) // 86_400) for s in stories)
    assert max(a_day.values()) <= 4
    for s in stories[::100]:
        assert s.expires_at - s.published_at == timedelta(hours=24)
        ages = [s.published_s + 3600.0 * hour for hour in range(25)]
        assert [s.views(at) for at in ages] == sorted(s.views(at) for at in ages)
        assert s in crowd.stories_at(s.creator, s.expires_at - timedelta(seconds=1))
        assert s not in crowd.stories_at(s.creator, s.expires_at)
