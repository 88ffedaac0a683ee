"""Social Fetch's responses (docs/vendors.md 3): exact counts, 200 for misses, every lookup billed."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, ClassVar

import msgspec

from tiktok_pipeline.sandbox.chance import bits, chance
from tiktok_pipeline.sandbox.creators import Creator
from tiktok_pipeline.sandbox.followers import Follower
from tiktok_pipeline.sandbox.posts import TruePost
from tiktok_pipeline.sandbox.streams import Room
from tiktok_pipeline.sandbox.vendor import (
    Endpoint,
    Refusal,
    Request,
    Response,
    Vendor,
    iso_milliseconds,
    picture,
    whole,
)

_LONGEST_HANDLE = 64
_CACHED_SHARE, _OLDEST_CACHED_S = 0.05, 60
_WITHOUT_COUNT_SHARE = 0.1
_VIDEOS_A_PAGE, _FOLLOWERS_A_PAGE, _HITS_A_PAGE = 20, 20, 10  # fixed: no parameter sets them

# status, code, usual message (docs/vendors.md 3.1)
_REFUSALS: dict[Refusal, tuple[int, str, str]] = {
    Refusal.NO_ROUTE: (404, "not_found", "No such route."),
    Refusal.INVALID: (400, "bad_request", "The request is not valid."),
    Refusal.MISSING_KEY: (401, "unauthorized", "An API key is required."),
    Refusal.WRONG_KEY: (401, "unauthorized", "The API key is not valid."),
    Refusal.FORBIDDEN: (403, "forbidden", "This key may not do that."),
    Refusal.OUT_OF_CREDITS: (402, "insufficient_credits", "No credits left."),
    Refusal.SESSION_EXPIRED: (401, "unauthorized", "The API key has expired."),
    Refusal.RATE_LIMITED: (429, "temporarily_unavailable", "Too many requests."),
    Refusal.USAGE_LIMIT: (402, "insufficient_credits", "The plan's limit is reached."),
    Refusal.RISK_CONTROL: (502, "lookup_failed", "The platform refused the lookup."),
    Refusal.INTERNAL_ERROR: (500, "internal_error", "Something went wrong."),
    Refusal.BAD_GATEWAY: (502, "lookup_failed", "The lookup failed."),
    Refusal.UNAVAILABLE: (503, "temporarily_unavailable", "Please try again shortly."),
    Refusal.GATEWAY_TIMEOUT: (504, "temporarily_unavailable", "The lookup took too long."),
}

PROFILE = "/v1/tiktok/profiles/{handle}"
LIVE = "/v1/tiktok/profiles/{handle}/live"
VIDEOS = "/v1/tiktok/profiles/{handle}/videos"
FOLLOWERS = "/v1/tiktok/profiles/{handle}/followers"
SEARCH = "/v1/tiktok/users/search"


class SocialFetch(Vendor):
    """Profiles, live lookups, videos and followers by handle, and a search; balance and whoami are free.

    No body of a follower or of a search hit is published: theirs are guesses in the terms of a profile.
    """

    name: ClassVar[str] = "social_fetch"
    prefix: ClassVar[str] = "/social-fetch"
    base_url_variable: ClassVar[str] = "SOCIAL_FETCH_BASE_URL"
    credentials: ClassVar[Mapping[str, str]] = {"SOCIAL_FETCH_API_KEY": "sfk_sandbox"}
    subject_parameters: ClassVar[tuple[str, ...]] = ("query",)
    _key: ClassVar[bytes] = credentials["SOCIAL_FETCH_API_KEY"].encode()

    def endpoints(self) -> Mapping[str, Endpoint]:
        """Return the routes."""
        return {
            PROFILE: self.profile,
            LIVE: self.live,
            VIDEOS: self.videos,
            FOLLOWERS: self.followers,
            SEARCH: self.search,
            "/v1/balance": self.balance,
            "/v1/whoami": self.whoami,
            "/health": self.health,
        }

    def check_key(self, headers: Mapping[bytes, bytes]) -> Refusal | None:
        """Check `x-api-key: sfk_...`."""
        key = headers.get(b"x-api-key")
        if key == self._key:
            return None
        return Refusal.MISSING_KEY if key is None else Refusal.WRONG_KEY

    def refuse(self, refusal: Refusal, request: Request, message: str | None = None) -> Response:
        """Return `{"error": {...}}`; a profile that could not be read (502) is billed, the rest is not."""
        status, code, usual = _REFUSALS[refusal]
        error = {"code": code, "message": message or usual, "requestId": f"req_{self.request_id(request)}"}
        if status == 402:
            error["checkoutUrl"] = "https://socialfetch.example/checkout"
        credits = 1.0 if status == 502 and request.endpoint == PROFILE else 0.0
        headers = ((b"retry-after", b"5"),) if status == 503 else ()
        return Response(status, msgspec.json.encode({"error": error}), credits, headers)

    def profile(self, request: Request) -> Response:
        """Return profile and exact metrics; `private` has no ids and no posts."""
        if len(request.subject) > _LONGEST_HANDLE:
            return self.refuse(Refusal.INVALID, request)
        at, age = self._as_of(request)
        creator = self.world.find(request.subject, at)
        if creator is None:
            return self._found(request, {"lookupStatus": "not_found", "profile": None, "metrics": None}, age)
        handle = self.world.handle_at(creator, at)
        private = creator.kind == "private"
        profile: dict[str, Any] = {
            "platform": "tiktok",
            "handle": handle,
            "displayName": creator.display_name,
            "bio": None if private else creator.bio,
            "avatarUrl": picture(creator.user_id, at),
            "verified": creator.verified,
            "profileUrl": f"https://www.tiktok.com/@{handle}",
            "privateAccount": private,
        }
        if not private:
            profile |= {
                "platformUserId": creator.user_id,
                "secUid": creator.sec_uid,
                "accountCreatedAt": iso_milliseconds(creator.created_at),
                "bioLink": {"url": f"https://links.example/{handle}", "riskLevel": 0},
                "language": creator.language,
                "isCommerceUser": False,
                "isSeller": False,
                "openFavorite": False,
                "followingVisibility": 2,
                "contentSettings": {"comment": 0, "duet": 0, "stitch": 0, "download": 0},
                "profileTabs": {"showMusicTab": False, "showQuestionTab": False, "showPlayListTab": True},
            }
            room = self.world.room_at(creator, at)
            if room is not None:
                profile["roomId"] = room.room_id
        metrics = {
            "followers": self.world.followers_at(creator, at),
            "following": creator.following,
            "likes": self.world.likes_at(creator, at),
            "posts": 0 if private else self.world.videos_at(creator, at),
            "friends": creator.following // 3,
            "diggs": 0,
        }
        status = "private" if private else "found"
        return self._found(request, {"lookupStatus": status, "profile": profile, "metrics": metrics}, age)

    def live(self, request: Request) -> Response:
        """Return the live state, and for nine creators in ten the exact follower count as well, live or not.

        The live page has no status `private`: such an account is found and offline.
        """
        if len(request.subject) > _LONGEST_HANDLE:
            return self.refuse(Refusal.INVALID, request)
        at, age = self._as_of(request)
        world = self.world
        creator = world.find(request.subject, at)
        if creator is None:
            missing = {"lookupStatus": "not_found", "liveStatus": None, "profile": None, "live": None}
            return self._found(request, missing, age)
        profile = _identity(creator, world.handle_at(creator, at), at.toordinal())
        if creator.kind == "public" and not _hides_count(creator):
            profile = profile | {"followerCount": world.followers_at(creator, at), "followingCount": creator.following}
        room = world.room_at(creator, at)
        data = {
            "lookupStatus": "found",
            "liveStatus": "offline" if room is None else "live",
            "profile": profile,
            "live": None if room is None else _live(room, at),
        }
        return self._found(request, data, age)

    def videos(self, request: Request) -> Response:
        """Return twenty videos a page, newest first, the pinned ones on top of the first; no reason for an empty page.

        Only `sortBy=latest` is served; no page of the documented `popular` is known.
        """
        cursor = _opened("videos", request)
        if (
            cursor is None
            or len(request.subject) > _LONGEST_HANDLE
            or request.query.get("sortBy", "latest") != "latest"
        ):
            return self.refuse(Refusal.INVALID, request)
        at, age = self._as_of(request)
        creator = self.world.find(request.subject, at)
        if creator is None or creator.kind == "private":
            return self._found(request, {"videos": [], "page": _page("videos", None)}, age)
        feed = self.world.feed(creator)
        pinned = [] if cursor else feed.pinned()
        before = cursor / 1000 if cursor else None
        fresh, more = feed.page(at.timestamp(), before, _VIDEOS_A_PAGE - len(pinned))
        following = int(fresh[-1].published_s * 1000) if more else None
        handle = self.world.handle_at(creator, at)
        videos = [_video(post, handle, at) for post in [*pinned, *fresh]]
        return self._found(request, {"videos": videos, "page": _page("videos", following)}, age)

    def followers(self, request: Request) -> Response:
        """Return twenty followers a page, newest first, and whether the list is visible."""
        cursor = _opened("followers", request)
        if cursor is None or len(request.subject) > _LONGEST_HANDLE:
            return self.refuse(Refusal.INVALID, request)
        at, age = self._as_of(request)
        creator = self.world.find(request.subject, at)
        members = None if creator is None else self.world.follower_list(creator)
        if creator is None or members is None or members.hidden:
            status = "not_found" if creator is None else "private" if creator.kind == "private" else "hidden"
            missing = {"lookupStatus": status, "followers": [], "page": _page("followers", None)}
            return self._found(request, missing, age)
        page = members.page(at.timestamp(), cursor or None, _FOLLOWERS_A_PAGE)
        data = {
            "lookupStatus": "found",
            "followers": [_follower(follower, at) for follower in page.followers],
            "page": _page("followers", page.next_start),
        }
        return self._found(request, data, age)

    def search(self, request: Request) -> Response:
        """Return ten users a page by handle, name or niche; no hit is an empty page, billed."""
        cursor, query = _opened("search", request), request.query.get("query", "").strip()
        if cursor is None or not query:
            return self.refuse(Refusal.INVALID, request)
        at, age = self._as_of(request)
        hits = self.world.search(query, at)
        users = [
            _identity(creator, self.world.handle_at(creator, at), at.toordinal())
            | {"followerCount": self.world.followers_at(creator, at), "privateAccount": creator.kind == "private"}
            for creator in hits[cursor : cursor + _HITS_A_PAGE]
        ]
        following = cursor + _HITS_A_PAGE if len(hits) > cursor + _HITS_A_PAGE else None
        return self._found(request, {"users": users, "page": _page("search", following)}, age)

    def balance(self, request: Request) -> Response:
        """Return the credits left; free."""
        return self._free(request, {"balance": self.credits_left(), "billingAlert": None})

    def whoami(self, request: Request) -> Response:
        """Return the owner of the key; free."""
        return self._free(request, {"accountId": "acct_sandbox", "keyName": "sandbox"})

    def health(self, request: Request) -> Response:
        """Return that the service is up; free."""
        return self._free(request, {"status": "ok"})

    def _as_of(self, request: Request) -> tuple[datetime, int]:
        """Return the instant of the body, and the response's age in seconds if it is from the shared cache."""
        draw = bits(self.world.seed, self.name, request.endpoint, request.subject.lower(), request.at)
        if draw % 10_000 >= _CACHED_SHARE * 10_000:
            return request.at, 0
        age = 1 + (draw >> 20) % _OLDEST_CACHED_S
        return request.at - timedelta(seconds=age), age

    def _found(self, request: Request, data: dict[str, Any], age: int) -> Response:
        meta: dict[str, Any] = {"requestId": f"req_{self.request_id(request)}", "creditsCharged": 1, "version": "v1"}
        if age:
            meta["cached"] = True
        headers = ((b"age", str(age).encode()),) if age else ()
        return Response(200, msgspec.json.encode({"data": data, "meta": meta}), 1.0, headers)

    def _free(self, request: Request, data: dict[str, Any]) -> Response:
        meta = {"requestId": f"req_{self.request_id(request)}", "creditsCharged": 0, "version": "v1"}
        return Response(200, msgspec.json.encode({"data": data, "meta": meta}))


