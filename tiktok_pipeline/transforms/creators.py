"""The `creators` mart: accounts, handles and counts, by the newest responses that are about the creator."""

from __future__ import annotations

import polars as pl

from tiktok_pipeline.tables import CREATORS
from tiktok_pipeline.transforms.identity import Identities, Summary, taken_handles

# An exact count is preferred to a newer rounded one until it is this old.
_EXACT_COUNTS_FOR = pl.duration(days=7)

# The columns of PROFILE_OBSERVATIONS that the mart reads.
COLUMNS = (
    "creator_id", "observed_at", "capture_id", "source", "user_id", "sec_uid", "handle", "display_name", "verified",
    "followers", "followers_precision",
)  # fmt: skip
_IN_TIME = ("observed_at", "capture_id", "source")
_LATEST = ("user_id", "sec_uid", "display_name", "verified")

_EXACT = pl.col("followers_precision") == "exact"
# A handle without an id does not identify the account, except the roster's own handle.
_VOUCHED = pl.any_horizontal(pl.col("user_id", "sec_uid").is_not_null()) | (pl.col("handle") == pl.col("creator_id"))


def creators(
    roster: pl.DataFrame,
    profiles: pl.DataFrame,
    known: Identities,
    sightings: pl.LazyFrame,
    summary: Summary | None = None,
) -> pl.DataFrame:
    """Return one row a creator, of the roster or ever observed.

    A handle from a response is accepted only if the response's account is identified as the creator's. Until then the
    roster's handle stays.

    Args:
        roster: creator_id, handle, niche, tier, user_id, sec_uid; strings, "" where not given.
        profiles: the `COLUMNS` of PROFILE_OBSERVATIONS, any order: all rows, or the result of `sufficient_rows`.
        known: the creators' accounts.
        sightings: ACCOUNT_SIGHTINGS schema, of all days.
        summary: their summary, if it was already computed.

    Returns:
        CREATORS schema, sorted by creator_id.
    """
    seen = profiles.sort(*_IN_TIME)
    handle = pl.col("handle").filter(_VOUCHED).drop_nulls()
    latest = seen.group_by("creator_id", maintain_order=True).agg(
        pl.col("user_id", "sec_uid", "display_name", "verified").drop_nulls().last(),
        handle.last().alias("handle_seen"),
        handle.unique(maintain_order=True).alias("handles"),
        pl.col("observed_at").min().alias("first_seen_at"),
        pl.col("observed_at").max().alias("last_seen_at"),
    )
    listed = roster.select(
        "creator_id",
        "niche",
        "tier",
        pl.col("handle").alias("handle_listed"),
        on_roster=pl.lit(value=True),
    ).with_columns(_given("niche"))
    merged = (
        listed.join(latest, on="creator_id", how="full", coalesce=True)
        .join(_followers(seen), on="creator_id", how="left")
        .join(_accounts(known), on="creator_id", how="left")
        .with_columns(
            handle=pl.coalesce(
                pl.when(pl.col("identified_by").is_not_null()).then("handle_seen"), "handle_listed", "creator_id"
            ),
            user_id=pl.coalesce("user_id_known", "user_id"),
            sec_uid=pl.coalesce("sec_uid_known", "sec_uid"),
            on_roster=pl.col("on_roster").fill_null(value=False),
        )
    )
    taken = taken_handles(sightings, merged.select("creator_id", "handle"), known, summary)
    return CREATORS.conform(
        merged.join(taken, on="creator_id", how="left")
        .with_columns(
            previous_handles=pl.concat_list(
                pl.col("handle_listed").fill_null(pl.col("creator_id")),
                pl.col("handles").fill_null([]),
            )
            .list.unique(maintain_order=True)
            .list.set_difference(pl.concat_list("handle"))
        )
        .sort("creator_id")
    )


def sufficient_rows(profiles: pl.LazyFrame | pl.DataFrame) -> pl.DataFrame:
    """Return the few rows of `profiles` that determine the mart: `creators` of them equals `creators` of all rows.

    It can be applied to parts: the sufficient rows of two parts, joined and reduced again, are those of the whole. So
    a history is read day by day.

    Args:
        profiles: at least the `COLUMNS` of PROFILE_OBSERVATIONS, any order.

    Returns:
        The `COLUMNS`, sorted by creator and time: per creator the first and the last row, the last row with each id,
        name and flag, the first and the last row of each vouched handle, and the last count of each precision.
    """
    rows = profiles.lazy().select(COLUMNS).with_columns(_handle=pl.when(_VOUCHED).then("handle")).collect()
    # Order by time first: text columns only break ties among few rows, and are slow to sort among many.
    near = _determining(rows, "observed_at")
    rows = rows.join(near, on=["creator_id", "observed_at"], how="semi").sort(*_IN_TIME).with_row_index("_row")
    return rows.join(_determining(rows, "_row"), on="_row", how="semi").sort("creator_id", *_IN_TIME).select(COLUMNS)


def _determining(rows: pl.DataFrame, order: str) -> pl.DataFrame:
    """Return creator_id and the values of `order` (which orders the rows of a creator) of the determining rows."""
    counted = pl.col("followers").is_not_null()
    # A count without a precision ranks below a rounded one: see `_followers`.
    precisions = {"exact": _EXACT, "rounded": ~_EXACT, "bare": _EXACT.is_null()}
    of_creator = rows.group_by("creator_id").agg(
        pl.col(order).min().alias("first"),
        pl.col(order).max().alias("last"),
        *(pl.col(order).filter(pl.col(name).is_not_null()).max().alias(name) for name in _LATEST),
        *(pl.col(order).filter(counted & kind).max().alias(f"count_{name}") for name, kind in precisions.items()),
    )
    of_handle = (
        rows.drop_nulls("_handle")
        .group_by("creator_id", "_handle")
        .agg(pl.col(order).min().alias("first"), pl.col(order).max().alias("last"))
        .drop("_handle")
    )
    parts = [part.unpivot(index="creator_id", value_name=order).drop("variable") for part in (of_creator, of_handle)]
    return pl.concat(parts).drop_nulls().unique()


def _accounts(known: Identities) -> pl.DataFrame:
    rows = [
        (creator_id, account.user_id, account.sec_uid, known.known_by.get(creator_id))
        for creator_id, account in known.accounts.items()
    ]
    columns = ("creator_id", "user_id_known", "sec_uid_known", "identified_by")
    return pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")


def _followers(seen: pl.DataFrame) -> pl.DataFrame:
    """Return the newest exact count of the last week, else the newest count, else the newest of any precision."""
    counted = seen.filter(pl.col("followers").is_not_null()).with_columns(
        newest=pl.col("observed_at").max().over("creator_id")
    )
    recent = counted.filter(pl.col("observed_at") >= pl.col("newest") - _EXACT_COUNTS_FOR)
    return (
        recent.sort(_EXACT, *_IN_TIME)
        .group_by("creator_id", maintain_order=True)
        .agg(pl.col("followers", "followers_precision").last())
    )


def _given(column: str) -> pl.Expr:
    """Return the roster's column with empty cells as null."""
    return pl.when(pl.col(column) != "").then(pl.col(column))
