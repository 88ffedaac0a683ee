"""A round that exceeds the rate limit is reported, with changes that solve the problem."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime

import pytest

from tiktok_pipeline.capture.clock import ReplayClock
from tiktok_pipeline.capture.rate_limit import Gate, sustained_rate
from tiktok_pipeline.capture.rounds import live_round
from tiktok_pipeline.config.settings import Routes, Settings, Watch
from tiktok_pipeline.providers.vendor import Limits

BOTH = ("social_fetch", "konbini")


def settings(requests_per_second: float = 50.0, **watch: int) -> Settings:
    limits = Settings().vendors | {"social_fetch": Limits(requests_per_second=requests_per_second)}
    return Settings(vendors=limits, watch=Watch(**watch))


def test_the_default_round_fits_up_to_about_13_600_creators() -> None:
    fits, too_many = (live_round(settings(), creators, BOTH) for creators in (13_600, 13_700))
    assert fits is not None
    assert fits.problem is None
    assert too_many is not None
    assert too_many.problem is not None


def test_the_problem_names_the_vendor_the_polls_the_times_and_the_changes() -> None:
    found = live_round(settings(), 20_000, BOTH)
    assert found is not None
    assert found.problem == (
        "social_fetch needs 440 s for a round of 20,000 polls; planned are 300 s: at 50 requests a second a round is "
        "1.5 times as long, and streams are found later. Set [watch] round_seconds (and max_gap_minutes) to at least "
        "440 s, or [vendors.social_fetch] requests_per_second to at least 74 if your plan allows it, or keep at most "
        "13,636 creators on the roster"
    )


@pytest.mark.parametrize("rate", [0.05, 0.5, 0.9, 1.0, 1.5, 2.9, 3.0, 50.0, 99.5])
@pytest.mark.parametrize("creators", [1, 7, 500, 20_000])
def test_each_suggested_change_solves_the_problem(rate: float, creators: int) -> None:
    found = live_round(settings(rate), creators, BOTH)
    assert found is not None
    if found.problem is None:
        return
    seconds, faster, fewer = (
        float(re.search(pattern, found.problem)[1].replace(",", ""))  # type: ignore[index]
        for pattern in (r"to at least ([\d,]+) s", r"to at least ([\d.e+-]+) if", r"at most ([\d,]+) creators")
    )
    for changed, number in (
        (settings(rate, round_seconds=int(seconds), max_gap_minutes=int(seconds / 60) + 1), creators),
        (settings(faster), creators),
        (settings(rate), int(fewer)),
    ):
        again = live_round(changed, number, BOTH)
        assert again is None or again.fits


def test_the_longest_gap_bounds_a_round() -> None:
    found = live_round(settings(round_seconds=7200, max_gap_minutes=5), 20_000, BOTH)
    assert found is not None
    assert not found.fits


def test_the_first_vendor_with_credentials_is_polled() -> None:
    found = live_round(settings(), 20_000, ["konbini"])
    assert found is not None
    assert found.vendor == "konbini"
    assert live_round(settings(), 20_000, []) is None
    assert live_round(Settings(routes=Routes(live=())), 20_000, BOTH) is None
    assert live_round(settings(), 0, BOTH) is None


@pytest.mark.parametrize("rate", [0.5, 1.0, 3.0, 50.0])
def test_the_sustained_rate_equals_the_rate_that_the_limit_lets_through(rate: float) -> None:
    start = datetime(2026, 11, 2, tzinfo=UTC)
    clock = ReplayClock(start)
    requests = 400

    async def main() -> None:
        gate = Gate(clock, rate, 8)
        for _ in range(requests):
            async with gate.passing():
                pass

    asyncio.run(main())
    took = (clock.now() - start).total_seconds()
    assert requests / took == pytest.approx(sustained_rate(rate, replaying=True), rel=0.15)
