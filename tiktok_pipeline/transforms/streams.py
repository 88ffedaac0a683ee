"""The `streams` mart: rooms to streams, and the measures of each.

Rooms that follow each other within minutes are one stream with a reconnect (docs/methods.md 1.7).
`evidence` decides which readings count, `rooms` defines a room. A broadcast without any reading of on air is no stream.
"""

from __future__ import annotations

from datetime import datetime

import polars as pl

from tiktok_pipeline.config.settings import Streams
from tiktok_pipeline.tables import STREAMS
from tiktok_pipeline.transforms.evidence import settle
from tiktok_pipeline.transforms.rooms import draw_rooms

_DAY_S = 86_400


def streams(live: pl.DataFrame | pl.LazyFrame, *, settings: Streams, as_of: datetime) -> pl.DataFrame:
    """Return the streams that readings of live states show.

    A pure function of the readings: any order, any repetition of rows gives the same frame.

    Args:
        live: LIVE_OBSERVATIONS schema. Of a scan only the needed columns are read: far less memory.
        settings: the constants of the rules.
        as_of: the newest instant of the data; later readings are ignored.

    Returns:
        STREAMS schema, sorted by creator_id and started_at.
    """
    drawn = draw_rooms(settle(live.lazy(), as_of), settings)
    rooms = _joined(drawn.rooms, settings)
    summed = _with_status(_summed(rooms), settings, as_of)
    readings = drawn.readings.join(
        rooms.select("creator", "room_id", "nameless", "opening", "stream"),
        on=["creator", "room_id", "nameless", "opening"],
        how="left",
        nulls_equal=True,
        maintain_order="left",
    ).join(summed.select("stream", "started_at", "until"), on="stream", how="left", maintain_order="left")
    measured = summed.join(_watched(readings, settings), on="stream", how="left").join(
        _viewed(readings, settings), on="stream", how="left"
    )
    return _finished(measured)


def _joined(rooms: pl.DataFrame, settings: Streams) -> pl.DataFrame:
    """Number the streams: a gap longer than a reconnect begins another one (docs/methods.md 1.7)."""
    until = pl.coalesce("ended_at", "last_live").cum_max().shift(1).over("creator")
    apart = pl.col("started_at") - until > pl.duration(minutes=settings.merge_gap_minutes)
    return rooms.sort("creator", "started_at", "first_live", "room_id", "nameless", "opening").with_columns(
        stream=apart.fill_null(value=True).cum_sum()
    )


def _summed(rooms: pl.DataFrame) -> pl.DataFrame:
    """Return one row a stream, from its rooms: creator, times, and values that vendors reported."""
    newest = pl.col("last_live") == pl.col("last_live").max()
    counts = ("viewers_total", "likes")
    return rooms.group_by("stream", maintain_order=True).agg(
        pl.col("creator", "started_at", "started_at_lo", "start_source").first(),
        pl.col("room_id").drop_nulls().first(),
        pl.col("title").drop_nulls().last(),
        pl.col("first_live").min(),
        pl.col("last_live").max(),
        pl.col("ended_at", "ended_at_hi").max(),
        pl.col("pending", "end_censored").filter(newest).last(),
        *(pl.when(pl.col(count).is_not_null().any()).then(pl.col(count).sum()).alias(count) for count in counts),
        rooms=pl.len(),
        open=pl.col("ended_at").filter(newest).last().is_null(),
        censored_start=pl.col("start_censored").first(),
        disagree_start=pl.col("start_disputed").first(),
        disagree_end=pl.col("end_disputed").any(),
        reopened=pl.col("reopened").any(),
        opened_again=pl.col("opened_again").filter(pl.col("room_id").is_not_null()).first().fill_null(value=False),
    )


def _with_status(summed: pl.DataFrame, settings: Streams, as_of: datetime) -> pl.DataFrame:
    """Set the status (docs/methods.md 1.8), and `until`, the end of the airtime."""
    unseen = pl.lit(as_of, pl.Datetime("us", "UTC")) - pl.col("last_live")
    stale = pl.col("open") & (unseen > pl.duration(minutes=settings.stale_open_minutes))
    given_up = pl.col("open") & (unseen > pl.duration(hours=settings.censor_hours))
    censored = given_up | pl.col("end_censored")
    return summed.with_columns(
        status=pl.when(stale | censored)
        .then(pl.lit("lost"))
        .when("open")
        .then(pl.lit("live"))
        .otherwise(pl.lit("ended")),
        ended_at=pl.when(given_up).then("last_live").when(~pl.col("open")).then("ended_at"),
        ended_at_hi=pl.when(~pl.col("open")).then("ended_at_hi"),
        censored_end=censored,
        stale=stale & ~given_up,
        pending_end=pl.col("pending") & pl.col("open"),
    ).with_columns(until=pl.coalesce("ended_at", "last_live"))


def _watched(readings: pl.DataFrame, settings: Streams) -> pl.DataFrame:
    """Return how much of each stream readings cover, and the vendors of those readings."""
    return (
        readings.with_columns(covered=_since_last(settings))
        .group_by("stream", maintain_order=True)
        .agg(
            observed_s=pl.col("covered").sum() + _after_last(settings),
            observations=pl.len(),
            vendors=pl.col("vendor").unique().sort(),
        )
    )


