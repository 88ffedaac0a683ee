"""Vendors on a real HTTP server, with handles that move between accounts: for tests of account identity.

`Impostors.holds` returns the account that a vendor gives for a request at an instant; every requested path is kept.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import polars as pl

from tiktok_pipeline.capture.clock import hours_between
from tiktok_pipeline.capture.deployment import Deployment
from tiktok_pipeline.capture.replay import replay_hours
from tiktok_pipeline.config.access import Access
from tiktok_pipeline.config.settings import Settings
from tiktok_pipeline.derive.decoded import DecodedHours
from tiktok_pipeline.derive.normalized import normalize_day
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.providers import VENDORS
from tiktok_pipeline.providers.accounts import Account
from tiktok_pipeline.providers.vendor import Target
from tiktok_pipeline.tables import RAW_FOLLOWERS, RAW_LIVES, RAW_POSTS, RAW_PROFILES, RAW_STORIES, TABLES
from tiktok_pipeline_tests.providers import bodies

START = datetime(2026, 11, 10, tzinfo=UTC)


@dataclass(frozen=True)
class Person:
    """An account. `live` is when it streams; Social Fetch gives no ids of a private account."""

    user_id: str
    sec_uid: str
    handle: str
    followers: int
    live: tuple[datetime, datetime] = (START, START)
    room_id: str = "7706359316978076417"
    private: bool = False

    def is_live(self, at: datetime) -> bool:
        return self.live[0] <= at < self.live[1]


OWN = Person("6912345678901234567", "MS4wLjABAAAAown_account_0001", "odd.one", 48_317)
OTHER = Person("7999999999999999999", "MS4wLjABAAAAsomebodyelse", "odd.one", 913_120, room_id="7706359316978099999")

# (vendor, capability, requested subject, instant) -> the account that the vendor gives; None: not found.
Holds = Callable[[str, str, str, datetime], Person | None]


@dataclass
class Impostors:
    """The four vendors. `without` names fields that bodies lack: user_id, sec_uid, handle."""

    holds: Holds
    without: Sequence[str] = ()
    paths: list[tuple[datetime, str]] = field(default_factory=list)
    url: str = ""

    @property
    def handles(self) -> list[str]:
        """Return the requested handles, in order of their first request."""
        asked = [path.split("/") for _, path in self.paths if "/profiles/" in path or "/users/" in path]
        found = [unquote(parts[4]) for parts in asked]
        return list(dict.fromkeys(found))

    def answer(self, path: str, query: dict[str, str], at: datetime) -> tuple[int, bytes]:
        vendor, _, rest = path.lstrip("/").partition("/")
        self.paths.append((at, "/" + rest))
        return getattr(self, f"_{vendor}")("/" + rest, query, at)  # type: ignore[no-any-return]

    def _social_fetch(self, path: str, query: dict[str, str], at: datetime) -> tuple[int, bytes]:
        parts = [unquote(part) for part in path.split("/")]
        if "profiles" not in parts:
            return 404, bodies.fetch_error("not_found")
        handle, kind = parts[4], parts[5] if len(parts) > 5 else "profile"
        capability = {"videos": "posts"}.get(kind, kind)
        person = self.holds("social_fetch", capability, handle, at)
        if person is None:
            gone = {"lookupStatus": "not_found", "liveStatus": None, "profile": None, "live": None}
            return 200, bodies.fetch_page("videos", [], None) if capability == "posts" else bodies.fetch_ok(gone)
        profile = self._cut(
            {"platform": "tiktok", "handle": person.handle, "platformUserId": person.user_id,
             "secUid": person.sec_uid, "followerCount": person.followers},
            user_id="platformUserId", sec_uid="secUid",
        )  # fmt: skip
        if person.private:
            profile = {name: value for name, value in profile.items() if name not in ("platformUserId", "secUid")}
        if capability == "posts":
            return 200, bodies.fetch_page("videos", [bodies.fetch_video(id=f"75690001{person.followers:011}")], None)
        if capability == "followers":
            fans = [{"handle": f"fan{person.followers}", "platformUserId": "6800000000000000123"}]
            return 200, bodies.fetch_page("followers", fans, None, lookupStatus="found")
        if capability == "live":
            data = bodies.fetch_live("live" if person.is_live(at) else "offline", profile=profile)
            if data["live"]:
                data["live"] |= {"roomId": person.room_id, "startedAt": person.live[0].isoformat(), "viewerCount": 43}
            return 200, bodies.fetch_ok(data)
        metrics = {"followers": person.followers, "following": 3, "likes": 9, "posts": 2}
        return 200, bodies.fetch_ok({"lookupStatus": "found", "profile": profile, "metrics": metrics})

    def _konbini(self, path: str, query: dict[str, str], at: datetime) -> tuple[int, bytes]:
        parts = [unquote(part) for part in path.split("/")]
        handle, kind = parts[4], parts[5] if len(parts) > 5 else "profile"
        capability = {"videos": "posts"}.get(kind, kind)
        person = self.holds("konbini", capability, handle, at)
        if person is None or (capability == "live" and not person.is_live(at)):
            return 404, bodies.konbini_error("not_found")
        account = self._cut(
            bodies.person(entityId=person.sec_uid, preferredUsername=person.handle, followerCount=person.followers),
            sec_uid="entityId", handle="preferredUsername",
        )  # fmt: skip
        if capability == "live":
            live = bodies.konbini_live(
                entityId=person.room_id, attributedTo=account, published=person.live[0].isoformat(), viewerCount=43
            )
            return 200, bodies.encoded({"data": live})
        if capability in ("stories", "posts"):
            item = bodies.konbini_story(f"75690002{person.followers:011}", attributedTo=account)
            return 200, bodies.konbini_page([item], None)
        if capability == "followers":
            return 200, bodies.konbini_page([bodies.person(entityId=f"MS4wLjABAAAAfan{person.followers}")], None)
        return 200, bodies.encoded({"data": account})

    def _tikliveapi(self, path: str, query: dict[str, str], at: datetime) -> tuple[int, bytes]:
        capability = VENDORS["tikliveapi"].endpoints[path]
        person = self.holds("tikliveapi", capability, query.get("username") or query.get("userid", ""), at)
        if person is None:
            return 404, bodies.encoded({"message": "user not found"})
        if capability == "user_id":
            return 200, bodies.encoded({"userid": person.user_id})
        if capability == "posts":
            video = bodies.tik_video(video_id=f"75690003{person.followers:011}")
            return 200, bodies.encoded({"videos": [video], "cursor": "0", "hasMore": False})
        if capability == "followers":
            fans = [{"id": f"68000000{person.followers:011}", "sec_uid": ""}]
            return 200, bodies.encoded({"followers": fans, "total": person.followers, "hasMore": False})
        if capability == "stories":
            return 200, bodies.encoded({"TotalCount": "0"})
        user = self._cut(
            {"id": person.user_id, "uniqueId": person.handle, "secUid": person.sec_uid, "nickname": "n"},
            user_id="id", sec_uid="secUid",
        )  # fmt: skip
        return 200, bodies.encoded({"user": user, "stats": {"followerCount": person.followers}})

    def _tikhub(self, path: str, query: dict[str, str], at: datetime) -> tuple[int, bytes]:
        capability = {"user/info": "identity", "user/stories": "stories"}.get("/".join(path.split("/")[-2:]), "room")
        person = self.holds("tikhub", capability, query.get("room_id") or query.get("user_id", ""), at)
        if person is None:
            return 200, bodies.room_body({}, 10011)
        if capability == "identity":
            user = {"uid": person.user_id, "unique_id": person.handle, "sec_uid": person.sec_uid,
                    "follower_count": person.followers}  # fmt: skip
            return 200, bodies.encoded({"code": 0, "data": {"status_code": 0, "user": user}})
        room = bodies.room(2 if person.is_live(at) else 4, id_str=person.room_id)
        room["owner"] |= {"id_str": person.user_id, "sec_uid": person.sec_uid, "display_id": person.handle}
        room["owner"]["follow_info"] = {"follower_count": person.followers, "following_count": 1}
        room["start_time"] = room["create_time"] = int(person.live[0].timestamp())
        room["finish_time"] = int(person.live[1].timestamp())
        return 200, bodies.room_body(room)

    def _cut(self, body: dict[str, Any], **names: str) -> dict[str, Any]:
        return {name: value for name, value in body.items() if name not in {names.get(w, w) for w in self.without}}


@contextmanager
def serving(impostors: Impostors) -> Iterator[Impostors]:
    """Serve on a free loopback port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body leave in one packet: a second one would wait 40 ms for the client's acknowledgement.
        wbufsize = -1

        def do_GET(self) -> None:
            address = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(address.query).items()}
            at = datetime.fromisoformat(self.headers["X-Replay-At"])
            status, body = impostors.answer(address.path, query, at)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    impostors.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield impostors
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Deployed:
    """A lake that real windows fill from the impostors, and its derived tables."""

    folder: Path
    impostors: Impostors
    targets: tuple[Target, ...] = (Target("odd.one", "odd.one"),)
    vendors: tuple[str, ...] = tuple(VENDORS)
    settings: Settings = field(default_factory=Settings)

    @property
    def lake(self) -> Lake:
        return Lake(self.folder)

    def deployment(self) -> Deployment:
        """Return a deployment with all vendors at the impostors' address."""
        accesses = {
            name: Access(
                VENDORS[name],
                f"{self.impostors.url}/{name}",
                ("sandbox-key",) * len(VENDORS[name].credential_variables),
            )
            for name in self.vendors
        }
        return Deployment(self.lake, self.settings, accesses, self.targets, run_id="run-1")

    def capture(self, hours: float = 4, *, start: datetime = START, tables: Sequence[str] = ("lives", "profiles"),
                single_hours: bool = False) -> None:  # fmt: skip
        """Run the real windows over these hours: a watch, and sweeps at every full hour; one window, or one an hour."""
        work = self.deployment()
        span = hours_between(start, start + timedelta(hours=hours))
        by_name = {
            "lives": RAW_LIVES, "profiles": RAW_PROFILES, "stories": RAW_STORIES, "posts": RAW_POSTS,
            "followers": RAW_FOLLOWERS,
        }  # fmt: skip
        for name in tables:
            kind = "watch" if name == "lives" else "sweep"
            for hour in [[hour] for hour in span] if single_hours else [span]:
                replay_hours(work, by_name[name], hour, kind=kind)

    def normalize(self, *, days: int = 1, start: datetime = START) -> dict[str, pl.DataFrame]:
        """Derive the normalized tables of these days, in order, and return their rows."""
        listed = {t.creator_id: Account.of(t.user_id, t.sec_uid) for t in self.targets if t.user_id or t.sec_uid}
        found: dict[str, list[pl.DataFrame]] = {}
        for n in range(days):
            day = (start + timedelta(days=n)).date()
            for name, frame in normalize_day(DecodedHours.of(self.lake, b"key", 40), day, listed).frames.items():
                self.lake.write_day(TABLES[name], day, frame)
                found.setdefault(name, []).append(frame)
        return {name: pl.concat(frames) for name, frames in found.items()}


def at_minutes(minutes: float) -> datetime:
    """Return the instant this many minutes after the start."""
    return START + timedelta(minutes=minutes)


def always(person: Person) -> Holds:
    """Return a `holds` that gives this account for every request."""
    return lambda vendor, capability, subject, at: person


def known_target(**changes: Any) -> Target:
    """Return the creator as a target, with the ids of the roster."""
    return replace(Target("odd.one", "odd.one", OWN.user_id, OWN.sec_uid), **changes)
