"""TikLiveAPI: profiles, numeric user ids, posts, followers, searches, stories; it has no live endpoint.

Wire facts (docs/vendors.md 4): `X-Api-Key`; bodies have no envelope. A sibling product of the same structure wraps them
in `{code, msg, data}` and reports errors as `code: -1` with HTTP 200: both are read. One credit a successful request.
`stats` is beside `user` or inside it. Counts are rounded as on the web page. Neither an error body nor the body of
stories is documented: TikTok's own structure is expected (docs/vendors.md 6.8).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import msgspec

from tiktok_pipeline.providers import upstream, vendor
from tiktok_pipeline.providers.headers import retry_after
from tiktok_pipeline.providers.observations import (
    FollowerReading,
    HitReading,
    Notes,
    Problem,
    ProfileReading,
    Reading,
    Scalar,
    count,
    exact_precision,
    handle,
    identifier,
)
from tiktok_pipeline.providers.vendor import Limits, Outcome, Request, Target, Unreadable, Verdict

USERID = "/userid/"
USERINFO = "/userinfo-by-username/"
USERINFO_BY_ID = "/userinfo-by-id/"
POSTS = "/user-posts/"
FOLLOWERS = "/user-followers/"
SEARCH = "/search-user/"
STORIES = "/user-stories/"

# Largest page sizes: every page costs a credit.
_PAGE_SIZES = {POSTS: "35", FOLLOWERS: "50", SEARCH: "30"}

_REFUSALS = {
    400: Outcome.INVALID_REQUEST,
    401: Outcome.UNAUTHORIZED,
    402: Outcome.OUT_OF_CREDITS,
    403: Outcome.UNAUTHORIZED,
    404: Outcome.NOT_FOUND,
    429: Outcome.RATE_LIMITED,
}


class _Body(msgspec.Struct):
    """All possible fields of the top level, without an envelope or inside the sibling's envelope."""

    code: int | None = None
    msg: str | None = None
    message: str | None = None
    error: object = None
    user: upstream.User | None = None
    stats: upstream.Stats | None = None
    userid: Scalar = None
    user_id: Scalar = None
    id: Scalar = None
    data: _Body | None = None
    # listings
    videos: list[msgspec.Raw] | None = None
    followers: list[msgspec.Raw] | None = None
    user_list: list[msgspec.Raw] | None = None
    item_list: list[msgspec.Raw] | None = msgspec.field(name="itemList", default=None)
    total: Scalar = None
    cursor: Scalar = None
    time: Scalar = None
    has_more: bool | int | None = msgspec.field(name="hasMore", default=None)
    has_more_after: bool | int | None = msgspec.field(name="HasMoreAfter", default=None)
    min_cursor: Scalar = msgspec.field(name="MinCursor", default=None)
    total_count: Scalar = msgspec.field(name="TotalCount", default=None)


class _Follower(msgspec.Struct):
    id: Scalar = None
    sec_uid: str | None = None


class _Found(msgspec.Struct):
    """A hit: the vendor documents `user`, while an existing client reads `user_info`."""

    user: upstream.User | None = None
    user_info: upstream.User | None = None
    stats: upstream.Stats | None = None


