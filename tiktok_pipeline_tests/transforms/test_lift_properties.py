"""Properties of a lift for any counts."""

from __future__ import annotations

import math
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from tiktok_pipeline.config.settings import Lift
from tiktok_pipeline.tables import LIVE_OBSERVATIONS, POST_OBSERVATIONS, PROFILE_OBSERVATIONS, STREAMS
from tiktok_pipeline.transforms.lift import stream_lift
from tiktok_pipeline_tests.transforms.counts import (
    DAYS_H,
    END,
    START,
    captured,
    every,
    lifts,
    room_reading,
    rounded,
    snapshot,
    steady,
    stream,
    with_lift,
)
from tiktok_pipeline_tests.transforms.frames import frame, hours


@given(seed=st.integers(0, 2**16), again=st.integers(0, 30))
@settings(max_examples=10, deadline=None, derandomize=True)
def test_the_order_and_repetition_of_rows_change_nothing(seed: int, again: int) -> None:
    streams = frame(STREAMS, stream(), stream(30, 31), stream(30, 32, creator_id="bo"), stream(140, None))
    counts = frame(
        PROFILE_OBSERVATIONS,
        *every(45, with_lift(300)),
        *every(60, steady, creator_id="bo"),
        *every(50, rounded(steady, 100), vendor="konbini", followers_precision="rounded", followers_unit=100),
    )
    live = frame(LIVE_OBSERVATIONS, room_reading(START + 0.1, "a", 5), room_reading(START + 1.2, "b", 7))
    posts = frame(POST_OBSERVATIONS, *captured("a", START - 5, {START - 1: 10, END + 2: 30}))

    def shuffled(rows: pl.DataFrame) -> pl.DataFrame:
        return pl.concat([rows, rows.head(again)]).sample(fraction=1, shuffle=True, seed=seed)

    expected = stream_lift(streams, counts, live, posts, settings=Lift(), as_of=hours(DAYS_H))
    mixed = stream_lift(
        streams.sample(fraction=1, shuffle=True, seed=seed), shuffled(counts), shuffled(live), shuffled(posts),
        settings=Lift(), as_of=hours(DAYS_H),
    )  # fmt: skip
    assert_frame_equal(mixed, expected)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Draw any streams and counts."""
    starts = draw(st.lists(st.integers(0, 140), max_size=5, unique=True))
    streams = [stream(h, draw(st.sampled_from([None, h + 0.2, h + 3]))) for h in sorted(starts)]
    counts = draw(
        st.lists(
            st.builds(
                snapshot,
                st.floats(0, 144, allow_nan=False).map(lambda h: round(h, 2)),
                st.sampled_from([0, 1, 50, 1_000, 1_200, 9_000_000]),
                vendor=st.sampled_from(["konbini", "social_fetch"]),
                followers_unit=st.sampled_from([1, 100, None]),
            ),
            max_size=60,
        )
    )
    return streams, counts


@given(history=histories(), as_of=st.integers(0, 200))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_for_any_counts_a_lift_lies_within_its_interval_or_is_null(
    history: tuple[list[dict[str, Any]], list[dict[str, Any]]], as_of: int
) -> None:
    streams, counts = history
    for row in lifts(streams, counts, as_of=as_of):
        for name, value in row.items():
            assert not (isinstance(value, float) and not math.isfinite(value)), name
        known = [row[name] is not None for name in ("lift", "lift_lo", "lift_hi", "interval_level", "is_significant")]
        assert all(known) if row["observable"] else not any(known)
        if row["observable"]:
            assert row["lift_lo"] <= row["lift"] <= row["lift_hi"]
            assert row["lift"] == pytest.approx(row["naive_delta"] - row["expected_organic"])
