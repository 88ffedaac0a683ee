"""Damage a valid response: its body, its headers or its connection, by a seeded choice.

Every function takes a valid response of the vendor and returns another one together with a `Damage`: the part, the
kind, and the path of the change. So a test knows which parts of a damaged response are intact. `faults` has damage that
needs the world, such as the response of another creator.

Add a kind of damage by adding a value to one of the tables, or a function to `_WHOLE` or `_AIMED`.
"""

from __future__ import annotations

import gzip
import json
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from functools import lru_cache
from random import Random
from typing import Any

OVERSIZED_BYTES = 20 << 20
BOMB_BYTES = 256 << 20  # unpacked size of the gzip bomb: beyond a limit of 16 MiB, and bearable without a limit
_TEXT_CHARACTERS = 300_000
_DIGITS = 5_000  # more than `int()` takes without a setting: 4,300

Pointer = tuple[str | int, ...]
Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Damage:
    """The change in a response.

    `part` is `body`, `headers` or `connection`. `path` is a JSON pointer into the undamaged body (empty: the whole
    body), a header's name, or empty for a connection.
    """

    part: str
    kind: str
    path: str = ""


class Connection(Enum):
    """How a connection is damaged; the server does it, because ASGI cannot express most of them."""

    RESET_INSIDE = auto()
    LENGTH_TOO_LONG = auto()
    LENGTH_TOO_SHORT = auto()
    GARBLED_HEADERS = auto()
    GARBLED_STATUS = auto()
    GARBLED_CHUNKS = auto()
    NOT_GZIP = auto()
    OVERSIZED = auto()
    BOMB = auto()
    DOUBLE_BOMB = auto()
    ENDLESS = auto()
    ENDLESS_HEADERS = auto()
    DRIP = auto()
    SLOW_HEADERS = auto()
    SILENCE = auto()


# Each of these holds a client until its own deadline, in real seconds, so they are rare.
SLOW = (Connection.DRIP, Connection.SLOW_HEADERS, Connection.SILENCE)
_HEAVY = (Connection.OVERSIZED, Connection.BOMB, Connection.DOUBLE_BOMB, Connection.ENDLESS)
_SLOW_SHARE, _HEAVY_SHARE = 0.1, 0.2


def _quoted(*texts: str) -> tuple[bytes, ...]:
    return tuple(json.dumps(text).encode() for text in texts)


