"""Follower counts by day: read once, compared by digest, and read again for single creators only.

A day's counts are arrays sorted by creator, series and time. Its index holds the first and last time and a digest of
each creator's counts. Equal digests mean equal counts, so that unchanged counts need not be read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tiktok_pipeline.transforms.follower_counts import found_units
from tiktok_pipeline.transforms.rhythm import Floats

Integers = NDArray[np.int64]

# The columns of PROFILE_OBSERVATIONS that counts are read from.
COLUMNS = ("creator_id", "vendor", "observed_at", "followers", "followers_precision", "followers_unit", "source")

_INDEX = {"creator_id": pl.String, "first_at": pl.Int64, "last_at": pl.Int64, "digest": pl.Binary}
# Bits of a non-negative 64-bit integer.
_BITS = 63


@dataclass(frozen=True)
class Indexed:
    """The index entry of one creator's counts: first and last instant (microseconds), and their digest."""

    first_at: int
    last_at: int
    digest: bytes


@dataclass(frozen=True, eq=False)
class Counts:
    """Counts of one creator and series in order of time: vendor, unit, listed, at (microseconds), followers.

    listed: totals of lists of followers, which count other accounts than the profile does. unit_found: the unit was
    found in the counts and is larger than the vendor declares.
    """

    vendor: str
    unit: int
    listed: bool
    at: Integers
    followers: Floats
    unit_found: bool = False


@dataclass(frozen=True, eq=False)
class CountBlock:
    """Counts of some creators: one an instant of each creator and series, sorted by creator, series and time.

    spans: the rows of each creator; series: vendor, unit and listed by code; code, at (microseconds), followers: rows.
    """

    spans: Mapping[str, tuple[int, int]]
    series: Sequence[tuple[str, int, bool]]
    code: NDArray[np.int16]
    at: Integers
    followers: Integers

    def index(self) -> dict[str, Indexed]:
        """Return the index of the block."""
        return {
            name: Indexed(int(self.at[a:b].min()), int(self.at[a:b].max()), self.digest(name))
            for name, (a, b) in self.spans.items()
        }

    def digest(self, creator_id: str, until: int | None = None) -> bytes:
        """Return a digest of the creator's counts, of those up to `until` (microseconds) if given."""
        a, b = self.spans[creator_id]
        code, at, followers = self.code[a:b], self.at[a:b], self.followers[a:b]
        if until is not None:
            early = at <= until
            code, at, followers = code[early], at[early], followers[early]
        found = hashlib.blake2b(digest_size=16)
        # Codes differ from block to block: hash their meaning and the length of each run instead.
        edges = np.flatnonzero(np.diff(code, prepend=np.int16(-1)))
        for edge in edges.tolist():
            found.update(f"{edge}:{self.series[code[edge]]!r};".encode())
        found.update(at.tobytes())
        found.update(followers.tobytes())
        return found.digest()