def _viewed(readings: pl.DataFrame, settings: Streams) -> pl.DataFrame:
    """Return the average viewers of each stream, weighted by time, and its peak.

    A count covers the time that is nearest to it: half-way to the counts beside it, from the start for the first,
    to the end for the last, and for no more than the cap.
    """
    counted = readings.filter(pl.col("viewers").is_not_null())
    first = (pl.col("stream") != pl.col("stream").shift(1)).fill_null(value=True)
    last = (pl.col("stream") != pl.col("stream").shift(-1)).fill_null(value=True)
    cap = settings.gap_cap_seconds
    since = _seconds(pl.col("at") - pl.when(first).then("started_at").otherwise(pl.col("at").shift(1))).clip(0, cap)
    until = _seconds(pl.when(last).then("until").otherwise(pl.col("at").shift(-1)) - pl.col("at")).clip(0, cap)
    held = counted.with_columns(
        held_s=pl.when(first).then(since).otherwise(since / 2) + pl.when(last).then(until).otherwise(until / 2)
    )
    held_s, viewers = pl.col("held_s"), pl.col("viewers")
    return held.group_by("stream", maintain_order=True).agg(
        peak_viewers=viewers.max(),
        peak_at=pl.col("at").filter(viewers == viewers.max()).first(),
        average_viewers=pl.when(held_s.sum() > 0)
        .then((viewers * held_s).sum() / held_s.sum())
        .otherwise(viewers.mean())
        # A mean of equal counts may be off by the last bit.
        .clip(viewers.min(), viewers.max()),
    )


def _since_last(settings: Streams) -> pl.Expr:
    """Return seconds since the reading before in the stream, or since its start, up to the cap."""
    same = (pl.col("stream") == pl.col("stream").shift(1)).fill_null(value=False)
    since = pl.col("at") - pl.when(same).then(pl.col("at").shift(1)).otherwise("started_at")
    return _seconds(since).clip(0, settings.gap_cap_seconds)


def _after_last(settings: Streams) -> pl.Expr:
    """Return seconds from the last reading of a stream to the end of its airtime, up to the cap."""
    return _seconds(pl.col("until").last() - pl.col("at").last()).clip(0, settings.gap_cap_seconds)


def _seconds(duration: pl.Expr) -> pl.Expr:
    return duration.dt.total_microseconds() / 1e6


# Flag -> its condition; a stream carries the names of those that hold.
_FLAGS = {
    "censored_start": pl.col("censored_start"),  # already on air at the first reading, or silence of 12 h before it
    "censored_end": pl.col("censored_end"),  # no reading for 12 h after the last reading of on air
    "disagree_end": pl.col("disagree_end"),  # seen on air for long after an end that a vendor reported
    "disagree_start": pl.col("disagree_start"),  # the vendor's start contradicts other evidence
    "no_room_id": pl.col("room_id").is_null(),  # no vendor named the room
    "opened_again": pl.col("opened_again"),  # the room was closed before, and an earlier stream has its room id
    "over_24h": pl.col("airtime_s") > _DAY_S,
    "pending_end": pl.col("pending_end"),  # one reading of off air, not confirmed yet
    "reopened": pl.col("reopened"),  # on air again in the same room after an end that seemed confirmed
    "stale_open": pl.col("stale"),  # no end seen, and not seen on air for 30 minutes
}


def _finished(measured: pl.DataFrame) -> pl.DataFrame:
    start = pl.col("started_at").dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    airtime = _seconds(pl.col("until") - pl.col("started_at"))
    known_start = pl.col("start_source").is_in(["vendor", "room_id"])
    rows = measured.with_columns(
        pl.col("observed_s").clip(upper_bound=airtime),
        creator_id=pl.col("creator").cast(pl.String),
        airtime_s=airtime,
    )
    return STREAMS.conform(
        rows.with_columns(
            stream_id=pl.concat_str(
                "creator_id",
                pl.lit(":"),
                pl.coalesce("room_id", start),
                pl.when(pl.col("opened_again")).then(pl.concat_str(pl.lit(":"), start)).otherwise(pl.lit("")),
            ),
            # Over the airtime that readings cover: the identity that `checks/identities` checks.
            hours_watched=pl.col("average_viewers") * pl.col("observed_s") / 3600,
            started_at_hi=pl.col("first_live"),
            ended_at_lo="last_live",
            reconnects=pl.col("rooms").cast(pl.Int64) - 1,
            coverage_ratio=pl.when(pl.col("airtime_s") > 0)
            .then(pl.col("observed_s") / pl.col("airtime_s"))
            .otherwise(1.0),
            gap_since_previous_s=_seconds(
                pl.col("started_at") - pl.col("until").shift(1).over("creator"),
            ),
            detection_delay_s=pl.when(known_start).then(_seconds(pl.col("first_live") - pl.col("started_at"))),
            flags=pl.concat_list(
                pl.when(holds).then(pl.lit(name)) for name, holds in sorted(_FLAGS.items())
            ).list.drop_nulls(),
        ).sort("creator_id", "started_at")
    )
