"""Hand-written bodies in the vendors' shapes, quirks included: the contract suite reads them with every vendor."""

from __future__ import annotations

import json
from typing import Any

from tiktok_pipeline.providers import konbini, social_fetch, tikhub, tikliveapi
from tiktok_pipeline_tests.providers.cases import ROOM_ID, SEC_UID, USER_ID, Case, encoded

__all__ = ["CASES", "ROOM_ID", "SEC_UID", "USER_ID", "Case", "encoded"]


def person(**changes: Any) -> dict[str, Any]:
    return {
        "type": "Person",
        "id": "https://www.tiktok.com/@mira.paints",
        "entityId": SEC_UID,
        "name": "Mira 🎨\nPaints",
        "preferredUsername": "Mira.Paints",
        "summary": "ציורים every day",
        "isPrivate": False,
        "isVerified": True,
        "isLive": False,
        "followerCount": 48_300,
        "followingCount": 12,
        "likeCount": 910_000,
        "mediaCount": 77,
        "icon": {"type": "Image", "url": "https://img.example/a.jpeg?x-signature=abc", "width": 1, "height": 1},
        **changes,
    }


def konbini_live(**changes: Any) -> dict[str, Any]:
    return {
        "type": "Video",
        "entityId": ROOM_ID,
        "isLive": True,
        "published": "2026-11-02T18:00:05.000Z",
        "viewCount": 9_000,
        "viewerCount": 310,
        "content": "painting a harbour",
        "attributedTo": person(),
        "image": [{"type": "Image", "url": "https://img.example/c.jpeg"}],
        "attachment": [
            {
                "type": "Video",
                "url": ["https://pull.example/stream.flv?sign=zzz"],
                "mediaType": "video/x-flv",
                "name": "flv",
                "codec": "h264",
                "width": 720,
                "height": 1280,
                "bitrate": 2_000_000,
            }
        ],
        **changes,
    }


def konbini_old_live() -> dict[str, Any]:
    """Return the body with the field names from before the rename."""
    live = konbini_live()
    live["internalId"] = live.pop("entityId")
    live["summary"] = live.pop("content")
    live["image"] = live["image"][0]
    owner = live["attributedTo"]
    owner["internalId"] = owner.pop("entityId")
    owner["videoCount"] = owner.pop("mediaCount")
    owner["userId"] = USER_ID
    return live


def konbini_story(story_id: str = "7569000999999991111", **changes: Any) -> dict[str, Any]:
    return {
        "type": "Video",
        "entityId": story_id,
        "content": "behind the scenes",
        "published": "2026-11-02T10:00:00.000Z",
        "endTime": "2026-11-03T10:00:00.000Z",
        "viewCount": 1_200,
        "likeCount": 88,
        "commentCount": 3,
        "repostCount": 0,
        "shareCount": 4,
        "saveCount": 2,
        "duration": 14,
        "attachment": [
            {
                "type": "Video",
                "url": ["https://v.example/story.mp4"],
                "mediaType": "video/mp4",
                "headers": {"Cookie": "tt_chain_token=verysecret==", "Referer": "https://www.tiktok.com/"},
            }
        ],
        "audio": {"type": "Audio", "name": "original sound"},
        **changes,
    }


def konbini_page(items: list[dict[str, Any]], next_cursor: str | None) -> bytes:
    # totalItems and itemCount are wrong, as in the vendor's own examples
    return encoded(
        {
            "data": {
                "type": "OrderedCollectionPage",
                "totalItems": 4_242,
                "cursor": "0",
                "nextCursor": next_cursor,
                "itemCount": 30,
                "orderedItems": items,
            }
        }
    )


def konbini_error(code: str) -> bytes:
    return encoded({"errors": [{"code": code, "message": "words that may change"}], "data": None})


