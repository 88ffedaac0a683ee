"""Bodies are decoded as far as possible, and every omitted part is reported with its path."""

from __future__ import annotations

import json

import msgspec
import pytest

from tiktok_pipeline.providers.observations import Notes
from tiktok_pipeline.providers.parsing import Unreadable, decode, first_byte, parse


class Inner(msgspec.Struct):
    count: int | None = None
    flag: bool | None = None
    name: str | None = None


class Outer(msgspec.Struct):
    code: int | None = None
    inner: Inner | None = None
    inners: list[Inner] = []
    raws: list[msgspec.Raw] = []
    by_name: dict[str, Inner] = {}


DECODER = msgspec.json.Decoder(Outer)


def read(body: str | bytes) -> tuple[Outer, list[tuple[str, str | None]]]:
    notes = Notes()
    found = decode(DECODER, body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body, notes)
    return found, [(problem.reason, problem.field) for problem in notes.problems]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"code": "0"}', Outer(code=0)),
        ('{"code": 0.0, "inners": null}', Outer(code=0)),
        ('{"inner": {"flag": 1}}', Outer(inner=Inner(flag=True))),
        ('{"inner": {"flag": "False", "name": 5}}', Outer(inner=Inner(flag=False, name="5"))),
        ('{"inner": [{"count": "7"}]}', Outer(inner=Inner(count=7))),
        ('{"inner": [], "inners": {}}', Outer()),
        ('{"inner": "", "code": "1"}', Outer(code=1)),
        ('{"inners": {"count": 1}}', Outer(inners=[Inner(count=1)])),
        ('{"inners": {"0": {"count": 1}, "2": {"count": 2}}}', Outer(inners=[Inner(count=1), Inner(count=2)])),
    ],
)
def test_a_value_of_a_convertible_type_is_converted(body: str, expected: Outer) -> None:
    assert read(body) == (expected, [])


@pytest.mark.parametrize(
    ("body", "left", "noted"),
    [
        ('{"code": 1, "inner": {"flag": "perhaps", "count": 3}}', Outer(1, Inner(3)),
         [("Expected `bool`, got `str`", "$.inner.flag")]),
        ('{"code": 1, "inner": 7}', Outer(1), [("Expected `object`, got `int`", "$.inner")]),
        ('{"code": 1, "inners": [7, null, {"count": 3}]}', Outer(1, None, [Inner(3)]),
         [("Expected `object`, got `int`", "$.inners[...]"),
          ("null where an item of a list is expected", "$.inners[...]")]),
        ('{"code": true, "by_name": {"a": 1, "b": {"count": "2"}}}', Outer(by_name={"b": Inner(2)}),
         [("Expected `int`, got `bool`", "$.code"), ("Expected `object`, got `int`", "$.by_name.a")]),
    ],
)  # fmt: skip
def test_an_unreadable_part_is_omitted_and_reported(body: str, left: Outer, noted: list[tuple[str, str]]) -> None:
    assert read(body) == (left, noted)


@pytest.mark.parametrize(
    "before_and_after",
    [
        ("\ufeff{", "}"), (" \r\n{", "}\r\n\x00"), ('{"x": NaN, ', "}"), ('{"x": [Infinity, -Infinity], ', "}"),
        ('{"x": "\\ud83d", ', "}"), ('{"x": "\\udc00\\ud83d", ', "}"), ('{"x": "raw\ttab\nand line", ', "}"),
        ('{"x": ' + "[" * 200_000 + "]" * 200_000 + ", ", "}"),
        ('{"x": ' + '{"y":' * 9_999 + "1" + "}" * 9_999 + ", ", "}"),
        ('{"x": ' + "9" * 10_000 + ", ", "}"), ('{"x": 1e999, "code": 3, ', "}"),
    ],
    ids=range(11),
)  # fmt: skip
def test_almost_valid_json_is_read(before_and_after: tuple[str, str]) -> None:
    body = before_and_after[0] + '"code": "1", "inner": {"name": "half \\ud83d of it"}' + before_and_after[1]
    assert read(body)[0] == Outer(code=1, inner=Inner(name="half \ufffd of it"))
    assert parse(body.encode())["inner"]["name"] == "half \ufffd of it"
    assert first_byte(body.encode()) == b"{"


def test_brackets_inside_strings_are_not_counted_as_nesting() -> None:
    name = "[{" * 5_000
    assert read(json.dumps({"code": "1", "inner": {"name": name + '\\"'}}))[0].inner == Inner(name=name + '\\"')


def test_an_invalid_utf8_byte_costs_one_character() -> None:
    assert read(b'{"code": 1, "inner": {"name": "a\xffb"}}')[0] == Outer(code=1, inner=Inner(name="a\ufffdb"))


def test_list_items_keep_their_positions_beside_a_null() -> None:
    raws = read('{"code": "1", "raws": [null, {"a": NaN}, 12345678901234567890123]}')[0].raws
    assert [bytes(raw) for raw in raws] == [b"null", b'{"a":null}', b"12345678901234567890123"]


class Required(msgspec.Struct):
    on: bool


@pytest.mark.parametrize("body", [b"{}", b'{"on": "perhaps"}', b'{"on": null}'])
def test_an_object_without_a_required_field_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        decode(msgspec.json.Decoder(Required), body)


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b"7", b'"words"', b"\xff", b"{]", b'{"code": 1} {}'])
def test_a_body_that_is_no_object_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        decode(DECODER, body)
