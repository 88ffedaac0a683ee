"""The one client through which every call goes: routes, politeness, budget, retries, redaction, landing.

`Client.ask` puts one question to the vendors of its route in turn, until one answers. Every HTTP attempt, good
or bad, becomes one `Attempt` that is handed to `land` before anybody looks at it.
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
from tiktok_pipeline.capture.clock import Clock, written
from tiktok_pipeline.capture.connections import Sender, Wrapped, fault
from tiktok_pipeline.capture.landing import Attempt
from tiktok_pipeline.capture.rate_limit import Departures, Gate
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
class Answer:
    """A settled question: who answered, and the attempt that carries the answer."""

    vendor: Vendor
    attempt: Attempt

    @property
    def outcome(self) -> Outcome:
        """What the answer came to."""
        return self.attempt.verdict.outcome

    def readings(self) -> Iterator[Reading | Problem]:
        """What the body says; a body that cannot be read is one problem."""
        return guard.read(self.vendor, self.attempt.request.endpoint, self.outcome, self.attempt.body or b"")


@dataclass
class Tally:
    """What a window did, in numbers: for metadata and messages."""

    outcomes: Counter[str] = field(default_factory=Counter)
    credits: float = 0.0
    troubles: dict[str, str] = field(default_factory=dict)
    # Attempts whose response raised an unforeseen exception in `judge`, by vendor and exception.
    unforeseen: Counter[str] = field(default_factory=Counter)
    # Failed flushes, and the largest number of rows that waited in memory after one.
    flush_failures: int = 0
    most_rows_waiting: int = 0
    # (capability, why each vendor of the route had no answer) -> whom it was about.
    unanswered: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)

    def leave_unanswered(self, capability: str, target: Target, reasons: Sequence[str]) -> None:
        """Note a question that no vendor of its route answered, and why."""
        why = "; ".join(reasons) or "no vendor on the route has credentials"
        self.unanswered.setdefault((capability, why), Counter())[target.creator_id or target.handle] += 1

    @property
    def unanswered_questions(self) -> int:
        """Questions that no vendor of their route answered."""
        return sum(who.total() for who in self.unanswered.values())

    @property
    def requests(self) -> int:
        """HTTP attempts."""
        return sum(self.outcomes.values())

    @property
    def answered(self) -> int:
        """Attempts that settled a question."""
        return sum(self.outcomes[outcome] for outcome in ("ok", "empty", "not_found", "not_live", "private"))


class Client:
    """Asks vendors. Use within `open_client`."""

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

    async def ask(
        self, capability: str, target: Target, *, page: int = 0, cursor: str | None = None, only: str | None = None
    ) -> Answer | None:
        """The first settled answer along the route of `capability`; None when no vendor had one.

        A vendor without credentials, with an open circuit, a spent budget, or without the id that it needs is
        passed over. `only` keeps the later pages of a walk with the vendor of the first.
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
                reasons.append(f"{name}: needs an id of the creator that is not known yet")
                continue
            attempt = await self._ask_vendor(channel, request)
            if attempt is None:
                reasons.append(f"{name}: {channel.passed_over()}")
            elif attempt.verdict.fate is Fate.ANSWER:
                return Answer(channel.vendor, attempt)
            else:
                reasons.append(f"{name}: {attempt.verdict.outcome.value}")
            attempt = None  # frees its body, which may be large, before the request to the next vendor
        self.tally.leave_unanswered(capability, target, reasons)
        return None

    async def ask_vendor(self, name: str, capability: str, target: Target) -> Attempt | None:
        """The settled answer of one vendor, whatever the routes say; None when it had none."""
        channel = self._channels[name]
        request = channel.vendor.request(capability, target)
        attempt = await self._ask_vendor(channel, request) if request is not None else None
        return attempt if attempt is not None and attempt.verdict.fate is Fate.ANSWER else None

    async def walk(
        self,
        capability: str,
        target: Target,
        *,
        pages: int,
        enough: Callable[[Answer], bool] = lambda answer: False,
    ) -> list[Answer]:
        """Request the pages of one listing from one vendor and return them.

        A walk ends with the vendor's end, a repeated cursor, `pages`, or a page that is `enough`. An empty page that
        reports a next page is skipped once. The attempts carry no body: all pages may not fit in memory.
        """
        answers: list[Answer] = []
        seen: set[str] = set()
        cursor: str | None = None
        empty = 0
        while len(answers) < pages:
            only = answers[0].vendor.name if answers else None
            answer = await self.ask(capability, target, page=len(answers), cursor=cursor, only=only)
            if answer is None:
                break
            answers.append(Answer(answer.vendor, replace(answer.attempt, body=None)))
            cursor = answer.attempt.verdict.next_cursor
            empty += answer.outcome is Outcome.EMPTY
            if cursor is None or cursor in seen or empty > 1 or enough(answer):
                break
            del answer
            seen.add(cursor)
        return answers

    async def _ask_vendor(self, channel: _Channel, request: Request) -> Attempt | None:
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
            if attempt.verdict.fate is not Fate.ANSWER:
                self.tally.troubles[channel.vendor.name] = attempt.verdict.error or attempt.verdict.outcome.value
            wait = channel.pause(attempt, number)
            if wait is None:
                return attempt
            attempt = None  # frees its body, which may be large, before the wait
            await self.clock.sleep_until(self.clock.now() + timedelta(seconds=wait))
        return attempt


