"""The readings of vendors' bodies as typed structs, one for each normalized table, and the conversion of their values.

Field names are the columns of `tables.py`; creator_id, vendor, observed_at and capture_id come from the raw row. The
functions here normalize counts, times, ids and addresses of all vendors' spellings (docs/vendors.md 7).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from tiktok_pipeline.providers.identifiers import is_handle

Scalar = int | float | str | bool | None

LiveState = Literal["live", "paused", "ended", "unknown"]

# A paused stream is still on air.
ON_AIR: tuple[LiveState, ...] = ("live", "paused")
Evidence = Literal["strong", "weak"]

# Reason of a reading that only a profile response can settle: see transforms/observations.settle_absences.
ABSENT = "offline, private or no account: the vendor says the same of all three"


class Problem(msgspec.Struct, frozen=True):
    """Something in a body that cannot be read; becomes a row of `quarantine`."""

    reason: str
    field: str | None = None
    value: str | None = None


class ProfileReading(msgspec.Struct, frozen=True, kw_only=True):
    """A profile in a response (table profile_observations)."""

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
    """A follower in a list (table follower_list_entries). The id is hashed before it is written."""

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

_SUFFIX = {"k": 10**3, "m": 10**6, "b": 10**9, "千": 10**3, "万": 10**4, "萬": 10**4, "億": 10**8, "亿": 10**8}

# Largest value of a count column.
_LARGEST_COUNT = 2**63 - 1

# Longest credible duration of a clip, story or stream; a larger number is not a duration.
_LONGEST_S = 10 * 366 * 86_400.0


class Notes:
    """Reads the values of one body and collects problems: an unusable value becomes null and a problem."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def count(self, value: Scalar, field: str) -> int | None:
        """Return a count; None if the vendor gave none. A wrong count, or rounded text, is a problem.

        Negative counts are overflows of the vendor's 32-bit counters (docs/vendors.md 6.5).
        """
        try:
            return _exact_count(value)
        except ValueError as error:
            self.problems.append(Problem(str(error), field, shown(value)))
            return None

    def supplied(self, value: Scalar, field: str) -> int | None:
        """Return a count whose 0 means "not supplied", as in a room's stats (docs/vendors.md 1.6)."""
        return self.count(value, field) or None

    def followers(
        self, value: Scalar, precision: Callable[[int | None], tuple[str | None, int | None]], field: str
    ) -> tuple[int | None, str | None, int | None]:
        """Return (followers, precision, unit): for a number by `precision`, for text such as "1.2M" by its digits."""
        rounded = rounded_text(value)
        if rounded is None:
            found = self.count(value, field)
            return found, *precision(found)
        number, unit = rounded
        return number, "rounded" if unit > 1 else "exact", unit

    def instant(self, value: Scalar, field: str) -> datetime | None:
        """Return a time; see `instant`. An invalid time, or one before TikTok existed, is a problem."""
        found = instant(value)
        if found is None and not _is_nothing(value):
            self.problems.append(Problem("not a time of TikTok's", field, shown(value)))
        return found

    def seconds(self, value: Scalar, field: str, *, milliseconds: bool = False) -> float | None:
        """Return a length in seconds; see `seconds`. An invalid length is a problem."""
        found = seconds(value, milliseconds=milliseconds)
        if found is None and value is not None and value != "":
            self.problems.append(Problem("not a length", field, shown(value)))
        return found

    def address(self, value: object, field: str) -> str | None:
        """Return an address without its query; see `address`. A non-empty value without an address is a problem."""
        found = address(value)
        if found is None and not _is_empty(value):
            self.problems.append(Problem("not an address", field, shown(value)))
        return found


def shown(value: object) -> str:
    """Format a value for the quarantine: at most 200 characters."""
    if isinstance(value, str):
        return value[:200]
    return msgspec.json.encode(value)[:800].decode("utf-8", "replace")[:200]


