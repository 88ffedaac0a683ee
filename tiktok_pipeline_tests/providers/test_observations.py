"""Normalize counts, times, ids and addresses."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tiktok_pipeline.providers.observations import (
    Notes,
    Problem,
    address,
    amount,
    count,
    exact_precision,
    handle,
    identifier,
    instant,
    rounded_text,
    seconds,
    web_precision,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(7, 7), ("427682", 427_682), (0, 0), (-1, None), ("-5", None), (True, None), (None, None), ("12.4K", None),
     (3.0, 3), (3.5, None), ("", None)],
)  # fmt: skip
def test_a_count_is_a_non_negative_integer_or_null(value: object, expected: int | None) -> None:
    assert count(value) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "expected"),
    [("12.4K", (12_400, 100)), ("427.7k", (427_700, 100)), ("3M", (3_000_000, 1_000_000)),
     ("123.0万", (1_230_000, 1_000)), ("12", None), ("many", None)],
)  # fmt: skip
def test_a_rounded_text_gives_its_value_and_unit(value: str, expected: tuple[int, int] | None) -> None:
    assert rounded_text(value) == expected


@pytest.mark.parametrize(
    ("followers", "expected"),
    [(9_999, ("exact", 1)), (10_000, ("rounded", 100)), (427_700, ("rounded", 100)), (427_682, ("exact", 1)),
     (9_000_000, ("rounded", 100_000)), (9_022_701, ("exact", 1)), (None, (None, None))],
)  # fmt: skip
def test_precision_follows_the_rounding_of_the_web_page(
    followers: int | None, expected: tuple[str | None, int | None]
) -> None:
    assert web_precision(followers) == expected


def test_an_id_is_read_from_its_string_twin_and_never_from_a_rounded_number() -> None:
    assert identifier("7503448765740976902", 7503448765740977000) == "7503448765740976902"
    assert identifier("", 7503448765740977000) is None
    assert identifier(0, "0", "") is None
    assert identifier(None, 6912345678901234567) == "6912345678901234567"


@pytest.mark.parametrize(
    "value",
    [1_793_642_405, "1793642405", 1_793_642_405_000, "1793642405000", "2026-11-02T18:00:05.000Z"],
)
def test_a_time_reads_the_same_from_seconds_milliseconds_and_iso_text(value: object) -> None:
    assert instant(value) == datetime(2026, 11, 2, 18, 0, 5, tzinfo=UTC)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0, "0", "", None, "yesterday", 12, True])
def test_an_invalid_time_is_null(value: object) -> None:
    assert instant(value) is None  # type: ignore[arg-type]


def test_a_handle_is_lower_case_without_the_at_sign() -> None:
    assert handle(" @Mira.Paints") == "mira.paints"
    assert handle("") is None


def test_an_address_loses_its_query_in_every_nesting() -> None:
    assert address(["", {"url_list": ["https://a.example/x?sign=1"]}]) == "https://a.example/x"
    assert address({"url": None}) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [("1,234", 1_234), ("1,234,567", 1_234_567), ("1 234", 1_234), ("1\u202f234", 1_234), ("1.234.567", 1_234_567),
     ("1’234", 1_234), ("１２３", 123), ("5.0", 5), (9_223_372_036_854_775_807, 2**63 - 1), (None, None), ("", None)],
)  # fmt: skip
def test_a_count_with_separators_is_read_without_a_problem(value: object, expected: int | None) -> None:
    notes = Notes()
    assert notes.count(value, "count") == expected  # type: ignore[arg-type]
    assert notes.problems == []


@pytest.mark.parametrize(
    ("value", "why"),
    [("1.2M", "rounded text where an exact count belongs"), ("1.234", "not a count"), ("12,34", "not a count"),
     ("lots", "not a count"), ("1,234K", "not a count"), (True, "not a count"), (3.5, "not a count"),
     (-1, "a negative count"), ("-5", "a negative count"), (2**63, "a count beyond 64 bits"),
     ("9" * 5_000, "a count beyond 64 bits"), (1e30, "a count beyond 64 bits"), ("1e5", "not a count"),
     ("٣", "not a count")],
)  # fmt: skip
def test_an_unusable_count_is_null_and_reported_with_its_reason(value: object, why: str) -> None:
    notes = Notes()
    assert notes.count(value, "viewers") is None  # type: ignore[arg-type]
    assert [(problem.reason, problem.field) for problem in notes.problems] == [(why, "viewers")]
    assert len(notes.problems[0].value or "") <= 200


@pytest.mark.parametrize(
    ("value", "expected"),
    [("1.2M", (1_200_000, "rounded", 100_000)), ("12,5K", (12_500, "rounded", 100)),
     ("3 M", (3_000_000, "rounded", 10**6)),
     ("123.0万", (1_230_000, "rounded", 1_000)), ("1.234K", (1_234, "exact", 1)), ("1,234", (1_234, "exact", 1)),
     (427_682, (427_682, "exact", 1)), (None, (None, None, None)), ("lots", (None, None, None))],
)  # fmt: skip
def test_a_follower_count_is_read_with_its_precision_and_unit(value: object, expected: tuple[object, ...]) -> None:
    assert Notes().followers(value, exact_precision, "followers") == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [-1, "yesterday", "0001-01-01T00:00:00+14:00", 10**400, "9" * 400, 12, True, 1e300])
def test_an_invalid_time_is_null_and_reported(value: object) -> None:
    notes = Notes()
    assert notes.instant(value, "startedAt") is None  # type: ignore[arg-type]
    assert [problem.field for problem in notes.problems] == ["startedAt"]


@pytest.mark.parametrize("value", [-1, "long", True, 1e300, 10**400, "9" * 400])
def test_an_invalid_duration_is_null_and_reported(value: object) -> None:
    notes = Notes()
    assert notes.seconds(value, "duration") is None  # type: ignore[arg-type]
    assert notes.problems == [Problem("not a length", "duration", notes.problems[0].value)]
    assert seconds("2.5") == 2.5


@pytest.mark.parametrize("value", [-1, True, None, "one", "1, 1", 1e300, float("nan"), float("inf"), "9" * 400])
def test_invalid_credits_are_null(value: object) -> None:
    assert amount(value) is None  # type: ignore[arg-type]
    assert (amount(2), amount("1.5"), amount(0)) == (2.0, 1.5, 0.0)
