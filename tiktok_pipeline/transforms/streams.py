"""Streams rebuilt from readings of live state (methods, section 3.2, rules R0 to R10).

One global sort by creator and time, then flags by shift, cumulative sum and forward fill; no group is visited by
itself. The result is a pure function of the readings: their order and repetitions change nothing.

In words: unknown readings say nothing. On-air readings belong to a room, by its id or, without one, to the run of
readings that they stand in. A run is closed by a room that says it has ended, by `confirm_offline` offline readings
over at least `confirm_span_seconds`, or by another room of the same creator. Rooms that follow within
`merge_gap_minutes` are one stream.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from tiktok_pipeline import settings as configuration
from tiktok_pipeline.tables import STREAMS

ON_AIR = ("live", "paused")

# Nibble at bits 8 to 11 of a TikTok time id that says "live room" (methods, section 3.1).
_ROOM_TYPE = 11
_EARLIEST_ROOM = datetime(2018, 1, 1)  # noqa: DTZ001 - compared in epoch seconds

# Vendor's start is believed from this long before the last off-air reading to this long after the first on air.
_START_BEFORE, _START_AFTER = timedelta(minutes=10), timedelta(minutes=1)

# An end that a room says may lie this long before the last reading of on air: clocks differ.
_END_SLACK = timedelta(seconds=60)


def streams(live: pl.DataFrame, *, settings: configuration.Streams, as_of: datetime) -> pl.DataFrame:
    """Rebuild streams.

    Args:
        live: LIVE_OBSERVATIONS schema, any order, repetitions allowed.
        settings: the rules' constants.
        as_of: the newest instant that the readings speak for.

    Returns:
        STREAMS schema, sorted by creator_id and started_at.
    """
    readings = _readings(live)
    on_air = _on_air(readings, settings)
    if on_air.is_empty():
        return STREAMS.empty()
    rooms = _streams_of_rooms(_rooms(on_air, readings, settings), settings)
    return STREAMS.conform(_summarize(rooms, on_air, settings, as_of).sort("creator_id", "started_at", "stream_id"))


def _readings(live: pl.DataFrame) -> pl.DataFrame:
    """What is known, each capture once, by creator and time; `on`, and the last off-air reading before each row.

    At the same instant off air comes first: a credible reading of on air then has the last word (R10).
    """
    known = (
        live.filter(pl.col("live_state") != "unknown")
        .unique(subset="capture_id")
        .with_columns(on=pl.col("live_state").is_in(ON_AIR))
        .sort("creator_id", "observed_at", "on", "capture_id")
    )
    off = ~pl.col("on")
    off_at = pl.when(off).then(pl.col("observed_at")).forward_fill()
    off_of = pl.when(off).then(pl.col("creator_id")).forward_fill()
    return known.with_columns(
        # On-air readings are numbered; off-air ones carry the number of the one before them.
        turn=pl.col("on").cum_sum(),
        off_before=pl.when(off_of == pl.col("creator_id")).then(off_at),
    )


def _on_air(readings: pl.DataFrame, settings: configuration.Streams) -> pl.DataFrame:
    """On-air readings with what followed each, and with their room: the room's id, else the run they stand in."""
    after = (
        readings.filter(~pl.col("on"))
        .group_by("creator_id", "turn")
        .agg(
            offs=pl.len(),
            first_off=pl.col("observed_at").min(),
            last_off=pl.col("observed_at").max(),
            ended_rooms=pl.col("room_id").filter(pl.col("evidence") == "strong"),
        )
    )
    confirmed = (pl.col("offs") >= settings.confirm_offline) & (
        pl.col("last_off") - pl.col("first_off") >= timedelta(seconds=settings.confirm_span_seconds)
    )
    # A room that says it has ended speaks for itself; without an id, for whatever was open.
    ended_rooms = pl.col("ended_rooms").fill_null([])
    said_ended = ended_rooms.list.contains(pl.col("room_id")).fill_null(value=False) | (
        (ended_rooms.list.len() > 0)
        & (pl.col("room_id").is_null() | (ended_rooms.list.drop_nulls().list.len() < ended_rooms.list.len()))
    )
    silence = pl.col("observed_at") - pl.col("observed_at").shift()
    new_run = (
        (pl.col("creator_id") != pl.col("creator_id").shift())
        | pl.col("closed").shift()
        | (silence >= timedelta(hours=settings.censor_hours))
    )
    in_run = pl.col("room_id").forward_fill().over("run")
    return (
        readings.filter("on")
        .join(after, on=["creator_id", "turn"], how="left", maintain_order="left")
        .with_columns(closed=confirmed.fill_null(value=False) | said_ended)
        .with_columns(run=new_run.fill_null(value=True).cum_sum())
        .with_columns(room_id=in_run)
        .with_columns(room_id=pl.col("room_id").backward_fill().over("run"))
        .with_columns(room=pl.coalesce("room_id", pl.format("run {}", "run")))
    )


