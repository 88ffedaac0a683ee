"""Rank creators by the value of polling them next, when not all can be polled all the time.

`most_valuable` computes the index of docs/methods.md 8.2: a poll is worth the detection delay that it saves. Its
only inputs are in raw rows: the last poll of each creator, starts of current streams, and ends to be confirmed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from tiktok_pipeline.capture.habits import Floats, Habits

# A late end costs less than a late start.
_END_WEIGHT = 0.3


@dataclass(frozen=True, eq=False)
class Known:
    """The last known state of each creator: arrays of one length.

    since_poll: minutes since the last response, infinite without one; live: whether that response reported on air; age:
    minutes since the stream began, if live; confirm: whether an end must be confirmed.
    """

    since_poll: Floats
    live: NDArray[np.bool_]
    age: Floats
    confirm: NDArray[np.bool_]


def most_valuable(
    habits: Habits, known: Known, now: datetime, *, count: int, shortest_min: float, longest_min: float
) -> list[int]:
    """Return the indices of up to `count` creators, the most valuable poll first.

    Ends to confirm come first, then creators off air without a response for `longest_min`. Creators polled within
    `shortest_min` are left out. The others are ranked by H^2 / rate: H is the expected number of starts (or ends)
    since the last response, and rate is the current one. A poll is worth more if a change probably happened, and less
    if further changes are expected soon.
    """
    since = np.minimum(known.since_poll, longest_min)
    starts = habits.starts_since(since, now)
    worth = starts**2 / habits.start_rate(now)
    age = np.where(known.live, np.maximum(known.age, 0.0), 0.0)
    young = np.maximum(age - known.since_poll, 0.0)
    ends = habits.ends_between(young, age)
    worth = np.where(known.live, _END_WEIGHT * ends**2 / habits.end_rate(age), worth)
    overdue = ~known.live & (known.since_poll >= longest_min)
    # Both are mandatory; among equals, the longest wait comes first.
    urgent = np.where(known.confirm, 2.0, np.where(overdue, 1.0, 0.0))
    order = np.lexsort((-known.since_poll, -worth, -urgent))
    return [int(index) for index in order if known.since_poll[index] >= shortest_min][:count]
