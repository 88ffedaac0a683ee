"""Estimate viewers and lift by hour of the week from few streams: shrunk to the creator's own mean, with intervals.

A plain mean of an hour rests on one or two streams, and the best of many such means is mostly luck. The estimates here
are best linear unbiased predictions of a mixed model (docs/methods.md 4.1):

    observation = creator's mean + effect of the hour of day + effect of the hour of week + effect of the stream + noise

The shares of these parts in the variance are estimated over all creators; the variance itself is each creator's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Level of the intervals.
_LEVEL = 0.90

# A creator with fewer streams has no estimates: its variance is hardly known.
LEAST_STREAMS = 5

# An hour of a stream counts from this much observed time, s: the mean of less is one reading.
_LEAST_COUNTED_S = 300

# Shares of the variance before any data, and the number of streams that they count as.
_PRIOR_STREAMS = 50.0
_LEAST_SHARE = 1e-3
_LEAST_NOISE = 0.05

_DAY, _WEEK = 24, 168

# Neighbouring hours of the day are alike: the effect of an hour is a weighted sum of independent ones, of variance 1.
NEIGHBOURS: Floats = sum(
    weight * np.roll(np.eye(_DAY), shift, axis=1) for shift, weight in ((-1, 0.25), (0, 0.5), (1, 0.25))
) / np.sqrt(0.25**2 + 0.5**2 + 0.25**2)
_CELL = ("weekday", "hour")


class Shares(NamedTuple):
    """Shares of a creator's variance: by hour of day, by hour of week beyond it, by stream, and noise."""

    day: float
    week: float
    stream: float
    noise: float


_PRIOR = Shares(day=0.10, week=0.03, stream=0.50, noise=0.37)


@dataclass(frozen=True)
class _Creator:
    """The rows of one creator, sorted by stream: stream 0, 1, ..., hour of the week from Monday, value and weight."""

    creator_id: str
    stream: Ints
    week: Ints
    value: Floats
    weight: Floats

    @property
    def streams(self) -> int:
        return int(self.stream[-1]) + 1


def hour_estimates(hours: pl.DataFrame) -> pl.DataFrame:
    """Return estimates a creator, weekday and hour (UTC) in which it was on air.

    Args:
        hours: STREAM_HOURS schema, of any span.

    Returns:
        Columns creator_id, weekday, hour and `typical_viewers`, `typical_lift_per_hour`, each with `_lo` and `_hi`,
        sorted by the first three. Null for creators with fewer than `LEAST_STREAMS` streams with the measure.
    """
    cells = hours.with_columns(weekday=pl.col("hour").dt.weekday(), hour=pl.col("hour").dt.hour()).sort(
        "creator_id", "stream_id", *_CELL
    )
    keys = cells.select("creator_id", *_CELL).unique().sort("creator_id", *_CELL)
    viewers, lift = _viewers(cells), _lift(cells)
    # The systems are small: threads would wait for each other.
    with threadpool_limits(limits=1, user_api="blas"):
        estimates = {
            # Audiences differ by factors: a creator's good hour has twice the viewers, not a hundred more.
            "typical_viewers": _factors(_estimates(viewers, variance_shares(viewers), whole=False)),
            "typical_lift_per_hour": _estimates(lift, spread_shares(lift), whole=True),
        }
    for name, found in estimates.items():
        named = found.rename({"middle": name, "lo": f"{name}_lo", "hi": f"{name}_hi"})
        keys = keys.join(named, on=["creator_id", *_CELL], how="left", maintain_order="left")
    return keys


def _viewers(cells: pl.DataFrame) -> pl.DataFrame:
    """Return the logarithm of the mean viewers of each stream and hour of the week."""
    return (
        cells.filter(pl.col("average_viewers").is_not_null(), pl.col("counted_s") >= _LEAST_COUNTED_S)
        .group_by("creator_id", "stream_id", *_CELL, maintain_order=True)
        .agg(value=pl.col("average_viewers").log1p().mean(), weight=pl.lit(1.0))
    )


def _lift(cells: pl.DataFrame) -> pl.DataFrame:
    """Return the lift per hour of each stream in each of its hours of the week, with the hour's share of the airtime.

    A lift is known for the whole stream only, so it is one observation, spread over its hours.
    """
    on_air = pl.col("airtime_s").sum().over("stream_id")
    return (
        cells.filter(pl.col("lift").is_not_null(), pl.col("airtime_s") > 0)
        .group_by("creator_id", "stream_id", *_CELL, maintain_order=True)
        .agg(pl.col("lift", "airtime_s").sum())
        .with_columns(value=pl.col("lift").sum().over("stream_id") / on_air * 3600, weight=pl.col("airtime_s") / on_air)
    )


