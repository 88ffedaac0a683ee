"""Every number that a filter shows, for every niche and creator of a replayed world, against SQL on the snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tiktok_pipeline.publish import formats
from tiktok_pipeline.publish.report import brief as briefs
from tiktok_pipeline.publish.report.brief import read_brief
from tiktok_pipeline.publish.report.page import METRICS, render
from tiktok_pipeline.publish.report.sections import KINDS
from tiktok_pipeline_tests.publish.report.browsing import needs_chromium, told
from tiktok_pipeline_tests.replayed import Replayed

pytestmark = needs_chromium

# What the page shows for every filter: tiles, totals, all boards, and the rows of the tables.
READ = """
const at = (id) => document.getElementById(id), text = (element) => element.textContent.trim();
const cellText = (cell) => text(cell.querySelector(".mark") ? cell.firstChild : cell);
const rows = (table, ...labels) => table.parentElement.hidden ? [] : [...table.tBodies[0].rows].map((row) => [
  row.dataset.creator || text(row.cells[0]),
  ...[...row.cells].slice(1).filter((cell) => !labels.length || labels.includes(cell.dataset.label)).map(cellText),
]);
const scopes = [["", ""]];
for (const option of at("niche").options) if (option.value) scopes.push([option.value, ""]);
for (const option of at("creators").options) scopes.push(["", option.value]);
const seen = {};
for (const [niche, creator] of scopes) {
  at("niche").value = niche; at("creator").value = creator; at("niche").onchange();
  const boards = {};
  for (const metric of at("metric").options) for (const period of document.querySelectorAll("[name=period]")) {
    at("metric").value = metric.value; period.checked = true; period.onchange();
    boards[`${period.value}|${metric.value}`] = rows(at("board"), "Rank", text(at("metric").selectedOptions[0]));
  }
  seen[`${niche}|${creator}`] = {
    tiles: [...document.querySelectorAll(".tile")].map((tile) =>
      [text(tile.querySelector(".big").firstChild), text(tile.querySelector(".sub"))]),
    cards: document.querySelectorAll(".card").length, curves: document.querySelectorAll(".curve").length,
    who: text(at("lead-who")), vendors: Boolean(at("vendors").offsetParent), boards, heat: text(at("heat-top")),
    nones: [...document.querySelectorAll(".none:not([hidden]):not(.small)")].map(text),
    tables: Object.fromEntries([...document.querySelectorAll("table.rows[id^=table-]")].map((table) =>
      [table.id.slice(6), rows(table)])),
  };
}
return seen;
"""


class Snapshot:
    """Independent queries: one scope at a time, no query of the report."""

    def __init__(self, path: Path) -> None:
        self.connection = duckdb.connect(str(path), read_only=True)
        ((self.day,),) = self.all("SELECT max(as_of) FROM leaderboard")

    def all(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql, parameters).fetchall()

    def scopes(self) -> Iterator[tuple[str, str]]:
        yield "", ""
        yield from ((niche, "") for (niche,) in self.all("SELECT DISTINCT niche FROM creators WHERE niche <> ''"))
        yield from (("", handle) for (handle,) in self.all("SELECT handle FROM creators"))


def where(niche: str, creator: str) -> str:
    """Return the creators of a filter."""
    if creator:
        return f"creator_id IN (SELECT creator_id FROM creators WHERE handle = '{creator}')"
    return f"creator_id IN (SELECT creator_id FROM creators WHERE niche = '{niche}')" if niche else "true"


@pytest.fixture(scope="module")
def snapshot(replayed: Replayed) -> Path:
    return replayed.untouched / "warehouse" / "tiktok.duckdb"


@pytest.fixture(scope="module")
def seen(snapshot: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    answer: dict[str, Any] = told(render(read_brief(snapshot)), tmp_path_factory.mktemp("filters"), READ)
    return answer


def test_every_niche_and_creator_of_the_snapshot_can_be_chosen(snapshot: Path, seen: dict[str, Any]) -> None:
    assert set(seen) == {"|".join(scope) for scope in Snapshot(snapshot).scopes()}
    assert len(seen) > 15


def test_tiles_and_totals_are_those_of_the_filter(snapshot: Path, seen: dict[str, Any]) -> None:
    base = Snapshot(snapshot)
    for niche, creator in base.scopes():
        page, chosen = seen[f"{niche}|{creator}"], where(niche, creator)
        ((live, viewers),) = base.all(f"SELECT count(*), sum(viewers) FROM live_now WHERE {chosen}")
        spans = {}
        for label, days in (("Today so far", 1), ("7 days", 7)):
            ((streams, airtime, hours, counted, peak, lift, lifts, clear),) = base.all(
                "SELECT count(*), coalesce(sum(airtime_s), 0), sum(hours_watched), "
                "sum(observed_s) FILTER (hours_watched IS NOT NULL), max(peak_viewers), "
                "sum(lift) FILTER (lift_lo IS NOT NULL), count(lift_lo), count(*) FILTER (is_significant) "
                f"FROM stream_overview WHERE {chosen} AND CAST(started_at AS DATE) > CAST(? AS DATE) - {days}",
                base.day,
            )
            spans[label] = (streams, airtime, hours if streams else 0, lifts, clear)
            totals = next(row for row in page["tables"]["totals"] if row[0] == label)[1:]
            expected = [
                formats.exactly(streams),
                formats.duration(airtime),
                formats.count(hours if streams else 0),
                formats.count(hours / (counted / 3600) if counted else None),
                formats.count(peak),
                formats.gained(lift),
                f"{lifts} of {streams}",
            ]
            # A column without any value is left out.
            assert [each for each in totals if each != "–"] == [each for each in expected if each != "–"]
        (streams, airtime, hours, lifts, clear), today = spans["7 days"], spans["Today so far"]
        assert page["tiles"][0][0] == str(live)
        assert formats.count(viewers) in page["tiles"][0][1] if live else "on air" in page["tiles"][0][1]
        assert page["tiles"][1:] == [
            [formats.exactly(streams), f"{today[0]} today so far"],
            [formats.duration(airtime), f"{formats.duration(today[1])} today so far"],
            [formats.count(hours), f"{formats.count(today[2])} today so far"],
            [str(clear), f"of {lifts} measured, {streams} streams in all"],
        ]


def test_boards_have_the_places_of_the_filter(snapshot: Path, seen: dict[str, Any]) -> None:
    base = Snapshot(snapshot)
    compared = 0
    for niche, creator in base.scopes():
        for board, rows in seen[f"{niche}|{creator}"]["boards"].items():
            period, metric = board.split("|")
            expected = base.all(
                "SELECT handle, rank, value FROM leaderboard_today "
                f"WHERE period = ? AND metric = ? AND niche = ? AND {where(niche, creator)} "
                "ORDER BY rank, creator_id LIMIT 10",
                period, metric, niche or "*",
            )  # fmt: skip
            write = KINDS[METRICS[metric].kind]
            places = [[handle, str(rank), write(value)] for handle, rank, value in expected]
            assert rows == places, (niche, creator, board)
            compared += len(rows)
    assert compared > 300


def test_tables_have_the_rows_of_the_filter(snapshot: Path, seen: dict[str, Any]) -> None:
    base = Snapshot(snapshot)
    names = dict(base.all("SELECT creator_id, handle FROM creators"))
    compared = 0
    for niche, creator in base.scopes():
        tables, chosen = seen[f"{niche}|{creator}"]["tables"], where(niche, creator)
        for table, most in (("stories", briefs.STORIES), ("recaps", briefs.RECAPS)):
            # Of a creator, the page has the first few, and more of them if they are among the first of the niche.
            found = [[row[0], row[1], row[3 if table == "stories" else 2]] for row in tables[table]]
            limit = max(len(found), briefs.POSTS_EACH) if creator else most
            expected = base.all(
                f"SELECT creator_id, published_at, views FROM {table} WHERE {chosen} "
                "AND CAST(published_at AS DATE) > CAST(? AS DATE) - 7 AND CAST(published_at AS DATE) <= ? "
                f"ORDER BY views DESC NULLS LAST, {'story' if table == 'stories' else 'post'}_id LIMIT {limit}",
                base.day, base.day,
            )  # fmt: skip
            rows = [[names[one], formats.moment(at), formats.count(views)] for one, at, views in expected]
            assert found == rows, (niche, creator, table)
            compared += len(rows)
        limit = briefs.STREAMS_EACH if creator else briefs.CARDS
        apart = "" if creator else f"WHERE nth <= {briefs.CARDS_A_CREATOR}"
        streams = base.all(
            "SELECT handle, started_at, airtime_s, average_viewers, peak_viewers, hours_watched FROM (SELECT *, "
            "row_number() OVER (PARTITION BY creator_id ORDER BY started_at DESC) AS nth FROM stream_overview "
            f"WHERE {chosen}) {apart} ORDER BY started_at DESC, stream_id LIMIT {limit}"
        )
        rows = [
            [handle, formats.moment(at), formats.duration(airtime), *map(formats.count, viewers)]
            for handle, at, airtime, *viewers in streams
        ]
        assert [row[:6] for row in tables["streams"]] == rows
        page = seen[f"{niche}|{creator}"]
        assert page["cards"] == min(len(rows), 12)
        # A stream of a few readings has no curve.
        assert page["cards"] - page["curves"] <= sum(airtime < 1_200 for _, _, airtime, *_ in streams)
        movers = base.all(
            f"SELECT creator_id, hours_watched, previous_day FROM movers WHERE {chosen} AND vs_previous_day <> 0 "
            f"ORDER BY abs(vs_previous_day) DESC, creator_id LIMIT {briefs.MOVERS}"
        )
        assert [row[:3] for row in tables["movers"]] == [
            [names[one], formats.count(hours), formats.count(before)] for one, hours, before in movers
        ]
        watched = base.all(f"SELECT DISTINCT creator_id FROM coverage WHERE {chosen}")
        assert len(tables["coverage"]) == min(len(watched), briefs.WATCHED)
        compared += len(rows) + len(movers)
    assert compared > 150


def test_a_clients_view_has_no_vendors_and_every_empty_section_says_why(snapshot: Path, seen: dict[str, Any]) -> None:
    assert seen["|"]["vendors"]
    for scope, page in seen.items():
        niche, creator = scope.split("|")
        empty = [name for name, rows in page["tables"].items() if not rows and name != "taken"]
        assert len(page["nones"]) >= len(empty), scope
        if scope != "|":
            assert not page["vendors"]
            assert (f"@{creator}" if creator else niche) in page["who"]
            assert all((f"@{creator}" if creator else niche) in none for none in page["nones"]), page["nones"]
