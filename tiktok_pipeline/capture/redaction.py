"""Redact credentials, cookies and the tokens of signed addresses before anything is written or logged.

Redaction works on the bytes of a body, because it must not change anything else in it. Two rules:

- General shapes: values of fields, parameters and cookies with a name that marks a secret, of any issuer.
- A vendor's own secrets, in that vendor's requests and responses only, in every form in which a server can repeat them:
  plain, JSON-escaped, percent-encoded, HTML-escaped, Base64, and mixtures of these.

A secret that is a word or a number occurs in data by chance. Only the general shapes apply to it, and its forms with
the user name. A user name alone is replaced only if it cannot be a TikTok handle.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

REDACTED = b"[redacted]"

# "Cookie": "tt_chain_token=..." as vendors return it beside a media address (docs/vendors.md 2.3), plain or escaped.
# The lookahead is for speed: it rejects most quotes at the next byte.
_SECRET_FIELDS = re.compile(
    rb'("(?=[acpsxACPSX])(?i:set-cookie|cookie|authorization|proxy-authorization|x-api-key|api_?key|access_?token'
    rb'|password)\\?"\s*:\s*\\?")((?:[^"\\]|\\(?!").)*)'
)
# Query parameters that sign an address or name a session; & may be written as \u0026 inside a string. One pattern for
# each possible prefix: searching a literal prefix is ten times as fast as searching alternatives.
_SIGNED = tuple(
    re.compile(
        rb"(" + start + rb"(?i:(?:x-)?signature(?:_?v?[0-9])?|sign|sig|refresh_token|token|access_token|session_id"
        rb"|session|auth_key|key|key-pair-id|policy|x-(?:amz|goog)-[a-z-]+|(?:ws|tx|volc)secret|hdnt[a-z]|__token__)=)([^&\"'\\\s<>]+)"
    )
    for start in (rb"\?", rb"&(?:[aA][mM][pP];)?", rb"\\u0026")
)
_COOKIES = (b"tt_chain_token=", b"ttwid=", b"sessionid", b"msToken=", b"sid_tt=", b"sid_guard=")
_COOKIE_VALUES = re.compile(rb"((?:tt_chain_token|ttwid|sessionid(?:_ss)?|msToken|sid_tt|sid_guard)=)([^;&\"'\\\s]+)")

# Headers that readers of raw need. Other headers may carry secrets and are not useful.
_KEPT_HEADERS = (
    "age",
    "content-type",
    "date",
    "retry-after",
    "x-credits-remaining",
    "x-credits-used",
    "ratelimit-limit",
    "ratelimit-remaining",
    "ratelimit-reset",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "x-request-id",
)


class Redactor:
    """Redacts bodies: values of the general shapes, and the given secrets."""

    def __init__(self, secrets: Iterable[str] = (), *, user_names: Iterable[str] = ()) -> None:
        self._own = _OwnSecrets(list(secrets), list(user_names))

    def body(self, body: bytes) -> bytes:
        """Replace every secret in `body` by `[redacted]`; all other bytes stay unchanged."""
        body = self._own.replace(body)
        lowered = body.lower()
        if any(word in lowered for word in (b"cookie", b"authorization", b"key", b"token", b"password")):
            body = _SECRET_FIELDS.sub(rb"\1" + REDACTED, body)
            if any(name in body for name in _COOKIES):
                body = _COOKIE_VALUES.sub(rb"\1" + REDACTED, body)
        for signed in _SIGNED:
            body = signed.sub(rb"\1" + REDACTED, body)
        return body

    def text(self, text: str) -> str:
        """Replace every secret in a message by `[redacted]`."""
        return self.body(text.encode("utf-8", "replace")).decode("utf-8", "replace")

    def own(self, text: str) -> str:
        """Replace only the given secrets in `text`; the general shapes stay."""
        return self._own.replace(text.encode("utf-8", "replace")).decode("utf-8", "replace")

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Return the response headers that are kept, with names in lower case."""
        return {name: self.text(headers[name]) for name in _KEPT_HEADERS if name in headers}


