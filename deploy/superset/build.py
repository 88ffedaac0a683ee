"""Connects a running Superset to what the pipeline publishes, and builds datasets, charts and one dashboard.

    python deploy/superset/build.py [--url URL] [--home FOLDER] [--password-file FILE]

Everything goes through Superset's REST API and is found by its name: run again, it is brought up to date, not doubled.
Postgres is connected too when TIKTOK_PIPELINE_POSTGRES_URL is set. The charts stand on the DuckDB snapshot.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

DASHBOARD = "TikTok creators"
DUCKDB, POSTGRES = "TikTok (DuckDB snapshot)", "TikTok (Postgres)"
DATASETS = (
    "stream_overview",
    "live_now",
    "leaderboard_today",
    "movers",
    "went_dark",
    "live_observations",
    "vendor_usage",
    "coverage",
    "publication",
)


class Superset:
    """A session of the REST API."""

    def __init__(self, url: str, password: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=120)
        login = {"username": "admin", "password": password, "provider": "db"}
        token = self.post("/api/v1/security/login", login)["access_token"]
        self._http.headers.update({"Authorization": f"Bearer {token}", "Referer": url})
        self._http.headers["X-CSRFToken"] = self.get("/api/v1/security/csrf_token/")["result"]

    def get(self, path: str, **parameters: str) -> dict[str, Any]:
        """GET, as JSON."""
        return _answered(self._http.get(path, params=parameters))

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """POST, as JSON."""
        return _answered(self._http.post(path, json=body))

    def ensure(self, kind: str, named: Mapping[str, Any], rest: Mapping[str, Any]) -> int:
        """The id of the database, dataset, chart or dashboard with these names; made or brought up to date."""
        filters = [
            {"col": column, "opr": "rel_o_m" if column == "database" else "eq", "value": value}
            for column, value in named.items()
        ]
        found = self.get(f"/api/v1/{kind}/", q=json.dumps({"filters": filters}))["result"]
        if not found:
            made: int = self.post(f"/api/v1/{kind}/", {**named, **rest})["id"]
            return made
        # A dataset stays with its database; everything else may have changed.
        if rest:
            _answered(self._http.put(f"/api/v1/{kind}/{found[0]['id']}", json=rest))
        known: int = found[0]["id"]
        return known

    def refresh(self, dataset: int) -> None:
        """Read the dataset's columns again."""
        _answered(self._http.put(f"/api/v1/dataset/{dataset}/refresh"))


def _answered(answer: httpx.Response) -> dict[str, Any]:
    if answer.is_error:
        raise SystemExit(f"Superset said {answer.status_code} to {answer.request.url.path}: {answer.text[:400]}")
    said: dict[str, Any] = answer.json()
    return said


def connect(superset: Superset, snapshot: Path, postgres_url: str | None) -> dict[str, int]:
    """Databases and their datasets; the ids of the DuckDB datasets by name."""
    # Read-only, and a new connection for every query: the next query after a publication sees it.
    read_only = json.dumps({"engine_params": {"connect_args": {"read_only": True}}})
    duckdb = superset.ensure(
        "database",
        {"database_name": DUCKDB},
        {"sqlalchemy_uri": f"duckdb:///{snapshot}", "extra": read_only, "expose_in_sqllab": True},
    )
    datasets = _datasets(superset, duckdb, "main")
    if postgres_url:
        address = postgres_url.replace("postgres://", "postgresql://", 1)
        postgres = superset.ensure(
            "database", {"database_name": POSTGRES}, {"sqlalchemy_uri": address, "expose_in_sqllab": True}
        )
        _datasets(superset, postgres, "tiktok")
    return datasets


def _datasets(superset: Superset, database: int, schema: str) -> dict[str, int]:
    ids = {
        name: superset.ensure("dataset", {"database": database, "schema": schema, "table_name": name}, {})
        for name in DATASETS
    }
    for dataset in ids.values():
        superset.refresh(dataset)
    return ids


def _number(sql: str, label: str) -> dict[str, Any]:
    return {"expressionType": "SQL", "sqlExpression": sql, "label": label}


def _where(sql: str) -> dict[str, Any]:
    return {"expressionType": "SQL", "sqlExpression": sql, "clause": "WHERE"}


def _table(
    columns: Sequence[str], *, where: str | None = None, order: str | None = None, rows: int = 20
) -> dict[str, Any]:
    return {
        "viz_type": "table",
        "query_mode": "raw",
        "all_columns": list(columns),
        "order_by_cols": [json.dumps([order, False])] if order else [],
        "adhoc_filters": [_where(where)] if where else [],
        "row_limit": rows,
        "table_timestamp_format": "%Y-%m-%d %H:%M",
        "show_cell_bars": False,
        "column_config": {name: {"d3NumberFormat": ".0%" if name.endswith("share") else ",.0f"} for name in columns},
    }


