"""Read the accounts that vendors returned, by day: the history that identifies a creator's account."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

import polars as pl

from tiktok_pipeline.capture.clock import hours_between
from tiktok_pipeline.lake import Lake
from tiktok_pipeline.providers.accounts import Account
from tiktok_pipeline.roster import Roster
from tiktok_pipeline.tables import (
    ACCOUNT_SIGHTINGS,
    PROFILE_OBSERVATIONS,
    RAW_LIVES,
    RAW_POSTS,
    RAW_PROFILES,
    RAW_STORIES,
)
from tiktok_pipeline.transforms.identity import requests_of, sightings, sightings_in_profiles
from tiktok_pipeline.transforms.observations import read_bodies
from tiktok_pipeline.transforms.raw_rows import usable
from tiktok_pipeline.transforms.soundness import believe_ages

# Raw tables whose bodies name an account.
_NAMING = (RAW_LIVES, RAW_PROFILES, RAW_STORIES, RAW_POSTS)


def history(lake: Lake, until: date, hash_key: bytes) -> pl.LazyFrame:
    """Return ACCOUNT_SIGHTINGS of all days before `until`.

    A day that has none yet is read from its raw rows and kept, so that the order in which days are derived changes
    nothing. Days of earlier releases without raw rows speak by their profiles.
    """
    kept = {day for day in lake.days(ACCOUNT_SIGHTINGS) if lake.day_file(ACCOUNT_SIGHTINGS, day).exists()}
    with_profiles = {
        day for day in lake.days(PROFILE_OBSERVATIONS) if lake.day_file(PROFILE_OBSERVATIONS, day).exists()
    }
    landed = {day for table in _NAMING for day in lake.days(table)}
    older = []
    for day in sorted(day for day in with_profiles | landed if day < until and day not in kept):
        if day in landed:
            lake.write_day(ACCOUNT_SIGHTINGS, day, sightings_of_day(lake, day, hash_key))
        else:
            older.append(sightings_in_profiles(lake.scan_days(PROFILE_OBSERVATIONS, day, day).collect()).lazy())
    first = min(lake.days(ACCOUNT_SIGHTINGS), default=until)
    return pl.concat([lake.scan_days(ACCOUNT_SIGHTINGS, first, until - timedelta(days=1)), *older])


def sightings_of_day(lake: Lake, day: date, hash_key: bytes, creators: Iterable[str] | None = None) -> pl.DataFrame:
    """Return ACCOUNT_SIGHTINGS of one day, read from its raw rows; of some creators only, where they are named."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    hours = hours_between(start, start + timedelta(days=1))
    found = [ACCOUNT_SIGHTINGS.empty()]
    for table in _NAMING:
        rows = usable(lake.scan_raw(table, hours))
        if creators is not None:
            rows = rows.filter(pl.col("creator_id").is_in(list(creators)))
        raw, _ = believe_ages(rows.collect(), table.name)
        profiles = read_bodies(raw, table.name, hash_key=hash_key)[PROFILE_OBSERVATIONS.name]
        found.append(sightings(profiles, requests_of(raw, table)))
    return pl.concat(found)


def listed_accounts(roster: Roster) -> dict[str, Account]:
    """Return the ids that the operator gave, by creator."""
    accounts = {c.creator_id: Account.of(c.user_id, c.sec_uid) for c in roster.creators}
    return {creator_id: account for creator_id, account in accounts.items() if account}
