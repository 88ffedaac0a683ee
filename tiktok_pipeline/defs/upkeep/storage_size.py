"""The deployment's storage size, as numbers that the UI plots."""

import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy

from tiktok_pipeline.checks.health import whole_files
from tiktok_pipeline.defs.asset_checks import Results, result
from tiktok_pipeline.defs.upkeep.group import UPKEEP
from tiktok_pipeline.resources import Pipeline, plain_failures
from tiktok_pipeline.upkeep.sizes import Sizes, folder_size, measure

_ABOUT = """
Measures the lake by table, the warehouse, Dagster's storage and the free disk space. The numbers are in the metadata,
and *Plots* shows their growth. Unreadable files of the lake are listed, and so are files in places that no read looks
at, such as a copy of a day's folder.

Runs every day with the job `upkeep`, after the others of its group. Derived files are read to the last page; the next
`derive` rebuilds a damaged one.
"""


_FILES = dg.AssetCheckSpec(
    "files",
    asset="storage_size",
    description="Every file of the lake can be read as rows of its table: raw by its footer, others to the last page. "
    "A warning: it blocks nothing.",
)


@dg.asset(
    description=_ABOUT,
    kinds={"parquet"},
    deps=["raw_compaction", "raw_retention", "run_history"],
    check_specs=[_FILES],
    **UPKEEP,
)
def storage_size(context: dg.AssetExecutionContext, pipeline: Pipeline) -> Results:
    """Measure all storage."""
    with plain_failures():
        sizes = measure(pipeline.lake, pages=True)
    root = pipeline.lake.root
    damaged = [f"{path.relative_to(root)} ({reason})" for path, reason in sizes.damaged.items()]
    for path, reason in sizes.damaged.items():
        context.log.warning("%s is damaged, and no read uses it (%s)", path, reason)
    for path in sizes.stray:
        context.log.warning("%s is in a place that no read uses: move it out of the lake", path)
    for path in sizes.aside:
        context.log.warning("%s blocked a file and was moved there: inspect it, and delete it", path)
    pipeline.lake.root.mkdir(parents=True, exist_ok=True)
    metadata: dict[str, Any] = {
        "lake_files": sizes.total.files,
        "lake_megabytes": _megabytes(sizes.total.bytes),
        "unreadable_files": len(sizes.damaged),
        "stray_files": len(sizes.stray),
        "warehouse_megabytes": _megabytes(folder_size(pipeline.places.warehouse)),
        "free_gigabytes": round(shutil.disk_usage(pipeline.lake.root).free / 1e9, 2),
        "dagster_runs": context.instance.get_runs_count(),
        "dagster_megabytes": _megabytes(_dagster_bytes(context.instance)),
        **{f"megabytes_{name}": _megabytes(size.bytes) for name, size in sizes.tables.items()},
        **{f"files_{name}": size.files for name, size in sizes.tables.items()},
        "largest": dg.MetadataValue.md(_table(sizes)),
    }
    yield result("storage_size", _FILES.name, whole_files(damaged), severity=dg.AssetCheckSeverity.WARN)
    yield dg.MaterializeResult(metadata=metadata)


def _dagster_bytes(instance: dg.DagsterInstance) -> int:
    """Return the bytes of runs, events and logs: the instance's folder, and the event log's database if it has one."""
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
