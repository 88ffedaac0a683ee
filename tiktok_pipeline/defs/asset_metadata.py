"""Metadata of a table in the Dagster UI: schema, description and tags from `tables.py`, once for all assets."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import dagster as dg
import polars as pl

from tiktok_pipeline.defs.asset_checks import check_specs
from tiktok_pipeline.publish.catalog import PUBLISHED
from tiktok_pipeline.tables import TABLES, Table

OWNER = "team:data"

# `derive` runs every 15 minutes: one run may be lost. This is about runs; the check `freshness` is about readings.
SERVED = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=2), warn_window=timedelta(minutes=45))


def column_schema(table: Table) -> dg.TableSchema:
    """Return the table's columns with types, descriptions, and their sources."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                _type_name(column.dtype),
                description=column.description + _made_of(table.lineage.get(column.name, ())),
                constraints=dg.TableColumnConstraints(nullable=column.nullable),
            )
            for column in table.columns
        ]
    )


def column_lineage(table: Table) -> dg.TableColumnLineage:
    """Return the source columns of each column, as far as they belong to other assets."""
    return dg.TableColumnLineage(
        {
            column: [
                dg.TableColumnDep(asset_key=dg.AssetKey(source), column_name=name)
                for source, name in made_of
                if source in TABLES
            ]
            for column, made_of in table.lineage.items()
        }
    )


def shown(table: Table) -> dict[str, Any]:
    """Return arguments that every table has: of @asset, and of AssetSpec if tables are made together."""
    arguments = _introduced(table)
    if table.layer == "marts":
        arguments |= {"check_specs": check_specs(table), "freshness_policy": SERVED}
    return arguments


def _introduced(table: Table) -> dict[str, Any]:
    return {
        "group_name": table.layer,
        "owners": [OWNER],
        "kinds": {"raw": {"http", "parquet"}}.get(table.layer, {"polars", "parquet"}),
        "metadata": {
            "dagster/column_schema": column_schema(table),
            "grain": table.grain,
            "key": ", ".join(table.key),
            "docs": dg.MetadataValue.path(f"docs/data-dictionary.md#{table.name}"),
            # The name of the table in Postgres and in an attached DuckDB file.
            **({"dagster/relation_identifier": f"tiktok.{table.name}"} if table in PUBLISHED else {}),
            **({"dagster/column_lineage": column_lineage(table)} if table.sources else {}),
        },
    }


def describe(table: Table, more: str) -> str:
    """Return the description for the UI: the table, further facts, its grain and key."""
    return f"{table.description}\n\n{more.strip()}\n\n**Grain**: {table.grain}. **Key**: {', '.join(table.key)}."


def _made_of(sources: Iterable[tuple[str, str]]) -> str:
    """Return a line below a column's description: Dagster's own page does not draw the lineage of columns."""
    columns: dict[str, list[str]] = {}
    for source, column in sources:
        columns.setdefault(source, []).append(column)
    # Tables with the same columns are named together.
    together: dict[tuple[str, ...], list[str]] = {}
    for source, names in columns.items():
        together.setdefault(tuple(names), []).append(source)
    listed = [f"{', '.join(sources)} ({', '.join(names)})" for names, sources in together.items()]
    return f"\n\n*From {'; '.join(listed)}*" if listed else ""


def _type_name(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.Datetime):
        return "timestamp[us, UTC]"
    return str(dtype).lower().replace("list(string)", "list[string]")
