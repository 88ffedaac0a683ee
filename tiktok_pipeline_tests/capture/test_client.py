"""The client lands every attempt, and treats each kind of failure as specified."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import date, timedelta

import httpx
import msgspec
import pytest

from tiktok_pipeline.capture.budget import Budget, OwnBudget
from tiktok_pipeline.capture.client import Client, Response, open_client
from tiktok_pipeline.capture.clock import ReplayClock
from tiktok_pipeline.capture.landing import Attempt
from tiktok_pipeline.config.access import Access, accesses
from tiktok_pipeline.config.settings import Retries, Settings
from tiktok_pipeline.errors import SettingsError
from tiktok_pipeline.providers import VENDORS
from tiktok_pipeline.providers.vendor import Limits
from tiktok_pipeline_tests.capture.fake_vendors import KEYS, MIRA, START, Handler, respond
from tiktok_pipeline_tests.providers import bodies


def limited(**limits: float) -> Settings:
    return Settings(vendors=Settings().vendors | {"social_fetch": Limits(**limits)})  # type: ignore[arg-type]


class Capture:
    """Run client calls on the replay clock, against a handler."""

    def __init__(
        self,
        handler: Handler,
        settings: Settings | None = None,
        *,
        only: tuple[str, ...] = (),
        budget: Budget | None = None,
    ) -> None:
        self.clock = ReplayClock(START)
        self.landed: list[Attempt] = []
        self.requests: list[httpx.Request] = []
        self._handler, self._settings, self._budget = handler, settings or Settings(), budget or OwnBudget()
        self._keys = {name: key for name, key in KEYS.items() if not only or name in only}
        self.client: Client

    def run(self, ask: Callable[[Client], object]) -> object:
        def handle(request: httpx.Request) -> httpx.Response:
            self.requests.append(request)
            return self._handler(request)

        async def main() -> object:
            async with open_client(
                self._keys,
                self._settings,
                self.clock,
                self.landed.append,
                budgets=lambda vendor: self._budget,
                transport=httpx.MockTransport(handle),
            ) as client:
                self.client = client
                return await ask(client)  # type: ignore[misc]

        return asyncio.run(main())

    def ask_live(self) -> Response | None:
        answer = self.run(lambda client: client.request("live", MIRA))
        assert answer is None or isinstance(answer, Response)
        return answer

    @property
    def outcomes(self) -> list[tuple[str, str, int]]:
        return [(a.vendor, a.verdict.outcome.value, a.attempt) for a in self.landed]


LIVE = bodies.fetch_ok(bodies.fetch_live())


def test_a_landed_row_has_its_age_and_each_request_carries_the_replayed_time() -> None:
    capture = Capture(lambda request: respond(200, LIVE, age="42"))
    answer = capture.ask_live()
    assert answer is not None
    (row,) = capture.landed
    assert row.requested_at == row.received_at == START
    assert row.observed_at == START - timedelta(seconds=42)
    assert row.verdict.credits == 1
    assert capture.requests[0].headers["x-replay-at"] == "2026-11-02T10:00:00.000Z"
    assert capture.requests[0].headers["x-api-key"] == "sandbox-secret"


def test_no_credential_lands() -> None:
    capture = Capture(lambda request: respond(200, LIVE, set_cookie="session=abc"))
    capture.ask_live()
    assert "sandbox-secret" not in repr(capture.landed)
    assert "session=abc" not in repr(capture.landed)


def test_every_attempt_is_a_row_and_backoff_takes_replayed_time() -> None:
    responses = iter([respond(502, bodies.fetch_error("lookup_failed")), respond(200, LIVE)])
    capture = Capture(lambda request: next(responses))
    assert capture.ask_live() is not None
    assert capture.outcomes == [("social_fetch", "server_error", 1), ("social_fetch", "ok", 2)]
    assert timedelta(seconds=1) <= capture.landed[1].requested_at - START <= timedelta(seconds=3)


def test_retry_after_is_honoured() -> None:
    responses = iter(
        [respond(503, bodies.fetch_error("temporarily_unavailable"), retry_after="30"), respond(200, LIVE)]
    )
    capture = Capture(lambda request: next(responses))
    assert capture.ask_live() is not None
    assert capture.landed[1].requested_at - START == timedelta(seconds=30)


def test_a_vendor_with_a_retry_after_of_an_hour_is_passed_over() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        if "social_fetch" in request.url.host:
            return respond(503, bodies.fetch_error("temporarily_unavailable"), retry_after="3600")
        return respond(404, bodies.konbini_error("not_found"), x_credits_used="1")

    capture = Capture(handle)
    answer = capture.ask_live()
    assert answer is not None
    assert answer.vendor.name == "konbini"
    assert capture.clock.now() == START


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, bodies.fetch_error("unauthorized")),
        (402, bodies.fetch_error("insufficient_credits")),
        (403, bodies.fetch_error("forbidden")),
    ],
)
def test_a_vendor_that_refuses_the_account_gets_no_further_request(status: int, body: bytes) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        if "social_fetch" in request.url.host:
            return respond(status, body)
        return respond(404, bodies.konbini_error("not_found"), x_credits_used="1")

    capture = Capture(handle)

    async def three_polls(client: Client) -> None:
        for _ in range(3):
            assert await client.request("live", MIRA) is not None

    capture.run(three_polls)
    assert [vendor for vendor, _, _ in capture.outcomes] == ["social_fetch", "konbini", "konbini", "konbini"]


def test_consecutive_failures_open_the_circuit_and_a_pause_half_opens_it() -> None:
    down = True

    def handle(request: httpx.Request) -> httpx.Response:
        return respond(500, bodies.fetch_error("internal_error")) if down else respond(200, LIVE)

    capture = Capture(handle, only=("social_fetch",))

    async def polls(client: Client) -> None:
        nonlocal down
        while len(capture.landed) < 8:
            assert await client.request("live", MIRA) is None
        for _ in range(5):
            assert await client.request("live", MIRA) is None
        assert len(capture.landed) == 8
        down = False
        await client.clock.sleep_until(client.clock.now() + timedelta(seconds=61))
        assert await client.request("live", MIRA) is not None

    capture.run(polls)
    assert capture.client.tally.failed_requests >= 5


def test_a_failed_connection_is_a_row_without_http_status() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused")

    capture = Capture(handle, only=("social_fetch",))
    assert capture.ask_live() is None
    assert {(a.http_status, a.verdict.error, a.body) for a in capture.landed} == {(None, "ConnectError", None)}


def test_credits_per_day_is_a_hard_cap_that_counts_landed_credits() -> None:
    settings = limited(credits_per_day=10)
    budget = OwnBudget({date(2026, 11, 2): 7.0})
    capture = Capture(lambda request: respond(200, LIVE), settings, only=("social_fetch",), budget=budget)

    async def concurrent_polls(client: Client) -> list[Response | None]:
        return await client.clock.gather(client.request("live", MIRA) for _ in range(9))

    responses = capture.run(concurrent_polls)
    assert isinstance(responses, list)
    assert sum(answer is not None for answer in responses) == 3
    assert len(capture.landed) == 3


def test_the_credit_cap_resets_on_the_next_day() -> None:
    settings = limited(credits_per_day=1)
    capture = Capture(lambda request: respond(200, LIVE), settings, only=("social_fetch",))

    async def two_days(client: Client) -> list[bool]:
        results = [await client.request("live", MIRA) is not None, await client.request("live", MIRA) is not None]
        await client.clock.sleep_until(START + timedelta(days=1))
        return [*results, await client.request("live", MIRA) is not None]

    assert capture.run(two_days) == [True, False, True]


@pytest.mark.parametrize("values", [["1", "1"], ["nan"], ["inf"], ["-5"], ["1e999"], ["one"], ["9" * 400], [""]])
def test_invalid_credit_headers_are_billed_at_list_price(values: list[str]) -> None:
    settings = Settings(vendors=Settings().vendors | {"konbini": Limits(credits_per_day=3)})
    headers = [("x-credits-used", value) for value in values]
    body = bodies.konbini_error("not_found")
    capture = Capture(lambda request: httpx.Response(404, content=body, headers=headers), settings, only=("konbini",))

    async def concurrent_polls(client: Client) -> list[Response | None]:
        return await client.clock.gather(client.request("live", MIRA) for _ in range(5))

    capture.run(concurrent_polls)
    # An invalid amount is replaced by the list price, so the cap of the day holds.
    assert [row.verdict.credits for row in capture.landed] == [1.0, 1.0, 1.0]
    assert capture.client.tally.credits == 3.0


def test_pagination_stops_at_a_repeated_cursor() -> None:
    page = bodies.konbini_page([bodies.konbini_story()], "1793600000000")
    capture = Capture(lambda request: respond(200, page, x_credits_used="1"))
    responses = capture.run(lambda client: client.walk("stories", MIRA, pages=10))
    assert isinstance(responses, list)
    assert [(a.attempt.request.page, a.attempt.request.cursor) for a in responses] == [(0, None), (1, "1793600000000")]


def test_concurrent_requests_are_paced_at_the_rate_limit() -> None:
    settings = limited(requests_per_second=2)
    capture = Capture(lambda request: respond(200, LIVE), settings, only=("social_fetch",))

    async def concurrent_polls(client: Client) -> None:
        await client.clock.gather(client.request("live", MIRA) for _ in range(6))

    capture.run(concurrent_polls)
    assert [(a.requested_at - START).total_seconds() for a in capture.landed] == [0, 0, 1, 1, 2, 2]


def test_a_vendor_without_all_its_credentials_is_off() -> None:
    assert list(accesses({"TIKHUB_USERNAME": "me"})) == []
    found = accesses({"TIKHUB_USERNAME": "me", "TIKHUB_PASSWORD": "pw", "TIKHUB_BASE_URL": "http://h/x/"})
    assert found["tikhub"].base_url == "http://h/x"
    assert "pw" not in repr(found)


def test_a_credential_that_is_no_valid_header_value_is_refused_without_being_shown() -> None:
    with pytest.raises(SettingsError, match="KONBINI_API_KEY") as caught:
        accesses({"KONBINI_API_KEY": "knbn_ключ"})
    assert "ключ" not in str(caught.value)


def test_settings_are_frozen() -> None:
    with pytest.raises(AttributeError):
        Settings().watch.round_seconds = 1  # type: ignore[misc]
    assert msgspec.to_builtins(Settings())["routes"]["live"] == ("social_fetch", "konbini")


def test_a_broken_connection_is_one_attempt_and_one_request() -> None:
    """The transport must not retry on its own: each request may be billed and must be a row."""
    received = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        while await reader.readline():
            while (await reader.readline()).strip():
                pass
            received += 1
            if received > 1:
                writer.transport.abort()
                return
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(LIVE), LIVE))
            await writer.drain()

    async def main() -> list[Attempt]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        access = Access(VENDORS["social_fetch"], f"http://127.0.0.1:{port}", ("sandbox-secret",))
        landed: list[Attempt] = []
        settings = Settings(retries=Retries(attempts=1))
        async with open_client({"social_fetch": access}, settings, ReplayClock(START), landed.append) as client:
            await client.request("live", MIRA)
            await client.request("live", MIRA)
        server.close()
        return landed

    landed = asyncio.run(main())
    assert [a.verdict.outcome.value for a in landed] == ["ok", "network_error"]
    assert received == 2


def test_a_key_that_a_vendor_repeats_in_its_error_code_does_not_land() -> None:
    body = bodies.encoded({"error": {"code": "key sandbox-secret revoked", "requestId": "sandbox-secret"}})
    capture = Capture(lambda request: respond(401, body), only=("social_fetch",))
    assert capture.ask_live() is None
    assert "sandbox-secret" not in repr(capture.landed)
    assert "sandbox-secret" not in repr(capture.client.tally)
    assert capture.outcomes == [("social_fetch", "unauthorized", 1)]


def test_concurrent_failures_count_as_one_for_the_circuit() -> None:
    settings = Settings(retries=Retries(attempts=1))
    down = True

    def handle(request: httpx.Request) -> httpx.Response:
        return respond(500, bodies.fetch_error("internal_error")) if down else respond(200, LIVE)

    capture = Capture(handle, settings, only=("social_fetch",))

    async def polls(client: Client) -> None:
        nonlocal down
        await client.clock.gather(client.request("live", MIRA) for _ in range(30))
        down = False
        await client.clock.sleep_until(client.clock.now() + timedelta(seconds=61))
        assert await client.request("live", MIRA) is not None

    capture.run(polls)
