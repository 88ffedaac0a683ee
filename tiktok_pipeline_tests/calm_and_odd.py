"""Serve four vendors for two hours of a few creators, with conforming responses except for a test's twists.

This server shares no code with the sandbox or the readers, so a format that both misread is noticed. All creators
are equal: live from 00:15 to 01:05 in one room with 42 viewers, 13,500 followers, three posts. A `Twist` changes the
responses of one endpoint for one creator, from 00:40 to 00:50 or all the time.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

START = datetime(2026, 11, 10, tzinfo=UTC)
END = START + timedelta(hours=2)
BEGINS, ENDS = START + timedelta(minutes=15), START + timedelta(minutes=65)
ODD_FROM, ODD_UNTIL = START + timedelta(minutes=40), START + timedelta(minutes=50)
VIEWERS, FOLLOWERS = 42, 13_500
POSTS = ("7571300000000000001", "7571300000000000002", "7571300000000000003")

CREDENTIALS: Mapping[str, Mapping[str, str]] = {
    "konbini": {"KONBINI_API_KEY": "knbn_calm"},
    "social_fetch": {"SOCIAL_FETCH_API_KEY": "sfk_calm"},
    "tikliveapi": {"TIKLIVEAPI_API_KEY": "tkl_calm"},
    "tikhub": {"TIKHUB_USERNAME": "calm", "TIKHUB_PASSWORD": "thub_calm"},
}


@dataclass
class Response:
    """A response; `headers` may repeat a name."""

    body: bytes
    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)


Bend = Callable[[Any, Mapping[str, str]], Any]


@dataclass(frozen=True)
class Twist:
    """A changed response of one endpoint about one creator.

    `bend` gets the decoded good body and the query, and returns another body (encoded here), bytes, or a Response.
    """

    vendor: str
    endpoint: str
    bend: Bend
    since: datetime = ODD_FROM
    until: datetime = ODD_UNTIL


def user_id(handle: str) -> str:
    """Return the creator's numeric id."""
    return str(7_000_000_000_000_000_000 + sum(byte * 31**place for place, byte in enumerate(handle.encode()[:9])))


def sec_uid(handle: str) -> str:
    """Return the creator's secUid."""
    return f"MS4wLjABAAAA{handle.replace('.', '')}"


def room_id(handle: str) -> str:
    """Return the creator's room id: its upper half is the second in which the room was opened."""
    return str((int(BEGINS.timestamp()) << 32) + int(user_id(handle)) % 1_000_000)