def fetch_live(status: str | None = "live", **changes: Any) -> dict[str, Any]:
    data: dict[str, Any] = {
        "lookupStatus": "found",
        "liveStatus": status,
        "profile": {
            "platform": "tiktok",
            "handle": "mira.paints",
            "displayName": "Mira",
            "avatarUrl": None,
            "verified": False,
            "profileUrl": "https://www.tiktok.com/@mira.paints",
            "platformUserId": USER_ID,
            "secUid": SEC_UID,
            "followerCount": 48_317,
            "followingCount": 12,
        },
        "live": None,
        **changes,
    }
    if status == "live" and "live" not in changes:
        data["live"] = {
            "roomId": ROOM_ID,
            "title": None,
            "coverUrl": "https://img.example/c.jpeg?x-signature=abc",
            "startedAt": "2026-11-02T18:00:05.000Z",
            "viewerCount": 311,
            "enterCount": 9_020,
            "streams": [
                {
                    "codecFamily": "h265",
                    "source": "hevc",
                    "qualityKey": "origin",
                    "qualityLabel": "Original",
                    "hlsUrl": "https://pull.example/x.m3u8?sign=zzz",
                    "resolution": "1080x1920",
                    "bitrate": 4_000_000,
                }
            ],
        }
    return data


def fetch_ok(data: Any, *, cached: bool = False) -> bytes:
    meta: dict[str, Any] = {"requestId": "req_1", "creditsCharged": 1, "version": "v1"}
    return encoded({"data": data, "meta": meta | ({"cached": True} if cached else {})})


def fetch_error(code: str) -> bytes:
    return encoded({"error": {"code": code, "message": "words that may change", "requestId": "req_2"}})


def room(status: int = 2, **changes: Any) -> dict[str, Any]:
    started = 1_793_642_405
    return {
        "id": 7569000123456785000,  # The numeric twin, as a JavaScript client would have rounded it
        "id_str": ROOM_ID,
        "status": status,
        "title": "painting a harbour",
        "create_time": started - 3,
        "start_time": started,
        "finish_time": started - 3 if status != 4 else started + 3_600,
        "user_count": 309 if status != 4 else 0,
        "like_count": 5_150,
        "stats": {"total_user": 0, "follow_count": 41, "gift_uv_count": 0, "like_count": 0},
        "owner_user_id_str": "",
        "owner": {
            "id": 6912345678901235000,
            "id_str": USER_ID,
            "display_id": "mira.paints",
            "nickname": "Mira",
            "sec_uid": SEC_UID,
            "bio_description": "",
            "verified": False,
            "follow_info": {"follower_count": 48_318, "following_count": 12},
        },
        "cover": {"url_list": ["https://img.example/c.jpeg?x-signature=abc"]},
        "stream_url": {
            "live_core_sdk_data": {
                "pull_data": {
                    "stream_data": json.dumps(
                        {
                            "common": {"user_count": 325},
                            "data": {
                                "hd": {
                                    "main": {
                                        "flv": "https://pull.example/s_hd.flv?sign=zzz",
                                        "sdk_params": json.dumps(
                                            {"resolution": "720x1280", "VCodec": "h264", "vbitrate": 1_500_000}
                                        ),
                                    }
                                }
                            },
                        }
                    )
                }
            }
        },
        **changes,
    }


def room_body(inner: Any, status_code: int = 0, code: int = 0) -> bytes:
    return encoded({"code": code, "msg": "success", "data": {"data": inner, "status_code": status_code}})


def userinfo(*, nested: bool = False, wrapped: bool = False, followers: Any = 48_300) -> bytes:
    stats = {"followerCount": followers, "followingCount": 12, "heartCount": 910_000, "videoCount": 77}
    user: dict[str, Any] = {
        "id": USER_ID,
        "uniqueId": "mira.paints",
        "secUid": SEC_UID,
        "nickname": "Mira",
        "signature": None,
        "verified": False,
        "privateAccount": False,
    }
    inner = {"user": user | {"stats": stats}} if nested else {"user": user, "stats": stats}
    return encoded({"code": 0, "msg": "success", "data": inner} if wrapped else inner)


