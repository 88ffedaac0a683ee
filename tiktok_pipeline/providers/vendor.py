"""What every vendor has in common: the question, the request, the verdict on an answer, and its readings.

A vendor is a class with no state. It says
- `request(capability, target, ...)`: how to ask; None where the target lacks an id that the vendor needs;
- `judge(endpoint, status, headers, body)`: what an answer means and what it cost;
- `read(endpoint, body)`: the observations in a body, and the problems in it.

Outcomes are told apart as four fates:

    answer      ok, empty, not_found, not_live, private     the question is settled
    retry       rate_limited, server_error, network_error, malformed, blocked by a bot wall
    vendor      unauthorized, out_of_credits, session_expired   ask this vendor nothing more for now
    permanent   invalid_request, blocked by TikTok          asking again changes nothing
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

# What a vendor's file needs, its tools for headers and bodies included.
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
    "judge_not_json",
    "next_cursor",
    "retry_after",
    "text",
    "with_credits",
]


class Outcome(StrEnum):
    """What one HTTP attempt came to (raw column `outcome`)."""

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
    """What to do after an attempt."""

    ANSWER = "answer"
    RETRY = "retry"
    VENDOR = "vendor"
    PERMANENT = "permanent"


FATES: dict[Outcome, Fate] = {
    Outcome.OK: Fate.ANSWER,
    Outcome.EMPTY: Fate.ANSWER,
    Outcome.NOT_FOUND: Fate.ANSWER,
    Outcome.NOT_LIVE: Fate.ANSWER,
    Outcome.PRIVATE: Fate.ANSWER,
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
    """How hard one vendor may be asked, and what it may cost: each vendor's defaults, and [vendors.NAME]."""

    requests_per_second: float = 10.0
    max_in_flight: int = 8
    timeout_s: float = 20.0
    credits_per_day: float | None = None
    credits_per_request: float = 1.0

    def __post_init__(self) -> None:
        """Refuse limits under which no request could be sent, and numbers that are none (TOML knows nan and inf)."""
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
    """Whom a question is about. A vendor takes the id that it needs."""

    creator_id: str
    handle: str
    user_id: str | None = None
    sec_uid: str | None = None
    room_id: str | None = None
    # For questions that are about nobody on the roster: a keyword, a region.
    subject: str | None = None


def askable(target: Target) -> Target:
    """Return the target without malformed ids: values from a body are data and must not shape a request.

    A handle of another form becomes empty, an id None: a vendor that needs it gets no request.
    """
    return replace(
        target,
        handle=target.handle if is_handle(target.handle) else "",
        user_id=target.user_id if target.user_id and is_number(target.user_id) else None,
        sec_uid=target.sec_uid if target.sec_uid and is_sec_uid(target.sec_uid) else None,
        room_id=target.room_id if target.room_id and is_number(target.room_id) else None,
    )


def sendable(cursor: str | None) -> bool:
    """Return whether a page may be requested by this cursor; the first page has none."""
    return cursor is None or is_cursor(cursor)


@dataclass(frozen=True)
class Request:
    """One HTTP GET to one vendor, before authentication.

    Every part of `path` that is not the endpoint's own is percent-encoded (`identifiers.path_part`); `params` are
    encoded by the client.
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
    """What an attempt came to: outcome, the vendor's code, credits (None: not known), age of the answer."""

    outcome: Outcome
    error: str | None = None
    request_id: str | None = None
    credits: float | None = None
    retry_after_s: float | None = None
    next_cursor: str | None = None

    @property
    def fate(self) -> Fate:
        """What to do next."""
        return FATES[self.outcome]


class Vendor(ABC):
    """One vendor's way of being asked and read. Instances have no state."""

    name: ClassVar[str]
    base_url_variable: ClassVar[str]
    base_url: ClassVar[str]
    credential_variables: ClassVar[tuple[str, ...]]
    # Endpoint -> what it answers: live, room, profile, stories, ... and where to land it.
    endpoints: ClassVar[Mapping[str, str]]
    limits: ClassVar[Limits] = Limits()

    def endpoint_of(self, capability: str) -> str | None:
        """The endpoint that answers `capability`; None where the vendor cannot."""
        return next((path for path, answers in self.endpoints.items() if answers == capability), None)

    @abstractmethod
    def authentication(self, credentials: tuple[str, ...]) -> dict[str, str]:
        """Request headers that carry the credentials, in the order of `credential_variables`."""

    @abstractmethod
    def request(self, capability: str, target: Target, *, page: int = 0, cursor: str | None = None) -> Request | None:
        """Return the request of `capability` for `target`; None if the vendor lacks it or an id of the right form.

        Uses nothing of a target but what `askable` leaves, and no cursor that is not `is_cursor`.
        """

    @abstractmethod
    def judge(self, endpoint: str, status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
        """What an answer means. Never raises: what cannot be understood is MALFORMED."""

    def describe_balance(self, body: bytes) -> str:
        """What the vendor's free endpoint says of the account, for people."""
        return "nothing more is known"

    @abstractmethod
    def read(self, endpoint: str, outcome: Outcome, body: bytes) -> Iterator[Reading | Problem]:
        """The readings in a landed body.

        Raises:
            Unreadable: the body is not what the vendor documents.
        """


def judge_not_json(status: int, headers: Mapping[str, str], body: bytes) -> Verdict | None:
    """The verdict on what no vendor documents: an empty body, a bot wall, HTML. None when it may be JSON."""
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


def next_cursor(cursor: str | None, more: bool | int | None, *, empty: bool) -> str | None:
    """Return the cursor of the next page; None where the vendor says that there is none.

    A page that does not say whether there is more goes on by its cursor. An empty page goes on only where it says so.
    """
    return cursor if (more if empty else more is None or more) else None


def with_credits(verdict: Verdict, credits: float | None) -> Verdict:
    """`verdict` with what it cost."""
    return replace(verdict, credits=credits)