class Vendors:
    """The four vendors' bodies, and the received requests."""

    def __init__(self, creators: Mapping[str, Twist | None]) -> None:
        self._twists = creators
        self._by_id = {user_id(handle): handle for handle in creators}
        self._by_room = {room_id(handle): handle for handle in creators}
        # (vendor, path, query, instant), in order.
        self.requests: list[tuple[str, str, dict[str, str], datetime]] = []

    def answer(self, address: str, at: datetime) -> Response:
        """Return the response to a request at an instant."""
        url = urlsplit(address)
        _, vendor, *parts = url.path.split("/")
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        path = "/" + "/".join(parts)
        self.requests.append((vendor, path, query, at))
        endpoint, handle = self._about(vendor, path, query)
        if handle not in self._twists:
            return _missing(vendor)
        good = getattr(self, f"_{vendor}_{endpoint}")(handle, at, query)
        response = _charged(vendor, good)
        twist = self._twists[handle]
        if twist is None or (twist.vendor, twist.endpoint) != (vendor, endpoint):
            return response
        if not twist.since <= at < twist.until:
            return response
        bent = twist.bend(json.loads(response.body), query)
        if isinstance(bent, Response):
            return bent
        response.body = bent if isinstance(bent, bytes) else json.dumps(bent).encode()
        return response

    def _about(self, vendor: str, path: str, query: Mapping[str, str]) -> tuple[str, str]:
        """Return (endpoint, handle)."""
        if vendor in ("konbini", "social_fetch"):
            parts = path.split("/")[4:]
            return (parts[1] if len(parts) > 1 else "profile"), unquote(parts[0])
        handle = query.get("username", self._by_id.get(query.get("userid", query.get("user_id", "")), ""))
        if vendor == "tikhub" and "room_id" in query:
            handle = self._by_room.get(query["room_id"], "")
        names = {"userinfo-by-username": "profile", "userinfo-by-id": "profile"}
        name = path.strip("/").removeprefix("api/v1//").replace("/", "_")
        return names.get(name, name.replace("-", "_")), handle

    # Konbini

    def _konbini_person(self, handle: str) -> dict[str, Any]:
        address = f"https://www.tiktok.com/@{handle}"
        return {
            **{"type": "Person", "id": address, "url": address, "entityId": sec_uid(handle), "name": handle.title()},
            **{"preferredUsername": handle, "isPrivate": False, "isVerified": False, "isLive": False},
            **{"followerCount": FOLLOWERS, "followingCount": 3, "likeCount": 9, "mediaCount": 3},
        }

    def _konbini_profile(self, handle: str, at: datetime, query: Mapping[str, str]) -> Any:
        return {"data": self._konbini_person(handle) | {"isLive": BEGINS <= at < ENDS}}

    def _konbini_live(self, handle: str, at: datetime, query: Mapping[str, str]) -> Any:
        if not BEGINS <= at < ENDS:
            return Response(b'{"errors":[{"code":"not_found","message":"Not found"}],"data":null}', 404)
        address = f"https://www.tiktok.com/@{handle}/live"
        flv = {"type": "Video", "url": ["https://pull.example/a.flv"], "mediaType": "video/x-flv", "codec": "h264"}
        return {
            "data": {
                **{"type": "Video", "id": address, "url": address, "entityId": room_id(handle), "isLive": True},
                **{
                    "published": _iso(BEGINS),
                    "viewerCount": VIEWERS,
                    "viewCount": _entered(at),
                    "content": "calm evening",
                },
                **{"attributedTo": self._konbini_person(handle), "attachment": [flv]},
            }
        }

    def _konbini_videos(self, handle: str, at: datetime, query: Mapping[str, str]) -> Any:
        return self._konbini_page([self._konbini_item(handle, post) for post in POSTS])

    def _konbini_stories(self, handle: str, at: datetime, query: Mapping[str, str]) -> Any:
        return self._konbini_page([])

    def _konbini_followers(self, handle: str, at: datetime, query: Mapping[str, str]) -> Any:
        return self._konbini_page([])

    def _konbini_item(self, handle: str, item: str) -> dict[str, Any]:
        return {
            **{"type": "Video", "id": f"https://www.tiktok.com/@{handle}/video/{item}", "entityId": item},
            **{"published": _iso(START - timedelta(days=1)), "viewCount": 5, "likeCount": 1, "commentCount": 0},
            **{"attributedTo": self._konbini_person(handle), "attachment": []},
        }

    def _konbini_page(self, items: list[Any]) -> dict[str, Any]:
        return {
            "data": {
                **{"type": "OrderedCollectionPage", "totalItems": len(items), "itemCount": len(items)},
                **{"cursor": "0", "nextCursor": None, "next": None, "orderedItems": items},
            }
        }

    # Social Fetch

    def _social_fetch_identity(self, handle: str) -> dict[str, Any]:
        return {
            **{"platform": "tiktok", "handle": handle, "displayName": handle.title(), "bio": "b", "avatarUrl": None},
            **{"verified": False, "platformUserId": user_id(handle), "secUid": sec_uid(handle)},
        }

    def _social_fetch_profile(self, handle: str, at: datetime, query: Mapping[str, str]) -> Any:
        metrics = {"followers": FOLLOWERS, "following": 3, "likes": 9, "posts": 3}
        data = {"lookupStatus": "found", "profile": self._social_fetch_identity(handle), "metrics": metrics}
        return {"data": data, "meta": {"requestId": "r", "creditsCharged": 1, "version": "v1"}}

    def _social_fetch_live(self, handle: str, at: datetime, query: Mapping[str, str]) -> Any:
        streams = [{"codecFamily": "h264", "source": "primary", "qualityKey": "hd", "flvUrl": "https://pull.example/a"}]
        live = {
            **{"roomId": room_id(handle), "title": "calm evening", "coverUrl": None, "startedAt": _iso(BEGINS)},
            **{"viewerCount": VIEWERS, "streams": streams},
        }
        on_air = BEGINS <= at < ENDS
        data = {
            **{
                "lookupStatus": "found",
                "liveStatus": "live" if on_air else "offline",
                "live": live if on_air else None,
            },
            "profile": self._social_fetch_identity(handle) | {"followerCount": FOLLOWERS},
        }
        return {"data": data, "meta": {"requestId": "r", "creditsCharged": 1, "version": "v1"}}

    def _social_fetch_videos(self, handle: str, at: datetime, query: Mapping[str, str]) -> Any:
        stats = {"views": 5, "likes": 1, "comments": 0, "shares": 0, "saves": 0}
        created = _iso(START - timedelta(days=1))
        videos = [{"id": post, "caption": "c", "createdAt": created, "pinned": False, "stats": stats} for post in POSTS]
        return {
            "data": {"videos": videos, "page": {"nextCursor": None, "hasMore": False}},
            "meta": {"creditsCharged": 1},
        }

    def _social_fetch_followers(self, handle: str, at: datetime, query: Mapping[str, str]) -> Any:
        page = {"nextCursor": None, "hasMore": False}
        return {"data": {"lookupStatus": "found", "followers": [], "page": page}, "meta": {"creditsCharged": 1}}

    # TikLiveAPI

    def _tikliveapi_userid(self, handle: str, at: datetime, query: Mapping[str, str]) -> Any:
        return {"userid": user_id(handle)}

    def _tikliveapi_profile(self, handle: str, at: datetime, query: Mapping[str, str]) -> Any:
        user = {"id": user_id(handle), "uniqueId": handle, "secUid": sec_uid(handle), "nickname": handle.title()}
        return {
            "user": user,
            "stats": {"followerCount": FOLLOWERS, "followingCount": 3, "heartCount": 9, "videoCount": 3},
        }

    def _tikliveapi_user_posts(self, handle: str, at: datetime, query: Mapping[str, str]) -> Any:
        return {"videos": [self.tikliveapi_post(post) for post in POSTS], "cursor": "0", "hasMore": False}

    @staticmethod
    def tikliveapi_post(post: str) -> dict[str, Any]:
        """Return one post in this vendor's format."""
        created = int((START - timedelta(days=1)).timestamp())
        return {"video_id": post, "create_time": created, "title": "c", "play_count": 5, "digg_count": 1}

    def _tikliveapi_user_followers(self, handle: str, at: datetime, query: Mapping[str, str]) -> Any:
        return {"followers": [], "total": FOLLOWERS, "time": 0, "hasMore": False}

    def _tikliveapi_user_stories(self, handle: str, at: datetime, query: Mapping[str, str]) -> Any:
        return {"TotalCount": "0", "HasMoreAfter": False}

    # TikHub

    def _tikhub_live_info(self, handle: str, at: datetime, query: Mapping[str, str]) -> Any:
        begun, over = int(BEGINS.timestamp()), at >= ENDS
        owner = {
            **{"id": int(user_id(handle)), "id_str": user_id(handle), "sec_uid": sec_uid(handle), "display_id": handle},
            **{"nickname": handle.title(), "follow_info": {"follower_count": FOLLOWERS}},
        }
        room = {
            **{"id_str": room_id(handle), "status": 4 if over else 2, "title": "calm evening", "create_time": begun},
            **{"start_time": begun, "finish_time": int(ENDS.timestamp()) if over else begun, "like_count": 8},
            **{"user_count": 0 if over else VIEWERS, "stats": {"total_user": 0, "follow_count": 3}, "owner": owner},
        }
        return {"code": 0, "msg": "success", "data": {"status_code": 0, "data": room}}

    def _tikhub_user_info(self, handle: str, at: datetime, query: Mapping[str, str]) -> Any:
        user = {"uid": user_id(handle), "unique_id": handle, "sec_uid": sec_uid(handle), "follower_count": FOLLOWERS}
        return {"code": 0, "msg": "success", "data": {"status_code": 0, "user": user}}

    def _tikhub_user_stories(self, handle: str, at: datetime, query: Mapping[str, str]) -> Any:
        return {"code": 0, "msg": "success", "data": {"TotalCount": 0, "HasMoreAfter": 0, "status_code": 0}}


