"""Read the accounts that vendors returned, by day: the history that identifies a creator's account."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, date, datetime, timedelta

import polars as pl

from tiktok_pipeline.capture.clock import hours_between
from tiktok_pipeline.config.roster import Roster
from tiktok_pipeline.derive.decoded import REQUESTS, DecodedHours
from tiktok_pipeline.lake.remembered import Remembered, chained_keys, day_identities, longest, modules_version
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.providers.accounts import Account
from tiktok_pipeline.tables import (
    ACCOUNT_SIGHTINGS,
    PROFILE_OBSERVATIONS,
    RAW_LIVES,
    RAW_POSTS,
    RAW_PROFILES,
    RAW_STORIES,
)
from tiktok_pipeline.transforms import identity
from tiktok_pipeline.transforms.identity import Summary, joined, sightings, sightings_in_profiles, summarize

_PARTS = tuple(each.name for each in fields(Summary))
# A run reads the summary before each of its days, and the summary of all days.
_SUMMARIES = 16
# Days that are read together: memory must hold the sightings of a month.
_AT_ONCE = 31

# Raw tables whose bodies name an account.
_NAMING = (RAW_LIVES, RAW_PROFILES, RAW_STORIES, RAW_POSTS)


def history(decoded: DecodedHours, until: date) -> pl.LazyFrame:
    """Return ACCOUNT_SIGHTINGS of all days before `until`.

    For a day without them, they are read from its raw rows and written, so that the result does not depend on the order
    in which days are derived. If the raw rows were removed, they are read from the day's profiles.
    """
    lake = decoded.lake
    kept = {day for day in lake.days(ACCOUNT_SIGHTINGS, before=until) if lake.day_file(ACCOUNT_SIGHTINGS, day).exists()}
    with_profiles = {
        day
        for day in lake.days(PROFILE_OBSERVATIONS, before=until)
        if lake.day_file(PROFILE_OBSERVATIONS, day).exists()
    }
    landed = {day for table in _NAMING for day in lake.days(table, before=until)}
    for day in sorted((with_profiles | landed) - kept):
        if day in landed:
            seen = sightings_of_day(decoded, day)
        else:
            seen = sightings_in_profiles(lake.scan_days(PROFILE_OBSERVATIONS, day, day).collect())
        lake.write_day(ACCOUNT_SIGHTINGS, day, seen)
    first = min(lake.days(ACCOUNT_SIGHTINGS, before=until), default=until)
    return lake.scan_days(ACCOUNT_SIGHTINGS, first, until - timedelta(days=1))


def summary_of(lake: Lake, until: date) -> Summary:
    """Return the summary of the sightings of all days before `until`; call `history` first.

    Summaries are cached by the versions of the files, so that only new days are read.
    """
    files = day_identities(lake, ACCOUNT_SIGHTINGS, lake.days(ACCOUNT_SIGHTINGS, before=until))
    days, keys = sorted(files), chained_keys(modules_version(identity), files)
    parts = [Remembered(lake, f"sightings-{part}", _SUMMARIES) for part in _PARTS]

    def remembered(key: str) -> Summary | None:
        found = [frame for part in parts if (frame := part.get(key)) is not None]
        return Summary(*found) if len(found) == len(parts) else None

    kept, done = longest(keys, remembered)
    summary = summarize(ACCOUNT_SIGHTINGS.empty().lazy()) if kept is None else kept
    if done < len(days):
        for start in range(done, len(days), _AT_ONCE):
            some = days[start : start + _AT_ONCE]
            summary = joined(summary, summarize(lake.scan_days(ACCOUNT_SIGHTINGS, some[0], some[-1])))
        # A damaged file will be replaced: do not cache a summary without it.
        if not lake.damaged.all():
            for part, name in zip(parts, _PARTS, strict=True):
                part.put(keys[-1], getattr(summary, name))
    return summary


def sightings_of_day(decoded: DecodedHours, day: date) -> pl.DataFrame:
    """Return ACCOUNT_SIGHTINGS of one day, read from its raw rows."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    hours = hours_between(start, start + timedelta(days=1))
    found = [ACCOUNT_SIGHTINGS.empty()]
    for table in _NAMING:
        frames = decoded.read(table, hours, [PROFILE_OBSERVATIONS.name, REQUESTS])
        found.append(sightings(frames[PROFILE_OBSERVATIONS.name], frames[REQUESTS]))
    return pl.concat(found)


def listed_accounts(roster: Roster) -> dict[str, Account]:
    """Return the ids in the roster, by creator."""
    accounts = {c.creator_id: Account.of(c.user_id, c.sec_uid) for c in roster.creators}
    return {creator_id: account for creator_id, account in accounts.items() if account}
