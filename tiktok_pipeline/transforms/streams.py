"""The `streams` mart: derive streams from rooms, and measure their coverage and viewers.

A *reading* is the live state in one response. A *room* is one session of a creator on air; a vendor gives it a room id.
A room after a short gap is a reconnect of the same stream (docs/methods.md 1.7). A broadcast without any on-air reading
is not in the table. `evidence` chooses the readings that count, and `rooms` derives the rooms.
"""

from __future__ import annotations

from datetime import datetime

import polars as pl

from tiktok_pipeline.config.settings import Streams
from tiktok_pipeline.tables import STREAMS
from tiktok_pipeline.transforms.evidence import settle
from tiktok_pipeline.transforms.rooms import derive_rooms

_DAY_S = 86_400


# The key of a room, as `rooms.derive_rooms` describes it.
_ROOM = ["creator", "room_id", "nameless", "opening"]


def streams(live: pl.DataFrame | pl.LazyFrame, *, settings: Streams, as_of: datetime) -> pl.DataFrame:
    """Derive streams from live states.

    The result does not depend on the order of the rows, or on repeated rows.

    Args:
        live: LIVE_OBSERVATIONS schema. Pass a scan to save memory: only the needed columns are read.
        settings: `[streams]` of the settings.
        as_of: the newest instant of the data; later readings are ignored.

    Returns:
        STREAMS schema, sorted by creator_id and started_at.
    """
    derived = derive_rooms(settle(live.lazy(), as_of), settings)
    rooms = _number_streams(derived.rooms, settings)
    by_stream = _with_status(_aggregate_rooms(rooms), settings, as_of)
    readings = derived.readings.join(
        rooms.select(*_ROOM, "stream"),
        on=_ROOM,
        how="left",
        nulls_equal=True,
        maintain_order="left",
    ).join(by_stream.select("stream", "started_at", "until"), on="stream", how="left", maintain_order="left")
    measured = by_stream.join(_measure_coverage(readings, settings), on="stream", how="left").join(
        _measure_viewers(readings, settings), on="stream", how="left"
    )
    return _to_table(measured)


def _number_streams(rooms: pl.DataFrame, settings: Streams) -> pl.DataFrame:
    """Add `stream`, the number of each room's stream: a gap of more than `merge_gap_minutes` starts a new stream."""
    until = pl.coalesce("ended_at", "last_live").cum_max().shift(1).over("creator")
    is_new_stream = pl.col("started_at") - until > pl.duration(minutes=settings.merge_gap_minutes)
    return rooms.sort("creator", "started_at", "first_live", "room_id", "nameless", "opening").with_columns(
        stream=is_new_stream.fill_null(value=True).cum_sum()
    )


def _aggregate_rooms(rooms: pl.DataFrame) -> pl.DataFrame:
    """Aggregate rooms to one row a stream: creator, times, flags, and counts that vendors reported."""
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


def _with_status(by_stream: pl.DataFrame, settings: Streams, as_of: datetime) -> pl.DataFrame:
    """Add the status, the end and its flags (docs/methods.md 1.8), and `until`, the end of the airtime."""
    since_last_live = pl.lit(as_of, pl.Datetime("us", "UTC")) - pl.col("last_live")
    stale = pl.col("open") & (since_last_live > pl.duration(minutes=settings.stale_open_minutes))
    silent = pl.col("open") & (since_last_live > pl.duration(hours=settings.censor_hours))
    censored = silent | pl.col("end_censored")
    return by_stream.with_columns(
        status=pl.when(stale | censored)
        .then(pl.lit("lost"))
        .when("open")
        .then(pl.lit("live"))
        .otherwise(pl.lit("ended")),
        ended_at=pl.when(silent).then("last_live").when(~pl.col("open")).then("ended_at"),
        ended_at_hi=pl.when(~pl.col("open")).then("ended_at_hi"),
        censored_end=censored,
        stale=stale & ~silent,
        pending_end=pl.col("pending") & pl.col("open"),
    ).with_columns(until=pl.coalesce("ended_at", "last_live"))


