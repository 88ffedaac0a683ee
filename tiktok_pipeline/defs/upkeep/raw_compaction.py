"""Raw files of closed hours, compacted into one file each."""

from datetime import timedelta

import dagster as dg

from tiktok_pipeline.defs.upkeep.group import UPKEEP
from tiktok_pipeline.resources import Pipeline, plain_failures
from tiktok_pipeline.tables import RAW_TABLES
from tiktok_pipeline.upkeep.compaction import compact

_ABOUT = """
Compacts the raw files of each closed hour into one, sorted by creator and time. An hour is closed when no window can
write to it any more. No row is lost: the compacted file is read back and compared before the others are deleted, and
readers see each capture once meanwhile. The next run adds late files.

Runs every day with the job `upkeep` and changes only raw. A damaged file, or one with columns that this release does
not know, stays unchanged and is named in the log.
"""


@dg.asset(description=_ABOUT, kinds={"parquet"}, **UPKEEP)
def raw_compaction(context: dg.AssetExecutionContext, pipeline: Pipeline) -> dg.MaterializeResult[None]:
    """Compact every closed hour with more than one file."""
    with plain_failures():
        done = compact(
            pipeline.lake,
            RAW_TABLES,
            now=pipeline.clock().now(),
            window=timedelta(minutes=pipeline.settings().watch.window_minutes),
        )
    for problem in done.problems:
        context.log.warning(problem)
    return dg.MaterializeResult(
        metadata={
            "hours_folded": done.hours,
            "dagster/row_count": done.rows,
            "files_before": done.files_before,
            "files_after": done.files_after,
            "megabytes_before": round(done.bytes_before / 1e6, 3),
            "megabytes_after": round(done.bytes_after / 1e6, 3),
            "left_as_they_were": len(done.problems),
        }
    )
