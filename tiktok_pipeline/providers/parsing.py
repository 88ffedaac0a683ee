"""Decode a vendor's body into a struct, as much of it as is readable.

`decode` reads a valid body at msgspec's speed. Only a body that msgspec rejects is read again, tolerantly. A value of
the wrong type is converted to its meaning (1 or "true" for a flag, "0" for a code, null or {} for an empty list), or
left out and recorded as a `Problem`. The rest of the body is kept. Almost valid JSON is read as well: a byte order
mark, NaN, half a surrogate pair, raw control characters, thousands of nested levels.
"""

from __future__ import annotations

import json
import math
import re
from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from tiktok_pipeline.providers.observations import Notes, Problem, shown

T = TypeVar("T")

# Values below this many levels are read as null: vendors nest less than a tenth as deep.
_DEEPEST = 64

# A number with more digits is kept as text: counts and ids are shorter, and int() rejects thousands of digits.
_MOST_DIGITS = 40

_FLAGS = {"true": True, "1": True, "false": False, "0": False}

_STRING_OR_BRACKET = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[\]{}]', re.DOTALL)
_SURROGATE_ESCAPES = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL
)


class Unreadable(Exception):
    """A body, or an item of a list, that is unreadable as a whole; becomes a quarantined row, never a failed run."""

    def __init__(self, reason: str, field: str | None = None, value: str | None = None) -> None:
        super().__init__(reason)
        self.problem = Problem(reason, field, value)


def decode(decoder: msgspec.json.Decoder[T], body: bytes | msgspec.Raw, notes: Notes | None = None) -> T:
    """Return `body` as the decoder's type; unreadable parts are left out, with a problem for each.

    Raises:
        Unreadable: the body is not JSON, or not an object.
    """
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError):
        pass
    noted: list[Problem] = []
    kind = _kind(decoder.type)  # type: ignore[arg-type]  # every type is hashable
    found = _fit(_parse_tolerantly(bytes(body)), kind, "$", noted)
    if found is None or found is _LEFT_OUT:
        raise Unreadable(noted[0].reason if noted else "null where an object is expected", "$", text(bytes(body)))
    if notes is not None:
        notes.problems.extend(noted)
    result: T = found
    return result


def parse(body: bytes) -> Any:
    """Return the plain Python values of a JSON or nearly-JSON body.

    Raises:
        Unreadable: the body is not JSON.
    """
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError):
        return _parse_tolerantly(body)


def text(body: bytes) -> str:
    """Return the start of a body for messages: at most 200 characters."""
    return body[:800].decode("utf-8", "replace")[:200]


def first_byte(body: bytes) -> bytes:
    """Return the first byte of the JSON in `body`, after white space and a byte order mark; b"" if there is none."""
    return body.lstrip().removeprefix(b"\xef\xbb\xbf").lstrip()[:1]


def _parse_tolerantly(body: bytes) -> Any:
    plain = body.decode("utf-8-sig", "replace").strip("\ufeff\x00 \t\r\n")
    plain = _SURROGATE_ESCAPES.sub(lambda found: r"\ufffd" if found.group(1) else found.group(), plain)
    try:
        return json.loads(
            _shallow(plain), strict=False, parse_constant=lambda name: None, parse_int=_int, parse_float=_float
        )
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"not JSON: {error}", None, text(body)) from None


def _shallow(plain: str) -> str:
    """Replace everything below `_DEEPEST` levels by null, because json.loads recurses."""
    depth, kept, parts = 0, 0, []
    for found in _STRING_OR_BRACKET.finditer(plain):
        mark = plain[found.start()]  # not the whole string, which may be large
        if mark in "[{":
            depth += 1
            if depth == _DEEPEST + 1:
                parts += [plain[kept : found.start()], "null"]
        elif mark in "]}":
            if depth == _DEEPEST + 1:
                kept = found.end()
            depth -= 1
    return plain if not parts else "".join([*parts, plain[kept:]])


def _int(digits: str) -> int | str:
    return int(digits) if len(digits) <= _MOST_DIGITS else digits


def _float(digits: str) -> float | str:
    number = float(digits)
    return number if math.isfinite(number) else digits


class _LeftOut:
    """Marks a value that does not fit: the field keeps its default."""


_LEFT_OUT = _LeftOut()


_kind = cache(inspect.type_info)


