"""The page in a real browser that can reach nobody: it draws, filters, fits a phone and prints."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: the page was not seen in a browser")

# Reports of the page itself, in an attribute: the markup that comes out is all that can be looked at.
TELL = """<script>addEventListener("load", () => setTimeout(() => {
  const root = document.documentElement;
  root.dataset.wide = root.scrollWidth > root.clientWidth ? "too wide" : "fits";
}, 1500));</script>"""


def browse(page: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None
    path = folder / "page.html"
    path.write_text(page, encoding="utf-8")
    return subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={folder / 'profile'}",
            "--enable-logging=stderr", "--virtual-time-budget=6000", *arguments, path.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip


def drawn(page: str, folder: Path, *arguments: str) -> str:
    """The markup after the scripts ran; no script complained."""
    done = browse(page, folder, "--dump-dom", *arguments)
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    return done.stdout


def board(dom: str) -> list[str]:
    """The handles on the board."""
    found = re.search(r'<table id="board".*?</table>', dom, re.DOTALL)
    assert found
    return re.findall(r'class="handle">@(\w+)<', found[0])


def shown(dom: str, section: str) -> set[str]:
    """Whose rows of a section are not hidden."""
    found = re.search(rf'<section id="{section}">.*?</section>', dom, re.DOTALL)
    assert found
    rows = re.findall(r'<(?:tr|article)[^>]*data-creator="(\w+)"([^>]*)>', found[0])
    return {creator for creator, rest in rows if "hidden" not in rest}


def test_it_draws_everything_without_a_network(page: str, tmp_path: Path) -> None:
    dom = drawn(page, tmp_path)
    assert board(dom)[:2] == ["max", "ann"]
    for chart in ("lifts", "heat", "credits"):
        figure = re.search(rf'<figure[^>]*id="chart-{chart}".*?</figure>', dom, re.DOTALL)
        assert figure
        assert figure[0].count("<path") > 5, chart
    assert "<title>TikTok Live brief" in dom
    assert "<img" not in re.sub(r"<script.*?</script>", "", dom, flags=re.DOTALL)


def test_a_niche_and_a_creator_can_be_chosen(page: str, tmp_path: Path) -> None:
    choose = """<script>addEventListener("load", () => {
      const niche = document.getElementById("niche");
      niche.value = "music"; niche.dispatchEvent(new Event("change"));
    });</script>"""
    dom = drawn(page + choose, tmp_path)
    assert shown(dom, "streams") == {"max", "zoe"}
    assert board(dom) == ["max", "zoe"]
    assert shown(dom, "live") == set()
    assert "Nobody here for this choice." in dom
    choose = """<script>addEventListener("load", () => {
      const creator = document.getElementById("creator");
      creator.value = "@ANN"; creator.dispatchEvent(new Event("input"));
    });</script>"""
    dom = drawn(page + choose, tmp_path)
    assert shown(dom, "streams") == {"ann"}
    assert board(dom) == ["ann"]


def test_it_fits_a_phone(page: str, tmp_path: Path) -> None:
    assert 'data-wide="fits"' in drawn(page + TELL, tmp_path, "--window-size=390,844")


def test_it_prints(page: str, tmp_path: Path) -> None:
    printed = tmp_path / "page.pdf"
    browse(page, tmp_path, f"--print-to-pdf={printed}")
    assert printed.read_bytes().startswith(b"%PDF")
    assert printed.stat().st_size > 50_000
