"""TikHub (tikhubapi.com): rooms as TikTok's webcast API describes them, rankings, users, stories.

Wire facts (docs/vendors.md 5 and docs/vendors.md 6): Basic auth; `{"code", "msg", "data": {"data": room}}`; the double
slash of the path is the vendor's. Status 2 is live, 3 paused, 4 ended; `finish_time` is an end only with status 4.
Numeric ids are damaged, so the `*_str` twins are read. A 0 in `stats` means "not supplied". A spent quota gives HTTP
500 with a text; `code: 500` in a body must be retried; 428 is an expired session. No price per request is published:
credits are the operator's `credits_per_request`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar, TypeVar

import msgspec

from tiktok_pipeline.providers import upstream, vendor
from tiktok_pipeline.providers.headers import retry_after
from tiktok_pipeline.providers.observations import (
    ON_AIR,
    LiveReading,
    LiveState,
    Notes,
    Problem,
    ProfileReading,
    RankingReading,
    Reading,
    Scalar,
    VariantReading,
    amount,
    count,
    exact_precision,
    handle,
    identifier,
    resolution,
)
from tiktok_pipeline.providers.vendor import Limits, Outcome, Request, Target, Unreadable, Verdict

ROOM = "/api/v1//live/info"
# Documented only as menu entries: paths, parameters and bodies are guesses, modelled on TikTok's own structures.
USER = "/api/v1//user/info"
CHECK = "/api/v1//live/check"
RANKING = "/api/v1//live/ranking"
RANKING_OF = "/api/v1//live/ranking/info"
STORIES = "/api/v1//user/stories"
KEY = "/api/v1//key/info"

# Numbers of TikTok's lists in a sibling product (docs/vendors.md 5.2).
_LISTS = {"hourly": "0", "daily": "8"}

T = TypeVar("T")

_STATES: dict[int, LiveState] = {2: "live", 3: "paused", 4: "ended"}
_ROOM_ENDED = 30003
_BAD_ROOM = 10011
# The user is missing, blocked, or withheld.
_NO_USER = (10221, 2065)
# Denied, login required, age-gated: no information about the room (docs/vendors.md 6.4).
_BLOCKED = {4003110, 4003182, 20003}


class _FollowInfo(msgspec.Struct):
    follower_count: Scalar = None
    following_count: Scalar = None


class _Owner(msgspec.Struct):
    id: Scalar = None
    id_str: Scalar = None
    sec_uid: Scalar = None
    display_id: str | None = None
    nickname: str | None = None
    bio_description: str | None = None
    verified: bool | None = None
    avatar_thumb: object = None
    follow_info: _FollowInfo | None = None


class _Stats(msgspec.Struct):
    total_user: Scalar = None
    follow_count: Scalar = None
    gift_uv_count: Scalar = None


class _PullData(msgspec.Struct):
    stream_data: str | None = None


class _SdkData(msgspec.Struct):
    pull_data: _PullData | None = None


class _StreamUrl(msgspec.Struct):
    live_core_sdk_data: _SdkData | None = None


class _Room(msgspec.Struct):
    id: Scalar = None
    id_str: Scalar = None
    status: Scalar = None
    title: str | None = None
    create_time: Scalar = None
    start_time: Scalar = None
    finish_time: Scalar = None
    user_count: Scalar = None
    like_count: Scalar = None
    stats: _Stats | None = None
    owner: _Owner | None = None
    cover: object = None
    stream_url: _StreamUrl | None = None
    message: str | None = None


class _Inner(msgspec.Struct):
    data: _Room | None = None
    status_code: int | None = None


class _Envelope(msgspec.Struct):
    code: int | None = None
    msg: str | None = None
    message: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"null")


class _Alive(msgspec.Struct):
    alive: bool | None = None


class _Checked(msgspec.Struct):
    data: list[_Alive] | None = None
    status_code: int | None = None


class _UserInfo(msgspec.Struct):
    user: upstream.User | None = None
    stats: upstream.Stats | None = None
    exact: upstream.Stats | None = msgspec.field(name="statsV2", default=None)


class _Detail(msgspec.Struct):
    """A user in web spelling (`userInfo`) or in the mobile app's (`user`)."""

    user_info: _UserInfo | None = msgspec.field(name="userInfo", default=None)
    user: upstream.User | None = None
    status_code: int | None = None
    web_status_code: int | None = msgspec.field(name="statusCode", default=None)

    @property
    def found(self) -> upstream.User | None:
        return self.user_info.user if self.user_info else self.user


