"""Make the normalized rows of a day from its raw hours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import polars as pl

from tiktok_pipeline.capture.clock import hours_between
from tiktok_pipeline.derive.decoded import REQUESTS, SAMPLE, DecodedHours
from tiktok_pipeline.derive.sightings import history, sightings_of_day, summary_of
from tiktok_pipeline.providers.accounts import Account
from tiktok_pipeline.tables import (
    ACCOUNT_SIGHTINGS,
    LIVE_OBSERVATIONS,
    PAYLOAD_SHAPES,
    PROFILE_OBSERVATIONS,
    RAW_TABLES,
)
from tiktok_pipeline.transforms.identity import (
    Identities,
    doubted,
    expel,
    identities,
    joined,
    other_accounts,
    sightings,
    summarize,
)
from tiktok_pipeline.transforms.observations import NORMALIZED, profile_existence, settle_absences
from tiktok_pipeline.transforms.payload_shapes import payload_shapes
from tiktok_pipeline.transforms.soundness import make_sound, merge_shapes

# Tables that are made from raw rows, except the usage of vendors (`vendor_usage`).
MADE = (*NORMALIZED, PAYLOAD_SHAPES, ACCOUNT_SIGHTINGS)


@dataclass(frozen=True)
class NormalizedDay:
    """The rows of a day for each table of `MADE`, by name, and the number of source captures."""

    day: date
    frames: dict[str, pl.DataFrame]
    captures: int


def normalize_day(decoded: DecodedHours, day: date, listed: Mapping[str, Account]) -> NormalizedDay:
    """Return the normalized rows of a day.

    Args:
        decoded: the raw hours.
        day: the day of the requests.
        listed: the ids on the roster, by creator.
    """
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    hours = hours_between(start, start + timedelta(days=1))
    read = {table.name: decoded.read(table, hours) for table in RAW_TABLES}
    requests = pl.concat([frames.pop(REQUESTS) for frames in read.values()])
    shapes = [payload_shapes(frames.pop(SAMPLE), bodies=decoded.shape_bodies) for frames in read.values()]
    found = {table.name: pl.concat([frames[table.name] for frames in read.values()]) for table in NORMALIZED}
    seen = sightings(found[PROFILE_OBSERVATIONS.name], requests)
    known, before = _identities(decoded, day, seen, listed)
    foreign = other_accounts(found, requests, known, before)
    sound = [make_sound(expel(frames, foreign, name), name) for name, frames in read.items()]
    frames = {table.name: pl.concat([each[table.name] for each in sound]) for table in NORMALIZED}
    # Also the requests of the day before: a profile response counts across midnight.
    earlier = hours_between(start - timedelta(days=1), start)
    profiles = profile_existence(
        pl.concat([*(decoded.read(table, earlier, [REQUESTS])[REQUESTS] for table in RAW_TABLES), requests])
    )
    profiles = doubted(profiles, pl.concat([before, seen]), known)
    frames[LIVE_OBSERVATIONS.name] = settle_absences(frames[LIVE_OBSERVATIONS.name], profiles)
    made = frames | {PAYLOAD_SHAPES.name: merge_shapes(shapes), ACCOUNT_SIGHTINGS.name: seen}
    return NormalizedDay(day, made, requests.height)


def _identities(
    decoded: DecodedHours, day: date, seen: pl.DataFrame, listed: Mapping[str, Account]
) -> tuple[Identities, pl.DataFrame]:
    """Return the accounts by which a day is judged, and the sightings of the day before.

    They are identified by the sightings up to the end of the day. For creators without an account by then, the next
    day is used too.
    """
    earlier = history(decoded, day)
    creators = seen["creator_id"].unique().to_list()
    summary = joined(summary_of(decoded.lake, day), summarize(seen.lazy()))
    known = identities(pl.concat([earlier, seen.lazy()]), listed, creators, summary)
    unsure = [creator_id for creator_id in creators if known.known_by[creator_id] is None]
    if unsure:
        later = sightings_of_day(decoded, day + timedelta(days=1)).filter(pl.col("creator_id").is_in(unsure))
        if not later.is_empty():
            known = known.updated(identities(pl.concat([earlier, seen.lazy(), later.lazy()]), listed, unsure))
    before = decoded.lake.scan_days(ACCOUNT_SIGHTINGS, day - timedelta(days=2), day - timedelta(days=1))
    yesterday = before.filter(pl.col("last_observed_at").dt.date() >= day - timedelta(days=1)).collect()
    return known, yesterday
