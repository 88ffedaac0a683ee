"""Follower counts of one creator as a series that rates can be read from: clean segments and the day's rhythm.

A series holds counts of one vendor with one quantum: counts of two vendors, or of two precisions, are never
subtracted from each other (methods, section 2.5). Steps 1, 2 and 4 of section 2.4 stand here; windows of streams
are in `lift`, placebo windows in `placebos`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tiktok_pipeline.settings import Lift

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

HOUR_US = 3_600_000_000

# The side of the baseline after a window begins this long after it, so that carry-over has mostly faded.
_AFTER_GUARD_H = 2.0
# Multiples of the local window, tried in turn until one holds enough clean hours.
_WIDER = (1, 2, 4, 8)

# The rhythm has two waves a day: an evening and a second bump. A third was worth nothing in the simulation.
_WAVES = 2
# Segments up to here still tell the hours of a day apart.
_RHYTHM_SEGMENT_H = 6.0
# Prior of each wave: the information of six hours without a rhythm. The second wave is held down twice as hard.
_RHYTHM_PRIOR_H = 3.0
_RHYTHM_MIN_HOURS, _RHYTHM_MIN_GROWTH_A_DAY = 96.0, 1.0
# Hours of the same creator differ by a variance of about 0.2 beside chance: with 5 followers due, chance is as much.
_CHANCE_MATCHES_AT = 5.0
# The level of a day is drawn to the mean as if by this many hours of it: days with few clean hours say little.
_LEVEL_PRIOR_H = 2.0
_LOWEST_RHYTHM = 0.05
# Relative growth above this, and three deviations of chance, is a viral hour, not a rhythm.
_HIGHEST_RELATIVE = 4.0
_ROUNDS = 3

# A fall that is this many times the usual scale, and this share of all, is a purge and not somebody leaving.
_PURGE_SCALES, _PURGE_SHARE = 10.0, 0.001
# A count that stood still while this many followers were due is an old answer.
_DUE_WHEN_STALE = 50.0
# A fall this many deviations deep that is made good within this many counts is an old answer too.
_DIP_DEVIATIONS, _COMES_BACK_WITHIN = 4.0, 3


def scale(expected: Floats, unit: int) -> Floats:
    """How much a gain of `expected` followers scatters, up to a factor: methods, section 2.4, step 5."""
    return np.asarray(np.maximum(expected, 0.0) ** 0.75 + 1.0 + (unit / 2 if unit > 1 else 0.0))


@dataclass(frozen=True, eq=False)
class Series:
    """Counts of one vendor and one quantum in order of time, and what lies between them.

    at: microseconds since the epoch; t: the same in hours; followers; exposure: the integral of the day's rhythm
    up to each count, hours. Of each segment between two counts: `purge`. Running sums before each count, over
    clean segments: growth, exposed, hours; over the others: unclean. `stale_at`: instants (hours) of counts that
    were left out as old answers.
    """

    vendor: str
    unit: int
    at: Integers
    t: Floats
    followers: Floats
    exposure: Floats
    rhythm: Floats | None
    purge: Flags
    growth: Floats
    exposed: Floats
    hours: Floats
    unclean: Integers
    stale_at: Floats

    def rate(self, before: Floats, after: Floats, settings: Lift, *, both: bool) -> tuple[Floats, Floats]:
        """Organic followers an hour of exposure around windows [before, after] (hours), and its clean hours.

        From the time before each window, and with `both` from the time after it too. NaN and 0 where no clean
        segment lies in reach.
        """
        rate, reached = np.full(before.shape, np.nan), np.zeros(before.shape)
        for wider in _WIDER:
            width = settings.local_hours * wider
            end = before - settings.guard_before_minutes / 60
            sides = [(end - width, end)]
            if both:
                sides.append((after + _AFTER_GUARD_H, after + _AFTER_GUARD_H + width))
            growth, exposed, hours = (np.zeros(before.shape) for _ in range(3))
            for low, high in sides:
                last = np.maximum(np.searchsorted(self.t, high, "right") - 1, 0)
                first = np.minimum(np.searchsorted(self.t, low, "left"), last)
                growth += self.growth[last] - self.growth[first]
                exposed += self.exposed[last] - self.exposed[first]
                hours += self.hours[last] - self.hours[first]
            better = (reached < settings.min_clean_hours) & (hours > reached) & (exposed > 0)
            rate[better] = growth[better] / exposed[better]
            reached[better] = hours[better]
            if (reached >= settings.min_clean_hours).all():
                break
        return rate, reached


def read_series(counts: pl.DataFrame, start: Floats, end: Floats, settings: Lift) -> Series:
    """The series in `counts` (one vendor and quantum, sorted by time) of somebody on air in [start, end] (hours)."""
    at = counts["at"].to_numpy()
    followers = counts["followers"].to_numpy().astype(np.float64)
    unit = int(counts["unit"][0])
    old = np.zeros(at.size, bool)
    if unit == 1:  # rounded counts stand still and jump by themselves
        old = _old_answers(at / HOUR_US, followers)
        # Two old answers in a row hide each other: look again at what is left.
        old[np.flatnonzero(~old)[_old_answers(at[~old] / HOUR_US, followers[~old])]] = True
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
    rhythm = _rhythm(t[:-1][recent], hours[recent], growth[recent])
    exposure = _exposure(rhythm, t)
    return Series(
        vendor=str(counts["vendor"][0]),
        unit=unit,
        at=at,
        t=t,
        followers=followers,
        exposure=exposure,
        rhythm=rhythm,
        purge=purge,
        growth=_running(np.where(clean, growth, 0.0)),
        exposed=_running(np.where(clean, np.diff(exposure), 0.0)),
        hours=_running(np.where(clean, hours, 0.0)),
        unclean=_running(~clean).astype(np.int64),
        stale_at=stale_at,
    )


def _running(amounts: NDArray[Any]) -> Floats:
    """Sums before each count: one more than there are segments."""
    return np.concatenate([np.zeros(1), np.cumsum(amounts)])


def _old_answers(t: Floats, followers: Floats) -> Flags:
    """Counts that a cache kept: they stand still while many were due, or dip and come back within a few counts.

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
    """Whether each segment between two counts touches any of the spans [start, end], sorted by start."""
    if not start.size:
        return np.zeros(max(t.size - 1, 0), bool)
    # The first span that is not over at a segment's begin, once later spans cannot end before earlier ones.
    end = np.maximum.accumulate(end)
    first = np.minimum(np.searchsorted(end, t[:-1], "right"), start.size - 1)
    return np.asarray((start[first] < t[1:]) & (end[first] > t[:-1]))


