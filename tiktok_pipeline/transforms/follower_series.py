"""Follower counts of one creator as a series to read rates from: clean segments and the day's rhythm.

A series holds counts of one vendor with one quantum: counts of two vendors, or of two precisions, are never
subtracted from each other (docs/methods.md 2.3). The organic rate (docs/methods.md 2.1) is computed here. Windows of
streams are in `lift`, placebo windows in `placebos`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiktok_pipeline.config.settings import Lift
from tiktok_pipeline.transforms.follower_counts import as_of_true_times
from tiktok_pipeline.transforms.follower_days import Counts
from tiktok_pipeline.transforms.rhythm import (
    HOURS,
    Floats,
    Prior,
    Rhythm,
    RhythmEvidence,
    hours_until,
    posterior,
    read_evidence,
)

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

HOUR_US = 3_600_000_000

# The side of the baseline after a window begins this long after it, so that carry-over has mostly faded.
_AFTER_GUARD_H = 2.0
# Multiples of the local window, tried in turn until one holds enough clean hours.
_WIDER = (1, 2, 4, 8)
# Parts of that window from its near edge, with weights: the hours nearest to a stream are the best predictor.
_NEARER = ((1.0, 1.0), (0.5, 1.0), (0.25, 2.0))

# An hour of the day that was clean on this many days has weight one half.
_SEEN_DAYS = 2.0

# A fall this many times the usual scale, and by this share of the total, is a purge by TikTok, not unfollows.
_PURGE_SCALES, _PURGE_SHARE = 10.0, 0.001
# A count that stayed constant while this many followers were expected is a cached response.
_DUE_WHEN_STALE = 50.0
# A fall this many deviations deep that recovers within this many counts is a cached response too.
_DIP_DEVIATIONS, _COMES_BACK_WITHIN = 4.0, 3


def scale(expected: Floats, unit: int) -> Floats:
    """Return the scatter of a gain of `expected` followers, up to a factor: docs/methods.md 2.2."""
    return np.asarray(np.abs(expected) ** 0.75 + 1.0 + (unit / 2 if unit > 1 else 0.0))


@dataclass(frozen=True, eq=False)
class Series:
    """Counts of one vendor and one quantum in order of time, and the segments between them.

    at: microseconds since the epoch; t: the same in hours; followers; exposure: the integral of the day's rhythm
    up to each count, hours. Of each segment between two counts: `purge`. Running sums before each count, over
    clean segments: growth, exposed, hours; over the others: unclean. `stale_at`: instants (hours) of counts that
    were left out as cached responses.
    """

    vendor: str
    unit: int
    unit_found: bool
    cache_h: float
    at: Integers
    t: Floats
    followers: Floats
    exposure: Floats
    rhythm: Rhythm
    evidence: RhythmEvidence | None
    purge: Flags
    growth: Floats
    exposed: Floats
    hours: Floats
    unclean: Integers
    stale_at: Floats

    def rate(self, before: Floats, after: Floats, settings: Lift, *, both: bool) -> tuple[Floats, Floats, Floats]:
        """Return organic followers an hour of exposure around windows [before, after] (hours), clean hours, and width.

        Read from the time before each window, and with `both` from the time after it too. NaN and 0 without a clean
        segment within reach. The width is that of each side, hours.
        """
        rate, reached = np.full(before.shape, np.nan), np.zeros(before.shape)
        widths = np.zeros(before.shape)
        # Each side: its near edge, and its direction.
        ends = [(before - settings.guard_before_minutes / 60, -1)]
        if both:
            ends.append((after + _AFTER_GUARD_H, 1))
        edges = [self._position(end, way) for end, way in ends]
        for wider in _WIDER:
            width = float(settings.local_hours * wider)
            growth, exposed, hours = (np.zeros(before.shape) for _ in range(3))
            for (end, way), edge in zip(ends, edges, strict=True):
                for share, weight in _NEARER:
                    far = self._position(end + way * width * share, -way)
                    first, last = (np.minimum(far, edge), edge) if way < 0 else (np.minimum(edge, far), far)
                    growth += weight * (self.growth[last] - self.growth[first])
                    exposed += weight * (self.exposed[last] - self.exposed[first])
                    if share == 1:
                        hours += self.hours[last] - self.hours[first]
            better = (reached < settings.min_clean_hours) & (hours > reached) & (exposed > 0)
            rate[better] = growth[better] / exposed[better]
            reached[better] = hours[better]
            widths[better] = width
            if (reached >= settings.min_clean_hours).all():
                break
        return rate, reached, widths

    def _position(self, at: Floats, way: int) -> Integers:
        """Return the last count up to `at` (way -1), or the first from it on (way 1)."""
        if way < 0:
            return np.maximum(np.searchsorted(self.t, at, "right") - 1, 0)
        return np.minimum(np.searchsorted(self.t, at, "left"), self.t.size - 1)

    def clean_by_hour(self, low: float, high: float) -> Floats:
        """Return clean hours in [low, high] (hours since the epoch) by the hour of the day (24)."""
        edges = np.arange(math.floor(low), math.ceil(high) + 1.0)
        clean = np.diff(np.interp(np.clip(edges, low, high), self.t, self.hours))
        return np.asarray(np.bincount(edges[:-1].astype(np.int64) % HOURS, clean, HOURS), np.float64)

    def rhythm_variance(self, before: float, after: float, width: float, settings: Lift, *, both: bool) -> float:
        """Return the variance of the log of the expected growth in [before, after] that the rhythm adds."""
        sides = _sides(before, after, width, settings, both=both)
        clean = sum((self.clean_by_hour(*side) for side in sides), start=np.zeros(HOURS))
        window = hours_until(np.array(after)) - hours_until(np.array(before))
        return float(self.rhythm.ratio_variance(window, clean))

    def unseen(self, before: float, after: float, settings: Lift) -> float:
        """Return how rarely the hours of the day in [before, after] were observed off air: 1 never, 0 on many days."""
        window = hours_until(np.array(after)) - hours_until(np.array(before))
        reach = settings.lookback_days * HOURS
        # The days that the rhythm is read from.
        days = self.clean_by_hour(max(float(self.t[-1]) - reach, float(self.t[0])), float(self.t[-1]))
        return float(window @ (_SEEN_DAYS / (_SEEN_DAYS + days)) / max(window.sum(), 1e-9))


def _sides(before: Any, after: Any, width: float, settings: Lift, *, both: bool) -> list[tuple[Any, Any]]:
    """Return the spans that the baseline of [before, after] is taken from, each `width` hours long."""
    end = before - settings.guard_before_minutes / 60
    sides = [(end - width, end)]
    if both:
        sides.append((after + _AFTER_GUARD_H, after + _AFTER_GUARD_H + width))
    return sides


def read_series(counts: Counts, start: Floats, end: Floats, prior: Prior, cache_h: float, settings: Lift) -> Series:
    """Read the counts of one series of a creator on air in [start, end] (hours).

    prior: of the rhythm; cache_h: how long the vendor's cache serves a count, hours, 0 without one.
    """
    at, followers, unit = counts.at, counts.followers, counts.unit
    if cache_h > 0 and unit == 1:
        at, followers = as_of_true_times(at, followers, cache_h)
    old = np.zeros(at.size, bool)
    if unit == 1:  # rounded counts stay constant and jump by themselves
        old = _cached_counts(at / HOUR_US, followers)
        # Two cached responses in a row hide each other: check the remaining counts again.
        old[np.flatnonzero(~old)[_cached_counts(at[~old] / HOUR_US, followers[~old])]] = True
    stale_at = at[old] / HOUR_US
    at, followers = at[~old], followers[~old]
    t = at / HOUR_US
    hours, growth = np.diff(t), np.diff(followers)
    quiet = ~_overlaps(t, start - settings.guard_before_minutes / 60, end + settings.guard_minutes / 60)
    quiet &= hours <= settings.max_segment_hours
    usual = float(np.median(np.abs(growth[quiet]))) if quiet.any() else 0.0
    purge = (growth < -_PURGE_SCALES * scale(np.array(usual), unit)) & (growth < -_PURGE_SHARE * followers[:-1])
    clean = quiet & ~purge
    recent = clean & (t[:-1] >= t[-1] - settings.lookback_days * 24) if t.size else clean
    evidence = read_evidence(t[:-1][recent], hours[recent], growth[recent])
    rhythm = posterior(evidence, prior) if evidence else Rhythm(1.0 + prior.mean, prior.covariance)
    exposure = _exposure(rhythm.hourly, t)
    return Series(
        vendor=counts.vendor,
        unit=unit,
        unit_found=counts.unit_found,
        cache_h=cache_h if unit == 1 else 0.0,
        at=at,
        t=t,
        followers=followers,
        exposure=exposure,
        rhythm=rhythm,
        evidence=evidence,
        purge=purge,
        growth=_running(np.where(clean, growth, 0.0)),
        exposed=_running(np.where(clean, np.diff(exposure), 0.0)),
        hours=_running(np.where(clean, hours, 0.0)),
        unclean=_running(~clean).astype(np.int64),
        stale_at=stale_at,
    )


def _running(amounts: NDArray[Any]) -> Floats:
    """Return sums before each count: one more than there are segments."""
    return np.concatenate([np.zeros(1), np.cumsum(amounts)])


def _cached_counts(t: Floats, followers: Floats) -> Flags:
    """Find cached counts: they stay constant while many were expected, or dip and come back within a few counts.

    A purge does not come back, so it is no dip.
    """
    old = np.zeros(t.size, bool)
    if t.size < 3:
        return old
    mean = max(followers[-1] - followers[0], 0.0) / max(t[-1] - t[0], 1e-9)
    step, due = np.diff(followers), np.diff(t) * mean
    old[1:] = (step == 0) & (due >= _DUE_WHEN_STALE)
    padded = np.concatenate([followers, np.full(_COMES_BACK_WITHIN, -np.inf)])
    later = np.max([padded[n : n + t.size] for n in range(1, _COMES_BACK_WITHIN + 1)], axis=0)
    old[1:] |= (step < -_DIP_DEVIATIONS * np.sqrt(due + 1.0)) & (later[1:] >= followers[:-1])
    return old


def _overlaps(t: Floats, start: Floats, end: Floats) -> Flags:
    """Return whether each segment between two counts touches any of the spans [start, end], sorted by start."""
    if not start.size:
        return np.zeros(max(t.size - 1, 0), bool)
    # The first span that has not ended at a segment's start, once later spans cannot end before earlier ones.
    end = np.maximum.accumulate(end)
    first = np.minimum(np.searchsorted(end, t[:-1], "right"), start.size - 1)
    return np.asarray((start[first] < t[1:]) & (end[first] > t[:-1]))


def _exposure(hourly: Floats, t: Floats) -> Floats:
    """Return the integral of the rhythm from the epoch to `t`, hours."""
    before = np.concatenate([[0.0], np.cumsum(hourly)])
    return np.asarray((t // HOURS) * before[-1] + np.interp(t % HOURS, np.arange(HOURS + 1.0), before))
