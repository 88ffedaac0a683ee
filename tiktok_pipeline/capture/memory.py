"""What a window knows when it begins: read from what landed, because nothing else is kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl

from tiktok_pipeline import tables
from tiktok_pipeline.capture.clock import hours_between
from tiktok_pipeline.capture.habits import Habits, learn
from tiktok_pipeline.capture.watch import LONGEST_ABSENCE, LastSeen, is_others, known, may_be_off_air
from tiktok_pipeline.lake import Lake
from tiktok_pipeline.providers import VENDORS, guard
from tiktok_pipeline.providers.accounts import Account, Sighting
from tiktok_pipeline.providers.observations import LiveReading, ProfileReading
from tiktok_pipeline.providers.vendor import FATES, Fate, Limits, Outcome, Target

RAW_TABLES = tuple(table for table in tables.TABLES.values() if table.layer == "raw")

# Whoever was live longer ago than this is found again by the round.
_RECENT = timedelta(minutes=60)

# The derived tables identify a creator at the latest one day after the first response.
_UNDERIVED = timedelta(hours=24)

# Streams longer ago than this teach next to nothing: their weight is a sixteenth.
_TEACHING = timedelta(weeks=12)

_ANSWERS = [outcome.value for outcome, fate in FATES.items() if fate is Fate.ANSWER]


def last_seen(lake: Lake, now: datetime, targets: Iterable[Target] = ()) -> dict[str, LastSeen]:
    """Per creator: the last answer about being live within the last hour, what it left open, and when it was asked.

    Responses about another account than that of `targets` are ignored. For targets without a known account, the
    result also lists the accounts that responses gave for their handles.
    """
    targets = list(targets)
    sightings = _sightings(lake, [target for target in targets if not known(target)], now)
    targets = [LastSeen(sightings=sightings.get(target.creator_id, ())).identified(target) for target in targets]
    seen = _last_answers(lake, now, {target.creator_id: target for target in targets})
    noted: tuple[tuple[str, dict[str, Any]], ...] = (
        ("sightings", sightings),
        ("identity_asked_at", _identities_asked(lake, now)),
        ("asked_at", _lives_asked(lake, now)),
        ("gone_since", _gone_since(lake, now)),
        ("unconfirmed", dict.fromkeys(_unconfirmed(lake, now, targets), True)),
    )
    for name, values in noted:
        for creator_id, value in values.items():
            seen[creator_id] = replace(seen.get(creator_id, LastSeen()), **{name: value})
    return seen


def identified(lake: Lake, targets: Sequence[Target], now: datetime) -> list[Target]:
    """Return `targets`; fill in missing accounts that responses had agreed on by `now`."""
    seen = _sightings(lake, [target for target in targets if not known(target)], now)
    return [LastSeen(sightings=seen.get(target.creator_id, ())).identified(target) for target in targets]


def _sightings(lake: Lake, targets: Iterable[Target], now: datetime) -> dict[str, tuple[Sighting, ...]]:
    """Return the accounts in responses of the last day to requests by the targets' handles, until they agreed.

    Only for targets that no derived table identifies yet. Hours are read in order, because the first account is the
    creator's. Reading stops for a target as soon as it is identified.
    """
    left = {target.creator_id: target for target in targets if target.handle == target.creator_id}
    found: dict[str, LastSeen] = {}
    for hour in hours_between(now - _UNDERIVED, now):
        if not left:
            break
        rows = [
            lake.scan_raw(table, [hour])
            .filter(
                pl.col("creator_id").is_in(list(left)),
                pl.col("subject") == pl.col("creator_id"),
                pl.col("outcome").is_in([Outcome.OK.value, Outcome.NOT_LIVE.value, Outcome.PRIVATE.value]),
                pl.col("requested_at") < now,
                _of("live") | _of("profile") | _of("user_id"),
            )
            .select("creator_id", "vendor", "endpoint", "outcome", "body", "observed_at", "requested_at", "capture_id")
            for table in (tables.RAW_LIVES, tables.RAW_PROFILES)
        ]
        landed = pl.concat(pl.collect_all(rows)).sort("requested_at", "capture_id")
        for creator_id, vendor, endpoint, outcome, body, observed_at, *_ in landed.iter_rows():
            if creator_id in left:
                readings = _read(vendor, endpoint, outcome, body)
                seen = found.get(creator_id, LastSeen()).sighted(readings, left[creator_id], vendor, observed_at)
                found[creator_id] = seen
                if known(seen.identified(left[creator_id])):
                    del left[creator_id]
    return {creator_id: seen.sightings for creator_id, seen in found.items()}


def _last_answers(lake: Lake, now: datetime, targets: Mapping[str, Target]) -> dict[str, LastSeen]:
    """What the last answers about being live within the last hour said, by creator."""
    recent = hours_between(now - _RECENT, now)
    rows = (
        lake.scan_raw(tables.RAW_LIVES, recent)
        .filter(pl.col("outcome").is_in(_ANSWERS), pl.col("creator_id").is_not_null())
        # A newer release may have written responses of vendors that this release does not know.
        .filter(pl.col("vendor").is_in(list(VENDORS)))
        .filter(pl.col("requested_at") < now, pl.col("requested_at") >= now - _RECENT)
        .sort("requested_at", "capture_id")
        .group_by("creator_id", "vendor", "endpoint", maintain_order=True)
        .agg(pl.col("requested_at", "outcome", "body", "subject").last())
        .sort("requested_at")
        .collect()
    )
    seen: dict[str, LastSeen] = {}
    for creator_id, vendor, endpoint, asked_at, outcome, body, subject in rows.iter_rows():
        last = seen.get(creator_id, LastSeen())
        if VENDORS[vendor].endpoints.get(endpoint) == "room":
            seen[creator_id] = replace(last, room_asked_at=asked_at)
            continue
        readings = _read(vendor, endpoint, outcome, body)
        if not _is_others(readings, targets.get(creator_id), subject):
            seen[creator_id] = last.after(readings, asked_at)
        else:
            seen[creator_id] = replace(last, live=False, live_since=None, gone_since=None)
    return seen


def _is_others(readings: Iterable[object], target: Target | None, subject: str) -> bool:
    """Whether a response to a request by the handle `subject` is about another account than the target's."""
    return target is not None and is_others(readings, replace(target, handle=subject))


