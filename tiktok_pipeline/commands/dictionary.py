"""Generate docs/data-dictionary.md from the tables, views, example queries and the asset graph.

Run as a module to write it: `python -m tiktok_pipeline.commands.dictionary`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from tiktok_pipeline.commands.runs import table_sources
from tiktok_pipeline.publish.catalog import PUBLISHED, time_column
from tiktok_pipeline.publish.example_queries import EXAMPLES
from tiktok_pipeline.publish.views import VIEWS, View
from tiktok_pipeline.tables import PUBLICATION, TABLES, Column, Table

PATH = Path("docs/data-dictionary.md")

_FILES = {
    "hour": "`{layer}/{name}/date=YYYY-MM-DD/hour=HH/*.parquet`",
    "day": "`{layer}/{name}/date=YYYY-MM-DD/{name}.parquet`",
    "whole": "`{layer}/{name}/{name}.parquet`",
}

_TYPES: dict[type[pl.DataType], str] = {
    pl.String: "text",
    pl.Int64: "integer",
    pl.Int32: "integer",
    pl.Int16: "integer",
    pl.Float64: "number",
    pl.Boolean: "boolean",
    pl.Date: "date",
    pl.Datetime: "timestamp",
    pl.List: "list of text",
}

# Unit of a number by the name of its column; the first matching pattern counts.
_UNITS: tuple[tuple[str, str], ...] = (
    (r"_s$", "s"),
    (r"_ms$", "ms"),
    (r"_min$", "min"),
    (r"^airtime_h$|_previous_h$|^value_h$", "h"),
    (r"_bps$", "bit/s"),
    (r"_days(_28d)?$|^days_", "days"),
    (r"^known_days", "days"),
    (r"baseline_hours", "h"),
    (r"_pct$", "%"),
    (r"_ratio$|_share$|^share$|^completeness$|^interval_level$|^conversion$", "0 to 1"),
    (r"^gift_index$", "0 to 100"),
    (r"_rate_per_h$|_per_hour(_lo|_hi)?$", "followers/h"),
    (r"^lift_streams$", "streams"),
    (r"^(joined|left|left_recent|compared|list_seen|list_total)$", "followers"),
    (r"^lift|^expected_organic$|^naive_delta$|^resolution$|^followers|^following$|^platform_new_f|_followers$",
     "followers"),
    (r"^hours_watched$|^median_|^previous_day$|^vs_", "viewer-hours"),
    (r"viewers", "viewers"),
    (r"^views|_views$", "views"),
    (r"^credits$", "credits"),
    (r"^(low|mid|high)$", "diamonds"),
    (r"^value", "the metric's"),
    (r"^rank|_rank$|^position$|^page$|^attempt$", "place"),
    (r"^(weekday|hour|http_status)$", "number"),
    (r"^(width|height)$", "px"),
)  # fmt: skip


def dictionary() -> str:
    """Return the whole document."""
    sources = table_sources()
    parts = [
        "# Data dictionary",
        "Generated from the tables, views, example queries and the asset graph of the package; do not edit. Times "
        "are UTC; ids are text, because they exceed 2^53; a count is null if the vendor did not report it, never 0. "
        "Published tables are in `warehouse/tiktok.duckdb`, as `warehouse/parquet/<table>.parquet`, and in Postgres "
        "schema `tiktok`; there lists are comma-separated text, and times are `TIMESTAMP` in DuckDB and `timestamptz` "
        "in Postgres, where every table also has `lake_day`, the day of the file that a row came from. Examples of "
        "tables that are not published are run in `$TIKTOK_PIPELINE_HOME`.",
    ]
    for layer in ("raw", "normalized", "marts"):
        parts.append(f"## {layer.capitalize()}")
        parts.extend(_table(table, sources) for table in TABLES.values() if table.layer == layer)
    parts.append("## Published beside them")
    parts.append(_table(PUBLICATION, {}))
    parts.extend(_view(view) for view in VIEWS.values())
    return "\n\n".join(parts) + "\n"


def _table(table: Table, sources: Mapping[str, list[str]]) -> str:
    facts = [f"- Grain: {table.grain}. Key: {', '.join(f'`{column}`' for column in table.key)}."]
    if table in PUBLISHED:
        facts[0] += " Published."
    made_of = ", ".join(f"`{source}`" for source in sources.get(table.name, ()))
    if table.layer == "raw":
        facts.append("- Made from: vendors' responses.")
    elif made_of:
        facts.append(f"- Made from: {made_of}.")
    if table is not PUBLICATION:
        facts.append(f"- Files: {_FILES[table.files].format(layer=table.layer, name=table.name)}")
    return "\n\n".join([f"### {table.name}", table.description, "\n".join(facts + _chosen(table)), _columns(table)])


def _view(view: View) -> str:
    names = [*(table.name for table in PUBLISHED), PUBLICATION.name]
    made_of = ", ".join(f"`{name}`" for name in names if re.search(rf"\b(?:FROM|JOIN) {name}\b", view.sql))
    facts = [f"- A view. Grain: {view.grain}.", f"- Made from: {made_of}.", *_chosen(view)]
    return "\n\n".join([f"### {view.name}", view.description, "\n".join(facts), _columns(view)])


def _chosen(of: Table | View) -> list[str]:
    """Return the time column of exports with a span, and the example."""
    column = time_column(of)
    published = of in PUBLISHED or isinstance(of, View)
    chosen = [f"- Time column, which `export --from --to` filters by: `{column.name}`."] if column and published else []
    return [*chosen, f"- Example: `{EXAMPLES[of.name]}`"]


def _columns(of: Table | View) -> str:
    lineage = of.lineage if isinstance(of, Table) else {}
    head = ["column", "type", "unit", "null", "meaning", *(["made of"] if lineage else [])]
    rows = [head, ["---"] * len(head)]
    for column in of.columns:
        cells = [f"`{column.name}`", type_name(column.dtype), unit(column), _null(column, of), column.description]
        if lineage:
            cells.append(", ".join(f"{table}.{name}" for table, name in lineage.get(column.name, ())))
        rows.append([cell.replace("|", "\\|") for cell in cells])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _null(column: Column, of: Table | View) -> str:
    if not column.nullable:
        return "never"
    if re.search(r"\bnull\b", column.description, re.IGNORECASE):
        return "as reported"
    return "not reported" if isinstance(of, Table) and of.layer in ("raw", "normalized") else "not known"


def type_name(dtype: pl.DataType) -> str:
    """Return a type in words: `timestamp`, `text`, `integer`, ..."""
    return _TYPES[type(dtype)]


def unit(column: Column) -> str:
    """Return the unit of a number: `s`, `followers`, `0 to 1`; `count` for a plain count; UTC for a time."""
    if isinstance(column.dtype, pl.Datetime | pl.Date):
        return "UTC"
    if not column.dtype.is_numeric():
        return ""
    if column.name == "score":
        # The score of a ranking is in the unit of its row; the score of a recap is a float.
        return "score_unit" if column.dtype.is_integer() else "0 to 1"
    known = next((name for pattern, name in _UNITS if re.search(pattern, column.name)), "")
    return known or ("count" if column.dtype.is_integer() else "")


if __name__ == "__main__":
    PATH.write_text(dictionary(), encoding="utf-8")