def _page(kind: str, following: int | None) -> dict[str, Any]:
    """Return `page`: the cursor is sealed, so that no instant or position can be read from it."""
    sealed = None if following is None else base64.urlsafe_b64encode(f"{kind}/{following}".encode()).decode()
    return {"nextCursor": sealed, "hasMore": following is not None}


def _opened(kind: str, request: Request) -> int | None:
    """Return the content of the request's cursor, 0 without one; None for a cursor of another list or a forged one."""
    sealed = request.query.get("cursor")
    if not sealed:
        return 0
    try:
        name, _, value = base64.urlsafe_b64decode(sealed).decode().partition("/")
    except ValueError:
        return None
    return whole(value) if name == kind else None


def _video(post: TruePost, handle: str, at: datetime) -> dict[str, Any]:
    second = at.timestamp()
    return {
        "id": post.post_id,
        "caption": post.caption,
        "createdAt": iso_milliseconds(post.published_at),
        "url": f"https://www.tiktok.com/@{handle}/video/{post.post_id}",
        "thumbnailUrl": picture(post.post_id, at, "thumb"),
        "durationMs": post.duration_s * 1000 + bits(post.post_id, "ms") % 1000,
        "pinned": post.pinned,
        "isAd": False,
        "stats": {
            "views": post.views(second),
            "likes": post.likes(second),
            "comments": post.comments(second),
            "shares": post.shares(second),
            "saves": post.saves(second),
        },
        "media": {"downloadUrl": None, "downloadWithoutWatermarkUrl": None},
    }