# JSON fragments, in the form in which they stand in the body.
_ANYTHING = (
    *(b"null", b"[]", b"{}", b"0", b"1", b"-1", b"1.5", b"true", b"false"),
    *(b"[null]", b"[[]]", b'{"":null}', b'{"a":{"b":[]}}', b"[0,1]", b'["x"]'),
    *_quoted("", " ", "x", "0", "1", "true", "null", "[]", "{}", "undefined"),
)
_FLAGS = (
    *(b"0", b"1", b"2", b"-1", b"1.0", b"null", b"[]", b"{}"),
    *_quoted("true", "false", "True", "0", "1", "yes", "no", "", "null"),
)
_COUNTS_AS_TEXT = _quoted(
    *("1.2M", "12,5K", "1,234", "1 234", "1.234", "12 345", "12 345", "12.4万", "3.4B", "1.2.3", "12K+", "1,23,456"),
    *("lots", "", "-", "--", "+5", "-5", "1e3", "0x10", "1_000", "NaN", "Infinity", "null", "1234abc", " 42 "),
    # `str.isdigit` is true for each of these, and `int()` rejects the first.
    *("²", "１２３", "٣٤"),
    "9" * _DIGITS,
)
_NUMBERS = (
    *(b"9223372036854775807", b"9223372036854775808", b"-9223372036854775809", b"18446744073709551616"),
    *(b"100000000000000000000", b"9" * _DIGITS, b"-" + b"9" * _DIGITS, b"0." + b"3" * _DIGITS),
    *(b"1e999", b"-1e999", b"1E400", b"1e308", b"1e19", b"1e18", b"1e-400", b"-1", b"-5", b"-0", b"-0.0", b"0.1"),
)
_NOT_NUMBERS = (b"NaN", b"Infinity", b"-Infinity", b"[NaN]", b'{"score":NaN}')
_TIMES = (
    *(b"0", b"-1", b"1", b"1104537600", b"4102444800", b"253402300800", b"1000000000000000000", b"1e20", b"null"),
    *_quoted("0", "", "yesterday", "2005-01-01T00:00:00.000Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z"),
    *_quoted("10000-01-01T00:00:00Z", "2026-13-45T99:99:99Z", "2026-11-10", "2026-11-10T00:00:00", "2026-11-10T24:00Z"),
    *_quoted("2026-11-10T00:00:60Z", "2026-11-10T00:00:00+99:00", "1794269700", "99999999999999999999", "-62135596801"),
)
_HANDLES = _quoted(
    *("../../../v1/balance?x=", "..", ".", "../x", "a/b", "%2e%2e%2fbalance", "@", "", " ", "x" * 300, "a?b=c&d#e"),
    *("https://evil.example/@x", "//evil.example/x", "na me", "name\u202e", "name\u0000", "имя", "\r\nx-key: 1", "0"),
    *("=cmd|' /C calc'!A0", "<script>alert(1)</script>", "'; DROP TABLE creators; --", "${jndi:ldap://x}", "CON"),
)
_IDS = (
    *(b"0", b"-1", b"null", b"[]", b"{}", b"7106658991907802000", b"7.1e18", b"true", b'{"uid":1}'),
    *_quoted("0", "", " ", "-1", "null", "NaN", "1e19", "../../x", "7106658991907802000", "0123", "12 34", "9" * 40),
)
_CURSORS = (
    *(b"null", b"0", b"-1", b"1e999", b"true", b"[]", b"{}", b"NaN", b"9" * 40),
    *_quoted(
        "", "0", "null", "https://evil.example/next?cursor=1", "/v1/balance", "../../../v1/balance?x=", "x" * 9000
    ),
)
_MORE = (b"true", b"false", b"1", b"0", b"null", b"[]", *_quoted("true", "false", "0", "1", ""))
_STATES = (
    *(b"null", b"0", b"1", b"2", b"3", b"4", b"5", b"-1", b"0.0", b"200", b"500", b"30003", b"true", b"[]", b"{}"),
    *_quoted("0", "2", "4", "", "LIVE", "Offline", "unknown", "found", "200"),
)
_MONEY = (
    *(b"NaN", b"Infinity", b"-5", b"1e999", b"-1e999", b"null", b"[1]", b"true", b"1e308", b"9" * _DIGITS),
    *_quoted("1", "1, 1", "NaN", "inf", "-5", "one", ""),
)
_TEXTS = (
    *_quoted("", "\u0000", "\u202e" * 40, '=HYPERLINK("https://evil.example")', "<script>alert(1)</script>", "a\r\nb"),
    *_quoted(
        "\u2028\u2029\ufeff\ufffe", "👩\u200d👩\u200d👧\u200d👦" * 200, "'\"`\\", "{{7*7}}", "x" * _TEXT_CHARACTERS
    ),
    *(b'"half \\ud83d"', b'"\\udc00\\ud83d"', b'"\\ud83d\\ud83d\\ude00"'),
)
_LONE_SURROGATES = (b'"\\ud83d"', b'"hi \\ud83d"', b'"\\udc00 hi"', b'{"\\ud83d":1}', b'["\\udfff"]')
_NOT_UTF8 = (b'"caf\xe9"', b'"\xff\xfe"', b'"\xed\xa0\xbd"', b'"\xc0\xaf"', b'"\xf0\x9f\x98"')
_LEVELS = (10, 1_000, 100_000)

