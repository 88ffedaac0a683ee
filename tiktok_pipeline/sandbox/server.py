"""The sandbox over HTTP: one ASGI callable, four vendors by path prefix, and the truth.

Loopback only. Each response is for the instant in `X-Replay-At`, else for the sandbox's own clock.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tiktok_pipeline.sandbox import damaged_connection
from tiktok_pipeline.sandbox.damage import Connection
from tiktok_pipeline.sandbox.faults import Faults, Harm
from tiktok_pipeline.sandbox.konbini import Konbini
from tiktok_pipeline.sandbox.ledger import Ledger
from tiktok_pipeline.sandbox.social_fetch import SocialFetch
from tiktok_pipeline.sandbox.tikhub import TikHub
from tiktok_pipeline.sandbox.tikliveapi import TikLiveAPI
from tiktok_pipeline.sandbox.truth import Truth
from tiktok_pipeline.sandbox.vendor import Refusal, Request, Response, Vendor
from tiktok_pipeline.sandbox.world import DEMO_START, World

VENDORS: tuple[type[Vendor], ...] = (Konbini, SocialFetch, TikLiveAPI, TikHub)
_EXIT_S = 5.0  # how long a sandbox may take to stop before it is killed

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class _Sandbox:
    """The ASGI callable."""

    def __init__(self, world: World, speed: float, faults: str, clock: datetime | None, delay_s: float) -> None:
        self._ledger = Ledger()
        self._vendors = {kind.prefix: kind(world, self._ledger) for kind in VENDORS}
        self._faults = Faults(world.seed, faults)
        self._truth = Truth(world, self._ledger)
        self._start, self._speed, self._born = clock or world.start, speed, time.monotonic() + delay_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        headers = dict(scope["headers"])
        try:
            at = self._instant(headers.get(b"x-replay-at"))
        except ValueError:
            response = Response(400, b'{"error":"X-Replay-At is not an RFC 3339 time with a zone"}')
            await _reply(send, response, self._instant(None))
            return
        slash = path.find("/", 1)
        vendor = self._vendors.get(path[:slash]) if slash > 0 else None
        if vendor is None:
            await _reply(send, self._truth.respond(path, _pairs(scope), at), at)
            return
        request, response, harm = self._handle(vendor, path[slash:], dict(_pairs(scope)), headers, at)
        status = 0 if harm is Harm.RESET else response.status
        self._ledger.record(
            *(vendor.name, request.endpoint, request.subject, at, time.time(), status, response.credits),
            query=scope["query_string"].decode("latin-1"),
            damage=response.damage,
        )
        if harm is Harm.RESET:
            await _cut(scope, receive)
            return
        if isinstance(harm, Connection):
            await damaged_connection.send(scope, receive, harm, response, _headers(response, at))
            return
        if harm is Harm.SLOW:
            await asyncio.sleep(self._faults.slow_s)
        await _reply(send, response, at)

    def _instant(self, header: bytes | None) -> datetime:
        if header is None:
            return self._start + timedelta(seconds=max(time.monotonic() - self._born, 0.0) * self._speed)
        at = datetime.fromisoformat(header.decode("ascii"))
        if at.tzinfo is None:
            raise ValueError("no zone")
        return at.astimezone(UTC)  # one instant is one request, in whatever zone it is written

    def _handle(
        self, vendor: Vendor, path: str, query: Mapping[str, str], headers: Mapping[bytes, bytes], at: datetime
    ) -> tuple[Request, Response, Harm | Connection | None]:
        found = vendor.routes.find(path)
        if found is None:
            request = Request("unknown", path, query, at)
            return request, vendor.refuse(Refusal.NO_ROUTE, request), None
        template, endpoint, subject = found
        if not subject:
            subject = next((query[name] for name in vendor.subject_parameters if name in query), "")
        request = Request(template, subject, query, at)
        refusal = vendor.check_key(headers)
        if refusal is not None:
            return request, vendor.refuse(refusal, request), None
        return request, *self._faults.respond(vendor, endpoint, request)


def build_app(
    world: World, *, speed: float = 1.0, faults: str = "none", clock: datetime | None = None, delay_s: float = 0.0
) -> App:
    """Return the sandbox as an ASGI callable; its clock runs after `delay_s`, from `clock` or the world's start on."""
    return _Sandbox(world, speed, faults, clock, delay_s)