def _fit(value: Any, kind: inspect.Type, path: str, problems: list[Problem]) -> Any:
    """Return `value` as the declared type; otherwise `_LEFT_OUT`, with a problem recorded."""
    kinds = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    if value is None:
        if any(isinstance(one, inspect.NoneType | inspect.AnyType) for one in kinds):
            return None
        return msgspec.Raw(b"null") if isinstance(kind, inspect.RawType) else _LEFT_OUT
    for one in kinds:
        if _matches(value, one):
            return _filled(value, one, path, problems)
    for one in kinds:
        meant = _meant(value, one)
        if meant is None:
            return None if inspect.NoneType() in kinds else _LEFT_OUT
        if meant is not _LEFT_OUT:
            return _filled(meant, one, path, problems)
    wanted = " or ".join(_NAMES[type(one)] for one in kinds if type(one) in _NAMES)
    problems.append(Problem(f"Expected {wanted}, got {_NAMES_OF_VALUES[type(value)]}", path, shown(value)))
    return _LEFT_OUT


_NAMES: dict[type, str] = {
    inspect.BoolType: "`bool`",
    inspect.IntType: "`int`",
    inspect.FloatType: "`float`",
    inspect.StrType: "`str`",
    inspect.ListType: "`array`",
    inspect.DictType: "`object`",
    inspect.StructType: "`object`",
}
_NAMES_OF_VALUES: dict[type, str] = {
    bool: "`bool`", int: "`int`", float: "`float`", str: "`str`", list: "`array`", dict: "`object`",
}  # fmt: skip
_PYTHON: dict[type, type] = {
    inspect.BoolType: bool,
    inspect.IntType: int,
    inspect.FloatType: float,
    inspect.StrType: str,
    inspect.ListType: list,
    inspect.DictType: dict,
    inspect.StructType: dict,
}


def _matches(value: Any, kind: inspect.Type) -> bool:
    return isinstance(kind, inspect.AnyType | inspect.RawType) or type(value) is _PYTHON.get(type(kind))


def _meant(value: Any, kind: inspect.Type) -> Any:
    """Convert a value of another type to its meaning as `kind`; None for an empty value."""
    # Placeholders of some encoders for an empty list, an empty object, or no error.
    if isinstance(kind, inspect.ListType) and value == {}:
        return []
    if isinstance(kind, inspect.StructType) and (value is False or value in ("", [])):
        return None
    match kind, value:
        case inspect.BoolType(), int() | str():
            return _FLAGS.get(str(value).strip().lower(), _LEFT_OUT)
        case inspect.IntType(), str() if re.fullmatch(r"-?[0-9]{1,18}", value.strip()):
            return int(value)
        case inspect.IntType(), float() if value.is_integer() and abs(value) < 2**53:
            return int(value)
        case inspect.StrType(), int() | float() if not isinstance(value, bool):
            return str(value)
        case inspect.StructType(), [dict() as only]:
            return only
        case inspect.ListType(), dict():
            # A list with holes arrives as an object keyed by position; a list of one as its single item.
            return list(value.values()) if all(key.isdigit() for key in value) else [value]
    return _LEFT_OUT


def _filled(value: Any, kind: inspect.Type, path: str, problems: list[Problem]) -> Any:
    """Return `value`, whose JSON type is right, with its contents fitted too."""
    match kind:
        case inspect.StructType():
            return _struct(value, kind, path, problems)
        case inspect.ListType():
            fitted = []
            for item in value:
                found = _fit(item, kind.item_type, f"{path}[...]", problems)
                if found is not _LEFT_OUT:
                    fitted.append(found)
                elif item is None:
                    problems.append(Problem("null where an item of a list is expected", f"{path}[...]"))
            return fitted
        case inspect.DictType():
            items = {key: _fit(item, kind.value_type, f"{path}.{key}"[:200], problems) for key, item in value.items()}
            return {key: item for key, item in items.items() if item is not _LEFT_OUT}
        case inspect.RawType():
            return msgspec.Raw(msgspec.json.encode(value))
    return value


def _struct(value: dict[str, Any], kind: inspect.StructType, path: str, problems: list[Problem]) -> Any:
    fields = {}
    for field in kind.fields:
        where, found = f"{path}.{field.encode_name}", _LEFT_OUT
        if field.encode_name in value:
            found = _fit(value[field.encode_name], field.type, where, problems)
        if found is not _LEFT_OUT:
            fields[field.name] = found
        elif field.required:
            problems.append(Problem("a field that must be there is missing", where))
            return _LEFT_OUT
    return kind.cls(**fields)
