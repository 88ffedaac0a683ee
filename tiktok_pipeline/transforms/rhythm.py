"""The rhythm of the day: relative growth by hour (UTC), with its uncertainty.

The rhythm of one creator is a posterior: clean hours of the creator against a prior that is learned from the rhythms of
other creators. Hours that were never observed off air keep the variance of the prior. So a forecast for such an hour
includes that uncertainty.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

HOURS = 24

# Longer segments do not resolve the hours of the day.
_SEGMENT_H = 6.0
_MIN_HOURS, _MIN_GROWTH_A_DAY = 96.0, 1.0
# The same hour of two days differs by this variance beside chance, and neighbouring hours of a day are correlated.
_MOOD_VARIANCE, _MOOD_MEMORY_H = 0.15, 8.0
# Growth above this multiple of the expected growth, and three deviations of chance, is a burst, not part of the rhythm.
_BURST = 3.0
_ROUNDS = 3
# The level of a day is shrunk to the mean as if by this many hours of it: a few clean hours are weak evidence.
_LEVEL_PRIOR_H = 2.0
_LOWEST = 0.05
# Variances that mean "unknown": the level of one day, and an hour without a count.
_LEVEL_VARIANCE, _NO_COUNT_VARIANCE = 25.0, 1e6
# The prior before other creators are known: deviation of an hour, and the width of a bump, hours.
_PRIOR_SD, _PRIOR_WIDTH_H = 0.6, 2.0
# No prior is narrower than this share of the default: a rhythm without off-air readings may be larger.
_LEAST_PRIOR = 0.5
# The prior of a roster counts as many creators of the default beside those of the roster.
_DEFAULT_CREATORS = 3.0
_LEARNING_ROUNDS = 8


@dataclass(frozen=True, eq=False)
class RhythmEvidence:
    """Evidence of clean hours on a rhythm f (relative growth less one): precision (24 x 24), precision times mean."""

    precision: Floats
    weighted: Floats


@dataclass(frozen=True, eq=False)
class Prior:
    """Normal prior of relative growth less one, by hour: mean (24) and covariance (24 x 24)."""

    mean: Floats
    covariance: Floats


@dataclass(frozen=True, eq=False)
class Rhythm:
    """Relative growth by hour of the day (24, positive), and the covariance of its error."""

    hourly: Floats
    covariance: Floats

    def ratio_variance(self, window: Floats, clean: Floats) -> Floats:
        """Return the variance of log(exposure of a window / exposure of its baseline), by hours of the day in each.

        window: (n, 24) or (24,) hours; clean: the same or broadcastable.
        """
        apart = window / np.maximum(window @ self.hourly, 1e-9)[..., None]
        apart = apart - clean / np.maximum(clean @ self.hourly, 1e-9)[..., None]
        return np.asarray(((apart @ self.covariance) * apart).sum(axis=-1))


def _kernel() -> Floats:
    away = np.abs((np.arange(HOURS) + HOURS / 2) % HOURS - HOURS / 2)
    row = _PRIOR_SD**2 * np.exp(-away / _PRIOR_WIDTH_H)
    return _circulant(row)


def _circulant(row: Floats) -> Floats:
    """Return the circulant covariance with this first row, less its constant part: a level is no rhythm."""
    spectrum = np.fft.rfft(row).real
    spectrum[0] = 0.0
    row = np.fft.irfft(np.maximum(spectrum, 0.0), HOURS)
    n = np.arange(HOURS)
    return np.asarray(row[(n[:, None] - n) % HOURS])


DEFAULT_PRIOR = Prior(np.zeros(HOURS), _kernel())


def hours_until(t: Floats) -> Floats:
    """Return the time spent in each hour of the day from the epoch up to each `t` (hours): (n, 24)."""
    return np.asarray((t // HOURS)[..., None] + np.clip(t[..., None] % HOURS - np.arange(HOURS), 0.0, 1.0))


def _spent(begin: Floats, end: Floats, row: NDArray[np.int64], rows: int) -> Floats:
    """Return the time of the segments [begin, end] (hours) of each row in each hour of the day: (rows, 24)."""
    spent = np.zeros(rows * HOURS)
    hour = np.floor(begin)
    # Segments are short: most lie within one hour or two.
    while (inside := hour < end).any():
        within = np.minimum(end[inside], hour[inside] + 1) - np.maximum(begin[inside], hour[inside])
        cell = row[inside] * HOURS + hour[inside].astype(np.int64) % HOURS
        spent += np.bincount(cell, within, spent.size)
        hour = hour + 1
    return spent.reshape(rows, HOURS)


def read_evidence(begin: Floats, hours: Floats, growth: Floats) -> RhythmEvidence | None:
    """Return the evidence of clean segments (hours since the epoch, hours, followers); None if they show nothing.

    Generalized least squares on relative growth. The level of each day is unknown, so days with only quiet clean
    hours do not bend the rhythm; neighbouring hours of a day share the creator's mood.
    """
    use = hours <= _SEGMENT_H
    begin, hours, growth = begin[use], hours[use], growth[use]
    if hours.sum() < _MIN_HOURS or growth.sum() / hours.sum() * HOURS < _MIN_GROWTH_A_DAY:
        return None
    # Short segments are summed to hours: the growth of five minutes is mostly chance.
    hour = ((begin + hours / 2) // 1).astype(np.int64)
    first = np.flatnonzero(np.diff(hour, prepend=hour[0] - 1))
    lasted, grown = np.add.reduceat(hours, first), np.add.reduceat(growth, first)
    spent = _spent(begin, begin + hours, np.repeat(np.arange(first.size), np.diff(first, append=hour.size)), first.size)
    day, slot = hour[first] // HOURS - hour[0] // HOURS, hour[first] % HOURS
    days = int(day[-1]) + 1
    mean = growth.sum() / hours.sum()
    away = np.abs(np.arange(HOURS)[:, None] - np.arange(HOURS))
    shared = _MOOD_VARIANCE * np.exp(-away / _MOOD_MEMORY_H) + _LEVEL_VARIANCE
    design = np.zeros((days, HOURS, HOURS))
    design[day, slot] = spent / lasted[:, None]
    rhythm = np.ones(HOURS)
    for _ in range(_ROUNDS):
        exposed = spent @ rhythm
        level = (np.bincount(day, grown) + mean * _LEVEL_PRIOR_H) / (np.bincount(day, exposed) + _LEVEL_PRIOR_H)
        due = lasted * np.maximum(level[day], mean / 10)
        usual = np.maximum(exposed / lasted, 0.3)
        relative = np.clip(grown / due, -1.0, _BURST * usual + 3.0 * np.sqrt(usual / due))
        noise = np.full((days, HOURS), _NO_COUNT_VARIANCE)
        noise[day, slot] = np.maximum(usual / due, 1e-3)
        observed = np.zeros((days, HOURS))
        observed[day, slot] = relative - 1.0
        inverse = np.linalg.inv(shared + noise[:, :, None] * np.eye(HOURS))
        # Hours of a day by days: one product over both.
        weights = (inverse @ design).reshape(-1, HOURS)
        evidence = RhythmEvidence(
            precision=weights.T @ design.reshape(-1, HOURS),
            weighted=weights.T @ observed.ravel(),
        )
        rhythm = posterior(evidence, DEFAULT_PRIOR).hourly
    return evidence


def posterior(evidence: RhythmEvidence, prior: Prior) -> Rhythm:
    """Return the rhythm that `evidence` shows, given `prior`."""
    covariance = np.linalg.solve(np.eye(HOURS) + prior.covariance @ evidence.precision, prior.covariance)
    covariance = (covariance + covariance.T) / 2
    mean = prior.mean + covariance @ (evidence.weighted - evidence.precision @ prior.mean)
    return Rhythm(np.maximum(1.0 + mean, _LOWEST), covariance)


def learned_prior(found: list[RhythmEvidence]) -> Prior:
    """Return the prior under which creators with this evidence are most likely (EM), shrunk to the default."""
    if not found:
        return DEFAULT_PRIOR
    precision = np.stack([each.precision for each in found])
    weighted = np.stack([each.weighted for each in found])
    mean, covariance = DEFAULT_PRIOR.mean, DEFAULT_PRIOR.covariance
    least = _LEAST_PRIOR * np.fft.rfft(DEFAULT_PRIOR.covariance[0]).real
    for _ in range(_LEARNING_ROUNDS):
        left = np.linalg.solve(np.eye(HOURS) + covariance @ precision, np.broadcast_to(covariance, precision.shape))
        means = mean + np.einsum("nij,nj->ni", left, weighted - precision @ mean)
        mean = means.sum(axis=0) / (len(found) + _DEFAULT_CREATORS)
        mean = mean - mean.mean()
        apart = means - mean
        spread = np.einsum("ni,nj->ij", apart, apart) + left.sum(axis=0)
        spread = (spread + _DEFAULT_CREATORS * DEFAULT_PRIOR.covariance) / (len(found) + _DEFAULT_CREATORS)
        n = np.arange(HOURS)
        row = np.array([spread[n, (n + lag) % HOURS].mean() for lag in range(HOURS)])
        spectrum = np.maximum(np.fft.rfft(row).real, least)
        covariance = _circulant(np.fft.irfft(spectrum, HOURS))
    return Prior(mean, covariance)
