"""Find the account of each creator: in the roster, the derived tables, or responses that agree on one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import polars as pl

from tiktok_pipeline import tables
from tiktok_pipeline.capture.clock import hours_between
from tiktok_pipeline.capture.last_seen import LastSeen, account_of
from tiktok_pipeline.capture.live_states import (
    decode,
    is_request_for,
)
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.providers.accounts import Account, Sighting
from tiktok_pipeline.providers.vendor import Outcome, Target

# The derived tables identify a creator at the latest one day after the first response.
UNDERIVED = timedelta(hours=24)


def with_derived_accounts(lake: Lake, targets: Sequence[Target]) -> list[Target]:
    """Return `targets` with their newest handles and the ids in the derived tables; the roster keeps the first ones."""
    rows = (
        lake.scan_all(tables.CREATORS)
        # A presumed account must not be used for requests.
        .filter(pl.col("identified_by").is_not_null())
        .select("creator_id", "handle", "user_id", "sec_uid")
        .collect()
    )
    learned = {row[0]: row[1:] for row in rows.iter_rows()}
    return [_known(target, *learned.get(target.creator_id, (None, None, None))) for target in targets]


def _known(target: Target, handle: str | None, user_id: str | None, sec_uid: str | None) -> Target:
    listed, learned = account_of(target), Account.of(user_id, sec_uid)
    # The operator may have set other ids in the roster since the table was derived.
    if listed.is_same(learned) is False:
        return target
    account = listed.filled(learned)
    return replace(target, handle=handle or target.handle, user_id=account.user_id, sec_uid=account.sec_uid)


def identified(lake: Lake, targets: Sequence[Target], now: datetime) -> list[Target]:
    """Return `targets` with missing accounts filled in, as far as responses agreed on them by `now`."""
    seen = find_sightings(lake, [target for target in targets if not account_of(target)], now)
    return [LastSeen(sightings=seen.get(target.creator_id, ())).identified(target) for target in targets]


def names_account(creators: Sequence[str]) -> pl.Expr:
    """Match raw rows that may name the account of one of `creators`: responses to requests by first handle."""
    return (
        pl.col("creator_id").is_in(list(creators))
        & (pl.col("subject") == pl.col("creator_id"))
        & pl.col("outcome").is_in([Outcome.OK.value, Outcome.NOT_LIVE.value, Outcome.PRIVATE.value])
        & (is_request_for("live") | is_request_for("profile") | is_request_for("user_id"))
    )


def find_sightings(lake: Lake, targets: Iterable[Target], now: datetime) -> dict[str, tuple[Sighting, ...]]:
    """Return the accounts in responses of the last day to requests by the targets' handles, by creator.

    Only targets that no derived table identifies yet are searched. Hours are read in order, because the first account
    is the creator's. Reading stops for a target as soon as responses have identified it.
    """
    left = {target.creator_id: target for target in targets if target.handle == target.creator_id}
    found: dict[str, LastSeen] = {}
    for hour in hours_between(now - UNDERIVED, now):
        if not left:
            break
        rows = [
            lake.scan_raw(table, [hour])
            .filter(names_account(list(left)), pl.col("requested_at") < now)
            .select("creator_id", "vendor", "endpoint", "outcome", "body", "observed_at", "requested_at", "capture_id")
            for table in (tables.RAW_LIVES, tables.RAW_PROFILES)
        ]
        landed = pl.concat(pl.collect_all(rows)).sort("requested_at", "capture_id")
        for creator_id, vendor, endpoint, outcome, body, observed_at, *_ in landed.iter_rows():
            if creator_id in left:
                readings = decode(vendor, endpoint, outcome, body)
                seen = found.get(creator_id, LastSeen()).sighted(readings, left[creator_id], vendor, observed_at)
                found[creator_id] = seen
                if account_of(seen.identified(left[creator_id])):
                    del left[creator_id]
    return {creator_id: seen.sightings for creator_id, seen in found.items()}
