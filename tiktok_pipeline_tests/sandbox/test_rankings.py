"""Live rankings: windows, ties, units, and agreement with live creators and their viewers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from tiktok_pipeline.sandbox.rankings import LISTS, ListKind, Ranking
from tiktok_pipeline.sandbox.world import World

START = datetime(2026, 3, 2, tzinfo=UTC)
REGIONS = ("US", "BR", "GB", "DE", "JP", "ID")
INSTANTS = [START + timedelta(minutes=53 * n) for n in range(60)]


@pytest.fixture(scope="module")
def crowd() -> World:
    return World(seed=3, creators=240, start=START)


@pytest.fixture(scope="module")
def rankings(crowd: World) -> list[tuple[datetime, Ranking]]:
    return [(at, crowd.ranking(kind, region, at)) for at in INSTANTS for kind in LISTS for region in REGIONS]


@pytest.mark.parametrize(("kind", "length"), [("hourly", 3600), ("daily", 86_400)])
def test_a_window_starts_on_the_full_hour_or_day(crowd: World, kind: ListKind, length: int) -> None:
    at = datetime(2026, 3, 4, 17, 42, 9, tzinfo=UTC)
    ranking = crowd.ranking(kind, "US", at)
    begin = at.replace(minute=0, second=0, hour=17 if kind == "hourly" else 0)
    assert (ranking.begin_s, ranking.end_s) == (begin.timestamp(), begin.timestamp() + length)
    next_window = datetime.fromtimestamp(ranking.end_s, UTC)
    assert crowd.ranking(kind, "US", next_window).begin_s == ranking.end_s
    assert crowd.ranking(kind, "US", next_window).rows == []


def test_every_ranked_creator_was_live_in_the_window_in_that_region(
    crowd: World, rankings: list[tuple[datetime, Ranking]]
) -> None:
    assert any(ranking.rows for _, ranking in rankings)
    for at, ranking in rankings:
        for row in ranking.rows:
            assert row.creator.region == ranking.region
            assert crowd.streams(row.creator, datetime.fromtimestamp(ranking.begin_s, UTC), at)


def test_scores_fall_in_steps_of_the_lists_unit(rankings: list[tuple[datetime, Ranking]]) -> None:
    for _, ranking in rankings:
        scores = [row.score for row in ranking.rows]
        assert scores == sorted(scores, reverse=True)
        assert all(score > 0 and score % LISTS[ranking.kind].step == 0 for score in scores)
    assert {ranking.kind: ranking.unit for _, ranking in rankings} == {"hourly": "diamonds", "daily": "popularity"}


def test_equal_scores_share_a_rank_and_the_next_rank_skips(rankings: list[tuple[datetime, Ranking]]) -> None:
    ties = 0
    for _, ranking in rankings:
        for place, row in enumerate(ranking.rows, start=1):
            assert row.rank == 1 + sum(other.score > row.score for other in ranking.rows)
            assert row.rank <= place
        ties += sum(one.rank == two.rank for one, two in pairwise(ranking.rows))
    assert ties > 10


def test_a_score_grows_within_its_window_and_stays_after_the_stream(crowd: World) -> None:
    stream = next(
        s
        for c in crowd.creators
        for s in crowd.streams(c, START, START + timedelta(days=3))
        if s.started_at.hour < 20 and crowd.ranking("daily", c.region, s.ended_at).rows
    )
    instants = [stream.started_at + timedelta(minutes=5 * n) for n in range(200)]
    instants = [at for at in instants if at.date() == stream.started_at.date()]
    scores = []
    for at in instants:
        rows = crowd.ranking("daily", stream.creator.region, at).rows
        scores.append(next((row.score for row in rows if row.creator is stream.creator), 0))
    assert scores == sorted(scores)


def test_a_region_without_creators_has_an_empty_list(crowd: World) -> None:
    assert crowd.ranking("daily", "AQ", START + timedelta(hours=20)).rows == []


def test_the_order_of_requests_does_not_matter(rankings: list[tuple[datetime, Ranking]]) -> None:
    fresh = World(seed=3, creators=240, start=START)
    for at, ranking in reversed(rankings[::7]):
        again = fresh.ranking(ranking.kind, ranking.region, at)
        rows = [(row.creator.handle, row.rank, row.score) for row in again.rows]
        assert rows == [(row.creator.handle, row.rank, row.score) for row in ranking.rows]