def _rhythm(begin: Floats, hours: Floats, growth: Floats) -> Floats | None:
    """Relative growth by hour of the day (UTC, 24 values of mean 1), or None where the segments do not tell.

    A day's level times a wave: both are fitted in turn, so that days of which only the quiet hours are clean do not
    bend the wave. Least squares on relative growth, weighted by time, drawn to "no rhythm" by a prior.
    """
    use = hours <= _RHYTHM_SEGMENT_H
    begin, hours, growth = begin[use], hours[use], growth[use]
    if hours.sum() < _RHYTHM_MIN_HOURS or growth.sum() / hours.sum() * 24 < _RHYTHM_MIN_GROWTH_A_DAY:
        return None
    # Short segments are added up to hours: the growth of five minutes is mostly chance.
    hour = ((begin + hours / 2) // 1).astype(np.int64)
    first = np.flatnonzero(np.diff(hour, prepend=hour[0] - 1))
    lasted, grown = np.add.reduceat(hours, first), np.add.reduceat(growth, first)
    waves = np.add.reduceat(_wave_integrals(begin, hours), first) / lasted[:, None]
    day = hour[first] // 24 - hour[0] // 24
    mean = growth.sum() / hours.sum()
    prior = np.repeat(_RHYTHM_PRIOR_H * np.arange(1, _WAVES + 1), 2)
    weights = np.zeros(2 * _WAVES)
    for _ in range(_ROUNDS):
        exposed = lasted * np.maximum(1.0 + waves @ weights, _LOWEST_RHYTHM)
        level = (np.bincount(day, grown) + mean * _LEVEL_PRIOR_H) / (np.bincount(day, exposed) + _LEVEL_PRIOR_H)
        due = lasted * np.maximum(level[day], mean / 10)
        told = lasted * due / (due + _CHANCE_MATCHES_AT)
        relative = np.clip(grown / due, 0.0, _HIGHEST_RELATIVE + 3.0 / np.sqrt(due))
        normal = (waves * told[:, None]).T @ waves + np.diag(prior)
        weights = np.linalg.solve(normal, waves.T @ (told * (relative - 1.0)))
    whole = _wave_integrals(np.arange(24.0), np.ones(24))
    rhythm = np.maximum(1.0 + whole @ weights, _LOWEST_RHYTHM)
    return np.asarray(rhythm / rhythm.mean())


def _wave_integrals(begin: Floats, hours: Floats) -> Floats:
    """The integrals of cos and sin of each wave over segments: one row a segment."""
    end, columns = begin + hours, []
    for wave in range(1, _WAVES + 1):
        turn = 2 * np.pi * wave / 24
        columns.append((np.sin(turn * end) - np.sin(turn * begin)) / turn)
        columns.append((np.cos(turn * begin) - np.cos(turn * end)) / turn)
    return np.stack(columns, axis=1)


def _exposure(rhythm: Floats | None, t: Floats) -> Floats:
    """The integral of the rhythm from the epoch to `t`, hours; `t` itself where there is no rhythm."""
    if rhythm is None:
        return t
    before = np.concatenate([[0.0], np.cumsum(rhythm)])
    hour = t % 24
    return np.asarray((t // 24) * 24 + np.interp(hour, np.arange(25.0), before))
