"""Changes of habit during a run, and weeks without a stream."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from tiktok_pipeline.sandbox.streams import MIN_GAP_S
from tiktok_pipeline.sandbox.world import World

START = datetime(2026, 3, 2, tzinfo=UTC)
SINCE, UNTIL = START - timedelta(days=36), START + timedelta(days=181)
SIX_WEEKS = timedelta(days=42)


@pytest.fixture(scope="module")
def crowd() -> World:
    return World(seed=5, creators=300, start=START)


def test_in_six_weeks_one_creator_in_eight_changes_habit_and_one_in_ten_takes_a_week_off(crowd: World) -> None:
    routines = [crowd.routine(c) for c in crowd.creators]
    spans = (UNTIL - SINCE) / SIX_WEEKS
    changed = sum(r.then is not None for r in routines) / len(routines)
    assert changed == pytest.approx(1 - 0.88**spans, abs=0.08)
    assert sum(len(r.weeks_off) for r in routines) / len(routines) / spans == pytest.approx(0.10, abs=0.03)
    assert all((r.then is None) == (r.changes_s is None) for r in routines)


def test_there_are_no_streams_in_a_week_off(crowd: World) -> None:
    weeks = [(c, week) for c in crowd.creators if c.kind == "public" for week in crowd.routine(c).weeks_off]
    assert weeks
    for c, week in weeks:
        begin = datetime.fromtimestamp(week, UTC)
        starts = [s.started_at for s in crowd.streams(c, begin, begin + timedelta(days=7))]
        assert all(start < begin for start in starts)


def test_a_creator_that_becomes_rare_streams_less_from_then_on(crowd: World) -> None:
    rates = []
    for c in crowd.creators:
        routine = crowd.routine(c)
        if c.kind != "public" or c.habit != "daily" or routine.then != "rare" or routine.changes_s is None:
            continue
        change = datetime.fromtimestamp(routine.changes_s, UTC)
        before, after = crowd.streams(c, SINCE, change), crowd.streams(c, change, UNTIL)
        rates.append((len(before) / ((change - SINCE).days + 1), len(after) / ((UNTIL - change).days + 1)))
    assert rates
    assert all(after < before / 2 for before, after in rates)


def test_streams_keep_their_distance_across_a_change_of_habit(crowd: World) -> None:
    for c in crowd.creators:
        if crowd.routine(c).then is not None:
            own = crowd.streams(c, SINCE, UNTIL)
            assert all(after.start_s - before.end_s >= MIN_GAP_S for before, after in pairwise(own))
