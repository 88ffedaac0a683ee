"""The real clock, the fast clock and the replay clock."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tiktok_pipeline.capture.clock import RealClock, ReplayClock, hours_between, real_clock, replaying, rfc3339
from tiktok_pipeline.errors import SettingsError

START = datetime(2026, 11, 2, 10, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_the_replay_clock_wakes_sleepers_in_order_of_time() -> None:
    clock, seen = ReplayClock(START), []

    async def sleeper(name: str, *waits: float) -> None:
        for wait in waits:
            await clock.sleep_until(clock.now() + timedelta(seconds=wait))
            seen.append((name, (clock.now() - START).total_seconds()))

    async def main() -> None:
        await clock.gather([sleeper("a", 3600, 10), sleeper("b", 60, 60), sleeper("c")])

    asyncio.run(main())
    assert seen == [("b", 60), ("b", 120), ("a", 3600), ("a", 3610)]
    assert clock.now() == after(3610)


def test_the_replay_clock_stands_still_while_a_request_is_in_flight() -> None:
    clock, seen = ReplayClock(START), []

    async def request() -> None:
        await asyncio.sleep(0.02)  # Network time is real time.
        seen.append(("response", clock.now()))

    async def sleeps() -> None:
        await clock.sleep_until(after(1))
        seen.append(("woke", clock.now()))

    async def main() -> None:
        await clock.gather([sleeps(), request()])

    asyncio.run(main())
    assert seen == [("response", START), ("woke", after(1))]


def test_the_replay_clock_lets_other_tasks_run_before_it_moves() -> None:
    clock = ReplayClock(START)

    async def child() -> None:
        await clock.sleep_until(after(5))

    async def parent(seen: list[datetime]) -> None:
        await clock.gather([child(), child()])
        seen.append(clock.now())

    async def other() -> None:
        await clock.sleep_until(after(1_000_000))

    async def main() -> list[datetime]:
        seen: list[datetime] = []
        await clock.gather([parent(seen), other()])
        return seen

    assert asyncio.run(main()) == [after(5)]


def test_the_replay_clock_never_goes_back() -> None:
    clock = ReplayClock(START)

    async def main() -> datetime:
        await clock.sleep_until(START - timedelta(hours=1))
        return clock.now()

    assert asyncio.run(main()) == START


def test_gather_on_the_replay_clock_ends_when_one_task_fails() -> None:
    clock = ReplayClock(START)

    async def fails() -> None:
        await clock.sleep_until(after(1))
        raise ValueError("no")

    async def sleeps() -> None:
        await clock.sleep_until(after(10_000))

    async def main() -> None:
        await clock.gather([fails(), sleeps()])

    with pytest.raises(ValueError, match="no"):
        asyncio.run(main())


def test_the_real_clock_waits() -> None:
    clock = RealClock()
    begun = clock.now()
    asyncio.run(clock.sleep_until(begun + timedelta(seconds=0.05)))
    assert clock.now() - begun >= timedelta(seconds=0.05)


def test_a_fast_clock_shows_the_same_time_in_every_process() -> None:
    wall = datetime.now(UTC) - timedelta(minutes=1)
    environment = {
        "TIKTOK_PIPELINE_CLOCK_SPEED": "60",
        "TIKTOK_PIPELINE_CLOCK_ANCHOR": f"{wall.isoformat()}/{START.isoformat()}",
    }
    shown = real_clock(environment).now()
    assert abs((shown - after(3600)).total_seconds()) < 60


def test_an_unknown_clock_name_is_refused() -> None:
    assert replaying({"TIKTOK_PIPELINE_CLOCK": "replay"})
    assert not replaying({})
    with pytest.raises(SettingsError, match="real or replay"):
        replaying({"TIKTOK_PIPELINE_CLOCK": "sundial"})


def test_times_are_formatted_as_rfc_3339_in_utc() -> None:
    assert rfc3339(datetime(2026, 11, 2, 10, 0, 0, 123_000, tzinfo=UTC)) == "2026-11-02T10:00:00.123Z"


def test_hours_between_returns_every_hour_that_a_span_touches() -> None:
    assert hours_between(after(1800), after(3600)) == [START]
    assert hours_between(after(1800), after(3601)) == [START, after(3600)]
    assert hours_between(START, START) == []


def test_a_fast_clock_stands_still_until_its_anchor() -> None:
    """`make dev` starts it when Dagster has started: nobody polls the world before."""
    anchor, shows = datetime(2026, 11, 20, 12, tzinfo=UTC), datetime(2026, 11, 3, tzinfo=UTC)
    clock = RealClock(speed=60, anchor=anchor, start=shows)
    assert clock.at(anchor - timedelta(seconds=30)) == shows
    assert clock.stands_still(anchor - timedelta(seconds=30))
    assert not clock.stands_still(anchor)
    assert not RealClock().stands_still(anchor)
    assert clock.at(anchor + timedelta(seconds=30)) == shows + timedelta(minutes=30)
