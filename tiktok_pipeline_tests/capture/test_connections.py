"""Requests and replies as bytes on the wire."""

from __future__ import annotations

import asyncio

import aiohttp
import httpx
import pytest

from tiktok_pipeline.capture.connections import Connections, Reply, fault
from tiktok_pipeline.config.network import DIRECT
from tiktok_pipeline_tests.capture.hostile import Behaviour, hostile_server


def get(behave: Behaviour, path: str = "/", **params: str) -> tuple[list[str], Reply]:
    """Send one request; return the requested addresses and the reply with its body."""

    async def main(url: str) -> Reply:
        connections = Connections(DIRECT, url)
        try:
            reply = await connections.get(url + path, params, {"Accept": "application/json"}, 5.0)
            assert [chunk async for chunk in reply.chunks()] == [b"{}"]
            await reply.aclose()
        finally:
            await connections.aclose()
        return reply

    with hostile_server(behave) as server:
        reply = asyncio.run(main(server.url))
        return server.requests, reply


def answering(head: bytes) -> Behaviour:
    return lambda connection, path: connection.sendall(head + b"content-length: 2\r\n\r\n{}")


OK = answering(b"HTTP/1.1 200 OK\r\n")


def test_a_path_is_sent_unchanged_and_a_query_is_encoded_as_in_httpx() -> None:
    requests, _ = get(OK, "/api/v1//live/info/%C3%A9%2F", keyword="a b&c=ü/?#%+~:@", region="US")
    params = {"keyword": "a b&c=ü/?#%+~:@", "region": "US"}
    assert requests == ["/api/v1//live/info/%C3%A9%2F?" + str(httpx.QueryParams(params))]


def test_values_of_a_repeated_header_are_joined_and_names_are_lower_case() -> None:
    _, reply = get(answering(b"HTTP/1.1 200 OK\r\nX-Credits-Used: 1\r\nx-credits-used: 2\r\nAge: 3\r\n"))
    assert reply.headers["x-credits-used"] == "1, 2"
    assert reply.headers["age"] == "3"


@pytest.mark.parametrize("raw", [b"caf\xe9", "café".encode()])
def test_a_header_may_be_utf_8_or_latin_1(raw: bytes) -> None:
    _, reply = get(answering(b"HTTP/1.1 200 OK\r\nContent-Type: " + raw + b"\r\n"))
    assert reply.headers["content-type"] == "café"


def test_a_non_ascii_reason_phrase_loses_no_response() -> None:
    _, reply = get(answering(b"HTTP/1.1 503 \xff\xfe\r\n"))
    assert reply.status == 503


def test_a_redirect_is_a_reply_and_is_not_followed() -> None:
    requests, reply = get(answering(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n"), "/first")
    assert reply.status == 302
    assert requests == ["/first"]


def test_a_connection_fault_is_reported_by_the_most_precise_error() -> None:
    precise = aiohttp.ServerDisconnectedError()
    precise.__cause__ = OSError()
    assert fault(precise) == "ServerDisconnectedError"
    vague = RuntimeError()
    vague.__cause__ = ValueError()
    assert fault(vague) == "ValueError"
    assert fault(ConnectionResetError()) == "ConnectionResetError"
