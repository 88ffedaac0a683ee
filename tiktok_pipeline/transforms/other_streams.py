"""Effects of the other streams of a creator on one stream's window.

Streams at the same hour of the day show the least growth of that hour: an upper bound of the rhythm if the hour was
hardly observed off air. A stream shortly before still brings followers: they are carried over into the window and are
subtracted.
"""

from __future__ import annotations

import math

import numpy as np

from tiktok_pipeline.config.settings import Lift
from tiktok_pipeline.transforms.follower_series import Series
from tiktok_pipeline.transforms.rhythm import HOURS, Floats

# Streams that begin this close to each other's hour of the day are compared; fewer of them show nothing.
_SAME_HOUR_H, _FEW_STREAMS = 1.5, 5
# This share of them brings nearly no followers.
_WEAK = 0.2
# This share of a stream's gain comes after its end and fades with this time constant (hours).
_TAIL, _FADING_H = 0.3, 2.0
# A stream that ended longer ago brings hardly any followers.
_FADED_H = 6.0


class OtherStreams:
    """Gains of all streams of one creator in one series of counts: [start, end] in hours since the epoch."""

    def __init__(self, series: Series, start: Floats, end: Floats, settings: Lift, *, both: bool) -> None:
        """Read the counts around every stream; `both` as in `Series.rate`."""
        window_end = end + settings.carry_over_minutes / 60
        window_end[:-1] = np.minimum(window_end[:-1], np.maximum(start[1:], end[:-1]))
        b = np.searchsorted(series.t, start, "right") - 1
        a = np.searchsorted(series.t, window_end, "left")
        known = (b >= 0) & (a < series.t.size)
        b, a = np.maximum(b, 0), np.minimum(a, series.t.size - 1)
        rate, _, _ = series.rate(series.t[b], series.t[a], settings, both=both)
        self.start, self.end = start, end
        self.expected = np.where(known, rate * (series.exposure[a] - series.exposure[b]), np.nan)
        self.grown = series.followers[a] - series.followers[b]
        self.until = series.t[a]
        self._reach_h = settings.lookback_days * HOURS
        self._brought: dict[int, float] = {}

    def weakest(self, start: float) -> float:
        """Return the growth of the weakest streams at this hour of the day, over the expected growth; NaN if few."""
        near = np.abs((self.start - start + HOURS / 2) % HOURS - HOURS / 2) <= _SAME_HOUR_H
        near &= (np.abs(self.start - start) <= self._reach_h) & (self.expected > 0)
        if near.sum() < _FEW_STREAMS:
            return math.nan
        return float(np.quantile(self.grown[near] / self.expected[near], _WEAK))

    def carried_over(self, n: int, before: float, after: float) -> float:
        """Return followers in [before, after] that streams before stream `n` bring: 0 where their gain is unknown."""
        recent = np.flatnonzero((self.end[:n] > before - _FADED_H) & (self.end[:n] < after))
        return sum(self._left(int(k), before, after) for k in recent)

    def _left(self, n: int, before: float, after: float) -> float:
        """Return the part of stream `n`'s gain that came in [before, after]."""
        end = float(self.end[n])
        ours = 1 - _TAIL * math.exp(-max(float(self.until[n]) - end, 0.0) / _FADING_H)
        tail = math.exp(-max(before - end, 0.0) / _FADING_H) - math.exp(-max(after - end, 0.0) / _FADING_H)
        return self._gain(n) * _TAIL * tail / ours

    def _gain(self, n: int) -> float:
        """Return the gain of stream `n` over the expected and carried-over growth; never below 0."""
        if n not in self._brought:
            gain = float(self.grown[n] - self.expected[n])
            if not math.isfinite(gain):
                gain = 0.0
            elif gain > 0:
                gain -= self.carried_over(n, float(self.start[n]), float(self.until[n]))
            self._brought[n] = max(gain, 0.0)
        return self._brought[n]
