"""The `vendor_usage` mart: requests by vendor and endpoint, their outcomes and their cost."""

from __future__ import annotations

import polars as pl

from tiktok_pipeline.providers.vendor import Outcome
from tiktok_pipeline.tables import VENDOR_USAGE

# One request costs a few credits; a million is a malformed header.
_MOST_CREDITS = 1e6


def vendor_usage(attempts: pl.DataFrame) -> pl.DataFrame:
    """Return one row a day, vendor and endpoint.

    Args:
        attempts: raw rows; vendor, endpoint, requested_at, outcome, credits and elapsed_ms are used.

    Returns:
        VENDOR_USAGE schema. Latency is of attempts with a response.
    """
    # A charge that is no number, negative or implausible is unknown, whatever the vendor reports.
    credits = pl.when(pl.col("credits").is_finite(), pl.col("credits").is_between(0, _MOST_CREDITS)).then("credits")
    latency = pl.col("elapsed_ms").filter(pl.col("http_status").is_not_null())
    return VENDOR_USAGE.conform(
        attempts.with_columns(day=pl.col("requested_at").dt.date(), credits=credits)
        .group_by("day", "vendor", "endpoint")
        .agg(
            requests=pl.len(),
            **{outcome.value: (pl.col("outcome") == outcome.value).sum() for outcome in Outcome},
            credits=pl.when(pl.col("credits").is_not_null().any()).then(pl.col("credits").sum()),
            not_billed=(pl.col("credits") == 0).sum(),
            p50_ms=latency.quantile(0.5, "nearest"),
            p95_ms=latency.quantile(0.95, "nearest"),
        )
        .sort("day", "vendor", "endpoint")
    )
