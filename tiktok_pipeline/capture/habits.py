"""Estimate when each creator tends to go live, and how long streams last, from observed streams.

A hierarchical Gamma-Poisson model in closed form (docs/methods.md 8.1). The rates of all creators are the prior of a
creator's day, and that day is the prior of the creator's week. A new creator starts at the common rate, so that polls
go round robin at first. Estimates sharpen within weeks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# A week in quarters of an hour, from Monday 00:00 UTC.
_BIN_MIN = 15.0
_DAY_BINS, _WEEK_BINS = 96, 672
_WEEK_MIN = 7 * 24 * 60.0
_MONDAY = datetime(2024, 1, 1, tzinfo=UTC)

# Weight of a start halves in this time: habits change.
_HALF_LIFE_WEEKS = 3.0
# Strength of the priors: a week of the common rate, four days of the common day, four weeks of the creator's day.
_RATE_PRIOR_WEEKS, _DAY_PRIOR_DAYS, _WEEK_PRIOR_WEEKS = 1.0, 4.0, 4.0
_DAY_SMOOTH_MIN, _WEEK_SMOOTH_MIN = 45.0, 25.0
_FLAT_SHARE = 0.3
# The rate is floored above zero. Without data, a creator is expected to go live about three times a week.
_LOWEST_A_MINUTE = 2e-6
_UNKNOWN_A_WEEK = 3.0

# Ages of a stream, minutes, between which its rate of ending is constant; the last interval has no end.
_AGES_MIN = np.array([0, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240], dtype=np.float64)
_END_PRIOR_MIN = 60.0


@dataclass(frozen=True, eq=False)
class Habits:
    """Rates of stream starts by creator and quarter hour of the week, and rates of stream ends by age.

    starts: (creators, 672) per minute; started: (creators, 673), its running sum over the week, in starts; ends:
    (12,) per minute; ended: (12,), its running sum at each age in `_AGES_MIN`.
    """

    starts: Floats
    started: Floats
    ends: Floats
    ended: Floats

    def start_rate(self, now: datetime) -> Floats:
        """Return the expected starts per minute of each creator at `now`."""
        return self.starts[:, int(_minute_of_week(now) // _BIN_MIN) % _WEEK_BINS]

    def starts_since(self, since: Floats, now: datetime) -> Floats:
        """Return the expected starts of each creator in the `since` minutes before `now`."""
        end = _minute_of_week(now)
        return self._started_by(np.full(since.shape, end)) - self._started_by(end - since)

    def _started_by(self, minute: Floats) -> Floats:
        """Return the running sum at a minute, which may lie weeks before this week."""
        weeks, within = np.divmod(minute, _WEEK_MIN)
        position = within / _BIN_MIN
        whole = np.minimum(position.astype(np.int64), _WEEK_BINS - 1)
        rows = np.arange(minute.size)
        below, above = self.started[rows, whole], self.started[rows, whole + 1]
        return np.asarray(weeks * self.started[:, -1] + below + (position - whole) * (above - below))

    def end_rate(self, age: Floats) -> Floats:
        """Return the rate of ending per minute of streams at `age` minutes."""
        return np.asarray(self.ends[np.searchsorted(_AGES_MIN, age, "right") - 1])

    def ends_between(self, young: Floats, old: Floats) -> Floats:
        """Integrate the rate of ending from one age to another, minutes."""
        return self._ended_by(old) - self._ended_by(young)

    def _ended_by(self, age: Floats) -> Floats:
        bracket = np.searchsorted(_AGES_MIN, age, "right") - 1
        return np.asarray(self.ended[bracket] + self.ends[bracket] * (age - _AGES_MIN[bracket]))


def learn(streams: pl.DataFrame, creators: Sequence[str], known_since: Mapping[str, datetime], now: datetime) -> Habits:
    """Estimate the habits of `creators`, in their order.

    Args:
        streams: creator_id, started_at, ended_at (null while unknown): the observed streams.
        creators: the creators to estimate; others in `streams` are ignored.
        known_since: start of observation by creator; a missing creator is new.
        now: later streams are ignored.
    """
    row = {creator: index for index, creator in enumerate(creators)}
    seen = streams.filter(pl.col("creator_id").is_in(list(row)), pl.col("started_at") <= now)
    creator_of = seen["creator_id"].replace_strict(row, return_dtype=pl.Int64).to_numpy()
    weight = 2.0 ** (-(_minutes(now, seen["started_at"]) / _WEEK_MIN) / _HALF_LIFE_WEEKS)
    minute = _minute_of_week(now) - _minutes(now, seen["started_at"])
    by_week = np.zeros((len(row), _WEEK_BINS))
    np.add.at(by_week, (creator_of, (minute // _BIN_MIN).astype(np.int64) % _WEEK_BINS), weight)
    by_day = by_week.reshape(len(row), 7, _DAY_BINS).sum(axis=1)

    age = np.array([max((now - known_since.get(creator, now)) / timedelta(weeks=1), 0.0) for creator in creators])
    decay = np.log(2) / _HALF_LIFE_WEEKS
    weeks = ((1 - np.exp(-decay * age)) / decay)[:, None]
    count = by_week.sum(axis=1, keepdims=True)
    common = (_UNKNOWN_A_WEEK + count.sum()) / (1.0 + weeks.sum())
    a_week = (common * _RATE_PRIOR_WEEKS + count) / (_RATE_PRIOR_WEEKS + weeks)

    all_creators = _smooth(by_day.sum(axis=0, keepdims=True), _DAY_SMOOTH_MIN, _DAY_BINS)
    shape = all_creators / all_creators.sum() if all_creators.sum() > 0 else np.full((1, _DAY_BINS), 1 / _DAY_BINS)
    day = (_FLAT_SHARE / _DAY_BINS + (1 - _FLAT_SHARE) * shape) / _BIN_MIN
    of_day = (_DAY_PRIOR_DAYS * (a_week / 7) * day + _smooth(by_day, _DAY_SMOOTH_MIN, _DAY_BINS) / _BIN_MIN) / (
        _DAY_PRIOR_DAYS + 7 * weeks
    )
    of_week = (_WEEK_PRIOR_WEEKS * np.tile(of_day, 7) + _smooth(by_week, _WEEK_SMOOTH_MIN, _WEEK_BINS) / _BIN_MIN) / (
        _WEEK_PRIOR_WEEKS + weeks
    )
    starts = np.maximum(of_week, _LOWEST_A_MINUTE)
    started = np.concatenate([np.zeros((len(row), 1)), np.cumsum(starts * _BIN_MIN, axis=1)], axis=1)

    ends = _end_rates(seen)
    ended = np.concatenate([[0.0], np.cumsum(ends[:-1] * np.diff(_AGES_MIN))])
    return Habits(starts, started, ends, ended)


def _end_rates(seen: pl.DataFrame) -> Floats:
    """Return the rate of ending per minute, by age, over all creators: (1 + ends) / (60 minutes + time at that age)."""
    over = seen.filter(pl.col("ended_at").is_not_null())
    length = ((over["ended_at"] - over["started_at"]).dt.total_seconds() / 60).to_numpy().clip(0.0)
    upper = np.append(_AGES_MIN[1:], np.inf)
    at_age = (np.minimum(length[:, None], upper) - _AGES_MIN).clip(0.0).sum(axis=0)
    bracket = np.searchsorted(_AGES_MIN, length, "right") - 1
    return np.asarray((1.0 + np.bincount(bracket, minlength=_AGES_MIN.size)) / (_END_PRIOR_MIN + at_age))


def _smooth(counts: Floats, sd_min: float, bins: int) -> Floats:
    """Spread `counts` (rows, bins) over neighbouring bins by a cyclic Gaussian; sums are preserved."""
    away = np.minimum(np.arange(bins), bins - np.arange(bins)) * _BIN_MIN
    kernel = np.exp(-0.5 * (away / sd_min) ** 2)
    spread = np.fft.irfft(np.fft.rfft(counts, axis=1) * np.fft.rfft(kernel / kernel.sum()), n=bins, axis=1)
    return np.asarray(spread.clip(0.0))


def _minutes(now: datetime, times: pl.Series) -> Floats:
    """Return the minutes from each time to `now`."""
    return (pl.Series([now], dtype=times.dtype) - times).dt.total_microseconds().to_numpy() / 60e6


def _minute_of_week(moment: datetime) -> float:
    return (moment - _MONDAY) / timedelta(minutes=1) % _WEEK_MIN
