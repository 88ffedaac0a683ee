"""The `stream_conversions` mart: followers that joined and left between the follower lists around a stream.

A list shows the newest followers first, and a walk ends after some pages. So all followers above the oldest follower
that two lists share have joined between them, as long as they share some. Leaving followers are counted only within
the part that both lists reach. Follower keys are compared here and not stored: the mart holds counts.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

import polars as pl

from tiktok_pipeline.config.settings import Conversions
from tiktok_pipeline.tables import STREAM_CONVERSIONS

# A follower that left and came back is on top again: one or two in common do not prove that lists overlap.
_FEWEST_COMMON = 3

_SIDES: tuple[Literal["before", "after"], ...] = ("before", "after")


def stream_conversions(streams: pl.DataFrame, entries: pl.DataFrame, *, settings: Conversions) -> pl.DataFrame:
    """Return one row a stream.

    Args:
        streams: STREAMS schema; also the neighbours of the requested streams, as they may share lists.
        entries: FOLLOWER_LIST_ENTRIES schema, any order.
        settings: how far a list may lie from a stream.

    Returns:
        STREAM_CONVERSIONS schema, sorted by stream_id.
    """
    walks, members = _walks(entries)
    bracketed = _bracketed(streams, walks, settings)
    usable = bracketed.filter(
        pl.col("walk_before").is_not_null(), pl.col("walk_after").is_not_null(), ~pl.col("shared")
    )
    rows = bracketed.join(_compared(usable, members), on="stream_id", how="left")
    meets = pl.col("meets").fill_null(value=False)
    tight = timedelta(hours=settings.tight_hours)
    wide = (pl.col("started_at") - pl.col("before_at") > tight) | (pl.col("after_at") - pl.col("ended_at") > tight)
    joined = pl.when(meets).then("joined")
    flags = {
        "late_before": pl.col("before_at") > pl.col("started_at"),
        "lists_do_not_meet": pl.col("meets") == False,  # noqa: E712 - null where there was nothing to compare
        "no_end": pl.col("ended_at").is_null(),
        "no_list_after": pl.col("ended_at").is_not_null() & pl.col("walk_after").is_null(),
        "no_list_before": pl.col("walk_before").is_null(),
        "shared_bracket": pl.col("shared"),
        "wide_bracket": wide,
    }
    return STREAM_CONVERSIONS.conform(
        rows.with_columns(
            joined=joined,
            left=pl.when(meets & pl.col("complete")).then("gone"),
            left_recent=pl.when(meets).then("gone_recent"),
            compared=pl.when(meets).then("compared"),
            conversion=pl.when(~wide, pl.col("viewers_total") > 0).then(joined / pl.col("viewers_total")),
            flags=pl.concat_list(pl.when(holds).then(pl.lit(name)) for name, holds in flags.items()).list.drop_nulls(),
        ).sort("stream_id")
    )


def _walks(entries: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return (one row a walk: walk, creator_id, vendor, at, seen, total; its members: walk, key, place from 0).

    A walk begins with page 0. Pages after a missing one are left out, because the followers between are unknown.
    """
    pages = (
        entries.group_by("creator_id", "vendor", "capture_id")
        .agg(pl.col("observed_at").min(), pl.col("page").min(), total=pl.col("list_total").max())
        .sort("creator_id", "vendor", "observed_at", "page", "capture_id")
        .with_columns(walk=(pl.col("page") == 0).cum_sum())
        .with_columns(pages_before=pl.int_range(pl.len()).over("creator_id", "vendor", "walk"))
        .filter(pl.col("page") == pl.col("pages_before"))
    )
    members = (
        entries.select("capture_id", "position", key="follower_key")
        .join(pages.select("capture_id", "page", "walk"), on="capture_id")
        .sort("walk", "page", "position", "key")
        # A list that changes during the walk has overlapping pages.
        .unique(["walk", "key"], keep="first", maintain_order=True)
        .select("walk", "key", place=pl.int_range(pl.len()).over("walk"))
    )
    walks = (
        pages.group_by("walk", "creator_id", "vendor", maintain_order=True)
        .agg(pl.col("total").max(), at=pl.col("observed_at").min())
        .join(members.group_by("walk").agg(seen=pl.len()), on="walk")
    )
    return walks, members


