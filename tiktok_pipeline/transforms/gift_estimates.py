"""The `gift_estimates` mart: an estimate of a stream's gifts, which no vendor reports (docs/methods.md 7).

By default an index without a unit: the rank of a stream among those of its follower tier in the week. Diamonds are
estimated only if the operator supplied streams with known gifts, and with a range for the uncertainty: `gift_ranges`.
Lift is one of the signals, so neither may be used to explain the other.
"""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl

from tiktok_pipeline.tables import GIFT_ESTIMATES
from tiktok_pipeline.transforms.gift_ranges import ranges

INDEX_METHOD, RANGE_METHOD = "index/1", "log-linear/1"

# A stream is compared with the streams of this many days up to its own.
COMPARED_DAYS = 7
# With fewer streams a percentile is meaningless.
_FEWEST_COMPARED = 5

_TIERS = {"under_10k": 10_000, "10k_100k": 100_000, "100k_1m": 1_000_000}
_TOP_TIER = "over_1m"

# Logarithms, because gifts and audiences grow by factors; equal weights until better ones are known.
SIGNALS: dict[str, pl.Expr] = {
    "viewers_total": pl.col("viewers_total").log1p(),
    "peak_viewers": pl.col("peak_viewers").log1p(),
    "airtime": (pl.col("airtime_s") / 60).clip(lower_bound=1.0).log(),
    "gifters": pl.col("gifters").log1p(),
    "recap_views": pl.col("recap_views").log1p(),
    "recap_likes": pl.col("recap_likes").log1p(),
    "lift": (pl.col("lift") / 100).arcsinh(),
}


def gift_estimates(day: date, signals: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Return one row a stream that started on `day`.

    Args:
        day: the day, UTC.
        signals: result of `gift_signals` for the streams of the `COMPARED_DAYS` up to the day, and the known streams.
        known: stream_id and diamonds, as the operator supplied them.
    Returns:
        GIFT_ESTIMATES schema, sorted by stream_id. Without enough known streams low, mid and high are null.
    """
    on = pl.col("started_at").dt.date()
    week = signals.filter(on.is_between(day - timedelta(days=COMPARED_DAYS - 1), day))
    rows = _indexed(week).filter(on == day)
    estimated = ranges(signals, rows.select("stream_id"), known, tuple(SIGNALS))
    return GIFT_ESTIMATES.conform(
        rows.join(estimated, on="stream_id", how="left")
        .with_columns(
            basis=pl.col("basis").fill_null("none"),
            known_streams=pl.col("known_streams").fill_null(0),
        )
        .with_columns(
            method=pl.when(pl.col("basis") == "none").then(pl.lit(INDEX_METHOD)).otherwise(pl.lit(RANGE_METHOD))
        )
        .sort("stream_id")
    )


def gift_signals(
    streams: pl.DataFrame, lift: pl.DataFrame, recaps: pl.DataFrame, live: pl.DataFrame, creators: pl.DataFrame
) -> pl.DataFrame:
    """Return one row a stream: stream_id, creator_id, started_at, follower_tier, and the `SIGNALS`, null if unknown.

    Args:
        streams: STREAMS schema.
        lift: STREAM_LIFT schema, for the same streams.
        recaps: RECAPS schema; a stream without recaps has 0 views of them.
        live: LIVE_OBSERVATIONS schema; rows with gifters.
        creators: CREATORS schema, for followers if no count lies before the stream.
    """
    of_recaps = recaps.group_by("stream_id").agg(recap_views=pl.col("views").sum(), recap_likes=pl.col("likes").sum())
    followers = pl.coalesce("followers_before", "followers")
    tier = pl.coalesce(*(pl.when(followers < below).then(pl.lit(name)) for name, below in _TIERS.items()))
    return (
        streams.unique("stream_id")
        .join(
            lift.select("stream_id", "followers_before", lift=pl.when("observable").then("lift")),
            on="stream_id",
            how="left",
        )
        .join(creators.select("creator_id", "followers"), on="creator_id", how="left")
        .join(of_recaps, on="stream_id", how="left")
        .join(_gifters(streams, live), on="stream_id", how="left")
        .with_columns(pl.col("recap_views", "recap_likes").fill_null(0))
        .with_columns(
            follower_tier=pl.coalesce(tier, pl.when(followers.is_not_null()).then(pl.lit(_TOP_TIER))), **SIGNALS
        )
        .select("stream_id", "creator_id", "started_at", "follower_tier", *SIGNALS)
        .sort("stream_id")
    )


def _gifters(streams: pl.DataFrame, live: pl.DataFrame) -> pl.DataFrame:
    """Return stream_id and its distinct gifters, summed over rooms: the highest count of each room."""
    counted = (
        live.filter(pl.col("gifters").is_not_null())
        .group_by("creator_id", "room_id")
        .agg(pl.col("gifters").max(), at=pl.col("observed_at").min())
        .sort("at", "room_id")
    )
    spans = streams.unique("stream_id").select(
        "stream_id", "creator_id", "started_at", until=pl.coalesce("ended_at", "ended_at_lo", "started_at")
    )
    return (
        counted.join_asof(
            spans.sort("started_at", "stream_id"),
            left_on="at",
            right_on="started_at",
            by="creator_id",
            check_sortedness=False,
        )
        .filter(pl.col("at") <= pl.col("until"))
        .group_by("stream_id")
        .agg(pl.col("gifters").sum())
    )


def _indexed(week: pl.DataFrame) -> pl.DataFrame:
    """Return `week` with signals, compared_with and gift_index: the percentile of the sum of standard scores."""
    peers = "follower_tier"

    def standard(name: str) -> pl.Expr:
        spread = pl.col(name).std().over(peers)
        score = (pl.col(name) - pl.col(name).mean().over(peers)) / spread
        # A missing signal, or one that is the same for all streams, counts as average.
        return pl.when(spread > 0).then(score).fill_null(0.0)

    scored = week.sort("stream_id").with_columns(
        score=pl.sum_horizontal(standard(name) for name in SIGNALS).round(9),
        compared_with=pl.when(pl.col(peers).is_not_null()).then(pl.len().over(peers)).otherwise(0),
        signals=pl.concat_list(
            pl.when(pl.col(name).is_not_null()).then(pl.lit(name)) for name in SIGNALS
        ).list.drop_nulls(),
    )
    place = pl.col("score").rank("average").over(peers)
    enough = pl.col("compared_with") >= _FEWEST_COMPARED
    return scored.with_columns(
        gift_index=pl.when(enough).then(100 * (place - 0.5) / pl.col("compared_with")),
    )
