"""The page in a real browser without a network: it draws, filters, fits a phone, prints, and runs no foreign script."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tiktok_pipeline.publish.report.page import content_security_policy

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: the page was not seen in a browser")

# The page reports its own state in an attribute, because the test can only read the resulting markup.
TELL = """addEventListener("load", () => setTimeout(() => {
  const root = document.documentElement;
  root.dataset.wide = root.scrollWidth > root.clientWidth ? "too wide" : "fits";
}, 1500));"""


def with_script(page: str, script: str) -> str:
    """Return the page with an extra script that its policy allows."""
    (allowed,) = re.findall("'sha256-[^']+'", content_security_policy(scripts=[script], styles=[]))
    return page.replace("script-src ", f"script-src {allowed} ", 1) + f"<script>{script}</script>"


def browse(page: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None
    folder.mkdir(exist_ok=True)
    path = folder / "page.html"
    path.write_text(page, encoding="utf-8")
    return subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", f"--user-data-dir={folder / 'profile'}",
            "--enable-logging=stderr", "--virtual-time-budget=6000", *arguments, path.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip


def drawn(page: str, folder: Path, *arguments: str) -> str:
    """Return the markup after the scripts ran without an error."""
    done = browse(page, folder, "--dump-dom", *arguments)
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    return done.stdout


def board(dom: str) -> list[str]:
    """Return the handles on the board."""
    found = re.search(r'<table id="board".*?</table>', dom, re.DOTALL)
    assert found
    return re.findall(r'class="handle">@(\w+)<', found[0])


def shown(dom: str, section: str) -> set[str]:
    """Return the creators of a section's visible rows."""
    found = re.search(rf'<section id="{section}">.*?</section>', dom, re.DOTALL)
    assert found
    rows = re.findall(r'<(?:tr|article)[^>]*data-creator="(\w+)"([^>]*)>', found[0])
    return {creator for creator, rest in rows if "hidden" not in rest}


def test_the_page_draws_every_chart_without_a_network(page: str, tmp_path: Path) -> None:
    dom = drawn(page, tmp_path)
    assert board(dom)[:2] == ["max", "ann"]
    for chart in ("lifts", "heat", "credits"):
        figure = re.search(rf'<figure[^>]*id="chart-{chart}".*?</figure>', dom, re.DOTALL)
        assert figure
        assert figure[0].count("<path") > 5, chart
    assert "<title>TikTok Live brief" in dom
    assert "<img" not in re.sub(r"<script.*?</script>", "", dom, flags=re.DOTALL)


def test_a_niche_and_a_creator_can_be_chosen(page: str, tmp_path: Path) -> None:
    choose = """addEventListener("load", () => {
      const niche = document.getElementById("niche");
      niche.value = "music"; niche.dispatchEvent(new Event("change"));
    });"""
    dom = drawn(with_script(page, choose), tmp_path)
    assert shown(dom, "streams") == {"max", "zoe"}
    assert board(dom) == ["max", "zoe"]
    assert shown(dom, "live") == set()
    assert "No creator matches this filter." in dom
    choose = """addEventListener("load", () => {
      const creator = document.getElementById("creator");
      creator.value = "@ANN"; creator.dispatchEvent(new Event("input"));
    });"""
    dom = drawn(with_script(page, choose), tmp_path)
    assert shown(dom, "streams") == {"ann"}
    assert board(dom) == ["ann"]


def test_the_page_fits_a_phone(page: str, tmp_path: Path) -> None:
    assert 'data-wide="fits"' in drawn(with_script(page, TELL), tmp_path, "--window-size=390,844")


def test_the_page_prints(page: str, tmp_path: Path) -> None:
    printed = tmp_path / "page.pdf"
    browse(page, tmp_path, f"--print-to-pdf={printed}")
    assert printed.read_bytes().startswith(b"%PDF")
    assert printed.stat().st_size > 50_000


def test_a_chart_has_a_tooltip(page: str, tmp_path: Path) -> None:
    """Vega interprets its expressions, because the policy forbids code from text."""
    point = """addEventListener("load", () => setTimeout(() => {
      const mark = document.querySelector("#chart-lifts .mark-symbol path");
      for (const kind of ["pointerover", "mouseover", "pointermove", "mousemove"])
        mark.dispatchEvent(new MouseEvent(kind, { bubbles: true, clientX: 300, clientY: 300 }));
    }, 1500));"""
    dom = drawn(with_script(page, point), tmp_path)
    assert re.search(r'<div class="tip"[^>]*>@\w+, [^<]*followers', dom)


