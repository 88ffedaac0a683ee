"""Who is asked next whether they are live, when not everybody can be asked all the time.

`most_valuable` is the index of docs/methods.md 8.2: a question is worth the delay that it saves. It needs no
memory but what landed: when each creator was asked last, who is live since when, and whose end is to be confirmed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from tiktok_pipeline.capture.habits import Floats, Habits

# An end that is found late costs less than a start that is found late.
_END_WEIGHT = 0.3


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of each creator: arrays of one length.

    asked: minutes since the last answer, infinite where there is none; live: whether that answer said on air; age:
    minutes since the stream began, where live; confirm: whether an end waits to be confirmed.
    """

    asked: Floats
    live: NDArray[np.bool_]
    age: Floats
    confirm: NDArray[np.bool_]


def most_valuable(
    habits: Habits, known: Known, now: datetime, *, count: int, shortest_min: float, longest_min: float
) -> list[int]:
    """Indices of up to `count` creators, the most valuable question first.

    An end to confirm comes first, then whoever is off air and was not asked for `longest_min`; nobody is asked again
    within `shortest_min`. The others are ranked by H^2 / rate, where H is the number of starts (or ends) to be
    expected since the last answer, and rate that of now: asking pays where something probably happened, and waiting
    does not where more is about to.
    """
    since = np.minimum(known.asked, longest_min)
    starts = habits.starts_since(since, now)
    worth = starts**2 / habits.start_rate(now)
    age = np.where(known.live, np.maximum(known.age, 0.0), 0.0)
    young = np.maximum(age - known.asked, 0.0)
    ends = habits.ends_between(young, age)
    worth = np.where(known.live, _END_WEIGHT * ends**2 / habits.end_rate(age), worth)
    overdue = ~known.live & (known.asked >= longest_min)
    # Both must be; the longest wait goes first among equals.
    urgent = np.where(known.confirm, 2.0, np.where(overdue, 1.0, 0.0))
    order = np.lexsort((-known.asked, -worth, -urgent))
    return [int(index) for index in order if known.asked[index] >= shortest_min][:count]
