"""Open a page of the report in a headless Chromium that has no network, and read what its scripts made of it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from tiktok_pipeline.publish.report.page import content_security_policy

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium is installed: the page was not seen in a browser"
)


def with_script(page: str, script: str) -> str:
    """Return the page with an extra script that its policy allows."""
    (allowed,) = re.findall("'sha256-[^']+'", content_security_policy(scripts=[script], styles=[]))
    return page.replace("script-src ", f"script-src {allowed} ", 1) + f"<script>{script}</script>"


def browse(page: str, folder: Path, *arguments: str, fragment: str = "") -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None
    folder.mkdir(exist_ok=True)
    path = folder / "page.html"
    path.write_text(page, encoding="utf-8")
    return subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", f"--user-data-dir={folder / 'profile'}",
            "--enable-logging=stderr", "--virtual-time-budget=6000", *arguments, path.as_uri() + fragment,
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip


def drawn(page: str, folder: Path, *arguments: str, fragment: str = "") -> str:
    """Return the markup after the scripts ran without an error."""
    done = browse(page, folder, "--dump-dom", *arguments, fragment=fragment)
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    return done.stdout


def told(page: str, folder: Path, script: str, *arguments: str, fragment: str = "") -> Any:
    """Return what the body of an async function in the page returns.

    The answer leaves the page in an attribute, because only the resulting markup can be read.
    """
    tell = f"""addEventListener("load", async () => {{
      const answer = await (async () => {{ {script} }})();
      document.documentElement.dataset.answer = encodeURIComponent(JSON.stringify(answer));
    }});"""
    dom = drawn(with_script(page, tell), folder, *arguments, fragment=fragment)
    found = re.search(r'<html[^>]*data-answer="([^"]*)"', dom)
    assert found, "the script did not come to its end"
    return json.loads(unquote(found[1]))
