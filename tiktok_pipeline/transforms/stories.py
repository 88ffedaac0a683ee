"""The `stories` mart: each story with its last counts, and its views at 1, 6 and 24 hours of age."""

from __future__ import annotations

import polars as pl

from tiktok_pipeline.tables import STORIES

# Include the creator in the key: an id in another creator's response is not this creator's story.
_STORY = ["creator_id", "story_id"]
_LIFE_H = 24.0
# Views at an age are interpolated between readings that are at most this far apart around it.
_LONGEST_GAP_H = 6.0
# The last reading cannot be at 24 h exactly: the story has expired then.
_NEARLY_OVER_H = 23.0


def stories(observations: pl.DataFrame) -> pl.DataFrame:
    """Return one row a creator and story.

    Args:
        observations: STORY_OBSERVATIONS schema, any order, repetitions allowed.

    Returns:
        STORIES schema, sorted by published_at, story_id and creator_id. A story without a publishing time belongs to no
        day and is left out.
    """
    seen = (
        observations.unique(subset=["capture_id", *_STORY])
        .with_columns(published_at=pl.col("published_at").min().over(_STORY))
        .filter(pl.col("published_at").is_not_null())
        .sort(*_STORY, "observed_at", "capture_id")
        .with_columns(
            age_h=(pl.col("observed_at") - pl.col("published_at")).dt.total_milliseconds() / 3_600_000,
        )
    )
    final = seen.group_by(_STORY, maintain_order=True).agg(
        pl.col("published_at").last(),
        pl.col("expires_at", "media_type").drop_nulls().last(),
        pl.col("views", "likes", "comments", "shares", "saves").drop_nulls().last(),
        observations=pl.len(),
        last_observed_at=pl.col("observed_at").max(),
        views_24h=pl.col("views").filter(pl.col("age_h") >= _NEARLY_OVER_H).last(),
        completeness=(pl.col("age_h").max() / _LIFE_H).clip(0.0, 1.0),
    )
    with_ages = final.join(_views_at(seen, 1.0), on=_STORY, how="left").join(
        _views_at(seen, 6.0), on=_STORY, how="left"
    )
    return STORIES.conform(with_ages.sort("published_at", "story_id", "creator_id"))


def _views_at(seen: pl.DataFrame, age_h: float) -> pl.DataFrame:
    """Return views at an age, interpolated between the readings around it; a story begins with none."""
    publication = seen.select(_STORY).unique().with_columns(age_h=pl.lit(0.0), views=pl.lit(0, pl.Int64))
    points = (
        pl.concat([publication, seen.select(*_STORY, "age_h", "views").drop_nulls("views")])
        .sort(*_STORY, "age_h", "views")
        .with_columns(
            next_age=pl.col("age_h").shift(-1).over(_STORY),
            next_views=pl.col("views").shift(-1).over(_STORY),
        )
        .filter(
            pl.col("age_h") <= age_h,
            pl.col("next_age") > age_h,
            pl.col("next_age") - pl.col("age_h") <= _LONGEST_GAP_H,
        )
    )
    share = (age_h - pl.col("age_h")) / (pl.col("next_age") - pl.col("age_h"))
    views = pl.col("views") + share * (pl.col("next_views") - pl.col("views"))
    return points.select(*_STORY, views.round().cast(pl.Int64).alias(f"views_{age_h:.0f}h"))
