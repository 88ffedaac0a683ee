"""KonbiniAPI's responses (docs/vendors.md 2): ActivityStreams bodies, rounded counts, billed misses."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, ClassVar
from urllib.parse import quote

import msgspec

from tiktok_pipeline.sandbox.chance import bits, chance
from tiktok_pipeline.sandbox.creators import Creator
from tiktok_pipeline.sandbox.followers import Follower
from tiktok_pipeline.sandbox.posts import TruePost
from tiktok_pipeline.sandbox.stories import TrueStory
from tiktok_pipeline.sandbox.streams import Room
from tiktok_pipeline.sandbox.vendor import (
    Endpoint,
    Headers,
    Refusal,
    Request,
    Response,
    Vendor,
    iso_milliseconds,
    picture,
    web_rounded,
    whole,
)

_CONTEXT = ["https://www.w3.org/ns/activitystreams#", "https://konbiniapi.com/ns/social#"]
_BASE = "https://api.konbiniapi.com"
# (usual, largest) items of a page (docs/vendors.md 2.2); a search always has pages of ten
_STORIES_A_PAGE, _VIDEOS_A_PAGE, _FOLLOWERS_A_PAGE, _HITS_A_PAGE = (4, 35), (35, 35), (30, 30), (10, 10)
_OLD_SPELLING_SHARE = 0.2
_WITHOUT_CREDIT_HEADERS = {401, 402, 403, 413}

# status, code, usual message (docs/vendors.md 2.1)
_REFUSALS: dict[Refusal, tuple[int, str, str]] = {
    Refusal.NO_ROUTE: (404, "route_not_found", "Route not found"),
    Refusal.INVALID: (400, "validation_error", "Invalid request parameters"),
    Refusal.MISSING_KEY: (401, "missing_api_key", "Missing or malformed API key"),
    Refusal.WRONG_KEY: (401, "invalid_api_key", "Invalid API key"),
    Refusal.FORBIDDEN: (403, "api_key_disabled", "API key disabled"),
    Refusal.OUT_OF_CREDITS: (402, "credits_exhausted", "No credits remaining"),
    Refusal.SESSION_EXPIRED: (403, "api_key_expired", "API key expired"),
    Refusal.RATE_LIMITED: (429, "rate_limited", "Too many requests"),
    Refusal.USAGE_LIMIT: (402, "credits_exhausted", "No credits remaining"),
    Refusal.RISK_CONTROL: (502, "platform_error", "The platform refused the request"),
    Refusal.INTERNAL_ERROR: (500, "internal_error", "Internal error"),
    Refusal.BAD_GATEWAY: (502, "platform_error", "The platform did not answer"),
    Refusal.UNAVAILABLE: (503, "service_unavailable", "Service unavailable"),
    Refusal.GATEWAY_TIMEOUT: (504, "platform_error", "The platform took too long"),
}


class Konbini(Vendor):
    """Users, their live streams, stories, videos and followers, by handle; and a search."""

    name: ClassVar[str] = "konbini"
    prefix: ClassVar[str] = "/konbini"
    base_url_variable: ClassVar[str] = "KONBINI_BASE_URL"
    credentials: ClassVar[Mapping[str, str]] = {"KONBINI_API_KEY": "knbn_sandbox"}
    subject_parameters: ClassVar[tuple[str, ...]] = ("query",)
    _authorization: ClassVar[bytes] = b"Bearer " + credentials["KONBINI_API_KEY"].encode()

    def endpoints(self) -> Mapping[str, Endpoint]:
        """Return the routes."""
        return {
            "/v1/tiktok/users/{username}": self.user,
            "/v1/tiktok/users/{username}/live": self.live,
            "/v1/tiktok/users/{username}/stories": self.stories,
            "/v1/tiktok/users/{username}/videos": self.videos,
            "/v1/tiktok/users/{username}/followers": self.followers,
            "/v1/tiktok/search/users": self.search,
        }

    def check_key(self, headers: Mapping[bytes, bytes]) -> Refusal | None:
        """Check `Authorization: Bearer knbn_...`."""
        authorization = headers.get(b"authorization", b"")
        if authorization == self._authorization:
            return None
        return Refusal.WRONG_KEY if authorization.startswith(b"Bearer knbn_") else Refusal.MISSING_KEY

    def refuse(self, refusal: Refusal, request: Request, message: str | None = None) -> Response:
        """Return `{"errors": [...], "data": null}`, never charged; no credit headers on 401, 402, 403."""
        status, code, usual = _REFUSALS[refusal]
        return self._error(status, code, message or usual, 0)

    def user(self, request: Request) -> Response:
        """Return a Person, with rounded counts."""
        creator = self.world.find(request.subject, request.at)
        if creator is None:
            return self._miss("User not found")
        is_live = self.world.room_at(creator, request.at) is not None
        return self._ok({"@context": _CONTEXT} | self._person(creator, request.at, is_live))

    def live(self, request: Request) -> Response:
        """Return a Video while live (also while paused); offline, private and unknown are the same billed 404."""
        creator = self.world.find(request.subject, request.at)
        room = None if creator is None else self.world.room_at(creator, request.at)
        if creator is None or room is None:
            return self._miss("Live stream not found")
        at = request.at.timestamp()
        handle = self.world.handle_at(creator, request.at)
        old = _spells_the_old_way(creator)
        image = _image(picture(room.room_id, request.at, "cover"))
        data = {
            "@context": _CONTEXT,
            "type": "Video",
            "id": f"https://www.tiktok.com/@{handle}/live",
            "url": f"https://www.tiktok.com/@{handle}/live",
            "internalId" if old else "entityId": room.room_id,
            "isLive": True,
            # The nested flag is false while its owner is live (docs/vendors.md 2.3), as in the vendor's responses.
            "attributedTo": self._person(creator, request.at, is_live=False),
            "published": iso_milliseconds(room.started_at),
            "viewCount": room.enters(at),
            "viewerCount": room.viewers(at),
            "image": image if old else [image],
            "attachment": _playback(room),
        }
        if room.title is not None:
            data["summary" if old else "content"] = room.title
        return self._ok(data)

    def stories(self, request: Request) -> Response:
        """Return a page of the active stories, newest first; the cursor is the epoch millisecond of the last one."""
        paging = _paging(request, *_STORIES_A_PAGE)
        if paging is None:
            return self.refuse(Refusal.INVALID, request, "count must be 1 to 35, cursor a number")
        creator = self._public(request)
        if creator is None:
            return self._miss("User not found")
        count, before = paging
        shown = list(reversed(self.world.stories_at(creator, request.at)))
        rest = [s for s in shown if before is None or s.published_s * 1000 < before]
        page = rest[:count]
        following = int(page[-1].published_s * 1000) if len(rest) > len(page) else None
        return self._page(request, creator, count, following, [self._story(story, request.at) for story in page])

    def videos(self, request: Request) -> Response:
        """Return a page of posts, newest first, the pinned ones on top of each page again; cursors as in `stories`.

        Only the default order is served; no page of the documented `popular` and `oldest` is known.
        """
        paging = _paging(request, *_VIDEOS_A_PAGE)
        if paging is None or request.query.get("order", "newest") != "newest":
            return self.refuse(Refusal.INVALID, request, "count must be 1 to 35, cursor a number, order newest")
        creator = self._public(request)
        if creator is None:
            return self._miss("User not found")
        count, before = paging
        feed = self.world.feed(creator)
        pinned = feed.pinned()
        fresh, more = feed.page(
            request.at.timestamp(), None if before is None else before / 1000, max(count - len(pinned), 1)
        )
        following = int(fresh[-1].published_s * 1000) if more else None
        items = [self._video(post, request.at) for post in [*pinned, *fresh]]
        return self._page(request, creator, count, following, items)

    def followers(self, request: Request) -> Response:
        """Return a page of followers, newest first; a hidden list is an empty page (a guess: no real one is known)."""
        paging = _paging(request, *_FOLLOWERS_A_PAGE)
        if paging is None:
            return self.refuse(Refusal.INVALID, request, "count must be 1 to 30, cursor a number")
        creator = self._public(request)
        if creator is None:
            return self._miss("User not found")
        count, before = paging
        members = self.world.follower_list(creator)
        if members.hidden:
            return self._page(request, creator, count, None, [])
        start = None if before is None else members.joined(before / 1000)
        page = members.page(request.at.timestamp(), start, count, ticks_a_second=1000)
        items = [_follower(follower, request.at) for follower in page.followers]
        return self._page(request, creator, count, page.next_tick, items)

    def search(self, request: Request) -> Response:
        """Return ten users a page by handle, name or niche; no hit is an empty page. The cursor is a position."""
        paging, query = _paging(request, *_HITS_A_PAGE), request.query.get("query", "").strip()
        if paging is None or paging[0] != _HITS_A_PAGE[0] or not query:
            return self.refuse(Refusal.INVALID, request, "query is required, count must be 10, cursor a number")
        count, first = paging[0], paging[1] or 0
        hits = self.world.search(query, request.at)
        people = [
            self._person(creator, request.at, self.world.room_at(creator, request.at) is not None)
            for creator in hits[first : first + count]
        ]
        following = first + count if len(hits) > first + count else None
        return self._page(request, None, count, following, people)

    def _public(self, request: Request) -> Creator | None:
        creator = self.world.find(request.subject, request.at)
        return None if creator is None or creator.kind == "private" else creator

    def _page(
        self, request: Request, owner: Creator | None, count: int, following: int | None, items: list[dict[str, Any]]
    ) -> Response:
        """Return a page of any kind; `owner` is the owner of the collection, None for a search."""
        handle = "" if owner is None else self.world.handle_at(owner, request.at)
        collection = _BASE + request.endpoint.replace("{username}", handle)
        query = f"query={quote(request.query['query'])}&" if owner is None else ""
        return self._ok(
            {
                "@context": _CONTEXT,
                "type": "OrderedCollectionPage",
                "partOf": collection,
                # The vendor counts the owner's posts here, whatever the page holds.
                "totalItems": None if owner is None else self.world.videos_at(owner, request.at),
                "cursor": request.query.get("cursor", "0"),
                "nextCursor": None if following is None else str(following),
                "next": None if following is None else f"{collection}?{query}cursor={following}&count={count}",
                "itemCount": len(items),
                "orderedItems": items,
            }
        )

    def _person(self, creator: Creator, at: datetime, is_live: bool) -> dict[str, Any]:
        handle, old = self.world.handle_at(creator, at), _spells_the_old_way(creator)
        link = {"type": "Link", "href": f"https://links.example/{handle}"}
        image = _image(picture(creator.user_id, at))
        person: dict[str, Any] = {
            "type": "Person",
            "id": f"https://www.tiktok.com/@{handle}",
            "url": f"https://www.tiktok.com/@{handle}",
            "internalId" if old else "entityId": creator.sec_uid,
            "name": creator.display_name,
            "preferredUsername": handle,
            "summary": creator.bio,
            "attachment": [link if old else link | {"rel": "preferred"}],
            "published": iso_milliseconds(creator.created_at),
            "isPrivate": creator.kind == "private",
            "isVerified": creator.verified,
            "isLive": is_live,
            "hasLikes": True,
            "hasPlaylists": False,
            "followerCount": web_rounded(self.world.followers_at(creator, at)),
            "followingCount": creator.following,
            "likeCount": web_rounded(self.world.likes_at(creator, at)),
            "videoCount" if old else "mediaCount": self.world.videos_at(creator, at),
            "icon": image,
            "image": image if old else [image],
        }
        return person | (
            {"userId": creator.user_id} if old else {"language": creator.language, "likedCount": creator.following * 7}
        )

    def _story(self, story: TrueStory, at: datetime) -> dict[str, Any]:
        data = self._item(story, story.story_id, at, _media(story.story_id, story.media_type, at))
        data["endTime"] = iso_milliseconds(story.expires_at)
        return data | (self._sound(story, story.story_id, at) if story.media_type == "video" else {})

    def _video(self, post: TruePost, at: datetime) -> dict[str, Any]:
        """Return a post. A pinned post has no mark, except that it is on top, out of order."""
        data = self._item(post, post.post_id, at, _media(post.post_id, "video", at))
        data |= {"language": post.creator.language, "isSponsored": False}
        if chance(post.post_id, "location") < 0.5:
            data["location"] = {"type": "Place", "name": post.creator.region}
        names = [word[1:] for word in (post.caption or "").split() if word.startswith("#") and len(word) > 1]
        data["tag"] = [
            {"type": "Tag", "name": name, "href": f"https://www.tiktok.com/tag/{quote(name)}"} for name in names
        ]
        return data | self._sound(post, post.post_id, at)

    def _item(self, item: TrueStory | TruePost, item_id: str, at: datetime, media: dict[str, Any]) -> dict[str, Any]:
        """Return the fields that a story and a video share."""
        handle, old = self.world.handle_at(item.creator, at), _spells_the_old_way(item.creator)
        second = at.timestamp()
        address = f"https://www.tiktok.com/@{handle}/video/{item_id}"
        image = _image(picture(item_id, at, "story"))
        data: dict[str, Any] = {
            "type": "Video",
            "id": address,
            "url": address,
            "internalId" if old else "entityId": item_id,
            "published": iso_milliseconds(item.published_at),
            "viewCount": item.views(second),
            "likeCount": item.likes(second),
            "commentCount": item.comments(second),
            "repostCount": 0,
            "shareCount": item.shares(second),
            "saveCount": item.saves(second),
            "attributedTo": self._person(item.creator, at, is_live=False),
            "attachment": [media],
            "image": image,
            "preview": image,
        }
        if item.caption is not None:
            data["summary" if old else "content"] = item.caption
        return data

    def _sound(self, item: TrueStory | TruePost, item_id: str, at: datetime) -> dict[str, Any]:
        return {
            "duration": item.duration_s,
            "audio": {
                "type": "Audio",
                "id": f"https://www.tiktok.com/music/original-sound-{bits(item_id, 'audio') >> 2}",
                "name": f"original sound - {self.world.handle_at(item.creator, at)}",
                "duration": item.duration_s,
                "mediaType": "audio/mpeg",
                "isOriginal": True,
            },
        }

    def _ok(self, data: dict[str, Any]) -> Response:
        return Response(200, msgspec.json.encode({"data": data}), 1.0, self._credit_headers(1))

    def _miss(self, message: str) -> Response:
        return self._error(404, "not_found", message, 1)

    def _error(self, status: int, code: str, message: str, used: int) -> Response:
        body = msgspec.json.encode({"errors": [{"code": code, "message": message}], "data": None})
        return Response(
            status, body, float(used), () if status in _WITHOUT_CREDIT_HEADERS else self._credit_headers(used)
        )

    def _credit_headers(self, used: int) -> Headers:
        left = self.credits_left() - used
        return ((b"x-credits-remaining", str(left).encode()), (b"x-credits-used", str(used).encode()))


@lru_cache(maxsize=8192)
def _spells_the_old_way(creator: Creator) -> bool:
    """Return whether this creator's responses use the old spelling of renamed fields (docs/vendors.md 2.4)."""
    return chance("konbini", "spelling", creator.user_id) < _OLD_SPELLING_SHARE


