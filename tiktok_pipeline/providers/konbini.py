"""KonbiniAPI: profiles, live streams, stories, posts, followers and searches, in ActivityStreams shapes.

Wire facts (docs/vendors.md 2): bearer key; `{"data": ...}` or `{"errors": [...], "data": null}`; one credit a request,
misses included, refunded on 400 and 5xx; counts rounded as on TikTok's web page. `/live` responds 404 for offline,
private and unknown creators alike. Fields were renamed without a version, so both spellings are read (`internalId`
became `entityId`, `summary` became `content`, `videoCount` became `mediaCount`, `image` became a list).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import msgspec

from tiktok_pipeline.providers import vendor
from tiktok_pipeline.providers.accounts import Account, frequent, of_one_author
from tiktok_pipeline.providers.headers import number, retry_after
from tiktok_pipeline.providers.identifiers import path_part
from tiktok_pipeline.providers.observations import (
    ABSENT,
    FollowerReading,
    HitReading,
    LiveReading,
    Notes,
    PostReading,
    Problem,
    ProfileReading,
    Reading,
    Scalar,
    StoryReading,
    VariantReading,
    handle,
    identifier,
    web_precision,
)
from tiktok_pipeline.providers.vendor import Limits, Outcome, Request, Target, Unreadable, Verdict

USER = "/v1/tiktok/users/{username}"
LIVE = "/v1/tiktok/users/{username}/live"
STORIES = "/v1/tiktok/users/{username}/stories"
VIDEOS = "/v1/tiktok/users/{username}/videos"
FOLLOWERS = "/v1/tiktok/users/{username}/followers"
SEARCH = "/v1/tiktok/search/users"

# Largest page sizes: each page costs one credit, whatever its size (the default of stories is 4).
_PAGE_SIZES = {STORIES: "35", VIDEOS: "35", FOLLOWERS: "30", SEARCH: "10"}

_OUTCOMES = {
    "validation_error": Outcome.INVALID_REQUEST,
    "missing_api_key": Outcome.UNAUTHORIZED,
    "invalid_api_key": Outcome.UNAUTHORIZED,
    "api_key_disabled": Outcome.UNAUTHORIZED,
    "api_key_expired": Outcome.UNAUTHORIZED,
    "credits_exhausted": Outcome.OUT_OF_CREDITS,
    "not_found": Outcome.NOT_FOUND,
    "route_not_found": Outcome.INVALID_REQUEST,
    "internal_error": Outcome.SERVER_ERROR,
    "platform_error": Outcome.SERVER_ERROR,
    "service_unavailable": Outcome.SERVER_ERROR,
}


_NOTHING = (b"null", b"{}")


class _Person(msgspec.Struct, rename="camel"):
    entity_id: Scalar = None
    internal_id: Scalar = None
    user_id: Scalar = None
    preferred_username: str | None = None
    name: str | None = None
    summary: str | None = None
    is_private: bool | None = None
    is_verified: bool | None = None
    is_live: bool | None = None
    follower_count: Scalar = None
    following_count: Scalar = None
    like_count: Scalar = None
    media_count: Scalar = None
    video_count: Scalar = None
    language: str | None = None
    icon: object = None
    image: object = None


class _Attachment(msgspec.Struct, rename="camel"):
    type: str | None = None
    url: object = None
    media_type: str | None = None
    name: str | None = None
    codec: str | None = None
    width: Scalar = None
    height: Scalar = None
    bitrate: Scalar = None


class _Audio(msgspec.Struct):
    name: str | None = None


class _Video(msgspec.Struct, rename="camel"):
    entity_id: Scalar = None
    internal_id: Scalar = None
    is_live: bool | None = None
    published: Scalar = None
    end_time: Scalar = None
    content: str | None = None
    summary: str | None = None
    duration: Scalar = None
    view_count: Scalar = None
    viewer_count: Scalar = None
    like_count: Scalar = None
    comment_count: Scalar = None
    share_count: Scalar = None
    save_count: Scalar = None
    repost_count: Scalar = None
    attributed_to: _Person | None = None
    attachment: list[_Attachment] = []
    image: object = None
    audio: _Audio | None = None


class _Page(msgspec.Struct, rename="camel"):
    # Unset if the list is missing or not a list: such a page is not empty. Null is an empty page.
    ordered_items: list[msgspec.Raw] | msgspec.UnsetType | None = msgspec.UNSET
    next_cursor: Scalar = None

    @property
    def items(self) -> list[msgspec.Raw]:
        return self.ordered_items or []


class _Fault(msgspec.Struct):
    code: str | None = None


class _Envelope(msgspec.Struct):
    # Raw accepts null too, but a union of Raw and None would accept nothing else.
    data: msgspec.Raw = msgspec.Raw(b"null")
    errors: list[_Fault] = []


_envelope = msgspec.json.Decoder(_Envelope)
_person = msgspec.json.Decoder(_Person)
_video = msgspec.json.Decoder(_Video)
_page = msgspec.json.Decoder(_Page)


class Konbini(vendor.Vendor):
    """KonbiniAPI."""

    name: ClassVar[str] = "konbini"
    base_url_variable: ClassVar[str] = "KONBINI_BASE_URL"
    base_url: ClassVar[str] = "https://api.konbiniapi.com"
    credential_variables: ClassVar[tuple[str, ...]] = ("KONBINI_API_KEY",)
    endpoints: ClassVar[Mapping[str, str]] = {
        USER: "profile",
        LIVE: "live",
        STORIES: "stories",
        VIDEOS: "posts",
        FOLLOWERS: "followers",
        SEARCH: "user_search",
    }
    # The vendor documents no rate limit.
    limits: ClassVar[Limits] = Limits(requests_per_second=20, max_in_flight=16)

    def authentication(self, credentials: tuple[str, ...]) -> dict[str, str]:
        """`Authorization: Bearer knbn_...`."""
        return {"Authorization": f"Bearer {credentials[0]}"}

    def request(self, capability: str, target: Target, *, page: int = 0, cursor: str | None = None) -> Request | None:
        """Build the request: by handle, or for a search by keyword."""
        endpoint, target = self.endpoint_of(capability), vendor.with_valid_ids(target)
        if endpoint is None or not vendor.sendable(cursor):
            return None
        params = {"count": _PAGE_SIZES[endpoint]} if endpoint in _PAGE_SIZES else {}
        subject = target.handle
        if endpoint == SEARCH:
            subject = target.subject or ""
            params["query"] = subject
        elif not subject:
            return None
        if cursor is not None:
            params["cursor"] = cursor
        path = endpoint.format(username=path_part(target.handle))
        return Request(endpoint, subject, path, params, target.creator_id or None, page, cursor)

    def judge(self, endpoint: str, status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
        """Judge by the error code; credits come from `X-Credits-Used`, else from the price list."""
        charged = number(headers, "x-credits-used")
        if charged is None and status >= 400 and status != 404:
            charged = 0.0
        odd = vendor.judge_not_json(status, headers, body)
        if odd is not None:
            return vendor.with_credits(odd, charged)
        try:
            envelope = vendor.decode(_envelope, body)
        except Unreadable as error:
            return Verdict(
                Outcome.SERVER_ERROR if status >= 500 else Outcome.MALFORMED,
                error.problem.reason[:80],
                credits=charged,
            )
        code = vendor.error_code(envelope.errors[0].code) if envelope.errors else None
        if code == "route_not_found" and charged is None:
            charged = 0.0
        if status == 429:
            return Verdict(Outcome.RATE_LIMITED, code, credits=charged, retry_after_s=retry_after(headers, body))
        if code is not None or status >= 400:
            fallback = Outcome.SERVER_ERROR if status >= 500 else Outcome.INVALID_REQUEST
            if status in (401, 403):
                fallback = Outcome.UNAUTHORIZED
            return Verdict(
                _OUTCOMES.get(code or "", fallback),
                code or f"http_{status}",
                credits=charged,
                retry_after_s=retry_after(headers, b""),
            )
        if bytes(envelope.data) in _NOTHING:
            return Verdict(Outcome.MALFORMED, "no_data", credits=charged)
        if endpoint not in _PAGE_SIZES:
            return Verdict(Outcome.OK, credits=charged)
        try:
            page = vendor.decode(_page, envelope.data)
        except Unreadable as error:
            return Verdict(Outcome.MALFORMED, error.problem.reason[:80], credits=charged)
        if page.ordered_items is msgspec.UNSET:
            return Verdict(Outcome.MALFORMED, "no_list", credits=charged)
        # A next cursor means that there is more, also on an empty page.
        return Verdict(
            Outcome.OK if page.items else Outcome.EMPTY,
            credits=charged,
            next_cursor=identifier(page.next_cursor),
        )

    def read(self, endpoint: str, outcome: Outcome, body: bytes) -> Iterator[Reading | Problem]:
        """Yield a profile, a live state with variants, or the items of a page."""
        notes = Notes()
        yield from self._readings(endpoint, outcome, body, notes)
        yield from notes.problems

    @staticmethod
    def _readings(endpoint: str, outcome: Outcome, body: bytes, notes: Notes) -> Iterator[Reading | Problem]:
        if outcome is Outcome.NOT_FOUND:
            if endpoint == LIVE:
                yield LiveReading(live_state="unknown", evidence="weak", reason=ABSENT)
            return
        if outcome not in (Outcome.OK, Outcome.EMPTY):
            return
        data = vendor.decode(_envelope, body, notes).data
        if bytes(data) in _NOTHING:
            raise Unreadable("no data", "data", vendor.text(body))
        if endpoint == USER:
            person = vendor.decode(_person, data, notes)
            yield _profile(person, "profile", notes)
            if person.is_live is not None:
                yield LiveReading(live_state="live" if person.is_live else "ended", evidence="weak")
        elif endpoint == LIVE:
            yield from _live(vendor.decode(_video, data, notes), notes)
        elif endpoint == STORIES:
            yield from _videos(vendor.decode(_page, data, notes), _story, "story", notes)
        elif endpoint == VIDEOS:
            yield from _videos(vendor.decode(_page, data, notes), _post, "post", notes)
        elif endpoint in (FOLLOWERS, SEARCH):
            yield from _people(vendor.decode(_page, data, notes), endpoint, notes)


def _profile(person: _Person, source: str, notes: Notes) -> ProfileReading:
    followers, precision, unit = notes.followers(person.follower_count, web_precision, "followerCount")
    videos = person.media_count if person.media_count is not None else person.video_count
    return ProfileReading(
        source=source,
        user_id=identifier(person.user_id),
        sec_uid=identifier(person.entity_id, person.internal_id),
        handle=handle(person.preferred_username),
        display_name=person.name,
        bio=person.summary,
        avatar_url=notes.address(person.icon, "icon") or notes.address(person.image, "image"),
        verified=person.is_verified,
        private=person.is_private,
        language=person.language,
        followers=followers,
        following=notes.count(person.following_count, "followingCount"),
        likes=notes.count(person.like_count, "likeCount"),
        videos=notes.count(videos, "mediaCount"),
        followers_precision=precision,
        followers_unit=unit,
    )


def _live(video: _Video, notes: Notes) -> Iterator[Reading]:
    # The nested attributedTo.isLive may be false in the same body: the top level is right (docs/vendors.md 2.3).
    room_id = identifier(video.entity_id, video.internal_id)
    if video.is_live is None:
        # The vendor documents that a success means live (docs/vendors.md 2.3); without a room it may be another object.
        state, reason = ("live" if room_id else "unknown"), "isLive is missing"
    else:
        state, reason = ("live" if video.is_live else "ended"), None
    yield LiveReading(
        live_state=state,  # type: ignore[arg-type]
        evidence="strong" if room_id and video.is_live else "weak",
        room_id=room_id,
        title=video.content or video.summary,
        started_at=notes.instant(video.published, "published"),
        viewers=notes.count(video.viewer_count, "viewerCount"),
        viewers_total=notes.count(video.view_count, "viewCount"),
        likes=notes.count(video.like_count, "likeCount"),
        cover_url=notes.address(video.image, "image"),
        reason=reason,
    )
    if video.attributed_to is not None:
        yield _profile(video.attributed_to, "live", notes)
    for attachment in video.attachment:
        url = notes.address(attachment.url, "attachment[].url")
        yield VariantReading(
            room_id=room_id,
            codec=attachment.codec,
            source="primary",
            quality=attachment.name,
            flv_url=url if attachment.name == "flv" or (url or "").endswith(".flv") else None,
            hls_url=url if (url or "").endswith(".m3u8") else None,
            width=notes.count(attachment.width, "attachment[].width"),
            height=notes.count(attachment.height, "attachment[].height"),
            bitrate_bps=notes.count(attachment.bitrate, "attachment[].bitrate"),
        )


def _videos(
    page: _Page, read: Callable[[_Video, Notes], Reading], source: str, notes: Notes
) -> Iterator[Reading | Problem]:
    items: list[tuple[Reading, Account]] = []
    authors: dict[Account, _Person] = {}
    for item in page.items:
        try:
            video = vendor.decode(_video, item, notes)
            reading = read(video, notes)
        except Unreadable as error:
            yield error.problem
            continue
        account = _account(video.attributed_to) if video.attributed_to else Account()
        items.append((reading, account))
        if video.attributed_to:
            authors.setdefault(account, video.attributed_to)
    yield from of_one_author(items, "orderedItems[].attributedTo")
    # Each item of a page repeats the same author: the page gives one reading of the profile.
    author = authors.get(frequent(account for _, account in items))
    if author is not None:
        yield _profile(author, source, notes)


def _account(person: _Person) -> Account:
    return Account.of(identifier(person.user_id), identifier(person.entity_id, person.internal_id))


def _people(page: _Page, endpoint: str, notes: Notes) -> Iterator[Reading | Problem]:
    """Yield followers or hits. `totalItems` is ignored: the vendor's examples contradict it (docs/vendors.md 2.4)."""
    for place, item in enumerate(page.items, 1):
        try:
            person = vendor.decode(_person, item, notes)
        except Unreadable as error:
            yield error.problem
            continue
        user_id = identifier(person.user_id)
        if endpoint == SEARCH:
            name = handle(person.preferred_username)
            followers = notes.count(person.follower_count, "followerCount")
            yield HitReading(rank=place, handle=name, user_id=user_id, followers=followers)
            continue
        # There is no numeric id: the secUid is equally stable.
        follower = user_id or identifier(person.entity_id, person.internal_id)
        if follower is None:
            yield Problem("a follower without an id", "entityId", None)
            continue
        yield FollowerReading(follower_id=follower, position=place)


