"""What every vendor of the sandbox has: a routing table, a way to refuse, and the world that it speaks of.

Facts of one vendor's wire format stand in that vendor's file, not here.
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

__all__ = ["Answer", "Endpoint", "Headers", "Refusal", "Request", "Routes", "Vendor"]


class Refusal(Enum):
    """Why a vendor does not answer the question. Each vendor has its own words and price for it."""

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
    """One question: the route's template, what is asked for, and the instant that it is asked for."""

    endpoint: str
    subject: str
    query: Mapping[str, str]
    at: datetime


@dataclass(slots=True)
class Answer:
    """What goes back, what is charged for it, and what a fault profile changed in it."""

    status: int
    body: bytes
    credits: float = 0.0
    headers: Headers = ()
    content_type: bytes = b"application/json"
    damage: Damage | None = None


Endpoint = Callable[[Request], Answer]


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
        """(template, endpoint, variable part) of a path, or none."""
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
    """A vendor: subclasses fill the routes and say how they refuse."""

    name: ClassVar[str]
    prefix: ClassVar[str]
    base_url_variable: ClassVar[str]
    credentials: ClassVar[Mapping[str, str]]
    allowance: ClassVar[float] = 10_000_000  # credits bought: enough that no demo ever runs dry
    subject_parameters: ClassVar[tuple[str, ...]] = ()
    bills_spoilt_answers: ClassVar[bool] = True  # a 200 without data costs the same

    def __init__(self, world: World, ledger: Ledger) -> None:
        self.world = world
        self.ledger = ledger
        self.routes = Routes(self.endpoints())

    def endpoints(self) -> Mapping[str, Endpoint]:
        """The routing table: add an endpoint here and it is served."""
        raise NotImplementedError

    def check_key(self, headers: Mapping[bytes, bytes]) -> Refusal | None:
        """Why these request headers do not let anybody in; none if they do."""
        raise NotImplementedError

    def refuse(self, refusal: Refusal, request: Request, message: str | None = None) -> Answer:
        """The vendor's own body for a refusal, `message` instead of its usual words."""
        raise NotImplementedError

    def upstream(self, body: bytes) -> bytes:
        """How a body of the platform itself looks when this vendor passes it on."""
        return body

    def credits_left(self) -> int:
        """What is left of the allowance."""
        return int(self.allowance - self.ledger.charged(self.name))

    def request_id(self, request: Request) -> str:
        """An id that the same question at the same instant always gets."""
        return f"{bits(self.world.seed, self.name, request.endpoint, request.subject, request.at):016x}"


def whole(text: str) -> int | None:
    """A number as a parameter has it: decimal digits, none for anything else or beyond 64 bits."""
    return int(text) if text.isdecimal() and len(text) <= 19 else None


def web_rounded(count: int) -> int:
    """A count as the web app shows it: exact below 10,000, to 100 below a million, to 100,000 above.

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
    """The address of a picture, signed-looking, with a signature that changes every day."""
    expires = (int(at.timestamp()) // 86_400 + 2) * 86_400
    signature = f"{bits(subject, kind, expires):016x}"
    path = f"{kind}/{bits(subject, kind):016x}~720x720.jpeg"
    return f"https://p16-sign.tiktokcdn.example/{path}?x-expires={expires}&x-signature={signature}%3D"
