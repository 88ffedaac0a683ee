"""TikLiveAPI's responses (docs/vendors.md 4): bare bodies, rounded counts, only successes billed.

The vendor documents no error body; the ones here are plain `{"message": ...}`. Nor does it document a hidden or
private list (here: empty, with the exact total) and the stories of a user (here: the platform's own list).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, ClassVar

import msgspec

from tiktok_pipeline.sandbox.chance import bits, chance
from tiktok_pipeline.sandbox.creators import Creator
from tiktok_pipeline.sandbox.followers import Follower
from tiktok_pipeline.sandbox.posts import TruePost
from tiktok_pipeline.sandbox.story_list import story_item, story_page
from tiktok_pipeline.sandbox.vendor import Endpoint, Refusal, Request, Response, Vendor, picture, web_rounded, whole

_NESTED_SHARE = 0.4
# (usual, largest) items of a page (docs/vendors.md 4.2); a larger count is cut, not rejected
_POSTS_A_PAGE, _FOLLOWERS_A_PAGE, _HITS_A_PAGE, _STORIES_A_PAGE = (10, 35), (50, 50), (10, 30), (10, 35)
# The names of the next follower page's token, which differ by creator (docs/vendors.md 4.3).
_TOKENS = (("time",), ("cursor",), ("time", "cursor"))
_HAS_EXTRA_PAGE_SHARE = 0.25  # of creators: the last page of posts reports more (docs/vendors.md 7)

_REFUSALS: dict[Refusal, tuple[int, str]] = {
    Refusal.NO_ROUTE: (404, "Endpoint not found"),
    Refusal.INVALID: (400, "Missing or invalid parameter"),
    Refusal.MISSING_KEY: (401, "API key required"),
    Refusal.WRONG_KEY: (401, "Invalid API key"),
    Refusal.FORBIDDEN: (403, "Subscription inactive"),
    Refusal.OUT_OF_CREDITS: (402, "No credits left"),
    Refusal.SESSION_EXPIRED: (401, "API key expired"),
    Refusal.RATE_LIMITED: (429, "Rate limit exceeded"),
    Refusal.USAGE_LIMIT: (402, "Plan limit reached"),
    Refusal.RISK_CONTROL: (502, "Upstream refused"),
    Refusal.INTERNAL_ERROR: (500, "Internal server error"),
    Refusal.BAD_GATEWAY: (502, "Bad gateway"),
    Refusal.UNAVAILABLE: (503, "Service unavailable"),
    Refusal.GATEWAY_TIMEOUT: (504, "Gateway timeout"),
}


class TikLiveAPI(Vendor):
    """Numeric ids, profiles, posts, followers, stories and a search; nothing about live streams."""

    name: ClassVar[str] = "tikliveapi"
    prefix: ClassVar[str] = "/tikliveapi"
    base_url_variable: ClassVar[str] = "TIKLIVEAPI_BASE_URL"
    credentials: ClassVar[Mapping[str, str]] = {"TIKLIVEAPI_API_KEY": "tkl_sandbox"}
    bills_malformed_responses: ClassVar[bool] = False
    subject_parameters: ClassVar[tuple[str, ...]] = ("username", "userid", "keyword")
    _key: ClassVar[bytes] = credentials["TIKLIVEAPI_API_KEY"].encode()

    def endpoints(self) -> Mapping[str, Endpoint]:
        """Return the routes."""
        return {
            "/userid/": self.user_id,
            "/userinfo-by-username/": self.info_by_username,
            "/userinfo-by-id/": self.info_by_id,
            "/user-posts/": self.posts,
            "/user-followers/": self.followers,
            "/user-stories/": self.stories,
            "/search-user/": self.search,
        }

    def check_key(self, headers: Mapping[bytes, bytes]) -> Refusal | None:
        """Check `X-Api-Key: ...`."""
        key = headers.get(b"x-api-key")
        if key == self._key:
            return None
        return Refusal.MISSING_KEY if key is None else Refusal.WRONG_KEY

    def refuse(self, refusal: Refusal, request: Request, message: str | None = None) -> Response:
        """Return `{"message": ...}`, free."""
        status, usual = _REFUSALS[refusal]
        return _message(status, message or usual)

    def user_id(self, request: Request) -> Response:
        """Return the numeric user id of a handle, as a string."""
        creator = self.world.find(request.subject, request.at)
        if "username" not in request.query:
            return self.refuse(Refusal.INVALID, request, "username is required")
        if creator is None:
            return _message(404, "User not found")
        return Response(200, msgspec.json.encode({"userid": creator.user_id}), 1.0)

    def info_by_username(self, request: Request) -> Response:
        """Return a profile by handle."""
        if "username" not in request.query:
            return self.refuse(Refusal.INVALID, request, "username is required")
        return self._info(self.world.find(request.subject, request.at), request.at)

    def info_by_id(self, request: Request) -> Response:
        """Return a profile by numeric user id (a secUid is not one)."""
        user_id = request.query.get("userid", "")
        if not user_id.isdecimal():
            return self.refuse(Refusal.INVALID, request, "userid must be numeric")
        return self._info(self.world.find_id(user_id), request.at)

    def posts(self, request: Request) -> Response:
        """Return posts, newest first, the pinned ones on top of the first page; the cursor is milliseconds as text.

        For some creators the last page still reports `hasMore`; the next page is empty and repeats its cursor.
        """
        listed = self._list_request(request, _POSTS_A_PAGE, "cursor")
        if isinstance(listed, Response):
            return listed
        creator, count, cursor = listed
        feed = self.world.feed(creator)
        pinned = [] if cursor else feed.pinned()
        fresh, more = feed.page(request.at.timestamp(), cursor / 1000 if cursor else None, max(count - len(pinned), 1))
        handle = self.world.handle_at(creator, request.at)
        body = {
            "videos": [_post(post, handle, request.at) for post in [*pinned, *fresh]],
            "cursor": str(int(fresh[-1].published_s * 1000) if fresh else cursor),
            "hasMore": more or (bool(fresh) and _has_extra_page(creator)),
        }
        return Response(200, msgspec.json.encode(body), 1.0)

    def followers(self, request: Request) -> Response:
        """Return followers, newest first; `total` is exact, while the profile's count is rounded.

        The next token is `time`, `cursor` or both, in unix seconds, always the same for one creator; either works.
        """
        listed = self._list_request(request, _FOLLOWERS_A_PAGE, "time", "cursor")
        if isinstance(listed, Response):
            return listed
        creator, count, before = listed
        members = self.world.follower_list(creator)
        shown: list[Follower] = []
        token = None
        if not members.hidden:
            start = members.joined(before) if before else None
            page = members.page(request.at.timestamp(), start, count)
            shown, token = page.followers, page.next_tick
        body: dict[str, Any] = {
            "followers": [_follower(follower, creator, request.at) for follower in shown],
            "total": self.world.followers_at(creator, request.at),
            "hasMore": token is not None,
        }
        names = _TOKENS[bits("tikliveapi", "token", creator.user_id) % len(_TOKENS)]
        return Response(200, msgspec.json.encode(body | dict.fromkeys(names, token or before)), 1.0)

    def stories(self, request: Request) -> Response:
        """Return the platform's own list: numbers as strings, flags as booleans, no `itemList` without a story."""
        listed = self._list_request(request, _STORIES_A_PAGE, "cursor")
        if isinstance(listed, Response):
            return listed
        creator, count, before = listed
        page = story_page(self.world.stories_at(creator, request.at), before, count)
        body: dict[str, Any] = {
            "AllViewed": False,
            "CurrentPosition": "0",
            "HasMoreAfter": page.more_after,
            "HasMoreBefore": page.more_before,
            "LastStoryCreatedAt": str(page.newest_ms),
            "MaxCursor": str(page.max_cursor),
            "MinCursor": str(page.min_cursor),
            "TotalCount": str(page.total),
        }
        if page.stories:
            handle = self.world.handle_at(creator, request.at)
            body["itemList"] = [story_item(story, handle, request.at) for story in page.stories]
        return Response(200, msgspec.json.encode(body), 1.0)

    def search(self, request: Request) -> Response:
        """Return users by handle, name or niche; which of the two documented shapes depends only on the keyword."""
        keyword = request.query.get("keyword", "").strip()
        paging = _paging(request, _HITS_A_PAGE, "cursor")
        if not keyword or paging is None:
            return self.refuse(Refusal.INVALID, request, "keyword is required, count and cursor are numbers")
        count, first = paging
        hits = self.world.search(keyword, request.at)
        shape = _hit_camel if chance("tikliveapi", "hits", keyword.lower()) < 0.5 else _hit_info
        body = {
            "user_list": [
                shape(c, self.world.handle_at(c, request.at), web_rounded(self.world.followers_at(c, request.at)))
                for c in hits[first : first + count]
            ],
            "cursor": min(first + count, len(hits)),
            "hasMore": len(hits) > first + count,
        }
        return Response(200, msgspec.json.encode(body), 1.0)

    def _list_request(
        self, request: Request, sizes: tuple[int, int], *tokens: str
    ) -> tuple[Creator, int, int] | Response:
        """Return (owner of the list, count, token; 0 for the first page), or the refusal."""
        user_id, paging = request.query.get("userid", ""), _paging(request, sizes, *tokens)
        if not user_id.isdecimal() or paging is None:
            return self.refuse(Refusal.INVALID, request, "userid, count and cursor must be numeric")
        creator = self.world.find_id(user_id)
        return _message(404, "User not found") if creator is None else (creator, *paging)

    def _info(self, creator: Creator | None, at: datetime) -> Response:
        if creator is None:
            return _message(404, "User not found")
        likes = web_rounded(self.world.likes_at(creator, at))
        stats = {
            "followingCount": creator.following,
            "followerCount": web_rounded(self.world.followers_at(creator, at)),
            "heartCount": likes,
            "videoCount": self.world.videos_at(creator, at),
            "diggCount": creator.following * 7,
            "heart": likes,
        }
        private = creator.kind == "private"
        user: dict[str, Any] = {
            "id": creator.user_id,
            "uniqueId": self.world.handle_at(creator, at),
            "nickname": creator.display_name,
            "avatarThumb": picture(creator.user_id, at, "thumb"),
            "avatarMedium": picture(creator.user_id, at, "medium"),
            "avatarLarger": picture(creator.user_id, at, "larger"),
            "signature": creator.bio,
            "verified": creator.verified,
            "secUid": creator.sec_uid,
            "secret": private,
            "ftc": False,
            "relation": 0,
            "openFavorite": False,
            "bioLink": None,
            "commentSetting": 0,
            "duetSetting": 0,
            "stitchSetting": 0,
            "privateAccount": private,
            "isADVirtual": False,
        }
        body = {"user": user | {"stats": stats}} if _nests_stats(creator) else {"user": user, "stats": stats}
        return Response(200, msgspec.json.encode(body), 1.0)


