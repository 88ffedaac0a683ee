"""Measure requests a second, and CPU a request, of the capture client against the sandbox.

Peers in the same run: a stock httpx client that only requests; a `requests` session whose responses become a pandas
frame and a Parquet file, if pandas is installed (it is no dependency). Compare the latter with the sweep: redacted,
judged, and landed as raw rows. Quote the ratios: the machine is shared. CPU is this process's; the sandbox has its own.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import httpx
import requests

from tiktok_pipeline.capture import window
from tiktok_pipeline.capture.client import open_client
from tiktok_pipeline.capture.clock import RealClock, hours_between
from tiktok_pipeline.capture.deployment import Deployment
from tiktok_pipeline.capture.landing import Attempt
from tiktok_pipeline.capture.replay import replay_hours
from tiktok_pipeline.config.access import accesses
from tiktok_pipeline.config.settings import Settings
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.providers.social_fetch import LIVE
from tiktok_pipeline.providers.vendor import Limits, Target
from tiktok_pipeline.sandbox.server import RunningSandbox, start_in_process
from tiktok_pipeline.tables import RAW_LIVES

REQUESTS = 3_000
IN_FLIGHT = 32
ROUNDS = 2
START = datetime(2026, 3, 2, tzinfo=UTC)


def measured(name: str, number: int, run: Callable[[], object], baseline: float | None = None) -> float:
    """Run, and print requests a second of wall and of CPU time; return the CPU a request in microseconds."""
    best = None
    for _ in range(ROUNDS):
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        took = (time.process_time() - cpu) / number * 1e6, (time.perf_counter() - wall) / number * 1e6
        best = min(best, took) if best else took
    assert best is not None
    ratio = f"{baseline / best[0]:5.1f}x less CPU than stock httpx" if baseline else ""
    print(f"{name:<44} {1e6 / best[1]:7,.0f} requests/s {best[0]:8,.0f} us CPU a request  {ratio}")
    return best[0]


def stock(sandbox: RunningSandbox, handles: list[str]) -> None:
    """Run a plain httpx client, as most scripts use it."""

    async def main() -> None:
        async with httpx.AsyncClient(headers={"x-api-key": sandbox.environment["SOCIAL_FETCH_API_KEY"]}) as client:
            gate = asyncio.Semaphore(IN_FLIGHT)

            async def request(handle: str) -> None:
                async with gate:
                    response = await client.get(
                        sandbox.environment["SOCIAL_FETCH_BASE_URL"] + LIVE.format(handle=handle)
                    )
                    assert response.status_code == 200

            await asyncio.gather(*(request(handle) for handle in handles))

    asyncio.run(main())


def with_pandas(sandbox: RunningSandbox, handles: list[str]) -> None:
    """Run a `requests` session, one request after the other; decode bodies into a pandas frame, written as Parquet."""
    import pandas as pd  # noqa: PLC0415 - optional

    base, rows = sandbox.environment["SOCIAL_FETCH_BASE_URL"], []
    with requests.Session() as session:
        session.headers["x-api-key"] = sandbox.environment["SOCIAL_FETCH_API_KEY"]
        for handle in handles:
            response = session.get(base + LIVE.format(handle=handle), timeout=20)
            rows.append({"handle": handle, "status": response.status_code, **response.json()["data"]})
    frame = pd.json_normalize(rows)
    with tempfile.TemporaryDirectory() as folder:
        frame.astype(str).to_parquet(Path(folder) / "lives.parquet")


def sweep(sandbox: RunningSandbox, handles: list[str]) -> None:
    """Run a sweep on the real clock, as a run of `raw_lives` does: all that `ours` does, and raw rows landed."""
    limits = Limits(requests_per_second=1e6, max_in_flight=IN_FLIGHT)
    settings = Settings(vendors=Settings().vendors | {"social_fetch": limits})
    with tempfile.TemporaryDirectory() as folder:
        targets = [Target(handle, handle) for handle in handles]
        here = Deployment(Lake(Path(folder)), settings, accesses(sandbox.environment), targets)
        assert window.sweep_now(here, RAW_LIVES, RealClock(), "benchmark").rows == len(handles)


def ours(sandbox: RunningSandbox, handles: list[str]) -> None:
    """Run the capture client on the real clock: rate limit, circuit, redaction, verdicts and rows, with high limits."""
    limits = Limits(requests_per_second=1e6, max_in_flight=IN_FLIGHT)
    settings = Settings(vendors=Settings().vendors | {"social_fetch": limits})
    landed: list[Attempt] = []

    async def main() -> None:
        async with open_client(accesses(sandbox.environment), settings, RealClock(), landed.append) as client:
            requests: list[Awaitable[object]] = [client.request("live", Target(h, h)) for h in handles]
            await asyncio.gather(*requests)

    window._run_loop(main)  # type: ignore[arg-type]
    assert len(landed) == len(handles)


def replay(sandbox: RunningSandbox, handles: list[str]) -> int:
    """Run a replayed watch with landing; return the number of requests."""
    with tempfile.TemporaryDirectory() as folder:
        here = Deployment(
            Lake(Path(folder)), Settings(), accesses(sandbox.environment), [Target(h, h) for h in sorted(set(handles))]
        )
        hours = hours_between(START, START + timedelta(hours=12))
        return replay_hours(here, RAW_LIVES, hours, kind="watch").tally.requests


def main() -> None:
    """Print the table."""
    with start_in_process(creators=20, start=START) as sandbox:
        public = [creator.handle for creator in sandbox.world.creators if creator.kind == "public"]
        handles = [public[n % len(public)] for n in range(REQUESTS)]
        replay(sandbox, handles)  # Warm up: the world is generated at its first use.
        baseline = measured(f"stock httpx, {IN_FLIGHT} in flight", REQUESTS // 4, lambda: stock(sandbox, handles[::4]))
        measured(f"capture client, {IN_FLIGHT} in flight", REQUESTS, lambda: ours(sandbox, handles), baseline)
        measured("sweep, landing included", REQUESTS, lambda: sweep(sandbox, handles), baseline)
        if find_spec("pandas"):
            name = "requests + pandas, Parquet included"
            measured(name, REQUESTS // 4, lambda: with_pandas(sandbox, handles[::4]), baseline)
        made = replay(sandbox, handles)
        measured("replayed watch, landing included", made, lambda: replay(sandbox, handles), baseline)


if __name__ == "__main__":
    main()