_USED = {"x-credits-used": "1", "x-credits-remaining": "99"}
_UNUSED = {"x-credits-used": "0"}

KONBINI = [
    Case("konbini", konbini.USER, "profile", encoded({"data": person()}), "ok", 1, headers=_USED, followers=48_300),
    Case(
        "konbini",
        konbini.LIVE,
        "live",
        encoded({"data": konbini_live()}),
        "ok",
        1,
        headers=_USED,
        live_state="live",
        followers=48_300,
    ),
    Case(
        "konbini",
        konbini.LIVE,
        "live, old spelling",
        encoded({"data": konbini_old_live()}),
        "ok",
        1,
        headers=_USED,
        live_state="live",
        followers=48_300,
    ),
    Case(
        "konbini",
        konbini.LIVE,
        "offline, private or unknown",
        konbini_error("not_found"),
        "not_found",
        1,
        status=404,
        headers=_USED,
        error="not_found",
        live_state="unknown",
    ),
    Case(
        "konbini",
        konbini.LIVE,
        "a route that is none",
        konbini_error("route_not_found"),
        "invalid_request",
        0,
        status=404,
        headers=_UNUSED,
        error="route_not_found",
    ),
    Case(
        "konbini",
        konbini.LIVE,
        "no key",
        konbini_error("missing_api_key"),
        "unauthorized",
        0,
        status=401,
        error="missing_api_key",
    ),
    Case(
        "konbini",
        konbini.LIVE,
        "key disabled",
        konbini_error("api_key_disabled"),
        "unauthorized",
        0,
        status=403,
        error="api_key_disabled",
    ),
    Case(
        "konbini",
        konbini.LIVE,
        "no credits",
        konbini_error("credits_exhausted"),
        "out_of_credits",
        0,
        status=402,
        error="credits_exhausted",
    ),
    Case(
        "konbini",
        konbini.LIVE,
        "platform error",
        konbini_error("platform_error"),
        "server_error",
        0,
        status=502,
        headers=_UNUSED,
        error="platform_error",
    ),
    Case("konbini", konbini.LIVE, "200 and empty", b"", "malformed", 1, headers=_USED, error="empty_body"),
    Case(
        "konbini",
        konbini.LIVE,
        "200 and a wall",
        b"<html>Please wait...</html>",
        "malformed",
        1,
        headers=_USED,
        error="html",
    ),
    Case("konbini", konbini.LIVE, "200 and cut off", b'{"data":{"type":"Vid', "malformed", 1, headers=_USED),
    Case(
        "konbini", konbini.STORIES, "stories", konbini_page([konbini_story()], "1793600000000"), "ok", 1, headers=_USED
    ),
    Case("konbini", konbini.STORIES, "no stories", konbini_page([], None), "empty", 1, headers=_USED),
]