# A secret is distinguishable from data if it is long, or has a letter and a character that no word or identifier has.
_IDENTIFIER = re.compile(r"[A-Za-z]+(?:[_. ]?[A-Za-z]+)*")
_HYPHENATED = re.compile(r"[A-Za-z]+(?:-[A-Za-z]+)+")
_NUMBER = re.compile(r"[^A-Za-z]*")
_HANDLE = re.compile(r"[A-Za-z0-9_.]{2,24}")

# A secret of this length or more does not occur by chance: it is also replaced inside longer text.
_LONG = 16


def _is_recognizable(secret: str) -> bool:
    """Return whether a secret differs from data; False for a word, an identifier, a number or a short text."""
    if _IDENTIFIER.fullmatch(secret) or _NUMBER.fullmatch(secret):
        return len(secret) >= 24
    return len(secret) >= (14 if _HYPHENATED.fullmatch(secret) else 6)


class _Needle:
    """One form of a secret in plain text, and how to find candidates quickly."""

    def __init__(self, plain: bytes, *, whole: bool, before: int = 0, after: int = 0) -> None:
        # Characters of Base64 around `plain` that also hold bits of the secret.
        self.before, self.after = before, after
        edges = (rb"(?<![A-Za-z0-9])", rb"(?![A-Za-z0-9])") if whole else (b"", b"")
        self.pattern = re.compile(edges[0] + re.escape(plain) + edges[1])
        # Every encoding that does not change letters and digits does not change this run.
        self.run = max(re.findall(rb"[A-Za-z0-9]+", plain), key=len, default=plain)


class _OwnSecrets:
    """Finds given secrets in any encoding.

    Few bodies contain one. So a body is first searched for the longest run of letters and digits of each secret, and
    for escaped letters and digits, which usual encoders do not produce. Only after a hit is the body decoded, in every
    order of encodings, with the position of every byte, and searched again.
    """

    def __init__(self, secrets: list[str], user_names: list[str]) -> None:
        alone = [secret for secret in secrets if _is_recognizable(secret)]
        alone += [name for name in user_names if _is_recognizable(name) and not _HANDLE.fullmatch(name)]
        alone += [secret.replace(" ", "+") for secret in alone if " " in secret]
        pairs = [f"{name}:{secret}" for name in user_names for secret in secrets if name and secret]
        plain = (*alone, *filter(_is_recognizable, pairs))
        needles = [_Needle(text.encode(), whole=len(text) < _LONG) for text in plain]
        for text in (*alone, *pairs):
            needles += _base64_forms(text.encode())
        self._needles = needles
        self._runs = sorted({needle.run for needle in needles})
        self._overlap = 64 + 16 * max((len(needle.pattern.pattern) for needle in needles), default=0)

    def replace(self, body: bytes) -> bytes:
        """Return `body` with every form of every secret replaced by `[redacted]`."""
        if not self._may_hold(body):
            return body
        spans: list[tuple[int, int]] = []
        # In pieces, because decoding with places takes fifty times the memory of a piece.
        budget = iter(range(_MOST_DECODINGS))
        for begin in range(0, len(body), _PIECE):
            piece = body[begin : begin + _PIECE + self._overlap]
            if self._may_hold(piece):
                spans += ((begin + start, begin + stop) for start, stop in self._spans(piece, budget))
        spans.sort()
        if not spans:
            return body
        kept, end = [], 0
        for start, stop in spans:
            if start >= end:
                kept += [body[end:start], REDACTED]
            end = max(end, stop)
        return b"".join([*kept, body[end:]])

    def _may_hold(self, body: bytes) -> bool:
        return bool(self._needles) and (any(run in body for run in self._runs) or _hides_letters(body))

    def _spans(self, body: bytes, budget: Iterator[int]) -> Iterator[tuple[int, int]]:
        """Return the positions of secrets in `body` and in its decoded forms."""
        layers: list[tuple[bytes, Sequence[int]]] = [(body, range(len(body) + 1))]
        seen = {body}
        for _ in range(_MOST_LAYERS):
            below = []
            for text, places in layers:
                for needle in self._needles:
                    for found in needle.pattern.finditer(text):
                        start, stop = _extended(text, found.start(), found.end(), needle)
                        yield places[start], places[stop]
                for escape, meaning in _ENCODINGS:
                    if escape.search(text) and next(budget, None) is not None:
                        decoded = _decoded(text, places, escape, meaning)
                        if decoded[0] not in seen:
                            seen.add(decoded[0])
                            below.append(decoded)
            layers = below


