"""Rebuild the poller's state from the lake at the start of a window; no other state is stored.

A *target* is a creator of the roster with the ids and the handle for requests. `LastSeen` has the fields of the state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any

import polars as pl

from tiktok_pipeline import tables
from tiktok_pipeline.capture.clock import hours_between
from tiktok_pipeline.capture.deployment import Deployment
from tiktok_pipeline.capture.habits import Habits, learn
from tiktok_pipeline.capture.known_accounts import find_sightings
from tiktok_pipeline.capture.last_seen import LONGEST_ABSENCE, LastSeen, account_of
from tiktok_pipeline.capture.live_states import (
    KIND,
    USABLE_OUTCOMES,
    decode,
    is_about_another,
    is_request_for,
    readings_of,
    reported_on_air,
    reports_missing,
)
from tiktok_pipeline.capture.spending import spent
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.providers import VENDORS
from tiktok_pipeline.providers.observations import LiveReading, ProfileReading
from tiktok_pipeline.providers.vendor import Outcome, Target
from tiktok_pipeline.tables import RAW_TABLES

# Responses older than this are not decoded: without a newer one, a creator counts as off air until the next poll.
_RECENT = timedelta(minutes=60)
# Streams for the estimate of habits. Older streams have a weight of at most a sixteenth.
_HABIT_HISTORY = timedelta(weeks=12)


class WindowState:
    """The poller's state at the start of a window. Each part is read from the lake once, at its first use."""

    def __init__(self, deployment: Deployment, start: datetime, end: datetime) -> None:
        """Store the window [start, end); read nothing yet."""
        self.settings = deployment.settings
        self._lake = deployment.lake
        self._targets = deployment.targets
        self._start = start
        self._hours = hours_between(start, end)

    @cached_property
    def seen(self) -> dict[str, LastSeen]:
        """The last state of each creator at the window's start."""
        return last_seen(self._lake, self._start, self._targets)

    @cached_property
    def targets(self) -> list[Target]:
        """The targets, updated with accounts and handles in responses that are newer than the derived tables."""
        identified = [self.seen[t.creator_id].identified(t) if t.creator_id in self.seen else t for t in self._targets]
        return [self.seen[t.creator_id].named(t) if t.creator_id in self.seen else t for t in identified]

    @cached_property
    def habits(self) -> Habits | None:
        """The habits of the watched creators, estimated from derived streams; None if polls go round robin."""
        if self.settings.watch.policy != "adaptive":
            return None
        streams = self._lake.scan_days(tables.STREAMS, (self._start - _HABIT_HISTORY).date(), self._start.date())
        creators = self._lake.scan_all(tables.CREATORS).filter(pl.col("first_seen_at").is_not_null())
        since = creators.select("creator_id", "first_seen_at").collect()
        return learn(
            streams.select("creator_id", "started_at", "ended_at").collect(),
            [target.creator_id for target in self.targets],
            dict(since.iter_rows()),
            self._start,
        )

    @cached_property
    def known_posts(self) -> set[tuple[str, str]]:
        """(creator, post) of every derived post."""
        rows = self._lake.scan_all(tables.POST_OBSERVATIONS).select("creator_id", "post_id").unique().collect()
        return set(rows.iter_rows())

    @cached_property
    def spent(self) -> dict[tuple[str, date], float]:
        """Credits spent by vendor and day, on the days of the window."""
        return spent(self._lake, sorted({hour.date() for hour in self._hours}), self.settings.vendors)

    @cached_property
    def departures(self) -> dict[str, list[datetime]]:
        """The send times of all requests in the window's hours, by vendor (for the rate limit of a replay)."""
        rows = pl.concat([self._lake.scan_raw(t, self._hours).select("vendor", "requested_at") for t in RAW_TABLES])
        return dict(rows.group_by("vendor").agg("requested_at").collect().iter_rows())

    def on_air(self, targets: Iterable[Target], now: datetime) -> list[Target]:
        """Return the targets whose last response in the hour before `now` reported on air, with their room ids."""
        targets = list(targets)
        bodies = _Bodies(self._lake, _polls(self._lake, now - _RECENT, now))
        seen = _last_responses(bodies, {target.creator_id: target for target in targets})
        live = [(target, seen[target.creator_id]) for target in targets if target.creator_id in seen]
        return [
            replace(target, room_id=last.room_id, user_id=target.user_id or last.user_id)
            for target, last in live
            if last.live
        ]