def _bracketed(streams: pl.DataFrame, walks: pl.DataFrame, settings: Conversions) -> pl.DataFrame:
    """Return `streams` with the last list before and the first after, of the vendor with the closest lists."""
    late = pl.col("started_at") + timedelta(minutes=settings.late_minutes)
    spans = streams.select(
        "stream_id",
        "creator_id",
        "started_at",
        "ended_at",
        "viewers_total",
        begun_at=pl.min_horizontal(late, pl.col("ended_at") - timedelta(microseconds=1)),
    )
    offered = (
        spans.join(walks.select("creator_id", "vendor").unique(), on="creator_id", how="left")
        .join(_nearest(spans, walks, "begun_at", "before", settings), on=["stream_id", "vendor"], how="left")
        .join(_nearest(spans, walks, "ended_at", "after", settings), on=["stream_id", "vendor"], how="left")
    )
    both = pl.col("walk_before").is_not_null() & pl.col("walk_after").is_not_null()
    best = (
        offered.with_columns(both=both, apart=pl.col("after_at") - pl.col("before_at"))
        .sort("both", "apart", "vendor", descending=[True, False, False], nulls_last=True)
        .unique("stream_id", keep="first", maintain_order=True)
    )
    complete = pl.all_horizontal(pl.col(f"seen_{side}") >= pl.col(f"total_{side}") for side in _SIDES)
    return best.join(_sharing(best, streams), on="stream_id", how="left").with_columns(
        vendor=pl.when("both").then("vendor"),
        complete=pl.when("both").then(complete),
        list_seen="seen_after",
        list_total="total_after",
        shared=pl.col("shared").fill_null(value=False),
    )


def _nearest(
    spans: pl.DataFrame, walks: pl.DataFrame, edge: str, side: Literal["before", "after"], settings: Conversions
) -> pl.DataFrame:
    """Return stream_id, vendor and, named by the side, the vendor's nearest list on that side of the stream's edge."""
    lists = walks.select(
        "creator_id", "vendor", list_at="at", **{f"{name}_{side}": name for name in ("at", "walk", "seen", "total")}
    )
    return (
        spans.filter(pl.col(edge).is_not_null())
        .join(walks.select("creator_id", "vendor").unique(), on="creator_id")
        .sort(edge)
        .join_asof(
            lists.sort("list_at"),
            left_on=edge,
            right_on="list_at",
            by=["creator_id", "vendor"],
            strategy="backward" if side == "before" else "forward",
            tolerance=timedelta(hours=settings.reach_hours),
            check_sortedness=False,
        )
        .rename({f"at_{side}": f"{side}_at"})
        .select("stream_id", "vendor", f"{side}_at", *(f"{name}_{side}" for name in ("walk", "seen", "total")))
    )


def _sharing(bracketed: pl.DataFrame, streams: pl.DataFrame) -> pl.DataFrame:
    """Return stream_id and `shared`: whether another stream of the creator lies between the lists."""
    others = streams.select(
        "creator_id",
        other="stream_id",
        other_start="started_at",
        other_end=pl.coalesce("ended_at", "ended_at_lo", "started_at"),
    )
    return (
        bracketed.filter("both")
        .select("stream_id", "creator_id", "before_at", "after_at")
        .join(others, on="creator_id")
        .filter(
            pl.col("other") != pl.col("stream_id"),
            pl.col("other_start") < pl.col("after_at"),
            pl.col("other_end") > pl.col("before_at"),
        )
        .select("stream_id", shared=pl.lit(value=True))
        .unique()
    )


def _compared(usable: pl.DataFrame, members: pl.DataFrame) -> pl.DataFrame:
    """Compare the two lists of each stream: stream_id, meets, joined, gone, gone_recent, compared."""
    sides = [
        usable.select("stream_id", "complete", walk=f"walk_{side}").join(members, on="walk").drop("walk")
        for side in _SIDES
    ]
    both = sides[0].join(
        sides[1].select("stream_id", "key", "place"),
        on=["stream_id", "key"],
        how="full",
        coalesce=True,
        suffix="_after",
    )
    common = pl.col("place").is_not_null() & pl.col("place_after").is_not_null()
    whole = pl.col("complete").fill_null(value=False)
    reached = both.join(
        both.group_by("stream_id").agg(
            pl.col("complete").max(),
            meets=(common.sum() >= _FEWEST_COMMON) | pl.col("complete").max().fill_null(value=False),
            oldest=pl.col("place").filter(common).max(),
            oldest_after=pl.col("place_after").filter(common).max(),
        ),
        on="stream_id",
        suffix="_lists",
    ).with_columns(complete="complete_lists")
    new = pl.col("place").is_null() & (whole | (pl.col("place_after") < pl.col("oldest_after")))
    compared = pl.col("place") <= pl.col("oldest")
    gone = pl.col("place_after").is_null() & pl.col("place").is_not_null()
    return reached.group_by("stream_id").agg(
        pl.col("meets").first(),
        joined=new.sum(),
        gone=gone.sum(),
        gone_recent=(gone & compared).sum(),
        compared=compared.sum(),
    )
