"""Apache Superset, as `deploy/superset/` sets it up, reads the published tables: run by `make superset-test`.

Installs 890 MB once, into .venv-superset; the picture of the dashboard goes to docs/screenshots/superset.png when
SAVE_SCREENSHOTS is set.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import httpx
import polars as pl
import pytest

from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.publish import duckdb_file, postgres
from tiktok_pipeline.tables import CREATORS
from tiktok_pipeline_tests.publish.superset_browser import CHROMIUM, screenshot, session_cookie
from tiktok_pipeline_tests.replayed import Replayed

pytestmark = pytest.mark.superset

ROOT = Path(__file__).parents[2]
_STARTS_WITHIN_S = 900

_spec = importlib.util.spec_from_file_location("superset_build", ROOT / "deploy" / "superset" / "build.py")
assert _spec is not None
assert _spec.loader is not None
build = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(build)


@dataclass
class Running:
    url: str
    password: str
    home: Path
    postgres_url: str
    api: Any
    datasets: dict[str, int]
    drawn: dict[str, int]

    def ask(self, dataset: int, **query: Any) -> list[dict[str, Any]]:
        """Return the rows of a chart with this query, through the API that charts use."""
        reply = self.api.post(
            "/api/v1/chart/data",
            {
                "datasource": {"id": dataset, "type": "table"},
                "queries": [{"metrics": [], "orderby": [], "row_limit": 1_000, **query}],
                "result_format": "json",
                "result_type": "full",
            },
        )
        found: list[dict[str, Any]] = reply["result"][0]["data"]
        return found

    def rows(self, dataset: int, *columns: str) -> list[dict[str, Any]]:
        return self.ask(dataset, columns=list(columns))

    def on_postgres(self) -> dict[str, int]:
        """Return the ids of the Postgres datasets by name."""
        found = self.api.get("/api/v1/dataset/", q=json.dumps({"page_size": 100}))["result"]
        return {row["table_name"]: row["id"] for row in found if row["database"]["database_name"] == build.POSTGRES}

    def publish(self) -> None:
        with duckdb.connect(":memory:") as connection:
            duckdb_file.publish(
                connection, Lake(self.home / "lake"), self.home / "warehouse", now=datetime.now(UTC), keep=3
            )
        postgres.publish(self.postgres_url, Lake(self.home / "lake"), now=datetime.now(UTC))


@pytest.fixture(scope="module")
def superset(
    replayed: Replayed, new_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("published") / "home"
    shutil.copytree(replayed.untouched, home, symlinks=True)
    kept = tmp_path_factory.mktemp("superset")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "SUPERSET_HOME": str(kept), "SUPERSET_ADMIN_PASSWORD": "only for this test"}
    with (kept / "start.log").open("w") as log:
        process = subprocess.Popen(
            [str(ROOT / "deploy" / "superset" / "start.sh"), str(port)],
            env=environment, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(url, process, kept)
        with closing(build.Superset(url, "only for this test")) as api:
            running = Running(url, "only for this test", home, new_database(), api, {}, {})
            running.publish()
            snapshot = home / "warehouse" / "tiktok.duckdb"
            for _ in range(2):  # A second time, which must duplicate nothing.
                running.datasets = build.connect(api, snapshot, running.postgres_url)
                running.drawn = build.draw(api, running.datasets)
            yield running
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def _wait(url: str, process: subprocess.Popen[bytes], kept: Path) -> None:
    until = time.monotonic() + _STARTS_WITHIN_S
    while time.monotonic() < until:
        text = "".join(log.read_text()[-2_000:] for log in kept.glob("*.log"))
        assert process.poll() is None, text
        try:
            if httpx.get(f"{url}/health", timeout=10).text == "OK":
                return
        except httpx.HTTPError:
            pass
        time.sleep(1)
    raise AssertionError(f"Superset did not start within {_STARTS_WITHIN_S} s")


def test_a_second_set_up_duplicates_nothing(superset: Running) -> None:
    counts = {kind: superset.api.get(f"/api/v1/{kind}/")["count"] for kind in ("database", "chart", "dashboard")}
    assert counts == {"database": 2, "chart": len(build.CHARTS), "dashboard": 1}
    assert superset.api.get("/api/v1/dataset/")["count"] == 2 * (len(build.DATASETS) + len(build.QUERIES))


def _query(drawn: dict[str, Any]) -> dict[str, Any]:
    """Return the query that the browser makes from a chart's parameters."""
    where = {"extras": {"where": " AND ".join(f["sqlExpression"] for f in drawn["adhoc_filters"])}}
    if drawn["viz_type"] == "table":
        return {**where, "columns": drawn["all_columns"]}
    if drawn["viz_type"] == "big_number_total":
        return {**where, "columns": [], "metrics": [drawn["metric"]]}
    time_axis = {
        "columnType": "BASE_AXIS", "expressionType": "SQL", "label": drawn["x_axis"],
        "sqlExpression": drawn["x_axis"], "timeGrain": drawn["time_grain_sqla"],
    }  # fmt: skip
    return {**where, "columns": [time_axis, *drawn["groupby"]], "metrics": drawn["metrics"]}


