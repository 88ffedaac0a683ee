"""The interface of every vendor: target, request, verdict on a response, and readings.

A vendor is a class without state:
- `request(capability, target, ...)` returns the request; None if the target lacks an id that the vendor needs;
- `judge(endpoint, status, headers, body)` returns the outcome and the cost of a response;
- `read(endpoint, outcome, body)` yields the observations in a body, and the problems in it.

Outcomes have four fates:

    usable      ok, empty, not_found, not_live, private     the request is settled
    retry       rate_limited, server_error, network_error, malformed
    vendor      unauthorized, out_of_credits, session_expired   skip this vendor until its circuit closes
    permanent   invalid_request, blocked                    a retry would give the same response
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import ClassVar

import msgspec

from tiktok_pipeline.providers.headers import retry_after
from tiktok_pipeline.providers.identifiers import is_cursor, is_handle, is_number, is_sec_uid
from tiktok_pipeline.providers.observations import Problem, Reading
from tiktok_pipeline.providers.parsing import Unreadable, decode, first_byte, text

# The names that a vendor's file needs, with the tools for headers and bodies.
__all__ = [
    "FATES",
    "Fate",
    "Limits",
    "Outcome",
    "Request",
    "Target",
    "Unreadable",
    "Vendor",
    "Verdict",
    "decode",
    "error_code",
    "judge_not_json",
    "next_cursor",
    "retry_after",
    "text",
    "with_credits",
]


class Outcome(StrEnum):
    """The outcome of one HTTP attempt (raw column `outcome`)."""

    OK = "ok"
    EMPTY = "empty"
    NOT_FOUND = "not_found"
    NOT_LIVE = "not_live"
    PRIVATE = "private"
    BLOCKED = "blocked"
    RATE_LIMITED = "rate_limited"
    UNAUTHORIZED = "unauthorized"
    OUT_OF_CREDITS = "out_of_credits"
    SESSION_EXPIRED = "session_expired"
    INVALID_REQUEST = "invalid_request"
    SERVER_ERROR = "server_error"
    NETWORK_ERROR = "network_error"
    MALFORMED = "malformed"


class Fate(StrEnum):
    """What to do after an attempt; see the module."""

    USABLE = "usable"
    RETRY = "retry"
    VENDOR = "vendor"
    PERMANENT = "permanent"


FATES: dict[Outcome, Fate] = {
    Outcome.OK: Fate.USABLE,
    Outcome.EMPTY: Fate.USABLE,
    Outcome.NOT_FOUND: Fate.USABLE,
    Outcome.NOT_LIVE: Fate.USABLE,
    Outcome.PRIVATE: Fate.USABLE,
    Outcome.RATE_LIMITED: Fate.RETRY,
    Outcome.SERVER_ERROR: Fate.RETRY,
    Outcome.NETWORK_ERROR: Fate.RETRY,
    Outcome.MALFORMED: Fate.RETRY,
    Outcome.UNAUTHORIZED: Fate.VENDOR,
    Outcome.OUT_OF_CREDITS: Fate.VENDOR,
    Outcome.SESSION_EXPIRED: Fate.VENDOR,
    Outcome.INVALID_REQUEST: Fate.PERMANENT,
    Outcome.BLOCKED: Fate.PERMANENT,
}


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rate limits and prices of one vendor: its defaults, and [vendors.NAME]."""

    requests_per_second: float = 10.0
    max_in_flight: int = 8
    timeout_s: float = 20.0
    credits_per_day: float | None = None
    credits_per_request: float = 1.0

    def __post_init__(self) -> None:
        """Reject limits that would stop all requests, and values that are not numbers (TOML has nan and inf)."""
        for name in ("requests_per_second", "timeout_s"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be a number above 0")
        if self.max_in_flight < 1:
            raise ValueError("max_in_flight must be at least 1")
        if not 0 <= self.credits_per_request < math.inf:
            raise ValueError("credits_per_request must be a number from 0 on")
        if self.credits_per_day is not None and not 0 <= self.credits_per_day < math.inf:
            raise ValueError("credits_per_day must be a number from 0 on; leave it out for no cap")


@dataclass(frozen=True)
class Target:
    """The subject of a request. A vendor uses the id that it needs."""

    creator_id: str
    handle: str
    user_id: str | None = None
    sec_uid: str | None = None
    room_id: str | None = None
    # For requests that are not about a creator of the roster: a keyword, a region.
    subject: str | None = None


def with_valid_ids(target: Target) -> Target:
    """Return the target without malformed ids: values from a body are data and must not shape a request.

    A malformed handle becomes empty, a malformed id None. A vendor that needs it makes no request.
    """
    return replace(
        target,
        handle=target.handle if is_handle(target.handle) else "",
        user_id=target.user_id if target.user_id and is_number(target.user_id) else None,
        sec_uid=target.sec_uid if target.sec_uid and is_sec_uid(target.sec_uid) else None,
        room_id=target.room_id if target.room_id and is_number(target.room_id) else None,
    )


def sendable(cursor: str | None) -> bool:
    """Return whether a page may be requested with this cursor; the first page has none."""
    return cursor is None or is_cursor(cursor)


@dataclass(frozen=True)
class Request:
    """One HTTP GET to one vendor, before authentication.

    Every inserted part of `path` is percent-encoded (`identifiers.path_part`); the client encodes `params`.
    """

    endpoint: str
    subject: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    creator_id: str | None = None
    page: int = 0
    cursor: str | None = None


@dataclass(frozen=True)
class Verdict:
    """The result of an attempt: outcome, the vendor's code, credits (None: unknown), wait before a retry, next page."""

    outcome: Outcome
    error: str | None = None
    request_id: str | None = None
    credits: float | None = None
    retry_after_s: float | None = None
    next_cursor: str | None = None

    @property
    def fate(self) -> Fate:
        """What to do after the attempt."""
        return FATES[self.outcome]


class Vendor(ABC):
    """One vendor: its requests, and how its responses are judged and read. Instances have no state."""

    name: ClassVar[str]
    base_url_variable: ClassVar[str]
    base_url: ClassVar[str]
    credential_variables: ClassVar[tuple[str, ...]]
    # Endpoint -> its capability: live, room, profile, stories, ... It also decides the raw table.
    endpoints: ClassVar[Mapping[str, str]]
    limits: ClassVar[Limits] = Limits()

    def endpoint_of(self, capability: str) -> str | None:
        """Return the endpoint for `capability`; None if the vendor has none."""
        return next((path for path, provided in self.endpoints.items() if provided == capability), None)

    @abstractmethod
    def authentication(self, credentials: tuple[str, ...]) -> dict[str, str]:
        """Return the request headers with the credentials, which are in the order of `credential_variables`."""

    @abstractmethod
    def request(self, capability: str, target: Target, *, page: int = 0, cursor: str | None = None) -> Request | None:
        """Return the request of `capability` for `target`; None without such an endpoint, or without a valid id.

        Uses only the ids that `with_valid_ids` keeps, and only cursors that pass `sendable`.
        """

    @abstractmethod
    def judge(self, endpoint: str, status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
        """Return the verdict on a response. Never raises: a response that cannot be interpreted is MALFORMED."""

    def describe_balance(self, body: bytes) -> str:
        """Describe the response of the vendor's free account endpoint for people."""
        return "nothing more is known"

    @abstractmethod
    def read(self, endpoint: str, outcome: Outcome, body: bytes) -> Iterator[Reading | Problem]:
        """Yield the readings in a landed body.

        Raises:
            Unreadable: the body is not as the vendor documents it.
        """


def judge_not_json(status: int, headers: Mapping[str, str], body: bytes) -> Verdict | None:
    """Return the verdict on an undocumented body: empty, bot protection, HTML; None if it may be JSON."""
    start = first_byte(body)
    if start in (b"{", b"["):
        return None
    if status == 429:
        return Verdict(Outcome.RATE_LIMITED, "http_429", retry_after_s=retry_after(headers, body))
    if status >= 500:
        return Verdict(Outcome.SERVER_ERROR, f"http_{status}", retry_after_s=retry_after(headers, body))
    if status in (401, 403):
        return Verdict(Outcome.UNAUTHORIZED, f"http_{status}")
    if status == 402:
        return Verdict(Outcome.OUT_OF_CREDITS, "http_402")
    if not start:
        return Verdict(Outcome.MALFORMED, "empty_body")
    return Verdict(Outcome.MALFORMED, "html" if start == b"<" else "not_json")


def error_code(code: str | None) -> str | None:
    """Return the code of an error object; None if it is empty or 0, as in an error object beside good data."""
    return code if code and code != "0" else None


def next_cursor(cursor: str | None, more: bool | int | None, *, empty: bool) -> str | None:
    """Return the cursor of the next page; None if the vendor reports no further page.

    If a page does not report whether there is more, its cursor decides. An empty page must report that there is more.
    """
    return cursor if (more if empty else more is None or more) else None


def with_credits(verdict: Verdict, credits: float | None) -> Verdict:
    """Return `verdict` with its cost."""
    return replace(verdict, credits=credits)
