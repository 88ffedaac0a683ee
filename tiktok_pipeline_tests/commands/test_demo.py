"""The demo's world is the same on every day of the year, and its end has events to show."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tiktok_pipeline.cli import cli
from tiktok_pipeline.commands.demo import WorldOnDisk, _first_day, moved
from tiktok_pipeline.sandbox.world import World


def demo(now: datetime) -> WorldOnDisk:
    chosen = {option.name: option.default for option in cli.commands["demo"].params}
    days = int(str(chosen["days"]))
    return WorldOnDisk(int(str(chosen["seed"])), int(str(chosen["creators"])), _first_day(now, days), days)


@pytest.mark.parametrize("day", range(1, 15))
def test_it_starts_on_a_monday_and_ends_at_least_a_week_ago(day: int) -> None:
    now = datetime(2026, 11, day, 9, 30, tzinfo=UTC)
    world = demo(now)
    assert world.start.weekday() == 0
    assert timedelta(days=7) <= now - world.end <= timedelta(days=15)
    assert world.end.minute == world.end.second == 0


def test_at_its_end_a_creator_is_on_air_and_another_went_dark() -> None:
    made = demo(datetime(2026, 11, 21, tzinfo=UTC))
    world = World(made.seed, made.creators, start=made.start)
    plans = [world.streams(creator, made.start, made.end) for creator in world.creators if creator.kind == "public"]
    live = [
        plan for plan in plans if plan and plan[-1].ended_at > made.end > plan[-1].started_at + timedelta(minutes=15)
    ]
    dark = [plan for plan in plans if plan and plan[-1].ended_at < made.end - timedelta(days=3)]
    assert len(live) >= 2
    assert len(dark) >= 1


def test_another_week_has_the_same_streams() -> None:
    def begun(now: datetime) -> list[tuple[str, timedelta]]:
        made = demo(now)
        world = World(made.seed, made.creators, start=made.start)
        return [
            (creator.handle, stream.started_at - made.start)
            for creator in world.creators
            for stream in world.streams(creator, made.start, made.end)
        ]

    first = begun(datetime(2026, 11, 21, tzinfo=UTC))
    assert len(first) > 40
    assert begun(datetime(2027, 3, 4, tzinfo=UTC)) == first


def test_creators_without_polls_in_the_period_before_are_not_called_new() -> None:
    assert [moved(2, is_new=False), moved(-1, is_new=False), moved(0, is_new=False)] == ["+2", "-1", "="]
    assert [moved(None, is_new=True), moved(None, is_new=None)] == ["new", "–"]
