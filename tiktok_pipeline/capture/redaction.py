"""What must never reach a file or a log: credentials, cookies, and the tokens of signed addresses.

Redaction works on the bytes of a body, because it must not change anything else in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

REDACTED = b"[redacted]"

# "Cookie": "tt_chain_token=..." as vendors put beside a media address (notes, section 1.3), plain or escaped.
_SECRET_FIELDS = re.compile(
    rb'(\\?"(?:set-cookie|cookie|authorization|proxy-authorization|x-api-key|api_?key|access_?token|password)\\?"'
    rb'\s*:\s*\\?")((?:[^"\\]|\\(?!").)*)',
    re.IGNORECASE,
)
# Query parameters that sign an address or name a session; & may be written as \u0026 inside a string.
_SIGNED = re.compile(
    rb"((?:[?&]|\\u0026|&amp;)(?:x-signature|signature|sign|sig|refresh_token|token|access_token|session_id|"
    rb"session|auth_key|key|x-amz-[a-z-]+)=)([^&\"'\\\s<>]+)",
    re.IGNORECASE,
)
_COOKIE_VALUES = re.compile(rb"((?:tt_chain_token|ttwid|sessionid(?:_ss)?|msToken|sid_tt|sid_guard)=)([^;&\"'\\\s]+)")

# Headers that matter to somebody who reads raw: all others may carry secrets and tell nothing.
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
    """Takes secrets out of bodies; knows the deployment's own credentials besides the general shapes."""

    def __init__(self, credentials: Iterable[str] = ()) -> None:
        secrets = sorted({secret for secret in credentials if len(secret) >= 4}, key=len, reverse=True)
        self._own = re.compile(b"|".join(re.escape(secret.encode()) for secret in secrets)) if secrets else None

    def body(self, body: bytes) -> bytes:
        """`body` with every secret replaced by `[redacted]`; all other bytes as they came."""
        if self._own is not None:
            body = self._own.sub(REDACTED, body)
        lowered = body.lower()
        if any(word in lowered for word in (b"cookie", b"authorization", b"key", b"token", b"password")):
            body = _SECRET_FIELDS.sub(rb"\1" + REDACTED, body)
            body = _COOKIE_VALUES.sub(rb"\1" + REDACTED, body)
        return _SIGNED.sub(rb"\1" + REDACTED, body)

    def text(self, text: str) -> str:
        """The same for a message."""
        return self.body(text.encode()).decode("utf-8", "replace")

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """The answer's headers that matter, in lower case."""
        return {name: self.text(headers[name]) for name in _KEPT_HEADERS if name in headers}
