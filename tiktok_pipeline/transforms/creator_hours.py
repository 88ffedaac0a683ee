"""The `creator_hours` mart: airtime, viewers and lift of each creator by hour of the week (UTC)."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from tiktok_pipeline.tables import CREATOR_HOURS
from tiktok_pipeline.transforms.hour_estimates import hour_estimates
from tiktok_pipeline.transforms.stream_hours import mean_viewers

# Audiences and habits change: older streams say little about the next one.
ESTIMATED_FROM = timedelta(days=84)


def creator_hours(hours: pl.DataFrame | pl.LazyFrame) -> pl.DataFrame:
    """Return one row a creator, weekday and hour with airtime.

    Args:
        hours: STREAM_HOURS schema, of any span.

    Returns:
        CREATOR_HOURS schema, sorted by its key. Sums are null, not 0, if all values are null. Sums are over all of
        `hours`, estimates over its last `ESTIMATED_FROM`.
    """
    newest = pl.col("hour").max()
    recent = hours.lazy().filter(pl.col("hour") > newest - ESTIMATED_FROM).collect()
    return CREATOR_HOURS.conform(
        hours.lazy()
        .with_columns(weekday=pl.col("hour").dt.weekday(), hour=pl.col("hour").dt.hour(), moment="hour")
        # Sums of floats depend on their order: the same rows must give the same bytes.
        .sort("stream_id", "moment")
        .group_by("creator_id", "weekday", "hour", maintain_order=True)
        .agg(
            pl.col("airtime_s").sum(),
            pl.col("peak_viewers").max(),
            *(sum_or_null(column) for column in ("hours_watched", "counted_s", "lift")),
            streams=pl.col("stream_id").n_unique(),
        )
        .with_columns(average_viewers=mean_viewers(pl.col("hours_watched"), pl.col("counted_s")))
        .sort("creator_id", "weekday", "hour")
        .collect()
        .join(hour_estimates(recent), on=["creator_id", "weekday", "hour"], how="left", maintain_order="left")
    )


def sum_or_null(column: str) -> pl.Expr:
    """Return a sum that is null, not 0, if all values are null."""
    return pl.when(pl.col(column).is_not_null().any()).then(pl.col(column).sum()).alias(column)
