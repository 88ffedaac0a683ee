"""The rate limit bounds requests in any second, and requests in flight."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tiktok_pipeline.capture.clock import ReplayClock
from tiktok_pipeline.capture.rate_limit import Gate

START = datetime(2026, 11, 2, 10, tzinfo=UTC)


def send_all(requests: int, rate: float, in_flight: int, network_s: float = 0.0) -> tuple[list[datetime], int]:
    clock = ReplayClock(START)
    gate = Gate(clock, rate, in_flight)
    sent: list[datetime] = []
    out = most = 0

    async def send() -> None:
        nonlocal out, most
        async with gate.passing():
            sent.append(clock.now())
            out += 1
            most = max(most, out)
            await asyncio.sleep(network_s)
            out -= 1

    async def main() -> None:
        await clock.gather(send() for _ in range(requests))

    asyncio.run(main())
    return sent, most


@pytest.mark.parametrize("rate", [1, 5, 7.5, 20])
def test_no_second_has_more_requests_than_the_rate(rate: float) -> None:
    sent, _ = send_all(60, rate, 1000)
    for first in sent:
        within = [at for at in sent if first <= at < first + timedelta(seconds=1)]
        assert len(within) <= rate


def test_a_rate_below_one_per_second_is_held() -> None:
    sent, _ = send_all(4, 0.5, 10)
    assert [(at - START).total_seconds() for at in sent] == [0, 2, 4, 6]


def test_the_full_rate_is_used() -> None:
    sent, _ = send_all(100, 10, 1000)
    assert (max(sent) - START).total_seconds() == 9


def test_requests_in_flight_never_exceed_the_limit() -> None:
    _, most = send_all(40, 1000, 3, network_s=0.001)
    assert most == 3
