"""Simulate follower counts of worlds that break the assumptions of the lift.

The worlds of `follower_histories` share the assumptions of the method. The worlds here break one assumption each:
streams at the same hour every day, a sharp rhythm, streams back to back, creators who are almost always on air, cached
counts, undeclared rounding, slow purges, trend breaks. Sizes and habits are assumptions: ratios between methods carry
over, absolute figures do not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import polars as pl

from benchmarks.accuracy.follower_histories import EPOCH_S, Creator, Floats, Histories, profile_frame, stream_frame
from tiktok_pipeline.tables import LIVE_OBSERVATIONS, POST_OBSERVATIONS

Spans = list[tuple[float, float]]

_STEP_H = 1 / 12
_DAY_STEPS = 288
_CHURN = 0.3
# A share of the streams has no lift. The others have, in days of organic growth: median .2, one in ten above 1.2.
_NO_LIFT_SHARE = 0.4
_LIFT_LOG_MEAN, _LIFT_LOG_SD = -1.6, 1.4
_MOST_LIFT = 6.0


@dataclass(frozen=True)
class World:
    """One world.

    habit: `mixed`; `same_hour`: daily, except for a share `days_off`; `back_to_back`; `often_on`: 12 to 17 hours a day
    in blocks; `always_on`: one gap of 3.5 to 5 hours a day; `all_hours`: streams of 3 to 8 hours with gaps of half an
    hour to 5 hours. rhythm: `broad`: one wave and a weaker second one; `sharp`: one to three bumps with a standard
    deviation of 0.7 to 1.6 hours. peak: the rhythm peaks at the hour of the `habit`, or `free`. rate:
    `mean_reverting`, `random_walk`, or `breaks`: it jumps twice. cache_h: the vendor serves a count for this long.
    web_rounding: counts are rounded like on the web page, and declared exact. announced: growth rises by up to four
    fifths in the hours before a stream.
    """

    name: str
    habit: str = "mixed"
    days_off: float = 0.0
    rhythm: str = "broad"
    peak: str = "free"
    rate: str = "mean_reverting"
    log_size: float = math.log(120_000)
    log_size_sd: float = 1.8
    cache_h: float = 0.0
    web_rounding: bool = False
    slow_purges: bool = False
    announced: bool = False
    gap_min: float = 15.0
    days: int = 42
    warm_up_days: int = 14


def simulate_world(world: World, *, creators: int, seed: int) -> Histories:
    """Simulate histories of `creators` in `world`."""
    rng = np.random.default_rng([seed, 77])
    people = [_creator(rng, world) for _ in range(creators)]
    streams: list[tuple[str, str, float, float]] = []
    snapshots: list[tuple[str, float, int, int]] = []
    truth = []
    for number, creator in enumerate(people):
        name = f"creator.{number:04d}"
        for position, (start, end) in enumerate(creator.spans_h):
            streams.append((f"{name}:{position}", name, start, end))
            if world.warm_up_days * 24 <= start and end < (world.days - 2) * 24:
                size = float(creator.followers[0])
                truth.append((f"{name}:{position}", number, position, creator.per_day, False, size))
        snapshots += [(name, at, count, 1) for at, count in _snapshots(rng, world, creator)]
    columns = ["stream_id", "number", "position", "per_day", "viral", "size"]
    return Histories(
        streams=stream_frame(streams),
        profiles=profile_frame(snapshots),
        live=LIVE_OBSERVATIONS.empty(),
        posts=POST_OBSERVATIONS.empty(),
        truth=pl.DataFrame(truth, schema=columns, orient="row"),
        creators=people,
        as_of=datetime.fromtimestamp(EPOCH_S + world.days * 86_400, UTC),
    )


def _creator(rng: np.random.Generator, world: World) -> Creator:
    size = float(np.clip(math.exp(rng.normal(world.log_size, world.log_size_sd)), 2_000, 150e6))
    per_day = size * 0.0012 * math.exp(rng.normal(0, 0.8))
    steps = world.days * _DAY_STEPS
    grid_h = np.arange(steps + 1) * _STEP_H
    middle_h = grid_h[:-1] + _STEP_H / 2
    usual_h = rng.uniform(0, 24)
    spans = _spans(rng, world, usual_h)
    # The audience is complete an hour into the stream.
    peak_h = usual_h + 1 + rng.normal(0, 0.5) if world.peak == "habit" else rng.uniform(0, 24)
    rate = per_day / 24 * _rhythm(rng, world, middle_h, peak_h) * _level(rng, world, steps)
    for onset in rng.uniform(0, world.days * 24, rng.poisson(0.3 * world.days / 7)):
        fading = rng.uniform(6, 36)
        age = np.maximum(middle_h - onset, 0.0)
        burst = per_day * min(0.2 * (1 + float(rng.pareto(1.5))), 6.0) / fading * np.exp(-age / fading)
        rate = rate + np.where(middle_h > onset, burst, 0.0)
    if world.announced:
        for start, _ in spans:
            ahead = (middle_h > start - rng.uniform(1, 6)) & (middle_h < start)
            rate = np.where(ahead, rate * (1 + rng.uniform(0, 0.8)), rate)
    churn = _CHURN * per_day / 24
    gained = rng.poisson((rate + churn) * _STEP_H) - rng.poisson(churn * _STEP_H, steps)
    if world.slow_purges:
        gained = gained - _purged(rng, world, size, middle_h)
    brought = [np.concatenate([[0.0], np.cumsum(rng.poisson(_lift(rng, grid_h, per_day, *span)))]) for span in spans]
    followers = size + np.concatenate([[0.0], np.cumsum(gained)]) + np.sum(brought, axis=0, dtype=np.float64)
    return Creator(per_day, grid_h, np.maximum(followers, 0), spans, brought, [])


def _rhythm(rng: np.random.Generator, world: World, at_h: Floats, peak_h: float) -> Floats:
    """Return relative growth by the hour of the day, mean 1, times a factor for each weekday."""
    hour = np.arange(0, 24, 0.1)

    def shape(h: Floats) -> Floats:
        turn = 2 * np.pi * (h - peak_h) / 24
        if world.rhythm == "broad":
            return np.maximum(1 + depth * np.cos(turn) + second * np.cos(2 * turn + phase), 0.05)
        day = np.full(h.shape, floor)
        for offset, width, height in bumps:
            away = (h - peak_h - offset + 12) % 24 - 12
            day += height * np.exp(-0.5 * (away / width) ** 2)
        return day

    depth, second, phase = rng.uniform(0.4, 0.85), rng.uniform(0, 0.25), rng.uniform(0, 2 * np.pi)
    floor = rng.uniform(0.25, 0.5)
    bumps = [(0.0, rng.uniform(0.7, 1.6), rng.uniform(2.0, 4.0))]
    bumps += [
        (float(rng.uniform(4, 20)), float(rng.uniform(0.7, 1.6)), float(rng.uniform(0.8, 3.0)))
        for _ in range(rng.integers(0, 3))
    ]
    week = np.exp(rng.normal(0, 0.1, 7))
    rhythm: Floats = shape(at_h) / shape(hour).mean() * (week / week.mean())[(at_h // 24).astype(int) % 7]
    return rhythm


def _level(rng: np.random.Generator, world: World, steps: int) -> Floats:
    """Return the rate's slow changes: a factor for each grid step."""
    hours = steps // 12 + 2
    shocks = rng.normal(0, 1, hours)
    if world.rate == "random_walk":
        logs = np.cumsum(0.03 * shocks)
        logs -= logs.mean()
    else:
        memory, sd = math.exp(-1 / rng.uniform(8, 36)), rng.uniform(0.2, 0.4)
        logs = np.empty(hours)
        level = sd * shocks[0]
        for n, shock in enumerate(shocks.tolist()):
            level = memory * level + sd * math.sqrt(1 - memory**2) * shock
            logs[n] = level
    if world.rate == "breaks":
        for at in rng.uniform(0, hours, 2):
            logs[int(at) :] += rng.choice([-1.0, 1.0]) * rng.uniform(0.4, 1.0)
    factors: Floats = np.exp(np.interp(np.arange(steps) * _STEP_H, np.arange(hours), logs))
    return factors


