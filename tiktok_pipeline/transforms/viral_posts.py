"""Whether a post took off around a stream: the followers that it brought stand in the stream's lift.

Section 2.5 of the methods. Between two captures of a post its views are read off a straight line, unless they lie
too far apart; then only what the captures themselves say counts. What nobody looked at is unknown, not harmless.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

# A post brings most of its followers within its first day.
_BEFORE_START = _FIRST_DAY = timedelta(hours=24)
# Within the window as many views as the creator's usual post has in three first days (methods, 2.5).
_TIMES_USUAL = 3.0
# Of fewer posts, nobody can say what is usual.
_LEAST_POSTS = 3
# Posts are swept every six hours: one sweep may fail.
_LONGEST_LINE = timedelta(hours=13)
_POST = ["creator_id", "post_id"]


def viral_flags(windows: pl.DataFrame, posts: pl.LazyFrame, as_of: datetime) -> pl.DataFrame:
    """What posts say of each window between two follower counts.

    Args:
        windows: stream_id, creator_id, started_at, before_at, after_at; none of them null.
        posts: POST_OBSERVATIONS schema, any order, repeated rows allowed.
        as_of: later captures are not looked at.

    Returns:
        stream_id and viral: `viral_overlap` where a post published in the day before the start, or within the window,
        won three times a usual first day's views within it; `viral_unknown` where that cannot be told. Other streams
        are not in it.
    """
    seen = _views(posts.filter(pl.col("observed_at") <= as_of))
    near = windows.join(
        seen.group_by(_POST, maintain_order=True).agg(pl.col("published_at").first()), on="creator_id"
    ).filter(
        pl.col("published_at") >= pl.col("started_at") - _BEFORE_START, pl.col("published_at") < pl.col("after_at")
    )
    near = _read_off(_read_off(near, seen, "before_at"), seen, "after_at").join(
        _usual(seen), on="creator_id", how="left"
    )

    def gained(until: str, since: str) -> pl.Expr:
        born_within = pl.col("published_at") >= pl.col("before_at")
        return pl.col(until) - pl.when(born_within).then(0.0).otherwise(since)

    loud = _TIMES_USUAL * pl.col("usual")
    likely, least, most = (
        gained("after_at_views", "before_at_views"),
        gained("after_at_least", "before_at_most"),
        gained("after_at_most", "before_at_least"),
    )
    told = near.group_by("stream_id").agg(
        overlap=pl.any_horizontal(likely > loud, least > loud).any(),
        harmless=pl.any_horizontal(likely <= loud, most <= loud).fill_null(value=False).all(),
    )
    looked = seen.group_by("creator_id").agg(looked_until=pl.col("observed_at").max())
    flagged = windows.join(told, on="stream_id", how="left").join(looked, on="creator_id", how="left")
    complete = (pl.col("looked_until") >= pl.col("after_at")) & pl.col("harmless").fill_null(value=True)
    return flagged.select(
        "stream_id",
        viral=pl.when(pl.col("overlap"))
        .then(pl.lit("viral_overlap"))
        .when(~complete.fill_null(value=False))
        .then(pl.lit("viral_unknown")),
    ).drop_nulls("viral")


def _views(posts: pl.LazyFrame) -> pl.DataFrame:
    """Views of each post by time, 0 at its publication, never falling: sorted, one row a post and instant."""
    seen = posts.select(*_POST, "published_at", "observed_at", "views").filter(
        pl.col("views").is_not_null(), pl.col("published_at") <= pl.col("observed_at")
    )
    born = seen.select(*_POST, "published_at", observed_at="published_at", views=pl.lit(0, pl.Int64))
    return (
        pl.concat([seen, born])
        .group_by(*_POST, "observed_at")
        .agg(pl.col("published_at").min(), pl.col("views").max())
        .sort(*_POST, "observed_at")
        .with_columns(pl.col("published_at").min().over(_POST), pl.col("views").cum_max().over(_POST))
        .collect()
    )


def _usual(seen: pl.DataFrame) -> pl.DataFrame:
    """creator_id, usual: the median of first-day views, over the posts that were captured around that age."""
    posts = seen.group_by(_POST).agg(a_day_old=pl.col("published_at").first() + _FIRST_DAY)
    return (
        _read_off(posts, seen, "a_day_old")
        .drop_nulls("a_day_old_views")
        .group_by("creator_id")
        .agg(usual=pl.col("a_day_old_views").median(), posts=pl.len())
        .filter(pl.col("posts") >= _LEAST_POSTS)
        .drop("posts")
    )


def _read_off(rows: pl.DataFrame, seen: pl.DataFrame, at: str) -> pl.DataFrame:
    """`rows` with views of their post at the time `at`: `_least` and `_most` by the captures around it, and `_views`.

    `_views` lies on the line between the two; null where they are too far apart. `_most` is null where no capture
    follows, `_least` where the post was not there yet.
    """
    captures = seen.select(*_POST, "observed_at", "views").sort("observed_at")
    least = captures.rename({"observed_at": "_since", "views": f"{at}_least"})
    most = captures.rename({"observed_at": "_until", "views": f"{at}_most"})
    around = (
        rows.sort(at)
        .join_asof(least, left_on=at, right_on="_since", by=_POST, check_sortedness=False)
        .join_asof(most, left_on=at, right_on="_until", by=_POST, strategy="forward", check_sortedness=False)
    )
    length = pl.col("_until") - pl.col("_since")
    share = pl.when(length > timedelta(0)).then((pl.col(at) - pl.col("_since")) / length).otherwise(0.0)
    line = pl.col(f"{at}_least") + share * (pl.col(f"{at}_most") - pl.col(f"{at}_least"))
    return around.with_columns(pl.when(length <= _LONGEST_LINE).then(line).alias(f"{at}_views")).drop(
        "_since", "_until"
    )