def variance_shares(rows: pl.DataFrame) -> Shares:
    """Estimate shares of the variance from pairs of observations of the same creator.

    Half the mean squared difference of two observations is the variance that they do not share. So pairs of the same
    hour, of the same hour of the week and of the same stream, each against pairs that share nothing, give the parts
    without the creator's mean.

    Args:
        rows: creator_id, stream_id, weekday, hour, value.
    """
    pairs = rows.group_by("creator_id", maintain_order=True).agg(
        streams=pl.col("stream_id").n_unique().cast(pl.Float64), variance=pl.col("value").var()
    )
    for name, keys in {
        "all": (),
        "stream": ("stream_id",),
        "day": ("hour",),
        "week": _CELL,
        "both": ("stream_id", "hour"),
    }.items():
        pairs = pairs.join(_pairs(rows, keys, name), on="creator_id", how="left", maintain_order="left")
    # Each set of pairs without those that share more: as a number of pairs, and as a sum of squares.
    pairs = pairs.filter(pl.col("variance") > 0).with_columns(
        apart=_half_mean(lambda of: of("all") - of("stream") - of("day") + of("both")),
        same_hour=_half_mean(lambda of: of("day") - of("week") - of("both")),
        same_week_hour=_half_mean(lambda of: of("week")),
        same_stream=_half_mean(lambda of: of("stream") - of("both")),
    )

    def share(more: str, less: str, prior: float) -> float:
        """Return what pairs `less` have less than pairs `more`, as a share of the variance of pairs apart."""
        used = pairs.filter(pl.all_horizontal(pl.col("apart", more, less).is_not_null()))
        weight = used["streams"] / used["variance"]
        of = float((weight * used["apart"]).sum()) + _PRIOR_STREAMS
        part = float((weight * (used[more] - used[less])).sum()) + _PRIOR_STREAMS * prior
        return min(max(part / of, _LEAST_SHARE), 1 - _LEAST_NOISE)

    day = share("apart", "same_hour", _PRIOR.day)
    week = share("same_hour", "same_week_hour", _PRIOR.week)
    stream = share("apart", "same_stream", _PRIOR.stream)
    scale = min(1.0, (1 - _LEAST_NOISE) / (day + week + stream))
    return Shares(day * scale, week * scale, stream * scale, 1 - (day + week + stream) * scale)


def _pairs(rows: pl.DataFrame, keys: tuple[str, ...], name: str) -> pl.DataFrame:
    """Return by creator the number of pairs with equal `keys`, and the sum of their squared differences."""
    n, total = pl.len().cast(pl.Float64), pl.col("value").sum()
    return (
        rows.group_by("creator_id", *keys, maintain_order=True)
        .agg(pairs=n * (n - 1) / 2, squares=(n * pl.col("value").pow(2).sum() - total.pow(2)).clip(0))
        .group_by("creator_id", maintain_order=True)
        .agg(pl.col("pairs").sum().alias(f"pairs_{name}"), pl.col("squares").sum().alias(f"squares_{name}"))
    )


def _half_mean(combine: Callable[[Callable[[str], pl.Expr]], pl.Expr]) -> pl.Expr:
    """Return half the mean squared difference of a combination of sets; null without a pair."""
    many = combine(lambda name: pl.col(f"pairs_{name}"))
    return pl.when(many > 0).then(combine(lambda name: pl.col(f"squares_{name}")).clip(0) / (2 * many))


def spread_shares(rows: pl.DataFrame) -> Shares:
    """Estimate shares of the variance where an observation belongs to a whole stream, spread over its hours.

    Two streams share the effect of an hour as far as both were on air in it. So half their squared difference is
    regressed on the hours that they do not share, over all pairs of a creator and all creators.

    Args:
        rows: creator_id, stream_id, weekday, hour, value, weight; the weights of a stream sum to 1.
    """
    # The prior is a ridge: unlike a plain one, it pulls to the prior's shares and not to 0.
    ridge = np.full(3, 0.05 * _PRIOR_STREAMS)
    products, targets = np.diag(ridge), ridge * (_PRIOR.stream + _PRIOR.noise, _PRIOR.day, _PRIOR.week)
    for creator in _creators(rows):
        value = creator.value[_starts(creator.stream)]
        variance = float(np.var(value, ddof=1)) if value.size > 1 else 0.0
        if variance <= 0:
            continue
        first, second = np.triu_indices(value.size, 1)
        terms = [np.ones(first.size)]
        week_spread = np.zeros((value.size, _WEEK))
        np.add.at(week_spread, (creator.stream, creator.week), creator.weight)
        day_spread = week_spread.reshape(value.size, -1, _DAY).sum(axis=1) @ NEIGHBOURS
        for spread in (day_spread, week_spread):
            shared = spread @ spread.T
            alone = np.diag(shared)
            terms.append((alone[first] + alone[second]) / 2 - shared[first, second])
        design = np.stack(terms)
        weight = value.size / first.size
        products += weight * (design @ design.T)
        targets += weight * (design @ ((value[first] - value[second]) ** 2 / (2 * variance)))
    noise, day, week = (float(share) for share in np.linalg.solve(products, targets))
    return Shares(max(day, _LEAST_SHARE), max(week, _LEAST_SHARE), 0.0, max(noise, _LEAST_NOISE))


