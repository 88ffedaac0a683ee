"""What goes wrong, and when: profiles of faults, decided by a hash of the question and its instant.

The same question at the same millisecond always fares the same; a moment later it may succeed. How a vendor
words and bills a refusal stands with the vendor; what no vendor writes down (cut bodies, HTML) stands here. The profile
`hostile` damages responses in every way that `damage` knows, and notes each damage for the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime
from enum import Enum, auto
from random import Random

import msgspec

from tiktok_pipeline.sandbox.chance import bits, chance
from tiktok_pipeline.sandbox.damage import (
    Connection,
    Damage,
    choose_connection,
    damage_body,
    damage_headers,
    odd_retry_after,
)
from tiktok_pipeline.sandbox.vendor import Answer, Endpoint, Refusal, Request, Vendor

_MILD_SHARE, _NASTY_SHARE, _HOSTILE_SHARE = 0.02, 0.15, 0.05
_WINDOW_EVERY_S, _WINDOW_SHARE = 6 * 3600, 0.3  # in three of ten six-hour blocks a vendor shuts its door for a while
_WINDOW_SHORTEST_S, _WINDOW_LONGEST_S = 240, 600


class Harm(Enum):
    """What is done to the connection instead of, or before, the answer."""

    RESET = auto()
    SLOW = auto()


Fate = tuple[Answer, Harm | Connection | None]
Fault = Callable[[Vendor, Endpoint, Request], Fate]


def _refused(refusal: Refusal) -> Fault:
    return lambda vendor, endpoint, request: (vendor.refuse(refusal, request), None)


def _limited_seconds(vendor: Vendor, endpoint: Endpoint, request: Request) -> Fate:
    answer = vendor.refuse(Refusal.RATE_LIMITED, request)
    return replace(answer, headers=(*answer.headers, (b"retry-after", b"7"))), None


def _limited_date(vendor: Vendor, endpoint: Endpoint, request: Request) -> Fate:
    answer = vendor.refuse(Refusal.RATE_LIMITED, request)
    date = format_datetime(request.at.replace(microsecond=0) + timedelta(seconds=20), usegmt=True)
    return replace(answer, headers=(*answer.headers, (b"retry-after", date.encode()))), None


def _limited_text(vendor: Vendor, endpoint: Endpoint, request: Request) -> Fate:
    return vendor.refuse(Refusal.RATE_LIMITED, request, "Too many requests. Retry after 30 seconds"), None


def _reset(vendor: Vendor, endpoint: Endpoint, request: Request) -> Fate:
    return Answer(0, b""), Harm.RESET


def _slow(vendor: Vendor, endpoint: Endpoint, request: Request) -> Fate:
    return endpoint(request), Harm.SLOW


def _spoilt(vendor: Vendor, answer: Answer, body: bytes) -> Answer:
    """A 200 with something else in it: charged like the answer, unless the vendor charges only for data."""
    return replace(answer, status=200, body=body, credits=answer.credits if vendor.bills_spoilt_answers else 0.0)


def _empty(vendor: Vendor, endpoint: Endpoint, request: Request) -> Fate:
    return _spoilt(vendor, endpoint(request), b""), None


def _truncated(vendor: Vendor, endpoint: Endpoint, request: Request) -> Fate:
    """Cut on its way: the vendor knows nothing of it, so the price and the status stay."""
    answer = endpoint(request)
    return replace(answer, body=answer.body[: len(answer.body) * 3 // 5]), None


def _html(vendor: Vendor, endpoint: Endpoint, request: Request) -> Fate:
    page = b"<!DOCTYPE html><html><head><title>Security Check</title></head><body>Please wait...</body></html>"
    return replace(_spoilt(vendor, endpoint(request), page), content_type=b"text/html; charset=utf-8"), None


def _platform(code: int, key: str = "status_code", **rest: object) -> Fault:
    body = msgspec.json.encode({key: code, **rest})
    return lambda vendor, endpoint, request: (_spoilt(vendor, endpoint(request), vendor.upstream(body)), None)


def _status_zero(vendor: Vendor, endpoint: Endpoint, request: Request) -> Fate:
    return _spoilt(vendor, endpoint(request), b'{"status_code":0}'), None


def _stale(vendor: Vendor, endpoint: Endpoint, request: Request) -> Fate:
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
# All kinds of damage, or those of one part of a response: what a failure comes from is found by asking for one part.
_PARTS: Mapping[str, tuple[float, float]] = {  # shares of body and headers; the rest is the connection
    "hostile": (0.72, 0.18),
    "hostile-body": (1.0, 0.0),
    "hostile-headers": (0.0, 1.0),
    "hostile-connection": (0.0, 0.0),
}
PROFILES = (
    *_SHARES,
    *_PARTS,
    *(DOWN_PREFIX + name for name in ("konbini", "social_fetch", "tikliveapi", "tikhub")),
)


class Faults:
    """One profile at work: `none`, `mild`, `nasty`, `hostile`, `hostile-<part>`, or `down-<vendor>`.

    A share of damaged responses other than 5 % follows a hostile profile's name: `hostile-body@0.3`.
    """

    slow_s = 0.4  # long enough to be seen in a percentile, short enough for a replay of days

    def __init__(self, seed: int, profile: str) -> None:
        profile, _, share = profile.partition("@")
        if profile not in PROFILES or (share and profile not in _PARTS):
            raise ValueError(f"there is no fault profile {profile!r}: choose one of {', '.join(PROFILES)}")
        self._seed = seed
        self._down = profile.removeprefix(DOWN_PREFIX) if profile.startswith(DOWN_PREFIX) else None
        self._share, self._kinds = _SHARES.get(profile, (0.0, ()))
        self._shuts = profile == "nasty"
        self._parts = _PARTS.get(profile)
        self._damaged_share = float(share) if share else _HOSTILE_SHARE

    def answer(self, vendor: Vendor, endpoint: Endpoint, request: Request) -> Fate:
        """The endpoint's answer, or what the profile makes of it."""
        if self._parts is not None:
            draw = self._draw(vendor.name, request)
            harmed = draw / 2.0**64 < self._damaged_share
            return self._damaged(vendor, endpoint, request, draw) if harmed else (endpoint(request), None)
        if self._share == 0.0 and self._down is None:
            return endpoint(request), None
        fault = self._decide(vendor.name, request)
        return (endpoint(request), None) if fault is None else fault(vendor, endpoint, request)

    def _draw(self, vendor: str, request: Request) -> int:
        second = request.at.timestamp()
        return bits(self._seed, "fault", vendor, request.endpoint, request.subject, int(second * 1000))

    def _decide(self, vendor: str, request: Request) -> Fault | None:
        draw = self._draw(vendor, request)
        if self._down is not None:
            return _DOWN[draw % len(_DOWN)] if vendor == self._down else None
        if self._shuts:
            shut = self._shut(vendor, request.at.timestamp())
            if shut is not None:
                return shut
        if draw / 2.0**64 >= self._share:
            return None
        return self._kinds[(draw & 0xFFFF) % len(self._kinds)]

    def _damaged(self, vendor: Vendor, endpoint: Endpoint, request: Request, draw: int) -> Fate:
        """The vendor's answer with one damage, which it carries; it is charged as if nothing had happened."""
        assert self._parts is not None
        random = Random(draw)
        of_body, of_headers = self._parts
        part = random.random()
        if part >= of_body + of_headers:
            connection = choose_connection(random)
            answer = endpoint(request)
            return replace(answer, damage=Damage("connection", connection.name.lower())), connection
        if part < of_body:
            stranger = _strangers_answer(vendor, endpoint, request, random) if random.random() < 0.08 else None
            if stranger is not None:
                return stranger, None
            answer = endpoint(request)
            body, damage = damage_body(answer.body, request.query.get("cursor"), request.at, random)
            return replace(answer, body=body, damage=damage), None
        kind = random.random()
        if kind < 0.2:
            refused = vendor.refuse(random.choice((Refusal.RATE_LIMITED, Refusal.UNAVAILABLE)), request)
            header, damage = odd_retry_after(random)
            return replace(refused, headers=(*refused.headers, header), damage=damage), None
        answer = endpoint(request)
        if kind < 0.35:
            return _odd_status(answer, random), None
        headers, damage = damage_headers(answer.headers, random)
        return replace(answer, headers=headers, damage=damage), None

    def _shut(self, vendor: str, second: float) -> Fault | None:
        """What the vendor answers to everything while its door is shut: these faults come in windows of time only."""
        block, inside = divmod(second, _WINDOW_EVERY_S)
        if chance(self._seed, "window", vendor, int(block)) >= _WINDOW_SHARE:
            return None
        draw = bits(self._seed, "window kind", vendor, int(block))
        length = _WINDOW_SHORTEST_S + (draw >> 8) % (_WINDOW_LONGEST_S - _WINDOW_SHORTEST_S)
        begin = (draw >> 24) % (_WINDOW_EVERY_S - _WINDOW_LONGEST_S)
        return _SHUT[draw % len(_SHUT)] if begin <= inside < begin + length else None


