"""Send a response over a damaged connection: cut, garbled, slow, or without an end.

ASGI cannot express these, and the server rejects most of them, so the bytes are written to the transport itself. The
connection is closed afterwards. Every damage stops after `LONGEST_S` or `MOST_BYTES`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any

from tiktok_pipeline.sandbox.damage import Connection, bomb, oversized
from tiktok_pipeline.sandbox.vendor import Response

LONGEST_S = 120.0
MOST_BYTES = 2 << 30
_DRIP_EVERY_S = 0.1
_WAITING_BYTES = 4 << 20  # limit of bytes that wait to be sent: an endless body must not fill this process either

Fields = list[tuple[bytes, bytes]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


async def send(
    scope: MutableMapping[str, Any], receive: Receive, how: Connection, response: Response, headers: Fields
) -> None:
    """Send the response in a damaged way, and wait until the connection is closed.

    Raises:
        ConnectionResetError: there is no transport to write to, as in a test without a socket.
    """
    extension = scope.get("extensions", {}).get("sandbox.transport")
    if extension is None:
        raise ConnectionResetError(f"the sandbox damaged this connection: {how.name.lower()}")
    line = _Line(extension["transport"])
    try:
        await _SENDERS[how](line, response, headers)
    finally:
        line.close(abort=how in (Connection.RESET_INSIDE, Connection.SILENCE))
    while (await receive())["type"] != "http.disconnect":
        pass


class _Line:
    """A transport that detects when the other side closes."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._end = time.monotonic() + LONGEST_S
        self._sent = 0

    @property
    def open(self) -> bool:
        """Return whether the client is still connected and the bounds are not reached."""
        return not self._transport.is_closing() and time.monotonic() < self._end and self._sent < MOST_BYTES

    async def write(self, data: bytes) -> None:
        """Send, but no faster than the client reads."""
        while self.open and self._transport.get_write_buffer_size() > _WAITING_BYTES:
            await asyncio.sleep(0.002)
        if self.open:
            self._transport.write(data)
            self._sent += len(data)
            await asyncio.sleep(0)

    async def drip(self, piece: Callable[[int], bytes]) -> None:
        """Send a few bytes, again and again."""
        number = 0
        while self.open:
            await self.write(piece(number))
            number += 1
            await asyncio.sleep(_DRIP_EVERY_S)

    def close(self, *, abort: bool) -> None:
        """Close the connection; `abort` drops the bytes that wait to be sent."""
        if not self._transport.is_closing():
            self._transport.abort() if abort else self._transport.close()


def _head(status: int, headers: Fields, *more: tuple[bytes, bytes]) -> bytes:
    try:
        reason = HTTPStatus(status).phrase.encode()
    except ValueError:
        reason = b"Odd"
    lines = [b"HTTP/1.1 %d %s" % (status, reason), *(name + b": " + value for name, value in (*headers, *more))]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _length(number: int) -> tuple[bytes, bytes]:
    return b"content-length", str(number).encode()


