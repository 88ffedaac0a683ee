"""Streams against simulated truth: a small run of the benchmark with its own seed."""

from __future__ import annotations

import pytest

from benchmarks.accuracy.polled_lives import VENDORS, Lives, simulate
from benchmarks.accuracy.stream_rules import RULE_SETS, score


@pytest.fixture(scope="module")
def lives() -> Lives:
    return simulate(creators=60, days=10, seed=7)


def test_no_stream_is_split_merged_or_invented(lives: Lives) -> None:
    ours = score(lives, RULE_SETS["ours"])
    assert ours.true > 250
    assert (ours.split, ours.merged, ours.spurious) == (0, 0, 0)


def test_only_streams_without_any_reading_are_missed(lives: Lives) -> None:
    assert score(lives, RULE_SETS["ours"]).missed <= score(lives, RULE_SETS["every flip is a stream"]).missed


def test_starts_and_ends_are_close_to_the_truth(lives: Lives) -> None:
    ours = score(lives, RULE_SETS["ours"])
    assert ours.start_min <= 0.3
    assert ours.end_min <= 2.3


def test_the_plain_rules_split_streams(lives: Lives) -> None:
    assert score(lives, RULE_SETS["every flip is a stream"]).split > 0.1


def test_a_vendor_that_is_often_falsely_off_air_changes_little() -> None:
    flaky = (VENDORS[0], VENDORS[1].flaky(0.10), VENDORS[2])
    ours = score(simulate(creators=60, days=10, seed=8, vendors=flaky), RULE_SETS["ours"])
    assert (ours.split, ours.merged, ours.spurious) == (0, 0, 0)


def test_one_poll_of_the_room_makes_ends_exact() -> None:
    ours = score(simulate(creators=60, days=10, seed=9, ask_room=True), RULE_SETS["ours"])
    assert ours.end_min <= 0.4
