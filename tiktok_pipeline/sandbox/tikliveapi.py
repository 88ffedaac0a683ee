"""TikLiveAPI as it answers (vendors' notes, section 3): bare bodies, rounded counts, only successes billed.

The vendor documents no error body; the ones here are plain `{"message": ...}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, ClassVar

import msgspec

from tiktok_pipeline.sandbox.chance import chance
from tiktok_pipeline.sandbox.creators import Creator
from tiktok_pipeline.sandbox.vendor import Answer, Endpoint, Refusal, Request, Vendor, picture, web_rounded

_NESTED_SHARE = 0.4

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
    """Numeric ids and profiles; nothing about live streams."""

    name: ClassVar[str] = "tikliveapi"
    prefix: ClassVar[str] = "/tikliveapi"
    base_url_variable: ClassVar[str] = "TIKLIVEAPI_BASE_URL"
    credentials: ClassVar[Mapping[str, str]] = {"TIKLIVEAPI_API_KEY": "tkl_sandbox"}
    bills_spoilt_answers: ClassVar[bool] = False
    subject_parameters: ClassVar[tuple[str, ...]] = ("username", "userid")
    _key: ClassVar[bytes] = credentials["TIKLIVEAPI_API_KEY"].encode()

    def endpoints(self) -> Mapping[str, Endpoint]:
        """What is served."""
        return {
            "/userid/": self.user_id,
            "/userinfo-by-username/": self.info_by_username,
            "/userinfo-by-id/": self.info_by_id,
        }

    def check_key(self, headers: Mapping[bytes, bytes]) -> Refusal | None:
        """`X-Api-Key: ...`."""
        key = headers.get(b"x-api-key")
        if key == self._key:
            return None
        return Refusal.MISSING_KEY if key is None else Refusal.WRONG_KEY

    def refuse(self, refusal: Refusal, request: Request, message: str | None = None) -> Answer:
        """`{"message": ...}`, free."""
        status, usual = _REFUSALS[refusal]
        return _message(status, message or usual)

    def user_id(self, request: Request) -> Answer:
        """The numeric user id of a handle, as a string."""
        creator = self.world.find(request.subject, request.at)
        if "username" not in request.query:
            return self.refuse(Refusal.INVALID, request, "username is required")
        if creator is None:
            return _message(404, "User not found")
        return Answer(200, msgspec.json.encode({"userid": creator.user_id}), 1.0)

    def info_by_username(self, request: Request) -> Answer:
        """A profile by handle."""
        if "username" not in request.query:
            return self.refuse(Refusal.INVALID, request, "username is required")
        return self._info(self.world.find(request.subject, request.at), request.at)

    def info_by_id(self, request: Request) -> Answer:
        """A profile by numeric user id (a secUid is not one)."""
        user_id = request.query.get("userid", "")
        if not user_id.isdecimal():
            return self.refuse(Refusal.INVALID, request, "userid must be numeric")
        return self._info(self.world.find_id(user_id), request.at)

    def _info(self, creator: Creator | None, at: datetime) -> Answer:
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
        return Answer(200, msgspec.json.encode(body), 1.0)


@lru_cache(maxsize=8192)
def _nests_stats(creator: Creator) -> bool:
    """Whether `stats` stands inside `user` (section 3 knows both shapes)."""
    return chance("tikliveapi", "stats", creator.user_id) < _NESTED_SHARE


def _message(status: int, message: str) -> Answer:
    return Answer(status, msgspec.json.encode({"message": message}))
