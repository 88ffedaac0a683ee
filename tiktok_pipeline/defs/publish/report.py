"""The published report: one HTML page for people."""

import base64
import time

import dagster as dg

from tiktok_pipeline.defs.asset_metadata import OWNER
from tiktok_pipeline.publish.duckdb_file import LINK
from tiktok_pipeline.publish.report.current import current_report
from tiktok_pipeline.resources import Pipeline, plain_failures

# The picture is a sixth of the data that a run of `derive` writes into Dagster's event log: one an hour is enough.
_PICTURE_EVERY_S = 3600
_MOST_RUNS = 12

_ABOUT = """
The report as one self-contained page, `report/index.html`: live creators, leaders, the last streams with lift and
interval, movers, hours of the week, stories, recaps, and the quality of the observations.

It reads only the newest snapshot of `warehouse`, so it agrees with the BI tools. It is replaced atomically. It needs no
server and no network: mail it, print it or put it on a file share. `tiktok-pipeline report` writes it by hand. A page
that shows the served snapshot is not written again (`written` in the metadata).
"""


@dg.asset(
    deps=["warehouse"],
    group_name="publish",
    owners=[OWNER],
    kinds={"html", "altair"},
    description=_ABOUT,
    metadata={"docs": dg.MetadataValue.path("docs/methods.md")},
)
def report(context: dg.AssetExecutionContext, pipeline: Pipeline) -> dg.MaterializeResult[None]:
    """Make the page of the newest snapshot."""
    snapshot, page = pipeline.places.warehouse / LINK, pipeline.places.report
    with plain_failures():
        written = current_report(snapshot, page)
        if written is None:
            # Altair takes half a second to import, which every process that loads the definitions would pay.
            from tiktok_pipeline.publish.report.page import write_report  # noqa: PLC0415

            written = write_report(snapshot, page)
    metadata: dict[str, dg.MetadataValue] = {
        "dagster/uri": dg.MetadataValue.text(str(written.path)),
        "page": dg.MetadataValue.url(written.path.as_uri()),
        "megabytes": dg.MetadataValue.float(round(written.size / 1e6, 2)),
        "written": dg.MetadataValue.bool(written.written),
        "creators_live": dg.MetadataValue.int(written.live),
        "streams_shown": dg.MetadataValue.int(written.streams),
    }
    if written.picture is not None and not _has_picture_of(context.instance, time.time() - _PICTURE_EVERY_S):
        picture = base64.b64encode(written.picture).decode()
        metadata["lifts"] = dg.MetadataValue.md(f"![Lift of the surest streams](data:image/png;base64,{picture})")
    # Dagster stores the metadata of a MaterializeResult twice: with the output of the step as well.
    context.add_asset_metadata(metadata)
    return dg.MaterializeResult()


def _has_picture_of(instance: dg.DagsterInstance, since: float) -> bool:
    """Return whether a materialization since then (seconds of the epoch) shows the picture."""
    lately = dg.AssetRecordsFilter(asset_key=dg.AssetKey("report"), after_timestamp=since)
    records = instance.fetch_materializations(lately, limit=_MOST_RUNS).records
    events = [record.asset_materialization for record in records]
    return any("lifts" in event.metadata for event in events if event is not None)