def _rooms(on_air: pl.DataFrame, readings: pl.DataFrame, settings: configuration.Streams) -> pl.DataFrame:
    """One row a room, by creator and first reading, with its start, its end, and the bounds of both."""
    ends = (
        readings.filter(~pl.col("on"), pl.col("ended_at").is_not_null(), pl.col("room_id").is_not_null())
        .group_by("creator_id", "room_id")
        .agg(said_end=pl.col("ended_at").min())
    )
    rooms = (
        on_air.group_by("creator_id", "room", maintain_order=True)
        .agg(
            pl.col("room_id").first(),
            pl.col("title").drop_nulls().last(),
            pl.col("started_at").drop_nulls().first().alias("said_start"),
            pl.col("off_before").first(),
            pl.col("observed_at").min().alias("first_on"),
            pl.col("observed_at").max().alias("last_on"),
            pl.col("closed", "first_off").last(),
            pl.col("viewers_total", "likes").max(),
        )
        .join(ends, on=["creator_id", "room_id"], how="left")
        .sort("creator_id", "first_on", "room")
    )
    return _ended(_started(rooms))


def _started(rooms: pl.DataFrame) -> pl.DataFrame:
    """R4: the vendor's start, else the room id's, else the middle between off air and on air."""
    number = pl.col("room_id").cast(pl.Int64, strict=False)
    of_id = pl.from_epoch(number // 2**32, time_unit="s").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    is_time_id = ((number // 256) % 16 == _ROOM_TYPE) & (of_id.dt.year() >= _EARLIEST_ROOM.year)
    first_on = pl.col("first_on")
    rooms = rooms.with_columns(
        by_vendor=pl.when(pl.col("said_start") <= first_on + _START_AFTER).then(
            pl.min_horizontal("said_start", first_on)
        ),
        by_id=pl.when(is_time_id & (of_id <= first_on)).then(of_id),
        by_interval=pl.col("off_before") + (first_on - pl.col("off_before")) / 2,
    )
    told = pl.coalesce("by_vendor", "by_id")
    return rooms.with_columns(
        start=pl.coalesce(told, "by_interval", "first_on"),
        told=told.is_not_null(),
        # A start that was told may lie before a reading of off air: a false reading, or a pause.
        start_lo=pl.min_horizontal("off_before", told.fill_null(pl.col("off_before"))),
        disagree=(told < pl.col("off_before") - _START_BEFORE).fill_null(value=False),
    ).with_columns(start_lo=pl.when(pl.col("off_before").is_not_null()).then("start_lo"))


def _ended(rooms: pl.DataFrame) -> pl.DataFrame:
    """R5: the end that the room says, else the middle between on air and off air, or the next room."""
    same = pl.col("creator_id") == pl.col("creator_id").shift(-1)
    following = pl.col("start").shift(-1)
    # A room that began while this one was on air ended nothing: two vendors see two rooms at times.
    next_start = pl.when(same & (following >= pl.col("last_on"))).then(following)
    exact = pl.when(pl.col("said_end") >= pl.col("last_on") - _END_SLACK).then(pl.max_horizontal("said_end", "last_on"))
    off = pl.when(pl.col("closed")).then(pl.col("first_off"))
    # Where on air overlaps with the next room, the two vendors disagree: the end is the last reading. Without
    # either kind of evidence there is no end.
    earliest = pl.min_horizontal(off, next_start)
    latest = pl.when(earliest.is_not_null()).then(pl.max_horizontal(earliest, "last_on"))
    end_hi = pl.coalesce(exact, latest)
    return rooms.with_columns(
        end=pl.coalesce(exact, pl.col("last_on") + (latest - pl.col("last_on")) / 2),
        end_hi=end_hi,
        exact_end=exact.is_not_null(),
    )


def _streams_of_rooms(rooms: pl.DataFrame, settings: configuration.Streams) -> pl.DataFrame:
    """R7: rooms with the number of the stream that they belong to."""
    ends = pl.max_horizontal("end", "last_on").cum_max().over("creator_id")
    gap = pl.col("start") - ends.shift()
    apart = (gap > timedelta(minutes=settings.merge_gap_minutes)).fill_null(value=True)
    new = (pl.col("creator_id") != pl.col("creator_id").shift()).fill_null(value=True) | apart
    return rooms.with_columns(stream=new.cum_sum())


def _summarize(
    rooms: pl.DataFrame, on_air: pl.DataFrame, settings: configuration.Streams, as_of: datetime
) -> pl.DataFrame:
    merged = rooms.group_by("stream", maintain_order=True).agg(
        pl.col("creator_id", "room_id", "first_on", "told", "disagree").first(),
        pl.col("title").drop_nulls().last(),
        started_at=pl.col("start").first(),
        started_at_lo=pl.col("start_lo").first(),
        started_at_hi=pl.col("first_on").first(),
        ended_at=pl.col("end").sort_by("last_on").last(),
        ended_at_hi=pl.col("end_hi").sort_by("last_on").last(),
        ended_at_lo=pl.col("last_on").max(),
        rooms=pl.len(),
        viewers_total=_sum_or_null("viewers_total"),
        likes=_sum_or_null("likes"),
    )
    closed = pl.col("ended_at").is_not_null()
    silence = pl.lit(as_of) - pl.col("ended_at_lo")
    censored = ~closed & (silence >= timedelta(hours=settings.censor_hours))
    stale = ~closed & ~censored & (silence > timedelta(minutes=settings.stale_open_minutes))
    last = pl.coalesce("ended_at", "ended_at_lo")
    flags = {
        "censored_start": pl.col("started_at_lo").is_null(),
        "censored_end": censored,
        "stale_open": stale,
        "disagree_start": pl.col("disagree"),
        "over_24h": last - pl.col("started_at") > timedelta(hours=24),
    }
    rooms_of = rooms.select("creator_id", "room", "stream")
    metrics = _metrics(on_air.join(rooms_of, on=["creator_id", "room"]), merged, settings)
    previous_end = pl.when(pl.col("creator_id") == pl.col("creator_id").shift()).then(pl.col("ended_at").shift())
    return (
        merged.sort("creator_id", "started_at")
        .join(metrics, on="stream", maintain_order="left")
        .with_columns(
            status=pl.when(closed)
            .then(pl.lit("ended"))
            .when(stale | censored)
            .then(pl.lit("lost"))
            .otherwise(pl.lit("live")),
            ended_at=pl.when(censored).then("ended_at_lo").otherwise("ended_at"),
            flags=pl.concat_list(
                [pl.when(condition).then(pl.lit(name)) for name, condition in sorted(flags.items())]
            ).list.drop_nulls(),
            reconnects=pl.col("rooms").cast(pl.Int64) - 1,
            airtime_s=_seconds(last - pl.col("started_at")),
            detection_delay_s=pl.when("told").then(_seconds(pl.col("first_on") - pl.col("started_at"))),
            stream_id=pl.concat_str(
                "creator_id",
                pl.lit(":"),
                pl.coalesce("room_id", pl.col("started_at").dt.strftime("%Y-%m-%dT%H:%M:%SZ")),
            ),
        )
        .with_columns(
            coverage_ratio=pl.when(pl.col("airtime_s") > 0)
            .then((pl.col("observed_s") / pl.col("airtime_s")).clip(0.0, 1.0))
            .otherwise(1.0),
            gap_since_previous_s=_seconds(pl.col("started_at") - previous_end),
        )
    )


def _metrics(on_air: pl.DataFrame, merged: pl.DataFrame, settings: configuration.Streams) -> pl.DataFrame:
    """Per stream, what its readings say: each stands until the next, at most for the cap."""
    ends = merged.select("stream", until=pl.coalesce("ended_at", "ended_at_lo"))
    readings = on_air.join(ends, on="stream").sort("stream", "observed_at", "capture_id")
    counted = readings.filter(pl.col("viewers").is_not_null())
    seen = (
        readings.with_columns(held_s=_held(settings))
        .group_by("stream")
        .agg(
            observations=pl.len(),
            observed_s=pl.col("held_s").sum(),
            vendors=pl.col("vendor").unique().sort(),
        )
    )
    watched = (
        counted.with_columns(held_s=_held(settings))
        .group_by("stream")
        .agg(
            peak_viewers=pl.col("viewers").max(),
            peak_at=pl.col("observed_at").filter(pl.col("viewers") == pl.col("viewers").max()).min(),
            hours_watched=(pl.col("viewers") * pl.col("held_s")).sum() / 3600,
            counted_h=pl.col("held_s").sum() / 3600,
        )
        .with_columns(
            average_viewers=pl.when(pl.col("counted_h") > 0).then(pl.col("hours_watched") / pl.col("counted_h"))
        )
    )
    return seen.join(watched, on="stream", how="left")


def _held(settings: configuration.Streams) -> pl.Expr:
    """Seconds for which a reading stands: to the next one of its stream, or the stream's end; at most the cap."""
    same = pl.col("stream") == pl.col("stream").shift(-1)
    until = pl.when(same).then(pl.col("observed_at").shift(-1)).otherwise("until")
    return _seconds(until - pl.col("observed_at")).clip(0.0, settings.gap_cap_seconds)


def _seconds(duration: pl.Expr) -> pl.Expr:
    return duration.dt.total_microseconds() / 1_000_000


def _sum_or_null(column: str) -> pl.Expr:
    """A sum that is null, not 0, where nothing is known."""
    return pl.when(pl.col(column).is_not_null().any()).then(pl.col(column).sum())
