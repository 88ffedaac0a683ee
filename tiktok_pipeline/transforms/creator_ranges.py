"""Divide a roster into ranges of creators, so that work on one range at a time needs memory for that range only.

Every mart that is computed per creator (streams, hours, lift) gives the same rows range by range as in one piece. The
same ranges can be computed by several processes or machines.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

# Memory for a range is about 180 kB a creator where follower counts come every five minutes for four weeks.
CREATORS_A_RANGE = 1_000


@dataclass(frozen=True)
class CreatorRange:
    """The creators from `first` to `last` in the order of their ids, both included."""

    first: str
    last: str

    def holds(self) -> pl.Expr:
        """Return a filter for rows of these creators. Files that are sorted by creator are read in part."""
        return pl.col("creator_id").is_between(pl.lit(self.first), pl.lit(self.last))


def creator_ranges(creator_ids: Iterable[str], size: int = CREATORS_A_RANGE) -> list[CreatorRange]:
    """Return the fewest ranges of at most `size` creators that hold all `creator_ids`, in order."""
    ordered = sorted(set(creator_ids))
    starts = range(0, len(ordered), size)
    return [CreatorRange(ordered[n], ordered[min(n + size, len(ordered)) - 1]) for n in starts]


def range_filters(rows: pl.LazyFrame, size: int = CREATORS_A_RANGE) -> list[pl.Expr]:
    """Return a filter for each range of the creators in `rows`; one that keeps every row if they fit into one range."""
    ranges = creator_ranges(rows.select(pl.col("creator_id").drop_nulls().unique()).collect().to_series(), size)
    return [each.holds() for each in ranges] if len(ranges) > 1 else [pl.lit(value=True)]
