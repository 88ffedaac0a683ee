"""A small world, and direct calls of the sandbox's ASGI application without a socket."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from tiktok_pipeline.sandbox.creators import Creator
from tiktok_pipeline.sandbox.server import App, build_app
from tiktok_pipeline.sandbox.streams import TrueStream
from tiktok_pipeline.sandbox.world import World

START = datetime(2026, 3, 2, tzinfo=UTC)

KEYS = {
    "konbini": {"Authorization": "Bearer knbn_sandbox"},
    "social-fetch": {"x-api-key": "sfk_sandbox"},
    "tikliveapi": {"X-Api-Key": "tkl_sandbox"},
    "tikhub": {"Authorization": "Basic " + base64.b64encode(b"sandbox:thub_sandbox").decode()},
}


@dataclass
class Reply:
    """A response of the sandbox."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Asker:
    """Requests to one sandbox, with the vendor's key unless other headers are given."""

    def __init__(self, app: App) -> None:
        self._app = app

    def __call__(self, path: str, at: datetime | None = None, headers: dict[str, str] | None = None) -> Reply:
        return asyncio.run(self._ask(path, at, KEYS.get(path.split("/")[1], {}) if headers is None else headers))

    async def _ask(self, path: str, at: datetime | None, headers: dict[str, str]) -> Reply:
        address = urlsplit("http://sandbox" + path)
        sent = headers | ({} if at is None else {"X-Replay-At": at.isoformat()})
        scope = {
            "type": "http",
            "path": address.path,
            "query_string": address.query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
        }
        messages: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            messages.append(message)

        await self._app(scope, receive, send)
        start, body = messages
        return Reply(start["status"], {k.decode(): v.decode() for k, v in start["headers"]}, body["body"])


@pytest.fixture(scope="session")
def world() -> World:
    return World(seed=7, creators=24, start=START)


@pytest.fixture
def ask(world: World) -> Asker:
    return Asker(build_app(world))


@pytest.fixture
def ask_with() -> Callable[..., Asker]:
    return lambda world, faults="none": Asker(build_app(world, faults=faults))


@pytest.fixture(scope="session")
def streams(world: World) -> list[TrueStream]:
    until = START + timedelta(days=30)
    return [s for c in world.creators if c.renamed_at is None for s in world.streams(c, START, until)]


@pytest.fixture(scope="session")
def public(world: World) -> list[Creator]:
    return [c for c in world.creators if c.kind == "public"]


def of_kind(world: World, kind: str) -> Creator:
    return next(c for c in world.creators if c.kind == kind)