SOCIAL_FETCH = [
    Case(
        "social_fetch", social_fetch.LIVE, "live", fetch_ok(fetch_live()), "ok", 1, live_state="live", followers=48_317
    ),
    Case(
        "social_fetch",
        social_fetch.LIVE,
        "live, from the cache",
        fetch_ok(fetch_live(), cached=True),
        "ok",
        1,
        headers={"age": "42"},
        live_state="live",
        followers=48_317,
    ),
    Case(
        "social_fetch",
        social_fetch.LIVE,
        "offline",
        fetch_ok(fetch_live("offline")),
        "not_live",
        1,
        live_state="ended",
        followers=48_317,
    ),
    Case(
        "social_fetch",
        social_fetch.LIVE,
        "not found",
        fetch_ok({"lookupStatus": "not_found", "liveStatus": None, "profile": None, "live": None}),
        "not_found",
        1,
        error="not_found",
        live_state="unknown",
    ),
    Case(
        "social_fetch",
        social_fetch.LIVE,
        "found, but no state",
        fetch_ok(fetch_live(None)),
        "ok",
        1,
        live_state="unknown",
        followers=48_317,
    ),
    Case(
        "social_fetch",
        social_fetch.LIVE,
        "live without a room",
        fetch_ok(fetch_live("live", live=None)),
        "ok",
        1,
        live_state="unknown",
        followers=48_317,
    ),
    Case(
        "social_fetch",
        social_fetch.LIVE,
        "busy",
        fetch_error("temporarily_unavailable"),
        "server_error",
        0,
        status=503,
        headers={"retry-after": "7"},
        error="temporarily_unavailable",
        retry_after_s=7,
    ),
    Case(
        "social_fetch",
        social_fetch.LIVE,
        "too many",
        fetch_error("temporarily_unavailable"),
        "rate_limited",
        0,
        status=429,
        error="temporarily_unavailable",
    ),
    Case(
        "social_fetch",
        social_fetch.LIVE,
        "no credits",
        fetch_error("insufficient_credits"),
        "out_of_credits",
        0,
        status=402,
        error="insufficient_credits",
    ),
    Case(
        "social_fetch",
        social_fetch.LIVE,
        "wrong key",
        fetch_error("unauthorized"),
        "unauthorized",
        0,
        status=401,
        error="unauthorized",
    ),
    Case(
        "social_fetch",
        social_fetch.PROFILE,
        "lookup failed: billed by the price list",
        fetch_error("lookup_failed"),
        "server_error",
        1,
        status=502,
        error="lookup_failed",
    ),
    Case(
        "social_fetch",
        social_fetch.PROFILE,
        "profile",
        fetch_ok(
            {
                "lookupStatus": "found",
                "profile": fetch_live()["profile"],
                "metrics": {"followers": 48_317, "following": 12, "likes": 910_123, "posts": 77},
            }
        ),
        "ok",
        1,
        followers=48_317,
    ),
    Case(
        "social_fetch",
        social_fetch.PROFILE,
        "private",
        fetch_ok(
            {
                "lookupStatus": "private",
                "profile": {"handle": "mira.paints", "privateAccount": True},
                "metrics": {"followers": 24, "following": 3, "likes": 7, "posts": 0},
            }
        ),
        "private",
        1,
        error="private",
        followers=24,
    ),
    Case(
        "social_fetch",
        social_fetch.PROFILE,
        "no such account",
        fetch_ok({"lookupStatus": "not_found", "profile": None, "metrics": None}),
        "not_found",
        1,
        error="not_found",
    ),
    Case(
        "social_fetch",
        social_fetch.PROFILE,
        "200 and nothing but a code",
        b'{"status_code":0}',
        "malformed",
        None,
        error="no_data",
    ),
]

TIKHUB = [
    Case("tikhub", tikhub.ROOM, "live", room_body(room()), "ok", None, live_state="live", followers=48_318),
    Case("tikhub", tikhub.ROOM, "paused", room_body(room(3)), "ok", None, live_state="paused", followers=48_318),
    Case("tikhub", tikhub.ROOM, "ended", room_body(room(4)), "ok", None, live_state="ended", followers=48_318),
    Case(
        "tikhub",
        tikhub.ROOM,
        "a status that says nothing",
        room_body(room(1)),
        "ok",
        None,
        live_state="unknown",
        followers=48_318,
    ),
    Case(
        "tikhub",
        tikhub.ROOM,
        "room has finished",
        room_body({"prompts": "This LIVE video has ended"}, 30003),
        "not_live",
        None,
        error="30003",
        live_state="ended",
    ),
    Case("tikhub", tikhub.ROOM, "bad room id", room_body({}, 10011), "not_found", None, error="10011"),
    Case("tikhub", tikhub.ROOM, "age-gated", room_body({"prompts": ""}, 4003110), "blocked", None, error="4003110"),
    Case(
        "tikhub",
        tikhub.ROOM,
        "user_not_found upstream",
        room_body(None, 19881007),
        "server_error",
        None,
        error="19881007",
    ),
    Case(
        "tikhub",
        tikhub.ROOM,
        "risk control",
        encoded({"code": 500, "msg": "retry", "data": None}),
        "server_error",
        None,
        error="code_500",
    ),
    Case(
        "tikhub",
        tikhub.ROOM,
        "quota spent, as HTTP 500",
        encoded({"code": 500, "message": "Usage Limit Exceeded, Please Contact Administrator"}),
        "out_of_credits",
        0,
        status=500,
        error="usage_limit",
    ),
    Case(
        "tikhub",
        tikhub.ROOM,
        "server error",
        encoded({"message": "boom"}),
        "server_error",
        0,
        status=500,
        error="http_500",
    ),
    Case("tikhub", tikhub.ROOM, "session expired", b"", "session_expired", 0, status=428, error="http_428"),
    Case(
        "tikhub",
        tikhub.ROOM,
        "too many, in words only",
        encoded({"message": "Retry after 60 seconds"}),
        "rate_limited",
        0,
        status=429,
        error="http_429",
        retry_after_s=60,
    ),
    Case(
        "tikhub",
        tikhub.ROOM,
        "empty success",
        b'{"code":0,"msg":"success","data":{}}',
        "malformed",
        None,
        error="no_room",
    ),
    Case("tikhub", tikhub.ROOM, "nothing but a code", b'{"status_code":0}', "malformed", None, error="no_code"),
]

