"""The platform's live rankings: the most watched creators of this hour or this day, per region.

A score comes from the true rooms up to the instant, in the list's own unit, and coarse, so that small creators tie.
Vendors' formats of it are not here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from tiktok_pipeline.sandbox.chance import chance
from tiktok_pipeline.sandbox.creators import Creator
from tiktok_pipeline.sandbox.streams import Room

ListKind = Literal["hourly", "daily"]
_MOST_ROWS = 100


@dataclass(frozen=True, slots=True)
class ListRules:
    """A kind of list: its window (from the full hour or the UTC day), its unit, and the step of its scores."""

    window_s: int
    unit: str
    step: int


LISTS: Mapping[ListKind, ListRules] = {
    "hourly": ListRules(3600, "diamonds", 50),
    "daily": ListRules(86_400, "popularity", 500),
}


@dataclass(frozen=True, slots=True)
class RankedCreator:
    """One row: equal scores share a rank, and the next rank counts them."""

    creator: Creator
    rank: int
    score: int


@dataclass(frozen=True, slots=True)
class Ranking:
    """One list at one instant, best first."""

    kind: ListKind
    region: str
    begin_s: int
    end_s: int
    rows: list[RankedCreator]

    @property
    def unit(self) -> str:
        """Return the unit of the scores."""
        return LISTS[self.kind].unit


def window(kind: ListKind, at: float) -> tuple[int, int]:
    """Return (begin, end) of the window around unix second `at`."""
    length = LISTS[kind].window_s
    begin = int(at // length) * length
    return begin, begin + length


def rank(kind: ListKind, region: str, at: float, rooms: Iterable[tuple[Creator, list[Room]]]) -> Ranking:
    """Return the list at unix second `at`, from each creator's rooms of the region that were open in its window."""
    begin, end = window(kind, at)
    scores = [(_score(kind, creator, own, begin, at), creator) for creator, own in rooms]
    scores = sorted(((s, c) for s, c in scores if s > 0), key=lambda pair: (-pair[0], pair[1].index))[:_MOST_ROWS]
    rows: list[RankedCreator] = []
    for place, (score, creator) in enumerate(scores, start=1):
        shared = rows[-1].rank if rows and rows[-1].score == score else place
        rows.append(RankedCreator(creator, shared, score))
    return Ranking(kind, region, begin, end, rows)


def _score(kind: ListKind, creator: Creator, rooms: list[Room], begin: float, at: float) -> int:
    if kind == "hourly":
        # Gifts: some audiences give ten times as much for a watched minute as others.
        generosity = 0.05 + 0.45 * chance(creator.user_id, "generosity")
        amount = sum(room.viewer_seconds(at) - room.viewer_seconds(begin) for room in rooms) / 60 * generosity
    else:
        amount = sum(room.enters(at) - room.enters(begin) + (room.likes(at) - room.likes(begin)) / 10 for room in rooms)
    step = LISTS[kind].step
    return int(amount // step) * step