class _Protocol(HttpToolsProtocol):
    """Lets the app cut a connection, which ASGI cannot express."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {"sandbox.transport": {"transport": self.transport}}


def serve(
    world: World,
    *,
    port: int = 0,
    speed: float = 1.0,
    faults: str = "none",
    clock: datetime | None = None,
    delay_s: float = 0.0,
    ready: Callable[[int], None] | None = None,
) -> None:
    """Serve on loopback until stopped; `port` 0 takes a free one, `ready` gets the port once it accepts requests."""
    app = build_app(world, speed=speed, faults=faults, clock=clock, delay_s=delay_s)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(2048)
    if ready is not None:
        ready(listener.getsockname()[1])
    config = uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
        date_header=False,
        timeout_keep_alive=60,
    )
    uvicorn.Server(config).run(sockets=[listener])


@dataclass(frozen=True)
class RunningSandbox:
    """A sandbox in a process of its own."""

    url: str
    environment: dict[str, str]
    world: World
    process_id: int


@contextmanager
def start_in_process(
    *,
    seed: int = 7,
    creators: int = 12,
    start: datetime = DEMO_START,
    speed: float = 1.0,
    faults: str = "none",
    clock: datetime | None = None,
    delay_s: float = 0.0,
    port: int = 0,
) -> Iterator[RunningSandbox]:
    """Start the sandbox as a process and stop it afterwards; it also ends when this process dies.

    `environment` holds the base URL and the credentials of every vendor, under the names that the pipeline reads.
    """
    options = {
        "seed": seed,
        "creators": creators,
        "start": start.isoformat(),
        "clock": (clock or start).isoformat(),
        "delay": delay_s,
        "speed": speed,
        "faults": faults,
        "port": port,
    }
    child = subprocess.Popen(
        [sys.executable, "-m", "tiktok_pipeline.sandbox", *(f"--{name}={value}" for name, value in options.items())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path)},
        # Ctrl-C is for the process that started it; the end of its input stops it.
        start_new_session=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        line = child.stdout.readline()
        if not line.startswith(b"port "):
            raise RuntimeError(f"the sandbox did not start (exit {child.wait(_EXIT_S)}): see its messages above")
        url = f"http://127.0.0.1:{int(line.split()[1])}"
        yield RunningSandbox(url, environment(url), World(seed, creators, start=start), child.pid)
    finally:
        child.stdin.close()  # the child stops at the end of its input
        try:
            child.wait(_EXIT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        child.stdout.close()


def environment(url: str) -> dict[str, str]:
    """Return the environment variables that point the pipeline to the sandbox at `url`."""
    return {kind.base_url_variable: url + kind.prefix for kind in VENDORS} | {
        name: value for kind in VENDORS for name, value in kind.credentials.items()
    }


def _pairs(scope: Scope) -> list[tuple[str, str]]:
    query: bytes = scope["query_string"]
    return parse_qsl(query.decode("latin-1"), keep_blank_values=True) if query else []


async def _reply(send: Send, response: Response, at: datetime) -> None:
    length = (b"content-length", str(len(response.body)).encode())
    headers = [*_headers(response, at), length]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


def _headers(response: Response, at: datetime) -> list[tuple[bytes, bytes]]:
    """Return all headers but the length; a fault profile may replace the usual ones."""
    usual = ((b"content-type", response.content_type), (b"date", _http_date(int(at.timestamp()))))
    own = {name for name, _ in response.headers}
    return [*(pair for pair in usual if pair[0] not in own), *response.headers]


@lru_cache(maxsize=1024)
def _http_date(second: int) -> bytes:
    """Return the `Date` header of the response's instant: a date in Retry-After is relative to it."""
    return formatdate(second, usegmt=True).encode()


async def _cut(scope: Scope, receive: Receive) -> None:
    """Drop the connection without a response."""
    extension = scope.get("extensions", {}).get("sandbox.transport")
    if extension is None:
        raise ConnectionResetError("the sandbox cut this connection")
    extension["transport"].abort()
    while (await receive())["type"] != "http.disconnect":
        pass
