"""Deletion of raw days beyond their retention."""

import dagster as dg

from tiktok_pipeline.defs.upkeep.group import UPKEEP
from tiktok_pipeline.resources import Pipeline, plain_failures
from tiktok_pipeline.upkeep.retention import retire

_ABOUT = """
Deletes raw days older than `[retention] raw_days`, all tables of a day at once. Off unless that is set: raw is the only
source, and a day without raw cannot be derived again. A setting below the look-back of `derive` is refused. Normalized
tables and marts of deleted days stay.

Also deletes files that killed processes left in the lake's staging folder. Runs every day with the job `upkeep`.
"""


@dg.asset(description=_ABOUT, kinds={"parquet"}, **UPKEEP)
def raw_retention(context: dg.AssetExecutionContext, pipeline: Pipeline) -> dg.MaterializeResult[None]:
    """Delete raw days that are too old, and log them."""
    with plain_failures():
        done = retire(
            pipeline.lake, today=pipeline.clock().now().date(), raw_days=pipeline.settings().retention.raw_days
        )
    if done.days:
        context.log.info(
            "Removed raw of %s to %s (days: %d, files: %d, MB: %.1f)",
            done.days[0], done.days[-1], len(done.days), done.files, done.bytes / 1e6,
        )  # fmt: skip
    return dg.MaterializeResult(
        metadata={
            "days_removed": len(done.days),
            "removed": ", ".join(f"{day}" for day in done.days) or "nothing",
            "files_removed": done.files,
            "megabytes_removed": round(done.bytes / 1e6, 3),
            "abandoned_files_removed": done.abandoned,
        }
    )
