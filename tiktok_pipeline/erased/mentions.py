"""Find erased creators in text and in JSON bodies, and redact them; everything else stays byte for byte.

A handle may be an English word, and a short id a count. So a handle is matched only in the places of handles: after an
@, in a profile URL, and in fields for handles. Elsewhere, only handles that cannot be words (`names.is_distinctive`)
and ids of 15 and more digits are matched.

In JSON, the smallest object around an identifying field belongs to the creator: it is removed from its list, or
emptied. If the whole body belongs to the creator, none of it can be kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from tiktok_pipeline.erased.names import LONG_ID, Names

MARK = "[erased]"

# A JSON string. An unclosed one ends with the text. The pattern matches it only once; otherwise a hostile body would
# take quadratic time.
_STRING = r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)'

# A handle with its context: a preceding @ (also percent-encoded), or the rest of a stream id after it.
_TOKEN = re.compile(r"(?P<at>@|%40)?(?P<name>[A-Za-z0-9._]+)(?P<stream>:\d{4}[\d-]{6,})?")
_LONG_NUMBER = re.compile(rf"(?<!\d)\d{{{LONG_ID},25}}(?!\d)")
# A secUid is `MS4wLjABAAAA` and a Base64 text; ids of other vendors have a similar length.
_LONG_TEXT = re.compile(r"[A-Za-z0-9_\-=]{24,}")
_WORDS = re.compile(r"[A-Za-z0-9._]+")
_STRINGS = re.compile(_STRING, re.DOTALL)
# An escaped letter, digit, @, dot or underscore.
_HIDDEN = re.compile(r"\\u00(?:40|2[eE]|5[fF]|3\d|4[1-9a-fA-F]|5[0-9aA]|6[1-9a-fA-F]|7[0-9aA])")
# Every mention matches this; most texts do not.
_WORTH_A_LOOK = re.compile(r"[0-9@%._]|[A-Za-z_\-=]{24}")
_PROFILE_URL = re.compile(r"(?i)^(?:https?://)?(?:www\.|m\.)?tiktok\.com/@([a-z0-9._]+)/?(?:\?.*)?$")

# A secUid has 76 characters.
_LONGEST_ID = 128

# Display names have at most 30 characters, and one escaped character takes up to twelve.
_LONGEST_NAME = 400

# Field names, in lower case without underscores and hyphens.
_HANDLE_FIELDS = frozenset(
    ("uniqueid", "handle", "preferredusername", "displayid", "username", "useruniqueid", "authoruniqueid", "screenname",
     "ownerhandle", "authorhandle", "rankedhandle", "subject")
)  # fmt: skip
_ID_FIELDS = frozenset(
    ("id", "idstr", "uid", "userid", "useridstr", "secuid", "secuserid", "entityid", "internalid", "platformuserid",
     "authorid", "authoruserid", "authorsecid", "ownerid", "owneruserid", "owneridstr", "anchorid", "anchoridstr",
     "rankeduserid")
)  # fmt: skip
# Fields that may contain a profile address.
_URL_FIELDS = frozenset(("id", "url", "profileurl", "shareurl"))
_NAME_FIELDS = frozenset(("nickname", "displayname", "name", "author", "authorname", "ownername"))

# An object under one of these keys is the subject of the enclosing object: a post's author, a hit's user.
_IS_ABOUT = frozenset(
    ("user", "userinfo", "author", "authorinfo", "owner", "ownerinfo", "attributedto", "profile", "anchor",
     "anchorinfo", "creator", "person", "account", "data", "result", "response", "item", "iteminfo", "itemstruct",
     "aweme", "awemeinfo", "room", "roominfo", "liveroom", "liveroomuserinfo", "live", "stats")
)  # fmt: skip

_JSON_TOKEN = re.compile(_STRING + r'|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)
_FIELD_IN_TEXT = re.compile(r'(?i)("(?:unique_?id|handle|preferredUsername|display_?id|username)"\s*:\s*"@?)([^"\\]+)"')

Replace = Callable[[str], str]


def masked(found: str) -> str:
    """Return a mask of the same length, for files that a process has open at an offset."""
    return "*" * len(found)


def _marked(found: str) -> str:
    return MARK


def redact_text(text: str, names: Names, replace: Replace = _marked) -> str:
    """Replace every mention in free text."""
    if not _WORTH_A_LOOK.search(text):
        return text

    def token(match: re.Match[str]) -> str:
        name, stream = match["name"].rstrip("."), match["stream"]
        plain = name.lstrip(".").lower()
        known = (
            (match["at"] and names.matches("handle", plain))
            or (stream and names.matches("creator", plain))
            or names.matches("word", plain)
        )
        if not known:
            return match[0]
        dots = len(match["name"]) - len(name)
        return (match["at"] or "") + replace(name) + "." * dots + (stream or "")

    def long_id(match: re.Match[str]) -> str:
        return replace(match[0]) if names.matches("id", match[0]) else match[0]

    return _LONG_NUMBER.sub(long_id, _LONG_TEXT.sub(long_id, _TOKEN.sub(token, text)))


def redact_names(text: str, names: Names, replace: Replace = _marked) -> str:
    """Replace every creator id and handle in a text that consists of names, for example a list of row keys."""

    def token(match: re.Match[str]) -> str:
        known = names.matches("creator", match["name"].lower()) or names.matches("handle", match["name"].lower())
        return (match["at"] or "") + replace(match["name"]) + (match["stream"] or "") if known else match[0]

    return redact_text(_TOKEN.sub(token, text), names, replace)


def redact_body(body: str, names: Names) -> str | None:
    """Remove the erased creators from a body.

    Returns:
        The redacted body; the same object if it mentions none; None if the whole body belongs to an erased creator.
    """
    if not _may_mention(body, names):
        return body
    if not body.lstrip("\ufeff \t\r\n").startswith(("{", "[")):
        return _redact_unstructured(body, names)
    scan = _Scan(body, names)
    scan.run()
    if scan.all_erased:
        return None
    left = scan.edited() if scan.edits else body
    # A missing quotation mark swaps strings and the text between them: also search such a body as text.
    return left if _is_json(body) else _redact_unstructured(left, names)


def _may_mention(body: str, names: Names) -> bool:
    """Return whether any token of a body is a name of any kind. Much faster than a scan; true for few bodies."""
    if "%40" in body or _HIDDEN.search(body):
        return True
    return (
        any(names.matches_any(token) for token in {token.strip(".").lower() for token in _WORDS.findall(body)})
        or any(names.matches("id", token) for token in {*_LONG_NUMBER.findall(body), *_LONG_TEXT.findall(body)})
        or any(
            names.matches("name", _decoded(text)) for text in set(_STRINGS.findall(body)) if len(text) < _LONGEST_NAME
        )
    )


def _is_json(body: str) -> bool:
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except (ValueError, RecursionError):
        return False
    return True


def _redact_unstructured(body: str, names: Names) -> str:
    """Redact text that is not a JSON object: an HTML page, an error message, a JSON string."""

    def value(match: re.Match[str]) -> str:
        return f'{match[1]}{MARK}"' if names.matches("handle", match[2]) else match[0]

    return redact_text(_FIELD_IN_TEXT.sub(value, body), names)


@dataclass
class _Container:
    """An open object or array: its start, its parent, and its key in the parent."""

    kind: str
    start: int
    parent: _Container | None
    key: str | None = None
    # The object belongs to an erased creator.
    is_erased: bool = False
    # An object with an erased creator's profile URL belongs to that creator, unless it also has another handle.
    has_erased_url: bool = False
    has_other_handle: bool = False
    # Spans of an array's elements; the open element has no end yet.
    elements: list[tuple[int, int]] = field(default_factory=list)
    removed: set[int] = field(default_factory=set)
    # The key of an object whose value is next.
    open_key: str | None = None


class _Scan:
    """One scan of a JSON text, which may be damaged: collects the edits that remove erased creators."""

    def __init__(self, text: str, names: Names) -> None:
        self._text = text
        self._names = names
        self._open: _Container | None = None
        self._arrays: list[_Container] = []
        self.edits: list[tuple[int, int, str]] = []
        self.all_erased = False

    def run(self) -> None:
        """Scan once. The end of a truncated text closes every open container."""
        tokens = _JSON_TOKEN.finditer(self._text)
        held = next(tokens, None)
        while held is not None:
            following = next(tokens, None)
            is_key = following is not None and following[0] == ":" and held[0].startswith('"')
            self._take(held[0], held.start(), held.end(), is_key=is_key)
            held = following
        while self._open is not None:
            self._close(len(self._text))
        for array in self._arrays:
            self._remove_elements(array)

    def _take(self, token: str, start: int, end: int, *, is_key: bool) -> None:
        here = self._open
        if token in "{[":
            key = here.open_key if here is not None else None
            self._open = _Container(token, start, here, key)
        elif token in "}]":
            if here is not None:
                self._close(end)
        elif token == ",":
            if here is not None:
                here.open_key = None
        elif token != ":":
            if is_key and here is not None and here.kind == "{":
                self._key(here, token, start, end)
            else:
                self._value(here, token, start, end)

    def _key(self, here: _Container, token: str, start: int, end: int) -> None:
        plain = _decoded(token)
        here.open_key = re.sub(r"[_\-]", "", plain).lower()
        redacted = redact_text(plain, self._names)
        if redacted != plain:
            self.edits.append((start, end, json.dumps(redacted)))

    def _value(self, here: _Container | None, token: str, start: int, end: int) -> None:
        if here is not None and here.kind == "[":
            here.elements.append((start, end))
        key = here.open_key if here is not None and here.kind == "{" else None
        if not token.startswith('"'):
            digits = token.partition(".")[0]
            if digits.isdigit() and (key in _ID_FIELDS or len(digits) >= LONG_ID) and self._names.matches("id", digits):
                self._found(here, key, start, end, "null")
            return
        plain = _decoded(token)
        url = _PROFILE_URL.match(plain) if key in _URL_FIELDS else None
        if here is not None and url is not None and self._names.matches("handle", url[1]):
            here.has_erased_url = True
        elif here is not None and key in _HANDLE_FIELDS and not self._names.matches("handle", plain):
            here.has_other_handle = True
        if self._identifies(key, plain):
            self._found(here, key, start, end, json.dumps(MARK))
            return
        if key in _NAME_FIELDS and self._names.matches("name", plain):
            self.edits.append((start, end, json.dumps(MARK)))
            return
        redacted = self._inner(plain) if plain.startswith(("{", "[")) else redact_text(plain, self._names)
        if redacted != plain:
            self.edits.append((start, end, _encoded(redacted)))

    def _inner(self, plain: str) -> str:
        """Redact JSON within a string."""
        redacted = redact_body(plain, self._names)
        return MARK if redacted is None else redacted

    def _identifies(self, key: str | None, plain: str) -> bool:
        names = self._names
        if (key in _ID_FIELDS or len(plain) >= LONG_ID) and len(plain) <= _LONGEST_ID and names.matches("id", plain):
            return True
        return key in _HANDLE_FIELDS and names.matches("handle", plain)

    def _found(self, here: _Container | None, key: str | None, start: int, end: int, instead: str) -> None:
        """Redact an identifier. It marks its object as erased if the field identifies the object, not a reference."""
        self.edits.append((start, end, instead))
        if here is None:
            self.all_erased = True
        elif here.kind == "{" and (key in _ID_FIELDS or key in _HANDLE_FIELDS):
            here.is_erased = True

    def _close(self, end: int) -> None:
        here = self._open
        assert here is not None
        self._open = here.parent
        outer = here.parent
        if here.kind == "[" and here.removed:
            self._arrays.append(here)
        in_array = outer is not None and outer.kind == "["
        if in_array and outer is not None:
            outer.elements.append((here.start, end))
        if here.kind != "{" or not (here.is_erased or (here.has_erased_url and not here.has_other_handle)):
            return
        if outer is None:
            self.all_erased = True
        elif in_array:
            outer.removed.add(len(outer.elements) - 1)
        elif here.key in _IS_ABOUT:
            outer.is_erased = True
        else:
            self.edits.append((here.start, end, "{}"))

    def _remove_elements(self, array: _Container) -> None:
        """Cut elements with their commas: up to the next element, or from the end of the previous one."""
        spans = array.elements
        for number in array.removed:
            start, end = spans[number]
            if number + 1 < len(spans):
                self.edits.append((start, spans[number + 1][0], ""))
            else:
                kept = max((n for n in range(number) if n not in array.removed), default=None)
                self.edits.append((array.start + 1 if kept is None else spans[kept][1], end, ""))

    def edited(self) -> str:
        """Return the text with all edits; an edit within a larger one is part of it."""
        parts, at = [], 0
        for start, end, instead in sorted(self.edits, key=lambda edit: (edit[0], -edit[1])):
            if end <= at:
                continue
            parts.append(self._text[at : max(start, at)])
            parts.append(instead if start >= at else "")
            at = end
        return "".join(parts) + self._text[at:]


def _encoded(text: str) -> str:
    """Encode a text as JSON; escape it if it contains half a surrogate pair, which a file cannot contain otherwise."""
    return json.dumps(text, ensure_ascii=any("\ud800" <= character <= "\udfff" for character in text))


def _decoded(token: str) -> str:
    """Return the text of a JSON string; unchanged if it cannot be decoded."""
    if "\\" not in token:
        return token[1:].removesuffix('"')
    try:
        plain: str = json.loads(token, strict=False)
    except ValueError:
        return token[1:].removesuffix('"')
    return plain