TIKLIVEAPI = [
    Case("tikliveapi", tikliveapi.USERINFO, "stats beside the user", userinfo(), "ok", 1, followers=48_300),
    Case("tikliveapi", tikliveapi.USERINFO, "stats inside the user", userinfo(nested=True), "ok", 1,
         followers=48_300),
    Case("tikliveapi", tikliveapi.USERINFO, "in the sibling's envelope", userinfo(wrapped=True), "ok", 1,
         followers=48_300),
    Case("tikliveapi", tikliveapi.USERINFO, "a count with a suffix", userinfo(followers="48.3K"), "ok", 1,
         followers=48_300),
    Case("tikliveapi", tikliveapi.USERINFO_BY_ID, "the current handle of an id", userinfo(), "ok", 1, followers=48_300),
    Case("tikliveapi", tikliveapi.USERID, "user id", encoded({"userid": USER_ID}), "ok", 1),
    Case("tikliveapi", tikliveapi.USERINFO, "empty user", encoded({"user": {}, "stats": {}}),  "malformed", 0,
         error="no_user"),
    Case("tikliveapi", tikliveapi.USERINFO, "limits as 200", encoded({"code": -1, "msg": "Free Api Limit: 1/second"}),
         "rate_limited", 0, error="code_-1"),
    Case("tikliveapi", tikliveapi.USERINFO, "unknown user as 200",
         encoded({"code": -1, "msg": "unique_id is invalid or not exist"}), "not_found", 0, error="code_-1"),
    Case("tikliveapi", tikliveapi.USERINFO, "unknown user", encoded({"message": "user not found"}), "not_found", 0,
         status=404, error="http_404"),
    Case("tikliveapi", tikliveapi.USERINFO, "wrong key", encoded({"message": "invalid key"}), "unauthorized", 0,
         status=401, error="http_401"),
    Case("tikliveapi", tikliveapi.USERINFO, "too many", b"slow down", "rate_limited", 0, status=429,
         headers={"retry-after": "2"}, error="http_429", retry_after_s=2),
]  # fmt: skip


def fetch_page(name: str, items: list[dict[str, Any]], cursor: str | None, **more: Any) -> bytes:
    return fetch_ok({**more, name: items, "page": {"nextCursor": cursor, "hasMore": cursor is not None}})


def fetch_video(**changes: Any) -> dict[str, Any]:
    stats = {"views": 900, "likes": 80, "comments": 7, "shares": 6, "saves": 5}
    video = {"id": "7569000111111111111", "caption": None, "createdAt": "2026-11-02T10:00:00.000Z", "pinned": False}
    return video | {"durationMs": 20_500, "stats": stats} | changes