_PIECE = 64 * 1024

# Limit: a secret below more layers of encoding is hidden from readers as well.
_MOST_LAYERS = 6

# Per piece of a body. A server that builds a body to be slow to decode already has the secret.
_MOST_DECODINGS = 2_000

_ALNUM = rb"(?:3[0-9]|[46][1-9a-fA-F]|[57][0-9aA])"
_REFERENCE = rb"[0-9xX][0-9a-fA-F]{1,7}(?:;|(?:%|\\u0025)(?:25)*3[bB]|\\u003[bB])"
# Each with a literal that precedes it, because a literal is fast to find.
_HIDDEN = (
    # \u0041, also with a backslash that is encoded itself; \u0025 before two digits is an encoded percent sign.
    (b"u00", re.compile(rb"u00" + _ALNUM)),
    (b"u0025", re.compile(rb"u0025(?:25)*" + _ALNUM)),
    (b"%", re.compile(rb"%(?:25)*" + _ALNUM)),
    # &#65; and &#x41;, also with an ampersand or number sign that is encoded itself.
    (b"#", re.compile(rb"#" + _REFERENCE)),
    (b"u0023", re.compile(rb"u0023" + _REFERENCE)),
    (b"u0025", re.compile(rb"u0025(?:25)*23" + _REFERENCE)),
    (b"%23", re.compile(rb"%23" + _REFERENCE)),
    (b"%25", re.compile(rb"%(?:25)+23" + _REFERENCE)),
)


def _hides_letters(body: bytes) -> bool:
    """Return whether letters or digits of `body` are escaped."""
    return any(literal in body and pattern.search(body) for literal, pattern in _HIDDEN)


_SHORT = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}


def _in_json(escape: re.Match[bytes]) -> bytes | None:
    return bytes([int(escape[1], 16)]) if escape[1] else _SHORT.get(escape[2], escape[2])


def _in_percent(escape: re.Match[bytes]) -> bytes | None:
    return bytes([int(escape[1], 16)])


def _in_html(escape: re.Match[bytes]) -> bytes | None:
    character = html.unescape(f"&{escape[1].decode()};")
    return character.encode() if character.isascii() and len(character) == 1 else None


_ENCODINGS = (
    (re.compile(rb"\\(?:u00([0-7][0-9a-fA-F])|([/\"\\bfnrt']))"), _in_json),
    (re.compile(rb"%([0-7][0-9a-fA-F])"), _in_percent),
    (re.compile(rb"&(#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z]{2,8});"), _in_html),
)


def _decoded(
    text: bytes, places: Sequence[int], escape: re.Pattern[bytes], meaning: Callable[[re.Match[bytes]], bytes | None]
) -> tuple[bytes, Sequence[int]]:
    """Decode one layer of one encoding: return the text, and the position in the body of each byte and of the end."""
    parts: list[bytes] = []
    after: list[int] = []
    end = 0
    for found in escape.finditer(text):
        meant = meaning(found)
        if meant is not None:
            parts += [text[end : found.start()], meant]
            after += [*places[end : found.start()], places[found.start()]]
            end = found.end()
    return b"".join([*parts, text[end:]]), [*after, *places[end:]]


def _base64_forms(plain: bytes) -> Iterator[_Needle]:
    """Yield the Base64 forms of `plain` within a longer text: three alignments, two alphabets."""
    for offset in range(3):
        padded = base64.b64encode(b"\0" * offset + plain + b"\0" * (-(offset + len(plain)) % 3))
        first = -(-offset * 8 // 6)
        last = (offset + len(plain)) * 8 // 6
        core = padded[first:last]
        if len(core) < 6:
            continue
        partial = int((offset + len(plain)) * 8 % 6 > 0)
        for form in {core, core.replace(b"+", b"-").replace(b"/", b"_")}:
            yield _Needle(form, whole=False, before=int(offset > 0), after=partial)


def _extended(text: bytes, start: int, stop: int, needle: _Needle) -> tuple[int, int]:
    """Extend a match by the Base64 characters that hold the last bits of the secret, and by its padding."""
    start = max(0, start - needle.before)
    if needle.after:
        stop += needle.after
        while text[stop : stop + 1] == b"=":
            stop += 1
    return start, min(stop, len(text))