_follower = msgspec.json.Decoder(_Follower)
_found = msgspec.json.Decoder(_Found)
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
        POSTS: "posts",
        FOLLOWERS: "followers",
        SEARCH: "user_search",
        STORIES: "stories",
    }
    # The documented limit is 200 requests a minute.
    limits: ClassVar[Limits] = Limits(requests_per_second=3, max_in_flight=4)

    def authentication(self, credentials: tuple[str, ...]) -> dict[str, str]:
        """`X-Api-Key: ...`."""
        return {"X-Api-Key": credentials[0]}

    def request(self, capability: str, target: Target, *, page: int = 0, cursor: str | None = None) -> Request | None:
        """Build the request: profile and id by handle, a search by keyword, everything else by numeric id."""
        endpoint, target = self.endpoint_of(capability), vendor.with_valid_ids(target)
        if endpoint is None or not vendor.sendable(cursor):
            return None
        params = {"count": _PAGE_SIZES[endpoint]} if endpoint in _PAGE_SIZES else {}
        if cursor is not None:
            # The documentation names `cursor`, the sibling product `time`: one of them is ignored.
            params |= {"cursor": cursor} if endpoint != FOLLOWERS else {"cursor": cursor, "time": cursor}
        if endpoint in (USERID, USERINFO):
            subject = params["username"] = target.handle
        elif endpoint == SEARCH:
            subject = params["keyword"] = target.subject or ""
        else:
            subject = params["userid"] = target.user_id or ""
        if not subject and endpoint != SEARCH:
            return None
        return Request(endpoint, subject, endpoint, params, target.creator_id or None, page, cursor)

    def judge(self, endpoint: str, status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
        """Judge by the status, then by the contents of the body; a credit is charged only if the data is in it."""
        wait = retry_after(headers, body)
        if status >= 400:
            odd = vendor.judge_not_json(status, headers, body) if status != 404 else None
            outcome = _REFUSALS.get(status, Outcome.SERVER_ERROR if status >= 500 else Outcome.INVALID_REQUEST)
            return Verdict(odd.outcome if odd else outcome, f"http_{status}", None, 0.0, wait)
        odd = vendor.judge_not_json(status, headers, body)
        if odd is not None:
            return vendor.with_credits(odd, 0.0)
        try:
            response = vendor.decode(_body, body)
        except Unreadable as error:
            return Verdict(Outcome.MALFORMED, error.problem.reason[:80])
        if response.code:
            # The sibling sends -1 for rate limits and for unknown users alike; only the text differs.
            words = (response.msg or response.message or "").lower()
            missing = "not exist" in words or "not found" in words or "unique_id" in words
            return Verdict(
                Outcome.NOT_FOUND if missing else Outcome.RATE_LIMITED,
                f"code_{response.code}",
                credits=0.0,
                retry_after_s=wait,
            )
        return _judge_data(endpoint, response.data or response)

    def read(self, endpoint: str, outcome: Outcome, body: bytes) -> Iterator[Reading | Problem]:
        """Yield a profile (from /userid/ only the id), or the items of a page."""
        notes = Notes()
        if outcome is Outcome.OK:
            yield from self._readings(endpoint, body, notes)
        yield from notes.problems

    @staticmethod
    def _readings(endpoint: str, body: bytes, notes: Notes) -> Iterator[Reading | Problem]:
        response = vendor.decode(_body, body, notes)
        inner = response.data or response
        if endpoint == USERID:
            yield ProfileReading(source="profile", user_id=identifier(inner.userid, inner.user_id, inner.id))
            return
        if endpoint in (USERINFO, USERINFO_BY_ID):
            if inner.user is None:
                raise Unreadable("no user", "user", vendor.text(body))
            yield upstream.profile(inner.user, inner.stats, notes)
        elif endpoint == POSTS:
            yield from upstream.posts(inner.videos or [], notes)
        elif endpoint == STORIES:
            yield from upstream.stories(inner.item_list or [], notes)
        elif endpoint == FOLLOWERS:
            yield from _followers(inner, notes)
        elif endpoint == SEARCH:
            yield from _hits(inner, notes)


def _judge_data(endpoint: str, inner: _Body) -> Verdict:
    """Judge a body without an error: one credit if it has the data. An empty list is valid, and ends a walk."""
    if endpoint == USERID:
        found = identifier(inner.userid, inner.user_id, inner.id)
    elif endpoint in (USERINFO, USERINFO_BY_ID):
        found = identifier(inner.user.id, inner.user.unique_id) if inner.user else None
    else:
        return _judge_list(endpoint, inner)
    return Verdict(Outcome.OK, credits=1.0) if found is not None else Verdict(Outcome.MALFORMED, "no_user", credits=0.0)


def _judge_list(endpoint: str, inner: _Body) -> Verdict:
    lists = {POSTS: inner.videos, FOLLOWERS: inner.followers, SEARCH: inner.user_list, STORIES: inner.item_list}
    items = lists[endpoint]
    if items is None and endpoint == STORIES and count(inner.total_count) == 0:
        items = []  # an empty page has no itemList (docs/vendors.md 6.8)
    if items is None:
        return Verdict(Outcome.MALFORMED, "no_list", credits=0.0)
    more = inner.has_more if endpoint != STORIES else inner.has_more_after
    cursor = identifier(inner.min_cursor if endpoint == STORIES else inner.cursor, inner.time)
    cursor = vendor.next_cursor(cursor, more, empty=not items)
    return Verdict(Outcome.OK if items else Outcome.EMPTY, credits=1.0, next_cursor=cursor)


def _followers(inner: _Body, notes: Notes) -> Iterator[Reading | Problem]:
    # The list's total is exact, while this vendor's profiles are rounded (docs/vendors.md 4.4).
    total, precision, unit = notes.followers(inner.total, exact_precision, "total")
    for place, item in enumerate(inner.followers or (), 1):
        try:
            person = vendor.decode(_follower, item, notes)
        except Unreadable as error:
            yield error.problem
            continue
        follower = identifier(person.id, person.sec_uid)
        if follower is None:
            yield Problem("a follower without an id", "followers[].id", None)
            continue
        yield FollowerReading(follower_id=follower, position=place, list_total=total if unit == 1 else None)
    if total is not None:
        yield ProfileReading(source="followers", followers=total, followers_precision=precision, followers_unit=unit)


def _hits(inner: _Body, notes: Notes) -> Iterator[Reading | Problem]:
    for place, item in enumerate(inner.user_list or (), 1):
        try:
            found = vendor.decode(_found, item, notes)
        except Unreadable as error:
            yield error.problem
            continue
        user = found.user or found.user_info or upstream.User()
        stats = found.stats or user.stats or upstream.Stats()
        # Documented in camel case with `stats`; an existing client found followerCount in the user itself.
        followers = stats.follower_count if stats.follower_count is not None else user.followers_beside
        yield HitReading(
            rank=place,
            handle=handle(user.unique_id or user.unique_id_mobile),
            user_id=identifier(user.id, user.uid),
            followers=notes.count(followers, "followerCount"),
        )
