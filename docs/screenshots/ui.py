"""Pictures of the Dagster UI for the docs: `python docs/screenshots/ui.py`, with Chromium installed.

Makes a demo in a temporary home, serves the UI on a free port with `tiktok-pipeline dev`, waits until schedules have
run, and photographs what an operator looks at.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import httpx

HERE = Path(__file__).parent
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

# How long anything may take; how many runs of `derive` are waited for; what charts and graphs take to come to rest.
_PATIENCE_S, _RUNS, _RESTING_S = 600, 4, 4

# More days than the demo's own, for plots with something in them.
_DAYS = 14

# Click the innermost element with exactly this text; return whether there is one.
_PRESS = """
(text => {
  const elements = [...document.querySelectorAll('button, a, span, div, label')];
  const matches = elements.filter(e => e.innerText?.trim() === text);
  matches.at(-1)?.click();
  return matches.length > 0;
})
"""


@dataclass(frozen=True)
class Picture:
    """One page: its path, the texts to click in turn, the text that it then shows, width and height in pixels."""

    path: str
    shows: str
    width: int
    height: int
    press: tuple[str, ...] = ()
    # Of the UI at the cadence of production, not of the world that runs at many times real speed.
    real_cadence: bool = False


PICTURES = {
    "ui-lineage.png": Picture("/asset-groups", "normalized", 1650, 600),
    "ui-asset.png": Picture("/assets/stream_lift", "zero;", 1700, 1200, ("Columns",)),
    "ui-columns.png": Picture("/assets/stream_lift", "Last follower count", 1400, 1000),
    "ui-plots.png": Picture("/assets/streams", "median_detection_delay_s", 1400, 1350, ("Columns", "Plots")),
    "ui-checks.png": Picture("/assets/stream_lift?view=checks", "rules hold", 1400, 800),
    "ui-automation.png": Picture("/automation", "sweep_stories", 1400, 960, real_cadence=True),
    "ui-runs.png": Picture("/runs", "derive", 1400, 900),
}


def main() -> None:
    """Take every picture, or those that are named."""
    if CHROMIUM is None:
        sys.exit("Chromium is needed")
    wanted = sys.argv[1:] or list(PICTURES)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, _services(Path(folder)) as urls:
        asyncio.run(_take_all(urls, wanted))


@contextmanager
def _services(folder: Path) -> Iterator[tuple[str, str]]:
    """A demo, the UI on it with its schedules running at sixty times real speed, and one at real cadence."""
    home = folder / "home"
    environment = {**os.environ, "TIKTOK_PIPELINE_HOME": str(home)}
    environment.pop("DAGSTER_HOME", None)
    here = Path(sys.executable).parent
    subprocess.run([here / "tiktok-pipeline", "demo", "--days", str(_DAYS)], env=environment, check=True)
    dev, web = _free_port(), _free_port()
    with (
        _running([here / "tiktok-pipeline", "dev", "--port", str(dev)], environment),
        _running(
            [
                here / "dagster-webserver",
                "--module-name",
                "tiktok_pipeline.definitions",
                "--host",
                "127.0.0.1",
                "--port",
                str(web),
            ],
            environment | {"TIKTOK_PIPELINE_SCHEDULES": "on", "DAGSTER_HOME": str(home / "dagster")},
        ),
    ):
        urls = f"http://127.0.0.1:{dev}", f"http://127.0.0.1:{web}"
        for url in urls:
            _wait_for_runs(url)
        yield urls


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


@contextmanager
def _running(command: list[Path | str], environment: dict[str, str]) -> Iterator[None]:
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as service:
        try:
            yield
        finally:
            service.terminate()
            service.wait(90)


def _wait_for_runs(url: str) -> None:
    """Until some runs of `derive` have succeeded, the demo's own among them."""
    query = '{ runsOrError(filter: {pipelineName: "derive", statuses: [SUCCESS]}) { ... on Runs { count } } }'
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until:
        with contextlib.suppress(httpx.TransportError):
            reply = httpx.post(f"{url}/graphql", json={"query": query}, timeout=20).json()
            if reply["data"]["runsOrError"]["count"] >= _RUNS:
                return
        time.sleep(2)
    raise AssertionError(f"{_RUNS} runs of derive were not seen at {url}")


async def _take_all(urls: tuple[str, str], names: list[str]) -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = subprocess.Popen(
            [
                str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                "--remote-debugging-port=0", "--hide-scrollbars", f"--user-data-dir={profile}", "about:blank",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            port_file = Path(profile) / "DevToolsActivePort"
            while not port_file.exists() or not port_file.read_text():
                await asyncio.sleep(0.1)
            port = int(port_file.read_text().splitlines()[0])
            async with aiohttp.ClientSession() as http:
                async with http.get(f"http://127.0.0.1:{port}/json/list") as answer:
                    page = next(target for target in await answer.json() if target["type"] == "page")
                async with http.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as socket_:
                    for name in names:
                        picture = PICTURES[name]
                        await _take(_Tab(socket_), urls[picture.real_cadence], picture, HERE / name)
        finally:
            browser.terminate()
            browser.wait(30)


class _Tab:
    """A page of the browser, over its debugging protocol."""

    def __init__(self, socket_: aiohttp.ClientWebSocketResponse) -> None:
        self._socket, self._numbers = socket_, itertools.count(1)

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            reply: dict[str, Any] = await self._socket.receive_json()
            if reply.get("id") == number:
                result: dict[str, Any] = reply.get("result", {})
                return result

    async def value(self, expression: str) -> Any:
        reply = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return reply.get("result", {}).get("value")

    async def until(self, expression: str) -> None:
        end = time.monotonic() + _PATIENCE_S
        while not await self.value(expression):
            assert time.monotonic() < end, f"{expression}: {str(await self.value('document.body.innerText'))[:500]}"
            await asyncio.sleep(0.5)


async def _take(tab: _Tab, url: str, picture: Picture, to: Path) -> None:
    await tab.call(
        "Emulation.setDeviceMetricsOverride",
        width=picture.width, height=picture.height, deviceScaleFactor=1, mobile=False,
    )  # fmt: skip
    # The browser keeps the folded sections and choices of the previous page.
    await tab.call("Storage.clearDataForOrigin", origin=url, storageTypes="all")
    await tab.call("Page.navigate", url=f"{url}{picture.path}")
    for text in picture.press:
        await tab.until(f"{_PRESS}({text!r})")
        await asyncio.sleep(1)
    await tab.until(f"document.body.innerText.includes({picture.shows!r})")
    await asyncio.sleep(_RESTING_S)
    shot = await tab.call("Page.captureScreenshot", format="png")
    to.write_bytes(base64.b64decode(shot["data"]))
    print(f"{to}: {to.stat().st_size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
