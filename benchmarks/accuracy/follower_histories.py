"""Simulate follower counts with known organic growth and known lift.

The model (docs/methods.md 9.1) has log-normal creators, a day rhythm, weekdays, a slowly changing rate, a common
platform shock, viral posts (some during a stream), churn and rare purges. Snapshots come at irregular times, denser on
air, and some after each end. Sizes are assumptions: ratios between methods carry over to real data,
absolute figures do not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tiktok_pipeline.tables import LIVE_OBSERVATIONS, POST_OBSERVATIONS, PROFILE_OBSERVATIONS, STREAMS

Floats = NDArray[np.float64]

EPOCH_S = datetime(2026, 3, 2, tzinfo=UTC).timestamp()
_STEP_H = 1 / 12  # The grid of the histories: five minutes.
_DAY_STEPS = 288
_NO_LIFT_SHARE = 0.35
# For streams with a lift, in days of organic growth: over all, median .06, p75 .32, p95 1.5.
_LIFT_LOG_MEAN, _LIFT_LOG_SD = -1.62, 1.46
_AFTER_END_MIN = (1, 15, 30, 60, 120)
# A viral post that may distort an estimate: at least this large (days of growth), this long before the start (h).
_VIRAL_DAYS, _VIRAL_BEFORE_H = 0.3, 6.0


@dataclass(frozen=True)
class Scenario:
    """Parameters of a simulation: the interval of counts (minutes, off and on air), their age and their rounding.

    Histories last `days`; streams that begin after the first `warm_up_days` of them are judged.
    """

    name: str
    off_air_min: float = 15.0
    on_air_min: float = 5.0
    stale_share: float = 0.0
    stale_min: float = 0.0
    rounded: bool = False
    viral_a_week: float = 0.5
    confounded: float = 0.10
    provisional: bool = False
    days: int = 42
    warm_up_days: int = 14


@dataclass(frozen=True)
class Histories:
    """Input frames of the estimator, and `truth`, one row per evaluated stream.

    `truth` has stream_id, number (of the creator), per_day (organic followers a day), viral (a viral post distorts
    the window), size (followers).
    """

    streams: pl.DataFrame
    profiles: pl.DataFrame
    live: pl.DataFrame
    posts: pl.DataFrame
    truth: pl.DataFrame
    creators: list[Creator]
    as_of: datetime

    def lift_between(self, number: int, stream: int, before: datetime, after: datetime) -> float:
        """Return the followers that the stream with this position brought its creator between two instants."""
        creator = self.creators[number]
        hours = [(moment.timestamp() - EPOCH_S) / 3600 for moment in (before, after)]
        low, high = np.interp(hours, creator.grid_h, creator.brought[stream])
        return float(high - low)


@dataclass(frozen=True)
class Creator:
    """One creator's truth, on the grid: followers, and the followers from each stream."""

    per_day: float
    grid_h: Floats
    followers: Floats
    spans_h: list[tuple[float, float]]
    brought: list[Floats]
    virals: list[tuple[float, float]]


def simulate(scenario: Scenario, *, creators: int, seed: int) -> Histories:
    """Simulate histories of `creators`."""
    days = scenario.days
    rng = np.random.default_rng(seed)
    platform = _wander(rng, days, sd=0.10)
    people = [_creator(rng, scenario, days, platform) for _ in range(creators)]
    streams, snapshots, truth = [], [], []
    for number, creator in enumerate(people):
        name = f"creator.{number:04d}"
        for position, (start, end) in enumerate(creator.spans_h):
            streams.append((f"{name}:{position}", name, start, end))
            # The last days have no complete window after them.
            if scenario.warm_up_days * 24 <= start and end < (days - 2) * 24:
                viral = any(
                    size > _VIRAL_DAYS and start - _VIRAL_BEFORE_H <= onset <= end + 1 for onset, size in creator.virals
                )
                truth.append((f"{name}:{position}", number, position, creator.per_day, viral, creator.followers[0]))
        snapshots += [(name, *row) for row in _snapshots(rng, scenario, creator, days)]
    columns = ["stream_id", "number", "position", "per_day", "viral", "size"]
    return Histories(
        streams=stream_frame(streams),
        profiles=profile_frame(snapshots),
        live=LIVE_OBSERVATIONS.empty(),
        posts=POST_OBSERVATIONS.empty(),
        truth=pl.DataFrame(truth, schema=columns, orient="row"),
        creators=people,
        as_of=datetime.fromtimestamp(EPOCH_S + days * 86_400, UTC),
    )