def last_seen(lake: Lake, now: datetime, targets: Iterable[Target] = ()) -> dict[str, LastSeen]:
    """Return the state of each creator at `now`, by creator_id.

    The live state, the rooms, and the room and identity requests are of the last hour. Polls and missing handles are
    read further back (`LONGEST_ABSENCE`). A response about an account other than the target's is ignored. For targets
    without a known account, the state has the accounts in responses to their handles (`sightings`).

    For speed, few bodies are read: the last one of each creator, vendor and endpoint, and those that `_unconfirmed`
    needs.
    """
    targets = list(targets)
    unknown = [target for target in targets if not account_of(target)]
    sightings = find_sightings(lake, unknown, now)
    by_id = {target.creator_id: target for target in targets}
    for target in unknown:
        by_id[target.creator_id] = LastSeen(sightings=sightings.get(target.creator_id, ())).identified(target)
    recent = _polls(lake, now - _RECENT, now)
    bodies = _Bodies(lake, recent)
    polls = pl.concat([_older_polls(lake, recent, now), _live_polls(recent)])
    polled = {creator_id: LastSeen(polled_at=polled_at) for creator_id, polled_at in _last_polls(polls, now).items()}
    seen = _last_responses(bodies, by_id, polled)
    updates: tuple[tuple[str, Mapping[str, Any]], ...] = (
        ("sightings", sightings),
        ("identity_polled_at", _identities_polled(lake, now)),
        ("missing_since", _missing_since(polls)),
        ("unconfirmed", dict.fromkeys(_unconfirmed(bodies, by_id), True)),
    )
    found: dict[str, dict[str, Any]] = {}
    for name, values in updates:
        for creator_id, value in values.items():
            found.setdefault(creator_id, {})[name] = value
    return seen | {
        creator_id: replace(seen.get(creator_id, LastSeen()), **values) for creator_id, values in found.items()
    }


def _polls(lake: Lake, since: datetime, until: datetime) -> pl.DataFrame:
    """Return rows of raw_lives about creators in [since, until), without headers and bodies, sorted by time."""
    return (
        lake.scan_raw(tables.RAW_LIVES, hours_between(since, until))
        .filter(pl.col("requested_at") >= since, pl.col("requested_at") < until, pl.col("creator_id").is_not_null())
        # A newer release may have written responses of vendors that this release does not know.
        .filter(pl.col("vendor").is_in(list(VENDORS)))
        .select("capture_id", "creator_id", "vendor", "endpoint", "subject", "outcome", "requested_at")
        .sort("requested_at", "capture_id")
        .collect()
    )


def _live_polls(polls: pl.DataFrame) -> pl.DataFrame:
    """Return the live polls in `_polls`: creator_id, requested_at, kind (null: no usable response)."""
    kind = pl.when(pl.col("outcome").is_in(USABLE_OUTCOMES)).then(KIND)
    return polls.filter(is_request_for("live")).select("creator_id", "requested_at", kind=kind)