def tik_video(**changes: Any) -> dict[str, Any]:
    return {
        "video_id": "7569000111111111111", "title": None, "create_time": 1_793_613_600, "duration": 20,
        "play_count": 900, "digg_count": 80, "comment_count": 7, "share_count": 6, "collect_count": 5,
    } | changes  # fmt: skip


def tik_followers(**changes: Any) -> dict[str, Any]:
    followers = [{"id": "6800000000000000123", "sec_uid": "MS4w1"}, {"id": "", "sec_uid": ""}]
    return {"followers": followers, "total": 48_317, "time": 1_793_600_000, "hasMore": True} | changes


def story_list(**changes: Any) -> dict[str, Any]:
    story = {
        "id": "7569000222222222222", "createTime": 1_793_613_600, "desc": "hello",
        "stats": {"playCount": 10, "diggCount": 2, "commentCount": 0, "shareCount": 0, "collectCount": 0},
        "video": {"duration": 12, "playAddr": "https://v.example/s.mp4?sign=zzz"},
    }  # fmt: skip
    return {"HasMoreAfter": False, "MinCursor": "0", "TotalCount": "1", "itemList": [story]} | changes


def ranking(**changes: Any) -> dict[str, Any]:
    def place(rank: int, score: int, number: int) -> dict[str, Any]:
        user = {"id_str": f"691234567890123456{number}", "display_id": f"artist{number}"}
        return {"rank": rank, "score": score, "user": user | {"follow_info": {"follower_count": 0}}}

    body = {
        "ranks": [place(1, 900, 1), place(1, 900, 2), place(3, 100, 3)],
        "anchor_info": place(0, 0, 4),
        "begin_time": 1_793_642_400,
        "currency": "popularity",
    }
    return body | changes


