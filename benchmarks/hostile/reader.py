"""Read vendor bodies independently of the pipeline: expected readings, and the parts of a body that they depend on.

Written from docs/vendors.md alone. It shares no code with `providers`, so an error there does not repeat here. Each
value comes with its JSON pointer; damage at one place then leaves every other value unchanged.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Expected:
    """One row that must be found, except its damaged values.

    `fields` are column -> (value, pointer). `key` is the column that distinguishes rows of one response, None if there
    is only one. The row depends as a whole on each pointer of `guards`.
    """

    table: str
    fields: Mapping[str, tuple[Any, str]]
    guards: tuple[str, ...]
    key: str | None = None

    def without(self, path: str) -> Expected | None:
        """Return the remaining expectation after damage at `path`; None if nothing remains."""
        own = (*self.guards, *([self.fields[self.key][1]] if self.key else []))
        if any(_overlap(path, pointer) for pointer in own):
            return None
        rest = {name: value for name, value in self.fields.items() if not _overlap(path, value[1])}
        return Expected(self.table, rest, self.guards, self.key) if rest else None


def _overlap(one: str, other: str) -> bool:
    """Return whether one pointer equals the other, or leads to it."""
    return (one + "/").startswith(other + "/") or (other + "/").startswith(one + "/")


class _Body:
    """A decoded body; `get` finds a value by its pointer."""

    def __init__(self, tree: Any) -> None:
        self.tree = tree

    def get(self, pointer: str) -> Any:
        value = self.tree
        for part in pointer.split("/")[1:]:
            if isinstance(value, list) and part.isdecimal() and int(part) < len(value):
                value = value[int(part)]
            elif isinstance(value, dict) and part in value:
                value = value[part]
            else:
                return None
        return value

    def first(self, *pointers: str) -> str:
        """Return the first existing pointer: some vendors have two spellings."""
        return next((pointer for pointer in pointers if self.get(pointer) is not None), pointers[0])

    def fields(self, **places: str) -> dict[str, tuple[Any, str]]:
        """Return column -> (value, pointer) for existing values."""
        found = {column: (self.get(pointer), pointer) for column, pointer in places.items()}
        return {column: value for column, value in found.items() if value[0] is not None}

    def items(self, pointer: str) -> Iterator[str]:
        """Return the pointers of a list's items."""
        for number in range(len(self.get(pointer) or [])):
            yield f"{pointer}/{number}"


Reader = Callable[[_Body], Iterator[Expected]]


def expected(vendor: str, endpoint: str, status: int, body: bytes) -> list[Expected]:
    """Return the rows expected from an undamaged response; none for endpoints and statuses that are not compared."""
    reader = _READERS.get((vendor, endpoint))
    if reader is None or status != 200:
        return []
    return list(reader(_Body(json.loads(body))))


def _konbini_user(body: _Body) -> Iterator[Expected]:
    yield _konbini_person(body, "/data", ("/data/type",))


def _konbini_person(body: _Body, at: str, guards: tuple[str, ...]) -> Expected:
    sec_uid = body.first(f"{at}/entityId", f"{at}/internalId")
    fields = body.fields(
        followers=f"{at}/followerCount",
        following=f"{at}/followingCount",
        likes=f"{at}/likeCount",
        videos=body.first(f"{at}/mediaCount", f"{at}/videoCount"),
        verified=f"{at}/isVerified",
        display_name=f"{at}/name",
    )
    return Expected(
        "profile_observations", fields, (*guards, f"{at}/preferredUsername", sec_uid, f"{at}/userId", f"{at}/type")
    )


def _konbini_live(body: _Body) -> Iterator[Expected]:
    owner = "/data/attributedTo"
    identity = (
        f"{owner}/preferredUsername",
        body.first(f"{owner}/entityId", f"{owner}/internalId"),
        f"{owner}/userId",
    )
    fields = {"live_state": ("live", "/data/isLive")} | body.fields(
        room_id=body.first("/data/entityId", "/data/internalId"),
        viewers="/data/viewerCount",
        viewers_total="/data/viewCount",
        title=body.first("/data/content", "/data/summary"),
    )
    yield Expected("live_observations", fields, ("/data/isLive", "/data/type", *identity))
    yield _konbini_person(body, owner, ("/data/type",))


def _konbini_items(table: str, key: str) -> Reader:
    def read(body: _Body) -> Iterator[Expected]:
        for item in body.items("/data/orderedItems"):
            owner = f"{item}/attributedTo"
            fields = body.fields(
                **{key: body.first(f"{item}/entityId", f"{item}/internalId")},
                views=f"{item}/viewCount",
                likes=f"{item}/likeCount",
                comments=f"{item}/commentCount",
            )
            guards = (
                "/data/type",
                f"{item}/type",
                f"{owner}/preferredUsername",
                body.first(f"{owner}/entityId", f"{owner}/internalId"),
                f"{owner}/userId",
            )
            yield Expected(table, fields, guards, key)

    return read


def _fetch_guards(body: _Body) -> tuple[str, ...]:
    own = ("handle", "platformUserId", "secUid")
    return ("/data/lookupStatus", *(f"/data/profile/{name}" for name in own))


def _fetch_profile(body: _Body) -> Iterator[Expected]:
    if body.get("/data/lookupStatus") != "found":
        return
    fields = body.fields(
        followers="/data/metrics/followers",
        following="/data/metrics/following",
        likes="/data/metrics/likes",
        videos="/data/metrics/posts",
        display_name="/data/profile/displayName",
        verified="/data/profile/verified",
    )
    yield Expected("profile_observations", fields, _fetch_guards(body))