def _estimates(rows: pl.DataFrame, shares: Shares, *, whole: bool) -> pl.DataFrame:
    """Return creator_id, weekday, hour, middle, lo, hi.

    Args:
        rows: creator_id, stream_id, weekday, hour, value, weight.
        shares: the shares of the variance.
        whole: one observation a stream, spread over its rows by `weight`; otherwise each row is one.
    """
    ids: list[str] = []
    found = []
    for creator in _creators(rows):
        if creator.streams >= LEAST_STREAMS:
            cells, *columns = _solve(creator, shares, whole=whole)
            ids += [creator.creator_id] * cells.size
            found.append((cells, *columns))
    week, middle, low, high = (
        (np.concatenate(part) for part in zip(*found, strict=True)) if found else [np.zeros(0)] * 4
    )
    return pl.DataFrame(
        {
            "creator_id": pl.Series(ids, dtype=pl.String),
            "weekday": pl.Series(week // _DAY + 1, dtype=rows.schema["weekday"]),
            "hour": pl.Series(week % _DAY, dtype=rows.schema["hour"]),
            "middle": middle,
            "lo": low,
            "hi": high,
        }
    )


def _factors(estimates: pl.DataFrame) -> pl.DataFrame:
    return estimates.with_columns(pl.col("middle", "lo", "hi").exp() - 1).with_columns(
        pl.col("middle", "lo", "hi").clip(0)
    )


def _creators(rows: pl.DataFrame) -> Iterator[_Creator]:
    """Yield the rows of each creator."""
    if rows.is_empty():
        return
    ids = rows["creator_id"]
    begin = _starts(ids.rle_id().to_numpy())
    stream = rows.select(pl.struct("creator_id", "stream_id").rle_id()).to_series().to_numpy().astype(np.int64)
    week = ((rows["weekday"].cast(pl.Int64) - 1) * _DAY + rows["hour"].cast(pl.Int64)).to_numpy()
    value, weight = rows["value"].to_numpy(), rows["weight"].to_numpy()
    for first, last in zip(begin, [*begin[1:], ids.len()], strict=True):
        part = slice(int(first), int(last))
        yield _Creator(ids[int(first)], stream[part] - stream[first], week[part], value[part], weight[part])


def _solve(creator: _Creator, shares: Shares, *, whole: bool) -> tuple[Ints, Floats, Floats, Floats]:
    """Return the hours of the week in which the creator was on air, their estimates and the bounds.

    Henderson's mixed-model equations; the effects of streams are absorbed, because the inverse of a block of equal
    correlations has a closed form.
    """
    cells, cell = np.unique(creator.week, return_inverse=True)
    week_of = 1 + _DAY
    # Columns: the mean, the effects of the hours of day, those of the visited hours of week.
    observation = creator.stream if whole else np.arange(creator.stream.size)
    first = _starts(observation)
    design = np.zeros((first.size, week_of + cells.size))
    np.add.at(design[:, 1:week_of], observation, creator.weight[:, None] * NEIGHBOURS[creator.week % _DAY])
    np.add.at(design, (observation, week_of + cell), creator.weight)
    design[:, 0] = 1.0
    value, stream = creator.value[first], creator.stream[first]

    begin = _starts(stream)
    sums, totals = np.add.reduceat(design, begin), np.add.reduceat(value, begin)
    common = shares.stream / (shares.noise + np.bincount(stream) * shares.stream)
    left = (design.T @ design - (sums.T * common) @ sums) / shares.noise
    right = (design.T @ value - (sums.T * common) @ totals) / shares.noise
    square = float(value @ value - (common * totals) @ totals) / shares.noise
    penalty = np.concatenate(([0.0], np.full(_DAY, 1 / shares.day), np.full(cells.size, 1 / shares.week)))
    inverse = np.linalg.inv(left + np.diag(penalty))
    effects = inverse @ right
    variance = max(0.0, square - float(effects @ right)) / (value.size - 1)

    contrast = np.zeros((cells.size, design.shape[1]))
    rows = np.arange(cells.size)
    contrast[:, 0] = contrast[rows, week_of + rows] = 1.0
    contrast[:, 1:week_of] = NEIGHBOURS[cells % _DAY]
    middle = contrast @ effects
    half = _quantile(creator.streams - 1) * np.sqrt(variance * ((contrast @ inverse) * contrast).sum(axis=1))
    return cells, middle, middle - half, middle + half


def _starts(runs: NDArray[np.integer]) -> Ints:
    """Return the first position of each run of equal numbers."""
    changed = np.flatnonzero(runs[1:] != runs[:-1]) + 1
    return np.concatenate(([0], changed)) if runs.size else changed


def _quantile(degrees: int) -> float:
    """Return the quantile of Student's t for the interval; Abramowitz and Stegun, 26.7.5, to two terms."""
    z = NormalDist().inv_cdf((1 + _LEVEL) / 2)
    return z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)