def on_air(lake: Lake, targets: Iterable[Target], now: datetime) -> list[Target]:
    """Those of `targets` whose last answer said on air, with their rooms."""
    targets = list(targets)
    seen = _last_answers(lake, now, {target.creator_id: target for target in targets})
    live = [(target, seen[target.creator_id]) for target in targets if target.creator_id in seen]
    return [
        replace(target, room_id=last.room_id, user_id=target.user_id or last.user_id)
        for target, last in live
        if last.live
    ]


def _lives_asked(lake: Lake, now: datetime) -> dict[str, datetime]:
    """When each creator was last asked about being live, answered or not."""
    since = now - LONGEST_ABSENCE - _RECENT
    asked = (
        lake.scan_raw(tables.RAW_LIVES, hours_between(since, now))
        .filter(_of("live"), pl.col("requested_at") >= since, pl.col("requested_at") < now)
        .group_by("creator_id")
        .agg(pl.col("requested_at").max())
        .collect()
    )
    return dict(asked.iter_rows())


def _gone_since(lake: Lake, now: datetime) -> dict[str, datetime]:
    """Since when nobody has had a creator's handle, for those whose last answer said so."""
    asked = _asked(lake, tables.RAW_LIVES, "live", now - 2 * LONGEST_ABSENCE - _RECENT, now).drop("body").collect()
    gone = [kind for kind in asked["kind"].unique() if _is_gone(kind)]
    somebody = asked.filter(~pl.col("kind").is_in(gone)).group_by("creator_id").agg(last=pl.col("asked_at").max())
    absent = (
        asked.filter(pl.col("kind").is_in(gone))
        .join(somebody, on="creator_id", how="left")
        .filter((pl.col("asked_at") > pl.col("last")).fill_null(value=True))
    )
    return dict(absent.group_by("creator_id").agg(pl.col("asked_at").min()).iter_rows())


def _unconfirmed(lake: Lake, now: datetime, targets: Sequence[Target]) -> list[str]:
    """Who was off air at the last reading and on air at the one before."""
    readings = on_air_readings(lake, now - _RECENT, now, targets).filter(pl.col("on_air").is_not_null())
    last = readings.sort("asked_at").group_by("creator_id").agg(pl.col("on_air").tail(2))
    return [creator_id for creator_id, states in last.iter_rows() if states == [True, False]]