def _follower(follower: Follower, at: datetime) -> dict[str, Any]:
    """Return a short profile; here `accountCreatedAt` is unix seconds, not ISO as in profiles (docs/vendors.md 3.3)."""
    return {
        "platform": "tiktok",
        "handle": follower.handle,
        "displayName": follower.display_name,
        "bio": None,
        "avatarUrl": picture(follower.user_id, at),
        "verified": False,
        "profileUrl": f"https://www.tiktok.com/@{follower.handle}",
        "platformUserId": follower.user_id,
        "secUid": follower.sec_uid,
        "accountCreatedAt": follower.created_s,
        "followerCount": follower.followers,
        "followingCount": follower.following,
    }


@lru_cache(maxsize=8192)
def _hides_count(creator: Creator) -> bool:
    return chance("social_fetch", "followerCount", creator.user_id) < _WITHOUT_COUNT_SHARE


@lru_cache(maxsize=8192)
def _identity(creator: Creator, handle: str, day: int) -> dict[str, Any]:
    """Return the part of a profile that changes at most once a day, by its ordinal."""
    identity: dict[str, Any] = {
        "platform": "tiktok",
        "handle": handle,
        "displayName": creator.display_name,
        "avatarUrl": picture(creator.user_id, datetime.fromordinal(day)),
        "verified": creator.verified,
        "profileUrl": f"https://www.tiktok.com/@{handle}",
    }
    if creator.kind == "public":
        identity |= {"platformUserId": creator.user_id, "secUid": creator.sec_uid, "bio": creator.bio}
    return identity


