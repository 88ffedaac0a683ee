"""Words for flags in the report: why a lift is not observable, and caveats of a lift that is.

docs/methods.md defines the flags; tables.py defines the columns.
"""

from __future__ import annotations

from typing import Any

from tiktok_pipeline.publish import formats

# Why there is no lift: the first that holds is shown.
_NOT_OBSERVABLE = {
    "no_end": "the stream has no known end yet",
    "no_before": "no follower count came in the twelve hours before it",
    "no_after": "no follower count has come after it",
    "shared_bracket": "another stream lies between the two follower counts",
}

# Caveats of a stream and of a lift: flag -> words.
CAVEATS = {
    "late_before": "a lower bound: the first follower count came during the stream",
    "overlap_next": "cut short by the next stream",
    "adjacent_prev": "soon after another stream",
    "stream_group": "part of a group of streams close together",
    "stale_suspect": "a cached response was left out",
    "hour_never_seen": "this hour was hardly ever observed off air: the lift may be the hour's own growth",
    "cached_counts": "the vendor serves follower counts from a cache",
    "unit_found": "the vendor rounds follower counts more than it declares",
    "few_placebo": "the interval relies on other creators",
    "short_baseline": "little off-air time to compare with",
    "count_anomaly": "a sudden drop of followers lies within",
    "viral_overlap": "a viral post lies within",
    "viral_unknown": "the posts do not show whether one went viral",
    "censored_start": "already on air when first seen",
    "censored_end": "end not seen",
    "disagree_start": "vendors disagree on the start",
    "disagree_end": "vendors disagree on the end",
    "no_room_id": "no vendor reported the room",
    "opened_again": "the room was closed before",
    "over_24h": "longer than a day",
    "pending_end": "end not confirmed yet",
    "reopened": "came back after an end",
    "stale_open": "end not seen yet",
    "below_resolution": "follower counts are rounded too coarsely",
    **_NOT_OBSERVABLE,
}

# Flags that explain why there is no lift.
REASONS = frozenset((*_NOT_OBSERVABLE, "below_resolution"))


def not_observable(flags: list[str], resolution: int | None) -> str:
    """Return why a stream's lift is not observable."""
    if "below_resolution" in flags and resolution is not None:
        return f"follower counts are rounded to {formats.exactly(resolution)}, and the change is too small to show"
    for flag, reason in _NOT_OBSERVABLE.items():
        if flag in flags:
            return reason
    return "there is no off-air time to compare with"


def lift_text(row: dict[str, Any]) -> str:
    """Return what a stream's lift says, or why there is none; `row` is one of the report's streams."""
    if row["lift_lo"] is not None:
        return verdict(row["lift_lo"], row["lift_hi"]) + ("" if row["is_final"] else ", provisional")
    if row["status"] == "live":
        return ON_AIR
    return f"not measurable: {not_observable(split(row['lift_flags']), row['resolution'])}"


# A stream on air has no lift yet, and nothing is wrong with that.
ON_AIR = "known after the end of the stream"


def notes(row: dict[str, Any]) -> list[str]:
    """Return the caveats of a stream and of its lift, without those that `lift_text` says."""
    flags = [*split(row["flags"]), *split(row["lift_flags"])]
    known = REASONS if row["lift_lo"] is None else frozenset()
    if row["status"] == "live":
        # The end of a stream on air is not missing.
        known |= {"censored_end", "pending_end"}
    return caveats(flags, known=known)


def split(joined: str | None) -> list[str]:
    """Return the flags of a published list."""
    return joined.split(",") if joined else []


def caveats(flags: list[str], *, known: frozenset[str] = frozenset()) -> list[str]:
    """Return the meaning of the flags, each once; `known` are those that are shown elsewhere."""
    return list(dict.fromkeys(CAVEATS.get(flag, flag.replace("_", " ")) for flag in flags if flag not in known))


def verdict(low: float, high: float) -> str:
    """Return the verdict that an interval allows."""
    if low > 0:
        return "clear lift"
    return "clear loss" if high < 0 else "no clear effect"


def checking(median_gap_s: float | None, largest_gap_s: float | None) -> str:
    """Return how closely the roster was polled."""
    if median_gap_s is None:
        return "No reading came on this day."
    message = f"Readings came every {formats.duration(median_gap_s)}"
    return message + ("." if largest_gap_s is None else f", with no gap longer than {formats.duration(largest_gap_s)}.")


def creators(count: int | None) -> str:
    """Return a number of creators."""
    return "1 creator" if count == 1 else f"{formats.exactly(count or 0)} creators"


def unreadable(count: int) -> str:
    """Return how many accounts cannot be read."""
    if not count:
        return ""
    have = "1 account has" if count == 1 else f"{formats.exactly(count)} accounts have"
    return f"{have} no readable response: deleted, renamed or blocked."


def care(known: int | None, polls: int | None, enough: float) -> str:
    """Return a warning if too few readings have a known live state."""
    part = share(known, polls)
    if part is None or part >= enough:
        return ""
    return f"Only {formats.percent(part)} of the readings have a known live state: read every number below with care."


def share(part: float | None, whole: float | None) -> float | None:
    """Return part / whole; None without a whole."""
    return part / whole if whole and part is not None else None


def total(value: float | None, rows: int | None) -> float | None:
    """Return a sum over rows: 0 without rows, None if no row has a value."""
    return value if rows else 0


def average(hours: float | None, seconds: float | None) -> float | None:
    """Return the average viewers of viewer-hours over the observed time."""
    return None if hours is None or not seconds else hours / (seconds / 3600)
