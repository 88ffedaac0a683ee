"""The `coverage` mart: how densely each creator was polled, day by day."""

from __future__ import annotations

import polars as pl

from tiktok_pipeline.tables import COVERAGE


def coverage(live: pl.DataFrame | pl.LazyFrame, creator_ids: pl.Series, day_columns: pl.DataFrame) -> pl.DataFrame:
    """Return one row a day and creator, also for a creator without any poll.

    Args:
        live: LIVE_OBSERVATIONS schema; of a scan only the needed columns are read.
        creator_ids: all creators that should have been polled.
        day_columns: one column `day`: the days to report.

    Returns:
        COVERAGE schema. Gaps are between readings of that day with a known live state.
    """
    polls = (
        live.lazy()
        .select("capture_id", "creator_id", "observed_at", known=pl.col("live_state") != "unknown")
        .unique(subset="capture_id")
        .with_columns(day=pl.col("observed_at").dt.date())
        # By time alone: rows of a creator stay together in the groups.
        .sort("observed_at")
        .collect()
    )
    gap_s = pl.col("observed_at").filter("known").diff().dt.total_milliseconds() / 1000
    counted = polls.group_by("creator_id", "day", maintain_order=True).agg(
        polls=pl.len(),
        known_polls=pl.col("known").sum(),
        unknown_share=(~pl.col("known")).mean(),
        largest_gap_s=gap_s.max(),
        median_gap_s=gap_s.median(),
    )
    all_creators = pl.concat([creator_ids.rename("creator_id"), counted["creator_id"]]).unique().to_frame()
    return COVERAGE.conform(
        all_creators.join(day_columns, how="cross")
        .join(counted, on=["creator_id", "day"], how="left")
        .with_columns(pl.col("polls", "known_polls").fill_null(0))
        .sort("day", "creator_id")
    )