def _paging(request: Request, usual: int, most: int) -> tuple[int, int | None] | None:
    """Return (count, cursor; None for the first page), or None if the vendor would reject one of them."""
    count, cursor = whole(request.query.get("count", str(usual))), whole(request.query.get("cursor", "0"))
    return None if count is None or not 1 <= count <= most or cursor is None else (count, cursor or None)


def _follower(follower: Follower, at: datetime) -> dict[str, Any]:
    """Return the Person of an unknown account: no bio, no links."""
    address = f"https://www.tiktok.com/@{follower.handle}"
    return {
        "type": "Person",
        "id": address,
        "url": address,
        "entityId": follower.sec_uid,
        "name": follower.display_name,
        "preferredUsername": follower.handle,
        "isPrivate": False,
        "isVerified": False,
        "isLive": False,
        "followerCount": web_rounded(follower.followers),
        "followingCount": follower.following,
        "likeCount": follower.videos * 31,
        "mediaCount": follower.videos,
        "image": [_image(picture(follower.user_id, at))],
    }


def _image(address: str) -> dict[str, Any]:
    return {"type": "Image", "url": address, "width": 720, "height": 720}


@lru_cache(maxsize=4096)
def _playback(room: Room) -> list[dict[str, Any]]:
    stem = f"https://pull-f5.tiktokcdn.example/stage/stream-{bits(room.room_id, 'stream') >> 2}"
    variants = (("origin", "h264", 4_000_000), ("hd", "h264", 1_500_000), ("sd", "h265", 700_000))
    return [
        {
            "type": "Video",
            "url": [f"{stem}_{name}.flv"],
            "mediaType": "video/x-flv",
            "width": 720,
            "height": 1280,
            "name": name,
            "codec": codec,
            "bitrate": bitrate,
        }
        for name, codec, bitrate in variants
    ]


def _media(item_id: str, kind: str, at: datetime) -> dict[str, Any]:
    """Return the file of a story or video; a video's address only works with a cookie, which the vendor returns."""
    if kind == "image":
        return {
            "type": "Image",
            "url": [picture(item_id, at, "photo")],
            "mediaType": "image/jpeg",
            "width": 1080,
            "height": 1920,
        }
    expires = int((at.astimezone(UTC) + timedelta(hours=6)).timestamp()) // 3600 * 3600
    token = f"{bits(item_id, expires):016x}"
    return {
        "type": "Video",
        "url": [f"https://v19-webapp.tiktokcdn.example/video/{item_id}.mp4?x-expires={expires}&x-signature={token}"],
        "mediaType": "video/mp4",
        "width": 720,
        "height": 1280,
        "name": "normal_720_0",
        "headers": {"Cookie": f"tt_chain_token={token}==", "Referer": "https://www.tiktok.com/"},
        "codec": "h264",
        "bitrate": 1_200_000,
    }
