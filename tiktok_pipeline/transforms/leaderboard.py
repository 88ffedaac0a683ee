"""The `leaderboard` mart: the ranking of creators by period, niche and metric.

A stream counts in the period that it started in. Periods end with the day: the day itself, 7 days, 30 days; the
period before has the same length. Sums of lift carry the interval of docs/methods.md 3.2: errors of one
creator's streams are mildly correlated. One or two streams may be chance: over a week or a month, lift is ranked from
three on.
"""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl

from tiktok_pipeline.tables import LEADERBOARD

PERIODS = {"day": 1, "week": 7, "month": 30}

# How far back the streams of a board reach: the longest period and the one before it.
LOOKBACK_DAYS = 2 * max(PERIODS.values())

# Correlation between the errors of one creator's lifts: .05 covers .914 where 0 covers .81 (docs/methods.md 3.2).
_LIFT_ERROR_CORRELATION = 0.05

# Streams with a lift that a period needs before the lift is ranked; a day seldom has three.
_LEAST_LIFTS = {"day": 1, "week": 3, "month": 3}

# Metrics that can be summed over creators, so that a share of the sum has a meaning.
_ADDITIVE = ("airtime", "streams", "hours_watched", "recaps")
_METRICS = (
    "airtime",
    "streams",
    "peak_viewers",
    "average_viewers",
    "hours_watched",
    "active_days",
    "lift",
    "lift_per_hour",
)
_KEYS = ("period", "niche", "metric")

# Streams whose lift is estimated but confounded: docs/methods.md 3.2.
CONFOUNDED = ("viral_overlap", "count_anomaly")


def leaderboard(
    streams: pl.DataFrame, lift: pl.DataFrame, recaps: pl.DataFrame, creators: pl.DataFrame, as_of: date
) -> pl.DataFrame:
    """Return the boards as of the end of the day `as_of`.

    Args:
        streams: STREAMS schema; those started in the `LOOKBACK_DAYS` before the end of `as_of`.
        lift: STREAM_LIFT schema, for the same streams.
        recaps: RECAPS schema; those published in the same days.
        creators: CREATORS schema, for niches and first sightings.

    Returns:
        LEADERBOARD schema. A creator without a stream, or without a value, in the period is on no board. A board of
        lift also needs the least number of lifts.
    """
    started, clips = _joined(streams, lift, creators), _clips(recaps, creators)
    boards = []
    for period, days in PERIODS.items():
        first, first_before = as_of - timedelta(days=days - 1), as_of - timedelta(days=2 * days - 1)
        last_before, least = first - timedelta(days=1), _LEAST_LIFTS[period]
        now = _ranked(pl.concat([_values(started, first, as_of, least), _counted(clips, first, as_of)]))
        before = _ranked(
            pl.concat([_values(started, first_before, last_before, least), _counted(clips, first_before, last_before)])
        )
        known = creators.select("creator_id", watched_before=pl.col("first_seen_at").dt.date() <= first_before)
        boards.append(
            now.join(
                before.select("niche", "metric", "creator_id", previous_rank="rank"),
                on=["niche", "metric", "creator_id"],
                how="left",
            )
            .join(known, on="creator_id", how="left")
            .with_columns(period=pl.lit(period))
        )
    additive = pl.col("metric").is_in(_ADDITIVE)
    total = pl.col("value").sum().over(_KEYS)
    return LEADERBOARD.conform(
        pl.concat(boards)
        .sort(*_KEYS, "rank", "creator_id")
        .with_columns(
            as_of=pl.lit(as_of),
            share=pl.when(additive & (total > 0)).then(pl.col("value") / total),
            rank_change=pl.col("previous_rank") - pl.col("rank"),
            # Absent before, or not polled yet: only a creator that was polled can be new.
            is_new=pl.when(pl.col("previous_rank").is_not_null())
            .then(pl.lit(value=False))
            .when("watched_before")
            .then(pl.lit(value=True)),
        )
    )


def _joined(streams: pl.DataFrame, lift: pl.DataFrame, creators: pl.DataFrame) -> pl.DataFrame:
    """Return one row a stream with the ranked values, once for its niche and once for all."""
    usable = pl.col("observable") & ~pl.col("flags").list.set_intersection(list(CONFOUNDED)).list.len().cast(pl.Boolean)
    lifts = lift.filter(usable).select(
        "stream_id",
        "lift",
        "lift_shared",
        below=pl.col("lift") - pl.col("lift_lo"),
        above=pl.col("lift_hi") - pl.col("lift"),
    )
    joined = (
        streams.select(
            "stream_id",
            "creator_id",
            "airtime_s",
            "peak_viewers",
            "hours_watched",
            "average_viewers",
            day=pl.col("started_at").dt.date(),
        )
        .join(lifts, on="stream_id", how="left")
        .join(creators.select("creator_id", "niche"), on="creator_id", how="left")
        # Sums of floats depend on their order: the same rows must give the same bytes.
        .sort("stream_id")
    )
    overall = joined.with_columns(niche=pl.lit("*"))
    return pl.concat([overall, joined.filter(pl.col("niche").is_not_null())])