def _paging(request: Request, sizes: tuple[int, int], *tokens: str) -> tuple[int, int] | None:
    """Return (count, token; 0 for the first page), or None if one is not a number."""
    count = whole(request.query.get("count", str(sizes[0])))
    token = whole(next((request.query[name] for name in tokens if request.query.get(name, "0") != "0"), "0"))
    return None if not count or token is None else (min(count, sizes[1]), token)


def _post(post: TruePost, handle: str, at: datetime) -> dict[str, Any]:
    """Return a post, without a mark if it is pinned."""
    second = at.timestamp()
    cover = picture(post.post_id, at, "cover")
    file = f"https://v16m-default.tiktokcdn.example/{post.post_id}"
    return {
        "video_id": post.post_id,
        "region": post.creator.region,
        "title": post.caption,
        "cover": cover,
        "origin_cover": cover,
        "duration": post.duration_s,
        "play": f"{file}.mp4",
        "wmplay": f"{file}_wm.mp4",
        "music": f"{file}.mp3",
        "music_info": {"id": str(bits(post.post_id, "audio") >> 2), "title": f"original sound - {handle}"},
        "play_count": post.views(second),
        "digg_count": post.likes(second),
        "comment_count": post.comments(second),
        "share_count": post.shares(second),
        "collect_count": post.saves(second),
        "create_time": int(post.published_s),
        "author": {
            "id": post.creator.user_id,
            "unique_id": handle,
            "nickname": post.creator.display_name,
            "avatar": picture(post.creator.user_id, at),
        },
    }


