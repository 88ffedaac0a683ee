"""The `creator_days` mart: one creator, one day.

A stream counts on the day that it started, as on the boards: `streams`, `active_day`, `lift` and the streaks. Airtime
counts on the day that it falls on: `airtime_s`, viewers and `hours_watched` of a stream over midnight are split.
"""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl

from tiktok_pipeline.tables import CREATOR_DAYS
from tiktok_pipeline.transforms.creator_hours import sum_or_null
from tiktok_pipeline.transforms.stream_hours import mean_viewers

# Streaks and silences are counted within this many days, the day itself included: a leap year.
STREAK_DAYS = 366

_COUNTED_BY = ("vendor", "listed", "followers_precision", "followers_unit")


def creator_days(
    day: date,
    *,
    streams: pl.DataFrame,
    hours: pl.DataFrame,
    lift: pl.DataFrame,
    coverage: pl.DataFrame,
    profiles: pl.DataFrame,
    creators: pl.DataFrame,
) -> pl.DataFrame:
    """Return one row a creator for `day`; rows of the inputs that belong to other days are ignored.

    Args:
        day: the day, UTC.
        streams: creator_id and started_at of the streams of the `STREAK_DAYS` up to the day.
        hours: STREAM_HOURS schema: the hours of the day.
        lift: STREAM_LIFT schema: the streams that started on the day.
        coverage: COVERAGE schema: the day.
        profiles: PROFILE_OBSERVATIONS schema: the day and the day before.
        creators: CREATORS schema.

    Returns:
        CREATOR_DAYS schema, sorted by creator_id. One row for every creator that was first seen by then and was still
        on the roster or seen later, and for every creator that was on air. If no reading of the day has a known live
        state, columns that depend on it are null.
    """
    starts = streams.filter(pl.col("started_at").dt.date().is_between(day - timedelta(days=STREAK_DAYS - 1), day))
    aired = _aired(hours.filter(pl.col("hour").dt.date() == day))
    known = creators.filter(
        pl.col("first_seen_at").dt.date() <= day,
        pl.col("on_roster") | (pl.col("last_seen_at").dt.date() >= day),
    )
    started = starts.filter(pl.col("started_at").dt.date() == day)
    rows = pl.concat([frame.select("creator_id") for frame in (known, aired, started)]).unique()
    for part in (
        started.group_by("creator_id").agg(streams=pl.len()),
        aired,
        _lift(lift.filter(pl.col("started_at").dt.date() == day)),
        coverage.filter(pl.col("day") == day).select("creator_id", "known_polls"),
        _followers(profiles, day),
        _streaks(starts, day),
    ):
        rows = rows.join(part, on="creator_id", how="left")
    watched = pl.col("known_polls").fill_null(0) > 0
    seen = pl.col("streams").is_not_null() | pl.col("airtime_s").is_not_null()
    active = pl.when(watched | seen).then(pl.col("streams").is_not_null())
    off_air = active.is_not_null() & pl.col("airtime_s").is_null()
    return CREATOR_DAYS.conform(
        rows.with_columns(
            day=pl.lit(day),
            active_day=active,
            streams=pl.when(active.is_not_null()).then(pl.col("streams").fill_null(0)),
            airtime_s=pl.when(off_air).then(0.0).otherwise("airtime_s"),
            hours_watched=pl.when(off_air).then(0.0).otherwise("hours_watched"),
            lift_streams=pl.when(active.is_not_null()).then(pl.col("lift_streams").fill_null(0)),
            current_streak_days=pl.when(active.is_not_null()).then(pl.col("current_streak_days").fill_null(0)),
            longest_streak_days=pl.col("longest_streak_days").fill_null(0),
        ).sort("creator_id")
    )


def _aired(hours: pl.DataFrame) -> pl.DataFrame:
    """Sum the time on air and its viewers over the hours of one day, by creator_id."""
    return (
        hours.sort("stream_id", "hour")
        .group_by("creator_id", maintain_order=True)
        .agg(
            pl.col("airtime_s").sum(),
            pl.col("peak_viewers").max(),
            sum_or_null("hours_watched"),
            sum_or_null("counted_s"),
        )
        .with_columns(average_viewers=mean_viewers(pl.col("hours_watched"), pl.col("counted_s")))
        .drop("counted_s")
    )


def _lift(lift: pl.DataFrame) -> pl.DataFrame:
    return (
        lift.filter("observable", pl.col("lift").is_not_null())
        .sort("stream_id")
        .group_by("creator_id", maintain_order=True)
        .agg(pl.col("lift").sum(), lift_streams=pl.len())
    )


def _followers(profiles: pl.DataFrame, day: date) -> pl.DataFrame:
    """Return the last count of the day, and its change since the last count of the day before by the same source.

    The source of a day is a vendor with one precision and quantum: exact before rounded, then the one that was read
    most often, so that it is the same one from day to day. The total of a follower list is a source of its own: it
    differs from the profile's (docs/vendors.md 4.4).
    """
    counted = (
        profiles.filter(pl.col("followers").is_not_null())
        .with_columns(on=pl.col("observed_at").dt.date(), listed=pl.col("source") == "followers")
        .filter(pl.col("on").is_in([day - timedelta(days=1), day]))
    )
    group = ["creator_id", "on", *_COUNTED_BY]
    # Few rows are the last of their group: only those are sorted.
    last = counted.group_by(group).agg(pl.col("observed_at").max(), counts=pl.len())
    ends = (
        counted.join(last, on=[*group, "observed_at"], how="inner", nulls_equal=True)
        .sort("capture_id", "source")
        .group_by(group)
        .agg(pl.col("followers", "observed_at").last(), pl.col("counts").first())
        .sort(
            pl.col("followers_precision").eq_missing("exact"),
            "counts",
            *_COUNTED_BY,
            descending=[True, True, *(False for _ in _COUNTED_BY)],
        )
        .unique(["creator_id", "on"], keep="first", maintain_order=True)
    )
    before = ends.filter(pl.col("on") < day).select("creator_id", *_COUNTED_BY, followers_before="followers")
    return (
        ends.filter(pl.col("on") == day)
        .join(before, on=["creator_id", *_COUNTED_BY], how="left", nulls_equal=True)
        .select(
            "creator_id",
            "followers_precision",
            "followers_unit",
            followers_end="followers",
            followers_at="observed_at",
            followers_vendor="vendor",
            followers_change=pl.col("followers") - pl.col("followers_before"),
        )
    )


def _streaks(starts: pl.DataFrame, day: date) -> pl.DataFrame:
    """Find streaks as gaps and islands: a day less its rank is constant within a run of days."""
    islands = (
        starts.select("creator_id", on=pl.col("started_at").dt.date())
        .unique()
        .sort("creator_id", "on")
        .with_columns(island=pl.col("on") - pl.duration(days=pl.int_range(pl.len()).over("creator_id")))
        .group_by("creator_id", "island")
        .agg(days=pl.len(), last=pl.col("on").max())
    )
    return islands.group_by("creator_id").agg(
        current_streak_days=pl.col("days").filter(pl.col("last") == day).first(),
        longest_streak_days=pl.col("days").max(),
        days_since_last_stream=(pl.lit(day) - pl.col("last").max()).dt.total_days(),
    )
