"""What can be read from a vendor's body, typed: one struct a normalized table.

Field names are the columns of `tables.py`; the raw row that a reading came from adds creator_id, vendor,
observed_at and capture_id. Also here: how counts, times, ids and addresses are made plain, whatever the
vendor's spelling (vendors' notes, section 6).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

Scalar = int | float | str | bool | None

LiveState = Literal["live", "paused", "ended", "unknown"]
Evidence = Literal["strong", "weak"]

# Reason of a reading that only a known profile can settle: see transforms/observations.settle_absences.
ABSENT = "offline, private or no account: the vendor says the same of all three"


class Problem(msgspec.Struct, frozen=True):
    """Something in a body that cannot be read: becomes a row of `quarantine`."""

    reason: str
    field: str | None = None
    value: str | None = None


class ProfileReading(msgspec.Struct, frozen=True, kw_only=True):
    """A profile in a payload (table profile_observations)."""

    source: str
    user_id: str | None = None
    sec_uid: str | None = None
    handle: str | None = None
    display_name: str | None = None
    bio: str | None = None
    avatar_url: str | None = None
    verified: bool | None = None
    private: bool | None = None
    language: str | None = None
    region: str | None = None
    followers: int | None = None
    following: int | None = None
    likes: int | None = None
    videos: int | None = None
    followers_precision: str | None = None
    followers_unit: int | None = None


class LiveReading(msgspec.Struct, frozen=True, kw_only=True):
    """A live state (table live_observations)."""

    live_state: LiveState
    evidence: Evidence
    room_id: str | None = None
    title: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    viewers: int | None = None
    viewers_total: int | None = None
    likes: int | None = None
    gifters: int | None = None
    new_followers: int | None = None
    cover_url: str | None = None
    reason: str | None = None


class VariantReading(msgspec.Struct, frozen=True, kw_only=True):
    """A playback variant of a live room (table stream_variants)."""

    room_id: str | None = None
    codec: str | None = None
    source: str | None = None
    quality: str | None = None
    label: str | None = None
    flv_url: str | None = None
    hls_url: str | None = None
    cmaf_url: str | None = None
    width: int | None = None
    height: int | None = None
    bitrate_bps: int | None = None


class StoryReading(msgspec.Struct, frozen=True, kw_only=True):
    """A story (table story_observations)."""

    story_id: str
    published_at: datetime | None = None
    expires_at: datetime | None = None
    media_type: str | None = None
    duration_s: float | None = None
    views: int | None = None
    likes: int | None = None
    comments: int | None = None
    shares: int | None = None
    saves: int | None = None
    reposts: int | None = None
    caption: str | None = None
    media_url: str | None = None
    music: str | None = None


class PostReading(msgspec.Struct, frozen=True, kw_only=True):
    """A post (table post_observations)."""

    post_id: str
    published_at: datetime | None = None
    caption: str | None = None
    pinned: bool | None = None
    duration_s: float | None = None
    views: int | None = None
    likes: int | None = None
    comments: int | None = None
    shares: int | None = None
    saves: int | None = None


class FollowerReading(msgspec.Struct, frozen=True, kw_only=True):
    """A follower in a list (table follower_list_entries). The id is hashed before anything is written."""

    follower_id: str
    position: int
    list_total: int | None = None


class RankingReading(msgspec.Struct, frozen=True, kw_only=True):
    """A place of a live ranking (table live_ranking_entries)."""

    ranked_user_id: str
    ranked_handle: str | None = None
    window_start: datetime | None = None
    rank: int | None = None
    score: int | None = None
    score_unit: str | None = None


class HitReading(msgspec.Struct, frozen=True, kw_only=True):
    """A hit of a user search (table search_hits)."""

    rank: int
    handle: str | None = None
    user_id: str | None = None
    followers: int | None = None


Reading = (
    ProfileReading
    | LiveReading
    | VariantReading
    | StoryReading
    | PostReading
    | FollowerReading
    | RankingReading
    | HitReading
)

_SUFFIX = {"k": 1_000, "m": 1_000_000, "b": 1_000_000_000, "万": 10_000}


def count(value: Scalar) -> int | None:
    """A count that a vendor said as a number or as digits; None when it said nothing usable.

    Negative counts are overflows of the vendor's 32-bit counters (notes, section 5.5): None, never a number.
    Text with a suffix ("12.4K") is read by `rounded_text` only where a rounded count will do.
    """
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, str):
        if not re.fullmatch(r"-?\d+", value.strip()):
            return None
        value = int(value)
    if isinstance(value, float) and not value.is_integer():
        return None
    number = int(value)
    return number if number >= 0 else None


def supplied(value: Scalar) -> int | None:
    """A count whose 0 means "not supplied", as in a room's stats (notes, fact 6)."""
    return count(value) or None


