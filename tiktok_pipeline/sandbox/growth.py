"""Growth of a creator's followers: the organic rate, viral bumps, the known lift of each stream, and purges.

Followers at t = hourly knots of organic growth, linear in between, + the lift of each stream in closed form, less
purged accounts. All are exact, so that the truth of any interval is known. The constants follow
docs/methods.md 9.1.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiktok_pipeline.sandbox.chance import Topic, generator
from tiktok_pipeline.sandbox.creators import Creator
from tiktok_pipeline.sandbox.streams import TrueStream

_HOUR = 3600.0
_TAIL_S = 24 * _HOUR  # a stream's carry-over is complete a day after its end: six e-foldings of the slowest
_LONGEST_STREAM_S = 4 * _HOUR
_NO_LIFT_SHARE = 0.35
_PURGE_EVERY_DAYS = 200  # rare: about one creator in forty sees one in five days
# Shares of the followers, well above the 0.1 % of an anomaly (docs/methods.md 2.1).
_SMALLEST_PURGE, _LARGEST_PURGE = 0.003, 0.015
MOST_PURGES = 8  # in one plan: the follower list can distinguish this many
_LIFT_LOG_MEAN, _LIFT_LOG_SD = -1.62, 1.46  # of streams with a lift: median .06, p75 .32, p95 1.5 days over all


@dataclass(frozen=True, slots=True)
class Lift:
    """The followers that one stream brings: `during` of them during the stream, the rest after it."""

    start_s: float
    end_s: float
    total: float
    during: float
    carry_over_s: float

    def gained(self, at: float) -> float:
        """Return followers brought by unix second `at`, from 0 before the stream to `total` a day after it."""
        if at <= self.start_s:
            return 0.0
        if at <= self.end_s:
            return self.total * self.during * (at - self.start_s) / (self.end_s - self.start_s)
        if at >= self.end_s + _TAIL_S:
            return self.total
        tail = math.expm1(-(at - self.end_s) / self.carry_over_s) / math.expm1(-_TAIL_S / self.carry_over_s)
        return self.total * (self.during + (1.0 - self.during) * tail)


@dataclass(frozen=True, slots=True)
class Purge:
    """Bot accounts that the platform removes from the followers at once, at unix second `at_s`."""

    at_s: float
    size: int


class Growth:
    """The followers of one creator as a function of time."""

    def __init__(
        self, seed: int, creator: Creator, streams: list[TrueStream], since: float, start: float, until: float
    ) -> None:
        rng = generator(seed, Topic.GROWTH, creator.index)
        share = min(max(0.0012 * math.exp(rng.normal(0.0, 0.9)), 0.0002), 0.012)
        self.per_day: float = creator.followers_at_start * share
        self._since = since
        knots = self._organic(rng, creator, since, until)
        at_start = float(np.interp(start, since + _HOUR * np.arange(len(knots)), knots))
        self.lifts = self._lifts(rng, streams)
        self.purges = _plan_purges(seed, creator, since, until)
        self._starts = [lift.start_s for lift in self.lifts]
        self._totals: list[float] = [0.0, *np.cumsum([lift.total for lift in self.lifts]).tolist()]
        # The given size of the creator is that at the start of the world. An array of doubles, not a list: 5,000
        # knots of each of 2,000 creators are 80 MB instead of 330.
        offset = creator.followers_at_start + 0.5 - at_start - self.lift(start) + self.purged(start)
        self._knots: array[float] = array("d", (knots + offset).tolist())

    def followers(self, at: float) -> int:
        """Return followers at unix second `at`."""
        return max(self.unpurged(at) - self.purged(at), 0)

    def unpurged(self, at: float) -> int:
        """Return followers if the platform had never purged any: never falling."""
        return max(int(self.organic(at) + self.lift(at)), 0)

    def purged(self, at: float) -> int:
        """Return followers that all purges have removed by unix second `at`."""
        return sum(purge.size for purge in self.purges if purge.at_s <= at)

    def organic(self, at: float) -> float:
        """Return followers without any stream; outside the planned span the mean rate continues."""
        position = (at - self._since) / _HOUR
        if position < 0:
            return self._knots[0] + self.per_day * position / 24
        hour = int(position)
        if hour >= len(self._knots) - 1:
            return self._knots[-1] + self.per_day * (position - len(self._knots) + 1) / 24
        low = self._knots[hour]
        return low + (self._knots[hour + 1] - low) * (position - hour)

    def lift(self, at: float) -> float:
        """Return followers that all streams have brought by unix second `at`."""
        started = bisect_right(self._starts, at)
        complete = bisect_left(self._starts, at - _TAIL_S - _LONGEST_STREAM_S)
        return self._totals[complete] + sum(lift.gained(at) for lift in self.lifts[complete:started])

    def _organic(self, rng: np.random.Generator, creator: Creator, since: float, until: float) -> NDArray[np.float64]:
        """Return cumulative organic growth at each full hour from `since`."""
        hours = math.ceil((until - since) / _HOUR)
        local = since + creator.utc_offset_h * _HOUR + _HOUR * (np.arange(hours) + 0.5)
        amplitude, peak_hour = rng.uniform(0.25, 0.75), rng.normal(20.0, 1.5)
        day_rhythm = 1.0 + amplitude * np.cos(2 * np.pi * (local / _HOUR - peak_hour) / 24)
        weekday = np.exp(rng.normal(0.0, 0.12, 7))[((local // 86_400).astype(int) + 3) % 7]
        rate = self.per_day / 24 * day_rhythm * weekday * np.exp(_slow_noise(rng, hours))
        growth = np.concatenate([[0.0], np.cumsum(rate)])
        edges = _HOUR * np.arange(hours + 1)
        for _ in range(int(rng.poisson(0.12 * hours / 168))):
            size = self.per_day * min(0.5 * (1 + float(rng.pareto(1.3))), 8.0)
            begin, decay = rng.uniform(0, hours * _HOUR), rng.uniform(8, 40) * _HOUR
            growth += size * -np.expm1(-np.maximum(edges - begin, 0.0) / decay)
        return growth

    def _lifts(self, rng: np.random.Generator, streams: list[TrueStream]) -> list[Lift]:
        count = len(streams)
        days = np.minimum(np.exp(rng.normal(_LIFT_LOG_MEAN, _LIFT_LOG_SD, count)), 6.0)
        totals = self.per_day * np.where(rng.uniform(size=count) < _NO_LIFT_SHARE, 0.0, days)
        during = rng.uniform(0.55, 0.85, count)
        carry_over = rng.uniform(45.0, 240.0, count) * 60.0
        return [
            Lift(stream.start_s, stream.end_s, *row)
            for stream, *row in zip(streams, totals.tolist(), during.tolist(), carry_over.tolist(), strict=True)
        ]


def _plan_purges(seed: int, creator: Creator, since: float, until: float) -> list[Purge]:
    """Plan the purges of one creator in [since, until), in order."""
    rng = generator(seed, Topic.PURGES, creator.index)
    count = min(int(rng.poisson((until - since) / 86_400 / _PURGE_EVERY_DAYS)), MOST_PURGES)
    times = np.sort(np.floor(rng.uniform(since, until, count))).tolist()
    shares = rng.uniform(_SMALLEST_PURGE, _LARGEST_PURGE, count).tolist()
    return [Purge(at, max(int(creator.followers_at_start * share), 1)) for at, share in zip(times, shares, strict=True)]


def _slow_noise(rng: np.random.Generator, hours: int) -> NDArray[np.float64]:
    """Return the log of the rate's slow drift: Ornstein-Uhlenbeck, 18 hours, sd 0.35, drawn every 6 hours, linear."""
    steps = hours // 6 + 2
    keep = math.exp(-6 / 18)
    shocks = rng.normal(0.0, 0.35 * math.sqrt(1 - keep**2), steps).tolist()
    level, levels = float(rng.normal(0.0, 0.35)), []
    for shock in shocks:
        level = keep * level + shock
        levels.append(level)
    wander: NDArray[np.float64] = np.interp(np.arange(hours) + 0.5, 6.0 * np.arange(steps), levels)
    return wander
