"""Headers are read as valid numbers and times or ignored, and raise no exception."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tiktok_pipeline.providers.headers import age_s, number, retry_after

NOW = datetime(2026, 11, 10, 0, 40, tzinfo=UTC)
NONSENSE = ["", "1, 1", "one", "NaN", "inf", "-5", "1e9", "9" * 5_000, "0x10", "٣", "1_000", "None", "\x00"]


@pytest.mark.parametrize("header", NONSENSE)
def test_a_header_that_is_not_a_number_is_ignored(header: str) -> None:
    assert number({"x-credits-used": header}, "x-credits-used") is None
    assert age_s({"age": header}) == 0.0


def test_a_header_that_is_a_number_is_read() -> None:
    assert number({"x-credits-used": " 1 "}, "x-credits-used") == 1.0
    assert number({}, "x-credits-used") is None
    assert age_s({"age": "90"}) == 90.0
    assert age_s({"age": "315360000"}) == 0.0  # Ten years: no plausible age.


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "Tue, 10 Nov 2026 00:40:30 GMT"}, 30.0),
        ({"retry-after": "Tue, 10 Nov 2026 00:40:30 GMT", "date": "Tue, 10 Nov 2026 00:40:10 -0000"}, 20.0),
        ({"retry-after": "Tue, 10 Nov 2026 00:40:30 -0000", "date": "Tue, 10 Nov 2026 00:40:00 GMT"}, 30.0),
        ({"retry-after": "Tue, 10 Nov 2026 00:40:30"}, 30.0),
        ({"retry-after": "Tue, 10 Nov 2026 00:40:30 GMT", "date": "garbage"}, 30.0),
        ({"retry-after": "Mon, 09 Nov 2026 00:40:30 GMT"}, 0.0),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, None),
        ({"retry-after": "Tue, 10 Nov 0001 00:40:00 +9999"}, None),
        ({"retry-after": "Tue, 10 Nov 99999 00:40:00 GMT"}, None),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "3, 3"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_as_utc_or_left_to_the_backoff(headers: dict[str, str], wait: float | None) -> None:
    assert retry_after(headers, b"", NOW) == wait


def test_a_wait_stated_in_the_body_is_read() -> None:
    assert retry_after({}, b'{"msg": "Too many requests. Retry after 30 seconds"}') == 30.0
    assert retry_after({}, b"after " + b"9" * 5_000 + b" seconds") is None