_ODD_NUMBERS = (b"NaN", b"nan", b"inf", b"-inf", b"-5", b"", b"one", b"1, 1", b"1.5", b"1e999", b"9" * 400, b"\xb2")
_DATES = (
    *(b"Tue, 10 Nov 2026 00:40:00 -0000", b"Tue, 10 Nov 2026 00:40:00", b"Fri, 31 Dec 99999 23:59:59 GMT", b""),
    *(b"Fri, 31 Dec 9999 23:59:59 GMT", b"Mon, 01 Jan 0001 00:00:00 GMT", b"Mon, 01 Jan 0001 00:00:00 +2359"),
    *(b"soon", b"-5", b"NaN", b"Tue, 10 Nov 2026 00:40:00 +9999", b"Tue, 99 Foo 2026 99:99:99 GMT", b"0", b"\xff\xfe"),
    *(b"Tue, 10 Nov 2026 00:40:00 GMT, Tue, 10 Nov 2026 00:41:00 GMT", b"9" * 400, b"10 Nov 26", b"1e999"),
)
# header -> possible values; also given to a vendor that never sends the header
_HEADERS: Mapping[bytes, tuple[bytes, ...]] = {
    b"x-credits-used": _ODD_NUMBERS,
    b"x-credits-remaining": _ODD_NUMBERS,
    b"age": (*_ODD_NUMBERS, b"315360000", b"99999999999999999999", b"-1"),
    b"date": _DATES,
    b"content-type": (
        b"",
        b"text/html",
        b"application/json; charset=bogus",
        b"application/json; charset=utf-7",
        b"\xff",
    ),
    b"x-ratelimit-reset": _ODD_NUMBERS,
    b"x-request-id": (b"", b"x" * 4000, b"\xff\xfe", b"a, b"),
    b"set-cookie": (b"session=secret; Domain=evil.example", b"=", b"a=b; Max-Age=1e999"),
    b"x-long": (b"x" * 100_000,),
}

_COUNT = re.compile(
    r"(count|followers|following|likes|posts|views|viewers|comments|shares|saves|total|score|rank|pcu)$"
)
_FLAG = re.compile(r"^(is|has)[a-z]|^(verified|secret|alive|pinned|private|privateaccount|cached|viewed|restricted)$")
_TIME = re.compile(
    r"(published|createdat|startedat|endtime|createtime|starttime|finishtime|begintime|expiredat|pingtime)$"
)
_HANDLE = re.compile(r"^(handle|preferredusername|uniqueid|displayid|name)$")
_ID = re.compile(r"^(id|idstr|uid|userid|entityid|internalid|platformuserid|secuid|roomid|roomidstr|videoid|awemeid)$")
_CURSOR = re.compile(r"(cursor|^next|^time)$")
_HAS_MORE = re.compile(r"^hasmore")
_STATE = re.compile(r"^(status|statuscode|code|livestatus|lookupstatus|type|islive)$")
_PRICE = re.compile(r"^(creditscharged|balance|remaining|quota|used)$")


@dataclass(frozen=True, slots=True)
class _Place:
    """A value in a body, and its position."""

    pointer: Pointer
    value: Any

    @property
    def key(self) -> str:
        """Return the nearest key above it, without case and underscores."""
        names = [part for part in self.pointer if isinstance(part, str)]
        return names[-1].replace("_", "").lower() if names else ""

    @property
    def is_leaf(self) -> bool:
        return not isinstance(self.value, dict | list)


def places(value: Any, pointer: Pointer = ()) -> Iterator[_Place]:
    """Yield every value of a JSON tree, the root first."""
    yield _Place(pointer, value)
    items: Iterator[tuple[str | int, Any]]
    items = (
        iter(value.items()) if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else iter(())
    )
    for key, inner in items:
        yield from places(inner, (*pointer, key))


