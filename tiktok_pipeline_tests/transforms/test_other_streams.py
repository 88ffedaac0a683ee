"""The effect of a creator's other streams on the estimate of one stream."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tiktok_pipeline.config.settings import Lift
from tiktok_pipeline.transforms.follower_days import Counts
from tiktok_pipeline.transforms.follower_series import HOUR_US, read_series
from tiktok_pipeline.transforms.other_streams import OtherStreams
from tiktok_pipeline.transforms.rhythm import DEFAULT_PRIOR, Floats

DAYS = 20


def other_streams(start: Floats, end: Floats, brought: Floats, rate: float = 40.0) -> OtherStreams:
    """Return a creator with a constant rate an hour, whose streams bring this many followers while they last."""
    at = np.arange(0, DAYS * 24, 0.25)
    on_air = np.clip((at[:, None] - start) / (end - start), 0, 1)
    followers = np.floor(10_003 + rate * at + on_air @ brought)
    counts = Counts("v", 1, False, (at * HOUR_US).astype(np.int64), followers)
    series = read_series(counts, start, end, DEFAULT_PRIOR, 0.0, Lift())
    return OtherStreams(series, start, end, Lift(), both=True)


def test_the_weakest_streams_of_an_hour_bound_the_growth_of_that_hour() -> None:
    start = np.arange(2, DAYS - 2) * 24 + 20.0
    brought = np.where(np.arange(start.size) % 2 == 0, 0.0, 500.0)
    found = other_streams(start, start + 2, brought)
    assert found.weakest(20.0) == pytest.approx(1.0, abs=0.15)
    assert other_streams(start, start + 2, np.full(start.size, 120.0)).weakest(20.0) == pytest.approx(2.0, abs=0.2)


def test_a_few_streams_or_streams_at_other_hours_give_no_bound() -> None:
    start = np.arange(2, DAYS - 2) * 24 + 20.0
    assert math.isnan(other_streams(start, start + 2, np.zeros(start.size)).weakest(8.0))
    assert math.isnan(other_streams(start[:4], start[:4] + 2, np.zeros(4)).weakest(20.0))


def test_a_stream_shortly_before_has_a_carry_over_and_one_of_the_previous_day_has_none() -> None:
    start = np.array([100.0, 104.0, 130.0])
    found = other_streams(start, start + 2, np.array([1_000.0, 0.0, 0.0]))
    assert 30 < found.carried_over(1, 104.0, 107.0) < 150
    assert found.carried_over(2, 130.0, 133.0) == 0
    assert found.carried_over(0, 100.0, 103.0) == 0


def test_a_stream_without_lift_has_no_carry_over() -> None:
    start = np.array([100.0, 104.0])
    assert other_streams(start, start + 2, np.array([0.0, 1_000.0])).carried_over(1, 104.0, 107.0) < 5
