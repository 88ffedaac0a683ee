"""Words for flags in the report: why a lift is not observable, and caveats of a lift that is.

docs/methods.md defines the flags; tables.py defines the columns.
"""

from __future__ import annotations

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
        return "No creator was polled on this day."
    message = f"Each creator was polled every {formats.duration(median_gap_s)}"
    return message + ("." if largest_gap_s is None else f", with no gap longer than {formats.duration(largest_gap_s)}.")
