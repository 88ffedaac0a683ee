"""Follower counts by day do not depend on the order of rows or on the split into days."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from tiktok_pipeline.tables import PROFILE_OBSERVATIONS
from tiktok_pipeline.transforms.follower_days import (
    Counts,
    FollowerHistory,
    WholeBlock,
    index_frame,
    index_of_frame,
    read_block,
)
from tiktok_pipeline_tests.transforms.frames import frame, hours

Row = dict[str, Any]
HOUR_US = 3_600_000_000


def micros(hour: float) -> int:
    return (hours(hour) - hours(0)) // timedelta(microseconds=1) + int(hours(0).timestamp() * 1_000_000)


def count(hour: float, followers: int | None = 1_003, **more: Any) -> Row:
    return {
        "creator_id": "ana", "vendor": "social_fetch", "observed_at": hours(hour), "capture_id": f"{hour}",
        "source": "profile", "followers": followers, "followers_unit": 1, "followers_precision": "exact",
    } | more  # fmt: skip


def whole(*rows: Row) -> WholeBlock:
    return WholeBlock.of(frame(PROFILE_OBSERVATIONS, *rows).lazy())


def series(found: list[Counts]) -> list[tuple[Any, ...]]:
    return [(c.vendor, c.unit, c.listed, c.unit_found, c.at.tolist(), c.followers.tolist()) for c in found]


def test_counts_without_a_unit_and_rows_without_a_count_are_omitted() -> None:
    block = read_block(
        frame(
            PROFILE_OBSERVATIONS, count(1, None), count(2, followers_unit=None, followers_precision=None),
            count(3, followers_unit=None), count(4),
        ).lazy()
    )  # fmt: skip
    assert block.at.tolist() == [micros(3), micros(4)]
    assert read_block(PROFILE_OBSERVATIONS.empty().lazy()).index() == {}


def test_the_larger_of_two_counts_at_one_instant_is_kept() -> None:
    block = read_block(frame(PROFILE_OBSERVATIONS, count(1, 5), count(1, 9), count(1, 7), count(2, 3)).lazy())
    assert block.followers.tolist() == [9, 3]


def test_the_total_of_a_follower_list_is_its_own_series() -> None:
    history = FollowerHistory([whole(count(1), count(1, 1_900, source="followers"))])
    assert [(c.listed, c.followers.tolist()) for c in history.read({"ana": micros(9)})["ana"]] == [
        (False, [1_003.0]), (True, [1_900.0]),
    ]  # fmt: skip


def test_a_unit_is_found_over_all_days() -> None:
    # Each day alone has too few counts to show it.
    days = [whole(count(24 * day, 12_310 + 10 * day)) for day in range(5)]
    (found,) = FollowerHistory(days).read({"ana": micros(999)})["ana"]
    assert (found.unit, found.unit_found, found.at.size) == (10, True, 5)


@st.composite
def rows(draw: st.DrawFn) -> list[Row]:
    """Draw counts of any creator, vendor, unit and time; many at the same instant."""
    return draw(
        st.lists(
            st.builds(
                count,
                st.integers(0, 95).map(lambda quarter: quarter / 4),
                st.sampled_from([0, 7, 1_000, 1_200, 12_300, 10**12]),
                creator_id=st.sampled_from(["ana", "bo", "Ünï"]),
                vendor=st.sampled_from(["konbini", "tikhub"]),
                source=st.sampled_from(["profile", "followers", None]),
                followers_unit=st.sampled_from([1, 100, None]),
            ),
            max_size=40,
        )
    )


@given(found=rows(), cut=st.integers(0, 24), seed=st.integers(0, 99), until=st.integers(0, 30))
@settings(max_examples=80, deadline=None, derandomize=True)
def test_the_order_of_rows_and_the_split_into_days_change_nothing(
    found: list[Row], cut: int, seed: int, until: int
) -> None:
    shuffled = frame(PROFILE_OBSERVATIONS, *found).sample(fraction=1, shuffle=True, seed=seed)
    early = pl.col("observed_at") < hours(cut)
    in_parts = FollowerHistory([WholeBlock.of(shuffled.filter(part).lazy()) for part in (early, ~early)])
    in_one = FollowerHistory([whole(*found)])
    bounds = dict.fromkeys(in_one.creators(micros(until)), micros(until))
    assert in_parts.creators(micros(until)) == list(bounds)
    assert in_parts.first_at() == in_one.first_at()
    one, parts = in_one.read(bounds), in_parts.read(bounds)
    assert {name: series(each) for name, each in one.items()} == {name: series(each) for name, each in parts.items()}
    # One creator's counts do not depend on the other creators that are read.
    for name in bounds:
        assert series(in_one.read({name: micros(until)})[name]) == series(one[name])
        within = in_one.counted_within(name, micros(cut), micros(until))
        assert within == in_parts.counted_within(name, micros(cut), micros(until))


@given(found=rows(), other=rows())
@settings(max_examples=80, deadline=None, derandomize=True)
def test_creators_with_the_same_digest_have_the_same_counts(found: list[Row], other: list[Row]) -> None:
    histories = [FollowerHistory([whole(*each)]) for each in (found, other)]
    until = micros(99)
    for name in {*histories[0].creators(until), *histories[1].creators(until)}:
        digests = [history.digest(name, until) for history in histories]
        read = [series(history.read({name: until})[name]) for history in histories]
        assert (digests[0] == digests[1]) or read[0] != read[1] or found != other
        if digests[0] == digests[1]:
            assert read[0] == read[1]


def test_the_digest_up_to_an_instant_is_that_of_the_counts_up_to_it() -> None:
    day = whole(count(1), count(2), count(3))
    assert day.counts.digest("ana", micros(2)) == whole(count(1), count(2)).counts.digest("ana")
    assert day.counts.digest("ana", micros(3)) == day.counts.digest("ana")
    assert day.counts.digest("ana") != whole(count(1), count(2), count(3, 9)).counts.digest("ana")
    assert day.counts.digest("ana") != whole(count(1), count(2), count(3, vendor="tikhub")).counts.digest("ana")
    # A count of another creator or vendor in the block changes nothing.
    more = whole(count(1), count(2), count(3), count(1, creator_id="bo", vendor="a"), count(9, creator_id="zoe"))
    assert day.counts.digest("ana") == more.counts.digest("ana")


def test_an_index_is_stored_and_read_back() -> None:
    index = whole(count(1), count(2, creator_id="bo")).index()
    assert index_of_frame(index_frame(index)) == index


def test_instants_too_far_apart_for_one_integer_are_sorted_correctly() -> None:
    names = [f"c{n:05d}" for n in range(3_000)]
    far = [count(n % 7, creator_id=name) for n, name in enumerate(names)]
    far.append(count(0, creator_id="c00000") | {"observed_at": hours(0).replace(year=1971)})
    far.append(count(0, creator_id="c02999") | {"observed_at": hours(0).replace(year=9_000)})
    block = read_block(frame(PROFILE_OBSERVATIONS, *far).lazy())
    a, b = block.spans["c00000"]
    assert b - a == 2
    assert (np.diff(block.at[a:b]) > 0).all()