def read_block(profiles: pl.LazyFrame) -> CountBlock:
    """Read the follower counts in `profiles` (`COLUMNS` of PROFILE_OBSERVATIONS, any order, repetitions allowed)."""
    rows = (
        profiles.filter(pl.col("followers").is_not_null())
        .select(
            "creator_id",
            "vendor",
            "followers",
            unit=pl.coalesce("followers_unit", pl.when(pl.col("followers_precision") == "exact").then(1)),
            listed=pl.col("source").eq_missing("followers"),
            at=pl.col("observed_at").dt.epoch("us"),
        )
        .filter(pl.col("unit").is_not_null())
        .collect()
    )
    if rows.is_empty():
        none = np.empty(0, np.int64)
        return CountBlock({}, [], np.empty(0, np.int16), none, none)
    names, creator = _codes(rows["creator_id"])
    vendors, vendor = _codes(rows["vendor"])
    units, unit = np.unique(rows["unit"].to_numpy(), return_inverse=True)
    # By vendor, unit and listed, as the series of a creator are ordered.
    every, code = np.unique((vendor * units.size + unit) * 2 + rows["listed"].to_numpy(), return_inverse=True)
    series = [(vendors[c // 2 // units.size], int(units[c // 2 % units.size]), bool(c % 2)) for c in every.tolist()]
    at, followers = rows["at"].to_numpy(), rows["followers"].to_numpy()
    order = _order(creator, code, at)
    creator, code, at, followers = creator[order], code[order], at[order], followers[order]
    first = np.flatnonzero(
        np.concatenate([[True], (np.diff(creator) != 0) | (np.diff(code) != 0) | (np.diff(at) != 0)])
    )
    if first.size < at.size:
        creator, code, at, followers = creator[first], code[first], at[first], np.maximum.reduceat(followers, first)
    edges = np.searchsorted(creator, np.arange(len(names) + 1)).tolist()
    spans = {name: (edges[n], edges[n + 1]) for n, name in enumerate(names)}
    return CountBlock(spans, series, code.astype(np.int16), at, followers)


def _codes(texts: pl.Series) -> tuple[list[str], Integers]:
    """Return the distinct texts in order, and the position of each text among them."""
    distinct = texts.unique().sort()
    return distinct.to_list(), texts.cast(pl.Enum(distinct)).to_physical().cast(pl.Int64).to_numpy()


def _order(creator: Integers, code: Integers, at: Integers) -> Integers:
    """Return the order by creator, code and time, from one integer if it can hold all three."""
    since = int(at.min())
    bits = [(int(values.max())).bit_length() for values in (creator, code, at - since)]
    if sum(bits) > _BITS:
        return np.lexsort((at, code, creator))
    return np.argsort((((creator << bits[1]) | code) << bits[2]) | (at - since))


class CountsDay(Protocol):
    """The counts of one day, or of another part of a history."""

    def index(self) -> Mapping[str, Indexed]:
        """Return the index of the day."""
        ...

    def block(self, creators: Collection[str] | None = None) -> CountBlock:
        """Return the counts of at least these creators; of all of them without `creators`."""
        ...


@dataclass(frozen=True)
class WholeBlock:
    """Counts that are in memory."""

    counts: CountBlock
    indexed: Mapping[str, Indexed]

    @classmethod
    def of(cls, profiles: pl.LazyFrame) -> WholeBlock:
        """Read all counts in `profiles`."""
        block = read_block(profiles)
        return cls(block, block.index())

    def index(self) -> Mapping[str, Indexed]:
        """See `CountsDay`."""
        return self.indexed

    def block(self, creators: Collection[str] | None = None) -> CountBlock:
        """See `CountsDay`."""
        del creators
        return self.counts


class FollowerHistory:
    """The follower counts of some days, in order."""

    def __init__(self, days: Sequence[CountsDay]) -> None:
        """Use these days; nothing is read at construction."""
        self._days = days

    def first_at(self) -> int | None:
        """Return the first instant of any count, microseconds; None without counts."""
        return min((each.first_at for day in self._days for each in day.index().values()), default=None)

    def creators(self, until: int) -> list[str]:
        """Return the creators with counts up to `until`, sorted."""
        found = {name for day in self._days for name, each in day.index().items() if each.first_at <= until}
        return sorted(found)

    def last_at(self, creator_id: str) -> int | None:
        """Return the creator's last instant; None without counts."""
        found = [each.last_at for day in self._days if (each := day.index().get(creator_id)) is not None]
        return max(found, default=None)

    def counted_within(self, creator_id: str, since: int, until: int) -> bool:
        """Return whether the creator has a count in [since, until] (microseconds)."""
        for day in reversed(self._days):
            each = day.index().get(creator_id)
            if each is None or each.last_at < since or each.first_at > until:
                continue
            if since <= each.first_at or each.last_at <= until:
                return True
            block = day.block()
            a, b = block.spans[creator_id]
            if ((block.at[a:b] >= since) & (block.at[a:b] <= until)).any():
                return True
        return False

    def digest(self, creator_id: str, until: int) -> bytes:
        """Return a digest of the creator's counts up to `until` (microseconds)."""
        parts = []
        for day in self._days:
            each = day.index().get(creator_id)
            if each is None or each.first_at > until:
                continue
            parts.append(each.digest if each.last_at <= until else day.block().digest(creator_id, until))
        return b"".join(parts)

    def read(self, until: Mapping[str, int]) -> dict[str, list[Counts]]:
        """Return the series of each creator up to its instant (microseconds), in the order of their keys."""
        parts: dict[str, dict[tuple[str, int, bool], list[tuple[Integers, Integers]]]] = {name: {} for name in until}
        for day in self._days:
            index = day.index()
            requested = [name for name, last in until.items() if name in index and index[name].first_at <= last]
            if not requested:
                continue
            block = day.block(requested)
            for name in requested:
                a, b = block.spans[name]
                code = block.code[a:b]
                edges = [*np.flatnonzero(np.diff(code, prepend=np.int16(-1))).tolist(), b - a]
                for begin, end in pairwise(edges):
                    key = block.series[code[begin]]
                    rows = slice(a + begin, a + end)
                    parts[name].setdefault(key, []).append((block.at[rows], block.followers[rows]))
        return {name: _series(found, until[name]) for name, found in parts.items()}


def _series(found: dict[tuple[str, int, bool], list[tuple[Integers, Integers]]], until: int) -> list[Counts]:
    """Join the parts of each series, raise units to the detected ones, and join series of the same unit."""
    by_unit: dict[tuple[str, int, bool], list[tuple[Integers, Integers, bool]]] = {}
    for (vendor, unit, listed), pieces in found.items():
        at, followers = (np.concatenate(each) for each in zip(*pieces, strict=True))
        early = at <= until
        if not early.all():
            at, followers = at[early], followers[early]
        if not at.size:
            continue
        units = found_units(followers, unit)
        if units is None:
            by_unit.setdefault((vendor, unit, listed), []).append((at, followers, False))
            continue
        for one in np.unique(units).tolist():
            of_one = units == one
            by_unit.setdefault((vendor, one, listed), []).append((at[of_one], followers[of_one], one > unit))
    return [_joined(key, by_unit[key]) for key in sorted(by_unit)]


def _joined(key: tuple[str, int, bool], pieces: list[tuple[Integers, Integers, bool]]) -> Counts:
    """Return one series in order of time, with the largest count of an instant if there are several."""
    at, followers = (np.concatenate([piece[n] for piece in pieces]) for n in (0, 1))
    if (np.diff(at) <= 0).any():
        order = np.lexsort((followers, at))
        at, followers = at[order], followers[order]
        last = np.append(np.diff(at) != 0, True)
        at, followers = at[last], followers[last]
    return Counts(*key, at, followers.astype(np.float64), any(piece[2] for piece in pieces))


def index_frame(index: Mapping[str, Indexed]) -> pl.DataFrame:
    """Return an index as a frame, to be stored."""
    rows = [(name, each.first_at, each.last_at, each.digest) for name, each in index.items()]
    return pl.DataFrame(rows, schema=_INDEX, orient="row")


def index_of_frame(frame: pl.DataFrame) -> dict[str, Indexed]:
    """Return the index that `index_frame` made a frame of."""
    return {name: Indexed(first, last, digest) for name, first, last, digest in frame.iter_rows()}