def _creator(rng: np.random.Generator, scenario: Scenario, days: int, platform: Floats) -> Creator:
    size = float(np.clip(120_000 * math.exp(rng.normal(0, 1.8)), 1_500, 60e6))
    per_day = size * 0.0012 * math.exp(rng.normal(0, 0.9))
    steps = days * _DAY_STEPS
    grid_h = np.arange(steps + 1) * _STEP_H
    middle_h = grid_h[:-1] + _STEP_H / 2
    peak = rng.uniform(0, 24)
    spans = _spans(rng, days, peak)
    rate = per_day / 24 * _rhythm(rng, middle_h, peak) * np.exp(_wander(rng, days, sd=0.35)) * np.exp(platform)
    virals = [
        (float(onset), _viral_size(rng))
        for onset in rng.uniform(0, days * 24, rng.poisson(scenario.viral_a_week * days / 7))
    ]
    virals += [
        (start + float(rng.uniform(-3, 1)), _viral_size(rng))
        for start, _ in spans
        if rng.random() < scenario.confounded
    ]
    for onset, days_of_growth in virals:
        decay = rng.uniform(8, 40)
        age = np.maximum(middle_h - onset, 0)
        rate = rate + np.where(middle_h > onset, per_day * days_of_growth / decay * np.exp(-age / decay), 0.0)
    churn = 0.25 * per_day / 24
    gained = rng.poisson(rate * _STEP_H + churn * _STEP_H) - rng.poisson(churn * _STEP_H, steps)
    brought = [
        np.concatenate([[0.0], np.cumsum(rng.poisson(_lift_steps(rng, grid_h, per_day, *span)))]) for span in spans
    ]
    followers = size + np.concatenate([[0.0], np.cumsum(gained)]) + np.sum(brought, axis=0, dtype=np.float64)
    for when in rng.uniform(0, days * 24, rng.poisson(0.02 * days / 7)):
        followers = followers - np.where(grid_h >= when, size * rng.uniform(0.002, 0.01), 0.0)
    return Creator(per_day, grid_h, np.maximum(followers, 0), spans, brought, virals)


