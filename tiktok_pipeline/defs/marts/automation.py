"""The job and the schedule that derive and publish: everything after raw."""

from datetime import timedelta

import dagster as dg

from tiktok_pipeline.defs.guard import STATUS, every, stale_or_overlapping
from tiktok_pipeline.partitions import DAILY, day_range_tags
from tiktok_pipeline.resources import Pipeline

# An open stream ends, and a story grows, until the day after: the last days are derived with every run.
TRAILING_DAYS = 4

derive = dg.define_asset_job(
    "derive",
    selection=dg.AssetSelection.groups("normalized", "marts", "publish"),
    partitions_def=DAILY,
    description="Reads what landed, rebuilds streams, lift, boards and ledgers of some days, and publishes.",
)


@dg.schedule(
    name="derive",
    job=derive,
    cron_schedule=every(minutes=15, at_minute=7),
    default_status=STATUS,
    description="Every 15 minutes: derives the last four days and publishes, unless the last run is under way.",
)
def derive_schedule(context: dg.ScheduleEvaluationContext) -> dg.SkipReason | dg.RunRequest:
    """See the description."""
    pipeline = Pipeline()
    if pipeline.replaying:
        return dg.SkipReason("TIKTOK_PIPELINE_CLOCK=replay: derive with `tiktok-pipeline replay`")
    reason = stale_or_overlapping(context, "derive", timedelta(minutes=15))
    if reason is not None:
        return reason
    today = pipeline.clock().now().date()
    return dg.RunRequest(tags=day_range_tags(today - timedelta(days=TRAILING_DAYS - 1), today))
