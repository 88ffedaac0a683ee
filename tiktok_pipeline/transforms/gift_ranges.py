"""Ranges of diamonds from streams with known gifts: a log-linear regression and its errors.

The logarithm of diamonds is fitted to the signals of the known streams (ridge). If the creator has known streams, the
estimate is moved by their mean residual, shrunk to 0 by n / (n + 0.5). The range is conformal: it holds 90 % of the
errors on known streams that were left out of the fit. One creator at a time is left out for creators without known
streams, one stream at a time for the others. So the range is as wide as the fit is bad (docs/methods.md 7.2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Below 19 errors no order statistic bounds 90 % from both sides; a middle is given from 30 known streams on.
_FEWEST_ERRORS, _FEWEST_FOR_MID = 19, 30
# Errors of one creator are correlated: a few creators are no sample of the others.
_FEWEST_CREATORS = 10
_ALPHA = 0.10

# The prior of each slope, in standard scores: limits seven signals where only twenty streams are known.
_RIDGE = 1.0
# Weight of a creator's own streams against the roster's: docs/methods.md 7.2.
_OWN_PRIOR = 0.5

_TOLD = {
    "stream_id": pl.String,
    "low": pl.Float64,
    "mid": pl.Float64,
    "high": pl.Float64,
    "basis": pl.String,
    "known_streams": pl.Int64,
}


@dataclass(frozen=True, eq=False)
class _Fit:
    """A regression on standard scores of the signals: `center` and `spread` of each, `weights`, the intercept first."""

    center: Floats
    spread: Floats
    weights: Floats

    def __call__(self, signals: Floats) -> Floats:
        return np.asarray(_design(signals, self.center, self.spread) @ self.weights)


def ranges(signals: pl.DataFrame, wanted: pl.DataFrame, known: pl.DataFrame, names: tuple[str, ...]) -> pl.DataFrame:
    """Return stream_id, low, mid, high, basis and known_streams of the wanted streams; no row without an estimate.

    Args:
        signals: stream_id, creator_id and the columns `names`, null if unknown; wanted and known streams.
        wanted: stream_id.
        known: stream_id and diamonds.
        names: the signals.
    """
    # Sort, because sums of floats depend on their order.
    training = signals.join(known.drop_nulls().unique("stream_id"), on="stream_id").sort("stream_id")
    requested = signals.join(wanted, on="stream_id", how="semi").sort("stream_id")
    if training.is_empty() or requested.is_empty():
        return pl.DataFrame(schema=_TOLD)
    owners = training["creator_id"].to_numpy()
    given = training.select(names).to_numpy().astype(np.float64)
    diamonds = np.log1p(training["diamonds"].to_numpy().astype(np.float64))
    by_creator = _errors_by_creator(given, diamonds, owners)
    by_stream = _errors_by_stream(given, diamonds, owners)
    fit = _fit(given, diamonds)
    own = {owner: _own_effect((diamonds - fit(given))[owners == owner]) for owner in np.unique(owners)}
    middle = fit(requested.select(names).to_numpy().astype(np.float64))
    facts = dict(zip(training["stream_id"], training["diamonds"], strict=True))
    rows = []
    # A loop: the streams of one day, each by one of three methods.
    for stream_id, creator, expected in zip(
        requested["stream_id"], requested["creator_id"], middle.tolist(), strict=True
    ):
        if stream_id in facts:
            rows.append((stream_id, *[float(facts[stream_id])] * 3, "known", 1))
        elif creator in own and by_stream is not None:
            rows.append(
                (stream_id, *_range(expected + own[creator], by_stream, len(diamonds)), "creator", len(diamonds))
            )
        elif by_creator is not None:
            rows.append((stream_id, *_range(expected, by_creator, len(diamonds)), "roster", len(diamonds)))
    return pl.DataFrame(rows, schema=_TOLD, orient="row")


def _errors_by_creator(signals: Floats, diamonds: Floats, owners: NDArray[np.object_]) -> Floats | None:
    """Return errors on each creator of a fit without that creator; None if they are too few."""
    creators = np.unique(owners)
    if len(creators) < _FEWEST_CREATORS or len(diamonds) < _FEWEST_ERRORS:
        return None
    errors = np.empty(len(diamonds))
    for creator in creators:
        out = owners == creator
        errors[out] = diamonds[out] - _fit(signals[~out], diamonds[~out])(signals[out])
    return errors


def _errors_by_stream(signals: Floats, diamonds: Floats, owners: NDArray[np.object_]) -> Floats | None:
    """Return errors on each stream of a fit, and of a creator's effect, without that stream; None if too few."""
    counts = {owner: int((owners == owner).sum()) for owner in np.unique(owners)}
    several = np.flatnonzero([counts[owner] > 1 for owner in owners])
    if len(several) < _FEWEST_ERRORS:
        return None
    errors = np.empty(len(several))
    for place, left_out in enumerate(several):
        kept = np.arange(len(diamonds)) != left_out
        fit = _fit(signals[kept], diamonds[kept])
        siblings = kept & (owners == owners[left_out])
        effect = _own_effect(diamonds[siblings] - fit(signals[siblings]))
        errors[place] = diamonds[left_out] - fit(signals[left_out : left_out + 1])[0] - effect
    return errors


def _fit(signals: Floats, diamonds: Floats) -> _Fit:
    seen = ~np.isnan(signals)
    many = np.maximum(seen.sum(axis=0), 1)
    center = np.where(seen, signals, 0.0).sum(axis=0) / many
    spread = np.sqrt((np.where(seen, signals - center, 0.0) ** 2).sum(axis=0) / many)
    spread[spread < 1e-12] = np.inf  # the same for all streams: no information
    design = _design(signals, center, spread)
    prior = _RIDGE * np.eye(design.shape[1])
    prior[0, 0] = 0.0
    weights = np.linalg.solve(design.T @ design + prior, design.T @ diamonds)
    return _Fit(center, spread, weights.astype(np.float64))


def _design(signals: Floats, center: Floats, spread: Floats) -> Floats:
    """Return ones and standard scores; a missing signal counts as average."""
    scores = np.where(np.isnan(signals), 0.0, (signals - center) / spread)
    return np.column_stack([np.ones(len(signals)), scores])


def _own_effect(errors: Floats) -> float:
    return float(errors.mean() * len(errors) / (len(errors) + _OWN_PRIOR)) if len(errors) else 0.0


def _range(expected: float, errors: Floats, known: int) -> tuple[float, float | None, float]:
    """Return low, mid and high in diamonds: conformal order statistics of the errors around the expected value."""
    ordered = np.sort(errors)
    low = ordered[math.floor((len(ordered) + 1) * _ALPHA / 2) - 1]
    high = ordered[min(math.ceil((len(ordered) + 1) * (1 - _ALPHA / 2)), len(ordered)) - 1]
    mid = float(np.expm1(expected + np.median(ordered))) if known >= _FEWEST_FOR_MID else None
    return (
        max(float(np.expm1(expected + low)), 0.0),
        None if mid is None else max(mid, 0.0),
        max(float(np.expm1(expected + high)), 0.0),
    )
