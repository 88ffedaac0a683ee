"""Fake vendors (a function from request to response), and a deployment that polls them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx

from tiktok_pipeline.capture.deployment import Deployment
from tiktok_pipeline.config.access import Access
from tiktok_pipeline.config.settings import Settings
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.providers import VENDORS
from tiktok_pipeline.providers.vendor import Target
from tiktok_pipeline_tests.providers import bodies

START = datetime(2026, 11, 2, 10, tzinfo=UTC)

MIRA = Target("mira.paints", "mira.paints")

Handler = Callable[[httpx.Request], httpx.Response]

KEYS = {
    name: Access(vendor, f"https://{name}.example", tuple("sandbox-secret" for _ in vendor.credential_variables))
    for name, vendor in VENDORS.items()
}


def respond(status: int, body: bytes, **headers: str) -> httpx.Response:
    return httpx.Response(status, content=body, headers={k.replace("_", "-"): v for k, v in headers.items()})


def at(request: httpx.Request) -> datetime:
    return datetime.fromisoformat(request.headers["x-replay-at"])


def deployment(folder: Path, handler: Handler, targets: list[Target], **settings: object) -> Deployment:
    return Deployment(
        Lake(folder),
        Settings(**settings),  # type: ignore[arg-type]
        KEYS,
        targets,
        run_id="run-1",
        transport=httpx.MockTransport(handler),
    )


def live_from(start: datetime, end: datetime) -> Handler:
    """Return a vendor that reports Mira live in [start, end)."""

    def handle(request: httpx.Request) -> httpx.Response:
        on_air = start <= at(request) < end
        if "tikhub" in request.url.host:
            return respond(200, bodies.room_body(bodies.room(2 if on_air else 4)))
        return respond(200, bodies.fetch_ok(bodies.fetch_live("live" if on_air else "offline")))

    return handle
