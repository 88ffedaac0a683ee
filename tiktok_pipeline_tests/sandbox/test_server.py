"""The sandbox over real HTTP, in its own process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
import pytest

import tiktok_pipeline
from tiktok_pipeline.sandbox.server import RunningSandbox, build_app, start_in_process
from tiktok_pipeline.sandbox.world import World
from tiktok_pipeline_tests.sandbox.conftest import KEYS, START, Asker

PATIENCE_S = 10.0


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with start_in_process(creators=12, start=START) as running:
        yield running


@pytest.fixture(scope="module")
def client(sandbox: RunningSandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sandbox.url) as client:
        yield client


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_http_responses_equal_those_of_the_callable(client: httpx.Client, sandbox: RunningSandbox) -> None:
    ask = Asker(build_app(World(seed=7, creators=12, start=START)))
    at = START + timedelta(days=2, hours=19)
    for creator in sandbox.world.creators:
        path = f"/social-fetch/v1/tiktok/profiles/{creator.handle}/live"
        reply = client.get(path, headers=KEYS["social-fetch"] | {"X-Replay-At": at.isoformat()})
        assert reply.content == ask(path, at).body


def test_the_environment_points_the_pipeline_to_the_sandbox(client: httpx.Client, sandbox: RunningSandbox) -> None:
    names = set(sandbox.environment)
    assert {f"{vendor}_BASE_URL" for vendor in ("KONBINI", "SOCIAL_FETCH", "TIKLIVEAPI", "TIKHUB")} < names
    base, key = sandbox.environment["SOCIAL_FETCH_BASE_URL"], sandbox.environment["SOCIAL_FETCH_API_KEY"]
    assert client.get(f"{base}/v1/balance", headers={"x-api-key": key}).status_code == 200
    login = (sandbox.environment["TIKHUB_USERNAME"], sandbox.environment["TIKHUB_PASSWORD"])
    reply = client.get(f"{sandbox.environment['TIKHUB_BASE_URL']}/api/v1//live/info?room_id=1&user_id=1", auth=login)
    assert reply.json()["data"]["status_code"] == 10011


def test_the_date_header_is_of_the_requested_instant(client: httpx.Client) -> None:
    at = START + timedelta(days=9)
    reply = client.get("/social-fetch/health", headers=KEYS["social-fetch"] | {"X-Replay-At": at.isoformat()})
    assert parsedate_to_datetime(reply.headers["date"]) == at


@pytest.mark.parametrize("value", ["now", "2026-03-02T00:00:00", "\u00a0".encode("latin-1")])
def test_an_unreadable_instant_is_refused(client: httpx.Client, value: str | bytes) -> None:
    assert client.get("/truth/now", headers={"X-Replay-At": value}).status_code == 400


def test_without_an_instant_the_sandbox_clock_runs_at_the_given_speed() -> None:
    with start_in_process(creators=1, start=START, speed=3600.0) as fast, httpx.Client(base_url=fast.url) as client:
        began = time.monotonic()
        first = datetime.fromisoformat(client.get("/truth/now").json()[0]["now"])
        time.sleep(0.2)
        second = datetime.fromisoformat(client.get("/truth/now").json()[0]["now"])
        elapsed = time.monotonic() - began
    assert first >= START
    assert 0.2 * 3600 <= (second - first).total_seconds() <= elapsed * 3600


def test_a_cut_connection_reaches_the_client_as_a_network_error() -> None:
    cut = other = 0
    with start_in_process(creators=1, start=START, faults="down-tikliveapi") as down:
        for number in range(30):
            at = (START + timedelta(seconds=number)).isoformat()
            try:
                reply = httpx.get(
                    f"{down.url}/tikliveapi/userid/?username=x", headers=KEYS["tikliveapi"] | {"X-Replay-At": at}
                )
                assert reply.status_code >= 500
                other += 1
            except httpx.TransportError:
                cut += 1
        row = httpx.get(f"{down.url}/truth/ledger").json()[0]
    assert cut > 0
    assert other > 0
    assert row["by_status"]["0"] == cut


def test_the_server_stops_at_the_end_of_the_block() -> None:
    with start_in_process(creators=1, start=START) as running:
        port = int(running.url.rpartition(":")[2])
        assert is_listening(port)
    assert not is_listening(port)


def test_the_server_does_not_outlive_a_killed_parent() -> None:
    program = (
        "import sys, time\n"
        "from tiktok_pipeline.sandbox.server import start_in_process\n"
        "with start_in_process(creators=1) as running:\n"
        "    print(running.url.rpartition(':')[2], flush=True)\n"
        "    time.sleep(60)\n"
    )
    root = str(Path(tiktok_pipeline.__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": root}
    ) as parent:
        assert parent.stdout is not None
        port = int(parent.stdout.readline())
        assert is_listening(port)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE_S
    while is_listening(port) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_listening(port)


def test_a_failed_start_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="did not start"), start_in_process(faults="awful"):
        pass