def rounded_text(value: Scalar) -> tuple[int, int] | None:
    """A count written for people, "12.4K": (value, quantum), or None where it is not one."""
    match = re.fullmatch(r"(\d+)(?:\.(\d+))?\s*([kKmMbB万])", str(value).strip())
    if not match:
        return None
    whole, fraction, suffix = match.group(1), match.group(2) or "", _SUFFIX[match.group(3).lower()]
    unit = suffix // 10 ** len(fraction)
    return int(whole + fraction) * unit, unit


def web_precision(followers: int | None) -> tuple[str | None, int | None]:
    """(precision, quantum) of a count from a vendor that rounds as TikTok's web page does.

    Below 10,000 the page is exact, from there it rounds to 100, from a million to 100,000 (notes, fact 5). A
    count that is no multiple of its quantum was not rounded.
    """
    if followers is None:
        return None, None
    quantum = 100_000 if followers >= 1_000_000 else 100 if followers >= 10_000 else 1
    return ("rounded", quantum) if quantum > 1 and followers % quantum == 0 else ("exact", 1)


def exact_precision(followers: int | None) -> tuple[str | None, int | None]:
    """(precision, quantum) of a count from a vendor that passes exact counts on."""
    return (None, None) if followers is None else ("exact", 1)


def identifier(*values: Scalar) -> str | None:
    """The first usable id among `values`, as a string; give the `*_str` twin first.

    0, "0" and "" mean none. A number beyond 2^53 that is divisible by 1,000 went through a JavaScript client
    and is damaged (notes, fact 7): no id is better than somebody else's.
    """
    for value in values:
        if value is None or isinstance(value, bool | float):
            continue
        written = str(value).strip()
        if written in ("", "0"):
            continue
        if isinstance(value, int) and value > 2**53 and value % 1000 == 0:
            continue
        return written
    return None


def handle(value: str | None) -> str | None:
    """A handle without @, in lower case: TikTok's handles ignore case (notes, section 7, row 13)."""
    return value.strip().lstrip("@").lower() or None if value else None


def instant(value: Scalar) -> datetime | None:
    """A time that a vendor said as ISO text, epoch seconds or epoch milliseconds; None for 0 and nonsense.

    From 1e11 a number is milliseconds (notes, section 6). Before 2016 there was no TikTok.
    """
    if value is None or isinstance(value, bool) or value in ("", "0", 0):
        return None
    try:
        if isinstance(value, str) and not re.fullmatch(r"\d+(\.\d+)?", value):
            moment = datetime.fromisoformat(value)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        else:
            number = float(value)
            # timedelta arithmetic keeps whole microseconds where float seconds would not
            moment = datetime(1970, 1, 1, tzinfo=UTC) + (
                timedelta(milliseconds=number) if number >= 1e11 else timedelta(seconds=number)
            )
    except (ValueError, OverflowError):
        return None
    return moment.astimezone(UTC) if 2016 <= moment.year < 2100 else None


def seconds(value: Scalar, *, milliseconds: bool = False) -> float | None:
    """A length said as a number or as digits; None for nonsense. Vendors differ in the unit (notes, section 6)."""
    if isinstance(value, str):
        value = float(value) if re.fullmatch(r"\d+(\.\d+)?", value) else None
    if value is None or isinstance(value, bool) or value < 0:
        return None
    return value / 1000 if milliseconds else float(value)


def address(value: object) -> str | None:
    """The first address in a string or a list, without its query: that is where signing tokens are."""
    if isinstance(value, list):
        return next((found for found in map(address, value) if found), None)
    if isinstance(value, dict):
        return address(value.get("url") or value.get("url_list"))
    if not isinstance(value, str) or not value:
        return None
    return value.split("?", 1)[0]
