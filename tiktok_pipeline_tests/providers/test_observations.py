"""How counts, times, ids and addresses are made plain."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tiktok_pipeline.providers.observations import (
    address,
    count,
    handle,
    identifier,
    instant,
    rounded_text,
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
