"""TikHub (tikhubapi.com): the room itself, as TikTok's webcast API describes it.

Wire facts from the vendors' notes, sections 4.1 and 5.1 to 5.4: Basic auth; `{"code", "msg", "data": {"data":
room}}`; the double slash of the path is the vendor's. Status 2 is live, 3 paused, 4 ended; `finish_time` is an
end only with status 4; numeric ids are damaged, so the `*_str` twins are read; a 0 in `stats` means "not
supplied". A spent quota comes as HTTP 500 with words; `code: 500` in a body is to be retried; 428 is an expired
session. No price per call is published: credits are the operator's `credits_per_request`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from typing import ClassVar

import msgspec

from tiktok_pipeline.providers import vendor
from tiktok_pipeline.providers.observations import (
    LiveReading,
    LiveState,
    Problem,
    ProfileReading,
    Reading,
    Scalar,
    VariantReading,
    address,
    count,
    exact_precision,
    handle,
    identifier,
    instant,
    supplied,
)
from tiktok_pipeline.providers.vendor import Outcome, Request, Target, Unreadable, Verdict

ROOM = "/api/v1//live/info"

_STATES: dict[int, LiveState] = {2: "live", 3: "paused", 4: "ended"}
_ROOM_ENDED = 30003
_BAD_ROOM = 10011
# Denied, login required, age-gated: says nothing of the room (notes, section 5.4).
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
    prompts: str | None = None
    message: str | None = None


class _Inner(msgspec.Struct):
    data: _Room | None = None
    status_code: int | None = None


class _Envelope(msgspec.Struct):
    code: int | None = None
    msg: str | None = None
    message: str | None = None
    data: _Inner | None = None


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


_envelope = msgspec.json.Decoder(_Envelope)
_stream_data = msgspec.json.Decoder(_StreamData)
_sdk_params = msgspec.json.Decoder(_SdkParams)


class TikHub(vendor.Vendor):
    """TikHub (tikhubapi.com)."""

    name: ClassVar[str] = "tikhub"
    base_url_variable: ClassVar[str] = "TIKHUB_BASE_URL"
    base_url: ClassVar[str] = "https://api.tikhubapi.com"
    credential_variables: ClassVar[tuple[str, ...]] = ("TIKHUB_USERNAME", "TIKHUB_PASSWORD")
    endpoints: ClassVar[Mapping[str, str]] = {ROOM: "room"}

    def authentication(self, credentials: tuple[str, ...]) -> dict[str, str]:
        """`Authorization: Basic base64(username:password)`."""
        pair = base64.b64encode(":".join(credentials).encode()).decode()
        return {"Authorization": f"Basic {pair}"}

    def request(self, capability: str, target: Target, *, page: int = 0, cursor: str | None = None) -> Request | None:
        """A room by its id and its owner's user id: the vendor requires both."""
        if capability != "room" or not target.room_id or not target.user_id:
            return None
        params = {"room_id": target.room_id, "user_id": target.user_id}
        return Request(ROOM, target.room_id, ROOM, params, target.creator_id)

    def judge(self, endpoint: str, status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
        """Splits 500 by its words, and 200 by `code` and `status_code`."""
        if re.search(rb"usage limit", body[:2000], re.IGNORECASE):
            return Verdict(Outcome.OUT_OF_CREDITS, "usage_limit", credits=0.0)
        if status == 428:
            return Verdict(Outcome.SESSION_EXPIRED, "http_428", credits=0.0)
        unbilled = 0.0 if status >= 400 else None
        odd = vendor.judge_not_json(status, headers, body)
        if odd is not None:
            return vendor.with_credits(odd, unbilled)
        wait = vendor.retry_after(headers, body)
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
            answer = vendor.decode(_envelope, body)
        except Unreadable as error:
            return Verdict(Outcome.MALFORMED, error.problem.reason[:80])
        if answer.code is None:
            return Verdict(Outcome.MALFORMED, "no_code")
        if answer.code != 0:
            # "Real-time APIs may encounter risk control at any time: if code=500, retry" (notes, 4.1).
            outcome = Outcome.SERVER_ERROR if answer.code >= 500 else Outcome.INVALID_REQUEST
            return Verdict(
                Outcome.RATE_LIMITED if answer.code == 429 else outcome,
                f"code_{answer.code}",
                retry_after_s=wait,
            )
        return _judge_room(answer.data)

    def read(self, endpoint: str, outcome: Outcome, body: bytes) -> Iterator[Reading | Problem]:
        """The room's state, its owner's profile and its playback variants."""
        if outcome is Outcome.NOT_LIVE:
            yield LiveReading(live_state="ended", evidence="strong", reason="room has finished")
            return
        if outcome is not Outcome.OK:
            return
        inner = vendor.decode(_envelope, body).data
        room = inner.data if inner else None
        if room is None:
            raise Unreadable("no room", "data.data", vendor.text(body))
        yield from _live(room)


def _judge_room(inner: _Inner | None) -> Verdict:
    """What TikTok's own status code and the room's status say (notes, section 5.4)."""
    upstream = inner.status_code if inner else None
    if upstream == _ROOM_ENDED:
        return Verdict(Outcome.NOT_LIVE, str(upstream))
    if upstream == _BAD_ROOM:
        return Verdict(Outcome.NOT_FOUND, str(upstream))
    if upstream in _BLOCKED:
        return Verdict(Outcome.BLOCKED, str(upstream))
    if upstream:
        return Verdict(Outcome.SERVER_ERROR, str(upstream))
    room = inner.data if inner else None
    if room is None or identifier(room.id_str, room.id) is None:
        return Verdict(Outcome.MALFORMED, "no_room")
    return Verdict(Outcome.OK)


def _live(room: _Room) -> Iterator[Reading | Problem]:
    status = count(room.status)
    state: LiveState = _STATES.get(status or 0, "unknown")
    started = instant(room.start_time) or instant(room.create_time)
    finished = instant(room.finish_time)
    # While live, finish_time equals create_time or the last ping (notes, fact 3).
    ended = finished if state == "ended" and finished and started and finished > started else None
    stats = room.stats or _Stats()
    room_id = identifier(room.id_str, room.id)
    yield LiveReading(
        live_state=state,
        evidence="strong" if state in ("live", "paused") or ended else "weak",
        room_id=room_id,
        title=room.title,
        started_at=started,
        ended_at=ended,
        # user_count is reset to 0 at the end: it is nobody's count then
        viewers=count(room.user_count) if state in ("live", "paused") else None,
        viewers_total=supplied(stats.total_user),
        likes=supplied(room.like_count),
        gifters=supplied(stats.gift_uv_count),
        new_followers=supplied(stats.follow_count),
        cover_url=address(room.cover),
        reason=None if state != "unknown" else f"status {room.status}",
    )
    if room.owner is not None:
        yield _profile(room.owner)
    yield from _variants(room, room_id)


def _profile(owner: _Owner) -> ProfileReading:
    info = owner.follow_info or _FollowInfo()
    followers = supplied(info.follower_count)
    precision, unit = exact_precision(followers)
    return ProfileReading(
        source="room",
        user_id=identifier(owner.id_str, owner.id),
        sec_uid=identifier(owner.sec_uid),
        handle=handle(owner.display_id),
        display_name=owner.nickname,
        bio=owner.bio_description or None,
        avatar_url=address(owner.avatar_thumb),
        verified=owner.verified,
        followers=followers,
        following=supplied(info.following_count),
        followers_precision=precision,
        followers_unit=unit,
    )


def _variants(room: _Room, room_id: str | None) -> Iterator[Reading | Problem]:
    """`stream_data` is JSON inside a string, and malformed at times: then the variants alone are lost."""
    sdk = room.stream_url.live_core_sdk_data if room.stream_url else None
    written = sdk.pull_data.stream_data if sdk and sdk.pull_data else None
    if not written:
        return
    try:
        qualities = vendor.decode(_stream_data, written.encode()).data
    except Unreadable as error:
        yield Problem(error.problem.reason, "stream_url.live_core_sdk_data.pull_data.stream_data", written[:200])
        return
    for quality, variant in qualities.items():
        main = variant.main or _Main()
        try:
            params = vendor.decode(_sdk_params, (main.sdk_params or "{}").encode())
        except Unreadable:
            params = _SdkParams()
        width, _, height = (params.resolution or "").partition("x")
        yield VariantReading(
            room_id=room_id,
            codec=params.codec,
            source="primary",
            quality=quality,
            flv_url=address(main.flv),
            hls_url=address(main.hls),
            cmaf_url=address(main.cmaf),
            width=count(width),
            height=count(height),
            bitrate_bps=count(params.bitrate),
        )
