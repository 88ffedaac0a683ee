"""KonbiniAPI as it answers (vendors' notes, section 1): ActivityStreams bodies, rounded counts, billed misses."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, ClassVar

import msgspec

from tiktok_pipeline.sandbox.chance import bits, chance
from tiktok_pipeline.sandbox.creators import Creator
from tiktok_pipeline.sandbox.stories import TrueStory
from tiktok_pipeline.sandbox.streams import Room
from tiktok_pipeline.sandbox.vendor import (
    Answer,
    Endpoint,
    Headers,
    Refusal,
    Request,
    Vendor,
    iso_milliseconds,
    picture,
    web_rounded,
)

_CONTEXT = ["https://www.w3.org/ns/activitystreams#", "https://konbiniapi.com/ns/social#"]
_STORIES_DEFAULT, _STORIES_MOST = 4, 35
_OLD_SPELLING_SHARE = 0.2
_WITHOUT_CREDIT_HEADERS = {401, 402, 403, 413}

# status, code, usual message (section 1.1)
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
    """Users, their live streams and their stories, by handle."""

    name: ClassVar[str] = "konbini"
    prefix: ClassVar[str] = "/konbini"
    base_url_variable: ClassVar[str] = "KONBINI_BASE_URL"
    credentials: ClassVar[Mapping[str, str]] = {"KONBINI_API_KEY": "knbn_sandbox"}
    _authorization: ClassVar[bytes] = b"Bearer " + credentials["KONBINI_API_KEY"].encode()

    def endpoints(self) -> Mapping[str, Endpoint]:
        """What is served."""
        return {
            "/v1/tiktok/users/{username}": self.user,
            "/v1/tiktok/users/{username}/live": self.live,
            "/v1/tiktok/users/{username}/stories": self.stories,
        }

    def check_key(self, headers: Mapping[bytes, bytes]) -> Refusal | None:
        """`Authorization: Bearer knbn_...`."""
        authorization = headers.get(b"authorization", b"")
        if authorization == self._authorization:
            return None
        return Refusal.WRONG_KEY if authorization.startswith(b"Bearer knbn_") else Refusal.MISSING_KEY

    def refuse(self, refusal: Refusal, request: Request, message: str | None = None) -> Answer:
        """`{"errors": [...], "data": null}`, never charged; no credit headers on 401, 402, 403."""
        status, code, usual = _REFUSALS[refusal]
        return self._error(status, code, message or usual, 0)

    def user(self, request: Request) -> Answer:
        """A Person, rounded counts."""
        creator = self.world.find(request.subject, request.at)
        if creator is None:
            return self._miss("User not found")
        is_live = self.world.room_at(creator, request.at) is not None
        return self._ok({"@context": _CONTEXT} | self._person(creator, request.at, is_live))

    def live(self, request: Request) -> Answer:
        """A Video while live (also while paused); offline, private and unknown are the same billed 404."""
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
            # The nested flag is false while its owner is live (section 1.3): that is how the vendor answers.
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

    def stories(self, request: Request) -> Answer:
        """A page of the active stories, newest first; the cursor is the epoch millisecond of the last one shown."""
        count, cursor = request.query.get("count", str(_STORIES_DEFAULT)), request.query.get("cursor", "0")
        if not (count.isdecimal() and 1 <= int(count) <= _STORIES_MOST and cursor.isdecimal()):
            return self.refuse(Refusal.INVALID, request, "count must be 1 to 35, cursor a number")
        creator = self.world.find(request.subject, request.at)
        if creator is None or creator.kind == "private":
            return self._miss("User not found")
        shown = list(reversed(self.world.stories_at(creator, request.at)))
        rest = [s for s in shown if cursor == "0" or s.published_s * 1000 < int(cursor)]
        page = rest[: int(count)]
        following = str(int(page[-1].published_s * 1000)) if len(rest) > len(page) else None
        collection = f"https://api.konbiniapi.com/v1/tiktok/users/{self.world.handle_at(creator, request.at)}/stories"
        return self._ok(
            {
                "@context": _CONTEXT,
                "type": "OrderedCollectionPage",
                "partOf": collection,
                "totalItems": self.world.videos_at(creator, request.at),  # theirs counts posts, not stories
                "cursor": cursor,
                "nextCursor": following,
                "next": f"{collection}?cursor={following}&count={count}" if following else None,
                "itemCount": len(page),
                "orderedItems": [self._story(story, request.at) for story in page],
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
        handle, old = self.world.handle_at(story.creator, at), _spells_the_old_way(story.creator)
        second = at.timestamp()
        address = f"https://www.tiktok.com/@{handle}/video/{story.story_id}"
        image = _image(picture(story.story_id, at, "story"))
        data: dict[str, Any] = {
            "type": "Video",
            "id": address,
            "url": address,
            "internalId" if old else "entityId": story.story_id,
            "summary" if old else "content": story.caption,
            "published": iso_milliseconds(story.published_at),
            "endTime": iso_milliseconds(story.expires_at),
            "viewCount": story.views(second),
            "likeCount": story.likes(second),
            "commentCount": story.comments(second),
            "repostCount": 0,
            "shareCount": story.shares(second),
            "saveCount": story.saves(second),
            "attributedTo": self._person(story.creator, at, is_live=False),
            "attachment": [_media(story, at)],
            "image": image,
            "preview": image,
        }
        if story.media_type == "video":
            data["duration"] = story.duration_s
            data["audio"] = {
                "type": "Audio",
                "id": f"https://www.tiktok.com/music/original-sound-{bits(story.story_id, 'audio') >> 2}",
                "name": f"original sound - {handle}",
                "duration": story.duration_s,
                "mediaType": "audio/mpeg",
                "isOriginal": True,
            }
        return data

    def _ok(self, data: dict[str, Any]) -> Answer:
        return Answer(200, msgspec.json.encode({"data": data}), 1.0, self._credit_headers(1))

    def _miss(self, message: str) -> Answer:
        return self._error(404, "not_found", message, 1)

    def _error(self, status: int, code: str, message: str, used: int) -> Answer:
        body = msgspec.json.encode({"errors": [{"code": code, "message": message}], "data": None})
        return Answer(
            status, body, float(used), () if status in _WITHOUT_CREDIT_HEADERS else self._credit_headers(used)
        )

    def _credit_headers(self, used: int) -> Headers:
        left = self.credits_left() - used
        return ((b"x-credits-remaining", str(left).encode()), (b"x-credits-used", str(used).encode()))


@lru_cache(maxsize=8192)
def _spells_the_old_way(creator: Creator) -> bool:
    """Whether this creator is answered in the spelling of before the rename of fields (section 1.4)."""
    return chance("konbini", "spelling", creator.user_id) < _OLD_SPELLING_SHARE


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


def _media(story: TrueStory, at: datetime) -> dict[str, Any]:
    """The file of a story; a video's address only works with a cookie, which the vendor passes on."""
    if story.media_type == "image":
        return {
            "type": "Image",
            "url": [picture(story.story_id, at, "photo")],
            "mediaType": "image/jpeg",
            "width": 1080,
            "height": 1920,
        }
    expires = int((at.astimezone(UTC) + timedelta(hours=6)).timestamp()) // 3600 * 3600
    token = f"{bits(story.story_id, expires):016x}"
    return {
        "type": "Video",
        "url": [
            f"https://v19-webapp.tiktokcdn.example/video/{story.story_id}.mp4?x-expires={expires}&x-signature={token}"
        ],
        "mediaType": "video/mp4",
        "width": 720,
        "height": 1280,
        "name": "normal_720_0",
        "headers": {"Cookie": f"tt_chain_token={token}==", "Referer": "https://www.tiktok.com/"},
        "codec": "h264",
        "bitrate": 1_200_000,
    }