def _identities_asked(lake: Lake, now: datetime) -> dict[str, datetime]:
    """When each creator's user id was last asked about, within the last hour."""
    endpoints = [e for vendor in VENDORS.values() for e, answers in vendor.endpoints.items() if answers == "identity"]
    asked = (
        lake.scan_raw(tables.RAW_PROFILES, hours_between(now - _RECENT, now))
        .filter(pl.col("endpoint").is_in(endpoints), pl.col("creator_id").is_not_null(), pl.col("requested_at") < now)
        .group_by("creator_id")
        .agg(pl.col("requested_at").max())
        .collect()
    )
    return dict(asked.iter_rows())


def habits(lake: Lake, targets: Sequence[Target], now: datetime) -> Habits:
    """What the streams of the last weeks teach of when `targets` go live; nothing but what was derived is known."""
    streams = lake.scan_days(tables.STREAMS, (now - _TEACHING).date(), now.date())
    creators = lake.scan_all(tables.CREATORS).filter(pl.col("first_seen_at").is_not_null())
    since = creators.select("creator_id", "first_seen_at").collect()
    return learn(
        streams.select("creator_id", "started_at", "ended_at").collect(),
        [target.creator_id for target in targets],
        dict(since.iter_rows()),
        now,
    )


def known_as(lake: Lake, targets: Sequence[Target]) -> list[Target]:
    """`targets` under their newest handles and with the ids that were learned: the roster keeps the first."""
    rows = (
        lake.scan_all(tables.CREATORS)
        # An account that is only presumed must not be used for requests.
        .filter(pl.col("identified_by").is_not_null())
        .select("creator_id", "handle", "user_id", "sec_uid")
        .collect()
    )
    learned = {row[0]: row[1:] for row in rows.iter_rows()}
    return [_known(target, *learned.get(target.creator_id, (None, None, None))) for target in targets]


def _known(target: Target, handle: str | None, user_id: str | None, sec_uid: str | None) -> Target:
    listed, learned = known(target), Account.of(user_id, sec_uid)
    # The operator may have given other ids since the table was derived.
    if listed.is_same(learned) is False:
        return target
    account = listed.filled(learned)
    return replace(target, handle=handle or target.handle, user_id=account.user_id, sec_uid=account.sec_uid)


def on_air_readings(lake: Lake, since: datetime, until: datetime, targets: Iterable[Target] = ()) -> pl.DataFrame:
    """Who was asked about being live in [since, until), and whether they were: creator_id, asked_at, on_air.

    `on_air` is null where the answer did not say, or is about another account than that of `targets`, and only
    creators who were on air at all are in it. Bodies are read where the outcome leaves the state open, which is of
    those on air; a day of 2,000 creators takes a second.
    """
    asked = _asked(lake, tables.RAW_LIVES, "live", since, until)
    columns = ("creator_id", "asked_at", "kind")
    plain = asked.filter(pl.col("outcome") != Outcome.OK.value).select(*columns)
    said = asked.filter(pl.col("outcome") == Outcome.OK.value).select(*columns, "subject", "body")
    open_bodies, settled = pl.collect_all([said, plain])
    by_id = {target.creator_id: target for target in targets}
    states = [
        _on_air(kind, body, by_id.get(creator_id), subject)
        for creator_id, kind, subject, body in open_bodies.select("creator_id", "kind", "subject", "body").iter_rows()
    ]
    read = open_bodies.drop("body", "subject").with_columns(on_air=pl.Series(states, dtype=pl.Boolean))
    absent = [kind for kind in settled["kind"].unique() if _on_air(kind, None) is False]
    off = settled.with_columns(on_air=pl.when(pl.col("kind").is_in(absent)).then(pl.lit(value=False)))
    streamers = read.filter("on_air").select("creator_id").unique()
    return pl.concat([read, off]).join(streamers, on="creator_id", how="semi").drop("kind")


def answers(lake: Lake, capabilities: Mapping[str, str], since: datetime, until: datetime) -> pl.DataFrame:
    """When creators' questions were last answered in [since, until): table, creator_id, asked_at.

    Args:
        capabilities: raw table -> the capability whose answers count.
    """
    found = [
        _asked(lake, tables.TABLES[table], capability, since, until)
        .group_by("creator_id")
        .agg(pl.col("asked_at").max())
        .select(pl.lit(table).alias("table"), "creator_id", "asked_at")
        for table, capability in capabilities.items()
    ]
    return pl.concat(pl.collect_all(found))