def _comparable(rows: list[dict[str, Any]]) -> list[str]:
    rounded = [{k: float(f"{v:.9g}") if isinstance(v, int | float) else v for k, v in row.items()} for row in rows]
    return sorted(json.dumps(row, sort_keys=True) for row in rounded)


@pytest.mark.parametrize("title", [title for title, *_ in build.CHARTS])
def test_a_chart_shows_the_same_rows_on_both_databases(superset: Running, title: str) -> None:
    dataset, drawn = next((dataset, drawn) for name, dataset, _, _, drawn in build.CHARTS if name == title)
    saved = superset.api.get(f"/api/v1/chart/{superset.drawn[title]}")["result"]
    assert json.loads(saved["params"]) == {**drawn, "datasource": f"{superset.datasets[dataset]}__table"}
    on_duckdb = superset.ask(superset.datasets[dataset], **_query(drawn))
    on_postgres = superset.ask(superset.on_postgres()[dataset], **_query(drawn))
    assert _comparable(on_duckdb) == _comparable(on_postgres) != []


def test_charts_show_published_data(superset: Running) -> None:
    with duckdb.connect(str(superset.home / "warehouse" / "tiktok.duckdb"), read_only=True) as reader:
        handles = {handle for (handle,) in reader.execute("SELECT handle FROM stream_overview").fetchall()}
    seen = {row["handle"] for row in superset.rows(superset.datasets["stream_overview"], "handle", "started_at")}
    assert seen == handles != set()


def test_a_new_publication_is_visible_at_once_on_both_databases(superset: Running) -> None:
    boards = [superset.datasets["leaderboard_today"], superset.on_postgres()["leaderboard_today"]]
    before = [{row["display_name"] for row in superset.rows(board, "display_name")} for board in boards]
    assert before[0] == before[1] != {"Somebody Else"}
    lake = Lake(superset.home / "lake")
    lake.write_whole(CREATORS, lake.scan_all(CREATORS).collect().with_columns(display_name=pl.lit("Somebody Else")))
    superset.publish()
    for board in boards:
        assert {row["display_name"] for row in superset.rows(board, "display_name")} == {"Somebody Else"}


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: the dashboard was not drawn")
def test_the_dashboard_is_drawn_in_a_browser(superset: Running, tmp_path: Path) -> None:
    cookie = session_cookie(superset.url, superset.password)
    picture = tmp_path / "superset.png"
    text = screenshot(
        superset.url, "/superset/dashboard/tiktok/?standalone=2", cookie, picture, charts=len(build.CHARTS)
    )
    for title, *_ in build.CHARTS:
        assert title in text
    for broken in ("Unexpected error", "Error:", "NaN", "No results were returned"):
        assert broken not in text
    with duckdb.connect(str(superset.home / "warehouse" / "tiktok.duckdb"), read_only=True) as reader:
        streams = reader.execute(
            "SELECT handle, strftime(started_at, '%d %b %H:%M') FROM stream_overview WHERE status = 'ended'"
        ).fetchall()
    for handle, started in streams:
        assert re.search(rf"{re.escape(handle)}\s+{started}", text), (handle, started)
    assert picture.stat().st_size > 30_000
    if os.environ.get("SAVE_SCREENSHOTS"):
        shutil.copy(picture, ROOT / "docs" / "screenshots" / "superset.png")