def _purged(rng: np.random.Generator, world: World, size: float, at_h: Floats) -> Floats:
    """Return followers removed in each step: one or two purges of one to three percent, each over two to five days."""
    removed = np.zeros(at_h.size)
    for _ in range(rng.integers(1, 3)):
        begin, lasts = rng.uniform(0, world.days * 24), rng.uniform(48, 120)
        inside = (at_h >= begin) & (at_h < begin + lasts)
        removed += rng.poisson(np.where(inside, size * rng.uniform(0.01, 0.03) / lasts * _STEP_H, 0.0))
    return removed


def _spans(rng: np.random.Generator, world: World, usual_h: float) -> Spans:
    """Draw streams as (start, end) in hours, at least 20 minutes apart."""
    often, jitter, typical = rng.uniform(0.25, 0.85), rng.uniform(0.3, 2.5), math.exp(rng.normal(0.2, 0.4))
    gap = rng.uniform(3.5, 5.0)
    wanted: Spans = []
    for day in range(1, world.days - 1):
        base = day * 24 + usual_h
        match world.habit:
            case "same_hour":
                if rng.random() >= world.days_off:
                    wanted.append((base + rng.normal(0, 0.2), typical * 1.5 * math.exp(rng.normal(0, 0.15))))
            case "back_to_back":
                if rng.random() < often:
                    lengths = typical * np.exp(rng.normal(0, 0.4, rng.integers(2, 5)))
                    wanted += _in_a_row(base + rng.normal(0, jitter), lengths, rng.uniform(0.4, 2.9, lengths.size))
            case "often_on":
                lengths = rng.uniform(3.5, 6.5, rng.integers(2, 4))
                wanted += _in_a_row(base + rng.normal(0, 0.5), lengths, rng.uniform(0.5, 4.0, lengths.size))
            case "always_on":
                wanted.append((base + rng.normal(0, 0.3), 24 - max(gap + rng.normal(0, 0.3), 3.2)))
            case "all_hours":
                lengths = rng.uniform(3.0, 8.0, 3)
                since = wanted[-1][0] + wanted[-1][1] + rng.uniform(0.5, 5.0) if wanted else base
                wanted += _in_a_row(since, lengths, rng.uniform(0.5, 5.0, 3))
            case _:
                if rng.random() < often:
                    wanted.append((base + rng.normal(0, jitter), typical * math.exp(rng.normal(0, 0.6))))
    spans: Spans = []
    for start, length in sorted(wanted):
        end = start + min(max(length, 0.1), 23.0)
        if (not spans or start > spans[-1][1] + 1 / 3) and end < (world.days - 0.5) * 24:
            spans.append((start, end))
    return spans


