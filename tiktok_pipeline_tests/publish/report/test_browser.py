"""The page in a real browser without a network: it draws, filters, fits a phone, prints, and runs no foreign script."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import duckdb
import polars as pl
import pytest

from tiktok_pipeline.publish import formats
from tiktok_pipeline.publish.report.brief import Brief, read_brief
from tiktok_pipeline.publish.report.page import render
from tiktok_pipeline.publish.report.sections import KINDS
from tiktok_pipeline_tests.publish.report.browsing import browse, drawn, needs_chromium, told, with_script
from tiktok_pipeline_tests.publish.report.rosters import HOSTILE

pytestmark = needs_chromium

# The page reports its own state in an attribute, because the test can only read the resulting markup.
TELL = """addEventListener("load", () => setTimeout(() => {
  const root = document.documentElement;
  root.dataset.wide = root.scrollWidth > root.clientWidth ? "too wide" : "fits";
}, 1500));"""


def board(dom: str) -> list[str]:
    """Return the handles on the board."""
    found = re.search(r'<table id="board".*?</table>', dom, re.DOTALL)
    assert found
    return re.findall(r'class="handle[^"]*"[^>]*>@(\w+)<', found[0])


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
    assert "music: not on air at 20:00 UTC." in dom
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
    assert re.search(r'<div class="tip"[^>]*>@\w+ · [^<]*followers', dom)


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


def test_the_filter_stands_in_the_address_and_a_link_opens_it(page: str, tmp_path: Path) -> None:
    read = """const at = (id) => document.getElementById(id);
      const before = [at("niche").value, at("creator").value, [...document.querySelectorAll("#table-streams tbody tr")].map((row) => row.dataset.creator)];
      at("niche").value = "art"; at("creator").value = "@Eve"; at("creator").oninput();
      const address = location.hash;
      document.querySelector(".tile .term").click();
      await new Promise((done) => setTimeout(done, 50));
      const kept = [at("creator").value, location.hash, document.querySelectorAll(".sought").length];
      at("clear").click();
      return { before, address, kept, cleared: location.hash };"""  # noqa: E501
    answer = told(page, tmp_path, read, fragment="#niche=music&creator=zoe")
    assert answer["before"] == ["music", "zoe", ["zoe"]]
    assert answer["address"] == "#niche=art&creator=eve"
    assert answer["kept"] == ["@Eve", answer["address"], 1], "a link to an explanation leaves the filter unchanged"
    assert answer["cleared"] == ""


HOSTILE_NICHE = "a&b=c#</option><script>document.title='broken'</script>*'"


def test_a_niche_with_markup_can_be_chosen(snapshot: Path, tmp_path: Path) -> None:
    changed = tmp_path / "tiktok.duckdb"
    changed.write_bytes(snapshot.read_bytes())
    changed.chmod(0o644)
    with duckdb.connect(str(changed)) as connection:
        connection.execute("UPDATE creators SET niche = ? WHERE niche = 'music'", [HOSTILE_NICHE])
        connection.execute("UPDATE leaderboard SET niche = ? WHERE niche = 'music'", [HOSTILE_NICHE])
        connection.execute("UPDATE creators SET niche = '__proto__' WHERE niche = 'talk'")
        connection.execute("UPDATE leaderboard SET niche = '__proto__' WHERE niche = 'talk'")
    read = """const at = (id) => document.getElementById(id), seen = {};
      for (const option of [...at("niche").options]) {
        at("niche").value = option.value; at("niche").onchange();
        const hash = location.hash; at("clear").click(); location.hash = hash;
        await new Promise((done) => setTimeout(done, 20));
        seen[" " + option.value] = [at("niche").value === option.value,
          at("tile-streams").querySelector(".big").textContent,
          [...document.querySelectorAll("#board tbody tr")].length, document.title];
      }
      return seen;"""
    seen = told(render(read_brief(changed)), tmp_path / "browser", read)
    assert {niche: row[:3] for niche, row in seen.items()} == {
        " ": [True, "6", 5], " art": [True, "3", 2], f" {HOSTILE_NICHE}": [True, "2", 2], " __proto__": [True, "1", 1],
    }  # fmt: skip
    assert all(row[3].startswith("TikTok Live brief") for row in seen.values())


@pytest.mark.parametrize(
    "fragment",
    [
        "#niche=%3Cimg%20src=x%20onerror=alert(1)%3E&creator=%3Cscript%3Edocument.title='broken'%3C/script%3E",
        "#niche=__proto__&creator=constructor",
        "#creator=%E0%A4%A",
        "#=&&==&creator=" + "x" * 5_000,
    ],
)
def test_a_hostile_address_is_text(fragment: str, page: str, tmp_path: Path) -> None:
    read = """return { text: document.getElementById("nobody").textContent, title: document.title,
      niche: document.getElementById("niche").value, made: document.querySelectorAll("img, script").length };"""
    answer = told(page, tmp_path, read, fragment=fragment)
    assert answer["title"].startswith("TikTok Live brief")
    assert (answer["niche"], answer["made"]) == ("", 4)
    assert answer["text"].startswith("No creator matches “")
    assert len(answer["text"]) < 200


def test_tables_sort_and_are_saved_as_they_are_shown(page: str, tmp_path: Path) -> None:
    read = """const blobs = [];
      URL.createObjectURL = (blob) => { blobs.push(blob); return "#"; };
      const sort = (n) => document.querySelectorAll("#table-streams thead th")[n].querySelector(".sort").click();
      const creators = () => [...document.querySelectorAll("#table-streams tbody tr")].map((row) => row.dataset.creator);
      const orders = [creators()];
      sort(4); orders.push(creators()); sort(4); orders.push(creators()); sort(0); orders.push(creators());
      const sorted = document.querySelectorAll("#table-streams th[aria-sort]").length;
      for (const button of document.querySelectorAll(".save:not([hidden])")) button.click();
      return { orders, sorted, texts: await Promise.all(blobs.map(async (blob) => [...new Uint8Array(await blob.arrayBuffer())])) };"""  # noqa: E501
    answer = told(page, tmp_path, read)
    newest, most, least, by_name = answer["orders"]
    assert newest[0] == "ann"
    assert most[0] == least[-1] == "max"
    # Names, not handles: the hostile name begins with a sign.
    assert by_name[0] == "eve"
    assert answer["sorted"] == 1
    assert len(answer["texts"]) >= 6
    for encoded in answer["texts"]:
        text = bytes(encoded).decode("utf-8")
        assert text.startswith("\ufeff")
        rows = list(csv.reader(io.StringIO(text[1:])))
        assert len({len(row) for row in rows}) == 1
        assert len(rows) > 1
    texts = ["".join(map(chr, encoded)) for encoded in answer["texts"]]
    streams = next(
        text for text in texts if "airtime_s" in text and "started_at" in text and "lift_interval_lo" in text
    )
    assert HOSTILE in {row[1] for row in csv.reader(io.StringIO(streams[3:]))}


FORMULAS = ["=1+1", "+1", "-2+3", "@SUM(A1)", "  =cmd|' /C calc'!A0", "\t=1", "＝1", "\u202e=1", "7707928454687123167", "0012", "12e5"]  # fmt: skip # noqa: E501


def test_a_formula_of_a_creator_is_text_in_a_csv(brief: Brief, tmp_path: Path) -> None:
    read = """const blobs = [];
      URL.createObjectURL = (blob) => { blobs.push(blob); return "#"; };
      document.querySelector('.save[data-table="coverage"]').click();
      return blobs[0].text();"""
    for start in range(0, len(FORMULAS), 6):
        texts = FORMULAS[start : start + 6]
        creators = brief.creators.head(len(texts)).with_columns(display_name=pl.Series(texts))
        people = pl.concat([creators, brief.creators.tail(brief.creators.height - len(texts))])
        page = render(dataclasses.replace(brief, creators=people))
        text = told(page, tmp_path / str(start), read).lstrip("\ufeff")
        rows = {row["display_name"] for row in csv.DictReader(io.StringIO(text, newline=""))}
        assert {"'" + each for each in texts} <= rows


def test_the_script_writes_what_the_template_writes(page: str, tmp_path: Path) -> None:
    """Readers with and without scripts see the same numbers: both are made from the same values."""
    read = """return [...document.querySelectorAll(".tile .big, .tile .sub, .lead, table[id^=table-] td")]
      .filter((element) => !element.closest("[hidden]"))
      .map((element) => element.textContent.trim().split(/\\s+/).join(" "));"""
    scripted = told(page, tmp_path, read)
    # Without the page's own script: the answer comes from the template alone.
    bare = re.sub(r'<script>"use strict";.*?</script>', "", page, flags=re.DOTALL)
    assert len(bare) < len(page)
    assert told(bare, tmp_path / "bare", read) == scripted
    assert len(scripted) > 100


VALUES = [
    0,
    0.004,
    7,
    2.5,
    9.996,
    99.95,
    940.4,
    999.4,
    999.6,
    12_345,
    999_600,
    4_621_000,
    1.2e9,
    -0.3,
    -2_670,
    0.5,
    1.5,
]
SECONDS = [0, 45, 89.5, 90, 299, 3_569, 3_570, 3_600, 6_240, 259_200, 359_969, 359_970, 4_320_000]
SHARES = [0, 0.0004, 0.001, 0.073, 0.0994, 0.0996, 0.64, 0.995, 1]
MINUTES = [29_370_000, 29_387_045, 29_400_001]


def test_numbers_are_formatted_alike_in_both_languages(page: str, tmp_path: Path) -> None:
    found = re.search(r"  // Numbers and times in words.*?\n  \};\n\n", page, re.DOTALL)
    assert found
    kinds = {
        **dict.fromkeys(("count", "gained", "exactly", "change"), VALUES),
        "duration": SECONDS, "percent": SHARES, "moment": MINUTES,
        "interval": [[-5, 1_200], [0.2, 0.4]], "text": ["", "x"],
    }  # fmt: skip
    read = f"{found[0]} return Object.entries({kinds}).map(([kind, values]) => [kind, values.map(KINDS[kind])]);"
    for kind, texts in told(page, tmp_path, read):
        assert texts == [KINDS[kind](value) for value in kinds[kind]], kind
    assert formats.UNKNOWN == "–"


@pytest.mark.parametrize("width", [390, 768, 1440])
def test_nothing_is_hidden_sideways_and_no_word_is_broken(width: int, page: str, tmp_path: Path) -> None:
    read = """await new Promise((done) => setTimeout(done, 500));
      document.querySelector("#all-streams").open = true;
      const visible = (element) => element.offsetParent && getComputedStyle(element).clipPath === "none";
      const wide = [...document.querySelectorAll("main *, header *, nav *")].filter((element) => visible(element)
        && !element.closest("svg, caption, legend, fieldset") && element.scrollWidth > element.clientWidth + 1
        && element.clientWidth && getComputedStyle(element).display !== "inline");
      const out = [...document.querySelectorAll("td, .card, .tile, .handle")].filter((element) => visible(element)
        && element.getBoundingClientRect().right > innerWidth);
      const tall = [...document.querySelectorAll(".handle")].filter((element) => visible(element)
        && element.getBoundingClientRect().height > 30);
      return { wide: wide.map((element) => element.outerHTML.slice(0, 200)), out: out.length, tall: tall.length,
        page: document.documentElement.scrollWidth - innerWidth };"""
    answer = told(page, tmp_path, read, f"--window-size={width},900")
    assert answer == {"wide": [], "out": 0, "tall": 0, "page": answer["page"]}
    assert answer["page"] <= 0


def test_a_handle_that_is_no_handle_gets_no_link(brief: Brief, tmp_path: Path) -> None:
    handles = brief.creators["handle"].replace({"max": "javascript:alert(1)//", "ann": 'x" onclick="alert(1)'})
    attacked = render(dataclasses.replace(brief, creators=brief.creators.with_columns(handle=handles)))
    read = """return [...document.querySelectorAll("a.out")].map((link) => [link.getAttribute("href"), link.rel]);"""
    links = told(attacked, tmp_path, read)
    assert len(links) > 5
    assert all(re.fullmatch(r"https://www\.tiktok\.com/@[A-Za-z0-9_.]+(/video/\d+)?", href) for href, _ in links)
    assert {rel for _, rel in links} == {"noopener noreferrer"}
