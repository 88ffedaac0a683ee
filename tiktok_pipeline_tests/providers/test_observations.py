"""How counts, times, ids and addresses are made plain."""

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
    ("said", "meant"),
    [(7, 7), ("427682", 427_682), (0, 0), (-1, None), ("-5", None), (True, None), (None, None), ("12.4K", None),
     (3.0, 3), (3.5, None), ("", None)],
)  # fmt: skip
def test_a_count_is_a_number_or_nothing(said: object, meant: int | None) -> None:
    assert count(said) == meant  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("said", "meant"),
    [("12.4K", (12_400, 100)), ("427.7k", (427_700, 100)), ("3M", (3_000_000, 1_000_000)),
     ("123.0万", (1_230_000, 1_000)), ("12", None), ("many", None)],
)  # fmt: skip
def test_a_count_for_people_has_its_quantum(said: str, meant: tuple[int, int] | None) -> None:
    assert rounded_text(said) == meant


@pytest.mark.parametrize(
    ("followers", "meant"),
    [(9_999, ("exact", 1)), (10_000, ("rounded", 100)), (427_700, ("rounded", 100)), (427_682, ("exact", 1)),
     (9_000_000, ("rounded", 100_000)), (9_022_701, ("exact", 1)), (None, (None, None))],
)  # fmt: skip
def test_precision_follows_the_web_page(followers: int | None, meant: tuple[str | None, int | None]) -> None:
    assert web_precision(followers) == meant


def test_an_id_is_taken_from_its_string_twin_and_never_damaged() -> None:
    assert identifier("7503448765740976902", 7503448765740977000) == "7503448765740976902"
    assert identifier("", 7503448765740977000) is None
    assert identifier(0, "0", "") is None
    assert identifier(None, 6912345678901234567) == "6912345678901234567"


@pytest.mark.parametrize(
    "said",
    [1_793_642_405, "1793642405", 1_793_642_405_000, "1793642405000", "2026-11-02T18:00:05.000Z"],
)
def test_a_time_is_the_same_in_seconds_milliseconds_and_words(said: object) -> None:
    assert instant(said) == datetime(2026, 11, 2, 18, 0, 5, tzinfo=UTC)  # type: ignore[arg-type]


@pytest.mark.parametrize("said", [0, "0", "", None, "yesterday", 12, True])
def test_no_time_is_no_time(said: object) -> None:
    assert instant(said) is None  # type: ignore[arg-type]


def test_a_handle_is_lower_case_without_its_sign() -> None:
    assert handle(" @Mira.Paints") == "mira.paints"
    assert handle("") is None


def test_an_address_loses_its_query_whatever_it_is_wrapped_in() -> None:
    assert address(["", {"url_list": ["https://a.example/x?sign=1"]}]) == "https://a.example/x"
    assert address({"url": None}) is None


@pytest.mark.parametrize(
    ("said", "meant"),
    [("1,234", 1_234), ("1,234,567", 1_234_567), ("1 234", 1_234), ("1\u202f234", 1_234), ("1.234.567", 1_234_567),
     ("1’234", 1_234), ("１２３", 123), ("5.0", 5), (9_223_372_036_854_775_807, 2**63 - 1), (None, None), ("", None)],
)  # fmt: skip
def test_a_count_with_separators_is_read_and_nothing_is_noted(said: object, meant: int | None) -> None:
    notes = Notes()
    assert notes.count(said, "count") == meant  # type: ignore[arg-type]
    assert notes.problems == []


@pytest.mark.parametrize(
    ("said", "why"),
    [("1.2M", "rounded text where an exact count belongs"), ("1.234", "not a count"), ("12,34", "not a count"),
     ("lots", "not a count"), ("1,234K", "not a count"), (True, "not a count"), (3.5, "not a count"),
     (-1, "a negative count"), ("-5", "a negative count"), (2**63, "a count beyond 64 bits"),
     ("9" * 5_000, "a count beyond 64 bits"), (1e30, "a count beyond 64 bits"), ("1e5", "not a count"),
     ("٣", "not a count")],
)  # fmt: skip
def test_a_count_that_cannot_be_used_is_null_and_noted_with_its_reason(said: object, why: str) -> None:
    notes = Notes()
    assert notes.count(said, "viewers") is None  # type: ignore[arg-type]
    assert [(problem.reason, problem.field) for problem in notes.problems] == [(why, "viewers")]
    assert len(notes.problems[0].value or "") <= 200


@pytest.mark.parametrize(
    ("said", "meant"),
    [("1.2M", (1_200_000, "rounded", 100_000)), ("12,5K", (12_500, "rounded", 100)),
     ("3 M", (3_000_000, "rounded", 10**6)),
     ("123.0万", (1_230_000, "rounded", 1_000)), ("1.234K", (1_234, "exact", 1)), ("1,234", (1_234, "exact", 1)),
     (427_682, (427_682, "exact", 1)), (None, (None, None, None)), ("lots", (None, None, None))],
)  # fmt: skip
def test_a_follower_count_is_read_with_its_precision_and_unit(said: object, meant: tuple[object, ...]) -> None:
    assert Notes().followers(said, exact_precision, "followers") == meant  # type: ignore[arg-type]


@pytest.mark.parametrize("said", [-1, "yesterday", "0001-01-01T00:00:00+14:00", 10**400, "9" * 400, 12, True, 1e300])
def test_a_time_that_is_none_is_null_and_noted(said: object) -> None:
    notes = Notes()
    assert notes.instant(said, "startedAt") is None  # type: ignore[arg-type]
    assert [problem.field for problem in notes.problems] == ["startedAt"]


@pytest.mark.parametrize("said", [-1, "long", True, 1e300, 10**400, "9" * 400])
def test_a_length_that_is_none_is_null_and_noted(said: object) -> None:
    notes = Notes()
    assert notes.seconds(said, "duration") is None  # type: ignore[arg-type]
    assert notes.problems == [Problem("not a length", "duration", notes.problems[0].value)]
    assert seconds("2.5") == 2.5


@pytest.mark.parametrize("said", [-1, True, None, "one", "1, 1", 1e300, float("nan"), float("inf"), "9" * 400])
def test_credits_that_are_no_amount_are_not_known(said: object) -> None:
    assert amount(said) is None  # type: ignore[arg-type]
    assert (amount(2), amount("1.5"), amount(0)) == (2.0, 1.5, 0.0)