def count(value: Scalar) -> int | None:
    """Return a count from a number or digits, with or without separators ("1,234"); None for anything else."""
    try:
        return _exact_count(value)
    except ValueError:
        return None


def _exact_count(value: Scalar) -> int | None:
    """Return a count; None if none is given.

    Raises:
        ValueError: the value is not an exact count from 0 to 2^63 - 1; gives the reason.
    """
    if value is None or value == "":
        return None
    if isinstance(value, str):
        number = _digits(value)
        if number is None:
            rounded = rounded_text(value) is not None
            raise ValueError("rounded text where an exact count belongs" if rounded else "not a count")
    elif isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError("not a count")
    else:
        number = int(value)
    if number < 0:
        raise ValueError("a negative count")
    if number > _LARGEST_COUNT:
        raise ValueError("a count beyond 64 bits")
    return number


# Digits in groups of three. A single group after a point may be a fraction ("1.234"): vendors do not report a locale.
_GROUPED = re.compile(r"-?[0-9]{1,3}(?:(?:,[0-9]{3})+|(?:[ '’][0-9]{3})+|(?:\.[0-9]{3}){2,})")
_PLAIN = re.compile(r"[-+]?[0-9]{1,40}(?:\.0)?")


def _digits(value: str) -> int | None:
    plain = unicodedata.normalize("NFKC", value[:100]).strip()
    if _GROUPED.fullmatch(plain):
        return int(re.sub(r"[^-0-9]", "", plain))
    if re.fullmatch(r"[0-9]+", plain) and len(plain) > 20:
        return _LARGEST_COUNT + 1
    return int(plain.removesuffix(".0")) if _PLAIN.fullmatch(plain) else None


def rounded_text(value: Scalar) -> tuple[int, int] | None:
    """Return (value, unit) of a count in short form, "12.4K" or "12,5K"; None if it is not one."""
    if not isinstance(value, str) or len(value) > 40:
        return None
    plain = unicodedata.normalize("NFKC", value).strip()
    # A comma before three digits may also separate thousands: "1,234K" is ambiguous and not read.
    match = re.fullmatch(r"([0-9]{1,12})(?:\.([0-9]{1,6})|,([0-9]{1,2}))? ?([kKmMbB千万萬億亿])", plain)
    if not match:
        return None
    whole, fraction, suffix = match.group(1), match.group(2) or match.group(3) or "", _SUFFIX[match.group(4).lower()]
    if 10 ** len(fraction) > suffix:
        return None
    unit = suffix // 10 ** len(fraction)
    number = int(whole + fraction) * unit
    return (number, unit) if number <= _LARGEST_COUNT else None


def amount(value: Scalar) -> float | None:
    """Return credits or a balance as a finite, non-negative number; None for anything else."""
    if isinstance(value, str):
        value = float(value) if re.fullmatch(r"[0-9]{1,18}(\.[0-9]{1,18})?", value.strip()) else None
    if value is None or isinstance(value, bool) or not 0 <= value < 1e18:
        return None
    return float(value)


def web_precision(followers: int | None) -> tuple[str | None, int | None]:
    """Return (precision, quantum) of a count from a vendor that rounds as TikTok's web page does.

    The page is exact below 10,000, rounds to 100 from there, and to 100,000 from a million (docs/vendors.md 1.5). A
    count that is not a multiple of its quantum was not rounded.
    """
    if followers is None:
        return None, None
    quantum = 100_000 if followers >= 1_000_000 else 100 if followers >= 10_000 else 1
    return ("rounded", quantum) if quantum > 1 and followers % quantum == 0 else ("exact", 1)


def exact_precision(followers: int | None) -> tuple[str | None, int | None]:
    """Return (precision, quantum) of a count from a vendor that returns exact counts."""
    return (None, None) if followers is None else ("exact", 1)


# Longer than any secUid.
_LONGEST_ID = 200