def _live(room: Room, at: datetime) -> dict[str, Any]:
    second = at.timestamp()
    return _room(room) | {"viewerCount": room.viewers(second), "enterCount": room.enters(second)}


@lru_cache(maxsize=4096)
def _room(room: Room) -> dict[str, Any]:
    """Return the part of a room that does not change: a cover or a start is missing now and then."""
    return {
        "roomId": room.room_id,
        "title": room.title,
        "coverUrl": None if chance(room.room_id, "cover") < 0.05 else picture(room.room_id, room.started_at, "cover"),
        "startedAt": None if chance(room.room_id, "start") < 0.03 else iso_milliseconds(room.started_at),
        "streamId": str(bits(room.room_id, "stream") >> 2),
        "streams": msgspec.Raw(msgspec.json.encode(_variants(room.room_id))),
    }


def _variants(room_id: str) -> list[dict[str, Any]]:
    """Return playback variants of both bundles, some without HLS, as the flattened list of the live page."""
    qualities = (
        ("origin", "Original", "1080x1920", 4_000_000),
        ("hd", "720p", "720x1280", 1_500_000),
        ("sd", "480p", "480x854", 700_000),
    )
    variants = []
    for codec, source in (("h264", "primary"), ("h265", "hevc")):
        for key, label, resolution, bitrate in qualities:
            stem = f"https://pull-f5.tiktokcdn.example/stage/stream-{bits(room_id, 'stream') >> 2}_{source}_{key}"
            variant: dict[str, Any] = {
                "codecFamily": codec,
                "source": source,
                "qualityKey": key,
                "flvUrl": f"{stem}.flv",
            }
            if source == "primary":
                variant |= {"qualityLabel": label, "hlsUrl": f"{stem}/index.m3u8"}
            if key != "origin":
                variant |= {"resolution": resolution, "bitrate": bitrate}
            variants.append(variant)
    return variants
