"""What the report says in words: why a lift cannot be seen, and what to know of one that can.

The flags are those of docs/methods.md; what a column means stands in tables.py and is not repeated here.
"""

from __future__ import annotations

from tiktok_pipeline.publish import formats

# Why there is no lift, the first that holds being told.
_NOT_OBSERVABLE = {
    "no_end": "the stream has no known end yet",
    "no_before": "no follower count came in the twelve hours before it",
    "no_after": "no follower count has come after it",
    "shared_bracket": "another stream lies between the two follower counts",
}

# What to know of a stream and of a lift: flag -> words.
CAVEATS = {
    "late_before": "a lower bound: the first follower count came during the stream",
    "overlap_next": "cut short by the next stream",
    "adjacent_prev": "soon after another stream",
    "stream_group": "part of a group of streams close together",
    "stale_suspect": "an old answer was left out",
    "hour_never_seen": "this hour was hardly ever seen without a stream: the lift may be the hour's own growth",
    "cached_counts": "the vendor serves follower counts from a cache",
    "unit_found": "the vendor rounds follower counts more than it declares",
    "few_placebo": "interval leans on other creators",
    "short_baseline": "little off-air time to compare with",
    "count_anomaly": "a sudden drop of followers lies within",
    "viral_overlap": "a viral post lies within",
    "viral_unknown": "posts do not tell whether one went viral",
    "censored_start": "already on air when first seen",
    "censored_end": "end not seen",
    "disagree_start": "vendors disagree on the start",
    "disagree_end": "vendors disagree on the end",
    "no_room_id": "no vendor named the room",
    "opened_again": "the room was closed before",
    "over_24h": "longer than a day",
    "pending_end": "end not confirmed yet",
    "reopened": "came back after an end",
    "stale_open": "end not seen yet",
    "below_resolution": "follower counts are rounded too coarsely",
    **_NOT_OBSERVABLE,
}

# Flags that say why there is no lift.
REASONS = frozenset((*_NOT_OBSERVABLE, "below_resolution"))


def not_observable(flags: list[str], resolution: int | None) -> str:
    """Why a stream's lift says nothing."""
    if "below_resolution" in flags and resolution is not None:
        return f"follower counts are rounded to {formats.exactly(resolution)}, and the change is too small to show"
    for flag, reason in _NOT_OBSERVABLE.items():
        if flag in flags:
            return reason
    return "there is no off-air time to compare with"


def caveats(flags: list[str], *, known: frozenset[str] = frozenset()) -> list[str]:
    """What the flags mean, each once; `known` are those that are said elsewhere. A flag without words is named."""
    return list(dict.fromkeys(CAVEATS.get(flag, flag.replace("_", " ")) for flag in flags if flag not in known))


def verdict(low: float, high: float) -> str:
    """What an interval allows to say."""
    if low > 0:
        return "clear lift"
    return "clear loss" if high < 0 else "no clear effect"


def checking(median_gap_s: float | None, largest_gap_s: float | None) -> str:
    """How closely the roster was watched."""
    if median_gap_s is None:
        return "Nobody was checked on this day."
    said = f"Each creator was checked every {formats.duration(median_gap_s)}"
    return said + (
        "." if largest_gap_s is None else f", and never left unseen for longer than {formats.duration(largest_gap_s)}."
    )