def _fetch_live(body: _Body) -> Iterator[Expected]:
    if body.get("/data/lookupStatus") != "found":
        return
    state = {"live": "live", "offline": "ended"}[body.get("/data/liveStatus")]
    fields = {"live_state": (state, "/data/liveStatus")} | body.fields(
        room_id="/data/live/roomId", viewers="/data/live/viewerCount", title="/data/live/title"
    )
    yield Expected("live_observations", fields, (*_fetch_guards(body), "/data/liveStatus"))
    count = body.fields(followers="/data/profile/followerCount")
    if count:
        yield Expected("profile_observations", count, _fetch_guards(body))


def _fetch_videos(body: _Body) -> Iterator[Expected]:
    for item in body.items("/data/videos"):
        stats = f"{item}/stats"
        fields = body.fields(
            post_id=f"{item}/id",
            views=f"{stats}/views",
            likes=f"{stats}/likes",
            comments=f"{stats}/comments",
            caption=f"{item}/caption",
        )
        yield Expected("post_observations", fields, (), "post_id")


def _tiklive_user(body: _Body) -> Iterator[Expected]:
    stats = "/stats" if body.get("/stats") is not None else "/user/stats"
    fields = body.fields(
        followers=f"{stats}/followerCount",
        following=f"{stats}/followingCount",
        videos=f"{stats}/videoCount",
        display_name="/user/nickname",
    )
    yield Expected("profile_observations", fields, ("/user/id", "/user/uniqueId", "/user/secUid"))


def _tiklive_posts(body: _Body) -> Iterator[Expected]:
    for item in body.items("/videos"):
        fields = body.fields(
            post_id=f"{item}/video_id", views=f"{item}/play_count", likes=f"{item}/digg_count", caption=f"{item}/title"
        )
        author = (f"{item}/author/id", f"{item}/author/unique_id")
        yield Expected("post_observations", fields, author, "post_id")


def _platform_stories(top: str) -> Reader:
    """Return a reader of the platform's own list, as two vendors pass it on; `top` is its pointer."""

    def read(body: _Body) -> Iterator[Expected]:
        guards = ("/code", f"{top}/status_code") if top else ()
        for item in body.items(f"{top}/itemList"):
            stats = f"{item}/statistics"
            fields = body.fields(story_id=f"{item}/aweme_id", views=f"{stats}/play_count", likes=f"{stats}/digg_count")
            author = tuple(f"{item}/author/{name}" for name in ("uid", "unique_id", "sec_uid"))
            yield Expected("story_observations", fields, (*guards, *author, f"{stats}/aweme_id"), "story_id")

    return read


def _hub_room(body: _Body) -> Iterator[Expected]:
    if body.get("/code") != 0 or body.get("/data/status_code") != 0:
        return
    room, owner = "/data/data", "/data/data/owner"
    state = {2: "live", 3: "paused", 4: "ended"}[body.get(f"{room}/status")]
    guards = ("/code", "/data/status_code", f"{room}/status", f"{room}/id_str", f"{room}/prompts")
    identity = tuple(f"{owner}/{name}" for name in ("id_str", "sec_uid", "display_id"))
    fields = {"live_state": (state, f"{room}/status")} | body.fields(room_id=f"{room}/id_str")
    if state != "ended":
        fields |= body.fields(viewers=f"{room}/user_count", title=f"{room}/title")
    yield Expected("live_observations", fields, (*guards, *identity))
    count = body.fields(followers=f"{owner}/follow_info/follower_count", display_name=f"{owner}/nickname")
    yield Expected("profile_observations", count, (*guards, *identity))


def _hub_user(body: _Body) -> Iterator[Expected]:
    if body.get("/data/status_code") != 0:
        return
    user = "/data/user"
    fields = body.fields(followers=f"{user}/follower_count", videos=f"{user}/aweme_count")
    identity = tuple(f"{user}/{name}" for name in ("uid", "sec_uid", "unique_id"))
    yield Expected("profile_observations", fields, ("/code", "/data/status_code", *identity))


def _hub_ranking(body: _Body) -> Iterator[Expected]:
    if body.get("/data/status_code") != 0:
        return
    for place in body.items("/data/data/ranks"):
        fields = body.fields(ranked_user_id=f"{place}/user/id_str", rank=f"{place}/rank", score=f"{place}/score")
        yield Expected(
            "live_ranking_entries", fields, ("/code", "/data/status_code", "/data/data/begin_time"), "ranked_user_id"
        )


_USERS = "/v1/tiktok/users/{username}"
_PROFILES = "/v1/tiktok/profiles/{handle}"
_READERS: Mapping[tuple[str, str], Reader] = {
    ("konbini", _USERS): _konbini_user,
    ("konbini", f"{_USERS}/live"): _konbini_live,
    ("konbini", f"{_USERS}/stories"): _konbini_items("story_observations", "story_id"),
    ("konbini", f"{_USERS}/videos"): _konbini_items("post_observations", "post_id"),
    ("social_fetch", _PROFILES): _fetch_profile,
    ("social_fetch", f"{_PROFILES}/live"): _fetch_live,
    ("social_fetch", f"{_PROFILES}/videos"): _fetch_videos,
    ("tikliveapi", "/userinfo-by-username/"): _tiklive_user,
    ("tikliveapi", "/userinfo-by-id/"): _tiklive_user,
    ("tikliveapi", "/user-posts/"): _tiklive_posts,
    ("tikliveapi", "/user-stories/"): _platform_stories(""),
    ("tikhub", "/api/v1//live/info"): _hub_room,
    ("tikhub", "/api/v1//user/info"): _hub_user,
    ("tikhub", "/api/v1//user/stories"): _platform_stories("/data"),
    ("tikhub", "/api/v1//live/ranking"): _hub_ranking,
}