class _StoryPage(msgspec.Struct):
    items: list[msgspec.Raw] | None = msgspec.field(name="itemList", default=None)
    has_more: bool | int | None = msgspec.field(name="HasMoreAfter", default=None)
    min_cursor: Scalar = msgspec.field(name="MinCursor", default=None)
    total_count: Scalar = msgspec.field(name="TotalCount", default=None)
    status_code: int | None = None


class _Place(msgspec.Struct):
    user: _Owner | None = None
    rank: Scalar = None
    score: Scalar = None


class _Ranking(msgspec.Struct):
    ranks: list[_Place] | None = None
    anchor_info: _Place | None = None
    begin_time: Scalar = None
    currency: str | None = None


class _RankingData(msgspec.Struct):
    data: _Ranking | None = None
    status_code: int | None = None


class _Key(msgspec.Struct):
    remaining: Scalar = None
    balance: Scalar = None
    quota: Scalar = None


class _KeyBody(msgspec.Struct):
    data: _Key = msgspec.field(default_factory=_Key)


class _Main(msgspec.Struct):
    flv: str | None = None
    hls: str | None = None
    cmaf: str | None = None
    sdk_params: str | None = None


class _Quality(msgspec.Struct):
    main: _Main | None = None


class _StreamData(msgspec.Struct):
    data: dict[str, _Quality] = {}


class _SdkParams(msgspec.Struct):
    resolution: str | None = None
    codec: str | None = msgspec.field(name="VCodec", default=None)
    bitrate: Scalar = msgspec.field(name="vbitrate", default=None)


_USAGE_LIMIT = re.compile(rb"usage limit", re.IGNORECASE)

_envelope = msgspec.json.Decoder(_Envelope)
_inner = msgspec.json.Decoder(_Inner)
_checked = msgspec.json.Decoder(_Checked)
_detail = msgspec.json.Decoder(_Detail)
_story_page = msgspec.json.Decoder(_StoryPage)
_ranking_data = msgspec.json.Decoder(_RankingData)
_key_body = msgspec.json.Decoder(_KeyBody)
_stream_data = msgspec.json.Decoder(_StreamData)
_sdk_params = msgspec.json.Decoder(_SdkParams)