def written(pointer: Pointer) -> str:
    """Return a pointer in JSON pointer notation: `/data/videos/0/id`."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in pointer)


def damage_body(body: bytes, cursor: str | None, at: datetime, random: Random) -> tuple[bytes, Damage]:
    """Change one thing in the body.

    Args:
        body: JSON, or anything else (which is then damaged as a whole).
        cursor: the cursor of the request: a response may repeat it.
        at: the instant of the request: a time may be moved before or after it.
        random: makes every choice.
    """
    try:
        tree = json.loads(body)
    except ValueError:
        return _whole(body, random)
    found = list(places(tree))
    draw = random.random()
    if draw < 0.14 or len(found) == 1:
        return _whole(body, random)
    if draw < 0.34:
        return _swapped(tree, random.choice(found), random)
    if draw < 0.5:
        top = min(len(place.pointer) for place in found if place.is_leaf)
        near = [place for place in found if place.is_leaf and len(place.pointer) <= top + 1]
        return _swapped(tree, random.choice(near), random)
    if draw < 0.58:
        return _list_changed(tree, found, random)
    if draw < 0.64:
        return _written_twice(tree, found, random)
    if draw < 0.76:
        kind, values = random.choice(_LITERALS)
        return _replaced(tree, random.choice(found), random.choice(values), kind)
    for kind, key, values in random.sample(_AIMED, len(_AIMED)):
        aims = [place for place in found if key.search(place.key) and place.is_leaf]
        if aims:
            own = _wrong_times(at) if kind == "time" else _again(cursor) if kind == "cursor" else []
            return _replaced(tree, random.choice(aims), random.choice([*values, *own]), kind)
    return _swapped(tree, random.choice(found), random)


_LITERALS: tuple[tuple[str, tuple[bytes, ...]], ...] = (
    ("number", _NUMBERS),
    ("not_a_number", _NOT_NUMBERS),
    ("surrogate", _LONE_SURROGATES),
    ("not_utf8", _NOT_UTF8),
    ("text", _TEXTS),
    *(
        (f"nesting_{n}", tuple(mark * n + b"null" + end * n for mark, end in ((b"[", b"]"), (b'{"a":', b"}"))))
        for n in _LEVELS
    ),
)
_AIMED: tuple[tuple[str, re.Pattern[str], tuple[bytes, ...]], ...] = (
    ("count_as_text", _COUNT, _COUNTS_AS_TEXT),
    ("count", _COUNT, _NUMBERS),
    ("flag", _FLAG, _FLAGS),
    ("time", _TIME, _TIMES),
    ("handle", _HANDLE, _HANDLES),
    ("id", _ID, _IDS),
    ("cursor", _CURSOR, _CURSORS),
    ("has_more", _HAS_MORE, _MORE),
    ("state", _STATE, _STATES),
    ("price", _PRICE, _MONEY),
)


def _wrong_times(at: datetime) -> list[bytes]:
    """Return times that are possible, but wrong here: a month before and a year after the request."""
    texts = []
    for wrong in (at - timedelta(days=30), at + timedelta(days=365)):
        second = int(wrong.timestamp())
        texts += [str(second).encode(), str(second * 1000).encode(), *_quoted(f"{wrong:%Y-%m-%dT%H:%M:%S.000Z}")]
    return texts


def _again(cursor: str | None) -> list[bytes]:
    """Return the cursor of the request itself, as text and as a number."""
    if cursor is None:
        return []
    return [*_quoted(cursor), *([cursor.encode()] if cursor.isdecimal() and cursor == str(int(cursor)) else [])]


_MARK = "\u0000damage\u0000"
_MARK_BYTES = json.dumps(_MARK).encode()


def _encoded(tree: Any) -> bytes:
    return json.dumps(tree, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _replaced(tree: Any, place: _Place, fragment: bytes, kind: str) -> tuple[bytes, Damage]:
    """Return the encoded tree with a fragment of JSON (or a similar text) in one place."""
    harm = Damage("body", kind, written(place.pointer))
    if not place.pointer:
        return fragment, harm
    owner = tree
    for part in place.pointer[:-1]:
        owner = owner[part]
    owner[place.pointer[-1]] = _MARK
    # Encode the mark with escapes, whether other characters are escaped or not.
    return _encoded(tree).replace(_MARK_BYTES, fragment, 1), harm


def _swapped(tree: Any, place: _Place, random: Random) -> tuple[bytes, Damage]:
    """Put another type in a place: a fixed value, the value in a list or an object, or nothing."""
    value = place.value
    draw = random.random()
    if draw < 0.15 and place.pointer and isinstance(place.pointer[-1], str):
        owner = tree
        for part in place.pointer[:-1]:
            owner = owner[part]
        del owner[place.pointer[-1]]
        return _encoded(tree), Damage("body", "absent", written(place.pointer))
    if draw < 0.4:
        turned: list[Any] = [[value], {"value": value}, [[value]], _encoded(value).decode("utf-8", "replace")]
        if isinstance(value, dict):
            turned += [list(value.values()), [value, value]]
        elif isinstance(value, list):
            turned += [{str(n): inner for n, inner in enumerate(value)}, value[0] if value else None]
        elif isinstance(value, bool):
            turned += [int(value), str(value).lower(), str(int(value))]
        elif isinstance(value, int | float):
            turned += [str(value), float(value), bool(value)]
        return _replaced(tree, place, _encoded(random.choice(turned)), "type")
    return _replaced(tree, place, random.choice(_ANYTHING), "type")


def _list_changed(tree: Any, found: Sequence[_Place], random: Random) -> tuple[bytes, Damage]:
    """Repeat one item of a list, give all the same id, insert a null, or add more items than a page can have."""
    lists = [place for place in found if isinstance(place.value, list) and place.value]
    if not lists:
        return _swapped(tree, random.choice(found), random)
    place = random.choice(lists)
    items = place.value
    changes: list[tuple[str, Callable[[], list[Any]]]] = [
        ("repeated_item", lambda: [*items, random.choice(items), *items[:1]]),
        ("null_item", lambda: [None, *items]),
        ("odd_item", lambda: [*items[:1], random.choice([0, "x", [], {}, True]), *items[1:]]),
        ("reversed", lambda: items[::-1]),
        ("many_items", lambda: (items * (2_000 // len(items) + 1))[:2_000]),
        ("emptied", list),
        ("one_id", lambda: _one_id(items)),
    ]
    kind, change = random.choice(changes)
    return _replaced(tree, place, _encoded(change()), kind)


def _one_id(items: list[Any]) -> list[Any]:
    """Return the items with the ids of the first on all."""
    first = items[0]
    if not isinstance(first, dict):
        return items[:1] * len(items)
    ids = {key: value for key, value in first.items() if _ID.search(key.replace("_", "").lower())}
    return [item | ids if isinstance(item, dict) else item for item in items]


def _written_twice(tree: Any, found: Sequence[_Place], random: Random) -> tuple[bytes, Damage]:
    """Write one key of an object a second time, with another value."""
    objects = [place for place in found if isinstance(place.value, dict) and place.value]
    if not objects:
        return _swapped(tree, random.choice(found), random)
    place = random.choice(objects)
    key = random.choice(list(place.value))
    again = json.dumps(key).encode() + b":" + random.choice(_ANYTHING)
    whole = _encoded(place.value)
    fragment = b"{" + again + b"," + whole[1:] if random.random() < 0.5 else whole[:-1] + b"," + again + b"}"
    text, _ = _replaced(tree, place, fragment, "duplicate_key")
    return text, Damage("body", "duplicate_key", written((*place.pointer, key)))


def _whole(body: bytes, random: Random) -> tuple[bytes, Damage]:
    kind, change = random.choice(_WHOLE)
    return change(body, random), Damage("body", kind)


def _flipped(body: bytes, random: Random) -> bytes:
    if not body:
        return b"\x00"
    spot = random.randrange(len(body))
    return body[:spot] + bytes([body[spot] ^ (1 << random.randrange(8))]) + body[spot + 1 :]


_WHOLE: tuple[tuple[str, Callable[[bytes, Random], bytes]], ...] = (
    ("bom", lambda body, random: b"\xef\xbb\xbf" + body),
    ("bom", lambda body, random: b"\xef\xbb\xbf\n " + body),
    ("truncated", lambda body, random: body[: random.randrange(len(body) + 1)]),
    ("truncated", lambda body, random: body[:-1]),
    ("flipped_byte", _flipped),
    ("utf16", lambda body, random: body.decode("utf-8", "replace").encode("utf-16")),
    ("latin1", lambda body, random: body.decode("utf-8", "replace").encode("latin-1", "replace")),
    ("twice", lambda body, random: body + body),
    ("trailing", lambda body, random: body + random.choice((b"x", b"\x00", b"}", b"<!-- 0.2 s -->", b"\n\n"))),
    ("leading", lambda body, random: random.choice((b")]}',\n", b"while(1);", b"\x00", b" " * 70_000)) + body),
    ("callback", lambda body, random: b"callback(" + body + b");"),
    ("encoded_twice", lambda body, random: json.dumps(body.decode("utf-8", "replace")).encode()),
    ("root", lambda body, random: random.choice((*_ANYTHING, *_NUMBERS, *_NOT_NUMBERS, b"", b"\n", b"\xff"))),
    ("root_nesting", lambda body, random: b"[" * random.choice(_LEVELS)),
    ("root_nesting", lambda body, random: b'{"data":' * random.choice(_LEVELS)),
)


def damage_headers(headers: Headers, random: Random) -> tuple[Headers, Damage]:
    """Change one of the vendor's headers: odd, twice, or absent; also add odd headers that the vendor never sends."""
    name = random.choice(list(_HEADERS))
    value = random.choice(_HEADERS[name])
    others = tuple(pair for pair in headers if pair[0] != name)
    own = tuple(pair for pair in headers if pair[0] == name)
    path = name.decode()
    if own and random.random() < 0.3:
        return (*headers, *own), Damage("headers", "twice", path)
    if own and random.random() < 0.15:
        return others, Damage("headers", "absent", path)
    return (*others, (name, value)), Damage("headers", "value", path)