def _follower(follower: Follower, creator: Creator, at: datetime) -> dict[str, Any]:
    return {
        "id": follower.user_id,
        "region": creator.region,
        "sec_uid": follower.sec_uid,
        "unique_id": follower.handle,
        "nickname": follower.display_name,
        "signature": "",
        "avatar": picture(follower.user_id, at),
        "aweme_count": follower.videos,
        "follower_count": follower.followers,
        "favoriting_count": follower.following,
        "total_favorited": follower.videos * 31,
    }


def _hit_camel(creator: Creator, handle: str, followers: int) -> dict[str, Any]:
    user = {"id": creator.user_id, "uniqueId": handle, "nickname": creator.display_name, "secUid": creator.sec_uid}
    return {"user": user | {"verified": creator.verified}, "stats": {"followerCount": followers}}


def _hit_info(creator: Creator, handle: str, followers: int) -> dict[str, Any]:
    info = {"uid": creator.user_id, "uniqueId": handle, "nickname": creator.display_name}
    return {"user_info": info | {"followerCount": followers}}


@lru_cache(maxsize=8192)
def _has_extra_page(creator: Creator) -> bool:
    return chance("tikliveapi", "hasMore", creator.user_id) < _HAS_EXTRA_PAGE_SHARE


@lru_cache(maxsize=8192)
def _nests_stats(creator: Creator) -> bool:
    """Return whether `stats` is inside `user` (docs/vendors.md 4.3 has both shapes)."""
    return chance("tikliveapi", "stats", creator.user_id) < _NESTED_SHARE


def _message(status: int, message: str) -> Response:
    return Response(status, msgspec.json.encode({"message": message}))
