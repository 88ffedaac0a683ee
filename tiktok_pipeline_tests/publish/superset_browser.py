"""A headless Chromium that is logged in to Superset, over the browser's debugging protocol."""

from __future__ import annotations

import asyncio
import base64
import itertools
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
import httpx

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

# Every chart of the page has been drawn: none is loading, and the expected number exists.
_DRAWN = """
document.querySelectorAll('[data-test="chart-container"], .dashboard-chart').length >= %d
&& document.querySelectorAll('.loading, [data-test="loading-indicator"]').length === 0
"""
_SAID = "document.body.innerText"


def session_cookie(url: str, password: str) -> str:
    """Log in as `admin` in a browser, and return its cookie."""
    with httpx.Client(base_url=url, timeout=60) as http:
        page = http.get("/login/").text
        token = re.search(r'id="csrf_token"[^>]*value="([^"]+)"', page)
        form = {"username": "admin", "password": password, "csrf_token": token[1] if token else ""}
        http.post("/login/", data=form)
        return http.cookies["session"]


def screenshot(url: str, path: str, cookie: str, to: Path, *, charts: int, patience_s: float = 180) -> str:
    """Draw the page at 1400 by 2700 pixels, wait for its charts, write a PNG; return the text on the page."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = subprocess.Popen(
            [
                str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                "--remote-debugging-port=0", "--hide-scrollbars", "--window-size=1400,2700",
                f"--user-data-dir={profile}", "about:blank",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            port = _port(Path(profile) / "DevToolsActivePort")
            return asyncio.run(_draw(port, f"{url}{path}", cookie, to, charts, patience_s))
        finally:
            browser.terminate()
            browser.wait(30)


def _port(port_file: Path) -> int:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if port_file.exists() and port_file.read_text():
            return int(port_file.read_text().splitlines()[0])
        time.sleep(0.1)
    raise AssertionError("Chromium did not start")


async def _draw(port: int, address: str, cookie: str, to: Path, charts: int, patience_s: float) -> str:
    numbers = itertools.count(1)
    async with aiohttp.ClientSession() as http:
        async with http.get(f"http://127.0.0.1:{port}/json/list") as reply:
            page = next(target for target in await reply.json() if target["type"] == "page")
        async with http.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as socket:

            async def call(method: str, **parameters: Any) -> dict[str, Any]:
                number = next(numbers)
                await socket.send_json({"id": number, "method": method, "params": parameters})
                while True:
                    response: dict[str, Any] = await socket.receive_json()
                    if response.get("id") == number:
                        result: dict[str, Any] = response.get("result", {})
                        return result

            async def value(expression: str) -> Any:
                response = await call("Runtime.evaluate", expression=expression, returnByValue=True)
                return response.get("result", {}).get("value")

            await call("Network.setCookie", name="session", value=cookie, url=address)
            await call("Page.navigate", url=address)
            until = time.monotonic() + patience_s
            while not await value(_DRAWN % charts):
                assert time.monotonic() < until, f"not drawn: {str(await value(_SAID))[:300]}"
                await asyncio.sleep(1)
            await asyncio.sleep(3)  # Lines and bars are animated.
            shot = await call("Page.captureScreenshot", format="png")
            to.write_bytes(base64.b64decode(shot["data"]))
            return str(await value(_SAID))
