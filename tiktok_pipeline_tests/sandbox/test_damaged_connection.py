"""Damaged connections, received through a plain socket; the sandbox itself survives them."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from urllib.parse import urlsplit

import pytest

from tiktok_pipeline.sandbox.damage import OVERSIZED_BYTES, Connection, bomb
from tiktok_pipeline.sandbox.faults import Faults
from tiktok_pipeline.sandbox.ledger import Ledger
from tiktok_pipeline.sandbox.server import RunningSandbox, start_in_process
from tiktok_pipeline.sandbox.social_fetch import PROFILE, SocialFetch
from tiktok_pipeline.sandbox.vendor import Request
from tiktok_pipeline.sandbox.world import World

START = datetime(2026, 11, 2, tzinfo=UTC)
LISTENS_S = 1.5
ENDLESS = {Connection.ENDLESS, Connection.ENDLESS_HEADERS}
HOLDING = {Connection.DRIP, Connection.SLOW_HEADERS, Connection.SILENCE}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with start_in_process(creators=3, start=START, faults="hostile-connection") as running:
        yield running


def moment_of(how: Connection, world: World) -> tuple[str, datetime]:
    """Return a handle and an instant at which the connection is damaged in this way."""
    fetch, faults = SocialFetch(world, Ledger()), Faults(world.seed, "hostile-connection")
    handle = world.creators[0].handle
    for second in count():
        at = START + timedelta(seconds=second)
        if faults.respond(fetch, fetch.profile, Request(PROFILE, handle, {}, at))[1] is how:
            return handle, at
    raise AssertionError


def listen(sandbox: RunningSandbox, handle: str, at: datetime, most: int = 64 << 20) -> tuple[bytes, bool]:
    """Return the received bytes, up to a time and a size, and whether the sandbox closed the connection."""
    place = urlsplit(sandbox.url)
    received = bytearray()
    with socket.create_connection((str(place.hostname), place.port or 80), timeout=5) as line:
        line.sendall(
            f"GET /social-fetch/v1/tiktok/profiles/{handle} HTTP/1.1\r\nHost: x\r\nx-api-key: sfk_sandbox\r\n"
            f"X-Replay-At: {at.isoformat()}\r\n\r\n".encode()
        )
        line.settimeout(LISTENS_S)
        until = time.monotonic() + LISTENS_S
        try:
            while len(received) < most and time.monotonic() < until:
                piece = line.recv(1 << 20)
                if not piece:
                    return bytes(received), True
                received += piece
        except TimeoutError:
            pass
        except ConnectionResetError:
            return bytes(received), True
    return bytes(received), False


# (head, body, Content-Length or 0) of the received bytes -> whether they match the kind
LOOKS: dict[Connection, Callable[[bytes, bytes, int], bool]] = {
    Connection.RESET_INSIDE: lambda head, body, length: 0 < len(body) < length,
    Connection.LENGTH_TOO_LONG: lambda head, body, length: length == len(body) + 1_000,
    Connection.LENGTH_TOO_SHORT: lambda head, body, length: 0 < length < len(body) and b"HTTP/1.1 200" in body,
    Connection.GARBLED_HEADERS: lambda head, body, length: b"no colon here\r\n" in head,
    Connection.GARBLED_STATUS: lambda head, body, length: not head.startswith(b"HTTP/1"),
    Connection.GARBLED_CHUNKS: lambda head, body, length: b"\r\n-1\r\n" in body,
    Connection.NOT_GZIP: lambda head, body, length: b"content-encoding: gzip" in head and body.startswith(b"{"),
    Connection.OVERSIZED: lambda head, body, length: len(body) > OVERSIZED_BYTES,
    Connection.BOMB: lambda head, body, length: body == bomb(),
    Connection.DOUBLE_BOMB: lambda head, body, length: body == bomb(twice=True),
    Connection.ENDLESS: lambda head, body, length: len(body) > 8 << 20,
    Connection.ENDLESS_HEADERS: lambda head, body, length: len(head) > 8 << 20,
    Connection.DRIP: lambda head, body, length: 2 <= len(body) <= 40,
    Connection.SLOW_HEADERS: lambda head, body, length: 2 <= head.count(b"\r\n") <= 40 and not body,
    Connection.SILENCE: lambda head, body, length: 0 < len(body) < length,
}


@pytest.mark.parametrize("how", Connection, ids=lambda how: how.name.lower())
def test_a_damaged_connection_matches_its_name(sandbox: RunningSandbox, how: Connection) -> None:
    came, over = listen(sandbox, *moment_of(how, sandbox.world))
    head, _, body = came.partition(b"\r\n\r\n")
    length = next((int(line[16:]) for line in head.split(b"\r\n") if line.startswith(b"content-length: ")), 0)
    assert LOOKS[how](head, body, length)
    assert over == (how not in ENDLESS | HOLDING)


def test_after_all_damage_the_sandbox_still_responds(sandbox: RunningSandbox) -> None:
    for how in ENDLESS | HOLDING:
        listen(sandbox, *moment_of(how, sandbox.world), most=1 << 20)
    world = sandbox.world
    fetch, faults = SocialFetch(world, Ledger()), Faults(world.seed, "hostile-connection")
    public = next(creator.handle for creator in world.creators if creator.kind == "public")
    good = next(
        at
        for at in (START + timedelta(seconds=second) for second in count())
        if faults.respond(fetch, fetch.profile, Request(PROFILE, public, {}, at))[1] is None
    )
    came, _ = listen(sandbox, public, good)
    assert came.startswith(b"HTTP/1.1 200 OK")
    assert b'"lookupStatus":"found"' in came
