"""What is asked around the start and the end of a stream, beside watches and sweeps, and what of it is due.

`moments` turns readings of who is on air into moments, each with whom to ask for what, from when and until when;
`due` takes away what has landed. Both are pure. On the real clock a sensor asks for one run for all that is due, and
because a moment is due until its answer has landed, what a lost run did not ask comes back by itself. On the replay
clock a sweep of the same table asks at these moments.

A moment depends on no reading after it, so a replay of hours and a sensor that looks at each minute find the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import polars as pl

from tiktok_pipeline import tables
from tiktok_pipeline.config.settings import Boundary

# Capability that each table's moments ask for.
CAPABILITIES = {
    tables.RAW_LIVES.name: "room",
    tables.RAW_PROFILES.name: "profile",
    tables.RAW_STORIES.name: "stories",
    tables.RAW_POSTS.name: "posts",
    tables.RAW_FOLLOWERS.name: "followers",
}

MOMENTS = pl.Schema(
    {
        "table": pl.String(),
        "creator_id": pl.String(),
        "why": pl.String(),
        "at": pl.Datetime("us", "UTC"),
        # An answer counts if it was asked for from here on.
        "counts_from": pl.Datetime("us", "UTC"),
        "until": pl.Datetime("us", "UTC"),
    }
)


def reach(settings: Boundary) -> timedelta:
    """How far back readings matter: the latest moment after an end, and as long as it stays due."""
    latest = max((minutes for offsets in _after_end(settings).values() for minutes in offsets), default=0)
    return timedelta(minutes=latest + settings.patience_minutes)


def moments(readings: pl.DataFrame, settings: Boundary, *, merge_gap: timedelta) -> pl.DataFrame:
    """When to ask for what around the streams in `readings`.

    A stream starts with the first reading of on air, unless the last one is so near that it goes on (`merge_gap`);
    it ends with the first reading of off air. What was due after an end is not, once the creator is on air again.

    Args:
        readings: creator_id, asked_at, on_air (null: nobody knows), any order.

    Returns:
        MOMENTS schema, sorted by time: table to land in, creator, why, and the time within which to ask.
    """
    known = (
        readings.filter(pl.col("on_air").is_not_null())
        .sort("creator_id", "asked_at", "on_air")
        .with_columns(
            was=pl.col("on_air").shift().over("creator_id"),
            live_at=pl.when("on_air").then("asked_at"),
        )
        .with_columns(
            live_before=pl.col("live_at").shift().forward_fill().over("creator_id"),
            live_after=pl.col("live_at").backward_fill().over("creator_id"),
        )
    )
    goes_on = (pl.col("asked_at") - pl.col("live_before") <= merge_gap).fill_null(value=False)
    starts = known.filter("on_air", ~pl.col("was").fill_null(value=False), ~goes_on)
    ends = known.filter(~pl.col("on_air"), pl.col("was"))
    found = [
        _frame(starts, table, "start", pl.col("asked_at"), pl.col("asked_at"), settings)
        for table in _at_start(settings)
    ]
    for table, offsets in _after_end(settings).items():
        for minutes in offsets:
            at = pl.col("asked_at") + timedelta(minutes=minutes)
            # On air again by then: the moment belongs to no end.
            stays = ends.filter((pl.col("live_after") > at).fill_null(value=True))
            why = f"end + {minutes} min" if minutes else "end"
            # A room that was asked after the end has said what it knows of it; counts are of their moment.
            counts_from = pl.col("asked_at") if table == tables.RAW_LIVES.name else at
            found.append(_frame(stays, table, why, at, counts_from, settings))
    return pl.concat([MOMENTS.to_frame(), *found]).unique().sort("at", "table", "creator_id", "why")


def due(moments: pl.DataFrame, answered: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """The moments that have come, are not over, and whose answer has not landed.

    Args:
        moments: MOMENTS schema.
        answered: table, creator_id, asked_at of questions that were answered; any question of the table's
            capability counts, whoever asked it.

    Returns:
        MOMENTS schema. One answer serves every moment that had come when it was asked.
    """
    open_now = moments.filter(pl.col("at") <= now, pl.col("until") > now)
    newest = answered.group_by("table", "creator_id").agg(pl.col("asked_at").max())
    return (
        open_now.join(newest, on=["table", "creator_id"], how="left")
        .filter((pl.col("asked_at") < pl.col("counts_from")).fill_null(value=True))
        .select(MOMENTS.names())
    )


def reasons(due: pl.DataFrame) -> dict[str, dict[str, str]]:
    """Whom to ask and why, by table: what a run is told."""
    asked: dict[str, dict[str, str]] = {}
    for table, creator_id, why in due.sort("at").select("table", "creator_id", "why").iter_rows():
        whys = asked.setdefault(table, {})
        whys[creator_id] = f"{whys[creator_id]}, {why}" if creator_id in whys else why
    return {table: dict(sorted(whys.items())) for table, whys in sorted(asked.items())}


def _frame(
    of: pl.DataFrame, table: str, why: str, at: pl.Expr, counts_from: pl.Expr, settings: Boundary
) -> pl.DataFrame:
    until = at + timedelta(minutes=settings.patience_minutes)
    return of.select(
        pl.lit(table).alias("table"), "creator_id", why=pl.lit(why), at=at, counts_from=counts_from, until=until
    )


def _at_start(settings: Boundary) -> Iterable[str]:
    if settings.profile_at_start:
        yield tables.RAW_PROFILES.name
    if settings.followers_at_start:
        yield tables.RAW_FOLLOWERS.name


def _after_end(settings: Boundary) -> dict[str, tuple[int, ...]]:
    return {
        tables.RAW_LIVES.name: settings.room_minutes,
        tables.RAW_PROFILES.name: settings.profile_minutes,
        tables.RAW_STORIES.name: settings.stories_minutes,
        tables.RAW_POSTS.name: settings.posts_minutes,
        tables.RAW_FOLLOWERS.name: settings.followers_minutes,
    }
