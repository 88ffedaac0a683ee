"""How much room the deployment takes, as numbers that the UI plots."""

import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy

from tiktok_pipeline.defs.upkeep.kept import UPKEEP
from tiktok_pipeline.resources import Pipeline
from tiktok_pipeline.upkeep.sizes import Sizes, folder_size, measure

_ABOUT = """
Measures the lake by table, the warehouse, Dagster's own storage, and what is left on the disk; the numbers are in the
metadata, and *Plots* shows how they grow. Files of the lake that are cut off or are no Parquet are named.

Runs every day with the job `upkeep`, after the others of its group. It changes nothing.
"""


@dg.asset(description=_ABOUT, kinds={"parquet"}, deps=["raw_compaction", "raw_retention", "run_history"], **UPKEEP)
def storage_size(context: dg.AssetExecutionContext, pipeline: Pipeline) -> dg.MaterializeResult[None]:
    """Measure everything."""
    sizes = measure(pipeline.lake)
    for path in sizes.unreadable:
        context.log.warning("%s is no whole Parquet file: put it back from a backup, or move it out of the lake", path)
    pipeline.lake.root.mkdir(parents=True, exist_ok=True)
    metadata: dict[str, Any] = {
        "lake_files": sizes.total.files,
        "lake_megabytes": _megabytes(sizes.total.bytes),
        "unreadable_files": len(sizes.unreadable),
        "warehouse_megabytes": _megabytes(folder_size(pipeline.places.warehouse)),
        "free_gigabytes": round(shutil.disk_usage(pipeline.lake.root).free / 1e9, 2),
        "dagster_runs": context.instance.get_runs_count(),
        "dagster_megabytes": _megabytes(_dagster_bytes(context.instance)),
        **{f"megabytes_{name}": _megabytes(size.bytes) for name, size in sizes.tables.items()},
        **{f"files_{name}": size.files for name, size in sizes.tables.items()},
        "largest": dg.MetadataValue.md(_table(sizes)),
    }
    return dg.MaterializeResult(metadata=metadata)


def _dagster_bytes(instance: dg.DagsterInstance) -> int:
    """Runs, events and logs: the instance's folder, and the database where the event log is in one."""
    in_folder = folder_size(Path(instance.root_directory))
    connect = getattr(instance.event_log_storage, "index_connection", None)
    if connect is None:
        return in_folder
    with connect() as connection:
        if connection.dialect.name != "postgresql":
            return in_folder
        size = connection.execute(sqlalchemy.text("SELECT pg_database_size(current_database())")).scalar()
    return in_folder + int(size)


def _table(sizes: Sizes) -> str:
    largest = sorted(sizes.tables.items(), key=lambda item: item[1].bytes, reverse=True)
    rows = "\n".join(f"| {name} | {size.files:,} | {size.bytes / 1e6:,.1f} |" for name, size in largest if size.files)
    return f"| table | files | MB |\n|---|---:|---:|\n{rows}"


def _megabytes(size: int) -> float:
    return round(size / 1e6, 3)