class Server(ThreadingHTTPServer):
    """A server on this machine that counts requests."""

    requested: list[str]


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert isinstance(self.server, Server)
            self.server.requested.append(self.path)
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    server.requested = []
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def attack(url: str) -> str:
    """Return markup as after a missing escape of a name; each part sets an attribute or makes a request."""
    own = "top.document.documentElement.dataset.owned = (top.document.documentElement.dataset.owned || ``) + "
    return f"""
    <script>{own} "script "</script>
    <script src="{url}/script"></script>
    <script type="module">{own} "module "; import("{url}/import");</script>
    <img src="x:" onerror='{own} "onerror "'>
    <img src="{url}/image">
    <svg onload='{own} "onload "'><image href="{url}/svg-image"></image></svg>
    <a id="link" href='javascript:void({own} "href ")'>x</a>
    <button id="button" onclick='{own} "onclick "'>x</button>
    <iframe srcdoc='<script>{own} "srcdoc "</script>'></iframe>
    <iframe src='javascript:void({own} "frame ")'></iframe>
    <iframe src="{url}/frame"></iframe>
    <object data="{url}/object"></object><embed src="{url}/embed">
    <link rel="stylesheet" href="{url}/stylesheet"><link rel="preload" as="image" href="{url}/preload">
    <link rel="prefetch" href="{url}/prefetch">
    <style>@import "{url}/import-style"; body {{ background: url("{url}/background") }}</style>
    <p style="background: url('{url}/attribute')">x</p>
    <video src="{url}/video" poster="{url}/poster"></video><audio src="{url}/audio"></audio>
    <form id="form" action="{url}/form"><input name="a"></form>
    <base href="{url}/base/">
    """


CLICKS = """addEventListener("load", () => {
  for (const id of ["link", "button"]) document.getElementById(id).click();
  const root = document.documentElement;
  try { eval("root.dataset.eval = 'eval'"); } catch { root.dataset.eval = "refused"; }
  fetch(URL_OF_SERVER + "/fetch").catch(() => {});
  navigator.sendBeacon(URL_OF_SERVER + "/beacon");
  new Image().src = URL_OF_SERVER + "/new-image";
  try { new Worker("data:,"); } catch { }
  document.getElementById("form").submit();
});"""


def test_markup_of_a_creator_runs_nothing_and_makes_no_request(page: str, server: Server, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{server.server_port}"
    attacked = with_script(page, CLICKS.replace("URL_OF_SERVER", f'"{url}"')).replace("<main", attack(url) + "<main", 1)
    dom = browse(attacked, tmp_path, "--dump-dom").stdout
    assert (owned(dom), server.requested) == (set(), [])
    assert 'data-eval="refused"' in dom
    assert board(dom)[:2] == ["max", "ann"], "the page itself works on"

    # The attack is a real one: on a page without the policy it works. Parts that keep Chromium waiting are left out.
    quick = [line for line in attack(url).splitlines() if not re.search("<(iframe src=|object|video|form)", line)]
    clicks = CLICKS.replace("URL_OF_SERVER", f'"{url}"').replace('document.getElementById("form").submit();', "")
    bare = f"<!DOCTYPE html><html><body>{''.join(quick)}<script>{clicks}</script></body></html>"
    dom = browse(bare, tmp_path / "bare", "--dump-dom").stdout
    assert owned(dom) == {"script", "module", "onerror", "onload", "href", "onclick", "srcdoc"}
    assert 'data-eval="eval"' in dom
    assert {"/script", "/import", "/image", "/stylesheet", "/background", "/attribute", "/fetch", "/new-image"} <= set(
        server.requested
    )


def owned(dom: str) -> set[str]:
    """Return the parts that ran: each adds its name to an attribute of the root element."""
    root = re.search(r"<html[^>]*>", dom)
    assert root
    found = re.search(r'data-owned="([^"]*)"', root[0])
    return set(found[1].split()) if found else set()


def test_a_name_with_a_script_is_shown_as_text_and_makes_no_request(page: str, server: Server, tmp_path: Path) -> None:
    """What the page makes of the hostile creator of the test roster, as it is published."""
    dom = drawn(page, tmp_path)
    assert "broken" not in re.findall(r"<title>(.*?)</title>", dom)[0]
    assert server.requested == []