# Title, dataset, columns of twelve that it is wide, and what is drawn.
CHARTS: tuple[tuple[str, str, int, dict[str, Any]], ...] = (
    ("Data as of (UTC)", "publication", 3, _table(["generation", "as_of"])),
    ("Live now", "live_now", 9, _table(["handle", "title", "started_at", "viewers"], order="viewers")),
    (
        "Leaders of the week: viewer-hours",
        "leaderboard_today",
        4,
        {
            **_table(["rank", "rank_change", "handle", "value", "share"], rows=15),
            "order_by_cols": [json.dumps(["rank", True])],
            "adhoc_filters": [_where("period = 'week' AND niche = '*' AND metric = 'hours_watched'")],
        },
    ),
    (
        "Hours on air by creator",
        "stream_overview",
        8,
        {
            "viz_type": "echarts_timeseries_bar",
            "x_axis": "started_at",
            "time_grain_sqla": "P1D",
            "metrics": [_number("sum(airtime_s) / 3600", "hours on air")],
            "groupby": ["handle"],
            "stack": "Stack",
            "row_limit": 1_000,
            "show_legend": True,
            "y_axis_title": "hours",
        },
    ),
    (
        "The last streams and their lift",
        "stream_overview",
        12,
        _table(
            ["handle", "started_at", "airtime_s", "average_viewers", "peak_viewers", "naive_delta", "lift", "lift_lo",
             "lift_hi", "observable", "is_final", "coverage_ratio"],
            where="status = 'ended'",
            order="started_at",
        ),
    ),
    (
        "Concurrent viewers",
        "live_observations",
        8,
        {
            "viz_type": "echarts_timeseries_line",
            "x_axis": "observed_at",
            "time_grain_sqla": "PT1H",
            "metrics": [_number("max(viewers)", "viewers")],
            "groupby": ["creator_id"],
            "adhoc_filters": [_where("viewers IS NOT NULL")],
            "row_limit": 5_000,
            "show_legend": True,
        },
    ),
    (
        "Movers: viewer-hours against three baselines",
        "movers",
        4,
        _table(["handle", "hours_watched", "vs_previous_day", "vs_median_7d", "vs_median_28d"], order="hours_watched"),
    ),
    (
        "Credits by vendor",
        "vendor_usage",
        6,
        {
            "viz_type": "echarts_timeseries_bar",
            "x_axis": "day",
            "time_grain_sqla": "P1D",
            "metrics": [_number("sum(credits)", "credits")],
            "groupby": ["vendor"],
            "stack": "Stack",
            "row_limit": 1_000,
            "show_legend": True,
        },
    ),
    (
        "How well each creator was watched",
        "coverage",
        6,
        _table(["day", "creator_id", "polls", "known_polls", "unknown_share", "largest_gap_s"], order="unknown_share"),
    ),
)  # fmt: skip


def draw(superset: Superset, datasets: Mapping[str, int]) -> dict[str, int]:
    """The charts and the dashboard; ids of the charts by title, and of the dashboard by its own."""
    dashboard = superset.ensure("dashboard", {"dashboard_title": DASHBOARD}, {"slug": "tiktok", "published": True})
    ids: dict[str, int] = {}
    for title, dataset, _, drawn in CHARTS:
        parameters = {**drawn, "datasource": f"{datasets[dataset]}__table"}
        ids[title] = superset.ensure(
            "chart",
            {"slice_name": title},
            {
                "viz_type": drawn["viz_type"],
                "datasource_id": datasets[dataset],
                "datasource_type": "table",
                "params": json.dumps(parameters),
                "dashboards": [dashboard],
            },
        )
    superset.ensure(
        "dashboard",
        {"dashboard_title": DASHBOARD},
        {"position_json": json.dumps(_layout(ids)), "published": True, "slug": "tiktok"},
    )
    return {**ids, DASHBOARD: dashboard}


def _layout(ids: Mapping[str, int]) -> dict[str, Any]:
    """Charts in rows that are twelve columns wide."""
    rows: list[list[tuple[str, int]]] = [[]]
    for title, _, width, _ in CHARTS:
        if sum(taken for _, taken in rows[-1]) + width > 12:
            rows.append([])
        rows[-1].append((title, width))
    layout: dict[str, Any] = {
        "DASHBOARD_VERSION_KEY": "v2",
        "ROOT_ID": {"type": "ROOT", "id": "ROOT_ID", "children": ["GRID_ID"]},
        "GRID_ID": {"type": "GRID", "id": "GRID_ID", "children": [], "parents": ["ROOT_ID"]},
        "HEADER_ID": {"type": "HEADER", "id": "HEADER_ID", "meta": {"text": DASHBOARD}},
    }
    for number, row in enumerate(rows):
        name = f"ROW-{number}"
        layout["GRID_ID"]["children"].append(name)
        children = []
        for title, width in row:
            chart = f"CHART-{ids[title]}"
            children.append(chart)
            layout[chart] = {
                "type": "CHART",
                "id": chart,
                "children": [],
                "parents": ["ROOT_ID", "GRID_ID", name],
                "meta": {
                    "chartId": ids[title],
                    "width": width,
                    "height": 22 if number == 0 else 50,
                    "sliceName": title,
                },
            }
        layout[name] = {
            "type": "ROW",
            "id": name,
            "children": children,
            "parents": ["ROOT_ID", "GRID_ID"],
            "meta": {"background": "BACKGROUND_TRANSPARENT"},
        }
    return layout


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--url", default="http://127.0.0.1:8088")
    parser.add_argument("--home", type=Path, default=Path(os.environ.get("TIKTOK_PIPELINE_HOME") or "data"))
    parser.add_argument("--password-file", type=Path, default=Path(".superset/admin.password"))
    options = parser.parse_args()
    snapshot = (options.home / "warehouse").absolute() / "tiktok.duckdb"
    if not snapshot.exists():
        raise SystemExit(f"{snapshot} is not there: publish first (make demo)")
    superset = Superset(options.url, options.password_file.read_text(encoding="utf-8").strip())
    datasets = connect(superset, snapshot, os.environ.get("TIKTOK_PIPELINE_POSTGRES_URL"))
    draw(superset, datasets)
    print(f"{options.url}/superset/dashboard/tiktok/")


if __name__ == "__main__":
    main()
