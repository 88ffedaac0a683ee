"""The `stream_hours` mart: each stream split over the clock hours that it overlaps.

Viewers are attributed by the readings of each hour, and scaled so that the hours add up to the stream. `evidence` and
`streams` decide which readings count; nothing is decided again here.
"""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from tiktok_pipeline.config.settings import Streams
from tiktok_pipeline.providers.observations import ON_AIR
from tiktok_pipeline.tables import STREAM_HOURS

_HOUR = pl.duration(hours=1)
_TICK = pl.duration(microseconds=1)


def stream_hours(streams: pl.DataFrame, lift: pl.DataFrame, live: pl.DataFrame, *, settings: Streams) -> pl.DataFrame:
    """Return one row a stream and hour.

    Args:
        streams: STREAMS schema.
        lift: STREAM_LIFT schema, for the same streams.
        live: LIVE_OBSERVATIONS schema, any order; readings outside of the streams are ignored.
        settings: how long a viewer count is valid without another.

    Returns:
        STREAM_HOURS schema, sorted by stream_id and hour. If no count of a stream is available, its viewers are
        shared by airtime.
    """
    spans = streams.select(
        "stream_id",
        "creator_id",
        "started_at",
        "hours_watched",
        "observed_s",
        begin="started_at",
        end=pl.max_horizontal(pl.coalesce("ended_at", "ended_at_lo", "started_at"), "started_at"),
    ).sort("creator_id", "started_at", "stream_id")
    observable = lift.filter("observable").select("stream_id", "lift")
    rows = (
        _by_hour(spans)
        .rename({"seconds": "airtime_s"})
        .join(_read_by_hour(spans, live, settings), on=["stream_id", "hour"], how="left", maintain_order="left")
        .join(observable, on="stream_id", how="left", maintain_order="left")
        .with_columns(share=_share("airtime_s").fill_null(1.0))
    )
    # By airtime only if no hour of the stream has a count: an hour without a count is unknown, not 0.
    held = pl.coalesce(_share("held_s"), "share")
    uncovered = _share("held_s").is_not_null() & (pl.col("held_s").fill_null(0.0) == 0)
    viewed = pl.coalesce(_share("viewed_s"), held)
    return STREAM_HOURS.conform(
        rows.with_columns(
            # The stream's observed time, as in its own average: hours_watched = average_viewers x observed time.
            counted_s=pl.when(pl.col("hours_watched").is_not_null()).then(pl.col("observed_s") * held),
            hours_watched=pl.when(~uncovered).then(pl.col("hours_watched") * viewed),
            lift=pl.col("lift") * pl.col("share"),
        )
        .with_columns(average_viewers=mean_viewers(pl.col("hours_watched"), pl.col("counted_s")))
        .sort("stream_id", "hour")
    )


def mean_viewers(hours_watched: pl.Expr, counted_s: pl.Expr) -> pl.Expr:
    """Return viewer-hours over the hours that counts cover: a ratio of sums; null if no time is covered."""
    return pl.when(counted_s > 0).then(hours_watched / (counted_s / 3600))


def _by_hour(spans: pl.DataFrame) -> pl.DataFrame:
    """Return `spans` with a row for each `hour` that [begin, end) overlaps, and the `seconds` within; 0 if empty."""
    last = pl.max_horizontal(pl.col("end") - _TICK, "begin").dt.truncate("1h")
    within = pl.min_horizontal("end", pl.col("hour") + _HOUR) - pl.max_horizontal("begin", "hour")
    return (
        spans.with_columns(hour=pl.datetime_ranges(pl.col("begin").dt.truncate("1h"), last, "1h"))
        .explode("hour")
        .with_columns(seconds=within.dt.total_microseconds() / 1e6)
    )


def _read_by_hour(spans: pl.DataFrame, live: pl.DataFrame, settings: Streams) -> pl.DataFrame:
    """Return stream_id, hour; held_s (time that counts cover), viewed_s (viewer-seconds), peak_viewers of the readings.

    A count covers the time that is nearest to it, as in `streams`.
    """
    cap = timedelta(seconds=settings.gap_cap_seconds)
    read = (
        live.filter(pl.col("live_state").is_in(ON_AIR), pl.col("viewers").is_not_null())
        .unique("capture_id")
        .sort("creator_id", "observed_at", "capture_id")
        .select("creator_id", "viewers", at="observed_at")
    )
    held = (
        read.sort("at", maintain_order=True)
        .join_asof(
            spans.select("stream_id", "creator_id", "started_at", until="end").sort("started_at"),
            left_on="at",
            right_on="started_at",
            by="creator_id",
            check_sortedness=False,
        )
        .filter(pl.col("at") <= pl.col("until"))
        .with_columns(
            before=pl.col("at").shift(1).over("stream_id"), following=pl.col("at").shift(-1).over("stream_id")
        )
        .with_columns(
            begin=pl.max_horizontal(
                "started_at",
                pl.when(pl.col("before").is_null())
                .then(pl.col("at") - cap)
                .otherwise(pl.max_horizontal(_middle("before", "at"), pl.col("at") - cap / 2)),
            ),
            end=pl.min_horizontal(
                "until",
                pl.when(pl.col("following").is_null())
                .then(pl.col("at") + cap)
                .otherwise(pl.min_horizontal(_middle("at", "following"), pl.col("at") + cap / 2)),
            ),
        )
    )
    read_in_hour = pl.col("at").dt.truncate("1h") == pl.col("hour")
    return (
        _by_hour(held)
        .sort("stream_id", "at", maintain_order=True)
        .group_by("stream_id", "hour", maintain_order=True)
        .agg(
            held_s=pl.col("seconds").sum(),
            viewed_s=(pl.col("seconds") * pl.col("viewers")).sum(),
            peak_viewers=pl.col("viewers").filter(read_in_hour).max(),
        )
    )


def _middle(earlier: str, later: str) -> pl.Expr:
    """Return the time half-way; null if one is null."""
    return pl.col(earlier) + (pl.col(later) - pl.col(earlier)) / 2


def _share(column: str) -> pl.Expr:
    """Return this hour's share of the stream's total; null if that is 0."""
    amount = pl.col(column).fill_null(0.0)
    total = amount.sum().over("stream_id")
    return pl.when(total > 0).then(amount / total)