# Statuses that no vendor documents, beside a good body. A redirect leads to a free endpoint: who follows it is seen.
_ODD_STATUSES = (201, 202, 206, 226, 299, 302, 307, 418, 451, 520, 599)


def _odd_status(answer: Answer, random: Random) -> Answer:
    status = random.choice(_ODD_STATUSES)
    headers = answer.headers
    if status in (302, 307):
        headers = (*headers, (b"location", random.choice((b"/social-fetch/v1/balance", b"/tikhub/api/v1//key/info"))))
    return replace(answer, status=status, headers=headers, damage=Damage("headers", "status", "status"))


def _strangers_answer(vendor: Vendor, endpoint: Endpoint, request: Request, random: Random) -> Answer | None:
    """The answer about another creator, half the time under the handle that was asked for; none for a search."""
    world, query = vendor.world, dict(request.query)
    others = [creator for creator in world.creators if creator.kind == "public"]
    if len(others) < 2 or not ({"userid", "user_id", "username"} & query.keys() or "{" in request.endpoint):
        return None
    asked = world.find(request.subject, request.at) or world.find_id(query.get("userid", query.get("user_id", "")))
    other = random.choice([creator for creator in others if creator is not asked])
    handle = world.handle_at(other, request.at)
    subject = handle
    room = world.last_room(other, request.at)
    for name, value in (
        ("userid", other.user_id),
        ("user_id", other.user_id),
        ("username", handle),
        ("room_id", None if room is None else room.room_id),
    ):
        if name in query and value is not None:
            query[name] = subject = value
    answer = endpoint(Request(request.endpoint, subject, query, request.at))
    kind = "another_creator"
    if asked is not None and random.random() < 0.5:
        kind = "another_creator_under_this_handle"
        own = world.handle_at(asked, request.at)
        answer = replace(answer, body=answer.body.replace(handle.encode(), own.encode()))
    return replace(answer, damage=Damage("body", kind))
