"""What a window knows when it begins: read from what landed, because nothing else is kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import polars as pl

from tiktok_pipeline import tables
from tiktok_pipeline.capture.clock import hours_between
from tiktok_pipeline.capture.watch import LastSeen
from tiktok_pipeline.lake import Lake
from tiktok_pipeline.providers import VENDORS
from tiktok_pipeline.providers.vendor import FATES, Fate, Limits, Outcome, Target, Unreadable

RAW_TABLES = tuple(table for table in tables.TABLES.values() if table.layer == "raw")

# Whoever was live longer ago than this is found again by the round.
_RECENT = timedelta(minutes=60)

_ANSWERS = [outcome.value for outcome, fate in FATES.items() if fate is Fate.ANSWER]


def last_seen(lake: Lake, now: datetime) -> dict[str, LastSeen]:
    """Per creator, the last answer about being live within the last hour, and when the room was last asked."""
    rows = (
        lake.scan_raw(tables.RAW_LIVES, hours_between(now - _RECENT, now + timedelta(microseconds=1)))
        .filter(pl.col("outcome").is_in(_ANSWERS), pl.col("creator_id").is_not_null())
        .filter(pl.col("requested_at") < now, pl.col("requested_at") >= now - _RECENT)
        .sort("requested_at", "capture_id")
        .group_by("creator_id", "vendor", "endpoint", maintain_order=True)
        .agg(pl.col("requested_at", "outcome", "body").last())
        .sort("requested_at")
        .collect()
    )
    seen: dict[str, LastSeen] = {}
    for creator_id, vendor, endpoint, asked_at, outcome, body in rows.iter_rows():
        known = seen.get(creator_id, LastSeen())
        if VENDORS[vendor].endpoints.get(endpoint) == "room":
            seen[creator_id] = LastSeen(known.live, known.room_id, known.user_id, asked_at)
            continue
        try:
            readings = list(VENDORS[vendor].read(endpoint, Outcome(outcome), (body or "").encode()))
        except Unreadable:
            continue
        seen[creator_id] = known.after(readings)
    for creator_id, asked_at in _identities_asked(lake, now).items():
        seen[creator_id] = replace(seen.get(creator_id, LastSeen()), identity_asked_at=asked_at)
    return seen


def _identities_asked(lake: Lake, now: datetime) -> dict[str, datetime]:
    """When each creator's user id was last asked about, within the last hour."""
    endpoints = [e for vendor in VENDORS.values() for e, answers in vendor.endpoints.items() if answers == "identity"]
    asked = (
        lake.scan_raw(tables.RAW_PROFILES, hours_between(now - _RECENT, now + timedelta(microseconds=1)))
        .filter(pl.col("endpoint").is_in(endpoints), pl.col("creator_id").is_not_null(), pl.col("requested_at") < now)
        .group_by("creator_id")
        .agg(pl.col("requested_at").max())
        .collect()
    )
    return dict(asked.iter_rows())


def known_as(lake: Lake, targets: Sequence[Target]) -> list[Target]:
    """`targets` under their newest handles and with the ids that were learned: the roster keeps the first."""
    rows = lake.scan_all(tables.CREATORS).select("creator_id", "handle", "user_id", "sec_uid").collect()
    known = {row[0]: row[1:] for row in rows.iter_rows()}
    return [_known(target, *known.get(target.creator_id, (None, None, None))) for target in targets]


def _known(target: Target, handle: str | None, user_id: str | None, sec_uid: str | None) -> Target:
    return replace(
        target,
        handle=handle or target.handle,
        user_id=target.user_id or user_id,
        sec_uid=target.sec_uid or sec_uid,
    )


def known_posts(lake: Lake) -> set[tuple[str, str]]:
    """(creator, post) of every post that was ever read."""
    rows = lake.scan_all(tables.POST_OBSERVATIONS).select("creator_id", "post_id").unique().collect()
    return set(rows.iter_rows())


def departures(lake: Lake, hours: Iterable[datetime]) -> dict[str, list[datetime]]:
    """When each vendor was asked in these hours, by whatever window."""
    hours = list(hours)
    asked = pl.concat([lake.scan_raw(table, hours).select("vendor", "requested_at") for table in RAW_TABLES])
    return {vendor: list(times) for vendor, times in asked.group_by("vendor").agg("requested_at").collect().iter_rows()}


def spent(lake: Lake, days: Iterable[date], vendors: Mapping[str, Limits]) -> dict[tuple[str, date], float]:
    """Credits by vendor and day, from what landed; where the vendor did not say, by the price list."""
    totals: dict[tuple[str, date], float] = {}
    for day in days:
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        hours = hours_between(start, start + timedelta(days=1))
        for table in RAW_TABLES:
            sums = (
                lake.scan_raw(table, hours)
                .group_by("vendor")
                .agg(pl.col("credits").sum(), unknown=pl.col("credits").is_null().sum())
                .collect()
            )
            for vendor, credits, unknown in sums.iter_rows():
                price = vendors[vendor].credits_per_request if vendor in vendors else 1.0
                totals[vendor, day] = totals.get((vendor, day), 0.0) + credits + unknown * price
    return totals
