"""Connect a running Superset to the published tables, and build datasets, charts and one dashboard.

    python deploy/superset/build.py [--url URL] [--home FOLDER] [--password-file FILE]

The script uses Superset's REST API and finds objects by name: a second run updates them and duplicates nothing.
Postgres is connected too if TIKTOK_PIPELINE_POSTGRES_URL is set. The charts use the DuckDB snapshot.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

DASHBOARD = "TikTok creators"
DUCKDB, POSTGRES = "TikTok (DuckDB snapshot)", "TikTok (Postgres)"
# Superset's own palette repeats near shades.
COLORS = "d3Category20"
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
# Tables with a creator id only, joined with the current handle: datasets defined in Superset.
QUERIES = {
    "viewers_by_handle": (
        "SELECT handle, observed_at, viewers FROM live_observations JOIN creators USING (creator_id) "
        "WHERE viewers IS NOT NULL"
    ),
    "coverage_by_handle": (
        "SELECT handle, day, polls, unknown_share, largest_gap_s FROM coverage JOIN creators USING (creator_id)"
    ),
}


class Superset:
    """A session of the REST API."""

    def __init__(self, url: str, password: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=120)
        login = {"username": "admin", "password": password, "provider": "db"}
        token = self.post("/api/v1/security/login", login)["access_token"]
        self._http.headers.update({"Authorization": f"Bearer {token}", "Referer": url})
        self._http.headers["X-CSRFToken"] = self.get("/api/v1/security/csrf_token/")["result"]

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def get(self, path: str, **parameters: str) -> dict[str, Any]:
        """GET a path, and return the JSON response."""
        return _json_of(self._http.get(path, params=parameters))

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """POST a JSON body, and return the JSON response."""
        return _json_of(self._http.post(path, json=body))

    def ensure(self, kind: str, named: Mapping[str, Any], rest: Mapping[str, Any]) -> int:
        """Create or update the database, dataset, chart or dashboard with these names; return its id."""
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
            _json_of(self._http.put(f"/api/v1/{kind}/{found[0]['id']}", json=rest))
        known: int = found[0]["id"]
        return known

    def refresh(self, dataset: int) -> None:
        """Read the dataset's columns again."""
        _json_of(self._http.put(f"/api/v1/dataset/{dataset}/refresh"))


def _json_of(response: httpx.Response) -> dict[str, Any]:
    if response.is_error:
        raise SystemExit(
            f"Superset responded {response.status_code} to {response.request.url.path}: {response.text[:400]}"
        )
    content: dict[str, Any] = response.json()
    return content


def connect(superset: Superset, snapshot: Path, postgres_url: str | None) -> dict[str, int]:
    """Create the databases and their datasets; return the ids of the DuckDB datasets by name."""
    # Read-only, and a new connection for every query, so that the next query after a publish sees the new snapshot.
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
    queries = {**dict.fromkeys(DATASETS), **QUERIES}
    ids = {
        name: superset.ensure(
            "dataset", {"database": database, "schema": schema, "table_name": name}, {"sql": sql} if sql else {}
        )
        for name, sql in queries.items()
    }
    for dataset in ids.values():
        superset.refresh(dataset)
    return ids


def _number(sql: str, label: str) -> dict[str, Any]:
    return {"expressionType": "SQL", "sqlExpression": sql, "label": label}


def _where(sql: str) -> dict[str, Any]:
    return {"expressionType": "SQL", "sqlExpression": sql, "clause": "WHERE"}


def _figure(
    sql: str, label: str, *, where: str | None = None, unit: str = "", drawn_as: str = ",.0f"
) -> dict[str, Any]:
    """Return a chart of one large number, with its unit below."""
    return {
        "viz_type": "big_number_total",
        "metric": _number(sql, label),
        "subtitle": unit,
        "y_axis_format": drawn_as,
        "adhoc_filters": [_where(where)] if where else [],
    }


def _time_figure(sql: str, label: str, *, unit: str) -> dict[str, Any]:
    """Return a chart of one large point in time."""
    return {**_figure(sql, label, unit=unit), "time_format": "%d %b %H:%M", "force_timestamp_formatting": True}


def _table(
    columns: Mapping[str, str],
    *,
    formats: Mapping[str, str] | None = None,
    where: str | None = None,
    order: str,
    descending: bool = True,
    rows: int = 1_000,
) -> dict[str, Any]:
    """Return a table chart; `columns` are heading -> SQL.

    Numbers are whole and times are to the minute unless `formats` says otherwise (d3's formats: of numbers by heading,
    of all times under "times").
    """
    formats = formats or {}
    return {
        "viz_type": "table",
        "query_mode": "raw",
        "all_columns": [
            {"expressionType": "SQL", "sqlExpression": sql, "label": heading} for heading, sql in columns.items()
        ],
        "order_by_cols": [json.dumps([order, not descending])],
        "adhoc_filters": [_where(where)] if where else [],
        "row_limit": rows,
        "table_timestamp_format": formats.get("times", "%d %b %H:%M"),
        "show_cell_bars": False,
        "column_config": {heading: {"d3NumberFormat": formats.get(heading, ",.0f")} for heading in columns},
    }


def _stacked_bars(x: str, grain: str, metric: dict[str, Any], by: str) -> dict[str, Any]:
    return {
        "viz_type": "echarts_timeseries_bar",
        "x_axis": x,
        "time_grain_sqla": grain,
        "metrics": [metric],
        "groupby": [by],
        "adhoc_filters": [],
        "stack": "Stack",
        "row_limit": 50_000,
        "show_legend": True,
        "color_scheme": COLORS,
        "y_axis_format": "~s",
        "y_axis_title": metric["label"],
        "y_axis_title_margin": 40,
        "y_axis_title_position": "Left",
    }


