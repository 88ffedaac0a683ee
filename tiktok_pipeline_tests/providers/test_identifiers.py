"""Only valid handles, ids and cursors enter a request, and every part of a path is encoded."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from tiktok_pipeline.config.roster import make_creator
from tiktok_pipeline.errors import RosterError
from tiktok_pipeline.providers import VENDORS
from tiktok_pipeline.providers.identifiers import is_handle, is_rounded, is_sec_uid, same_number
from tiktok_pipeline.providers.observations import handle
from tiktok_pipeline.providers.vendor import Target
from tiktok_pipeline_tests.providers import bodies

GOOD = ["ab", "odd.one", "a_b.c9", "x" * 24, "123456", "_._", ".ab"]
BAD = [
    "", "a", "x" * 25, "..", "a..b", ".", "." * 24, "../../../v1/balance?x=", "a/b", "a b", "a%2fb", "a\\b", "a?b",
    "a#b", "a&b=c", "a\nb", "ab\n", "a\x00b", "ödd", "@odd", "odd-one", "＠odd", "aｂ", "a;b", "a:b", "١٢٣",
    "http://evil.example", "a\u202eb",
]  # fmt: skip
TARGET = Target("mira.paints", "mira.paints", bodies.USER_ID, bodies.SEC_UID, bodies.ROOM_ID)


@pytest.mark.parametrize("value", GOOD)
def test_a_handle_has_2_to_24_letters_digits_underscores_and_periods(value: str) -> None:
    assert is_handle(value)
    assert handle(f" @{value.upper()} ") == value
    assert make_creator(f"@{value}").handle == value


@pytest.mark.parametrize("value", BAD)
def test_any_other_text_is_refused_as_a_handle_in_bodies_and_on_the_roster(value: str) -> None:
    assert not is_handle(value)
    if value.strip().lstrip("@") == value:
        assert handle(value) is None
    # The roster normalizes pasted text, such as full-width letters.
    if value.strip().lstrip("@") == value and value.isascii() and value.isprintable():
        with pytest.raises(RosterError, match="no handle"):
            make_creator(value)


@pytest.mark.parametrize("vendor", VENDORS.values(), ids=lambda vendor: vendor.name)
@pytest.mark.parametrize("bad", [*BAD, "1&x=2", "-1", "9" * 30, "NaN"])
def test_no_request_has_an_id_of_wrong_form(vendor: object, bad: str) -> None:
    odd = replace(TARGET, handle=bad, user_id=bad, sec_uid=bad, room_id=bad)
    for endpoint, capability in vendor.endpoints.items():  # type: ignore[attr-defined]
        request = vendor.request(capability, odd)  # type: ignore[attr-defined]
        if request is not None:  # A search, a ranking or a balance has no id.
            assert capability in ("user_search", "live_ranking", "balance")
            assert not bad or bad not in {request.subject, *request.params.values()}
            assert request.path == endpoint


@pytest.mark.parametrize("vendor", VENDORS.values(), ids=lambda vendor: vendor.name)
def test_a_path_has_as_many_parts_as_its_template(vendor: object) -> None:
    for endpoint, capability in vendor.endpoints.items():  # type: ignore[attr-defined]
        for name in GOOD:
            request = vendor.request(capability, replace(TARGET, handle=name))  # type: ignore[attr-defined]
            if request is not None:
                assert request.path.count("/") == endpoint.count("/")
                address = urlsplit("https://vendor.example" + request.path)
                assert (address.path, address.query, address.fragment) == (request.path, "", "")


@pytest.mark.parametrize("vendor", VENDORS.values(), ids=lambda vendor: vendor.name)
def test_a_cursor_is_a_query_parameter_or_refused(vendor: object) -> None:
    for capability in ("stories", "posts", "followers"):
        first = vendor.request(capability, TARGET)  # type: ignore[attr-defined]
        if first is None:
            continue
        for cursor in ("1793600000000", "https://evil.example/next?key=1", "a&b=c#d", "../..", "日本"):
            page = vendor.request(capability, TARGET, page=1, cursor=cursor)  # type: ignore[attr-defined]
            assert page.path == first.path
            assert page.params["cursor"] == cursor
        for cursor in ("x" * 2_001, "a\r\nHost: evil", "\ud83d", "\x00", "\u202e"):
            assert vendor.request(capability, TARGET, page=1, cursor=cursor) is None  # type: ignore[attr-defined]


def test_an_id_that_a_float_rounded_matches_its_original() -> None:
    real = "7503448765740976902"
    assert same_number(real, "7503448765740977000")  # as JavaScript prints it
    assert same_number("7503448765740977152", real)  # as C prints it
    assert not same_number(real, "7503448765740976903")
    assert not same_number(real, "7503448765740978000")
    assert not same_number("107955", "107956")
    assert not same_number("1000", "1001")
    assert is_rounded("7503448765740977000")
    assert not is_rounded(real)
    assert not is_rounded("1000")


def test_a_number_or_word_is_no_sec_uid() -> None:
    assert is_sec_uid(bodies.SEC_UID)
    for value in ("6912345678901234567", "null", "undefined", "a/b" * 9, "MS4wLjABAAAA&x=1", "", "x" * 300):
        assert not is_sec_uid(value)
