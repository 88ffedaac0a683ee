"""The body of a response is decompressed in pieces, counted and bounded."""

from __future__ import annotations

import asyncio
import gc
import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable

import pyarrow as pa
import pytest

from tiktok_pipeline.capture.response import (
    BodyReader,
    MemoryBudget,
    TooLargeError,
    UndecodableError,
    has_too_many_values,
)

LIMIT = 1024 * 1024
BODY = b'{"text":"' + b"0123456789" * 10_000 + b'"}'


class Sent:
    """A reply whose body arrives in pieces."""

    status = 200

    def __init__(self, body: bytes, piece: int, headers: dict[str, str] | None = None) -> None:
        self.body, self.piece = body, piece
        self.headers = headers or {}
        self.taken = 0

    async def chunks(self) -> AsyncIterator[bytes]:
        for begin in range(0, len(self.body), self.piece):
            self.taken = begin + self.piece
            yield self.body[begin : begin + self.piece]

    async def aclose(self) -> None:
        pass


def read(body: bytes, encoding: str = "", *, piece: int = 16_384, limit: int = LIMIT) -> bytes:
    async def main() -> bytes:
        reader = BodyReader(limit, MemoryBudget(3 * limit))
        headers = {"content-encoding": encoding} if encoding else {}
        async with reader.room() as room:
            return await reader.read(Sent(body, piece, headers), room)

    return asyncio.run(main())


def compressed(name: str, body: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, name) as stream:
        stream.write(body)
    return bytes(sink.getvalue().to_pybytes())


def raw_deflate(body: bytes) -> bytes:
    pressed = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return pressed.compress(body) + pressed.flush()


@pytest.mark.parametrize("piece", [1, 7, 16_384])
@pytest.mark.parametrize(
    ("encoding", "sent"),
    [
        ("", BODY),
        ("identity", BODY),
        ("gzip", gzip.compress(BODY)),
        ("GZIP", gzip.compress(BODY)),
        ("gzip", gzip.compress(BODY[:99]) + gzip.compress(BODY[99:])),
        ("gzip", gzip.compress(BODY) + b"bytes after the end"),
        ("gzip", BODY),  # A proxy decompressed the body but left the header.
        ("deflate", zlib.compress(BODY)),
        ("deflate", raw_deflate(BODY)),
        ("br", compressed("brotli", BODY)),
        ("zstd", compressed("zstd", BODY)),
        ("gzip, br", compressed("brotli", gzip.compress(BODY))),
        ("gzip, gzip, gzip", gzip.compress(gzip.compress(gzip.compress(BODY)))),
    ],
    ids=range(13),  # Compressed bytes contain the time, so they are unusable as test ids.
)
def test_every_encoding_is_decoded_for_any_split_into_pieces(encoding: str, sent: bytes, piece: int) -> None:
    assert read(sent, encoding, piece=piece) == BODY


@pytest.mark.parametrize(
    ("encoding", "sent"),
    [
        ("gzip", b"\x1f\x8bthis is no gzip"),
        ("gzip", b"plain text"),
        ("deflate", b"\xff\xff\xff\xff"),
        ("br", b"no brotli at all" * 9),
        ("zstd", b"no zstd at all" * 9),
        ("gzip, " * 4 + "gzip", gzip.compress(BODY)),
        ("compress", BODY),
        ("utf-8", BODY),
    ],
    ids=range(8),
)
def test_a_body_that_contradicts_its_encoding_header_is_undecodable(encoding: str, sent: bytes) -> None:
    with pytest.raises(UndecodableError):
        read(sent, encoding)


def test_a_truncated_compressed_body_gives_the_part_that_arrived() -> None:
    assert BODY.startswith(read(gzip.compress(BODY)[:-200], "gzip"))
    assert read(b"", "gzip") == b""


@pytest.mark.parametrize("extra", [0, 1])
def test_the_size_limit_counts_decompressed_bytes_exactly(extra: int) -> None:
    body = b"x" * (LIMIT + extra)
    for encoding, sent in (("", body), ("gzip", gzip.compress(body)), ("br", compressed("brotli", body))):
        if extra:
            with pytest.raises(TooLargeError):
                read(sent, encoding)
        else:
            assert read(sent, encoding) == body


@pytest.mark.parametrize(
    ("encoding", "sent"),
    [
        ("gzip", lambda: gzip.compress(bytes(200 * LIMIT), 9)),
        ("gzip, gzip", lambda: gzip.compress(gzip.compress(bytes(200 * LIMIT), 9), 9)),
        ("deflate", lambda: zlib.compress(bytes(200 * LIMIT), 9)),
        ("zstd", lambda: compressed("zstd", bytes(200 * LIMIT))),
        ("br", lambda: compressed("brotli", bytes(200 * LIMIT))),
        # A million steps that decompress to nothing.
        ("gzip, gzip", lambda: gzip.compress(gzip.compress(b"") * 1_000_000, 9)),
        ("gzip", lambda: gzip.compress(b"") * 60_000),
    ],
    ids=range(7),
)
def test_a_decompression_bomb_ends_at_the_limit_with_little_memory(encoding: str, sent: Callable[[], bytes]) -> None:
    # Made here, because every worker of the suite imports this module.
    bomb = sent()
    tracemalloc.start()
    try:
        with pytest.raises(TooLargeError):
            read(bomb, encoding)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6 * LIMIT


def test_reading_stops_where_the_limit_is_exceeded() -> None:
    async def main() -> int:
        reader, sent = BodyReader(LIMIT, MemoryBudget(3 * LIMIT)), Sent(b"x" * (20 * LIMIT), 16_384)
        async with reader.room() as room:
            with pytest.raises(TooLargeError):
                await reader.read(sent, room)
        return sent.taken

    assert asyncio.run(main()) <= LIMIT + 16_384


class Owner:
    """Holds a reference to a body."""


def test_large_bodies_in_use_block_further_ones_until_they_are_garbage_collected() -> None:
    async def main() -> None:
        memory = MemoryBudget(3 * LIMIT)
        readers = [BodyReader(LIMIT, memory) for _ in range(4)]
        owners = []
        for reader in readers[:3]:
            async with reader.room() as room:
                await reader.read(Sent(b"x" * LIMIT, 16_384), room)
                owners.append(Owner())
                room.keep(LIMIT, owners[-1])
        assert memory.held == 3 * LIMIT
        async with readers[3].room() as room:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await room.make()
            owners.pop()
            gc.collect()
            async with asyncio.timeout(1):
                await room.make()
        assert memory.held == 2 * LIMIT

    asyncio.run(main())


def test_one_large_body_of_a_vendor_is_read_at_a_time_while_small_ones_continue() -> None:
    async def main() -> None:
        reader = BodyReader(LIMIT, MemoryBudget(3 * LIMIT))
        async with reader.room() as large, reader.room() as second, reader.room() as small:
            await large.make()
            assert await reader.read(Sent(BODY, 999), small) == BODY
            waiting = asyncio.create_task(second.make())
            await asyncio.sleep(0.01)
            assert not waiting.done()
            large.leave()
            await asyncio.wait_for(waiting, 1)

    asyncio.run(main())


def test_a_body_of_millions_of_values_is_not_decoded() -> None:
    assert has_too_many_values(b"[" + b"{}," * 1_000_000 + b"{}]")
    assert has_too_many_values(b"[" * 2_000_000)
    assert has_too_many_values(b'"' + rb"\u0041" * 600_000 + b'"')
    assert not has_too_many_values(b'{"text":"' + b"x" * 10_000_000 + b'"}')
    assert not has_too_many_values(BODY)
