"""The `recaps` mart: posts that show moments of a stream, by publishing time and caption.

The score is logistic (docs/methods.md 6.1): points for words and for the time after a known stream, less
points for announcements and for similar expressions. `recap_lexicon` has the words.
"""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from tiktok_pipeline.config.settings import Recaps
from tiktok_pipeline.tables import RECAPS
from tiktok_pipeline.transforms.recap_lexicon import HITS, plain

METHOD = "lexicon/2"

# Bands by hours since the stream's end, soonest first; the last one reaches as far as the settings allow.
_BANDS_H = {"3h": 3, "24h": 24}
_LAST_BAND = "72h"


def recaps(posts: pl.DataFrame, streams: pl.DataFrame, *, settings: Recaps) -> pl.DataFrame:
    """Return one row a creator and post with a score that reaches the threshold.

    Args:
        posts: POST_OBSERVATIONS schema, any order, repetitions allowed.
        streams: STREAMS schema; those that began up to the window before the posts.
        settings: points, window and threshold.

    Returns:
        RECAPS schema, sorted by published_at, post_id and creator_id. A post without a publishing time belongs to no
        day and is left out.
    """
    scored = _linked(_latest(posts), streams, settings).with_columns(
        plain(pl.col("caption").fill_null("")).str.contains(pattern).alias(name) for name, pattern in HITS.items()
    )
    # At a concert, "in the live" is no live of the creator.
    scored = scored.with_columns(moment=pl.col("moment") & ~pl.col("noise"))
    of_band = {
        "during": settings.during,
        "3h": settings.soon,
        "24h": settings.next_day,
        "72h": settings.later,
    }
    points = pl.sum_horizontal(
        pl.lit(settings.base),
        *(pl.col(name).cast(pl.Float64) * getattr(settings, name) for name in HITS),
        (pl.col("live") & pl.col("recap")).cast(pl.Float64) * settings.both,
        pl.col("band").replace_strict(of_band, default=settings.no_stream, return_dtype=pl.Float64),
    )
    # Sums of tenths must not miss a round threshold because of the last bit.
    score = (1 / (1 + (-points).exp())).round(6)
    return RECAPS.conform(
        scored.with_columns(
            score=score,
            hits=pl.concat_list(pl.when(pl.col(name)).then(pl.lit(name)) for name in HITS).list.drop_nulls(),
            method=pl.lit(METHOD),
        )
        .filter(pl.col("score") >= settings.threshold)
        .sort("published_at", "post_id", "creator_id")
    )


def _latest(posts: pl.DataFrame) -> pl.DataFrame:
    """Return each post once, with its last caption and counts."""
    return (
        posts.sort("observed_at", "capture_id")
        # Include the creator in the key: an id in another creator's response is not this creator's post.
        .group_by("creator_id", "post_id", maintain_order=True)
        .agg(
            pl.col("published_at").min(),
            pl.col("caption", "views", "likes").drop_nulls().last(),
        )
        .filter(pl.col("published_at").is_not_null())
    )


def _linked(posts: pl.DataFrame, streams: pl.DataFrame, settings: Recaps) -> pl.DataFrame:
    """Return `posts` with the newest stream that had begun by then, if it lies within the window, and the band."""
    begun = streams.select(
        "creator_id",
        "stream_id",
        over_at=pl.coalesce("ended_at", pl.when(pl.col("status") != "live").then("ended_at_lo")),
        clips_from=pl.col("started_at") + timedelta(minutes=settings.soonest_minutes),
    )
    linked = posts.sort("published_at", "post_id", "creator_id").join_asof(
        begun.sort("clips_from", "stream_id"),
        left_on="published_at",
        right_on="clips_from",
        by="creator_id",
        check_sortedness=False,
    )
    since = (pl.col("published_at") - pl.col("over_at")).dt.total_microseconds() / 3.6e9
    band = pl.coalesce(
        pl.when(pl.col("stream_id").is_null()).then(pl.lit("none")),
        pl.when(since.is_null() | (since < 0)).then(pl.lit("during")),
        *(pl.when(since <= hours).then(pl.lit(name)) for name, hours in _BANDS_H.items()),
        pl.when(since <= settings.window_hours).then(pl.lit(_LAST_BAND)),
        pl.lit("none"),
    )
    return linked.with_columns(band=band).with_columns(stream_id=pl.when(pl.col("band") != "none").then("stream_id"))