def _measure_coverage(readings: pl.DataFrame, settings: Streams) -> pl.DataFrame:
    """Return stream, observed_s (seconds that readings cover), observations (number of readings) and vendors."""
    return (
        readings.with_columns(covered=_covered_before(settings))
        .group_by("stream", maintain_order=True)
        .agg(
            observed_s=pl.col("covered").sum() + _covered_after_last(settings),
            observations=pl.len(),
            vendors=pl.col("vendor").unique().sort(),
        )
    )


def _measure_viewers(readings: pl.DataFrame, settings: Streams) -> pl.DataFrame:
    """Return stream, peak_viewers, peak_at and average_viewers (weighted by time).

    The weight of a count is the time from half-way to the previous count until half-way to the next one. The first
    count extends to the start of the stream, the last one to its end. `gap_cap_seconds` limits each interval.
    """
    counted = readings.filter(pl.col("viewers").is_not_null())
    first = (pl.col("stream") != pl.col("stream").shift(1)).fill_null(value=True)
    last = (pl.col("stream") != pl.col("stream").shift(-1)).fill_null(value=True)
    cap = settings.gap_cap_seconds
    since = _seconds(pl.col("at") - pl.when(first).then("started_at").otherwise(pl.col("at").shift(1))).clip(0, cap)
    until = _seconds(pl.when(last).then("until").otherwise(pl.col("at").shift(-1)) - pl.col("at")).clip(0, cap)
    weighted = counted.with_columns(
        weight_s=pl.when(first).then(since).otherwise(since / 2) + pl.when(last).then(until).otherwise(until / 2)
    )
    weight_s, viewers = pl.col("weight_s"), pl.col("viewers")
    return weighted.group_by("stream", maintain_order=True).agg(
        peak_viewers=viewers.max(),
        peak_at=pl.col("at").filter(viewers == viewers.max()).first(),
        average_viewers=pl.when(weight_s.sum() > 0)
        .then((viewers * weight_s).sum() / weight_s.sum())
        .otherwise(viewers.mean())
        # Rounding can put a mean of equal counts outside their range.
        .clip(viewers.min(), viewers.max()),
    )


def _covered_before(settings: Streams) -> pl.Expr:
    """Return the seconds since the previous reading of the stream, or since its start; at most `gap_cap_seconds`."""
    same = (pl.col("stream") == pl.col("stream").shift(1)).fill_null(value=False)
    since = pl.col("at") - pl.when(same).then(pl.col("at").shift(1)).otherwise("started_at")
    return _seconds(since).clip(0, settings.gap_cap_seconds)


def _covered_after_last(settings: Streams) -> pl.Expr:
    """Return the seconds from the last reading of a stream to the end of its airtime; at most `gap_cap_seconds`."""
    return _seconds(pl.col("until").last() - pl.col("at").last()).clip(0, settings.gap_cap_seconds)


def _seconds(duration: pl.Expr) -> pl.Expr:
    return duration.dt.total_microseconds() / 1e6


# Flag -> its condition. The column `flags` lists the flags whose condition is true.
_FLAGS = {
    "censored_start": pl.col("censored_start"),  # on air at the first reading, or no reading for `censor_hours` before
    "censored_end": pl.col("censored_end"),  # no reading for `censor_hours` after the last on-air reading
    "disagree_end": pl.col("disagree_end"),  # on-air readings long after the end that a vendor reported
    "disagree_start": pl.col("disagree_start"),  # the vendor's start contradicts other evidence
    "no_room_id": pl.col("room_id").is_null(),  # no vendor reported a room id
    "opened_again": pl.col("opened_again"),  # the room was closed before, and an earlier stream has its room id
    "over_24h": pl.col("airtime_s") > _DAY_S,
    "pending_end": pl.col("pending_end"),  # one reading of off air, not confirmed yet
    "reopened": pl.col("reopened"),  # on air again in the same room after an end that seemed confirmed
    "stale_open": pl.col("stale"),  # no end, and no on-air reading for `stale_open_minutes`
}


def _to_table(measured: pl.DataFrame) -> pl.DataFrame:
    """Compute the ids, ratios and flags; return the STREAMS schema, sorted by creator_id and started_at."""
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
            # Only over the airtime that readings cover; `checks/identities` verifies this product.
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
                pl.when(condition).then(pl.lit(name)) for name, condition in sorted(_FLAGS.items())
            ).list.drop_nulls(),
        ).sort("creator_id", "started_at")
    )
