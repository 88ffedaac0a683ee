"""For any bytes from a server, a window ends, writes one row per request, and stays small."""

from __future__ import annotations

import asyncio
import gzip
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest
from msgspec.structs import replace

from tiktok_pipeline.capture.client import open_client
from tiktok_pipeline.capture.clock import ReplayClock
from tiktok_pipeline.capture.landing import Attempt
from tiktok_pipeline.config.access import Access
from tiktok_pipeline.config.settings import Responses, Retries, Settings
from tiktok_pipeline.providers import VENDORS
from tiktok_pipeline.providers.vendor import Limits, Target
from tiktok_pipeline_tests.capture.hostile import Behaviour, head, hostile_server, measured_window, whole
from tiktok_pipeline_tests.providers import bodies

LIVE = bodies.fetch_ok(bodies.fetch_live())
START = datetime(2026, 11, 2, 10, tzinfo=UTC)
SETTINGS = Settings(
    retries=Retries(attempts=2, backoff_seconds=0.01),
    responses=Responses(max_mebibytes=1, deadline_seconds=1.0),
)
PIECE = b"x" * 65_536


@cache
def zeros(mebibytes: int) -> bytes:
    """Compress this many mebibytes of zeros; not at import, because every worker of the suite imports this module."""
    return gzip.compress(bytes(mebibytes * 2**20), 9)


def poll_live(behave: Behaviour, *, times: int = 1, settings: Settings = SETTINGS) -> list[Attempt]:
    """Poll social_fetch for the live state on the replay clock, and return the attempts."""
    landed: list[Attempt] = []

    async def main(url: str) -> None:
        access = Access(VENDORS["social_fetch"], url, ("sandbox-secret",))
        async with open_client({"social_fetch": access}, settings, ReplayClock(START), landed.append) as client:
            for _ in range(times):
                await client.request("live", Target("mira.paints", "mira.paints"))

    with hostile_server(behave) as server:
        asyncio.run(main(server.url))
        # A request on a connection that the server has just closed does not arrive.
        assert len(server.requests) <= len(landed)
    return landed


def endless(connection: socket.socket, path: str) -> None:
    connection.sendall(head(transfer_encoding="chunked"))
    while True:
        connection.sendall(b"10000\r\n" + PIECE + b"\r\n")


def dripping(first: bytes, drop: bytes) -> Behaviour:
    def drip(connection: socket.socket, path: str) -> None:
        connection.sendall(first)
        while True:
            connection.sendall(drop)
            time.sleep(0.05)

    return drip


def chunked(body: bytes, trailer: bytes = b"") -> Behaviour:
    sent = head(transfer_encoding="chunked") + b"%x\r\n%s\r\n0\r\n%s\r\n" % (len(body), body, trailer)
    return lambda connection, path: connection.sendall(sent)


def sending(sent: bytes) -> Behaviour:
    return lambda connection, path: connection.sendall(sent)


def closing(sent: bytes) -> Behaviour:
    def send(connection: socket.socket, path: str) -> None:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_RDWR)

    return send


@pytest.mark.parametrize(
    "behave",
    [
        lambda: endless,
        lambda: whole(b"x" * (2 * 2**20)),
        lambda: whole(zeros(64), content_encoding="gzip"),
        lambda: whole(gzip.compress(zeros(64)), content_encoding="gzip, gzip"),
        lambda: whole(b"x" * (2 * 2**20), status="500 Internal Server Error"),
    ],
    ids=["endless", "large", "gzip bomb", "nested bomb", "large error"],
)
def test_an_oversized_body_is_one_malformed_row_and_is_not_retried(behave: Callable[[], Behaviour]) -> None:
    (row,) = poll_live(behave())
    assert (row.verdict.outcome, row.verdict.error, row.body) == ("malformed", "too_large", None)
    assert row.http_status in (200, 500)
    assert row.verdict.credits == (1.0 if row.http_status == 200 else None)


