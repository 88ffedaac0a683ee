"""Raw rows of every kind of live response, and lakes with random rows."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.providers import konbini, social_fetch, tikhub
from tiktok_pipeline.tables import RAW_LIVES, TABLES, Table
from tiktok_pipeline_tests.providers import bodies

START = datetime(2026, 11, 2, tzinfo=UTC)
CREATORS = ("ana", "bo", "cy", "dee", "eve", "flo")


def account(creator: str) -> tuple[str, str]:
    """Return the user id and secUid of a creator."""
    number = sorted(CREATORS).index(creator)
    return f"69123456789012345{number:02d}", f"MS4wLjABAAAAsandFictionalSecUid{number:04d}"


def fetch(creator: str, status: str, *, of: str | None = None, ids: bool = True) -> bytes:
    """Return a live response of Social Fetch about `creator`; `of` puts another creator's account into it."""
    live = bodies.fetch_live(status)
    user_id, sec_uid = account(of or creator)
    live["profile"] |= {"handle": creator, "platformUserId": user_id, "secUid": sec_uid}
    if not ids:
        live["profile"] |= {"platformUserId": None, "secUid": None}
    return bodies.fetch_ok(live)


def row(creator: str, at: datetime, number: int, chance: random.Random) -> tuple[str, dict[str, Any]]:
    """Return a random row about a creator, and the name of its table."""
    on_air = (at.hour * 60 + at.minute + 97 * CREATORS.index(creator)) % 240 < 70
    # Vendors sometimes contradict each other.
    on_air = on_air if chance.random() < 0.95 else not on_air
    kind = chance.choices(
        ["fetch", "konbini", "room", "profile", "failed", "other", "gone", "no ids", "broken", "unheard"],
        [30, 8, 4, 6, 3, 2, 2, 3, 1, 1],
    )[0]
    table, vendor, endpoint, outcome, body = "raw_lives", "social_fetch", social_fetch.LIVE, "not_live", b""
    status = "live" if on_air else "offline"
    if kind in ("fetch", "other", "no ids"):
        other = chance.choice(CREATORS) if kind == "other" else None
        body = fetch(creator, status, of=other, ids=kind != "no ids")
        outcome = "ok" if on_air else "not_live"
    elif kind == "konbini":
        vendor, endpoint = "konbini", konbini.LIVE
        _, sec_uid = account(creator)
        live = bodies.konbini_live(attributedTo=bodies.person(entityId=sec_uid, preferredUsername=creator))
        body, outcome = (bodies.encoded({"data": live}), "ok") if on_air else (b"{}", "not_found")
    elif kind == "room":
        vendor, endpoint, outcome = "tikhub", tikhub.ROOM, "ok"
        body = bodies.room_body(bodies.room(2 if on_air else 4))
    elif kind == "profile":
        table, endpoint, outcome = "raw_profiles", social_fetch.PROFILE, chance.choice(["ok", "rate_limited"])
        body = fetch(creator, status)
    elif kind == "failed":
        outcome = chance.choice(["network_error", "rate_limited", "server_error"])
    elif kind == "gone":
        outcome = "not_found"
    elif kind == "broken":
        outcome, body = "ok", b'{"data":'
    else:
        vendor, endpoint, outcome = "a_vendor_of_a_later_release", "/v9/live", "ok"
    return table, {
        "capture_id": f"{table}-{number:07d}",
        "vendor": vendor,
        "endpoint": endpoint,
        "creator_id": creator,
        "subject": creator,
        "page": 0,
        "requested_at": at,
        "received_at": at + timedelta(seconds=1),
        "observed_at": at,
        "elapsed_ms": 1.0,
        "attempt": 1,
        "http_status": 200,
        "outcome": outcome,
        "credits": chance.choice([1.0, 1.0, 0.5, None, float("nan"), -1.0]),
        "headers": "{}",
        "body": body.decode(),
    }


def frame(table: Table, rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """Return rows as a frame of the raw table."""
    empty = dict.fromkeys(RAW_LIVES.schema)
    return table.conform(pl.DataFrame([empty | each for each in rows], schema=table.schema))


class Landing:
    """A growing lake: every creator is polled about every five minutes; files land each minute or later."""

    def __init__(self, lake: Lake, seed: int, start: datetime = START) -> None:
        self.lake, self.now, self.chance = lake, start, random.Random(seed)
        self._number = 0
        self._waiting: list[tuple[str, dict[str, Any]]] = []

    def go_on(self, minutes: int) -> None:
        """Poll for this many minutes; land most of the rows, some of them out of order."""
        for _ in range(minutes):
            for creator in CREATORS:
                if self.chance.random() < 0.3:
                    at = self.now + timedelta(seconds=self.chance.randrange(60), milliseconds=self._number % 1000)
                    # Another machine's clock may be ahead.
                    at += timedelta(minutes=3) if self.chance.random() < 0.02 else timedelta()
                    self._number += 1
                    self._waiting.append(row(creator, at, self._number, self.chance))
            self.now += timedelta(minutes=1)
            if self.chance.random() < 0.3:
                self.land(0.9)

    def land(self, share: float) -> None:
        """Land this share of the waiting rows, one file per table and hour."""
        files: dict[tuple[str, datetime], list[dict[str, Any]]] = {}
        late = []
        for table, each in self._waiting:
            if self.chance.random() < share:
                files.setdefault((table, each["requested_at"].replace(minute=0, second=0, microsecond=0)), []).append(
                    each
                )
            else:
                late.append((table, each))
        self._waiting = late
        for (table, hour), rows in files.items():
            self._number += 1
            self.lake.write_raw(TABLES[table], hour, f"watch-{self._number:06d}-0000", frame(TABLES[table], rows))