# The last seven days.
_WEEK = "period = 'week' AND niche = '*'"

# Title, dataset, width in columns (a row has twelve), height, and the chart.
CHARTS: tuple[tuple[str, str, int, int, dict[str, Any]], ...] = (
    ("Data as of", "publication", 3, 20, _time_figure("max(as_of)", "as of", unit="UTC")),
    ("Live now", "live_now", 3, 20, _figure("count(*)", "live", unit="creators on air")),
    (
        "Viewer-hours, last 7 days",
        "leaderboard_today",
        3,
        20,
        _figure("sum(value)", "viewer-hours", where=f"{_WEEK} AND metric = 'hours_watched'", unit="all creators"),
    ),
    (
        "Hours on air, last 7 days",
        "leaderboard_today",
        3,
        20,
        _figure("sum(value) / 3600", "hours", where=f"{_WEEK} AND metric = 'airtime'", unit="all creators"),
    ),
    (
        "Live now",
        "live_now",
        12,
        22,
        _table(
            {"creator": "handle", "niche": "niche", "since (UTC)": "started_at", "viewers": "viewers",
             "peak": "peak_viewers", "viewers since the start": "viewers_total", "followers": "followers"},
            order="viewers",
        ),
    ),
    (
        "Leaders of the last 7 days",
        "leaderboard_today",
        5,
        56,
        _table(
            {"rank": "rank", "change": "rank_change", "creator": "handle", "viewer-hours": "value", "share": "share"},
            formats={"share": ".1%"},
            where=f"{_WEEK} AND metric = 'hours_watched'",
            order="rank",
            descending=False,
        ),
    ),
    (
        "Hours on air by creator",
        "stream_overview",
        7,
        56,
        _stacked_bars("started_at", "P1D", _number("sum(airtime_s) / 3600", "hours"), "handle"),
    ),
    (
        "Latest streams with lift",
        "stream_overview",
        12,
        58,
        _table(
            {"creator": "handle", "started (UTC)": "started_at", "minutes": "airtime_s / 60",
             "viewers": "average_viewers", "peak": "peak_viewers", "followers since": "naive_delta", "lift": "lift",
             "lift, low": "lift_lo", "lift, high": "lift_hi", "watched": "coverage_ratio",
             "state": "CASE WHEN NOT observable THEN 'not observable' WHEN is_final THEN 'final' "
                      "ELSE 'provisional' END"},
            formats={"watched": ".0%"},
            where="status = 'ended'",
            order="started_at",
        ),
    ),
    (
        "Viewers at the peak of each hour",
        "viewers_by_handle",
        12,
        50,
        _stacked_bars("observed_at", "PT1H", _number("max(viewers)", "viewers"), "handle"),
    ),
    (
        "Movers: viewer-hours of the last day against three baselines",
        "movers",
        7,
        58,
        _table(
            {"creator": "handle", "viewer-hours": "hours_watched", "day before": "previous_day",
             "against it": "vs_previous_day", "against 7 days": "vs_median_7d", "against 28 days": "vs_median_28d"},
            formats=dict.fromkeys(("against it", "against 7 days", "against 28 days"), "+,.0f"),
            order="hours_watched",
        ),
    ),
    (
        "Polling coverage by creator and day",
        "coverage_by_handle",
        5,
        58,
        _table(
            {"day": "day", "creator": "handle", "polls": "polls", "unknown": "unknown_share",
             "longest gap (min)": "largest_gap_s / 60"},
            formats={"times": "%d %b", "unknown": ".1%"},
            order="unknown_share",
        ),
    ),
    (
        "Vendors' credits by day",
        "vendor_usage",
        12,
        40,
        _stacked_bars("day", "P1D", _number("sum(credits)", "credits"), "vendor"),
    ),
)  # fmt: skip


def draw(superset: Superset, datasets: Mapping[str, int]) -> dict[str, int]:
    """Create the charts and the dashboard; return ids of the charts by title, and of the dashboard by its own."""
    dashboard = superset.ensure("dashboard", {"dashboard_title": DASHBOARD}, {"slug": "tiktok", "published": True})
    ids: dict[str, int] = {}
    for title, dataset, _, _, drawn in CHARTS:
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
    """Return the layout: charts in rows that are twelve columns wide."""
    rows: list[list[tuple[str, int, int]]] = [[]]
    for title, _, width, height, _ in CHARTS:
        if sum(taken for _, taken, _ in rows[-1]) + width > 12:
            rows.append([])
        rows[-1].append((title, width, height))
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
        for title, width, height in row:
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
                    "height": height,
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
    """Build everything; see the module docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--url", default="http://127.0.0.1:8088")
    parser.add_argument("--home", type=Path, default=Path(os.environ.get("TIKTOK_PIPELINE_HOME") or "data"))
    parser.add_argument("--password-file", type=Path, default=Path(".superset/admin.password"))
    options = parser.parse_args()
    snapshot = (options.home / "warehouse").absolute() / "tiktok.duckdb"
    if not snapshot.exists():
        raise SystemExit(f"{snapshot} does not exist: publish first (make demo)")
    password = options.password_file.read_text(encoding="utf-8").strip()
    with contextlib.closing(Superset(options.url, password)) as superset:
        draw(superset, connect(superset, snapshot, os.environ.get("TIKTOK_PIPELINE_POSTGRES_URL")))
    print(f"{options.url}/superset/dashboard/tiktok/")


if __name__ == "__main__":
    main()
