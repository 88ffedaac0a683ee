"""The interval of a lift: the errors of the same estimate in windows without a stream.

See docs/methods.md 2.2. A placebo window runs between two real counts with no stream near it, is
long as the stream's window, and is estimated in the same way. Its error is divided by the scale of the expected growth,
so that errors of different windows and creators can be compared.

Windows of one creator overlap, and neighbours share their baseline and the creator's mood: hundreds of them in a
week are few. They count for as many as fit side by side with gaps, which gives the pool more weight if a history is
short.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiktok_pipeline.config.settings import Lift
from tiktok_pipeline.transforms.follower_series import Series, scale
from tiktok_pipeline.transforms.rhythm import Floats, hours_until

# A window may be longer than the stream's by half and an hour, if counts lie no closer.
_LONGER, _LONGER_H = 1.5, 1.0
# How many placebos of one stream go into the pool: enough to show their spread, few enough for many streams.
_POOLED_A_STREAM = 40
# Two counts rounded to u: the error of their difference lies in (-u, u), 90 % within 0.7 u (docs/methods.md 2.10).
_ROUNDING = 0.7
# Clean time that a window must have to itself to add information, in its own lengths. With 1, five days of counts
# covered .90 with 6 % false positives, without a bound .87 with 7 to 8 %; four weeks are the same with any.
_APART = 2.0
# Placebo windows whose rhythm variance is computed.
_VARIANCES_OF = 40


@dataclass(frozen=True, eq=False)
class Placebos:
    """Errors of placebo windows.

    errors: of every placebo window, studentised and sorted; independent: how many independent windows they count as;
    rhythm_variance: the mean of the windows' variances from the uncertainty of the rhythm, relative.
    """

    errors: Floats
    independent: int
    rhythm_variance: float = 0.0


NO_PLACEBOS = Placebos(np.empty(0), 0)


def draw_placebos(series: Series, before: float, after: float, settings: Lift, *, both: bool) -> Placebos:
    """Return placebo windows as long as [before, after] (hours), in the weeks around it; none if none fits."""
    length = after - before
    reach = settings.lookback_days * 24
    begin, stop = np.searchsorted(series.t, [before - reach, before + reach], "left")
    first = np.arange(begin, stop)
    last = np.searchsorted(series.t, series.t[first] + length, "left")
    first, last = first[last < series.t.size], last[last < series.t.size]
    clean = series.unclean[first] == series.unclean[last]
    short = series.t[last] - series.t[first] <= _LONGER * length + _LONGER_H
    first, last = (
        _thinned(first[clean & short], settings.max_placebos),
        _thinned(last[clean & short], settings.max_placebos),
    )
    if not first.size:
        return NO_PLACEBOS
    rate, _, _ = series.rate(series.t[first], series.t[last], settings, both=both)
    expected = rate * (series.exposure[last] - series.exposure[first])
    found = (series.followers[last] - series.followers[first] - expected) / scale(expected, series.unit)
    clean_h = series.hours[stop - 1] - series.hours[begin]
    some = slice(None, None, -(-first.size // _VARIANCES_OF))
    windows = hours_until(series.t[last[some]]) - hours_until(series.t[first[some]])
    clean = series.clean_by_hour(float(series.t[begin]), float(series.t[stop - 1]))
    return Placebos(
        errors=np.sort(found[np.isfinite(found)]),
        independent=max(int(clean_h / (_APART * length)), 1),
        rhythm_variance=float(series.rhythm.ratio_variance(windows, clean).mean()),
    )


def pooled(found: Iterable[Placebos], settings: Lift) -> Floats:
    """Return evenly spaced quantiles of the errors of many streams: a pool for creators without a history.

    None where there are fewer errors than an interval needs: quantiles would make many of a few.
    """
    shown = np.concatenate([np.empty(0), *(_thinned(each.errors, _POOLED_A_STREAM) for each in found)])
    if shown.size < settings.min_placebos:
        return np.empty(0)
    levels = (np.arange(settings.pool_size) + 0.5) / settings.pool_size
    return np.asarray(np.quantile(shown, levels))


def half_widths(
    own: Placebos, pool: Floats, expected: float, unit: int, more: float, settings: Lift
) -> tuple[float, float] | None:
    """Return the reach of the interval below and above the estimate; None if errors are too few for its level.

    more: half-width (followers) of errors that placebo windows do not show.
    """
    if own.errors.size + pool.size < settings.min_placebos:
        return None
    found = np.sort(np.concatenate([_thinned(own.errors, own.independent), pool]))
    n = found.size
    tail = settings.alpha / 2
    low = found[max(int((n + 1) * tail) - 1, 0)]
    high = found[min(int(np.ceil((n + 1) * (1 - tail))) - 1, n - 1)]
    spread, rounding = float(scale(np.array(expected), unit)), _ROUNDING * unit if unit > 1 else 0.0
    below, above = (math.hypot(max(error, 0.0) * spread, rounding, more) for error in (high, -low))
    return below, above


def _thinned(values: NDArray[Any], most: int) -> NDArray[Any]:
    """Return at most `most` of the values, evenly spaced over them."""
    if values.size <= most:
        return values
    return values[((np.arange(most) + 0.5) * values.size / most).astype(np.int64)]