LISTINGS = [
    Case("konbini", konbini.VIDEOS, "posts",
         konbini_page([konbini_story("7569000111111111111", duration=20)], "1793600000000"), "ok", 1, headers=_USED),
    Case("konbini", konbini.FOLLOWERS, "followers", konbini_page([person()], None), "ok", 1, headers=_USED),
    Case("konbini", konbini.SEARCH, "a search", konbini_page([person()], None), "ok", 1, headers=_USED),
    Case("social_fetch", social_fetch.VIDEOS, "posts", fetch_page("videos", [fetch_video()], "abc"), "ok", 1),
    Case("social_fetch", social_fetch.VIDEOS, "no posts, or private, or unknown", fetch_page("videos", [], None),
         "empty", 1),
    Case("social_fetch", social_fetch.FOLLOWERS, "followers",
         fetch_page("followers", [{"handle": "fan", "platformUserId": "6800000000000000123"}], None,
                    lookupStatus="found"), "ok", 1),
    Case("social_fetch", social_fetch.FOLLOWERS, "a hidden list",
         fetch_page("followers", [], None, lookupStatus="hidden"), "private", 1, error="hidden"),
    Case("social_fetch", social_fetch.SEARCH, "a search", fetch_page("users", [fetch_live()["profile"]], None),
         "ok", 1),
    Case("tikliveapi", tikliveapi.POSTS, "posts",
         encoded({"videos": [tik_video()], "cursor": "1793600000000", "hasMore": True}), "ok", 1),
    Case("tikliveapi", tikliveapi.POSTS, "no posts", encoded({"videos": [], "cursor": "0", "hasMore": False}),
         "empty", 1),
    Case("tikliveapi", tikliveapi.FOLLOWERS, "followers and the exact total",
         encoded(tik_followers(followers=tik_followers()["followers"][:1])), "ok", 1, followers=48_317),
    Case("tikliveapi", tikliveapi.SEARCH, "a search, as documented",
         encoded({"user_list": [{"user": {"uniqueId": "mira.paints", "id": USER_ID},
                                 "stats": {"followerCount": 48_300}}], "cursor": 1, "hasMore": 0}), "ok", 1),
    Case("tikliveapi", tikliveapi.SEARCH, "a search, as a client saw it",
         encoded({"user_list": [{"user_info": {"uniqueId": "mira.paints", "followerCount": 48_300}}]}), "ok", 1),
    Case("tikliveapi", tikliveapi.STORIES, "stories", encoded(story_list()), "ok", 1),
    Case("tikliveapi", tikliveapi.STORIES, "no stories: no itemList", encoded({"TotalCount": "0"}), "empty", 1),
    Case("tikhub", tikhub.STORIES, "stories", encoded({"code": 0, "data": story_list(status_code=0)}), "ok", None),
    Case("tikhub", tikhub.USER, "the current handle of an id",
         encoded({"code": 0, "data": {"status_code": 0, "user": {
             "uid": USER_ID, "unique_id": "mira.paints", "follower_count": 48_317, "secret": 0}}}), "ok", None,
         followers=48_317),
    Case("tikhub", tikhub.USER, "a user in the web's words, exact beside rounded",
         encoded({"code": 0, "data": {"userInfo": {
             "user": {"id": USER_ID, "uniqueId": "mira.paints"}, "stats": {"followerCount": 48_300},
             "statsV2": {"followerCount": "48317"}}}}), "ok", None, followers=48_317),
    Case("tikhub", tikhub.USER, "no such user", encoded({"code": 0, "data": {"status_code": 10221}}), "not_found",
         None, error="10221"),
    Case("tikhub", tikhub.USER, "an empty user", encoded({"code": 0, "data": {"userInfo": {"user": {}, "stats": {}}}}),
         "malformed", None, error="no_user"),
    Case("tikhub", tikhub.RANKING, "a ranking", encoded({"code": 0, "data": {"data": ranking(), "status_code": 0}}),
         "ok", None),
    Case("tikhub", tikhub.RANKING_OF, "a room's place in the rankings",
         encoded({"code": 0, "data": {"data": ranking(), "status_code": 0}}), "ok", None),
    Case("tikhub", tikhub.RANKING, "an empty ranking",
         encoded({"code": 0, "data": {"data": ranking(ranks=[], anchor_info=None), "status_code": 0}}), "empty", None),
    Case("tikhub", tikhub.CHECK, "alive: a flag, and weak",
         encoded({"code": 0, "data": {"data": [{"alive": True, "room_id_str": ROOM_ID}], "status_code": 0}}), "ok",
         None, live_state="live"),
    Case("tikhub", tikhub.CHECK, "not alive: says nothing",
         encoded({"code": 0, "data": {"data": [{"alive": False, "room_id_str": ROOM_ID}], "status_code": 0}}),
         "empty", None, error="not_alive"),
]  # fmt: skip


def without(field: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != field}


_SUCCESS = {"meta": {"requestId": "req_1", "creditsCharged": 1, "version": "v1"}}

