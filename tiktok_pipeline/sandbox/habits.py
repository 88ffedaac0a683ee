"""Times at which creators go live: the habit by hour of the week, a change of it mid-run, and weeks off.

The habits and their shares follow docs/methods.md 9.1: weekly slots, a daily window, irregular, rare. `streams` has the
course of a stream.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiktok_pipeline.sandbox.chance import Topic, generator
from tiktok_pipeline.sandbox.creators import HABIT_SHARES, Creator, Habit

_DAY, _WEEK = 86_400.0, 604_800.0
# Rates of six weeks (docs/methods.md 9.1): 12 % change their habit and 10 % take a week off. The plan is longer.
_SIX_WEEKS = 6 * _WEEK
_CHANGE_SHARE, _WEEK_OFF_SHARE = 0.12, 0.10


@dataclass(frozen=True, slots=True)
class Routine:
    """A creator's changes of habit: `then` from unix second `changes_s` on, and the starts of weeks off."""

    then: Habit | None
    changes_s: float | None
    weeks_off: tuple[float, ...]


def plan_routine(seed: int, creator: Creator, since: float, until: float) -> Routine:
    """Plan one creator's routine in [since, until): at most one change of habit, possibly to other hours of it."""
    rng = generator(seed, Topic.ROUTINES, creator.index)
    spans = (until - since) / _SIX_WEEKS
    changes = rng.uniform() < 1.0 - (1.0 - _CHANGE_SHARE) ** spans
    at = math.floor(rng.uniform(since, until))
    draw = rng.uniform()
    then = next(habit for limit, habit in HABIT_SHARES if draw < limit)
    weeks = np.sort(np.floor(rng.uniform(since, until, rng.poisson(_WEEK_OFF_SHARE * spans)))).tolist()
    return Routine(then if changes else None, float(at) if changes else None, tuple(weeks))


def plan_starts(
    rng: np.random.Generator, seed: int, creator: Creator, since: float, until: float
) -> NDArray[np.float64]:
    """Plan candidate starts of streams in [since, until), sorted, whole unix seconds; some too close together."""
    routine = plan_routine(seed, creator, since, until)
    starts = _by_habit(rng, creator.habit, creator, since, until)
    if routine.then is not None and routine.changes_s is not None:
        fresh = generator(seed, Topic.NEW_HABITS, creator.index)
        later = _by_habit(fresh, routine.then, creator, since, until)
        starts = np.concatenate([starts[starts < routine.changes_s], later[later >= routine.changes_s]])
    for week in routine.weeks_off:
        starts = starts[(starts < week) | (starts >= week + _WEEK)]
    return starts


def _by_habit(
    rng: np.random.Generator, habit: Habit, creator: Creator, since: float, until: float
) -> NDArray[np.float64]:
    evening = (rng.normal(20.0, 2.5) - creator.utc_offset_h) * 3600.0
    first_week = since - (since + 3 * _DAY) % _WEEK  # 1970-01-01 was a Thursday: weeks begin on Monday, 00:00 UTC
    weeks = first_week + _WEEK * np.arange(math.ceil((until - first_week) / _WEEK) + 1)
    days = weeks[:, None] + _DAY * np.arange(7)
    match habit:
        case "weekly":
            chosen = rng.permutation(7)[: int(rng.integers(4, 7))]
            slots = evening + rng.normal(0.0, 1800.0, len(chosen))
            jitter = 900.0 * math.exp(rng.normal(0.0, 0.5))
            candidates = (days[:, chosen] + slots + rng.normal(0.0, jitter, (len(weeks), len(chosen)))).ravel()
            kept = rng.uniform(size=candidates.size) < 0.78
        case "daily":
            spread = rng.uniform(30.0, 110.0) * 60.0
            candidates = (days + evening + rng.normal(0.0, spread, days.shape)).ravel()
            kept = rng.uniform(size=candidates.size) < 0.8
        case "irregular":
            candidates = (days + evening + rng.normal(0.0, 4 * 3600.0, days.shape)).ravel()
            kept = rng.uniform(size=candidates.size) < rng.uniform(0.5, 0.9)
        case "rare":
            candidates = (days + evening + rng.normal(0.0, 4 * 3600.0, days.shape)).ravel()
            kept = rng.uniform(size=candidates.size) < rng.uniform(0.08, 0.4) / 7
    starts = candidates[kept]
    again = rng.uniform(size=starts.size) < 0.12
    seconds = starts[again] + rng.uniform(3.0, 9.0, int(again.sum())) * 3600.0
    if habit == "rare":
        seconds = seconds[:0]
    starts = np.sort(np.floor(np.concatenate([starts, seconds])))
    return starts[(starts >= since) & (starts < until)]
