"""Read response bodies within limits of size and memory.

Bytes are counted as they arrive and after each decompression. Reading stops at the limit. Small bodies are read at
once. A larger body must reserve memory: each vendor reads one such body at a time, and all large bodies that a window
holds stay below `MemoryBudget.capacity`. The reservation ends when the attempt is written and no code refers to it.
"""

from __future__ import annotations

import asyncio
import io
import weakref
import zlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Protocol

from tiktok_pipeline.capture.connections import Reply

# Sent as Accept-Encoding. Brotli and zstd are decompressed too, because some servers send them without a request.
ACCEPT_ENCODING = "gzip, deflate"

# A body up to this size needs no reservation: 64 of them at once are 16 MiB.
_SMALL = 256 * 1024

# A decoded value takes 100 to 250 bytes, and an escape 60 during decoding, even if they are short in JSON: this number
# takes 100 MB. A page of 50 posts holds 20,000. A body below `_UNCOUNTED` bytes cannot contain too many.
_MOST_VALUES = 500_000
_UNCOUNTED = 1024 * 1024

_PIECE = 64 * 1024
_MOST_ENCODINGS = 4


class TooLargeError(Exception):
    """A body, or the output of one of its encodings, is over the size limit."""


class UndecodableError(Exception):
    """A body does not match its `Content-Encoding`."""


class MemoryBudget:
    """The bytes of large bodies that one window holds."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.held = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self, size: int) -> None:
        """Reserve `size` bytes; wait until they fit. A size over the capacity fits when nothing is reserved."""
        while self.held and self.held + size > self.capacity:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn
        self.held += size

    def give_back(self, size: int) -> None:
        """Release `size` bytes and wake the waiting tasks."""
        self.held -= size
        waiting, self._waiting = self._waiting, deque()
        for turn in waiting:
            if not turn.done() and not turn.get_loop().is_closed():
                turn.set_result(None)


class BodyMemory:
    """The memory reservation of one body, empty until `make`."""

    def __init__(self, turn: asyncio.Semaphore, memory: MemoryBudget, limit: int) -> None:
        self._turn, self._memory, self._limit = turn, memory, limit
        self._held = self._kept = 0

    async def make(self) -> None:
        """Reserve memory for a body of any allowed size; wait if necessary."""
        if self._held:
            return
        await self._turn.acquire()
        try:
            await self._memory.take(self._limit)
        except BaseException:
            self._turn.release()
            raise
        self._held = self._limit

    def keep(self, size: int, owner: object) -> None:
        """Keep `size` bytes of the reservation until `owner` is garbage-collected."""
        if self._held and size:
            self._kept = size
            weakref.finalize(owner, self._memory.give_back, size).atexit = False

    def leave(self) -> None:
        """Release the part of the reservation that is not kept."""
        if self._held:
            self._memory.give_back(self._held - self._kept)
            self._turn.release()
            self._held = 0


class BodyReader:
    """Reads the bodies of one vendor, each up to `limit` bytes after decompression."""

    def __init__(self, limit: int, memory: MemoryBudget) -> None:
        self._limit = limit
        self._memory = memory
        self._turn = asyncio.Semaphore(1)

    @asynccontextmanager
    async def room(self) -> AsyncIterator[BodyMemory]:
        """Provide a reservation for one body within the block."""
        room = BodyMemory(self._turn, self._memory, self._limit)
        try:
            yield room
        finally:
            room.leave()

    async def read(self, reply: Reply, room: BodyMemory) -> bytes:
        """Return the whole body, decompressed.

        Raises:
            TooLargeError: the body, or the output of one of its encodings, is over the limit; reading has stopped.
            UndecodableError: the body does not match its Content-Encoding.
        """
        decoded = _decoding(reply.headers.get("content-encoding", ""), self._limit)
        body, received = bytearray(), 0
        async for chunk in reply.chunks():
            received += len(chunk)
            if received > self._limit:
                raise TooLargeError
            if received > _SMALL:
                await room.make()
            for piece in decoded.feed(chunk):
                body += piece
                if len(body) > self._limit:
                    raise TooLargeError
                if len(body) > _SMALL:
                    await room.make()
        for piece in decoded.finish():
            body += piece
            if len(body) > self._limit:
                raise TooLargeError
            if len(body) > _SMALL:
                await room.make()
        return bytes(body)


def has_too_many_values(body: bytes) -> bool:
    """Return whether decoding `body` as JSON could take more memory than a window has."""
    return len(body) > _UNCOUNTED and sum(body.count(mark) for mark in (b",", b"[", b"{", b"\\")) > _MOST_VALUES


class _Decoder(Protocol):
    """Decompresses one encoding, in pieces of bounded size."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the output for `data`."""

    def finish(self) -> Iterator[bytes]:
        """Yield the remaining output at the end of the body."""


