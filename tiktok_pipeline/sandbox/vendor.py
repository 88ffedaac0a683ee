"""Common parts of the sandbox's vendors: a routing table, refusals, and the world.

Facts of one vendor's wire format are in that vendor's file, not here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto
from typing import ClassVar

from tiktok_pipeline.sandbox.chance import bits
from tiktok_pipeline.sandbox.damage import Damage, Headers
from tiktok_pipeline.sandbox.ledger import Ledger
from tiktok_pipeline.sandbox.world import World

__all__ = ["Endpoint", "Headers", "Refusal", "Request", "Response", "Routes", "Vendor"]


class Refusal(Enum):
    """Why a vendor refuses a request. Each vendor has its own words and price for it."""

    NO_ROUTE = auto()
    INVALID = auto()
    MISSING_KEY = auto()
    WRONG_KEY = auto()
    FORBIDDEN = auto()
    OUT_OF_CREDITS = auto()
    SESSION_EXPIRED = auto()
    RATE_LIMITED = auto()
    USAGE_LIMIT = auto()
    RISK_CONTROL = auto()
    INTERNAL_ERROR = auto()
    BAD_GATEWAY = auto()
    UNAVAILABLE = auto()
    GATEWAY_TIMEOUT = auto()


@dataclass(slots=True)
class Request:
    """One request: the route's template, its subject, and its instant."""

    endpoint: str
    subject: str
    query: Mapping[str, str]
    at: datetime


@dataclass(slots=True)
class Response:
    """A response, its charge, and its damage by a fault profile."""

    status: int
    body: bytes
    credits: float = 0.0
    headers: Headers = ()
    content_type: bytes = b"application/json"
    damage: Damage | None = None


Endpoint = Callable[[Request], Response]


class Routes:
    """Path templates with at most one variable (`/users/{name}/live`), looked up without a scan."""

    def __init__(self, endpoints: Mapping[str, Endpoint]) -> None:
        self._fixed: dict[str, tuple[str, Endpoint]] = {}
        self._variable: dict[str, dict[str, tuple[str, Endpoint]]] = {}
        for template, endpoint in endpoints.items():
            before, brace, rest = template.partition("{")
            if brace:
                self._variable.setdefault(before, {})[rest.partition("}")[2]] = (template, endpoint)
            else:
                self._fixed[template] = (template, endpoint)

    def find(self, path: str) -> tuple[str, Endpoint, str] | None:
        """Return (template, endpoint, variable part) of a path, or None."""
        fixed = self._fixed.get(path)
        if fixed is not None:
            return *fixed, ""
        for before, endings in self._variable.items():
            if path.startswith(before):
                subject, slash, rest = path[len(before) :].partition("/")
                found = endings.get(slash + rest)
                if found is not None and subject:
                    return *found, subject
        return None


class Vendor:
    """A vendor: subclasses define the routes and the refusals."""

    name: ClassVar[str]
    prefix: ClassVar[str]
    base_url_variable: ClassVar[str]
    credentials: ClassVar[Mapping[str, str]]
    allowance: ClassVar[float] = 10_000_000  # credits bought: more than any demo spends
    subject_parameters: ClassVar[tuple[str, ...]] = ()
    bills_malformed_responses: ClassVar[bool] = True  # a 200 without data costs the same

    def __init__(self, world: World, ledger: Ledger) -> None:
        self.world = world
        self.ledger = ledger
        self.routes = Routes(self.endpoints())

    def endpoints(self) -> Mapping[str, Endpoint]:
        """Return the routing table; an endpoint that is added here is served."""
        raise NotImplementedError

    def check_key(self, headers: Mapping[bytes, bytes]) -> Refusal | None:
        """Return why these request headers are rejected; None if they are accepted."""
        raise NotImplementedError

    def refuse(self, refusal: Refusal, request: Request, message: str | None = None) -> Response:
        """Return the vendor's own body for a refusal, with `message` instead of its usual words."""
        raise NotImplementedError

    def upstream(self, body: bytes) -> bytes:
        """Return a body of the platform itself in this vendor's form."""
        return body

    def credits_left(self) -> int:
        """Return the rest of the allowance."""
        return int(self.allowance - self.ledger.charged(self.name))

    def request_id(self, request: Request) -> str:
        """Return an id that is always the same for the same request at the same instant."""
        return f"{bits(self.world.seed, self.name, request.endpoint, request.subject, request.at):016x}"


def whole(text: str) -> int | None:
    """Return the number in a parameter: decimal digits; None for anything else or beyond 64 bits."""
    return int(text) if text.isdecimal() and len(text) <= 19 else None


def web_rounded(count: int) -> int:
    """Return a count as the web app shows it: exact below 10,000, to 100 below a million, to 100,000 above.

    See docs/vendors.md 1.5: 427,682 is shown as 427,700 and 33,265,139 as 33,300,000.
    """
    if count < 10_000:
        return count
    unit = 100 if count < 1_000_000 else 100_000
    return (count + unit // 2) // unit * unit


def iso_milliseconds(at: datetime) -> str:
    """2026-03-02T00:00:00.000Z."""
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def picture(subject: str, at: datetime, kind: str = "avatar") -> str:
    """Return a picture's address that looks signed, with a signature that changes every day."""
    expires = (int(at.timestamp()) // 86_400 + 2) * 86_400
    signature = f"{bits(subject, kind, expires):016x}"
    path = f"{kind}/{bits(subject, kind):016x}~720x720.jpeg"
    return f"https://p16-sign.tiktokcdn.example/{path}?x-expires={expires}&x-signature={signature}%3D"
