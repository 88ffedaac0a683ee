"""Send all HTTP requests to vendors: routes, rate limits, budgets, retries, redaction, landing.

`Client.request` tries the vendors of a route in order until one gives a usable response. Every HTTP attempt becomes one
`Attempt`, whether it failed or not. `land` receives it before any other code uses it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import httpx

from tiktok_pipeline.capture.budget import Budget, OwnBudget, known_credits
from tiktok_pipeline.capture.circuit import Circuit
from tiktok_pipeline.capture.clock import Clock, rfc3339
from tiktok_pipeline.capture.connections import Connections, Sender, Wrapped, fault
from tiktok_pipeline.capture.landing import Attempt
from tiktok_pipeline.capture.rate_limit import Departures, Gate
from tiktok_pipeline.capture.redaction import Redactor
from tiktok_pipeline.capture.response import (
    ACCEPT_ENCODING,
    BodyMemory,
    BodyReader,
    MemoryBudget,
    TooLargeError,
    UndecodableError,
    has_too_many_values,
)
from tiktok_pipeline.config import settings as configuration
from tiktok_pipeline.config.access import Access
from tiktok_pipeline.providers import guard
from tiktok_pipeline.providers.headers import age_s
from tiktok_pipeline.providers.observations import Problem, Reading
from tiktok_pipeline.providers.vendor import Fate, Outcome, Request, Target, Vendor, Verdict

# Values of the column `error`.
TOO_LARGE = "too_large"
TOO_MANY_VALUES = "too_many_values"
DEADLINE = "deadline"
PROXY_AUTHENTICATION = "proxy_authentication"

USER_AGENT = "tiktok-pipeline"

# Not retried: the same request would fail again and may be billed again. The next vendor is used instead.
_NOT_AGAIN = (TOO_LARGE, TOO_MANY_VALUES)

# Memory for large bodies, as a multiple of the size limit: one body is read while another is written.
_LARGE_BODIES = 2


@dataclass(frozen=True)
class Response:
    """A response that settles a request: its vendor, and its attempt."""

    vendor: Vendor
    attempt: Attempt

    @property
    def outcome(self) -> Outcome:
        """The outcome of the response."""
        return self.attempt.verdict.outcome

    def readings(self) -> Iterator[Reading | Problem]:
        """Return the readings in the body; one problem if the body cannot be decoded."""
        return guard.read(self.vendor, self.attempt.request.endpoint, self.outcome, self.attempt.body or b"")


@dataclass
class Tally:
    """Totals of one window, for metadata and messages."""

    outcomes: Counter[str] = field(default_factory=Counter)
    credits: float = 0.0
    troubles: dict[str, str] = field(default_factory=dict)
    # Attempts for which `judge` raised an unforeseen exception, by vendor and exception.
    unforeseen: Counter[str] = field(default_factory=Counter)
    # Failed flushes, and the largest number of rows that waited in memory after one.
    flush_failures: int = 0
    most_rows_waiting: int = 0
    # (capability, the reasons of all vendors of the route) -> creators or handles without a usable response.
    failures: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)

    def count_failure(self, capability: str, target: Target, reasons: Sequence[str]) -> None:
        """Count a request without a usable response from any vendor of its route, with the reasons."""
        why = "; ".join(reasons) or "no vendor on the route has credentials"
        self.failures.setdefault((capability, why), Counter())[target.creator_id or target.handle] += 1

    @property
    def failed_requests(self) -> int:
        """Requests without a usable response from any vendor of their route."""
        return sum(creators.total() for creators in self.failures.values())

    @property
    def requests(self) -> int:
        """HTTP attempts, retries included."""
        return sum(self.outcomes.values())

    @property
    def usable_responses(self) -> int:
        """HTTP attempts with a response that settled a request."""
        return sum(self.outcomes[outcome] for outcome in ("ok", "empty", "not_found", "not_live", "private"))


class Client:
    """Sends requests to vendors. Use within `open_client`."""

    def __init__(
        self,
        accesses: Mapping[str, Access],
        settings: configuration.Settings,
        clock: Clock,
        land: Callable[[Attempt], None],
        senders: Mapping[str, Sender],
        budgets: Callable[[str], Budget],
        departures: Callable[[str], Departures | None],
    ) -> None:
        self.clock = clock
        self.tally = Tally()
        # False: the creator was erased and must not be polled.
        self.may_poll: Callable[[Target], bool] = lambda target: True
        self._routes = settings.routes
        self._land = land
        limit = int(settings.responses.max_mebibytes * 2**20)
        memory = MemoryBudget(_LARGE_BODIES * limit)
        self._channels = {
            name: _Channel(
                access, settings, clock, senders[name], BodyReader(limit, memory), budgets(name), departures(name)
            )
            for name, access in accesses.items()
        }

    async def request(
        self, capability: str, target: Target, *, page: int = 0, cursor: str | None = None, only: str | None = None
    ) -> Response | None:
        """Request `capability` from the vendors of its route in order; return the first usable response, or None.

        A vendor is skipped if it has no credentials, its circuit is open, its budget is spent, or an id that it needs
        is missing. `only` keeps the later pages of a walk with the vendor of the first page.
        """
        if not self.may_poll(target):
            return None
        reasons = []
        for name in getattr(self._routes, capability):
            channel = self._channels.get(name)
            if channel is None or (only is not None and name != only):
                continue
            request = channel.vendor.request(capability, target, page=page, cursor=cursor)
            if request is None:
                reasons.append(f"{name}: needs an id of the creator that is still missing")
                continue
            attempt = await self._request(channel, request)
            if attempt is None:
                reasons.append(f"{name}: {channel.skip_reason()}")
            elif attempt.verdict.fate is Fate.USABLE:
                return Response(channel.vendor, attempt)
            else:
                reasons.append(f"{name}: {attempt.verdict.outcome.value}")
            attempt = None  # frees its body, which may be large, before the request to the next vendor
        self.tally.count_failure(capability, target, reasons)
        return None

    async def request_from(self, name: str, capability: str, target: Target) -> Attempt | None:
        """Request `capability` from one vendor, without regard to routes; return None without a usable response."""
        channel = self._channels[name]
        request = channel.vendor.request(capability, target)
        attempt = await self._request(channel, request) if request is not None else None
        return attempt if attempt is not None and attempt.verdict.fate is Fate.USABLE else None

    async def walk(
        self,
        capability: str,
        target: Target,
        *,
        pages: int,
        enough: Callable[[Response], bool] = lambda response: False,
    ) -> list[Response]:
        """Request the pages of one listing from one vendor and return their responses, without bodies.

        Stop at the last page, at a repeated cursor, after `pages`, or after a page for which `enough` is true. One
        empty page that reports a next page is tolerated. Bodies are dropped, because all pages may not fit in memory.
        """
        responses: list[Response] = []
        seen: set[str] = set()
        cursor: str | None = None
        empty = 0
        while len(responses) < pages:
            only = responses[0].vendor.name if responses else None
            response = await self.request(capability, target, page=len(responses), cursor=cursor, only=only)
            if response is None:
                break
            responses.append(Response(response.vendor, replace(response.attempt, body=None)))
            cursor = response.attempt.verdict.next_cursor
            empty += response.outcome is Outcome.EMPTY
            if cursor is None or cursor in seen or empty > 1 or enough(response):
                break
            del response
            seen.add(cursor)
        return responses

    async def _request(self, channel: _Channel, request: Request) -> Attempt | None:
        attempt = None
        for number in range(1, channel.retries.attempts + 1):
            attempt = await channel.send(request, number)
            if attempt is None:
                return None
            self._land(attempt)
            if guard.is_unforeseen(attempt.verdict.error):
                self.tally.unforeseen[f"{channel.vendor.name}: {attempt.verdict.error}"] += 1
            self.tally.outcomes[attempt.verdict.outcome.value] += 1
            self.tally.credits += attempt.verdict.credits or 0.0
            if attempt.verdict.fate is not Fate.USABLE:
                self.tally.troubles[channel.vendor.name] = attempt.verdict.error or attempt.verdict.outcome.value
            wait = channel.pause(attempt, number)
            if wait is None:
                return attempt
            attempt = None  # frees its body, which may be large, before the wait
            await self.clock.sleep_until(self.clock.now() + timedelta(seconds=wait))
        return attempt


class _Channel:
    """Rate limit, circuit and budget of one vendor in this window."""

    def __init__(
        self,
        access: Access,
        settings: configuration.Settings,
        clock: Clock,
        sender: Sender,
        reader: BodyReader,
        budget: Budget,
        departures: Departures | None,
    ) -> None:
        self.vendor = access.vendor
        self.retries = settings.retries
        self._limits = settings.vendors[access.vendor.name]
        # Encoded once: the host of a base URL may contain non-ASCII letters.
        self._base_url = str(httpx.URL(access.base_url)).rstrip("/")
        self._headers = {
            "User-Agent": USER_AGENT,
            "Accept": "application/json",
            "Accept-Encoding": ACCEPT_ENCODING,
            **access.vendor.authentication(access.credentials),
        }
        self._clock = clock
        self._sender = sender
        self._reader = reader
        self._deadline_s = settings.responses.deadline_seconds
        self._redactor = Redactor(access.secrets(), user_names=access.user_names())
        self._gate = Gate(clock, self._limits.requests_per_second, self._limits.max_in_flight, departures)
        self._circuit = Circuit(settings.retries.circuit_failures, settings.retries.circuit_seconds)
        self._budget = budget

    async def send(self, request: Request, number: int) -> Attempt | None:
        """Make one attempt; return None if the vendor must be skipped."""
        cap, price = self._limits.credits_per_day, self._limits.credits_per_request
        if self._is_budget_spent():
            return None
        async with self._gate.passing():
            # Checked here, after the wait: circuit and budget may have changed since.
            now = self._clock.now()
            if cap is not None and not self._budget.reserve(now.date(), price, cap):
                return None
            if not self._circuit.allows(now):
                if cap is not None:
                    self._budget.settle(now.date(), -price)
                return None
            attempt = await self._get(request, number)
            charged = attempt.verdict.credits
            if cap is not None and charged is not None:
                self._budget.settle(now.date(), charged - price)
        self._circuit.record(attempt.verdict, self._clock.now())
        return attempt

    def pause(self, attempt: Attempt, number: int) -> float | None:
        """Return the seconds until the next retry; None for no retry."""
        verdict = attempt.verdict
        if verdict.fate is not Fate.RETRY or verdict.error in _NOT_AGAIN or number >= self.retries.attempts:
            return None
        wait = attempt.verdict.retry_after_s
        if wait is None:
            # Seeded, so that a replay gives the same result; jittered, so that retries do not coincide.
            chance = random.Random(f"{self.vendor.name} {attempt.request.subject} {attempt.requested_at}")
            wait = self.retries.backoff_seconds * 2 ** (number - 1) * chance.uniform(0.5, 1.5)
        return wait if wait <= self.retries.longest_wait_seconds else None

    def skip_reason(self) -> str:
        """Return why this vendor was skipped."""
        return "daily credit budget is spent" if self._is_budget_spent() else f"circuit open ({self._circuit.reason})"

    def _is_budget_spent(self) -> bool:
        cap = self._limits.credits_per_day
        today = self._clock.now().date()
        return cap is not None and not self._budget.affords(today, self._limits.credits_per_request, cap)

    async def _get(self, request: Request, number: int) -> Attempt:
        requested_at = _milliseconds(self._clock.now())
        headers = dict(self._headers)
        if self._clock.replaying:
            headers["X-Replay-At"] = rfc3339(requested_at)
        started = time.perf_counter()
        status: int | None = None
        kept: dict[str, str] = {}
        body: bytes | None = None
        age = 0.0
        async with self._reader.room() as room:
            try:
                status, reply_headers, content = await self._exchange(request, headers, room)
            except TimeoutError:
                verdict = Verdict(Outcome.NETWORK_ERROR, DEADLINE)
            except Exception as error:
                verdict = Verdict(Outcome.NETWORK_ERROR, fault(error))
            else:
                kept = self._redactor.headers(reply_headers)
                body = None if isinstance(content, str) else self._redactor.body(content)
                verdict = self._redacted(self._judge(request.endpoint, status, reply_headers, content))
                age = age_s(reply_headers)
                del content
            elapsed_ms = round((time.perf_counter() - started) * 1000, 3)
            received_at = _milliseconds(self._clock.now())
            attempt = Attempt(
                vendor=self.vendor.name,
                request=self._without_secrets(request),
                requested_at=requested_at,
                received_at=received_at,
                observed_at=received_at - timedelta(seconds=age),
                elapsed_ms=elapsed_ms,
                attempt=number,
                http_status=status,
                verdict=self._priced(verdict, status),
                headers=kept,
                body=body,
            )
            room.keep(len(body or b""), attempt)
        return attempt

    async def _exchange(
        self, request: Request, headers: dict[str, str], room: BodyMemory
    ) -> tuple[int, Mapping[str, str], bytes | str]:
        """Send one request; return status, headers, and the body or the reason why it was not read.

        Raises:
            TimeoutError: the whole exchange exceeded its deadline. The deadline is real time, also on a replay clock.
            Exception: any transport error; no complete response arrived.
        """
        async with asyncio.timeout(self._deadline_s):
            reply = await self._sender.get(
                self._base_url + request.path, request.params, headers, self._limits.timeout_s
            )
            content: bytes | str
            try:
                content = await self._reader.read(reply, room)
            except TooLargeError:
                content = TOO_LARGE
            except UndecodableError as error:
                content = f"undecodable {error}"
            finally:
                await reply.aclose()
            return reply.status, reply.headers, content

    def _judge(self, endpoint: str, status: int, headers: Mapping[str, str], content: bytes | str) -> Verdict:
        """Judge a response: malformed if its body is missing or must not be decoded."""
        if status == httpx.codes.PROXY_AUTHENTICATION_REQUIRED:
            return Verdict(Outcome.NETWORK_ERROR, PROXY_AUTHENTICATION)
        why = content if isinstance(content, str) else TOO_MANY_VALUES if has_too_many_values(content) else None
        if why is None:
            assert isinstance(content, bytes)
            return guard.judge(self.vendor, endpoint, status, headers, content)
        # The headers still report the cost.
        return replace(guard.judge(self.vendor, endpoint, status, headers, b""), outcome=Outcome.MALFORMED, error=why)

    def _without_secrets(self, request: Request) -> Request:
        """Redact secrets in the cursor: it comes from a body, which may repeat one."""
        if request.cursor is None:
            return request
        return replace(request, cursor=self._redactor.own(request.cursor))

    def _redacted(self, verdict: Verdict) -> Verdict:
        """Redact the error code and request id of a verdict: they may repeat the rejected key."""
        error, request_id = verdict.error, verdict.request_id
        return replace(
            verdict,
            error=None if error is None else self._redactor.text(str(error))[:200],
            request_id=None if request_id is None else self._redactor.text(str(request_id))[:200],
            credits=known_credits(verdict.credits),
        )

    def _priced(self, verdict: Verdict, status: int | None) -> Verdict:
        """Fill in a missing cost: the list price for usable responses and for every HTTP 200, malformed ones included.

        For other failures without a reported cost, the cost stays missing.
        """
        if verdict.credits is not None or (verdict.fate is not Fate.USABLE and status != 200):
            return verdict
        return replace(verdict, credits=self._limits.credits_per_request)


@asynccontextmanager
async def open_client(
    accesses: Mapping[str, Access],
    settings: configuration.Settings,
    clock: Clock,
    land: Callable[[Attempt], None],
    *,
    budgets: Callable[[str], Budget] = lambda vendor: OwnBudget(),
    departures: Callable[[str], Departures | None] = lambda vendor: None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> AsyncIterator[Client]:
    """Open a client and its connections.

    Args:
        accesses: credentials and addresses by vendor.
        settings: routes, limits and retry policy.
        clock: real or replay.
        land: receives each attempt.
        budgets: the daily budget of a vendor, which other windows may share.
        departures: the send times of a vendor, which other windows may share.
        transport: replaces the network, for tests.

    Raises:
        SettingsError: a proxy or certificate variable is invalid.
    """
    async with AsyncExitStack() as stack:
        senders: dict[str, Sender] = {}
        for name, access in accesses.items():
            senders[name] = Wrapped(transport) if transport else Connections(access.network, access.base_url)
            stack.push_async_callback(senders[name].aclose)
        yield Client(accesses, settings, clock, land, senders, budgets, departures)


def _milliseconds(moment: datetime) -> datetime:
    """Truncate to milliseconds, the precision of `X-Replay-At`."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
