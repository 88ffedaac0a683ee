"""The report of one client: its creators' numbers and all their streams, and nothing of others in the file."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tiktok_pipeline.errors import PublishError
from tiktok_pipeline.publish.report.brief import STATS, read_brief
from tiktok_pipeline.publish.report.client import ClientScope, handles
from tiktok_pipeline.publish.report.page import render, write_client_report
from tiktok_pipeline_tests.commands.command_line import run_here
from tiktok_pipeline_tests.publish.report.browsing import needs_chromium, told
from tiktok_pipeline_tests.publish.report.rosters import large

# Names, handles and ids of creators of the small roster that no client's file below may hold.
OTHERS = ("Max", "max", "Zo", "zoe", "gone")
CLIENTS = [
    ClientScope("art", niche="art"),
    ClientScope("two", handles=frozenset({"ann", "gap"})),
    ClientScope("one", handles=frozenset({"ann"})),
]


def embedded(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


def without_program(page: str) -> str:
    """Return the page without its scripts and style sheet, which are the same for every page."""
    return re.sub(r"<script>.*?</script>|<style>.*?</style>", "", page, flags=re.DOTALL)


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_nothing_of_other_creators_or_of_vendors_is_in_the_bytes(
    client: ClientScope, snapshot: Path, tmp_path: Path
) -> None:
    path = tmp_path / "client.html"
    write_client_report(snapshot, path, client)
    page = path.read_bytes().decode()
    text = without_program(page)
    data = embedded(page)
    mine = {creator[1] for creator in data["creators"]}
    assert mine == ({"ann", "eve"} if client.niche else client.handles)
    others = [name for name in ("ann", "eve", "max", "zoe", "gap", "gone") if name not in mine]
    del data["charts"]  # specifications of charts, the same on every page
    values = json.dumps([data["creators"], data["tables"]["streams"]["rows"], data["scopes"]])
    for name in [*others, *(each for each in OTHERS if each.lower() not in mine)]:
        assert not re.search(rf"\b{name}\b", values), name
        assert f"@{name}" not in text
    for word in ("konbini", "social_fetch", "Konbini", "credits a day"):
        assert word not in text
    niches = {"art", "music", "talk"} - {creator[2] for creator in data["creators"]}
    for niche in niches:
        assert f">{niche}<" not in text
        assert niche not in data["scopes"]


def test_no_number_of_other_creators_is_in_the_bytes(snapshot: Path, tmp_path: Path) -> None:
    """Change the other creators in the snapshot: the client's page stays the same, byte for byte."""
    before = render(read_brief(snapshot, CLIENTS[1]))
    changed = tmp_path / "tiktok.duckdb"
    changed.write_bytes(snapshot.read_bytes())
    changed.chmod(0o644)
    with duckdb.connect(str(changed)) as connection:
        for table in ("streams", "stream_lift", "stories", "recaps", "coverage", "creator_hours", "live_observations"):
            connection.execute(f"DELETE FROM {table} WHERE creator_id NOT IN ('ann', 'gap')")
        connection.execute(
            "UPDATE leaderboard SET value = value * 7, share = 0.1 WHERE creator_id NOT IN ('ann', 'gap')"
        )
        connection.execute("UPDATE creators SET handle = 'x' || handle WHERE creator_id NOT IN ('ann', 'gap')")
        connection.execute("DELETE FROM vendor_usage")
    assert render(read_brief(changed, CLIENTS[1])) == before


def test_the_totals_are_the_clients_own(snapshot: Path) -> None:
    everyone = read_brief(snapshot)
    brief = read_brief(snapshot, CLIENTS[0])
    assert {name: brief.scopes["*"][name] for name in STATS} == {name: everyone.scopes["art"][name] for name in STATS}
    boards = brief.boards.filter(period="week", metric="hours_watched")
    assert boards.select("creator_id", "rank").rows() == [("ann", 1), ("eve", 2)]
    assert boards["total"].unique().to_list() == [pytest.approx(boards["value"].sum())]


def test_all_streams_of_a_client_are_in_its_report(tmp_path: Path) -> None:
    path = large(tmp_path, creators=12, days=12)
    page = render(read_brief(path, ClientScope("one", handles=frozenset({"creator00004"}))))
    assert len(embedded(page)["tables"]["streams"]["rows"]) == 12
    assert (
        len(re.findall(r'<tr data-creator="creator00004">', page.split('id="table-streams"')[1].split("</table>")[0]))
        == 12
    )


@needs_chromium
def test_the_page_of_a_client_shows_its_streams_and_no_vendors(snapshot: Path, tmp_path: Path) -> None:
    read = """return { cards: document.querySelectorAll(".card").length, vendors: document.getElementById("vendors"),
      title: document.title, rows: document.querySelectorAll("#table-streams tbody tr").length };"""
    answer = told(render(read_brief(snapshot, CLIENTS[1])), tmp_path, read)
    assert (answer["cards"], answer["rows"], answer["vendors"]) == (3, 3, None)
    assert "two" in answer["title"]


def test_a_client_without_a_published_creator_gets_no_report(snapshot: Path, tmp_path: Path) -> None:
    for client, message in (
        (ClientScope("arts", niche="arts"), "did you mean 'art'?"),
        (ClientScope("an", handles=handles(["@ANNE"])), "did you mean @ann?"),
        (ClientScope("nobody", handles=frozenset()), "nobody names no creator"),
    ):
        with pytest.raises(PublishError, match=re.escape(message)):
            write_client_report(snapshot, tmp_path / "client.html", client)
    with pytest.raises(PublishError, match="there is no folder"):
        write_client_report(snapshot, tmp_path / "no" / "client.html", CLIENTS[0])
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_a_clients_report(snapshot: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("handle,niche\n@Ann,\nnew_one,\n")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "TIKTOK_PIPELINE_HOME": str(snapshot.parent.parent)}
        return run_here(("report", *arguments), environment, tmp_path)

    done = run("--roster", "mine.csv", "--out", "mine.html")
    assert (done.returncode, done.stderr) == (0, "")
    assert "mine.html (1." in done.stdout or "mine.html (0." in done.stdout
    assert [creator[1] for creator in embedded((tmp_path / "mine.html").read_text())["creators"]] == ["ann"]
    assert run("--niche", "art").returncode == 2
    assert run("--niche", "art", "--creator", "ann", "--out", "x.html").returncode == 2
