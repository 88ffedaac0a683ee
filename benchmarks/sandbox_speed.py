"""Measure the Social Fetch live lookups that the sandbox serves for one second of its own CPU.

    python -m benchmarks.sandbox_speed

A raw client (no HTTP library, so that it leaves the server the second core) keeps 16 connections busy; the CPU time of
the server's process is read from /proc, so this runs on Linux only.
"""

from __future__ import annotations

import asyncio
import os
import time
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from tiktok_pipeline.sandbox.server import start_in_process
from tiktok_pipeline.sandbox.world import World

CREATORS, CONNECTIONS, REQUESTS, ROUNDS = 500, 16, 30_000, 3
START = datetime(2026, 3, 2, 18, tzinfo=UTC)
AIM = 2_000  # Requests a CPU second: below it a benchmark would measure the sandbox, not the pipeline.


class _Client(asyncio.Protocol):
    """Sends the next request as soon as a response is complete."""

    def __init__(self, requests: list[bytes], numbers: count[int], done: asyncio.Future[None]) -> None:
        self._requests, self._numbers, self._done = requests, numbers, done
        self._buffer, self._transport = b"", None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, blank, body = self._buffer.partition(b"\r\n\r\n")
        if not blank:
            return
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        if not head.startswith(b"HTTP/1.1 200"):
            self._done.set_exception(RuntimeError(f"the sandbox responded {head[:40]!r}"))
            return
        self._buffer = b""
        self._send()

    def _send(self) -> None:
        number = next(self._numbers)
        if number < len(self._requests):
            self._transport.write(self._requests[number])
        elif not self._done.done():
            self._transport.close()
            self._done.set_result(None)


async def _drive(port: int, requests: list[bytes]) -> None:
    loop, numbers = asyncio.get_running_loop(), count()
    ends = [loop.create_future() for _ in range(CONNECTIONS)]
    for end in ends:
        await loop.create_connection(lambda end=end: _Client(requests, numbers, end), "127.0.0.1", port)
    await asyncio.gather(*ends)


def _cpu_seconds(process_id: int) -> float:
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _requests(world: World, everybody_live: bool) -> list[tuple[str, datetime]]:
    """Return (handle, instant) of each request: the whole roster in turn, or only instants inside streams."""
    named = [creator for creator in world.creators if creator.renamed_at is None]
    if not everybody_live:
        return [(named[n % len(named)].handle, START + timedelta(seconds=n)) for n in range(REQUESTS)]
    streams = [s for creator in named for s in world.streams(creator, START, START + timedelta(days=7))]
    chosen = [streams[n % len(streams)] for n in range(REQUESTS)]
    return [(s.creator.handle, s.started_at + timedelta(seconds=1 + n // len(streams))) for n, s in enumerate(chosen)]


def main() -> None:
    """Print one row a mix and round."""
    with start_in_process(creators=CREATORS, start=START) as sandbox:
        port = int(sandbox.url.rpartition(":")[2])
        key = sandbox.environment["SOCIAL_FETCH_API_KEY"]

        def request(handle: str, at: datetime) -> bytes:
            path = f"/social-fetch/v1/tiktok/profiles/{handle}/live"
            head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nx-api-key: {key}\r\n"
            return f"{head}X-Replay-At: {at.isoformat()}\r\n\r\n".encode()

        print(f"{'mix':<16}{'requests/s':>12}{'requests/CPU s':>16}{'x aim':>8}")
        for mix, everybody_live in (("roster as it is", False), ("everybody live", True)):
            requests = [request(handle, at) for handle, at in _requests(sandbox.world, everybody_live)]
            asyncio.run(_drive(port, requests[: 4 * CREATORS]))  # Every creator's plan is made once.
            for _ in range(ROUNDS):
                cpu, wall = _cpu_seconds(sandbox.process_id), time.perf_counter()
                asyncio.run(_drive(port, requests))
                cpu, wall = _cpu_seconds(sandbox.process_id) - cpu, time.perf_counter() - wall
                rate = REQUESTS / cpu
                print(f"{mix:<16}{REQUESTS / wall:>12,.0f}{rate:>16,.0f}{rate / AIM:>8.2f}")


if __name__ == "__main__":
    main()