def _entered(at: datetime) -> int:
    """Return the cumulative viewers of the room: a constant count would look like a repeated response."""
    return 900 + int((at - BEGINS).total_seconds())


def _iso(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S.000Z}"


def _missing(vendor: str) -> Response:
    bodies = {
        "konbini": b'{"errors":[{"code":"not_found","message":"m"}],"data":null}',
        "tikliveapi": b'{"message":"m"}',
    }
    found = (
        b'{"data":{"lookupStatus":"not_found","profile":null,"metrics":null,"live":null},"meta":{"creditsCharged":1}}'
    )
    return Response(bodies.get(vendor, found), 404 if vendor in bodies else 200)


def _charged(vendor: str, good: Any) -> Response:
    response = good if isinstance(good, Response) else Response(json.dumps(good).encode())
    if vendor == "konbini":
        response.headers += [("X-Credits-Used", "1"), ("X-Credits-Remaining", "999")]
    return response


@contextmanager
def served(vendors: Vendors) -> Iterator[str]:
    """Serve on a free loopback port; yield the URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body leave in one packet: a second one would wait 40 ms for the client's acknowledgement.
        wbufsize = -1

        def do_GET(self) -> None:
            at = datetime.fromisoformat(self.headers["X-Replay-At"])
            response = vendors.answer(self.path, at)
            self.send_response_only(response.status)
            names = {name.lower() for name, _ in response.headers}
            if "date" not in names:
                self.send_header("Date", f"{at:%a, %d %b %Y %H:%M:%S} GMT")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(response.body)))
            for name, value in response.headers:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(response.body)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def environment(url: str, vendors: tuple[str, ...], credentials: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that point the pipeline at the served vendors; `credentials` override the usual ones."""
    found = {f"{vendor.upper()}_BASE_URL": f"{url}/{vendor}" for vendor in vendors}
    for vendor in vendors:
        found |= {name: credentials.get(name, value) for name, value in CREDENTIALS[vendor].items()}
    return found
