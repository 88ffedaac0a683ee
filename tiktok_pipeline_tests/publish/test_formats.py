"""Numbers in the format of the report."""

from __future__ import annotations

from datetime import datetime

import pytest

from tiktok_pipeline.publish import formats


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"), (0, "0"), (0.004, "0"), (7, "7"), (2.5, "2.5"), (9.996, "10"), (940.4, "940"), (999.4, "999"),
        (999.6, "1k"), (12_345, "12.3k"), (123_456, "123k"), (999_600, "1M"), (4_621_000, "4.62M"), (-2_670, "−2.67k"),
        (1e30, "1000000000000000000000B"), (float("inf"), "infB"),
        (1.2e9, "1.2B"),
    ],
)  # fmt: skip
def test_counts_have_at_most_three_digits(value: float | None, text: str) -> None:
    assert formats.count(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0.3, "0"), (-0.4, "0"), (0.87, "+1"), (333.2, "+333"), (-1_234, "−1.23k")]
)
def test_follower_changes_are_whole_and_signed(value: float | None, text: str) -> None:
    assert formats.gained(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(None, "–"), (0.0, "0 %"), (0.0004, "under 0.1 %"), (0.073, "7.3 %"), (0.64, "64 %"), (1, "100 %")],
)
def test_shares_are_percentages(share: float | None, text: str) -> None:
    assert formats.percent(share) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (45, "45 s"),
        (299, "5 min"),
        (3_600, "1 h 00 min"),
        (6_240, "1 h 44 min"),
        (259_200, "72 h 00 min"),
        (359_999, "100 h"),
        (4_320_000, "1,200 h"),
    ],
)
def test_lengths_are_in_usual_units(seconds: float | None, text: str) -> None:
    assert formats.duration(seconds) == text


def test_times_have_no_leading_zero_in_the_day() -> None:
    at = datetime(2026, 11, 2, 7, 5)  # noqa: DTZ001 - the snapshot's times are UTC without a zone
    assert formats.moment(at) == "Mon 2 Nov, 07:05"
    assert formats.short_moment(at) == "2 Nov, 07:05"
    assert formats.long_day(at) == "Monday, 2 November 2026"
    assert formats.moment(None) == "–"


def test_exact_numbers_are_formatted() -> None:
    assert formats.exactly(1_234_567.2) == "1,234,567"
    assert formats.exactly(None) == "–"
