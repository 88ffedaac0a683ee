"""The published tables in Postgres."""

from collections.abc import Iterator

import dagster as dg

from tiktok_pipeline.defs.asset_metadata import OWNER
from tiktok_pipeline.publish import postgres as server
from tiktok_pipeline.publish.catalog import FINGERPRINTS, PUBLISHED
from tiktok_pipeline.resources import Pipeline, plain_failures

_ABOUT = """
Publishes the tables and views of the DuckDB file to schema `tiktok` of the Postgres in `TIKTOK_PIPELINE_POSTGRES_URL`.
Skipped if that variable is not set.

Each publish is one transaction, and tables are never dropped. A query sees either the old or the new publication, and
users' views and grants stay. Only changed days are sent. If Postgres cannot be reached, this asset fails, and the
DuckDB file is still served. `rows_sent` is the number of rows that this run sent.
"""


@dg.asset(
    name="postgres",
    deps=[
        dg.AssetDep(table.name, partition_mapping=dg.AllPartitionMapping() if table.files == "day" else None)
        for table in PUBLISHED
    ],
    group_name="publish",
    owners=[OWNER],
    kinds={"postgres"},
    description=_ABOUT,
    metadata={"docs": dg.MetadataValue.path("docs/operations.md#publishing")},
    output_required=False,
)
def postgres(context: dg.AssetExecutionContext, pipeline: Pipeline) -> Iterator[dg.MaterializeResult[None]]:
    """Publish to Postgres, if it is configured."""
    url = pipeline.postgres_url()
    if url is None:
        context.log.info("Skipped postgres: TIKTOK_PIPELINE_POSTGRES_URL is not set")
        return
    with plain_failures():
        published = server.publish(
            url,
            pipeline.lake,
            now=pipeline.clock().now(),
            observation_days=pipeline.settings().publish.observation_days,
            fingerprints=pipeline.places.warehouse / FINGERPRINTS,
        )
    yield dg.MaterializeResult(
        metadata={
            "changed": published.changed,
            "rows_sent": published.sent,
            "dagster/row_count": sum(published.rows.values()),
            **{f"rows_{table}": rows for table, rows in published.rows.items()},
        }
    )
