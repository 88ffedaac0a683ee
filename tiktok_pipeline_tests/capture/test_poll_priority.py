"""Learn habits from past streams, and choose the creators to poll next."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from benchmarks.polling import simulate
from tiktok_pipeline.capture.habits import Habits, learn
from tiktok_pipeline.capture.poll_priority import Known, most_valuable
from tiktok_pipeline.sandbox.world import World

# A Monday.
NOW = datetime(2026, 3, 30, tzinfo=UTC)
SINCE = NOW - timedelta(weeks=6)


def learned(*starts: tuple[str, datetime], creators: Sequence[str] = ("ana", "bo"), length_min: float = 60) -> Habits:
    seen = pl.DataFrame(
        [(creator, at, at + timedelta(minutes=length_min)) for creator, at in starts],
        schema={
            "creator_id": pl.String,
            "started_at": pl.Datetime("us", "UTC"),
            "ended_at": pl.Datetime("us", "UTC"),
        },
        orient="row",
    )
    return learn(seen, list(creators), dict.fromkeys(creators, SINCE), NOW)


def mondays_at_20(creator: str = "ana") -> list[tuple[str, datetime]]:
    return [(creator, NOW - timedelta(weeks=week) + timedelta(hours=20)) for week in range(1, 7)]


def known(asked: Sequence[float], live: Sequence[float | None] = (), confirm: Sequence[int] = ()) -> Known:
    """Return the state from minutes since each creator's last poll and, for live creators, the age of the stream."""
    ages = [*live, *[None] * (len(asked) - len(live))]
    return Known(
        since_poll=np.array(asked, dtype=np.float64),
        live=np.array([age is not None for age in ages]),
        age=np.array([0.0 if age is None else age for age in ages]),
        confirm=np.isin(np.arange(len(asked)), list(confirm)),
    )


def chosen(habits: Habits, now: datetime, state: Known, count: int = 1) -> list[int]:
    return most_valuable(habits, state, now, count=count, shortest_min=2, longest_min=30)


def test_a_weekly_slot_is_learned_for_its_weekday_and_hour() -> None:
    habits = learned(*mondays_at_20())
    monday, tuesday = NOW + timedelta(hours=20), NOW + timedelta(days=1, hours=20)
    assert habits.start_rate(monday)[0] > 1.5 * habits.start_rate(tuesday)[0]
    assert habits.start_rate(tuesday)[0] > 5 * habits.start_rate(NOW + timedelta(hours=8))[0]
    # Six starts in six weeks, the older ones with less weight, and a prior from the average rate.
    assert 0.5 < habits.started[0, -1] < 1.1


def test_every_start_rate_is_above_zero_and_new_creators_get_the_average_rate() -> None:
    habits = learned(*mondays_at_20(), creators=("ana", "bo", "cy"))
    assert habits.starts.min() > 0
    nothing_seen = learned()
    assert np.allclose(nothing_seen.starts, nothing_seen.starts[0, 0])


def test_recent_starts_weigh_more_than_old_ones() -> None:
    old = [("ana", NOW - timedelta(weeks=6) + timedelta(hours=20, minutes=week)) for week in range(3)]
    new = [("bo", NOW - timedelta(weeks=1) + timedelta(hours=20, minutes=week)) for week in range(3)]
    habits = learned(*old, *new)
    rates = habits.start_rate(NOW + timedelta(hours=20))
    assert rates[1] > 1.5 * rates[0]


def test_learned_rates_do_not_depend_on_the_order_of_starts() -> None:
    starts = [*mondays_at_20(), *mondays_at_20("bo"), ("bo", NOW - timedelta(days=3))]
    assert np.allclose(learned(*starts).starts, learned(*reversed(starts)).starts)
    assert np.allclose(learned(*starts, ("stranger", NOW - timedelta(days=1))).starts, learned(*starts).starts)


def test_expected_starts_add_up_across_the_end_of_the_week() -> None:
    habits = learned(*mondays_at_20())
    sunday = NOW + timedelta(days=7, minutes=-37)
    whole = habits.starts_since(np.array([90.0, 90.0]), sunday + timedelta(minutes=60))
    parts = habits.starts_since(np.array([60.0, 60.0]), sunday + timedelta(minutes=60)) + habits.starts_since(
        np.array([30.0, 30.0]), sunday
    )
    assert whole == pytest.approx(parts)
    week = habits.starts_since(np.full(2, 7 * 1440.0), sunday)
    assert week == pytest.approx(habits.started[:, -1])


def test_short_past_streams_raise_the_end_rate_of_young_streams() -> None:
    short, long = learned(*mondays_at_20(), length_min=12), learned(*mondays_at_20(), length_min=170)
    assert short.end_rate(np.array([12.0]))[0] > 3 * long.end_rate(np.array([12.0]))[0]
    assert long.ends_between(np.array([10.0]), np.array([25.0]))[0] == pytest.approx(
        5 * long.end_rate(np.array([12.0]))[0]
        + 5 * long.end_rate(np.array([17.0]))[0]
        + 5 * long.end_rate(np.array([22.0]))[0]
    )


def test_a_creator_who_usually_starts_now_is_polled_first() -> None:
    habits = learned(*mondays_at_20("bo"))
    state = known([12, 12])
    assert chosen(habits, NOW + timedelta(hours=20, minutes=10), state) == [1]


def test_unconfirmed_ends_are_polled_first_then_creators_beyond_the_longest_gap() -> None:
    habits = learned(*mondays_at_20("ana"), creators=("ana", "bo", "cy"))
    state = known([12, 45, 3], live=[None, None, 20.0], confirm=[2])
    assert chosen(habits, NOW + timedelta(hours=20, minutes=10), state, count=3) == [2, 1, 0]


def test_no_creator_is_polled_twice_within_the_shortest_gap() -> None:
    habits = learned(creators=("ana", "bo", "cy"))
    assert chosen(habits, NOW, known([1.0, 1.5, np.inf], confirm=[1]), count=3) == [2]


def test_a_creator_without_any_poll_is_polled_first() -> None:
    habits = learned()
    assert chosen(habits, NOW, known([29.0, np.inf])) == [1]


def test_the_adaptive_policy_halves_the_detection_delay_with_the_same_number_of_polls() -> None:
    """At most half the delay and 0.6 of the misses, after two weeks of learning."""
    world = World(seed=101, creators=60, start=datetime(2026, 3, 2, tzinfo=UTC))
    plain, adaptive = (simulate(world, every_min=15, adaptive=adaptive, days=35) for adaptive in (False, True))
    assert adaptive.polls <= plain.polls
    assert adaptive.streams > 500
    assert adaptive.median <= 0.5 * plain.median
    assert adaptive.missed <= 0.6 * plain.missed
    assert adaptive.p90 <= plain.p90