def _in_a_row(since: float, lengths: Floats, gaps: Floats) -> Spans:
    """Return (start, length) of streams with these gaps after each."""
    starts = since + np.concatenate([[0.0], np.cumsum(lengths + gaps)[:-1]])
    return list(zip(starts.tolist(), lengths.tolist(), strict=True))


def _lift(rng: np.random.Generator, grid_h: Floats, per_day: float, start: float, end: float) -> Floats:
    """Return expected followers from a stream in each step: most while it lasts, the rest fading after it."""
    if rng.random() < _NO_LIFT_SHARE:
        return np.zeros(grid_h.size - 1)
    total = per_day * min(math.exp(rng.normal(_LIFT_LOG_MEAN, _LIFT_LOG_SD)), _MOST_LIFT)
    during, fading = rng.uniform(0.55, 0.85), rng.uniform(0.75, 4.0)
    on_air = np.clip((grid_h - start) / (end - start), 0, 1)
    faded = -np.expm1(-np.maximum(grid_h - end, 0) / fading)
    steps: Floats = np.diff(total * (during * on_air + (1 - during) * faded))
    return steps


def _snapshots(rng: np.random.Generator, world: World, creator: Creator) -> list[tuple[float, int]]:
    """Return (hour, count) of every response."""
    until, gap_h = world.days * 24.0, world.gap_min / 60
    parts = [np.cumsum(gap_h * rng.uniform(0.6, 1.4, int(until / gap_h * 1.1) + 10))]
    for start, end in creator.spans_h:
        parts += [np.arange(start + rng.uniform(0, 0.1), end, 1 / 6), end + np.array([0.02, 0.25, 0.5, 1.0, 2.0])]
    at = np.unique(np.concatenate(parts))
    at = at[at < until]
    true_at = at
    if world.cache_h:
        # A request refills the cache if its entry is too old.
        true_at, filled = at.copy(), -math.inf
        for n, moment in enumerate(at.tolist()):
            if moment - filled >= world.cache_h:
                filled = moment
            true_at[n] = filled
    counts = np.floor(np.interp(true_at, creator.grid_h, creator.followers)).astype(np.int64)
    if world.web_rounding:
        unit = np.where(counts >= 1_000_000, 100_000, np.where(counts >= 10_000, 100, 1))
        counts = (counts + unit // 2) // unit * unit
    return list(zip(at.tolist(), counts.tolist(), strict=True))


HARD_WORLDS = (
    World("same hour daily, growth peaks there", habit="same_hour", peak="habit"),
    World("  the same, sharp peak", habit="same_hour", peak="habit", rhythm="sharp"),
    World("  the same, a day off a week", habit="same_hour", peak="habit", days_off=0.15),
    World("  same hour daily, growth peaks elsewhere", habit="same_hour"),
    World("sharp rhythm", rhythm="sharp"),
    World("  growth peaks at the usual hour", rhythm="sharp", peak="habit"),
    World("streams back to back", habit="back_to_back"),
    World("on air 12 to 17 hours a day", habit="often_on"),
    World("on air 19 to 20 hours a day", habit="always_on"),
    World("on air at all hours", habit="all_hours"),
    World("counts cached for 3 h", cache_h=3.0),
    World("undeclared rounding", web_rounding=True),
    World("very large creators", log_size=math.log(20e6), log_size_sd=0.7),
    World("slow purges", slow_purges=True),
    World("streams that are announced", announced=True),
    World("trend breaks", rate="breaks"),
    World("random-walk rates", rate="random_walk"),
    World("usual habits", peak="habit"),
)