class _Plain:
    """No encoding."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """See `_Decoder`."""
        yield data

    def finish(self) -> Iterator[bytes]:
        """See `_Decoder`."""
        return iter(())


class _Inflate:
    """gzip, also with several members, and deflate with or without the zlib header.

    A truncated body yields the part that arrived. An uncompressed body passes through: some proxies decompress it and
    leave the header.
    """

    def __init__(self, name: str, limit: int) -> None:
        self._gzip = name != "deflate"
        self._left = limit
        self._start = b""
        self._zlib: zlib._Decompress | None = None
        self._through = self._over = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """See `_Decoder`."""
        if self._zlib is None and not self._through:
            data = self._start + data
            if len(data) < 2:
                self._start = data
                return
            self._start = b""
            self._begin(data)
        if self._through:
            yield data
        else:
            yield from self._undo(data)

    def finish(self) -> Iterator[bytes]:
        """See `_Decoder`."""
        if self._zlib is None:
            yield self._start
        elif not self._over:
            yield from self._counted(self._zlib.flush())

    def _begin(self, start: bytes) -> None:
        if self._gzip and start.startswith(b"\x1f\x8b"):
            self._zlib = zlib.decompressobj(zlib.MAX_WBITS | 16)
        elif not self._gzip and start[0] & 0x0F == 8 and int.from_bytes(start[:2], "big") % 31 == 0:
            self._zlib = zlib.decompressobj()
        elif start.lstrip()[:1] in (b"{", b"[", b"<"):
            self._through = True
        elif self._gzip:
            raise UndecodableError("gzip")
        else:
            self._zlib = zlib.decompressobj(-zlib.MAX_WBITS)

    def _undo(self, data: bytes) -> Iterator[bytes]:
        while data and not self._over:
            assert self._zlib is not None
            if self._zlib.eof:
                # Another gzip member, or meaningless trailing bytes.
                self._over = not (self._gzip and data.startswith(b"\x1f"))
                # Empty members yield no bytes, but take time.
                self._left -= _PIECE
                self._zlib = zlib.decompressobj(zlib.MAX_WBITS | 16)
                continue
            try:
                piece = self._zlib.decompress(data, _PIECE)
            except zlib.error:
                raise UndecodableError("gzip" if self._gzip else "deflate") from None
            yield from self._counted(piece)
            data = self._zlib.unused_data if self._zlib.eof else self._zlib.unconsumed_tail

    def _counted(self, piece: bytes) -> Iterator[bytes]:
        self._left -= len(piece)
        if self._left < 0:
            raise TooLargeError
        if piece:
            yield piece


class _Arrow:
    """Brotli and zstd, which the standard library does not support: collected, and decompressed at the end."""

    def __init__(self, name: str, limit: int) -> None:
        self._name = "brotli" if name == "br" else name
        self._limit = limit
        self._gathered = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """See `_Decoder`."""
        self._gathered += data
        if len(self._gathered) > self._limit:
            raise TooLargeError
        return iter(())

    def finish(self) -> Iterator[bytes]:
        """See `_Decoder`."""
        import pyarrow as pa  # noqa: PLC0415 - takes 0.1 s to import, and no documented vendor sends these

        left = self._limit
        try:
            with pa.CompressedInputStream(io.BytesIO(self._gathered), self._name) as stream:
                while piece := stream.read(_PIECE):
                    left -= len(piece)
                    if left < 0:
                        raise TooLargeError
                    yield piece
        except (OSError, ValueError):
            raise UndecodableError(self._name) from None


class _Chain:
    """Decompresses several encodings, the last applied first."""

    def __init__(self, outer: _Decoder, inner: _Decoder) -> None:
        self._outer, self._inner = outer, inner

    def feed(self, data: bytes) -> Iterator[bytes]:
        """See `_Decoder`."""
        for piece in self._outer.feed(data):
            yield from self._inner.feed(piece)

    def finish(self) -> Iterator[bytes]:
        """See `_Decoder`."""
        for piece in self._outer.finish():
            yield from self._inner.feed(piece)
        yield from self._inner.finish()


_DECODERS: dict[str, Callable[[str, int], _Decoder]] = {
    "gzip": _Inflate,
    "x-gzip": _Inflate,
    "deflate": _Inflate,
    "br": _Arrow,
    "zstd": _Arrow,
}


def _decoding(encodings: str, limit: int) -> _Decoder:
    names = [name.strip().lower() for name in encodings.split(",")]
    names = [name for name in names if name not in ("", "identity")]
    if len(names) > _MOST_ENCODINGS:
        raise UndecodableError("too many encodings")
    decoder: _Decoder = _Plain()
    for name in names:
        if name not in _DECODERS:
            raise UndecodableError("unknown encoding")
        decoder = _Chain(_DECODERS[name](name, limit), decoder)
    return decoder