def _post(video: _Video, notes: Notes) -> PostReading:
    post_id = identifier(video.entity_id, video.internal_id)
    if post_id is None:
        raise Unreadable("a post without an id", "entityId", None)
    return PostReading(
        post_id=post_id,
        **_of_item(video, notes),
    )


def _story(video: _Video, notes: Notes) -> StoryReading:
    story_id = identifier(video.entity_id, video.internal_id)
    if story_id is None:
        raise Unreadable("a story without an id", "entityId", None)
    media = video.attachment[0] if video.attachment else None
    kind = (media.type or "").lower() if media else ""
    if media is not None and media.media_type:
        kind = media.media_type.split("/", 1)[0]
    return StoryReading(
        story_id=story_id,
        **_of_item(video, notes),
        expires_at=notes.instant(video.end_time, "endTime"),
        media_type=kind if kind in ("video", "image") else None,
        reposts=notes.count(video.repost_count, "repostCount"),
        media_url=notes.address(media.url, "attachment[].url") if media else notes.address(video.image, "image"),
        music=video.audio.name if video.audio else None,
    )


def _of_item(video: _Video, notes: Notes) -> dict[str, Any]:
    """Return the common columns of a post and a story."""
    return {
        "published_at": notes.instant(video.published, "published"),
        "caption": video.content or video.summary,
        "duration_s": notes.seconds(video.duration, "duration"),
        "views": notes.count(video.view_count, "viewCount"),
        "likes": notes.count(video.like_count, "likeCount"),
        "comments": notes.count(video.comment_count, "commentCount"),
        "shares": notes.count(video.share_count, "shareCount"),
        "saves": notes.count(video.save_count, "saveCount"),
    }