# Codes and flags that are left out, or empty, beside complete data.
INCOMPLETE = [
    *(
        Case("konbini", konbini.LIVE, f"an error {code!r} beside data",
             encoded({"data": konbini_live(), "errors": [{"code": code, "message": ""}]}), "ok", 1, headers=_USED,
             live_state="live", followers=48_300)
        for code in ("", "0", None)
    ),
    *(
        Case("social_fetch", social_fetch.LIVE, f"an error {code!r} beside data",
             encoded({"data": fetch_live(), "error": {"code": code, "message": ""}} | _SUCCESS), "ok", 1,
             live_state="live", followers=48_317)
        for code in ("", "0", None)
    ),
    *(
        Case("konbini", konbini.LIVE, f"isLive left out, {state} {room!r}",
             encoded({"data": without("isLive", konbini_live()) | room}), "ok", 1, headers=_USED, live_state=state,
             followers=48_300)
        for room, state in (({}, "live"), ({"isLive": None}, "live"), ({"entityId": None}, "unknown"))
    ),
    Case("konbini", konbini.LIVE, "an error without a code and without data",
         encoded({"data": None, "errors": [{"code": "", "message": "busy"}]}), "malformed", 1, headers=_USED,
         error="no_data"),
    Case("social_fetch", social_fetch.LIVE, "an error without a code and without data",
         encoded({"data": None, "error": {"code": "", "message": "busy"}}), "invalid_request", None,
         error="http_200"),
    Case("social_fetch", social_fetch.LIVE, "live, lookupStatus left out",
         fetch_ok(without("lookupStatus", fetch_live())), "ok", 1, live_state="live", followers=48_317),
    Case("social_fetch", social_fetch.LIVE, "offline, lookupStatus left out",
         fetch_ok(without("lookupStatus", fetch_live("offline"))), "not_live", 1, live_state="ended",
         followers=48_317),
    Case("social_fetch", social_fetch.LIVE, "no status at all", fetch_ok(without("lookupStatus", fetch_live(None))),
         "malformed", 1, error="no_lookup_status"),
    Case("social_fetch", social_fetch.PROFILE, "a profile, lookupStatus left out",
         fetch_ok({"profile": fetch_live()["profile"]}), "ok", 1, followers=48_317),
    Case("social_fetch", social_fetch.PROFILE, "neither lookupStatus nor a profile",
         fetch_ok({"profile": None, "metrics": None}), "malformed", 1, error="no_lookup_status"),
    Case("social_fetch", social_fetch.FOLLOWERS, "followers, lookupStatus left out",
         fetch_page("followers", [{"handle": "fan", "platformUserId": "6800000000000000123"}], None), "ok", 1),
    Case("social_fetch", social_fetch.FOLLOWERS, "an empty list may be hidden or unknown",
         fetch_page("followers", [], None), "malformed", 1, error="no_lookup_status"),
    Case("tikhub", tikhub.ROOM, "a room, code left out", encoded({"data": {"data": room(), "status_code": 0}}), "ok",
         None, live_state="live", followers=48_318),
    Case("tikhub", tikhub.ROOM, "a room, code null",
         encoded({"code": None, "data": {"data": room(), "status_code": 0}}), "ok", None, live_state="live",
         followers=48_318),
    Case("tikhub", tikhub.ROOM, "an ended room, code left out", encoded({"data": {"status_code": 30003}}), "not_live",
         None, error="30003", live_state="ended"),
    Case("tikhub", tikhub.ROOM, "neither a code nor a room", encoded({"data": {"message": "busy"}}), "malformed",
         None, error="no_room"),
]  # fmt: skip

# Failures that do not report their cost: the vendor's price list decides (docs/vendors.md 2.1, docs/vendors.md 3.1).
PRICES = [
    *(
        Case("konbini", konbini.LIVE, f"{status}, refunded", body, outcome, 0, status=status)
        for status, body, outcome in (
            (400, konbini_error("validation_error"), "invalid_request"),
            (500, konbini_error("internal_error"), "server_error"),
            (502, b"<html>bad gateway</html>", "server_error"),
            (503, konbini_error("service_unavailable"), "server_error"),
            (504, konbini_error("platform_error"), "server_error"),
        )
    ),
    Case("konbini", konbini.LIVE, "a wrong path is free", konbini_error("route_not_found"), "invalid_request", 0,
         status=404),
    Case("konbini", konbini.LIVE, "a miss costs the list price", konbini_error("not_found"), "not_found", None,
         status=404, error="not_found", live_state="unknown"),
    Case("social_fetch", social_fetch.VIDEOS, "failed posts are free", fetch_error("lookup_failed"), "server_error", 0,
         status=502),
    Case("social_fetch", social_fetch.LIVE, "a failed live lookup has no known price", fetch_error("lookup_failed"),
         "server_error", None, status=502),
]  # fmt: skip

CASES = [*KONBINI, *SOCIAL_FETCH, *TIKHUB, *TIKLIVEAPI, *LISTINGS, *INCOMPLETE, *PRICES]
