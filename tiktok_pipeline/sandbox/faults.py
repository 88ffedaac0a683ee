"""Profiles of faults, decided by a hash of the request and its instant.

The same request at the same millisecond always has the same fault; a millisecond later it may succeed. A vendor's file
has its words and prices for refusals; faults that no vendor documents (cut bodies, HTML) are here. The profile
`hostile` damages responses in every way of `damage`, and records each damage in the ledger.
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
from tiktok_pipeline.sandbox.vendor import Endpoint, Refusal, Request, Response, Vendor

_MILD_SHARE, _NASTY_SHARE, _HOSTILE_SHARE = 0.02, 0.15, 0.05
_WINDOW_EVERY_S, _WINDOW_SHARE = 6 * 3600, 0.3  # in three of ten six-hour blocks a vendor is down for some minutes
_WINDOW_SHORTEST_S, _WINDOW_LONGEST_S = 240, 600


class Harm(Enum):
    """Damage to the connection instead of, or before, the response."""

    RESET = auto()
    SLOW = auto()


FaultyResponse = tuple[Response, Harm | Connection | None]
Fault = Callable[[Vendor, Endpoint, Request], FaultyResponse]


def _refused(refusal: Refusal) -> Fault:
    return lambda vendor, endpoint, request: (vendor.refuse(refusal, request), None)


def _limited_seconds(vendor: Vendor, endpoint: Endpoint, request: Request) -> FaultyResponse:
    response = vendor.refuse(Refusal.RATE_LIMITED, request)
    return replace(response, headers=(*response.headers, (b"retry-after", b"7"))), None


def _limited_date(vendor: Vendor, endpoint: Endpoint, request: Request) -> FaultyResponse:
    response = vendor.refuse(Refusal.RATE_LIMITED, request)
    date = format_datetime(request.at.replace(microsecond=0) + timedelta(seconds=20), usegmt=True)
    return replace(response, headers=(*response.headers, (b"retry-after", date.encode()))), None


def _limited_text(vendor: Vendor, endpoint: Endpoint, request: Request) -> FaultyResponse:
    return vendor.refuse(Refusal.RATE_LIMITED, request, "Too many requests. Retry after 30 seconds"), None


def _reset(vendor: Vendor, endpoint: Endpoint, request: Request) -> FaultyResponse:
    return Response(0, b""), Harm.RESET


def _slow(vendor: Vendor, endpoint: Endpoint, request: Request) -> FaultyResponse:
    return endpoint(request), Harm.SLOW


def _malformed(vendor: Vendor, response: Response, body: bytes) -> Response:
    """Return a 200 with another body: charged like the response, unless the vendor charges only for data."""
    return replace(
        response, status=200, body=body, credits=response.credits if vendor.bills_malformed_responses else 0.0
    )


def _empty(vendor: Vendor, endpoint: Endpoint, request: Request) -> FaultyResponse:
    return _malformed(vendor, endpoint(request), b""), None


def _truncated(vendor: Vendor, endpoint: Endpoint, request: Request) -> FaultyResponse:
    """Cut the response in transit: the vendor does not notice, so the price and the status stay."""
    response = endpoint(request)
    return replace(response, body=response.body[: len(response.body) * 3 // 5]), None


def _html(vendor: Vendor, endpoint: Endpoint, request: Request) -> FaultyResponse:
    page = b"<!DOCTYPE html><html><head><title>Security Check</title></head><body>Please wait...</body></html>"
    return replace(_malformed(vendor, endpoint(request), page), content_type=b"text/html; charset=utf-8"), None


def _platform(code: int, key: str = "status_code", **rest: object) -> Fault:
    body = msgspec.json.encode({key: code, **rest})
    return lambda vendor, endpoint, request: (_malformed(vendor, endpoint(request), vendor.upstream(body)), None)


def _status_zero(vendor: Vendor, endpoint: Endpoint, request: Request) -> FaultyResponse:
    return _malformed(vendor, endpoint(request), b'{"status_code":0}'), None


def _stale(vendor: Vendor, endpoint: Endpoint, request: Request) -> FaultyResponse:
    """Return an old response without an `Age`."""
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
# All kinds of damage, or those of one part of a response: choose one part to find the cause of a failure.
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
    """One profile: `none`, `mild`, `nasty`, `hostile`, `hostile-<part>`, or `down-<vendor>`.

    A share of damaged responses other than 5 % follows a hostile profile's name: `hostile-body@0.3`.
    """

    slow_s = 0.4  # long enough to show in a percentile, short enough for a replay of days

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

    def respond(self, vendor: Vendor, endpoint: Endpoint, request: Request) -> FaultyResponse:
        """Return the endpoint's response, or the fault that the profile makes of it."""
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
            fault = self._fault_of_window(vendor, request.at.timestamp())
            if fault is not None:
                return fault
        if draw / 2.0**64 >= self._share:
            return None
        return self._kinds[(draw & 0xFFFF) % len(self._kinds)]

    def _damaged(self, vendor: Vendor, endpoint: Endpoint, request: Request, draw: int) -> FaultyResponse:
        """Return the vendor's response with one recorded damage; it is charged as an undamaged one."""
        assert self._parts is not None
        random = Random(draw)
        of_body, of_headers = self._parts
        part = random.random()
        if part >= of_body + of_headers:
            connection = choose_connection(random)
            response = endpoint(request)
            return replace(response, damage=Damage("connection", connection.name.lower())), connection
        if part < of_body:
            other = _other_creators_response(vendor, endpoint, request, random) if random.random() < 0.08 else None
            if other is not None:
                return other, None
            response = endpoint(request)
            body, damage = damage_body(response.body, request.query.get("cursor"), request.at, random)
            return replace(response, body=body, damage=damage), None
        kind = random.random()
        if kind < 0.2:
            refused = vendor.refuse(random.choice((Refusal.RATE_LIMITED, Refusal.UNAVAILABLE)), request)
            header, damage = odd_retry_after(random)
            return replace(refused, headers=(*refused.headers, header), damage=damage), None
        response = endpoint(request)
        if kind < 0.35:
            return _odd_status(response, random), None
        headers, damage = damage_headers(response.headers, random)
        return replace(response, headers=headers, damage=damage), None

    def _fault_of_window(self, vendor: str, second: float) -> Fault | None:
        """Return the fault of all requests while the vendor is down: these faults come only in windows of time."""
        block, inside = divmod(second, _WINDOW_EVERY_S)
        if chance(self._seed, "window", vendor, int(block)) >= _WINDOW_SHARE:
            return None
        draw = bits(self._seed, "window kind", vendor, int(block))
        length = _WINDOW_SHORTEST_S + (draw >> 8) % (_WINDOW_LONGEST_S - _WINDOW_SHORTEST_S)
        begin = (draw >> 24) % (_WINDOW_EVERY_S - _WINDOW_LONGEST_S)
        return _SHUT[draw % len(_SHUT)] if begin <= inside < begin + length else None


