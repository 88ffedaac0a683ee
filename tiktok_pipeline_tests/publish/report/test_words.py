"""Texts of the report for flags and intervals."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tiktok_pipeline.publish.report import words

METHODS = (Path(__file__).parents[3] / "docs" / "methods.md").read_text()
# Flags of a stream and of its lift; those of other tables are not shown.
METHODS = METHODS[METHODS.index("## 1. Streams") : METHODS.index("## 5. Conversions")]


def documented() -> set[str]:
    """Return the flags of the tables `| flag | meaning |`."""
    tables = re.findall(r"\| flag \| meaning \|\n\|[-|]+\|\n((?:\|.*\n)+)", METHODS)
    return {
        flag for table in tables for line in table.splitlines() for flag in re.findall(r"`(\w+)`", line.split("|")[1])
    }


def test_every_documented_flag_has_a_text() -> None:
    assert len(documented()) > 15
    assert documented() <= words.CAVEATS.keys()


def test_a_flag_without_words_is_named_and_none_is_repeated() -> None:
    assert words.caveats(["brand_new", "few_placebo", "few_placebo"]) == [
        "brand new",
        "the interval relies on other creators",
    ]
    assert words.caveats(["no_end", "late_before"], known=words.REASONS) == [words.CAVEATS["late_before"]]


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["below_resolution"], "rounded to 100,000"),
        (["censored_end", "no_end"], "no known end"),
        (["no_before"], "before it"),
        (["no_after"], "after it"),
        (["shared_bracket"], "another stream"),
        ([], "nothing|no off-air time"),
    ],
)
def test_an_unobservable_lift_has_a_reason(flags: list[str], text: str) -> None:
    assert re.search(text, words.not_observable(flags, 100_000))


def test_an_interval_that_touches_zero_is_no_clear_effect() -> None:
    assert words.verdict(0.0, 9.0) == words.verdict(-3.0, 9.0) == words.verdict(-3.0, 0.0) == "no clear effect"
    assert words.verdict(1.0, 9.0) == "clear lift"
    assert words.verdict(-9.0, -1.0) == "clear loss"


def test_the_polling_interval_is_shown() -> None:
    assert words.checking(300.0, 362.0) == "Readings came every 5 min, with no gap longer than 6 min."
    assert words.checking(300.0, None) == "Readings came every 5 min."
    assert "No reading" in words.checking(None, None)