async def _reset_inside(line: _Line, response: Response, headers: Fields) -> None:
    await line.write(
        _head(response.status, headers, _length(len(response.body))) + response.body[: len(response.body) // 2]
    )
    await asyncio.sleep(0.01)


async def _too_long(line: _Line, response: Response, headers: Fields) -> None:
    await line.write(_head(response.status, headers, _length(len(response.body) + 1_000)) + response.body)


async def _too_short(line: _Line, response: Response, headers: Fields) -> None:
    """Leave bytes on the connection that look like the response to a request that was never sent."""
    spare = _head(200, headers, _length(2)) + b"{}"
    await line.write(_head(response.status, headers, _length(len(response.body) // 2)) + response.body + spare)
    await asyncio.sleep(0.01)


async def _garbled_headers(line: _Line, response: Response, headers: Fields) -> None:
    odd = [(b"no colon here\r\n\xff\xfe", b"x"), (b" folded", b"a\r\n b"), (b"nul\x00", b"\x00")]
    await line.write(_head(response.status, [*headers, *odd], _length(len(response.body))) + response.body)


async def _garbled_status(line: _Line, response: Response, headers: Fields) -> None:
    head = _head(response.status, headers, _length(len(response.body)))
    await line.write(head.replace(b"HTTP/1.1 ", b"HTTP/9.x ", 1) + response.body)


async def _garbled_chunks(line: _Line, response: Response, headers: Fields) -> None:
    head = _head(response.status, headers, (b"transfer-encoding", b"chunked"))
    await line.write(head + b"%x\r\n" % len(response.body) + response.body + b"\r\n-1\r\nnot a length\r\n")


async def _not_gzip(line: _Line, response: Response, headers: Fields) -> None:
    packed = (b"content-encoding", b"gzip")
    await line.write(_head(response.status, headers, packed, _length(len(response.body))) + response.body)


async def _oversized(line: _Line, response: Response, headers: Fields) -> None:
    await _long(line, response.status, headers, oversized(response.body))


async def _bomb(line: _Line, response: Response, headers: Fields) -> None:
    await _long(line, 200, [*headers, (b"content-encoding", b"gzip")], bomb())


async def _double_bomb(line: _Line, response: Response, headers: Fields) -> None:
    await _long(line, 200, [*headers, (b"content-encoding", b"gzip, gzip")], bomb(twice=True))


async def _long(line: _Line, status: int, headers: Fields, body: bytes) -> None:
    await line.write(_head(status, headers, _length(len(body))))
    for begin in range(0, len(body), 1 << 20):
        await line.write(body[begin : begin + (1 << 20)])


async def _endless(line: _Line, response: Response, headers: Fields) -> None:
    await line.write(_head(response.status, headers, (b"transfer-encoding", b"chunked")))
    piece = b"10000\r\n" + b"[" + b" " * 65_534 + b",\r\n"
    while line.open:
        await line.write(piece)


async def _endless_headers(line: _Line, response: Response, headers: Fields) -> None:
    await line.write(b"HTTP/1.1 200 OK\r\n")
    number = 0
    while line.open:
        await line.write(b"x-%d: %s\r\n" % (number, b"y" * 1_000))
        number += 1


async def _drip(line: _Line, response: Response, headers: Fields) -> None:
    await line.write(_head(response.status, headers, _length(len(response.body) + 1_000_000)))
    await line.drip(lambda number: response.body[number : number + 1] or b" ")


async def _slow_headers(line: _Line, response: Response, headers: Fields) -> None:
    await line.write(b"HTTP/1.1 200 OK\r\n")
    await line.drip(lambda number: b"x-%d: y\r\n" % number)


async def _silence(line: _Line, response: Response, headers: Fields) -> None:
    """Send half a body, then nothing, and keep the connection open."""
    await line.write(
        _head(response.status, headers, _length(len(response.body))) + response.body[: len(response.body) // 2]
    )
    while line.open:
        await asyncio.sleep(_DRIP_EVERY_S)


_SENDERS: dict[Connection, Callable[[_Line, Response, Fields], Awaitable[None]]] = {
    Connection.RESET_INSIDE: _reset_inside,
    Connection.LENGTH_TOO_LONG: _too_long,
    Connection.LENGTH_TOO_SHORT: _too_short,
    Connection.GARBLED_HEADERS: _garbled_headers,
    Connection.GARBLED_STATUS: _garbled_status,
    Connection.GARBLED_CHUNKS: _garbled_chunks,
    Connection.NOT_GZIP: _not_gzip,
    Connection.OVERSIZED: _oversized,
    Connection.BOMB: _bomb,
    Connection.DOUBLE_BOMB: _double_bomb,
    Connection.ENDLESS: _endless,
    Connection.ENDLESS_HEADERS: _endless_headers,
    Connection.DRIP: _drip,
    Connection.SLOW_HEADERS: _slow_headers,
    Connection.SILENCE: _silence,
}