class _Channel:
    """One vendor as this window sees it: gate, circuit and budget."""

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
        # Encoded once: a base URL may have a host of non-ASCII letters.
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
        self._redactor = access.redactor()
        self._gate = Gate(clock, self._limits.requests_per_second, self._limits.max_in_flight, departures)
        self._circuit = Circuit(settings.retries.circuit_failures, settings.retries.circuit_seconds)
        self._budget = budget

    async def send(self, request: Request, number: int) -> Attempt | None:
        """One attempt; None when the vendor is to be passed over."""
        cap, price = self._limits.credits_per_day, self._limits.credits_per_request
        if self._spent_up():
            return None
        async with self._gate.passing():
            # Asked here, not before: circuit and budget may change while a request waits for its turn.
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
        """Seconds until the next try; None when there is to be none."""
        verdict = attempt.verdict
        if verdict.fate is not Fate.RETRY or verdict.error in _NOT_AGAIN or number >= self.retries.attempts:
            return None
        asked = attempt.verdict.retry_after_s
        if asked is None:
            # Seeded, so that a replay is the same each time; jittered, so that retries do not march in step.
            chance = random.Random(f"{self.vendor.name} {attempt.request.subject} {attempt.requested_at}")
            asked = self.retries.backoff_seconds * 2 ** (number - 1) * chance.uniform(0.5, 1.5)
        return asked if asked <= self.retries.longest_wait_seconds else None

    def passed_over(self) -> str:
        """Why this vendor was not asked."""
        return "credits of the day are spent" if self._spent_up() else f"circuit open ({self._circuit.reason})"

    def _spent_up(self) -> bool:
        cap = self._limits.credits_per_day
        today = self._clock.now().date()
        return cap is not None and not self._budget.affords(today, self._limits.credits_per_request, cap)

    async def _get(self, request: Request, number: int) -> Attempt:
        requested_at = _milliseconds(self._clock.now())
        headers = dict(self._headers)
        if self._clock.replaying:
            headers["X-Replay-At"] = written(requested_at)
        started = time.perf_counter()
        status: int | None = None
        kept: dict[str, str] = {}
        body: bytes | None = None
        age = 0.0
        async with self._reader.room() as room:
            try:
                status, answered, content = await self._exchange(request, headers, room)
            except TimeoutError:
                verdict = Verdict(Outcome.NETWORK_ERROR, DEADLINE)
            except Exception as error:
                verdict = Verdict(Outcome.NETWORK_ERROR, fault(error))
            else:
                kept = self._redactor.headers(answered)
                body = None if isinstance(content, str) else self._redactor.body(content)
                verdict = self._redacted(self._judge(request.endpoint, status, answered, content))
                age = age_s(answered)
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
            TimeoutError: the deadline of the whole exchange has passed. It is real time, also on the replay clock.
            Exception: any error of the transport; no complete response arrived.
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
        """Judge a response. It is malformed if its body is missing or must not be decoded."""
        if status == httpx.codes.PROXY_AUTHENTICATION_REQUIRED:
            return Verdict(Outcome.NETWORK_ERROR, PROXY_AUTHENTICATION)
        why = content if isinstance(content, str) else TOO_MANY_VALUES if has_too_many_values(content) else None
        if why is None:
            assert isinstance(content, bytes)
            return guard.judge(self.vendor, endpoint, status, headers, content)
        # The headers still report the cost.
        return replace(guard.judge(self.vendor, endpoint, status, headers, b""), outcome=Outcome.MALFORMED, error=why)

    def _without_secrets(self, request: Request) -> Request:
        """Return the cursor without secrets: it comes from a body, which may repeat one."""
        if request.cursor is None:
            return request
        return replace(request, cursor=self._redactor.own(request.cursor))

    def _redacted(self, verdict: Verdict) -> Verdict:
        """A vendor's code and request id may repeat the key that it refuses."""
        error, request_id = verdict.error, verdict.request_id
        return replace(
            verdict,
            error=None if error is None else self._redactor.text(str(error))[:200],
            request_id=None if request_id is None else self._redactor.text(str(request_id))[:200],
            credits=known_credits(verdict.credits),
        )

    def _priced(self, verdict: Verdict, status: int | None) -> Verdict:
        """An answer that does not say what it cost, cost what the price list says; so does a spoilt HTTP 200.

        What failed otherwise and does not say, stays unknown.
        """
        if verdict.credits is not None or (verdict.fate is not Fate.ANSWER and status != 200):
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
    """A client with its connections; `budgets` and `departures` tell it of a vendor's other windows.

    `transport` is for tests.

    Raises:
        SettingsError: a proxy or certificate variable cannot be used.
    """
    async with AsyncExitStack() as stack:
        senders: dict[str, Sender] = {}
        for name, access in accesses.items():
            senders[name] = Wrapped(transport) if transport else access.network.connections(access.base_url)
            stack.push_async_callback(senders[name].aclose)
        yield Client(accesses, settings, clock, land, senders, budgets, departures)


def _milliseconds(moment: datetime) -> datetime:
    """Cut to milliseconds, the precision that `X-Replay-At` carries."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