def test_the_next_vendor_is_polled_after_an_oversized_body() -> None:
    landed: list[Attempt] = []

    async def main(url: str) -> None:
        accesses = {
            "social_fetch": Access(VENDORS["social_fetch"], f"{url}/large", ("sandbox-secret",)),
            "konbini": Access(VENDORS["konbini"], f"{url}/good", ("sandbox-secret",)),
        }
        async with open_client(accesses, SETTINGS, ReplayClock(START), landed.append) as client:
            assert await client.request("live", Target("mira.paints", "mira.paints")) is not None

    large, good = whole(b"x" * (2 * 2**20)), whole(bodies.konbini_error("not_found"), status="404 Not Found")
    with hostile_server(lambda c, path: (large if path.startswith("/large") else good)(c, path)) as server:
        asyncio.run(main(server.url))
    assert [(a.vendor, a.verdict.outcome.value) for a in landed] == [
        ("social_fetch", "malformed"),
        ("konbini", "not_found"),
    ]


@pytest.mark.parametrize(
    "behave",
    [
        dripping(head(content_length="100000"), b"x"),
        dripping(head(transfer_encoding="chunked"), b"1\r\nx\r\n"),
        dripping(b"HTTP/1.1 200 OK\r\n", b"X-More: 1\r\n"),
        dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        dripping(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
        dripping(b"H", b""),
        dripping(head(content_length="1000000", content_encoding="gzip"), gzip.compress(b"")),
    ],
    ids=["body", "chunks", "headers", "continue", "hints", "silence", "empty members"],
)
def test_a_slow_exchange_ends_at_the_deadline_in_real_seconds(behave: Behaviour) -> None:
    begun = time.perf_counter()
    rows = poll_live(behave, settings=replace(SETTINGS, responses=replace(SETTINGS.responses, deadline_seconds=0.5)))
    assert time.perf_counter() - begun < 6
    assert 1 <= len(rows) <= 2
    for row in rows:
        assert row.verdict.outcome.value in ("network_error", "malformed")
        assert row.elapsed_ms < 2_500


def odd(status: str, body: bytes = b"", **headers: str) -> Behaviour:
    return whole(body, status, **headers)


@pytest.mark.parametrize(
    ("behave", "outcomes"),
    [
        (chunked(LIVE), {"ok"}),
        (chunked(LIVE, b"X-Trailer: 1\r\nX-Credits-Used: nan\r\n"), {"ok"}),
        (whole(gzip.compress(LIVE), content_encoding="gzip"), {"ok"}),
        (whole(LIVE, content_encoding="gzip"), {"ok"}),
        (sending(b"HTTP/1.1 100 Continue\r\n\r\n" + head(content_length=str(len(LIVE))) + LIVE), {"ok"}),
        (closing(head(connection="close") + LIVE), {"ok"}),
        (closing(head(content_length=str(len(LIVE) + 9)) + LIVE), {"network_error"}),
        (closing(head(content_length=str(len(LIVE) - 9)) + LIVE), {"malformed", "network_error"}),
        (closing(head(content_length="-1") + LIVE), {"network_error"}),
        (closing(head(content_length="9" * 40) + LIVE), {"network_error"}),
        (closing(head(content_length="5", transfer_encoding="chunked") + LIVE), {"network_error"}),
        (whole(LIVE, content_encoding="br"), {"malformed"}),
        (whole(LIVE, content_encoding="gzip, gzip, gzip, gzip, gzip"), {"malformed"}),
        (whole(LIVE, content_encoding="\xff\xfe"), {"malformed", "network_error"}),
        (odd("204 No Content", LIVE), {"malformed", "network_error"}),
        (odd("304 Not Modified", LIVE), {"malformed", "network_error", "invalid_request"}),
        (odd("302 Found", b"", location="http://127.0.0.1:9/v1/elsewhere"), {"malformed", "invalid_request"}),
        (odd("302 Found", b"", location="http://[broken"), {"malformed", "invalid_request"}),
        (odd("407 Proxy Authentication Required", LIVE), {"network_error"}),
        (odd("999 Odd", LIVE), {"malformed", "server_error"}),
        (odd("600 \xff", LIVE), {"malformed", "server_error", "network_error"}),
        (whole(LIVE, **{f"X_{n}": "y" * 100 for n in range(2_000)}), {"ok", "network_error"}),
        (whole(LIVE, x_large="y" * 1_000_000), {"network_error"}),
        (whole(LIVE, age="nan", x_credits_used="inf", retry_after="-1", date="x"), {"ok"}),
        (whole(LIVE, set_cookie="a=" + "b" * 4_000), {"ok"}),
        (closing(b"SSH-2.0-OpenSSH_9.6\r\n"), {"network_error"}),
        (closing(b"HTTP/2.0 200 OK\r\n\r\n"), {"network_error", "malformed"}),
        (closing(b"\x00" * 100_000), {"network_error"}),
        (closing(b""), {"network_error"}),
        (closing(b"HTTP/1.1 200 OK\r\n" * 10_000), {"network_error"}),
    ],
)  # fmt: skip
def test_an_odd_response_becomes_a_row_and_the_window_goes_on(behave: Behaviour, outcomes: set[str]) -> None:
    rows = poll_live(behave, times=2)
    assert rows
    assert {row.verdict.outcome.value for row in rows} <= outcomes
    for row in rows:
        assert row.verdict.credits is None or 0 <= row.verdict.credits <= 1
        assert row.observed_at == row.received_at


def test_the_client_sends_no_received_cookie_back() -> None:
    sent = whole(LIVE, set_cookie="session=abc; Path=/")
    landed: list[Attempt] = []

    async def main(url: str) -> None:
        access = Access(VENDORS["social_fetch"], url, ("sandbox-secret",))
        async with open_client({"social_fetch": access}, SETTINGS, ReplayClock(START), landed.append) as client:
            for _ in range(3):
                await client.request("live", Target("mira.paints", "mira.paints"))

    with hostile_server(sent) as server:
        asyncio.run(main(server.url))
        assert len(server.heads) == 3
        assert not any(b"cookie" in received.lower() for received in server.heads)


def many_at_once() -> Settings:
    limits = Limits(requests_per_second=10_000, max_in_flight=200)
    return Settings(vendors={**Settings().vendors, "social_fetch": limits}, retries=Retries(attempts=1))


def test_hundreds_of_concurrent_odd_responses_give_as_many_rows() -> None:
    landed: list[Attempt] = []
    kinds = [chunked(LIVE), closing(b"nonsense\r\n\r\n"), whole(LIVE, content_encoding="br"), closing(b"")]

    async def main(url: str) -> None:
        access = Access(VENDORS["social_fetch"], url, ("sandbox-secret",))
        settings = many_at_once()
        async with open_client({"social_fetch": access}, settings, ReplayClock(START), landed.append) as client:
            await client.clock.gather(client.request("live", Target(f"c{n}", f"c{n}")) for n in range(200))

    with hostile_server(lambda c, path: kinds[hash(path) % 4](c, path)) as server:
        asyncio.run(main(server.url))
    assert len(landed) == 200


@pytest.mark.parametrize(
    "behave",
    [
        lambda: endless,
        lambda: whole(zeros(512), content_encoding="gzip"),
        lambda: whole(b'{"data":"' + "é".encode() + b"y" * (15 * 2**20) + b'"}'),
        lambda: whole(b'{"data":[' + b"{}," * 4_000_000 + b"{}]}"),
    ],
    ids=["endless", "gzip bomb", "15 MiB", "millions of values"],
)
@pytest.mark.parametrize("replay", [False, True], ids=["real clock", "replay"])
def test_the_peak_memory_of_a_window_stays_under_500_mb(
    tmp_path: Path, behave: Callable[[], Behaviour], replay: bool
) -> None:
    with hostile_server(behave()) as server:
        done = measured_window(
            tmp_path / "lake", server.url, creators=3, in_flight=32, deadline_s=60, replay=replay, timeout=280
        )
    assert done.peak_mb < 500, done
    assert server.requests
    # On the replay clock, an hour without a successful response is not written, so the whole hour is polled again.
    if not replay:
        assert sum(int(str(row["rows"])) for row in done.rows) == len(server.requests)
