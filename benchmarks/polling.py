"""Compare detection delays for the same number of polls: round robin against learned habits.

    python -m benchmarks.polling [creators] [minutes between polls]

Six weeks of a sandbox world, one poll a tick, without HTTP. The policy learns from the streams that it found itself,
once a night; the first two weeks are excluded. A poll may be falsely off air (1 %).
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from tiktok_pipeline.capture.habits import Floats, Habits, learn
from tiktok_pipeline.capture.poll_priority import Known, most_valuable
from tiktok_pipeline.sandbox.world import World

_START = datetime(2026, 3, 2, tzinfo=UTC)
_DAYS, _WARM_UP_DAYS = 42, 14
_FALSELY_OFF = 0.01
_MIN_GAP = 2.0
_SHORT_MIN = 15.0


@dataclass(frozen=True)
class Score:
    """Minutes and shares over all true streams after the warm-up; a missed one has no delay."""

    polls: int
    median: float
    p90: float
    missed: float
    missed_short: float
    end_median: float
    streams: int
    cpu_ms_a_tick: float


def simulate(world: World, *, every_min: float, adaptive: bool, days: int = _DAYS, seed: int = 1) -> Score:
    """Simulate `days` at one poll a creator each `every_min` minutes, confirmations and live streams included."""
    names = [creator.handle for creator in world.creators]
    zero = _START.timestamp()
    end = _START + timedelta(days=days)
    lives = [
        [((s.start_s - zero) / 60, (s.end_s - zero) / 60) for s in world.streams(creator, _START, end)]
        for creator in world.creators
    ]
    rng = np.random.default_rng(seed)
    count = len(names)
    polled_at, live, age_from = np.full(count, -np.inf), np.zeros(count, bool), np.zeros(count)
    confirm, at = np.zeros(count, bool), np.zeros(count, np.int64)
    seen: dict[tuple[int, float], list[float]] = {}
    tokens, polls, spent = 0.0, 0, 0.0
    habits: Habits | None = None
    for minute in range(days * 1440):
        now = _START + timedelta(minutes=minute)
        begun = time.process_time()
        if minute % 1440 == 0:
            habits = learn(_found(seen, names), names, dict.fromkeys(names, _START), now)
        per_tick = count / every_min
        tokens = min(tokens + per_tick, 3 * max(per_tick, 1.0))
        known = Known(minute - polled_at, live, minute - age_from, confirm)
        if adaptive and habits is not None:
            chosen = most_valuable(
                habits, known, now, count=int(tokens), shortest_min=_MIN_GAP, longest_min=2 * every_min
            )
        else:
            chosen = _round_robin(known, int(tokens))
        spent += time.process_time() - begun
        tokens -= len(chosen)
        polls += len(chosen)
        for n in chosen:
            while at[n] < len(lives[n]) and lives[n][at[n]][1] <= minute:
                at[n] += 1
            on = at[n] < len(lives[n]) and lives[n][at[n]][0] <= minute and rng.uniform() >= _FALSELY_OFF
            polled_at[n] = minute
            if on:
                start = lives[n][at[n]][0]
                seen.setdefault((n, start), [float(minute), np.nan])[1] = np.nan
                live[n], age_from[n], confirm[n] = True, start, False
            elif live[n] and not confirm[n]:
                confirm[n] = True
                seen[n, age_from[n]][1] = float(minute)
            elif live[n]:
                live[n] = confirm[n] = False
    return _score(lives, seen, polls, days, 1000 * spent / (days * 1440))


def _round_robin(known: Known, count: int) -> list[int]:
    order = np.lexsort((-known.since_poll, ~known.confirm))
    return [int(n) for n in order if known.since_poll[n] >= _MIN_GAP][:count]


def _found(seen: dict[tuple[int, float], list[float]], names: list[str]) -> pl.DataFrame:
    def moment(minute: float) -> datetime | None:
        return None if np.isnan(minute) else _START + timedelta(minutes=minute)

    return pl.DataFrame(
        [(names[n], moment(start), moment(end)) for (n, start), (_, end) in seen.items()],
        schema={
            "creator_id": pl.String,
            "started_at": pl.Datetime("us", "UTC"),
            "ended_at": pl.Datetime("us", "UTC"),
        },
        orient="row",
    )


def _score(
    lives: list[list[tuple[float, float]]],
    seen: dict[tuple[int, float], list[float]],
    polls: int,
    days: int,
    cpu_ms: float,
) -> Score:
    delays, ends, lengths = [], [], []
    for n, streams in enumerate(lives):
        for start, end in streams:
            if start >= _WARM_UP_DAYS * 1440 and end < (days - 1) * 1440:
                first, over = seen.get((n, start), [np.inf, np.nan])
                delays.append(first - start)
                lengths.append(end - start)
                if np.isfinite(first) and np.isfinite(over):
                    ends.append(max(over - end, 0.0))
    delay: Floats = np.array(delays)
    short = np.array(lengths) < _SHORT_MIN
    return Score(
        polls=polls,
        median=float(np.median(delay)),
        p90=float(np.quantile(delay, 0.9, method="inverted_cdf")),
        missed=float(np.isinf(delay).mean()),
        missed_short=float(np.isinf(delay[short]).mean()),
        end_median=float(np.median(ends)),
        streams=delay.size,
        cpu_ms_a_tick=cpu_ms,
    )


def main() -> None:
    """Print both policies at several budgets."""
    creators = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    budgets = [float(sys.argv[2])] if len(sys.argv) > 2 else [5.0, 15.0, 25.0, 30.0]
    world = World(seed=101, creators=creators, start=_START)
    print(f"{creators} creators, {_DAYS} days; delays in minutes over all streams after {_WARM_UP_DAYS} days")
    print(f"{'policy':<28}{'polls':>10}{'streams':>8}{'median':>8}{'p90':>7}{'missed':>8}{'<15 min':>8}", end="")
    print(f"{'end':>6}{'ms/tick':>9}")
    for every_min in budgets:
        for name, adaptive in (("round robin", False), ("adaptive", True)):
            s = simulate(world, every_min=every_min, adaptive=adaptive)
            print(f"{f'{name}, every {every_min:g} min':<28}{s.polls:>10,}{s.streams:>8,}{s.median:>8.2f}", end="")
            print(f"{s.p90:>7.1f}{s.missed:>8.2%}{s.missed_short:>8.1%}{s.end_median:>6.1f}", end="")
            print(f"{s.cpu_ms_a_tick:>9.2f}", flush=True)


if __name__ == "__main__":
    main()