def _clips(recaps: pl.DataFrame, creators: pl.DataFrame) -> pl.DataFrame:
    """Return one row a recap, once for its creator's niche and once for all; also for creators without seen streams."""
    niches = creators.select("creator_id", "niche")
    clips = recaps.select("creator_id", day=pl.col("published_at").dt.date()).join(niches, on="creator_id", how="left")
    return pl.concat([clips.with_columns(niche=pl.lit("*")), clips.filter(pl.col("niche").is_not_null())])


def _counted(clips: pl.DataFrame, first: date, last: date) -> pl.DataFrame:
    """Return the values of the metric recaps: posts that were published in [first, last]."""
    return (
        clips.filter(pl.col("day").is_between(first, last))
        .group_by("niche", "creator_id")
        .agg(value=pl.len().cast(pl.Float64))
        .with_columns(metric=pl.lit("recaps"), value_lo=pl.lit(None, pl.Float64), value_hi=pl.lit(None, pl.Float64))
        .select("niche", "creator_id", "metric", "value", "value_lo", "value_hi")
    )


def _values(started: pl.DataFrame, first: date, last: date, least_lifts: int) -> pl.DataFrame:
    """Return niche, creator_id, metric, value, value_lo, value_hi of the streams that started in [first, last]."""
    lift_known = pl.col("lift").is_not_null()
    hours = pl.col("airtime_s").filter(lift_known).sum() / 3600
    watched_hours = (pl.col("hours_watched") / pl.col("average_viewers")).filter(pl.col("average_viewers") > 0)
    sums = (
        started.filter(pl.col("day").is_between(first, last))
        .group_by("niche", "creator_id", maintain_order=True)
        .agg(
            airtime=pl.col("airtime_s").sum(),
            streams=pl.len().cast(pl.Float64),
            peak_viewers=pl.col("peak_viewers").max().cast(pl.Float64),
            hours_watched=_sum_or_null("hours_watched"),
            # A ratio of sums, not a mean of means.
            average_viewers=_sum_or_null("hours_watched") / watched_hours.sum(),
            active_days=pl.col("day").n_unique().cast(pl.Float64),
            lift=pl.when(lift_known.sum() >= least_lifts).then(pl.col("lift").sum()),
            below=_half_of_sum("below"),
            above=_half_of_sum("above"),
            hours=hours,
        )
        .with_columns(lift_per_hour=pl.when(pl.col("hours") > 0).then(pl.col("lift") / pl.col("hours")))
    )
    per = {"lift": pl.lit(1.0), "lift_per_hour": pl.col("hours")}
    return pl.concat(
        sums.select(
            "niche",
            "creator_id",
            metric=pl.lit(metric),
            value=pl.col(metric),
            value_lo=pl.col(metric) - pl.col("below") / per[metric] if metric in per else pl.lit(None, pl.Float64),
            value_hi=pl.col(metric) + pl.col("above") / per[metric] if metric in per else pl.lit(None, pl.Float64),
        )
        for metric in _METRICS
    ).filter(pl.col("value").is_not_null() & pl.col("value").is_not_nan())


def _half_of_sum(side: str) -> pl.Expr:
    """Return half the width of a sum of lifts, below or above: shared errors add up, the others hardly."""
    half, shared = pl.col(side), pl.col("lift_shared").fill_null(0.0)
    shared = pl.min_horizontal(shared, half)
    own = (half**2 - shared**2).sqrt()
    squares = (own**2).sum()
    return (squares + _LIFT_ERROR_CORRELATION * (own.sum() ** 2 - squares) + shared.sum() ** 2).sqrt()


def _sum_or_null(column: str) -> pl.Expr:
    """Return a sum that is null, not 0, if all values are null."""
    return pl.when(pl.col(column).is_not_null().any()).then(pl.col(column).sum())


def _ranked(values: pl.DataFrame) -> pl.DataFrame:
    """Return `values` with the rank by value, and by the lower bound, the cautious rank (docs/methods.md 3.3)."""

    def rank(column: str) -> pl.Expr:
        return pl.col(column).rank("min", descending=True).over("niche", "metric").cast(pl.Int64)

    return values.with_columns(rank=rank("value"), confident_rank=rank("value_lo"))