# Statuses that no vendor documents, beside a good body. A redirect leads to a free endpoint, so a follow is visible.
_ODD_STATUSES = (201, 202, 206, 226, 299, 302, 307, 418, 451, 520, 599)


def _odd_status(response: Response, random: Random) -> Response:
    status = random.choice(_ODD_STATUSES)
    headers = response.headers
    if status in (302, 307):
        headers = (*headers, (b"location", random.choice((b"/social-fetch/v1/balance", b"/tikhub/api/v1//key/info"))))
    return replace(response, status=status, headers=headers, damage=Damage("headers", "status", "status"))


def _other_creators_response(vendor: Vendor, endpoint: Endpoint, request: Request, random: Random) -> Response | None:
    """Return the response about another creator, half the time under the requested handle; None for a search."""
    world, query = vendor.world, dict(request.query)
    others = [creator for creator in world.creators if creator.kind == "public"]
    if len(others) < 2 or not ({"userid", "user_id", "username"} & query.keys() or "{" in request.endpoint):
        return None
    requested = world.find(request.subject, request.at) or world.find_id(query.get("userid", query.get("user_id", "")))
    other = random.choice([creator for creator in others if creator is not requested])
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
    response = endpoint(Request(request.endpoint, subject, query, request.at))
    kind = "another_creator"
    if requested is not None and random.random() < 0.5:
        kind = "another_creator_under_this_handle"
        own = world.handle_at(requested, request.at)
        response = replace(response, body=response.body.replace(handle.encode(), own.encode()))
    return replace(response, damage=Damage("body", kind))
