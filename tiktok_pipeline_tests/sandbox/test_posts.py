"""Posts: their number, recap clips of streams, pinned posts, captions, and growing counts."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta

import pytest

from tiktok_pipeline.sandbox.captions import PHRASES
from tiktok_pipeline.sandbox.posts import TruePost
from tiktok_pipeline.sandbox.world import World

START = datetime(2026, 3, 2, tzinfo=UTC)
SINCE, UNTIL = START - timedelta(days=30), START + timedelta(days=150)
LONG_AGO = START - timedelta(days=400)


@pytest.fixture(scope="module")
def crowd() -> World:
    return World(seed=11, creators=60, start=START)


@pytest.fixture(scope="module")
def posts(crowd: World) -> list[TruePost]:
    return [p for c in crowd.creators for p in crowd.posts(c, SINCE, UNTIL)]


def test_there_are_at_most_two_regular_posts_a_day(posts: list[TruePost]) -> None:
    a_day = Counter(
        (p.creator.index, int(p.published_s - SINCE.timestamp()) // 86_400) for p in posts if p.recap_of is None
    )
    assert max(a_day.values()) == 2


def test_about_half_of_the_streams_have_one_to_three_recap_clips(crowd: World, posts: list[TruePost]) -> None:
    streams = [s for c in crowd.creators for s in crowd.streams(c, SINCE, UNTIL - timedelta(days=4))]
    clips = Counter(id(p.recap_of) for p in posts if p.recap_of is not None)
    counts = Counter(clips[id(s)] for s in streams)
    assert 0.45 <= 1 - counts[0] / len(streams) <= 0.55
    assert set(counts) == {0, 1, 2, 3}


def test_recap_clips_come_within_72_hours_and_some_during_the_stream(posts: list[TruePost]) -> None:
    clips = [(p, p.recap_of) for p in posts if p.recap_of is not None]
    for post, stream in clips:
        assert stream.start_s + 299 <= post.published_s <= stream.end_s + 72 * 3600
        assert post.creator is stream.creator
    during = sum(post.published_s < stream.end_s for post, stream in clips) / len(clips)
    within_3_h = sum(post.published_s < stream.end_s + 3 * 3600 for post, stream in clips) / len(clips)
    assert 0.13 <= during <= 0.24
    assert 0.5 <= within_3_h <= 0.7


def test_recap_clips_have_captions_in_the_creators_language(posts: list[TruePost]) -> None:
    spoken = defaultdict(set)
    for post in posts:
        if post.recap_of is not None and post.caption is not None:
            spoken[post.creator.language].add(post.caption)
    assert len(spoken) >= 5
    for language, captions in spoken.items():
        beginnings = {phrase.partition("{")[0] for phrase in PHRASES[language].recap}
        assert all(any(caption.startswith(begin) for begin in beginnings) for caption in captions)


def test_some_captions_are_missing_and_some_only_announce_a_stream(posts: list[TruePost]) -> None:
    assert 0.03 <= sum(p.caption is None for p in posts) / len(posts) <= 0.07
    announced = sum((p.caption or "").startswith(("going live tonight", "LIVE tomorrow")) for p in posts)
    assert 0 < announced < 0.1 * len(posts)


def test_one_or_two_posts_are_pinned_and_months_old(crowd: World) -> None:
    seen = Counter()
    for c in crowd.creators:
        pinned = crowd.feed(c).pinned()
        seen[len(pinned)] += c.kind == "public"
        assert bool(pinned) == (c.kind == "public")
        for post in pinned:
            assert timedelta(days=55) < START - post.published_at < timedelta(days=300)
        assert [p.post_id for p in crowd.posts(c, LONG_AGO, SINCE) if p.pinned] == [
            p.post_id for p in sorted(pinned, key=lambda p: p.published_s)
        ]
    assert set(seen) == {0, 1, 2}


def test_ids_are_unique_and_contain_the_time_of_the_post(posts: list[TruePost]) -> None:
    assert len({p.post_id for p in posts}) == len(posts)
    assert all(5 <= p.published_s - (int(p.post_id) >> 32) <= 31 for p in posts)


def test_counts_grow_with_age_and_are_zero_before_publishing(posts: list[TruePost]) -> None:
    for post in posts[::50]:
        ages = [post.published_s + 7200.0 * n for n in range(-3, 400, 9)]
        for count in (post.views, post.likes, post.comments, post.shares, post.saves):
            counts = [count(at) for at in ages]
            assert counts == sorted(counts)
            assert counts[0] == 0


def test_a_page_has_the_newest_posts_before_a_cursor(crowd: World) -> None:
    creator = max(crowd.creators, key=lambda c: len(crowd.posts(c, SINCE, START)))
    feed, at = crowd.feed(creator), START.timestamp()
    first, more = feed.page(at, None, 5)
    second, _ = feed.page(at, first[-1].published_s, 5)
    own = [p.post_id for p in crowd.posts(creator, SINCE, START + timedelta(seconds=1))][::-1]
    assert [p.post_id for p in [*first, *second]] == own[:10]
    assert more
    all_posts, more = feed.page(at, None, 10_000)
    assert not more
    assert feed.page(at, all_posts[-1].published_s, 5) == ([], False)


def test_the_number_of_videos_on_a_profile_grows_by_the_published_posts(crowd: World) -> None:
    for c in crowd.creators[:20]:
        assert crowd.videos_at(c, START) == c.videos_at_start
        assert crowd.videos_at(c, UNTIL) == c.videos_at_start + len(crowd.posts(c, START, UNTIL))
        assert crowd.videos_at(c, SINCE) == max(c.videos_at_start - len(crowd.posts(c, SINCE, START)), 0)


def test_the_same_seed_gives_the_same_posts_in_any_order_of_requests(crowd: World) -> None:
    fresh = World(seed=11, creators=60, start=START)
    instants = [START.timestamp() + 40_000.0 * n for n in range(12)]
    for c in crowd.creators[:12]:
        pages = [
            [
                [(p.post_id, p.caption, p.views(at)) for p in w.feed(w.creators[c.index]).page(at, None, 9)[0]]
                for at in order
            ]
            for w, order in ((crowd, instants), (fresh, instants[::-1]))
        ]
        assert pages[0] == pages[1][::-1]
