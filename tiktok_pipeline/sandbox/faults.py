"""What goes wrong, and when: profiles of faults, decided by a hash of the question and its instant.

The same question at the same millisecond always fares the same; a moment later it may succeed. How a vendor
words and bills a refusal stands with the vendor; what no vendor writes down (cut bodies, HTML) stands here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime
from enum import Enum, auto

import msgspec

from tiktok_pipeline.sandbox.chance import bits, chance
from tiktok_pipeline.sandbox.vendor import Answer, Endpoint, Refusal, Request, Vendor

_MILD_SHARE, _NASTY_SHARE = 0.02, 0.15
_WINDOW_EVERY_S, _WINDOW_SHARE = 6 * 3600, 0.3  # in three of ten six-hour blocks a vendor shuts its door for a while
_WINDOW_SHORTEST_S, _WINDOW_LONGEST_S = 240, 600


class Harm(Enum):
    """What is done to the connection instead of, or before, the answer."""

    RESET = auto()
    SLOW = auto()


Fault = Callable[[Vendor, Endpoint, Request], tuple[Answer, Harm | None]]


def _refused(refusal: Refusal) -> Fault:
    return lambda vendor, endpoint, request: (vendor.refuse(refusal, request), None)


def _limited_seconds(vendor: Vendor, endpoint: Endpoint, request: Request) -> tuple[Answer, Harm | None]:
    answer = vendor.refuse(Refusal.RATE_LIMITED, request)
    return replace(answer, headers=(*answer.headers, (b"retry-after", b"7"))), None


def _limited_date(vendor: Vendor, endpoint: Endpoint, request: Request) -> tuple[Answer, Harm | None]:
    answer = vendor.refuse(Refusal.RATE_LIMITED, request)
    date = format_datetime(request.at.replace(microsecond=0) + timedelta(seconds=20), usegmt=True)
    return replace(answer, headers=(*answer.headers, (b"retry-after", date.encode()))), None


def _limited_text(vendor: Vendor, endpoint: Endpoint, request: Request) -> tuple[Answer, Harm | None]:
    return vendor.refuse(Refusal.RATE_LIMITED, request, "Too many requests. Retry after 30 seconds"), None


def _reset(vendor: Vendor, endpoint: Endpoint, request: Request) -> tuple[Answer, Harm | None]:
    return Answer(0, b""), Harm.RESET


def _slow(vendor: Vendor, endpoint: Endpoint, request: Request) -> tuple[Answer, Harm | None]:
    return endpoint(request), Harm.SLOW


def _spoilt(vendor: Vendor, answer: Answer, body: bytes) -> Answer:
    """A 200 with something else in it: charged like the answer, unless the vendor charges only for data."""
    return replace(answer, status=200, body=body, credits=answer.credits if vendor.bills_spoilt_answers else 0.0)


def _empty(vendor: Vendor, endpoint: Endpoint, request: Request) -> tuple[Answer, Harm | None]:
    return _spoilt(vendor, endpoint(request), b""), None


def _truncated(vendor: Vendor, endpoint: Endpoint, request: Request) -> tuple[Answer, Harm | None]:
    """Cut on its way: the vendor knows nothing of it, so the price and the status stay."""
    answer = endpoint(request)
    return replace(answer, body=answer.body[: len(answer.body) * 3 // 5]), None


def _html(vendor: Vendor, endpoint: Endpoint, request: Request) -> tuple[Answer, Harm | None]:
    page = b"<!DOCTYPE html><html><head><title>Security Check</title></head><body>Please wait...</body></html>"
    return replace(_spoilt(vendor, endpoint(request), page), content_type=b"text/html; charset=utf-8"), None


def _platform(code: int, key: str = "status_code", **rest: object) -> Fault:
    body = msgspec.json.encode({key: code, **rest})
    return lambda vendor, endpoint, request: (_spoilt(vendor, endpoint(request), vendor.upstream(body)), None)


def _status_zero(vendor: Vendor, endpoint: Endpoint, request: Request) -> tuple[Answer, Harm | None]:
    return _spoilt(vendor, endpoint(request), b'{"status_code":0}'), None


def _stale(vendor: Vendor, endpoint: Endpoint, request: Request) -> tuple[Answer, Harm | None]:
    """An old answer that does not say so."""
    age = timedelta(seconds=60 + bits(request.subject, request.at) % 1200)
    return endpoint(replace(request, at=request.at - age)), None


_RETRYABLE: tuple[Fault, ...] = (
    _limited_seconds,
    _refused(Refusal.INTERNAL_ERROR),
    _refused(Refusal.BAD_GATEWAY),
    _refused(Refusal.UNAVAILABLE),
    _refused(Refusal.GATEWAY_TIMEOUT),
    _reset,
    _slow,
)
_ANYTHING: tuple[Fault, ...] = (
    *_RETRYABLE,
    _limited_date,
    _limited_text,
    _refused(Refusal.RATE_LIMITED),
    _refused(Refusal.RISK_CONTROL),
    _empty,
    _truncated,
    _html,
    _status_zero,
    _platform(4003110, data={"prompts": ""}),
    _platform(19881007, key="statusCode", data=None, message="user_not_found"),
    _stale,
)
_SHUT: tuple[Fault, ...] = (
    _refused(Refusal.WRONG_KEY),
    _refused(Refusal.OUT_OF_CREDITS),
    _refused(Refusal.FORBIDDEN),
    _refused(Refusal.SESSION_EXPIRED),
    _refused(Refusal.USAGE_LIMIT),
)
_DOWN: tuple[Fault, ...] = _RETRYABLE[1:6]

_SHARES: Mapping[str, tuple[float, tuple[Fault, ...]]] = {
    "none": (0.0, ()),
    "mild": (_MILD_SHARE, _RETRYABLE),
    "nasty": (_NASTY_SHARE, _ANYTHING),
}
DOWN_PREFIX = "down-"
PROFILES = (*_SHARES, *(DOWN_PREFIX + name for name in ("konbini", "social_fetch", "tikliveapi", "tikhub")))


class Faults:
    """One profile at work: `none`, `mild`, `nasty`, or `down-<vendor>`."""

    slow_s = 0.4  # long enough to be seen in a percentile, short enough for a replay of days

    def __init__(self, seed: int, profile: str) -> None:
        if profile not in PROFILES:
            raise ValueError(f"there is no fault profile {profile!r}: choose one of {', '.join(PROFILES)}")
        self._seed = seed
        self._down = profile.removeprefix(DOWN_PREFIX) if profile.startswith(DOWN_PREFIX) else None
        self._share, self._kinds = _SHARES.get(profile, (0.0, ()))
        self._shuts = profile == "nasty"

    def answer(self, vendor: Vendor, endpoint: Endpoint, request: Request) -> tuple[Answer, Harm | None]:
        """The endpoint's answer, or what the profile makes of it."""
        if self._share == 0.0 and self._down is None:
            return endpoint(request), None
        fault = self._decide(vendor.name, request)
        return (endpoint(request), None) if fault is None else fault(vendor, endpoint, request)

    def _decide(self, vendor: str, request: Request) -> Fault | None:
        second = request.at.timestamp()
        draw = bits(self._seed, "fault", vendor, request.endpoint, request.subject, int(second * 1000))
        if self._down is not None:
            return _DOWN[draw % len(_DOWN)] if vendor == self._down else None
        if self._shuts:
            shut = self._shut(vendor, second)
            if shut is not None:
                return shut
        if draw / 2.0**64 >= self._share:
            return None
        return self._kinds[(draw & 0xFFFF) % len(self._kinds)]

    def _shut(self, vendor: str, second: float) -> Fault | None:
        """What the vendor answers to everything while its door is shut: these faults come in windows of time only."""
        block, inside = divmod(second, _WINDOW_EVERY_S)
        if chance(self._seed, "window", vendor, int(block)) >= _WINDOW_SHARE:
            return None
        draw = bits(self._seed, "window kind", vendor, int(block))
        length = _WINDOW_SHORTEST_S + (draw >> 8) % (_WINDOW_LONGEST_S - _WINDOW_SHORTEST_S)
        begin = (draw >> 24) % (_WINDOW_EVERY_S - _WINDOW_LONGEST_S)
        return _SHUT[draw % len(_SHUT)] if begin <= inside < begin + length else None