def _older_polls(lake: Lake, recent: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """Return live polls before the last hour: columns as `_live_polls`.

    Creators whose handle was found within the last hour are left out.


    A missing handle is polled again after twice `LONGEST_ABSENCE` at the latest.
    """
    usable = _live_polls(recent).filter(pl.col("kind").is_not_null())
    found = usable.filter(~pl.col("kind").is_in(_missing_kinds(usable)))["creator_id"].unique().implode()
    since, until = now - 2 * LONGEST_ABSENCE - _RECENT, now - _RECENT
    return _live_polls(
        lake.scan_raw(tables.RAW_LIVES, hours_between(since, until))
        .filter(pl.col("requested_at") >= since, pl.col("requested_at") < until, ~pl.col("creator_id").is_in(found))
        .select("creator_id", "vendor", "endpoint", "outcome", "requested_at")
        .collect()
    )


class _Bodies:
    """Decodes responses of raw_lives on demand, and keeps the readings: each body is read from the lake once.

    polls: rows of `_polls`; those without a usable response are dropped.
    """

    def __init__(self, lake: Lake, polls: pl.DataFrame) -> None:
        self.polls = polls.filter(pl.col("outcome").is_in(USABLE_OUTCOMES))
        self._lake = lake
        self._read: dict[str, list[LiveReading | ProfileReading]] = {}

    def read(self, chosen: pl.DataFrame) -> list[list[LiveReading | ProfileReading]]:
        """Return the readings of each row of `chosen` (a subset of `polls`), in the order of the rows."""
        missing = chosen.filter(~pl.col("capture_id").is_in(list(self._read)))
        # A file covers some minutes: with short time spans, Parquet statistics skip files without a chosen row.
        for _, rows in missing.group_by(pl.col("requested_at").dt.truncate("5m")):
            self._decode(rows)
        return [self._read[capture_id] for capture_id in chosen["capture_id"]]

    def _decode(self, rows: pl.DataFrame) -> None:
        first, last = rows["requested_at"].min(), rows["requested_at"].max()
        assert isinstance(first, datetime)
        assert isinstance(last, datetime)
        bodies = (
            self._lake.scan_raw(tables.RAW_LIVES, hours_between(first, last + timedelta(microseconds=1)))
            .filter(pl.col("requested_at").is_between(first, last))
            .select("capture_id", "body")
            .collect()
            .join(rows.select("capture_id"), on="capture_id", how="semi")
        )
        body_of = dict(bodies.iter_rows())
        for capture_id, vendor, endpoint, outcome in rows.select(
            "capture_id", "vendor", "endpoint", "outcome"
        ).iter_rows():
            self._read[capture_id] = decode(vendor, endpoint, outcome, body_of.get(capture_id))


def _last_responses(
    bodies: _Bodies, targets: Mapping[str, Target], polled: Mapping[str, LastSeen] | None = None
) -> dict[str, LastSeen]:
    """Return the states in `polled`, updated by the last response of each creator, vendor and endpoint.

    A response about another account sets the creator off air. A room request sets only `room_polled_at`.
    """
    last_of_each = bodies.polls.unique(["creator_id", "vendor", "endpoint"], keep="last", maintain_order=True)
    is_room = is_request_for("room")
    seen = dict(polled or {})
    for creator_id, polled_at in last_of_each.filter(is_room).select("creator_id", "requested_at").iter_rows():
        seen[creator_id] = replace(seen.get(creator_id, LastSeen()), room_polled_at=polled_at)
    lives = last_of_each.filter(~is_room)
    rows = lives.select("creator_id", "requested_at", "subject").iter_rows()
    for (creator_id, polled_at, subject), readings in zip(rows, bodies.read(lives), strict=True):
        last = seen.get(creator_id, LastSeen())
        if not is_about_another(readings, targets.get(creator_id), subject):
            seen[creator_id] = last.after(readings, polled_at)
        else:
            seen[creator_id] = replace(last, live=False, live_since=None, missing_since=None)
    return seen


def _last_polls(polls: pl.DataFrame, now: datetime) -> dict[str, datetime]:
    """Return the time of each creator's last poll, also of failed ones."""
    recent = polls.filter(pl.col("requested_at") >= now - LONGEST_ABSENCE - _RECENT)
    return dict(recent.group_by("creator_id").agg(pl.col("requested_at").max()).iter_rows())


def _missing_kinds(polls: pl.DataFrame) -> list[str]:
    """Return the kinds of response in `polls` that report a missing handle."""
    return [kind for kind in polls["kind"].drop_nulls().unique() if reports_missing(kind)]


def _missing_since(polls: pl.DataFrame) -> dict[str, datetime]:
    """Return, by creator, the first response of the last unbroken series that reports a missing handle."""
    usable = polls.filter(pl.col("kind").is_not_null())
    is_missing = pl.col("kind").is_in(_missing_kinds(usable))
    missing = usable.filter(is_missing)
    found = usable.filter(~is_missing).join(missing, on="creator_id", how="semi")
    absent = missing.join(
        found.group_by("creator_id").agg(last=pl.col("requested_at").max()), on="creator_id", how="left"
    ).filter((pl.col("requested_at") > pl.col("last")).fill_null(value=True))
    return dict(absent.group_by("creator_id").agg(pl.col("requested_at").min()).iter_rows())


def _unconfirmed(bodies: _Bodies, targets: Mapping[str, Target]) -> list[str]:
    """Return the creators who were off air at the last reading and on air at the one before.

    Only `ok` responses can report on air. They are decoded from the newest back, only as far as needed.
    """
    polls = bodies.polls.filter(is_request_for("live"))
    ok = pl.col("outcome") == Outcome.OK.value
    polls = polls.join(polls.filter(ok).select("creator_id").unique(), on="creator_id", how="semi")
    polls = polls.with_columns(kind=KIND).reverse()
    off = {
        kind for kind in polls.filter(~ok)["kind"].unique() if reported_on_air(kind, readings_of(kind, None)) is False
    }
    newest_first: dict[str, list[int]] = {}
    # Known states by row; null: the response does not report one.
    states: dict[int, bool | None] = {}
    for row, (creator_id, outcome, kind) in enumerate(polls.select("creator_id", "outcome", "kind").iter_rows()):
        newest_first.setdefault(creator_id, []).append(row)
        if outcome != Outcome.OK.value:
            states[row] = False if kind in off else None
    found: list[str] = []
    undecided = list(newest_first)
    while undecided:
        needed: dict[str, int] = {}
        for creator_id in undecided:
            last: list[bool] = []
            for row in newest_first[creator_id]:
                if row not in states:
                    needed[creator_id] = row
                    break
                if (state := states[row]) is not None:
                    last.append(state)
                if last == [True] or len(last) == 2:
                    break
            if last == [False, True]:
                found.append(creator_id)
        rows = polls[list(needed.values())]
        columns = rows.select("creator_id", "kind", "subject").iter_rows()
        for row, (creator_id, kind, subject), readings in zip(needed.values(), columns, bodies.read(rows), strict=True):
            states[row] = reported_on_air(kind, readings, targets.get(creator_id), subject)
        undecided = list(needed)
    return found


def _identities_polled(lake: Lake, now: datetime) -> dict[str, datetime]:
    """Return the time of each creator's last identity request within the last hour."""
    endpoints = [
        e for vendor in VENDORS.values() for e, capability in vendor.endpoints.items() if capability == "identity"
    ]
    polls = (
        lake.scan_raw(tables.RAW_PROFILES, hours_between(now - _RECENT, now))
        .filter(pl.col("endpoint").is_in(endpoints), pl.col("creator_id").is_not_null(), pl.col("requested_at") < now)
        .group_by("creator_id")
        .agg(pl.col("requested_at").max())
        .collect()
    )
    return dict(polls.iter_rows())
