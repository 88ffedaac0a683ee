"""How right are the estimates by hour of the week: `python -m benchmarks.accuracy.hours_of_week [seed ...]`.

Worlds of creators whose audience and lift depend on the hour, by a known effect. For each creator the best hour is
chosen by its estimate, once by `creator_hours` and once by the plain mean. Printed: the claimed advantage over the
creator's other hours, divided by the true one (1 is honest); the true advantage itself (a better choice has more); and
the share of intervals that cover the truth.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from tiktok_pipeline.transforms.hour_estimates import hour_estimates

_START = datetime(2026, 9, 7, tzinfo=UTC)
_CELL = ["creator_id", "weekday", "hour"]

# Standard deviation of the effect of a stream: viewers in logarithms, lift in shares of the creator's mean.
_STREAM_SD, _LIFT_SD = 0.5, 0.6
_NOISE_SD = 0.15

# Below this, there is no advantage to claim.
_NONE = 1e-9


@dataclass(frozen=True)
class HourWorld:
    """A world: streams a week, and the standard deviations of the effects of the hour of day and of week."""

    name: str
    streams_a_week: int
    day_sd: float
    week_sd: float
    # Neighbouring hours are alike.
    smooth: bool = True


WORLDS = (
    HourWorld("4 streams a week, strong hours", 4, 0.3, 0.1),
    HourWorld("2 streams a week, strong hours", 2, 0.3, 0.1),
    HourWorld("daily streams, weak hours", 7, 0.15, 0.05),
    HourWorld("4 a week, neighbouring hours unlike", 4, 0.3, 0.1, smooth=False),
    HourWorld("4 a week, hours do not matter", 4, 0.0, 0.0),
)


@dataclass(frozen=True)
class HourScore:
    """Claimed over true advantage of the best hour, its true advantage, and coverage, of one measure."""

    claimed: float
    claimed_by_means: float
    true_advantage: float
    true_advantage_by_means: float
    covered: float


def simulate_hours(world: HourWorld, *, creators: int, weeks: int, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return rows of `stream_hours`, and the true values: creator_id, weekday, hour, true_viewers, true_lift.

    Columns of the first: creator_id, stream_id, hour, airtime_s, counted_s, average_viewers, lift.
    """
    chance = np.random.default_rng(seed)
    rows: list[tuple[object, ...]] = []
    truth: list[tuple[object, ...]] = []
    for number in range(creators):
        creator = f"c{number:04}"
        viewers, lift = np.exp(chance.normal(6, 1.2)), np.exp(chance.normal(1.5, 0.8))
        day = chance.normal(size=24)
        if world.smooth:
            day = np.convolve(np.tile(day, 3), [0.25, 0.5, 0.25], "same")[24:48]
        day = (day - day.mean()) / day.std() * world.day_sd
        effect = np.tile(day, 7) + chance.normal(size=168) * world.week_sd
        usual = chance.integers(0, 24)
        for stream in range(weeks * world.streams_a_week):
            begin = timedelta(days=int(chance.integers(0, weeks * 7)), hours=int((usual + chance.normal() * 2.5) % 24))
            span = [_START + begin + timedelta(hours=hour) for hour in range(int(chance.integers(2, 5)))]
            cells = [moment.weekday() * 24 + moment.hour for moment in span]
            of_stream = chance.normal() * _STREAM_SD
            # A lift is measured for the stream, and shared by airtime.
            an_hour = lift * (1 + effect[cells].mean() + chance.normal() * _LIFT_SD)
            for moment, cell in zip(span, cells, strict=True):
                watching = viewers * np.exp(effect[cell] + of_stream + chance.normal() * _NOISE_SD)
                rows.append((creator, f"{creator}-{stream:04}", moment, 3600.0, 3600.0, watching, an_hour))
        truth.extend(
            (creator, cell // 24 + 1, cell % 24, viewers * np.exp(effect[cell]), lift * (1 + effect[cell]))
            for cell in range(168)
        )
    hours = pl.DataFrame(
        rows,
        schema=["creator_id", "stream_id", "hour", "airtime_s", "counted_s", "average_viewers", "lift"],
        orient="row",
    )
    true = pl.DataFrame(truth, schema=[*_CELL, "true_viewers", "true_lift"], orient="row")
    return hours, true.with_columns(pl.col("weekday", "hour").cast(pl.Int8))


def score_hours(world: HourWorld, *, creators: int, weeks: int, seed: int) -> dict[str, HourScore]:
    """Return the scores of viewers (in logarithms) and lift (in followers an hour)."""
    hours, truth = simulate_hours(world, creators=creators, weeks=weeks, seed=seed)
    cells = hours.with_columns(weekday=pl.col("hour").dt.weekday(), hour=pl.col("hour").dt.hour())
    means = cells.group_by(_CELL).agg(
        mean_viewers=pl.col("average_viewers").log().mean(), mean_lift=pl.col("lift").mean()
    )
    bounds = ("typical_viewers", "typical_viewers_lo", "typical_viewers_hi", "true_viewers")
    rows = (
        hour_estimates(hours)
        .join(truth, on=_CELL)
        .join(means, on=_CELL)
        .drop_nulls("typical_viewers")
        .with_columns(pl.col(bounds).clip(1).log())
        .sort(_CELL)
    )
    return {
        name: _score(rows, estimate, f"mean_{name}", f"true_{name}")
        for name, estimate in (("viewers", "typical_viewers"), ("lift", "typical_lift_per_hour"))
    }


def _score(rows: pl.DataFrame, estimate: str, mean: str, true: str) -> HourScore:
    def best(by: str) -> tuple[float, float]:
        """Return the claimed and the true advantage of each creator's best hour."""
        over = pl.col(by, true) - pl.col(by, true).mean().over("creator_id")
        chosen = (
            rows.select("creator_id", over)
            .sort(by, descending=True, maintain_order=True)
            .unique("creator_id", keep="first", maintain_order=True)
        )
        return float(chosen[by].mean()), float(chosen[true].mean())  # type: ignore[arg-type]

    claimed, advantage = best(estimate)
    by_means, means_advantage = best(mean)
    covered = rows.select(pl.col(true).is_between(pl.col(f"{estimate}_lo"), pl.col(f"{estimate}_hi")).mean()).item()
    return HourScore(
        claimed / advantage if advantage > _NONE else float("nan"),
        by_means / means_advantage if means_advantage > _NONE else float("nan"),
        advantage,
        means_advantage,
        covered,
    )


def main() -> None:
    """Print the table."""
    seeds = [int(seed) for seed in sys.argv[1:]] or [101, 102]
    print(
        f"200 creators, 8 weeks, seeds {', '.join(map(str, seeds))}; claimed advantage of the best hour / its true one"
    )
    print(f"{'world':<38}{'measure':<9}{'claimed':>8}{'(means)':>9}{'true':>7}{'(means)':>9}{'covers':>8}")
    for world in WORLDS:
        scores = [score_hours(world, creators=200, weeks=8, seed=seed) for seed in seeds]
        for measure in ("viewers", "lift"):
            each = [score[measure] for score in scores]
            columns = [
                float(np.mean([getattr(one, field) for one in each]))
                for field in ("claimed", "claimed_by_means", "true_advantage", "true_advantage_by_means", "covered")
            ]
            print(
                f"{world.name:<38}{measure:<9}{columns[0]:>8.2f}{columns[1]:>9.2f}{columns[2]:>7.2f}{columns[3]:>9.2f}"
                f"{columns[4]:>8.2f}"
            )


if __name__ == "__main__":
    main()
