"""Plan follow-up requests at the start and the end of streams, and select those that are due.

`plan` turns on-air readings into follow-ups: a table, a creator, and the time within which to make the request. `due`
removes follow-ups that already have a response. Both are pure functions. On the real clock a sensor requests one run
for all due follow-ups. A follow-up stays due until its response is landed, so a lost run is repeated. On the replay
clock, the sweep of the same table makes these requests.

A follow-up depends on no later reading. So a replay of hours and a sensor that runs every minute find the same ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import polars as pl

from tiktok_pipeline import tables
from tiktok_pipeline.config.settings import Boundary

# Capability that each table's follow-ups request.
CAPABILITIES = {
    tables.RAW_LIVES.name: "room",
    tables.RAW_PROFILES.name: "profile",
    tables.RAW_STORIES.name: "stories",
    tables.RAW_POSTS.name: "posts",
    tables.RAW_FOLLOWERS.name: "followers",
}

FOLLOWUPS = pl.Schema(
    {
        "table": pl.String(),
        "creator_id": pl.String(),
        "why": pl.String(),
        "at": pl.Datetime("us", "UTC"),
        # Responses to requests from this time on count.
        "counts_from": pl.Datetime("us", "UTC"),
        "until": pl.Datetime("us", "UTC"),
    }
)


def reach(settings: Boundary) -> timedelta:
    """Return how far back readings matter: the latest follow-up after an end, plus the time it stays due."""
    latest = max((minutes for offsets in _after_end(settings).values() for minutes in offsets), default=0)
    return timedelta(minutes=latest + settings.patience_minutes)


def plan(readings: pl.DataFrame, settings: Boundary, *, merge_gap: timedelta) -> pl.DataFrame:
    """Return the follow-ups of the streams in `readings`.

    A stream starts at the first on-air reading. If the previous on-air reading is within `merge_gap`, the stream
    continues instead. It ends at the first off-air reading. A follow-up after an end is dropped if the creator is on
    air again by then.

    Args:
        readings: creator_id, polled_at, on_air (null: not reported), in any order.
        settings: the section [boundary].
        merge_gap: longest interruption within a stream.

    Returns:
        FOLLOWUPS schema, sorted by time.
    """
    known = (
        readings.filter(pl.col("on_air").is_not_null())
        .sort("creator_id", "polled_at", "on_air")
        .with_columns(
            was=pl.col("on_air").shift().over("creator_id"),
            live_at=pl.when("on_air").then("polled_at"),
        )
        .with_columns(
            live_before=pl.col("live_at").shift().forward_fill().over("creator_id"),
            live_after=pl.col("live_at").backward_fill().over("creator_id"),
        )
    )
    goes_on = (pl.col("polled_at") - pl.col("live_before") <= merge_gap).fill_null(value=False)
    starts = known.filter("on_air", ~pl.col("was").fill_null(value=False), ~goes_on)
    ends = known.filter(~pl.col("on_air"), pl.col("was"))
    found = [
        _frame(starts, table, "start", pl.col("polled_at"), pl.col("polled_at"), settings)
        for table in _at_start(settings)
    ]
    for table, offsets in _after_end(settings).items():
        for minutes in offsets:
            at = pl.col("polled_at") + timedelta(minutes=minutes)
            # On air again by then: the follow-up belongs to no end.
            stays = ends.filter((pl.col("live_after") > at).fill_null(value=True))
            why = f"end + {minutes} min" if minutes else "end"
            # A room response after the end reports its final state; counts are valid only at the follow-up's time.
            counts_from = pl.col("polled_at") if table == tables.RAW_LIVES.name else at
            found.append(_frame(stays, table, why, at, counts_from, settings))
    return pl.concat([FOLLOWUPS.to_frame(), *found]).unique().sort("at", "table", "creator_id", "why")


def due(followups: pl.DataFrame, responses: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """Return the follow-ups that have begun, have not expired, and have no response.

    Args:
        followups: FOLLOWUPS schema.
        responses: table, creator_id, polled_at of requests with a response; any request of the table's capability
            counts, also one of a watch or a sweep.
        now: the current time.

    Returns:
        FOLLOWUPS schema. One response counts for all follow-ups that had begun at its request.
    """
    open_now = followups.filter(pl.col("at") <= now, pl.col("until") > now)
    newest = responses.group_by("table", "creator_id").agg(pl.col("polled_at").max())
    return (
        open_now.join(newest, on=["table", "creator_id"], how="left")
        .filter((pl.col("polled_at") < pl.col("counts_from")).fill_null(value=True))
        .select(FOLLOWUPS.names())
    )


def reasons(due: pl.DataFrame) -> dict[str, dict[str, str]]:
    """Return the reasons by table and creator: the configuration of a run."""
    by_table: dict[str, dict[str, str]] = {}
    for table, creator_id, why in due.sort("at").select("table", "creator_id", "why").iter_rows():
        whys = by_table.setdefault(table, {})
        whys[creator_id] = f"{whys[creator_id]}, {why}" if creator_id in whys else why
    return {table: dict(sorted(whys.items())) for table, whys in sorted(by_table.items())}


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
