"""docs/data-dictionary.md, generated from `tables.py` and the published views.

Run as a module to write it: `python -m tiktok_pipeline.commands.dictionary`.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from tiktok_pipeline.published import PUBLISHED
from tiktok_pipeline.tables import TABLES, Column, Table
from tiktok_pipeline.views import VIEWS

PATH = Path("docs/data-dictionary.md")

_FILES = {
    "hour": "`{layer}/{name}/date=YYYY-MM-DD/hour=HH/*.parquet`",
    "day": "`{layer}/{name}/date=YYYY-MM-DD/{name}.parquet`",
    "whole": "`{layer}/{name}/{name}.parquet`",
}


def dictionary() -> str:
    """The whole document."""
    parts = [
        "# Data dictionary",
        "Generated from `tiktok_pipeline/tables.py`; do not edit. Times are UTC; ids are text, because they exceed "
        "2^53; a count is null where the vendor did not say, never 0. In DuckDB times are `TIMESTAMP` and lists are "
        "comma-separated text.",
    ]
    for layer in ("raw", "normalized", "marts"):
        parts.append(f"## {layer.capitalize()}")
        parts.extend(_table(table) for table in TABLES.values() if table.layer == layer)
    parts.append("## Published views")
    parts.extend(f"### {view.name}\n\n{view.description}" for view in VIEWS.values())
    return "\n\n".join(parts) + "\n"


def _table(table: Table) -> str:
    place = _FILES[table.files].format(layer=table.layer, name=table.name)
    published = " Published." if table in PUBLISHED else ""
    head = f"### {table.name}\n\n{table.description}\n\n"
    about = f"- Grain: {table.grain}. Key: {', '.join(f'`{column}`' for column in table.key)}.{published}\n"
    rows = "\n".join(_column(column) for column in table.columns)
    return f"{head}{about}- Files: {place}\n\n| column | type | null | meaning |\n|---|---|---|---|\n{rows}"


def _column(column: Column) -> str:
    null = "may be" if column.nullable else "never"
    return f"| `{column.name}` | {type_name(column.dtype)} | {null} | {column.description} |"


def type_name(dtype: pl.DataType) -> str:
    """A type in words: `timestamp`, `text`, `integer`, ..."""
    names: dict[type[pl.DataType], str] = {
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
    return names[type(dtype)]


if __name__ == "__main__":
    PATH.write_text(dictionary(), encoding="utf-8")
