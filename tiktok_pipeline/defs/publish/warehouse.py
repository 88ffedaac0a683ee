"""The published warehouse: a DuckDB file for BI tools."""

import dagster as dg
from dagster_duckdb import DuckDBResource
from pydantic import Field

from tiktok_pipeline.checks.health import whole_files
from tiktok_pipeline.defs.asset_checks import Results, result, warn_of_damage
from tiktok_pipeline.defs.asset_metadata import OWNER, SERVED
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.publish import duckdb_file as snapshots
from tiktok_pipeline.publish.catalog import PUBLISHED
from tiktok_pipeline.resources import Pipeline, plain_failures

_ABOUT = """
The served copy of every mart and table of observations: `warehouse/tiktok.duckdb` (a link to the newest read-only
snapshot; DuckDB 1.2 and later open it) and `warehouse/parquet/<table>.parquet`.

The new snapshot is a copy of the old one in which the changed days of the changed tables are replaced. It is checked
and swapped in atomically: readers never wait and never see a mix. If nothing has changed, nothing is replaced. After
an upgrade, or if the old snapshot cannot be used, a full build makes the new one from all files; `full_build` in the
launchpad requests that. Both ways give the same rows; `built` in the metadata says whether it was a full build.

Tables of observations hold the last `[publish] observation_days`, 90 by default. Marts are whole.

Views: `live_now`, `leaderboard_today`, `leaderboard_overview`, `stream_overview`, `movers`, `went_dark`.
"""


_FILES = dg.AssetCheckSpec(
    "files",
    asset="warehouse",
    description="Every file of the lake that is published could be read. A warning: all other files are published.",
)


class PublishConfig(dg.Config):
    """How to publish."""

    full_build: bool = Field(
        default=False,
        description="Build the snapshot and its Parquet files from all files of the lake, even if nothing changed.",
    )


@dg.asset(
    deps=[
        dg.AssetDep(table.name, partition_mapping=dg.AllPartitionMapping() if table.files == "day" else None)
        for table in PUBLISHED
    ],
    group_name="publish",
    owners=[OWNER],
    kinds={"duckdb", "parquet"},
    freshness_policy=SERVED,
    description=_ABOUT,
    metadata={"docs": dg.MetadataValue.path("docs/bi.md")},
    check_specs=[_FILES],
)
def warehouse(
    context: dg.AssetExecutionContext, config: PublishConfig, pipeline: Pipeline, duckdb: DuckDBResource
) -> Results:
    """Publish a snapshot of the lake."""
    # A separate list: files that other assets skipped may be repaired by now.
    lake = Lake(pipeline.lake.root)
    settings = pipeline.settings()
    with plain_failures(), duckdb.get_connection() as connection:
        try:
            published = snapshots.publish(
                connection,
                lake,
                pipeline.places.warehouse,
                now=pipeline.clock().now(),
                keep=settings.retention.snapshots,
                observation_days=settings.publish.observation_days,
                mode="full" if config.full_build else "changed",
            )
        finally:
            # The resource closes only if its body does not raise, and an open connection holds the lock.
            connection.close()
    passed_over = warn_of_damage(context, lake)
    yield result("warehouse", _FILES.name, whole_files(passed_over), severity=dg.AssetCheckSeverity.WARN)
    yield dg.MaterializeResult(
        metadata={
            "dagster/uri": str(pipeline.places.warehouse / snapshots.LINK),
            "changed": published.changed,
            "built": published.changed and published.built,
            "files_changed": published.files,
            "megabytes": round(published.snapshot.stat().st_size / 1e6, 2),
            "dagster/row_count": sum(published.rows.values()),
            **{f"rows_{table}": rows for table, rows in published.rows.items()},
        }
    )