def last_rooms(lake: Lake, targets: Iterable[Target], since: datetime, until: datetime) -> list[Target]:
    """`targets` with the room that each was last seen on air in, and the user id that was told with it."""
    by_id = {target.creator_id: target for target in targets}
    rows = (
        _asked(lake, tables.RAW_LIVES, "live", since, until)
        .filter(pl.col("creator_id").is_in(list(by_id)), pl.col("outcome") == Outcome.OK.value)
        .sort("asked_at")
        .select("creator_id", "kind", "subject", "body")
        .collect()
    )
    for creator_id, kind, subject, body in rows.iter_rows():
        target = by_id[creator_id]
        readings = _live_readings(kind, body)
        if _is_others(readings, target, subject):
            continue
        for reading in readings:
            if isinstance(reading, ProfileReading):
                target = replace(target, user_id=target.user_id or reading.user_id)
            else:
                target = replace(target, room_id=reading.room_id or target.room_id)
        by_id[creator_id] = target
    return list(by_id.values())


def _of(capability: str) -> pl.Expr:
    """Whether a raw row is a question of this capability about a creator."""
    asks = [
        (pl.col("vendor") == vendor.name) & (pl.col("endpoint") == endpoint)
        for vendor in VENDORS.values()
        for endpoint, answered in vendor.endpoints.items()
        if answered == capability
    ]
    return pl.any_horizontal(asks) & pl.col("creator_id").is_not_null()


def _asked(lake: Lake, table: tables.Table, capability: str, since: datetime, until: datetime) -> pl.LazyFrame:
    """Answered questions of one capability: creator_id, asked_at, kind ("vendor endpoint outcome"), outcome, body."""
    return (
        lake.scan_raw(table, hours_between(since, until))
        .filter(_of(capability), pl.col("outcome").is_in(_ANSWERS))
        .filter(pl.col("requested_at") >= since, pl.col("requested_at") < until)
        .select(
            "creator_id",
            "outcome",
            "subject",
            "body",
            asked_at="requested_at",
            kind=pl.concat_str("vendor", "endpoint", "outcome", separator=" "),
        )
    )


def _live_readings(kind: str, body: str | None) -> list[LiveReading | ProfileReading]:
    vendor, endpoint, outcome = kind.split(" ")
    return _read(vendor, endpoint, outcome, body)


def _read(vendor: str, endpoint: str, outcome: str, body: str | None) -> list[LiveReading | ProfileReading]:
    """Return the live state and profile in a response; nothing if it cannot be read."""
    readings = guard.read(VENDORS[vendor], endpoint, Outcome(outcome), (body or "").encode())
    return [reading for reading in readings if isinstance(reading, LiveReading | ProfileReading)]


def _is_gone(kind: str) -> bool:
    """Return whether this kind of response reports a missing handle; False if it means off air as well."""
    return kind.endswith(f" {Outcome.NOT_FOUND.value}") and not may_be_off_air(_live_readings(kind, None))


def _on_air(kind: str, body: str | None, target: Target | None = None, subject: str = "") -> bool | None:
    """Return whether a response reports on air; None if it does not report, or is about another account.

    "Not found" counts as off air if the endpoint responds so for creators who are off air: for the decision to poll
    again, both are the same.
    """
    if kind.endswith(f" {Outcome.NOT_LIVE.value}"):
        return False
    readings = _live_readings(kind, body)
    if _is_others(readings, target, subject):
        return None
    for reading in readings:
        if isinstance(reading, ProfileReading):
            continue
        if reading.live_state in ("live", "paused"):
            return True
        if reading.live_state == "ended" or may_be_off_air([reading]):
            return False
    return None


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
    # Negative, NaN and infinite costs count as missing: older releases wrote them to raw.
    known = pl.col("credits").is_finite().fill_null(value=False) & (pl.col("credits") >= 0).fill_null(value=False)
    for day in days:
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        hours = hours_between(start, start + timedelta(days=1))
        for table in RAW_TABLES:
            sums = (
                lake.scan_raw(table, hours)
                .group_by("vendor")
                .agg(pl.col("credits").filter(known).sum(), unknown=(~known).sum())
                .collect()
            )
            for vendor, credits, unknown in sums.iter_rows():
                price = vendors[vendor].credits_per_request if vendor in vendors else 1.0
                totals[vendor, day] = totals.get((vendor, day), 0.0) + credits + unknown * price
    return totals