def identifier(*values: Scalar) -> str | None:
    """Return the first usable id among `values`, as a string; pass the `*_str` twin first.

    0, "0" and "" mean none. A number beyond 2^53 that is divisible by 1,000 passed through a JavaScript client and is
    damaged (docs/vendors.md 1.7): no id is better than that of another user.
    """
    for value in values:
        if value is None or isinstance(value, bool | float):
            continue
        if isinstance(value, int) and not 0 < value < 2**64:
            continue
        plain = str(value).strip()
        if plain in ("", "0") or len(plain) > _LONGEST_ID:
            continue
        if isinstance(value, int) and value > 2**53 and value % 1000 == 0:
            continue
        return plain
    return None


def handle(value: str | None) -> str | None:
    """Return a handle without @, in lower case; None if the text is not a valid handle (`identifiers.py`).

    TikTok's handles ignore case (docs/vendors.md 8).
    """
    plain = value.strip().lstrip("@").lower() if value else ""
    return plain if is_handle(plain) else None


def instant(value: Scalar) -> datetime | None:
    """Return a time from ISO text, epoch seconds or epoch milliseconds; None for 0 and invalid values.

    From 1e11 a number is milliseconds (docs/vendors.md 7). TikTok did not exist before 2016.
    """
    if _is_nothing(value) or isinstance(value, bool):
        return None
    try:
        if isinstance(value, str) and not re.fullmatch(r"[0-9]{1,18}(\.[0-9]{1,18})?", value.strip()):
            moment = datetime.fromisoformat(value.strip())
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        else:
            number = float(value or 0)
            # timedelta arithmetic keeps whole microseconds; float seconds do not
            moment = datetime(1970, 1, 1, tzinfo=UTC) + (
                timedelta(milliseconds=number) if number >= 1e11 else timedelta(seconds=number)
            )
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment if 2016 <= moment.year < 2100 else None


def _is_nothing(value: Scalar) -> bool:
    """Return whether a value is a vendor's placeholder for a missing time."""
    return value is None or (not isinstance(value, bool) and value in ("", "0", 0))


def seconds(value: Scalar, *, milliseconds: bool = False) -> float | None:
    """Return a length in seconds from a number or digits; None if invalid. Vendors' units: docs/vendors.md 7."""
    if isinstance(value, str):
        value = float(value) if re.fullmatch(r"[0-9]{1,18}(\.[0-9]{1,18})?", value.strip()) else None
    if value is None or isinstance(value, bool):
        return None
    longest = _LONGEST_S * 1000 if milliseconds else _LONGEST_S
    if not 0 <= value <= longest:
        return None
    return value / 1000 if milliseconds else float(value)


# Addresses occur at most this deep in lists and objects.
_ADDRESS_LEVELS = 4


def address(value: object, levels: int = _ADDRESS_LEVELS) -> str | None:
    """Return the first address in a string or a list, without its query, which contains signing tokens."""
    if levels and isinstance(value, list):
        return next((found for item in value[:10] if (found := address(item, levels - 1))), None)
    if levels and isinstance(value, dict):
        return address(value.get("url") or value.get("url_list"), levels - 1)
    if not isinstance(value, str) or not value:
        return None
    return value.split("?", 1)[0]


def _is_empty(value: object, levels: int = _ADDRESS_LEVELS) -> bool:
    if levels and isinstance(value, dict | list):
        inside = value.values() if isinstance(value, dict) else value
        return all(_is_empty(item, levels - 1) for item in inside)
    return value is None or value == ""


def resolution(value: str | None) -> tuple[int | None, int | None]:
    """Return (width, height) of "1080x1920"; None for anything else, such as "720p"."""
    match = re.fullmatch(r"([0-9]{1,6})\s*[xX]\s*([0-9]{1,6})", (value or "")[:40].strip())
    return (int(match.group(1)), int(match.group(2))) if match else (None, None)
