"""Detect posts that went viral around a stream: their new followers are part of the stream's lift.

See docs/methods.md 2.9. Between two captures of a post its views are interpolated linearly, unless the captures lie
too far apart; then only the captures themselves count. Without a capture the result is unknown, not harmless.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

Integers = NDArray[np.int64]

# A post brings most of its followers within its first day.
_BEFORE_START = _FIRST_DAY = timedelta(hours=24)
# In the window, as many views as the creator's usual post has in three first days (docs/methods.md 2.9).
_TIMES_USUAL = 3.0
# With fewer posts, the usual number of views is unknown.
_LEAST_POSTS = 3
# Posts are swept every six hours: one sweep may fail.
_LONGEST_LINE = timedelta(hours=13)
_POST = ["creator_id", "post_id"]


def viral_flags(windows: pl.DataFrame, posts: pl.LazyFrame, as_of: datetime) -> pl.DataFrame:
    """Return flags for posts that went viral in each window between two follower counts.

    Args:
        windows: stream_id, creator_id, started_at, before_at, after_at; none of them null.
        posts: POST_OBSERVATIONS schema, any order, repeated rows allowed.
        as_of: later captures are ignored.

    Returns:
        stream_id and viral: `viral_overlap` if a post published in the day before the start, or within the window,
        won three times a usual first day's views within it; `viral_unknown` if that is not known. Other streams
        have no row.
    """
    flagged = windows.select("stream_id", viral=pl.lit(None, pl.String))
    if windows.is_empty():
        return flagged
    usable = posts.filter(
        pl.col("observed_at") <= as_of,
        pl.col("creator_id").is_in(windows["creator_id"].unique().implode()),
        pl.col("views").is_not_null(),
        pl.col("published_at") <= pl.col("observed_at"),
    ).select(*_POST, "published_at", "observed_at", "views")
    # Of older posts only their first day counts, and the captures within interpolation reach of it.
    oldest = windows["started_at"].min() - _BEFORE_START  # type: ignore[operator]
    relevant = (pl.col("observed_at") - pl.col("published_at") <= _FIRST_DAY + _LONGEST_LINE) | (
        pl.col("published_at") >= oldest
    )
    rows, looked = pl.collect_all(
        [usable.filter(relevant), usable.group_by("creator_id").agg(looked_until=pl.col("observed_at").max())]
    )
    seen = _Views.of(rows)
    near = windows.join(seen.posts, on="creator_id").filter(
        pl.col("published_at") >= pl.col("started_at") - _BEFORE_START, pl.col("published_at") < pl.col("after_at")
    )
    near = near.hstack(seen.at(near, "before_at")).hstack(seen.at(near, "after_at"))
    near = near.join(_usual(seen), on="creator_id", how="left")

    def gained(until: str, since: str) -> pl.Expr:
        born_within = pl.col("published_at") >= pl.col("before_at")
        return pl.col(until) - pl.when(born_within).then(0.0).otherwise(since)

    loud = _TIMES_USUAL * pl.col("usual")
    likely, least, most = (
        gained("after_at_views", "before_at_views"),
        gained("after_at_least", "before_at_most"),
        gained("after_at_most", "before_at_least"),
    )
    found = near.group_by("stream_id").agg(
        overlap=pl.any_horizontal(likely > loud, least > loud).any(),
        harmless=pl.any_horizontal(likely <= loud, most <= loud).fill_null(value=False).all(),
    )
    flagged = windows.join(found, on="stream_id", how="left").join(looked, on="creator_id", how="left")
    complete = (pl.col("looked_until") >= pl.col("after_at")) & pl.col("harmless").fill_null(value=True)
    return flagged.select(
        "stream_id",
        viral=pl.when(pl.col("overlap"))
        .then(pl.lit("viral_overlap"))
        .when(~complete.fill_null(value=False))
        .then(pl.lit("viral_unknown")),
    ).drop_nulls("viral")


@dataclass(frozen=True, eq=False)
class _Views:
    """Views of posts by time, 0 at publication, never falling.

    posts: one row a post: creator_id, published_at and its number. post, at (microseconds), views: one row a post and
    instant, sorted.
    """

    posts: pl.DataFrame
    post: Integers
    time: Integers
    views: Integers

    @classmethod
    def of(cls, rows: pl.DataFrame) -> _Views:
        """Index captures: creator_id, post_id, published_at, observed_at, views; any order, repetitions allowed."""
        posts = rows.group_by(_POST).agg(pl.col("published_at").min()).sort(_POST).with_row_index("post")
        numbered = rows.join(posts.select(*_POST, "post"), on=_POST)
        born = posts["published_at"].dt.epoch("us").to_numpy()
        post = np.concatenate([posts["post"].to_numpy(), numbered["post"].to_numpy()]).astype(np.int64)
        time = np.concatenate([born, numbered["observed_at"].dt.epoch("us").to_numpy()])
        views = np.concatenate([np.zeros(born.size, np.int64), numbered["views"].to_numpy()])
        order = np.lexsort((views, time, post))
        post, time, views = post[order], time[order], views[order]
        last = np.append((np.diff(post) != 0) | (np.diff(time) != 0), True)[: post.size]
        post, time, views = post[last], time[last], views[last]
        # Ranks instead of views, higher from post to post: so the running maximum restarts with each post.
        levels, rank = np.unique(views, return_inverse=True)
        highest = np.maximum.accumulate(rank + post * levels.size) - post * levels.size
        return cls(posts.drop("post_id"), post, time, levels[highest] if post.size else views)

    def at(self, rows: pl.DataFrame, column: str) -> pl.DataFrame:
        """Return the views of the `post` of each row at the time in `column`: bounds by the captures around it.

        `_views` lies on the line between the two; null if they are too far apart. `_most` is null if no capture
        follows, `_least` if the post was not yet published.
        """
        post, at = rows["post"].to_numpy().astype(np.int64), rows[column].dt.epoch("us").to_numpy()
        since = self._position(post, at, "right") - 1
        until = self._position(post, at, "left")
        before = (since >= 0) & (self.post[np.maximum(since, 0)] == post)
        follows = until < self.post.size
        follows &= self.post[np.where(follows, until, 0)] == post
        since, until = np.where(before, since, 0), np.where(follows, until, 0)
        least, most = self.views[since].astype(np.float64), self.views[until].astype(np.float64)
        length = (self.time[until] - self.time[since]).astype(np.float64)
        share = np.divide(at - self.time[since], length, out=np.zeros(length.size), where=length > 0)
        near = before & follows & (length <= _LONGEST_LINE / timedelta(microseconds=1))
        found = {"least": (before, least), "most": (follows, most), "views": (near, least + share * (most - least))}
        return pl.DataFrame(
            {f"{column}_{name}": pl.Series(np.where(known, value, np.nan)) for name, (known, value) in found.items()}
        ).fill_nan(None)

    def _position(self, post: Integers, at: Integers, side: Literal["left", "right"]) -> Integers:
        """Return the position of each instant of a post among the rows."""
        begin = np.searchsorted(self.post, post, "left")
        if not self.time.size:
            return begin
        first = int(min(self.time.min(), at.min(initial=self.time[0])))
        span = int(max(self.time.max(), at.max(initial=self.time[0]))) - first + 1
        if (int(self.post[-1]) + 1) * span < 2**63:
            return np.searchsorted(self.post * span + (self.time - first), post * span + (at - first), side)
        end = np.searchsorted(self.post, post, "right")
        return np.array(
            [a + np.searchsorted(self.time[a:b], t, side) for a, b, t in zip(begin, end, at, strict=True)], np.int64
        )


def _usual(seen: _Views) -> pl.DataFrame:
    """Return creator_id, usual: the median of first-day views, over the posts that were captured around that age."""
    posts = seen.posts.with_columns(a_day_old=pl.col("published_at") + _FIRST_DAY)
    return (
        posts.hstack(seen.at(posts, "a_day_old"))
        .drop_nulls("a_day_old_views")
        .group_by("creator_id")
        .agg(usual=pl.col("a_day_old_views").median(), posts=pl.len())
        .filter(pl.col("posts") >= _LEAST_POSTS)
        .drop("posts")
    )
