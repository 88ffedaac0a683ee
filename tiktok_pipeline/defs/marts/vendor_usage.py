"""The mart `vendor_usage`."""

from datetime import UTC, date, datetime, timedelta
from functools import partial

import dagster as dg
import polars as pl

from tiktok_pipeline.capture.clock import hours_between
from tiktok_pipeline.checks import health
from tiktok_pipeline.defs.asset_checks import Results
from tiktok_pipeline.defs.asset_metadata import describe, shown
from tiktok_pipeline.defs.marts.daily import DAILY_MART, numbers, write_each_day
from tiktok_pipeline.partitions import neighbours
from tiktok_pipeline.resources import Pipeline
from tiktok_pipeline.tables import RAW_TABLES, VENDOR_USAGE
from tiktok_pipeline.transforms.raw_rows import usable
from tiktok_pipeline.transforms.vendor_usage import vendor_usage as account
from tiktok_pipeline.upkeep.retention import retired

_ABOUT = """
The cost ledger: every HTTP attempt, by outcome, with latency and with credits as the vendor reported them (else by its
price list). `not_billed` counts the attempts that are known to be free. `credits` excludes attempts without a known
cost.
"""


@dg.asset(
    deps=[neighbours(raw.name) for raw in RAW_TABLES],
    description=describe(VENDOR_USAGE, _ABOUT),
    **DAILY_MART,
    **shown(VENDOR_USAGE),
)
def vendor_usage(context: dg.AssetExecutionContext, pipeline: Pipeline) -> Results:
    """Account for every attempt of each day."""

    def account_for(day: date) -> pl.DataFrame:
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        hours = hours_between(start, start + timedelta(days=1))
        columns = ("vendor", "endpoint", "requested_at", "outcome", "http_status", "credits", "elapsed_ms")
        attempts = [usable(pipeline.lake.scan_raw(table, hours).select(columns)) for table in RAW_TABLES]
        # The raw rows of the day were removed: keep the stored result, which is the only one.
        if retired(pipeline.lake, day):
            return pipeline.lake.scan_days(VENDOR_USAGE, day, day).collect()
        return account(pl.concat(attempts).collect())

    settings = pipeline.settings()
    warnings = {
        "vendor_errors": partial(health.vendor_errors, settings=settings.checks),
        "budget": partial(health.budget, vendors=settings.vendors, settings=settings.checks),
    }
    yield from write_each_day(context, pipeline, VENDOR_USAGE, account_for, pl.col("day"), _numbers, warnings)


def _numbers(frame: pl.DataFrame) -> dict[str, float | None]:
    # The slowest of a vendor's endpoints: percentiles of several cannot be added.
    by_vendor = frame.group_by("vendor").agg(pl.sum("requests", "credits"), pl.max("p95_ms")).sort("vendor")
    shown: dict[str, float | None] = dict(numbers(frame, ("requests", "credits")))
    for of in by_vendor.iter_rows(named=True):
        shown |= {f"{name}_{of['vendor']}": of[name] for name in ("requests", "credits", "p95_ms")}
    return shown