def _rhythm(rng: np.random.Generator, at_h: Floats, peak: float) -> Floats:
    """Return the rhythm of day and week: a broad evening, a smaller second peak, quieter and busier weekdays; mean
    about 1.
    """
    amplitude = rng.uniform(0.25, 0.75)
    angle = 2 * np.pi * (at_h - peak) / 24
    second = rng.uniform(0, 0.35) * np.cos(2 * angle + rng.uniform(0, 2 * np.pi))
    day = np.maximum(1 + amplitude * (np.cos(angle) + second), 0.05)
    week = np.exp(rng.normal(0, 0.12, 7))
    rhythm: Floats = day * (week / week.mean())[(at_h // 24).astype(int) % 7]
    return rhythm


def _wander(rng: np.random.Generator, days: int, sd: float) -> Floats:
    """Return an Ornstein-Uhlenbeck process with 18 hours of memory, hourly, linear between; one value a grid step."""
    hours = days * 24 + 2
    keep = math.exp(-1 / 18)
    shocks = rng.normal(0, sd * math.sqrt(1 - keep**2), hours)
    level, levels = float(rng.normal(0, sd)), np.empty(hours)
    for hour, shock in enumerate(shocks.tolist()):
        level = keep * level + shock
        levels[hour] = level
    wandered: Floats = np.interp(np.arange(days * _DAY_STEPS) * _STEP_H, np.arange(hours), levels)
    return wandered


def _viral_size(rng: np.random.Generator) -> float:
    return min(0.3 * (1 + float(rng.pareto(1.3))), 8.0)


def _spans(rng: np.random.Generator, days: int, peak: float) -> list[tuple[float, float]]:
    """Draw streams in hours: near the evening peak, with a habit and jitter of each creator."""
    often, jitter = rng.uniform(0.25, 0.85), rng.uniform(0.3, 2.5)
    median = 1.0 * math.exp(rng.normal(0, 0.35))
    spans: list[tuple[float, float]] = []
    starts = []
    for day in range(1, days - 1):
        if rng.random() < often:
            starts.append(day * 24 + peak + rng.normal(0, jitter))
            if rng.random() < 0.12:
                starts.append(starts[-1] + rng.uniform(2, 7))
    for start in sorted(starts):
        length = rng.uniform(5, 14) / 60 if rng.random() < 0.12 else median * math.exp(rng.normal(0, 0.65))
        length = min(max(length, 5 / 60), 6.0)
        if not spans or start > spans[-1][1] + 1 / 3:
            spans.append((start, start + length))
    return spans


def _lift_steps(rng: np.random.Generator, grid_h: Floats, per_day: float, start: float, end: float) -> Floats:
    """Return expected followers from a stream in each step: most while it lasts, the rest fading after it."""
    if rng.random() < _NO_LIFT_SHARE:
        return np.zeros(len(grid_h) - 1)
    total = per_day * min(math.exp(rng.normal(_LIFT_LOG_MEAN, _LIFT_LOG_SD)), 6.0)
    during, fading = rng.uniform(0.55, 0.85), rng.uniform(0.75, 4.0)
    on_air = np.clip((grid_h - start) / (end - start), 0, 1)
    after = -np.expm1(-np.maximum(grid_h - end, 0) / fading)
    steps: Floats = np.diff(total * (during * on_air + (1 - during) * after))
    return steps


def _snapshots(
    rng: np.random.Generator, scenario: Scenario, creator: Creator, days: int
) -> list[tuple[float, int, int]]:
    """Return (hour, count, unit) of every snapshot."""
    shape = 4.0

    def walk(since: float, until: float, gap_min: float) -> Floats:
        gaps = rng.gamma(shape, gap_min / 60 / shape, int((until - since) * 60 / gap_min * 1.5) + 12)
        at = since + np.cumsum(gaps)
        return at[at < until]

    off = walk(0, days * 24, scenario.off_air_min)
    parts = [off]
    for start, end in creator.spans_h:
        parts += [walk(start, end, scenario.on_air_min), end + np.array(_AFTER_END_MIN) / 60]
    at = np.unique(np.concatenate(parts))
    at = at[(at >= 0) & (at < days * 24)]
    stale = rng.random(at.size) < scenario.stale_share
    true_at = at - np.where(stale, rng.uniform(0, scenario.stale_min / 60, at.size), 0.0)
    counts = np.floor(np.interp(true_at, creator.grid_h, creator.followers)).astype(np.int64)
    if not scenario.rounded:
        return list(zip(at.tolist(), counts.tolist(), [1] * at.size, strict=True))
    quanta = np.where(counts >= 1_000_000, 100_000, np.where(counts >= 10_000, 100, 1))
    rounded = (counts + quanta // 2) // quanta * quanta
    return list(zip(at.tolist(), rounded.tolist(), quanta.tolist(), strict=True))


def _moment(column: str) -> pl.Expr:
    microseconds = ((pl.col(column) * 3600 + EPOCH_S) * 1e6).cast(pl.Int64)
    return pl.from_epoch(microseconds, "us").dt.replace_time_zone("UTC")


def _filled(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    empty = {
        name: pl.lit([], dtype) if isinstance(dtype, pl.List) else pl.lit(None, dtype) for name, dtype in schema.items()
    }
    return frame.select(
        pl.col(name).cast(dtype) if name in frame.columns else empty[name].alias(name) for name, dtype in schema.items()
    )


def stream_frame(rows: list[tuple[str, str, float, float]]) -> pl.DataFrame:
    """Return STREAMS of (stream_id, creator_id, start, end), in hours from the first."""
    frame = pl.DataFrame(rows, schema=["stream_id", "creator_id", "start", "end"], orient="row")
    return _filled(
        frame.select(
            "stream_id",
            "creator_id",
            started_at=_moment("start"),
            started_at_hi=_moment("start"),
            ended_at=_moment("end"),
            ended_at_lo=_moment("end"),
            ended_at_hi=_moment("end"),
            status=pl.lit("ended"),
            airtime_s=(pl.col("end") - pl.col("start")) * 3600,
        ),
        STREAMS.schema,
    )


def profile_frame(rows: list[tuple[str, float, int, int]]) -> pl.DataFrame:
    """Return PROFILE_OBSERVATIONS of (creator_id, hour, followers, unit)."""
    frame = pl.DataFrame(rows, schema=["creator_id", "at", "followers", "followers_unit"], orient="row")
    return _filled(
        frame.with_row_index("n").select(
            "creator_id",
            "followers",
            "followers_unit",
            vendor=pl.lit("social_fetch"),
            observed_at=_moment("at"),
            capture_id=pl.format("capture-{}", "n"),
            followers_precision=pl.when(pl.col("followers_unit") > 1)
            .then(pl.lit("rounded"))
            .otherwise(pl.lit("exact")),
            source=pl.lit("profile"),
        ),
        PROFILE_OBSERVATIONS.schema,
    )


SCENARIOS = (
    Scenario("15-minute snapshots"),
    Scenario("provisional (past only)", provisional=True),
    Scenario("60-minute snapshots", off_air_min=60, on_air_min=10),
    Scenario("240-minute snapshots", off_air_min=240, on_air_min=30),
    Scenario("30 % stale by up to 20 min", stale_share=0.3, stale_min=20),
    Scenario("30 % stale by up to 60 min", stale_share=0.3, stale_min=60),
    Scenario("no viral posts", viral_a_week=0, confounded=0),
    Scenario("2 viral a week, 25 % on a stream", viral_a_week=2, confounded=0.25),
    Scenario("5 days of counts in all", days=5, warm_up_days=0),
    Scenario("7 days of counts in all", days=7, warm_up_days=0),
    Scenario("14 days of counts in all", days=14, warm_up_days=0),
    Scenario("rounded as on the web", rounded=True),
)