class TikHub(vendor.Vendor):
    """TikHub (tikhubapi.com)."""

    name: ClassVar[str] = "tikhub"
    base_url_variable: ClassVar[str] = "TIKHUB_BASE_URL"
    base_url: ClassVar[str] = "https://api.tikhubapi.com"
    credential_variables: ClassVar[tuple[str, ...]] = ("TIKHUB_USERNAME", "TIKHUB_PASSWORD")
    endpoints: ClassVar[Mapping[str, str]] = {
        ROOM: "room",
        USER: "identity",
        CHECK: "live_check",
        RANKING: "live_ranking",
        RANKING_OF: "live_ranking_of",
        STORIES: "stories",
        KEY: "balance",
    }
    # The product family documents only "no high QPS"; its sibling documents about 10 a second.
    limits: ClassVar[Limits] = Limits(requests_per_second=5, max_in_flight=4)

    def authentication(self, credentials: tuple[str, ...]) -> dict[str, str]:
        """`Authorization: Basic base64(username:password)`."""
        pair = base64.b64encode(":".join(credentials).encode()).decode()
        return {"Authorization": f"Basic {pair}"}

    def request(self, capability: str, target: Target, *, page: int = 0, cursor: str | None = None) -> Request | None:
        """Build the request: a room by its id and its owner's (both are required), a user by id, a ranking by list."""
        endpoint, target = self.endpoint_of(capability), vendor.with_valid_ids(target)
        params = self._parameters(capability, target) if endpoint is not None else None
        if endpoint is None or params is None or not vendor.sendable(cursor):
            return None
        if cursor is not None:
            params["cursor"] = cursor
        subject = target.subject or params.get("room_id") or params.get("user_id") or "account"
        return Request(endpoint, subject, endpoint, params, target.creator_id or None, page, cursor)

    @staticmethod
    def _parameters(capability: str, target: Target) -> dict[str, str] | None:
        room, user = target.room_id, target.user_id
        if capability in ("room", "live_ranking_of"):
            return {"room_id": room, "user_id": user} if room and user else None
        if capability == "live_check":
            return {"room_id": room} if room else None
        if capability == "live_ranking":
            kind, _, region = (target.subject or "").partition(":")
            return {"rank_type": _LISTS[kind], "region": region} if region and kind in _LISTS else None
        if capability == "balance":
            return {}
        return {"user_id": user} if user else None

    def describe_balance(self, body: bytes) -> str:
        """Describe the response of /key/info; its fields are guesses."""
        key = vendor.decode(_key_body, body).data
        amounts = map(amount, (key.remaining, key.balance, key.quota))
        left = next((found for found in amounts if found is not None), None)
        return "the response reports no credits" if left is None else f"{left:,.10g} credits left"

    def judge(self, endpoint: str, status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
        """Judge 500 by its text, and 200 by `code` and `status_code`."""
        # Only in an error response: a room's title may contain the same words.
        if status >= 400 and _USAGE_LIMIT.search(body[:2000]):
            return Verdict(Outcome.OUT_OF_CREDITS, "usage_limit", credits=0.0)
        if status == 428:
            return Verdict(Outcome.SESSION_EXPIRED, "http_428", credits=0.0)
        unbilled = 0.0 if status >= 400 else None
        odd = vendor.judge_not_json(status, headers, body)
        if odd is not None:
            return vendor.with_credits(odd, unbilled)
        wait = retry_after(headers, body)
        refusals = {
            400: Outcome.INVALID_REQUEST,
            401: Outcome.UNAUTHORIZED,
            402: Outcome.OUT_OF_CREDITS,
            403: Outcome.UNAUTHORIZED,
            404: Outcome.INVALID_REQUEST,
            429: Outcome.RATE_LIMITED,
        }
        if status >= 400:
            outcome = refusals.get(status, Outcome.SERVER_ERROR if status >= 500 else Outcome.INVALID_REQUEST)
            return Verdict(outcome, f"http_{status}", credits=0.0, retry_after_s=wait)
        try:
            response = vendor.decode(_envelope, body)
        except Unreadable as error:
            return Verdict(Outcome.MALFORMED, error.problem.reason[:80])
        if response.code is None and bytes(response.data) == b"null":
            return Verdict(Outcome.MALFORMED, "no_code")
        # Without a code, the data decides.
        if response.code and _USAGE_LIMIT.search(f"{response.msg} {response.message}".encode()):
            return Verdict(Outcome.OUT_OF_CREDITS, "usage_limit", credits=0.0)
        if response.code:
            # A sibling product documents 500 as a temporary risk control, to be retried (docs/vendors.md 5.3).
            outcome = Outcome.SERVER_ERROR if response.code >= 500 else Outcome.INVALID_REQUEST
            return Verdict(
                Outcome.RATE_LIMITED if response.code == 429 else outcome,
                f"code_{response.code}",
                retry_after_s=wait,
            )
        if endpoint == KEY:
            return Verdict(Outcome.OK, credits=0.0)
        return _JUDGES.get(endpoint, _judge_room)(response.data)

    def read(self, endpoint: str, outcome: Outcome, body: bytes) -> Iterator[Reading | Problem]:
        """Yield a room's state, its owner's profile and its playback variants; or a user, a ranking, stories."""
        notes = Notes()
        yield from self._readings(endpoint, outcome, body, notes)
        yield from notes.problems

    @staticmethod
    def _readings(endpoint: str, outcome: Outcome, body: bytes, notes: Notes) -> Iterator[Reading | Problem]:
        if endpoint not in (ROOM, CHECK):
            if outcome is Outcome.OK and endpoint in _READERS:
                yield from _READERS[endpoint](vendor.decode(_envelope, body, notes).data, notes)
            return
        if outcome is Outcome.NOT_LIVE:
            yield LiveReading(live_state="ended", evidence="strong", reason="room has finished")
            return
        if outcome is not Outcome.OK:
            return
        if endpoint == CHECK:
            # Observed to report alive for any id, and to flap (docs/vendors.md 6.3): always weak evidence.
            yield LiveReading(live_state="live", evidence="weak", reason="check says alive")
            return
        room = vendor.decode(_inner, vendor.decode(_envelope, body, notes).data, notes).data
        if room is None:
            raise Unreadable("no room", "data.data", vendor.text(body))
        yield from _live(room, notes)


def _refused(code: int | None) -> Verdict | None:
    """Return the verdict on TikTok's own error code (docs/vendors.md 6.4); None for 0."""
    if code == _ROOM_ENDED:
        return Verdict(Outcome.NOT_LIVE, str(code))
    if code in (_BAD_ROOM, *_NO_USER):
        return Verdict(Outcome.NOT_FOUND, str(code))
    if code in _BLOCKED:
        return Verdict(Outcome.BLOCKED, str(code))
    return Verdict(Outcome.SERVER_ERROR, str(code)) if code else None


def _judge_room(data: msgspec.Raw) -> Verdict:
    inner = _decoded(_inner, data)
    if inner is None:
        return Verdict(Outcome.MALFORMED, "no_room")
    refused = _refused(inner.status_code)
    if refused is not None:
        return refused
    room = inner.data
    # A room without an id still has a status; without either, there is no room.
    if room is None or (identifier(room.id_str, room.id) is None and count(room.status) not in _STATES):
        return Verdict(Outcome.MALFORMED, "no_room")
    return Verdict(Outcome.OK)


def _judge_check(data: msgspec.Raw) -> Verdict:
    checked = _decoded(_checked, data)
    if checked is None or (checked.data is None and not checked.status_code):
        return Verdict(Outcome.MALFORMED, "no_check")
    if checked.status_code:
        return _refused(checked.status_code) or Verdict(Outcome.MALFORMED, "no_check")
    if not checked.data:
        return Verdict(Outcome.NOT_FOUND, "no_room")
    return Verdict(Outcome.OK) if checked.data[0].alive else Verdict(Outcome.EMPTY, "not_alive")


def _judge_user(data: msgspec.Raw) -> Verdict:
    detail = _decoded(_detail, data)
    if detail is None:
        return Verdict(Outcome.MALFORMED, "no_user")
    refused = _refused(detail.status_code or detail.web_status_code)
    if refused is not None:
        return refused
    found = detail.found
    known = found is not None and identifier(found.id_str, found.id, found.uid) is not None
    # TikTok withholds a user as HTTP 200 with empty user and stats (docs/vendors.md 6.4).
    return Verdict(Outcome.OK) if known else Verdict(Outcome.MALFORMED, "no_user")


def _judge_stories(data: msgspec.Raw) -> Verdict:
    page = _decoded(_story_page, data)
    if page is None:
        return Verdict(Outcome.MALFORMED, "no_list")
    refused = _refused(page.status_code)
    if refused is not None:
        return refused
    if page.items is None and count(page.total_count) != 0:
        return Verdict(Outcome.MALFORMED, "no_list")
    cursor = vendor.next_cursor(identifier(page.min_cursor), page.has_more, empty=not page.items)
    return Verdict(Outcome.OK if page.items else Outcome.EMPTY, next_cursor=cursor)


def _judge_ranking(data: msgspec.Raw) -> Verdict:
    ranking = _decoded(_ranking_data, data)
    if ranking is None or ranking.data is None:
        return Verdict(Outcome.MALFORMED, "no_ranking")
    refused = _refused(ranking.status_code)
    if refused is not None:
        return refused
    if ranking.data.ranks is None and ranking.data.anchor_info is None:
        return Verdict(Outcome.MALFORMED, "no_ranking")
    return Verdict(Outcome.OK if ranking.data.ranks or ranking.data.anchor_info else Outcome.EMPTY)


def _decoded(decoder: msgspec.json.Decoder[T], data: msgspec.Raw) -> T | None:
    try:
        return vendor.decode(decoder, data)
    except Unreadable:
        return None


def _read_user(data: msgspec.Raw, notes: Notes) -> Iterator[Reading | Problem]:
    detail = vendor.decode(_detail, data, notes)
    if detail.found is None:
        raise Unreadable("no user", "data.userInfo.user", vendor.text(bytes(data)))
    info = detail.user_info or _UserInfo()
    yield upstream.profile(detail.found, info.stats, notes, info.exact)


def _read_stories(data: msgspec.Raw, notes: Notes) -> Iterator[Reading | Problem]:
    yield from upstream.stories(vendor.decode(_story_page, data, notes).items or [], notes)


def _read_ranking(data: msgspec.Raw, notes: Notes) -> Iterator[Reading | Problem]:
    ranking = vendor.decode(_ranking_data, data, notes).data or _Ranking()
    places = [*(ranking.ranks or ()), *([ranking.anchor_info] if ranking.anchor_info else [])]
    seen = set()
    for place in places:
        user = place.user or _Owner()
        user_id = identifier(user.id_str, user.id)
        if user_id is None:
            yield Problem("a ranked user without an id", "ranks[].user.id_str", None)
            continue
        if user_id in seen:  # the anchor may be in the list as well
            continue
        seen.add(user_id)
        # Rank 0 means "not ranked"; its score is meaningless (docs/vendors.md 6.9).
        rank = notes.supplied(place.rank, "ranks[].rank")
        yield RankingReading(
            ranked_user_id=user_id,
            ranked_handle=handle(user.display_id),
            window_start=notes.instant(ranking.begin_time, "begin_time"),
            rank=rank,
            score=notes.count(place.score, "ranks[].score") if rank else None,
            score_unit=ranking.currency,
        )
        # follow_info of ranked users is 0, which means "not supplied".


def _live(room: _Room, notes: Notes) -> Iterator[Reading | Problem]:
    status = notes.count(room.status, "status")
    state: LiveState = _STATES.get(status or 0, "unknown")
    started = notes.instant(room.start_time, "start_time") or notes.instant(room.create_time, "create_time")
    finished = notes.instant(room.finish_time, "finish_time")
    # While live, finish_time equals create_time or the last ping (docs/vendors.md 1.3).
    ended = finished if state == "ended" and finished and started and finished > started else None
    stats = room.stats or _Stats()
    room_id = identifier(room.id_str, room.id)
    yield LiveReading(
        live_state=state,
        evidence="strong" if (room_id and state in ON_AIR) or ended else "weak",
        room_id=room_id,
        title=room.title,
        started_at=started,
        ended_at=ended,
        # user_count is reset to 0 at the end, so it is not a count then
        viewers=notes.count(room.user_count, "user_count") if state in ON_AIR else None,
        viewers_total=notes.supplied(stats.total_user, "stats.total_user"),
        likes=notes.supplied(room.like_count, "like_count"),
        gifters=notes.supplied(stats.gift_uv_count, "stats.gift_uv_count"),
        new_followers=notes.supplied(stats.follow_count, "stats.follow_count"),
        cover_url=notes.address(room.cover, "cover"),
        reason=None if state != "unknown" else f"status {str(room.status)[:20]}",
    )
    if room.owner is not None:
        yield _profile(room.owner, notes)
    yield from _variants(room, room_id, notes)


def _profile(owner: _Owner, notes: Notes) -> ProfileReading:
    info = owner.follow_info or _FollowInfo()
    # 0 means "not supplied" (docs/vendors.md 1.6).
    followers, precision, unit = notes.followers(info.follower_count or None, exact_precision, "follower_count")
    return ProfileReading(
        source="room",
        user_id=identifier(owner.id_str, owner.id),
        sec_uid=identifier(owner.sec_uid),
        handle=handle(owner.display_id),
        display_name=owner.nickname,
        bio=owner.bio_description or None,
        avatar_url=notes.address(owner.avatar_thumb, "avatar_thumb"),
        verified=owner.verified,
        followers=followers,
        following=notes.supplied(info.following_count, "following_count"),
        followers_precision=precision,
        followers_unit=unit,
    )


def _variants(room: _Room, room_id: str | None, notes: Notes) -> Iterator[Reading | Problem]:
    """Read `stream_data`, JSON inside a string. It is malformed at times: then only the variants are lost."""
    sdk = room.stream_url.live_core_sdk_data if room.stream_url else None
    nested = sdk.pull_data.stream_data if sdk and sdk.pull_data else None
    if not nested:
        return
    try:
        qualities = vendor.decode(_stream_data, nested.encode(errors="replace"), notes).data
    except Unreadable as error:
        yield Problem(error.problem.reason, "stream_url.live_core_sdk_data.pull_data.stream_data", nested[:200])
        return
    for quality, variant in qualities.items():
        main = variant.main or _Main()
        try:
            params = vendor.decode(_sdk_params, (main.sdk_params or "{}").encode(errors="replace"), notes)
        except Unreadable as error:
            notes.problems.append(error.problem)
            params = _SdkParams()
        width, height = resolution(params.resolution)
        yield VariantReading(
            room_id=room_id,
            codec=params.codec,
            source="primary",
            quality=quality,
            flv_url=notes.address(main.flv, "stream_data.flv"),
            hls_url=notes.address(main.hls, "stream_data.hls"),
            cmaf_url=notes.address(main.cmaf, "stream_data.cmaf"),
            width=width,
            height=height,
            bitrate_bps=notes.count(params.bitrate, "sdk_params.vbitrate"),
        )


_JUDGES: dict[str, Callable[[msgspec.Raw], Verdict]] = {
    CHECK: _judge_check,
    USER: _judge_user,
    STORIES: _judge_stories,
    RANKING: _judge_ranking,
    RANKING_OF: _judge_ranking,
}
_READERS: dict[str, Callable[[msgspec.Raw, Notes], Iterator[Reading | Problem]]] = {
    USER: _read_user,
    STORIES: _read_stories,
    RANKING: _read_ranking,
    RANKING_OF: _read_ranking,
}
