"""The `coverage` mart: how well each creator was watched, day by day."""

from __future__ import annotations

import polars as pl

from tiktok_pipeline.tables import COVERAGE


def coverage(live: pl.DataFrame, creator_ids: pl.Series, day_columns: pl.DataFrame) -> pl.DataFrame:
    """One row a day and creator, also for a creator whom nobody asked about.

    Args:
        live: LIVE_OBSERVATIONS schema.
        creator_ids: everybody who should have been watched.
        day_columns: one column `day`: the days to report.

    Returns:
        COVERAGE schema. Gaps are between readings of that day that said something.
    """
    polls = (
        live.unique(subset="capture_id")
        .with_columns(day=pl.col("observed_at").dt.date(), known=pl.col("live_state") != "unknown")
        .sort("creator_id", "day", "observed_at")
    )
    gaps = (
        polls.filter("known")
        .with_columns(gap_s=pl.col("observed_at").diff().over("creator_id", "day").dt.total_milliseconds() / 1000)
        .group_by("creator_id", "day")
        .agg(largest_gap_s=pl.col("gap_s").max(), median_gap_s=pl.col("gap_s").median())
    )
    counted = polls.group_by("creator_id", "day").agg(
        polls=pl.len(),
        known_polls=pl.col("known").sum(),
        unknown_share=(~pl.col("known")).mean(),
    )
    everybody = pl.concat([creator_ids.rename("creator_id"), polls["creator_id"]]).unique().to_frame()
    return COVERAGE.conform(
        everybody.join(day_columns, how="cross")
        .join(counted, on=["creator_id", "day"], how="left")
        .join(gaps, on=["creator_id", "day"], how="left")
        .with_columns(pl.col("polls", "known_polls").fill_null(0))
        .sort("day", "creator_id")
    )
