"""Social Fetch: profiles with exact counts, live lookups that carry the profile, posts, followers, searches.

Wire facts (docs/vendors.md 3): `x-api-key`; `{"data": ..., "meta": {requestId, creditsCharged, cached?}}` or
`{"error": {code, message, requestId}}`. Not found and private are HTTP 200 and are billed. A response from the shared
cache has `meta.cached` and may carry `Age`. A 503 carries Retry-After; a 502 on a profile may be billed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar

import msgspec

from tiktok_pipeline.providers import vendor
from tiktok_pipeline.providers.headers import retry_after
from tiktok_pipeline.providers.identifiers import path_part
from tiktok_pipeline.providers.observations import (
    FollowerReading,
    HitReading,
    LiveReading,
    Notes,
    PostReading,
    Problem,
    ProfileReading,
    Reading,
    Scalar,
    VariantReading,
    amount,
    exact_precision,
    handle,
    identifier,
    resolution,
)
from tiktok_pipeline.providers.vendor import Limits, Outcome, Request, Target, Unreadable, Verdict

PROFILE = "/v1/tiktok/profiles/{handle}"
LIVE = "/v1/tiktok/profiles/{handle}/live"
VIDEOS = "/v1/tiktok/profiles/{handle}/videos"
FOLLOWERS = "/v1/tiktok/profiles/{handle}/followers"
SEARCH = "/v1/tiktok/users/search"
BALANCE = "/v1/balance"

_OUTCOMES = {
    "bad_request": Outcome.INVALID_REQUEST,
    "unauthorized": Outcome.UNAUTHORIZED,
    "forbidden": Outcome.UNAUTHORIZED,
    "insufficient_credits": Outcome.OUT_OF_CREDITS,
    # Codes of the pay-per-call access: the key was not accepted, and a payment is requested.
    "payment_required": Outcome.OUT_OF_CREDITS,
    "payment_settlement_failed": Outcome.OUT_OF_CREDITS,
    "not_found": Outcome.INVALID_REQUEST,  # the route; an unknown creator gives a 200
    "internal_error": Outcome.SERVER_ERROR,
    "lookup_failed": Outcome.SERVER_ERROR,
    "temporarily_unavailable": Outcome.SERVER_ERROR,
}


class _Meta(msgspec.Struct, rename="camel"):
    request_id: str | None = None
    credits_charged: Scalar = None
    cached: bool | None = None


class _Fault(msgspec.Struct, rename="camel"):
    code: str | None = None
    request_id: str | None = None


class _PageEnd(msgspec.Struct, rename="camel"):
    next_cursor: Scalar = None
    has_more: bool | int | None = None


class _Head(msgspec.Struct, rename="camel"):
    lookup_status: str | None = None
    live_status: str | None = None
    profile: msgspec.Raw = msgspec.Raw(b"null")
    page: _PageEnd | None = None
    videos: list[msgspec.Raw] | None = None
    followers: list[msgspec.Raw] | None = None
    users: list[msgspec.Raw] | None = None

    @property
    def items(self) -> list[msgspec.Raw] | None:
        """The list of items, under any of its names."""
        return next((found for found in (self.videos, self.followers, self.users) if found is not None), None)


class _LookupBody(msgspec.Struct):
    data: _Head | None = None
    meta: _Meta | None = None
    error: _Fault | None = None


class _Profile(msgspec.Struct, rename="camel"):
    handle: str | None = None
    display_name: str | None = None
    bio: str | None = None
    avatar_url: str | None = None
    verified: bool | None = None
    private_account: bool | None = None
    platform_user_id: Scalar = None
    sec_uid: str | None = None
    language: str | None = None
    region: str | None = None
    follower_count: Scalar = None
    following_count: Scalar = None


class _Metrics(msgspec.Struct):
    followers: Scalar = None
    following: Scalar = None
    likes: Scalar = None
    posts: Scalar = None


class _Stream(msgspec.Struct, rename="camel"):
    codec_family: str | None = None
    source: str | None = None
    quality_key: str | None = None
    quality_label: str | None = None
    flv_url: str | None = None
    hls_url: str | None = None
    cmaf_url: str | None = None
    resolution: str | None = None
    bitrate: Scalar = None


class _Live(msgspec.Struct, rename="camel"):
    room_id: Scalar = None
    title: str | None = None
    cover_url: str | None = None
    started_at: Scalar = None
    viewer_count: Scalar = None
    enter_count: Scalar = None
    streams: list[_Stream] = []


class _ProfileData(msgspec.Struct, rename="camel"):
    profile: _Profile | None = None
    metrics: _Metrics | None = None


class _LiveData(msgspec.Struct, rename="camel"):
    live_status: str | None = None
    profile: _Profile | None = None
    live: _Live | None = None


class _ProfileBody(msgspec.Struct):
    data: _ProfileData = msgspec.field(default_factory=_ProfileData)


class _LiveBody(msgspec.Struct):
    data: _LiveData = msgspec.field(default_factory=_LiveData)


class _PostStats(msgspec.Struct):
    views: Scalar = None
    likes: Scalar = None
    comments: Scalar = None
    shares: Scalar = None
    saves: Scalar = None


class _Post(msgspec.Struct, rename="camel"):
    id: Scalar = None
    caption: str | None = None
    created_at: Scalar = None
    duration_ms: Scalar = None
    pinned: bool | None = None
    stats: _PostStats = msgspec.field(default_factory=_PostStats)


class _Balance(msgspec.Struct):
    balance: Scalar = None


class _BalanceBody(msgspec.Struct):
    data: _Balance = msgspec.field(default_factory=_Balance)


_lookup_body = msgspec.json.Decoder(_LookupBody)
_profile_body = msgspec.json.Decoder(_ProfileBody)
_post_item = msgspec.json.Decoder(_Post)
_person_item = msgspec.json.Decoder(_Profile)
_balance_body = msgspec.json.Decoder(_BalanceBody)
_live_body = msgspec.json.Decoder(_LiveBody)


class SocialFetch(vendor.Vendor):
    """Social Fetch."""

    name: ClassVar[str] = "social_fetch"
    base_url_variable: ClassVar[str] = "SOCIAL_FETCH_BASE_URL"
    base_url: ClassVar[str] = "https://api.socialfetch.dev"
    credential_variables: ClassVar[tuple[str, ...]] = ("SOCIAL_FETCH_API_KEY",)
    endpoints: ClassVar[Mapping[str, str]] = {
        PROFILE: "profile",
        LIVE: "live",
        VIDEOS: "posts",
        FOLLOWERS: "followers",
        SEARCH: "user_search",
        BALANCE: "balance",
    }
    # The vendor recommends up to about 500 requests in flight.
    limits: ClassVar[Limits] = Limits(requests_per_second=50, max_in_flight=32)

    def authentication(self, credentials: tuple[str, ...]) -> dict[str, str]:
        """`x-api-key: sfk_...`."""
        return {"x-api-key": credentials[0]}

    def request(self, capability: str, target: Target, *, page: int = 0, cursor: str | None = None) -> Request | None:
        """Build the request: by handle, a search by keyword, the balance without a subject."""
        endpoint, target = self.endpoint_of(capability), vendor.with_valid_ids(target)
        if endpoint is None or not vendor.sendable(cursor):
            return None
        if endpoint == BALANCE:
            return Request(BALANCE, "account", BALANCE)
        params = {} if cursor is None else {"cursor": cursor}
        subject = target.handle
        if endpoint == SEARCH:
            subject = target.subject or ""
            params["query"] = subject
        elif not subject:
            return None
        path = endpoint.format(handle=path_part(target.handle))
        return Request(endpoint, subject, path, params, target.creator_id or None, page, cursor)

    def judge(self, endpoint: str, status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
        """Judge by the error code, then by lookupStatus; credits come from `meta.creditsCharged`."""
        unbilled = _price_of_failure(endpoint, status)
        odd = vendor.judge_not_json(status, headers, body)
        if odd is not None:
            return vendor.with_credits(odd, unbilled)
        try:
            response = vendor.decode(_lookup_body, body)
        except Unreadable as error:
            return Verdict(
                Outcome.SERVER_ERROR if status >= 500 else Outcome.MALFORMED,
                error.problem.reason[:80],
                credits=unbilled,
            )
        # An empty error beside data does not count as an error.
        failed = response.error is not None and (
            vendor.error_code(response.error.code) is not None or response.data is None
        )
        if failed or status >= 400:
            return _refusal(status, headers, body, response.error, unbilled)
        charged = response.meta.credits_charged if response.meta else None
        known = Verdict(
            Outcome.OK,
            request_id=response.meta.request_id if response.meta else None,
            credits=amount(charged),
        )
        if response.data is None:
            return _changed(known, Outcome.MALFORMED, "no_data")
        if endpoint in (VIDEOS, SEARCH, BALANCE):
            # These have no lookupStatus: an empty list may mean none, private or unknown (docs/vendors.md 3.3).
            return known if endpoint == BALANCE else _judge_list(known, response.data)
        lookup = response.data.lookup_status or _inferred_lookup(endpoint, response.data)
        if lookup == "not_found":
            return _changed(known, Outcome.NOT_FOUND, "not_found")
        if lookup == "private":
            return _changed(known, Outcome.PRIVATE, "private")
        if lookup == "hidden":
            return _changed(known, Outcome.PRIVATE, "hidden")
        if lookup != "found":
            return _changed(known, Outcome.MALFORMED, "no_lookup_status")
        if endpoint == FOLLOWERS:
            return _judge_list(known, response.data)
        if endpoint == LIVE and response.data.live_status == "offline":
            return _changed(known, Outcome.NOT_LIVE, None)
        return known

    def describe_balance(self, body: bytes) -> str:
        """Describe `data.balance` of /v1/balance."""
        balance = amount(vendor.decode(_balance_body, body).data.balance)
        return "the response reports no credits" if balance is None else f"{balance:,.10g} credits left"

    def read(self, endpoint: str, outcome: Outcome, body: bytes) -> Iterator[Reading | Problem]:
        """Yield a profile, a live state with profile and playback variants, or the items of a page."""
        notes = Notes()
        yield from self._readings(endpoint, outcome, body, notes)
        yield from notes.problems

    @staticmethod
    def _readings(endpoint: str, outcome: Outcome, body: bytes, notes: Notes) -> Iterator[Reading | Problem]:
        if endpoint == PROFILE and outcome in (Outcome.OK, Outcome.PRIVATE):
            data = vendor.decode(_profile_body, body, notes).data
            if data.profile is None and data.metrics is None:
                raise Unreadable("found, but no profile", "data.profile", None)
            yield _profile(data.profile or _Profile(), data.metrics, "profile", notes)
        elif endpoint == LIVE and outcome is Outcome.NOT_FOUND:
            yield LiveReading(live_state="unknown", evidence="weak", reason="not_found")
        elif endpoint == LIVE and outcome in (Outcome.OK, Outcome.NOT_LIVE):
            yield from _live(vendor.decode(_live_body, body, notes).data, notes)
        elif endpoint in _ITEMS and outcome is Outcome.OK:
            yield from _items(endpoint, vendor.decode(_lookup_body, body, notes).data, notes)


def _price_of_failure(endpoint: str, status: int) -> float | None:
    """Return the listed price of a failure; None if it is not known (docs/vendors.md 3.1)."""
    if status == 502:
        return {PROFILE: 1.0, VIDEOS: 0.0}.get(endpoint)
    return 0.0 if status >= 400 and status != 500 else None


def _inferred_lookup(endpoint: str, head: _Head) -> str | None:
    """Return `found` for a response that lacks lookupStatus but has the requested data; otherwise None."""
    has_data = {
        LIVE: head.live_status in ("live", "offline"),
        PROFILE: bytes(head.profile)[:1] == b"{",
        FOLLOWERS: bool(head.items),
    }
    return "found" if has_data[endpoint] else None


def _judge_list(known: Verdict, head: _Head) -> Verdict:
    if head.items is None:
        return _changed(known, Outcome.MALFORMED, "no_list")
    page = head.page or _PageEnd()
    cursor = vendor.next_cursor(identifier(page.next_cursor), page.has_more, empty=not head.items)
    outcome = known.outcome if head.items else Outcome.EMPTY
    return Verdict(outcome, None, known.request_id, known.credits, next_cursor=cursor)


def _changed(verdict: Verdict, outcome: Outcome, error: str | None) -> Verdict:
    return Verdict(outcome, error, verdict.request_id, verdict.credits)


def _refusal(
    status: int, headers: Mapping[str, str], body: bytes, fault: _Fault | None, charged: float | None
) -> Verdict:
    code = fault.code if fault else None
    if status == 429:
        outcome = Outcome.RATE_LIMITED
    else:
        fallback = Outcome.SERVER_ERROR if status >= 500 else Outcome.INVALID_REQUEST
        if status in (401, 403):
            fallback = Outcome.UNAUTHORIZED
        outcome = _OUTCOMES.get(code or "", fallback)
    return Verdict(
        outcome,
        code or f"http_{status}",
        fault.request_id if fault else None,
        charged,
        retry_after(headers, body),
    )


def _profile(profile: _Profile, metrics: _Metrics | None, source: str, notes: Notes) -> ProfileReading:
    metrics = metrics or _Metrics(followers=profile.follower_count, following=profile.following_count)
    followers, precision, unit = notes.followers(metrics.followers, exact_precision, "followers")
    return ProfileReading(
        source=source,
        user_id=identifier(profile.platform_user_id),
        sec_uid=identifier(profile.sec_uid),
        handle=handle(profile.handle),
        display_name=profile.display_name,
        bio=profile.bio,
        avatar_url=notes.address(profile.avatar_url, "avatarUrl"),
        verified=profile.verified,
        private=profile.private_account,
        language=profile.language,
        region=profile.region,
        followers=followers,
        following=notes.count(metrics.following, "following"),
        likes=notes.count(metrics.likes, "likes"),
        videos=notes.count(metrics.posts, "posts"),
        followers_precision=precision,
        followers_unit=unit,
    )


def _live(data: _LiveData, notes: Notes) -> Iterator[Reading]:
    if data.profile is not None:
        yield _profile(data.profile, None, "live", notes)
    live = data.live
    room_id = identifier(live.room_id) if live else None
    if data.live_status == "offline":
        yield LiveReading(live_state="ended", evidence="weak")
    elif data.live_status == "live" and live is not None:
        yield LiveReading(
            live_state="live",
            # Without a room id, or with "0": on air in an unknown room.
            evidence="strong" if room_id else "weak",
            room_id=room_id,
            title=live.title,
            started_at=notes.instant(live.started_at, "live.startedAt"),
            viewers=notes.count(live.viewer_count, "live.viewerCount"),
            viewers_total=notes.count(live.enter_count, "live.enterCount"),
            cover_url=notes.address(live.cover_url, "live.coverUrl"),
        )
    else:
        yield LiveReading(
            live_state="unknown",
            evidence="weak",
            reason="live without a room" if data.live_status == "live" else f"liveStatus {data.live_status}",
        )
    for stream in live.streams if live else ():
        width, height = resolution(stream.resolution)
        yield VariantReading(
            room_id=room_id,
            codec=stream.codec_family,
            source=stream.source,
            quality=stream.quality_key,
            label=stream.quality_label,
            flv_url=notes.address(stream.flv_url, "live.streams[].flvUrl"),
            hls_url=notes.address(stream.hls_url, "live.streams[].hlsUrl"),
            cmaf_url=notes.address(stream.cmaf_url, "live.streams[].cmafUrl"),
            width=width,
            height=height,
            bitrate_bps=notes.count(stream.bitrate, "live.streams[].bitrate"),
        )


def _items(endpoint: str, head: _Head | None, notes: Notes) -> Iterator[Reading | Problem]:
    for place, item in enumerate((head.items if head else None) or (), 1):
        try:
            yield _ITEMS[endpoint](item, place, notes)
        except Unreadable as error:
            yield error.problem


def _post(item: msgspec.Raw, place: int, notes: Notes) -> PostReading:
    post = vendor.decode(_post_item, item, notes)
    post_id = identifier(post.id)
    if post_id is None:
        raise Unreadable("a post without an id", "data.videos[].id", None)
    return PostReading(
        post_id=post_id,
        published_at=notes.instant(post.created_at, "createdAt"),
        caption=post.caption,
        pinned=post.pinned,
        duration_s=notes.seconds(post.duration_ms, "durationMs", milliseconds=True),
        views=notes.count(post.stats.views, "stats.views"),
        likes=notes.count(post.stats.likes, "stats.likes"),
        comments=notes.count(post.stats.comments, "stats.comments"),
        shares=notes.count(post.stats.shares, "stats.shares"),
        saves=notes.count(post.stats.saves, "stats.saves"),
    )


def _follower(item: msgspec.Raw, place: int, notes: Notes) -> FollowerReading:
    person = vendor.decode(_person_item, item, notes)
    follower = identifier(person.platform_user_id) or identifier(person.sec_uid)
    if follower is None:
        raise Unreadable("a follower without an id", "data.followers[].platformUserId", None)
    return FollowerReading(follower_id=follower, position=place)


def _hit(item: msgspec.Raw, place: int, notes: Notes) -> HitReading:
    person = vendor.decode(_person_item, item, notes)
    return HitReading(
        rank=place,
        handle=handle(person.handle),
        user_id=identifier(person.platform_user_id),
        followers=notes.count(person.follower_count, "followerCount"),
    )


_ITEMS: dict[str, Callable[[msgspec.Raw, int, Notes], Reading]] = {VIDEOS: _post, FOLLOWERS: _follower, SEARCH: _hit}
