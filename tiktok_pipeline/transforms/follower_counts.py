"""Precision and age of follower counts: their true unit, and how long a vendor's cache serves them.

A vendor may round counts that it declares exact, and may serve one count for hours. Both can be detected in the counts:
a large common divisor, and counts that stay constant while many followers were expected.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tiktok_pipeline.transforms.rhythm import Floats

_HOUR_US = 3_600_000_000
_UNITS = (10, 100, 1_000, 10_000, 100_000, 1_000_000)
# A unit is accepted if such counts would occur by chance once in this many powers of ten.
_UNIT_POWERS = 4.0
# Expected followers of a step are reduced by this factor: the rate changes, and quiet hours matter most.
_QUIET = 0.3
# A run of equal counts is no coincidence if this many followers were expected in it.
_DUE_IN_RUN = 10.0
# A vendor has a cache if such runs fill this share of the time of creators whose counts can show it.
_CACHED_SHARE = 0.5
_FEW_RUNS = 5
# Shorter caches cannot be detected in counts.
_SHORTEST_CACHE_H = 0.75


def found_units(followers: NDArray[np.int64], unit: int) -> NDArray[np.int64] | None:
    """Return the detected unit of each count of one creator and vendor; None if it is `unit`, as the vendor declares.

    Counts of one power of ten share a unit: vendors round large accounts more.
    """
    # Most series return here: a larger unit divides all counts of some power of ten.
    tens = followers % _UNITS[0] == 0
    if not tens.any():
        return None
    powers = np.floor(np.log10(np.maximum(followers, 1))).astype(np.int8)
    found = np.full(followers.size, unit, np.int64)
    for power in np.unique(powers[tens]):
        of_power = powers == power
        if not tens[of_power].all():
            continue
        distinct = np.unique(followers[of_power])
        shown = [
            each
            for each in _UNITS
            if distinct.size * (np.log10(each) - np.log10(unit)) >= _UNIT_POWERS and (distinct % each == 0).all()
        ]
        found[of_power] = max([unit, *shown])
    return found if (found != unit).any() else None


def cache_hours(series: list[tuple[Floats, Floats]]) -> float:
    """Estimate how long a vendor's cache serves a count, hours, from (hours, followers) of its creators; 0 if not."""
    lasted, cached, seen = [], 0.0, 0.0
    for t, followers in series:
        if t.size < 3 or t[-1] <= t[0]:
            continue
        rate = max(followers[-1] - followers[0], 0.0) / (t[-1] - t[0])
        first, last = _runs(followers)
        run_h = t[last] - t[first]
        held = (rate * _QUIET * run_h >= _DUE_IN_RUN) & (last > first)
        # Only a creator that grows enough can show a cache of some hours.
        if rate * _QUIET * 2 * _SHORTEST_CACHE_H < _DUE_IN_RUN:
            continue
        lasted.append(run_h[held])
        cached += float(run_h[held].sum())
        seen += float(t[-1] - t[0])
    runs = np.concatenate(lasted) if lasted else np.empty(0)
    if runs.size < _FEW_RUNS or cached < _CACHED_SHARE * seen:
        return 0.0
    longest = float(np.quantile(runs, 0.95))
    return longest if longest >= _SHORTEST_CACHE_H else 0.0


def as_of_true_times(at: NDArray[np.int64], followers: Floats, cache_h: float) -> tuple[NDArray[np.int64], Floats]:
    """Return counts of a vendor with a cache, at instants (microseconds) at which they were certainly true.

    A count was new when it was first served. The same count served later was true up to `cache_h` before.
    """
    if not at.size:
        return at, followers
    first, last = _runs(followers)
    late = at[last] - round(cache_h * _HOUR_US)
    more = late > at[first]
    when = np.concatenate([at[first], late[more]])
    count = np.concatenate([followers[first], followers[last[more]]])
    order = np.argsort(when, kind="stable")
    return when[order], count[order]


def _runs(followers: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first and the last position of each run of equal counts."""
    first = np.flatnonzero(np.diff(followers, prepend=np.nan) != 0)
    return first, np.append(first[1:], followers.size) - 1
