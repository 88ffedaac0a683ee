"""TikLiveAPI: profiles and numeric user ids; it has no live endpoint.

Wire facts from the vendors' notes, section 3: `X-Api-Key`; bodies are bare, without an envelope, though its
sibling of the same shape wraps in `{code, msg, data}` and says `code: -1` with HTTP 200: both are read. One
credit a successful request. `stats` stands beside `user` or inside it. Counts are rounded as on the web page.
No error body is documented.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import msgspec

from tiktok_pipeline.providers import vendor
from tiktok_pipeline.providers.observations import (
    Problem,
    ProfileReading,
    Reading,
    Scalar,
    address,
    count,
    handle,
    identifier,
    rounded_text,
    web_precision,
)
from tiktok_pipeline.providers.vendor import Outcome, Request, Target, Unreadable, Verdict

USERID = "/userid/"
USERINFO = "/userinfo-by-username/"
USERINFO_BY_ID = "/userinfo-by-id/"

_REFUSALS = {
    400: Outcome.INVALID_REQUEST,
    401: Outcome.UNAUTHORIZED,
    402: Outcome.OUT_OF_CREDITS,
    403: Outcome.UNAUTHORIZED,
    404: Outcome.NOT_FOUND,
    429: Outcome.RATE_LIMITED,
}


class _Stats(msgspec.Struct, rename="camel"):
    follower_count: Scalar = None
    following_count: Scalar = None
    heart_count: Scalar = None
    heart: Scalar = None
    video_count: Scalar = None


class _User(msgspec.Struct, rename="camel"):
    id: Scalar = None
    unique_id: str | None = None
    sec_uid: str | None = None
    nickname: str | None = None
    signature: str | None = None
    verified: bool | None = None
    private_account: bool | None = None
    secret: bool | None = None
    language: str | None = None
    region: str | None = None
    avatar_thumb: object = None
    stats: _Stats | None = None


class _Body(msgspec.Struct):
    """Everything that may stand at the top level, bare or inside the sibling's envelope."""

    code: int | None = None
    msg: str | None = None
    message: str | None = None
    error: object = None
    user: _User | None = None
    stats: _Stats | None = None
    userid: Scalar = None
    user_id: Scalar = None
    id: Scalar = None
    data: _Body | None = None


_body = msgspec.json.Decoder(_Body)


class TikLiveAPI(vendor.Vendor):
    """TikLiveAPI."""

    name: ClassVar[str] = "tikliveapi"
    base_url_variable: ClassVar[str] = "TIKLIVEAPI_BASE_URL"
    base_url: ClassVar[str] = "https://api.tikliveapi.com"
    credential_variables: ClassVar[tuple[str, ...]] = ("TIKLIVEAPI_API_KEY",)
    endpoints: ClassVar[Mapping[str, str]] = {
        USERID: "user_id",
        USERINFO: "profile",
        USERINFO_BY_ID: "identity",
    }

    def authentication(self, credentials: tuple[str, ...]) -> dict[str, str]:
        """`X-Api-Key: ...`."""
        return {"X-Api-Key": credentials[0]}

    def request(self, capability: str, target: Target, *, page: int = 0, cursor: str | None = None) -> Request | None:
        """Profile and id are asked by handle; who somebody is now, by numeric id."""
        if capability == "identity":
            if not target.user_id:
                return None
            params = {"userid": target.user_id}
            return Request(USERINFO_BY_ID, target.user_id, USERINFO_BY_ID, params, target.creator_id)
        endpoint = {"user_id": USERID, "profile": USERINFO}.get(capability)
        if endpoint is None:
            return None
        return Request(endpoint, target.handle, endpoint, {"username": target.handle}, creator_id=target.creator_id)

    def judge(self, endpoint: str, status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
        """By status, then by what the body has; one credit only where it has the answer."""
        wait = vendor.retry_after(headers, body)
        if status >= 400:
            odd = vendor.judge_not_json(status, headers, body) if status != 404 else None
            outcome = _REFUSALS.get(status, Outcome.SERVER_ERROR if status >= 500 else Outcome.INVALID_REQUEST)
            return Verdict(odd.outcome if odd else outcome, f"http_{status}", None, 0.0, wait)
        odd = vendor.judge_not_json(status, headers, body)
        if odd is not None:
            return vendor.with_credits(odd, 0.0)
        try:
            answer = vendor.decode(_body, body)
        except Unreadable as error:
            return Verdict(Outcome.MALFORMED, error.problem.reason[:80])
        if answer.code:
            # The sibling says -1 for limits and for unknown users alike; only the words differ.
            words = (answer.msg or answer.message or "").lower()
            missing = "not exist" in words or "not found" in words or "unique_id" in words
            return Verdict(
                Outcome.NOT_FOUND if missing else Outcome.RATE_LIMITED,
                f"code_{answer.code}",
                credits=0.0,
                retry_after_s=wait,
            )
        inner = answer.data or answer
        if endpoint == USERID:
            found = identifier(inner.userid, inner.user_id, inner.id)
        else:
            found = identifier(inner.user.id, inner.user.unique_id) if inner.user else None
        if found is None:
            return Verdict(Outcome.MALFORMED, "no_user", credits=None)
        return Verdict(Outcome.OK, credits=1.0)

    def read(self, endpoint: str, outcome: Outcome, body: bytes) -> Iterator[Reading | Problem]:
        """A profile; from /userid/ one that has only the id."""
        if outcome is not Outcome.OK:
            return
        answer = vendor.decode(_body, body)
        inner = answer.data or answer
        if endpoint == USERID:
            yield ProfileReading(source="profile", user_id=identifier(inner.userid, inner.user_id, inner.id))
            return
        if inner.user is None:
            raise Unreadable("no user", "user", vendor.text(body))
        yield from _profile(inner.user, inner.stats or inner.user.stats or _Stats())


def _profile(user: _User, stats: _Stats) -> Iterator[Reading | Problem]:
    followers = count(stats.follower_count)
    precision, unit = web_precision(followers)
    if followers is None and stats.follower_count is not None:
        written = rounded_text(stats.follower_count)
        if written is None:
            yield Problem("not a count", "stats.followerCount", str(stats.follower_count)[:200])
        else:
            (followers, unit), precision = written, "rounded"
    yield ProfileReading(
        source="profile",
        user_id=identifier(user.id),
        sec_uid=identifier(user.sec_uid),
        handle=handle(user.unique_id),
        display_name=user.nickname,
        bio=user.signature,
        avatar_url=address(user.avatar_thumb),
        verified=user.verified,
        private=user.private_account if user.private_account is not None else user.secret,
        language=user.language,
        region=user.region,
        followers=followers,
        following=count(stats.following_count),
        likes=count(stats.heart_count if stats.heart_count is not None else stats.heart),
        videos=count(stats.video_count),
        followers_precision=precision,
        followers_unit=unit,
    )
