"""How a table is shown in the Dagster UI: schema, description and tags from `tables.py`, once for all assets."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import dagster as dg
import polars as pl

from tiktok_pipeline.defs.checked import check_specs
from tiktok_pipeline.tables import TABLES, Table

OWNER = "team:data"

# `derive` runs every 15 minutes: one run may be lost. This is about runs; the check `freshness` is about readings.
SERVED = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=2), warn_window=timedelta(minutes=45))


def column_schema(table: Table) -> dg.TableSchema:
    """The table's columns with types and descriptions."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                _type_name(column.dtype),
                description=column.description,
                constraints=dg.TableColumnConstraints(nullable=column.nullable),
            )
            for column in table.columns
        ]
    )


def column_lineage(table: Table) -> dg.TableColumnLineage:
    """What each column is made of, as far as it is made of other assets' columns."""
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
    """Arguments that every table has: of @asset, and of AssetSpec where tables are made together."""
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
            **({"dagster/column_lineage": column_lineage(table)} if table.sources else {}),
        },
    }


def describe(table: Table, more: str) -> str:
    """The description in the UI: what the table is, its grain and key, and what else a reader must know."""
    return f"{table.description}\n\n**Grain**: {table.grain}. **Key**: {', '.join(table.key)}.\n\n{more.strip()}"


def _type_name(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.Datetime):
        return "timestamp[us, UTC]"
    return str(dtype).lower().replace("list(string)", "list[string]")