def odd_retry_after(random: Random) -> tuple[tuple[bytes, bytes], Damage]:
    """Return a Retry-After without a usable value, for a refusal that a client should retry."""
    value = random.choice((*_DATES, *_ODD_NUMBERS))
    return (b"retry-after", value), Damage("headers", "retry_after", "retry-after")


def choose_connection(random: Random) -> Connection:
    """Choose one way to damage a connection; ways that cost seconds or megabytes are rare."""
    draw = random.random()
    if draw < _SLOW_SHARE:
        return random.choice(SLOW)
    if draw < _SLOW_SHARE + _HEAVY_SHARE:
        return random.choice(_HEAVY)
    return random.choice([kind for kind in Connection if kind not in SLOW and kind not in _HEAVY])


def oversized(body: bytes) -> bytes:
    """Return the body with a text of 20 MiB in front."""
    padding = b'{"padding":"' + b"x" * OVERSIZED_BYTES + b'"'
    return padding + (b"," + body[1:] if body.startswith(b"{") and len(body) > 2 else b"}")


@lru_cache(maxsize=2)
def bomb(*, twice: bool = False) -> bytes:
    """Return a small gzip file of 256 MiB of JSON; `twice` packs it a second time."""
    if twice:
        return gzip.compress(bomb(), 6, mtime=0)
    # After a full flush, a packed piece does not depend on the bytes before it: pack it once and repeat it.
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    start, piece, end = b'{"data":{"padding":"', b"x" * (1 << 20), b'"}}'
    pieces = BOMB_BYTES >> 20
    packed = packer.compress(start) + packer.flush(zlib.Z_FULL_FLUSH)
    packed += (packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)) * pieces
    packed += packer.compress(end) + packer.flush()
    check = zlib.crc32(start)
    for _ in range(pieces):
        check = zlib.crc32(piece, check)
    size = len(start) + BOMB_BYTES + len(end)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + packed + struct.pack("<II", zlib.crc32(end, check), size)
