"""TikHub's (tikhubapi.com) responses (docs/vendors.md 5): the platform's own bodies, wrapped.

Of its endpoints only `/api/v1//live/info` is documented. The paths, parameters and bodies of the others are guesses:
the vendor's menu names their purpose, and the bodies are the platform's own (docs/vendors.md 6), with
flags as 0 and 1, cursors as integers of milliseconds, and damaged numeric ids beside correct `*_str` twins.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar

import msgspec

from tiktok_pipeline.sandbox.creators import Creator
from tiktok_pipeline.sandbox.rankings import ListKind, Ranking
from tiktok_pipeline.sandbox.story_list import story_item, story_page
from tiktok_pipeline.sandbox.tikhub_room import damaged, image, room_body
from tiktok_pipeline.sandbox.vendor import Endpoint, Refusal, Request, Response, Vendor, whole

_KEPT_AFTER_END = timedelta(hours=24)
_ROOMS_A_CHECK = 50  # limit of one request to the platform's own check (docs/vendors.md 6.3)
_STORIES_A_PAGE = (10, 35)
# The numbers of the platform's lists in a sibling product (docs/vendors.md 5.2).
_RANK_TYPES: Mapping[str, ListKind] = {"0": "hourly", "8": "daily"}
_BAD_PARAMETER, _ROOM_FINISHED, _NO_SUCH_USER = 10011, 30003, 2065

# http status, code in the body, usual message (docs/vendors.md 5.1; risk control is the body's own 500 inside HTTP 200)
_REFUSALS: dict[Refusal, tuple[int, int, str]] = {
    Refusal.NO_ROUTE: (404, 404, "Not Found"),
    Refusal.INVALID: (400, 400, "Bad Request"),
    Refusal.MISSING_KEY: (401, 401, "Unauthorized"),
    Refusal.WRONG_KEY: (401, 401, "Unauthorized"),
    Refusal.FORBIDDEN: (403, 403, "Forbidden"),
    Refusal.OUT_OF_CREDITS: (402, 402, "Insufficient balance"),
    Refusal.SESSION_EXPIRED: (428, 428, "Account key session expired"),
    Refusal.RATE_LIMITED: (429, 429, "Speed limit"),
    Refusal.USAGE_LIMIT: (500, 500, "Usage Limit Exceeded, please contact the administrator"),
    Refusal.RISK_CONTROL: (200, 500, "risk control"),
    Refusal.INTERNAL_ERROR: (500, 500, "Internal Server Error"),
    Refusal.BAD_GATEWAY: (502, 502, "Bad Gateway"),
    Refusal.UNAVAILABLE: (503, 503, "Service Unavailable"),
    Refusal.GATEWAY_TIMEOUT: (504, 504, "Gateway Timeout"),
}


class TikHub(Vendor):
    """Live rooms, live rankings, users and their stories, by the platform's ids."""

    name: ClassVar[str] = "tikhub"
    prefix: ClassVar[str] = "/tikhub"
    base_url_variable: ClassVar[str] = "TIKHUB_BASE_URL"
    credentials: ClassVar[Mapping[str, str]] = {"TIKHUB_USERNAME": "sandbox", "TIKHUB_PASSWORD": "thub_sandbox"}
    subject_parameters: ClassVar[tuple[str, ...]] = ("room_id", "user_id", "region")
    _authorization: ClassVar[bytes] = b"Basic " + base64.b64encode(":".join(credentials.values()).encode())

    def endpoints(self) -> Mapping[str, Endpoint]:
        """Return the routes; the double slash is the vendor's."""
        return {
            "/api/v1//live/info": self.live_info,
            "/api/v1//live/check": self.live_check,
            "/api/v1//live/ranking": self.ranking,
            "/api/v1//live/ranking/info": self.ranking_of_anchor,
            "/api/v1//user/info": self.user_info,
            "/api/v1//user/stories": self.stories,
            "/api/v1//key/info": self.key_info,
        }

    def check_key(self, headers: Mapping[bytes, bytes]) -> Refusal | None:
        """Check `Authorization: Basic base64(username:password)`."""
        authorization = headers.get(b"authorization")
        if authorization == self._authorization:
            return None
        return Refusal.MISSING_KEY if authorization is None else Refusal.WRONG_KEY

    def refuse(self, refusal: Refusal, request: Request, message: str | None = None) -> Response:
        """Return `{"code", "msg", "data": null}`, free."""
        status, code, usual = _REFUSALS[refusal]
        return Response(status, msgspec.json.encode({"code": code, "msg": message or usual, "data": None}))

    def upstream(self, body: bytes) -> bytes:
        """Return the platform's body inside the vendor's envelope."""
        return b'{"code":0,"msg":"success","data":' + body + b"}"

    def live_info(self, request: Request) -> Response:
        """Return a room in the platform's form: live, paused, ended for a day, then only that it has finished."""
        room_id, user_id = request.query.get("room_id"), request.query.get("user_id")
        if not room_id or not user_id:
            return self.refuse(Refusal.INVALID, request, "room_id and user_id are required")
        found = self.world.find_room(room_id)
        if found is None or not user_id.isdecimal() or request.at.timestamp() * 1000 < found[1].created_ms:
            return self._bad_parameter(request)
        creator, room = found
        if request.at >= room.ended_at + _KEPT_AFTER_END:
            finished = {"message": "room has finished", "prompts": "This LIVE video has ended"}
            return self._platform(_ROOM_FINISHED, finished, request.at)
        return self._platform(0, room_body(self.world, creator, room, request.at), request.at)

    def live_check(self, request: Request) -> Response:
        """Return whether rooms are open: `room_id` is one or up to fifty, with commas; an unknown room is not alive."""
        room_ids = [part for part in request.query.get("room_id", "").split(",") if part]
        if not 1 <= len(room_ids) <= _ROOMS_A_CHECK or None in map(whole, room_ids):
            return self.refuse(Refusal.INVALID, request, "room_id is required: one to 50 numbers")
        second = request.at.timestamp()
        found = [(room_id, self.world.find_room(room_id)) for room_id in room_ids]
        rows = [
            {"alive": room is not None and room[1].is_open(second), "room_id": damaged(room_id), "room_id_str": room_id}
            for room_id, room in found
        ]
        return self._platform(0, rows, request.at)

    def ranking(self, request: Request) -> Response:
        """Return the list of a `region` (US, BR, ...) in its current window; `rank_type` 0 is hourly, 8 daily."""
        kind, region = _RANK_TYPES.get(request.query.get("rank_type", "0")), request.query.get("region", "").upper()
        if kind is None or not region:
            return self.refuse(Refusal.INVALID, request, "region is required, rank_type is 0 or 8")
        return self._ranked(self.world.ranking(kind, region, request.at), None, request.at)

    def ranking_of_anchor(self, request: Request) -> Response:
        """Return the list of a room's owner, with the owner's own place: rank 0 without a place."""
        kind = _RANK_TYPES.get(request.query.get("rank_type", "0"))
        room_id, user_id = request.query.get("room_id"), request.query.get("user_id")
        if kind is None or not room_id or not user_id:
            return self.refuse(Refusal.INVALID, request, "room_id and user_id are required, rank_type is 0 or 8")
        found = self.world.find_room(room_id)
        if found is None or found[0].user_id != user_id or request.at.timestamp() * 1000 < found[1].created_ms:
            return self._bad_parameter(request)
        return self._ranked(self.world.ranking(kind, found[0].region, request.at), found[0], request.at)

    def user_info(self, request: Request) -> Response:
        """Return the mobile app's user, with exact counts; the room id is that of the last stream, live or not."""
        user_id = request.query.get("user_id", "")
        if not user_id.isdecimal():
            return self.refuse(Refusal.INVALID, request, "user_id is required and numeric")
        creator = self.world.find_id(user_id)
        extra = {"fatal_item_ids": [], "logid": self.request_id(request), "now": int(request.at.timestamp() * 1000)}
        body: dict[str, Any] = {"extra": extra, "log_pb": {"impr_id": self.request_id(request)}}
        if creator is None:
            body |= {"status_code": _NO_SUCH_USER, "status_msg": "User doesn't exist"}
        else:
            body |= {"status_code": 0, "status_msg": "", "user": self._user(creator, request.at)}
        return Response(200, self.upstream(msgspec.json.encode(body)), 1.0)

    def stories(self, request: Request) -> Response:
        """Return the platform's own list in integers; `itemList` is absent without a story."""
        user_id = request.query.get("user_id", "")
        count = whole(request.query.get("count", str(_STORIES_A_PAGE[0])))
        before = whole(request.query.get("cursor", "0"))
        if not user_id.isdecimal() or not count or before is None:
            return self.refuse(Refusal.INVALID, request, "user_id is required; it, count and cursor are numeric")
        creator = self.world.find_id(user_id)
        shown = [] if creator is None else self.world.stories_at(creator, request.at)
        page = story_page(shown, before, min(count, _STORIES_A_PAGE[1]))
        body: dict[str, Any] = {
            "AllViewed": 0,
            "CurrentPosition": 0,
            "HasMoreAfter": int(page.more_after),
            "HasMoreBefore": int(page.more_before),
            "LastStoryCreatedAt": page.newest_ms,
            "MaxCursor": page.max_cursor,
            "MinCursor": page.min_cursor,
            "TotalCount": page.total,
            "extra": {"now": int(request.at.timestamp() * 1000)},
            "status_code": 0 if creator is not None else _NO_SUCH_USER,
        }
        if creator is not None and page.stories:
            handle = self.world.handle_at(creator, request.at)
            body["itemList"] = [story_item(story, handle, request.at) for story in page.stories]
        return Response(200, self.upstream(msgspec.json.encode(body)), 1.0)

    def key_info(self, request: Request) -> Response:
        """Return the owner of the key and the remaining balance; free."""
        used = int(self.ledger.charged(self.name))
        data = {"username": self.credentials["TIKHUB_USERNAME"], "status": 1, "quota": int(self.allowance)}
        body = msgspec.json.encode(data | {"used": used, "remaining": self.credits_left()})
        return Response(200, self.upstream(body))

    def _bad_parameter(self, request: Request) -> Response:
        return self._platform(_BAD_PARAMETER, {"message": "Request params error", "prompts": ""}, request.at)

    def _platform(self, code: int, data: dict[str, Any] | list[dict[str, Any]], at: datetime) -> Response:
        extra = {"now": int(at.timestamp() * 1000), "region": "US", "finished_perception_msg": "", "pay_scores": 0}
        body = msgspec.json.encode({"data": data, "extra": extra, "status_code": code})
        return Response(200, self.upstream(body), 1.0)

    def _ranked(self, ranking: Ranking, anchor: Creator | None, at: datetime) -> Response:
        """Return a list: `delta` is the gap to the row above, `delta_time` the seconds left in the window."""
        scores = [row.score for row in ranking.rows]
        above = [*scores[:1], *scores]
        rows = [
            self._row(row.creator, row.rank, row.score, above[place] - row.score, ranking.unit, at)
            for place, row in enumerate(ranking.rows)
        ]
        own = None
        if anchor is not None:
            place = next((n for n, row in enumerate(ranking.rows) if row.creator is anchor), None)
            last = scores[-1] if scores else 0
            own = rows[place] if place is not None else self._row(anchor, 0, 0, last, ranking.unit, at)
        data = {
            "anchor_info": own,
            "begin_time": ranking.begin_s,
            "currency": ranking.unit,
            "delta_time": ranking.end_s - int(at.timestamp()),
            "has_more": 0,
            "rank_type": next(int(number) for number, kind in _RANK_TYPES.items() if kind == ranking.kind),
            "ranks": rows,
            "region": ranking.region,
            "seats": [],
            "subtitle": "",
            "title": f"{ranking.kind.title()} ranking",
        }
        return self._platform(0, data, at)

    def _row(self, creator: Creator, rank: int, score: int, delta: int, unit: str, at: datetime) -> dict[str, Any]:
        room = self.world.room_at(creator, at)
        user = {
            "avatar_thumb": image(creator.user_id, "thumb", creator.created_at),
            "display_id": self.world.handle_at(creator, at),
            # Never supplied in a list (docs/vendors.md 6.9): 0 is not a count.
            "follow_info": {"follow_status": 0, "follower_count": 0, "following_count": 0},
            "id": damaged(creator.user_id),
            "id_str": creator.user_id,
            "nickname": creator.display_name,
            "own_room": {
                "room_ids": [] if room is None else [damaged(room.room_id)],
                "room_ids_str": [] if room is None else [room.room_id],
            },
            "sec_uid": creator.sec_uid,
            "verified": creator.verified,
        }
        words = f"{score} {unit}" if score < 10_000 else f"{score / 1000:.1f}K {unit}"
        return {"delta": delta, "gap_description": words, "rank": rank, "score": score, "user": user}

    def _user(self, creator: Creator, at: datetime) -> dict[str, Any]:
        room = self.world.last_room(creator, at)
        return {
            "avatar_thumb": image(creator.user_id, "thumb", creator.created_at),
            "aweme_count": self.world.videos_at(creator, at),
            "create_time": int(creator.created_at.timestamp()),
            "follower_count": self.world.followers_at(creator, at),
            "following_count": creator.following,
            "language": creator.language,
            "nickname": creator.display_name,
            "region": creator.region,
            "room_id": 0 if room is None else damaged(room.room_id),
            "room_id_str": "" if room is None else room.room_id,
            "sec_uid": creator.sec_uid,
            "secret": int(creator.kind == "private"),
            "signature": creator.bio,
            "total_favorited": self.world.likes_at(creator, at),
            "uid": creator.user_id,
            "unique_id": self.world.handle_at(creator, at),
            "verified": creator.verified,
        }
