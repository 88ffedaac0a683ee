"""Read the follower counts of the lake by day: each day's file at most once a run, with a cached index.

For an unchanged file the cached index is enough. Its counts are read only for creators whose estimates are missing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

import polars as pl

from tiktok_pipeline.errors import LakeError
from tiktok_pipeline.lake.remembered import Remembered, digest, identity, modules_version
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.tables import PROFILE_OBSERVATIONS
from tiktok_pipeline.transforms import follower_days
from tiktok_pipeline.transforms.follower_days import (
    COLUMNS,
    CountBlock,
    FollowerHistory,
    Indexed,
    index_frame,
    index_of_frame,
    read_block,
)

# Counts of whole days kept in memory, 18 bytes each.
_MOST_ROWS = 12_000_000
# Reading a file for some creators costs nearly as much as for all.
_WORTH_ALL = 4
# Cached indexes: those of the lookback, of days that are derived again, and of earlier versions of today's file.
_MOST_INDEXES = 80


@dataclass
class CountedDays:
    """The days of PROFILE_OBSERVATIONS, for one run."""

    lake: Lake
    _indexes: dict[tuple[date, str], dict[str, Indexed]] = field(default_factory=dict)
    _blocks: OrderedDict[tuple[date, str], CountBlock] = field(default_factory=OrderedDict)

    def history(self, first: date, last: date) -> FollowerHistory:
        """Return the counts of the days from `first` to `last`, both included."""
        # Each caller depends on all these files, also on those that another day of the run has read already.
        self.lake.scan_days(PROFILE_OBSERVATIONS, first, last)
        days = (first + timedelta(days=n) for n in range((last - first).days + 1))
        found = ((day, identity(self.lake.day_file(PROFILE_OBSERVATIONS, day))) for day in days)
        return FollowerHistory([_Day(self, day, version) for day, version in found if version is not None])

    def index(self, day: date, version: str) -> dict[str, Indexed]:
        """Return the index of a day's file."""
        if (day, version) not in self._indexes:
            remembered, key = (
                Remembered(self.lake, "follower-index", _MOST_INDEXES),
                digest(modules_version(follower_days), f"{day}", version),
            )
            if (kept := remembered.get(key)) is not None:
                self._indexes[day, version] = index_of_frame(kept)
            else:
                self._indexes[day, version] = index = self._whole(day, version).index()
                # A damaged file will be replaced: do not cache its index.
                if self.lake.day_file(PROFILE_OBSERVATIONS, day) not in self.lake.damaged.all():
                    remembered.put(key, index_frame(index))
        return self._indexes[day, version]

    def block(self, day: date, version: str, creators: Collection[str] | None) -> CountBlock:
        """Return the counts of at least these creators on a day; without `creators`, of all."""
        held = self._blocks.get((day, version))
        if held is not None:
            return held
        if creators is None or len(creators) * _WORTH_ALL > len(self.index(day, version)):
            return self._whole(day, version)
        return self._read(day, version, pl.col("creator_id").is_in(list(creators)))

    def _whole(self, day: date, version: str) -> CountBlock:
        if (day, version) not in self._blocks:
            self._blocks[day, version] = self._read(day, version, pl.lit(value=True))
        self._blocks.move_to_end((day, version))
        while len(self._blocks) > 1 and sum(each.at.size for each in self._blocks.values()) > _MOST_ROWS:
            self._blocks.popitem(last=False)
        return self._blocks[day, version]

    def _read(self, day: date, version: str, wanted: pl.Expr) -> CountBlock:
        block = read_block(self.lake.scan_days(PROFILE_OBSERVATIONS, day, day).select(COLUMNS).filter(wanted))
        path = self.lake.day_file(PROFILE_OBSERVATIONS, day)
        if identity(path) != version:
            raise LakeError(f"{path} was replaced while it was read: derive the day again")
        return block


@dataclass(frozen=True)
class _Day:
    """One day of the history: see `follower_days.CountsDay`."""

    days: CountedDays
    day: date
    version: str

    def index(self) -> Mapping[str, Indexed]:
        return self.days.index(self.day, self.version)

    def block(self, creators: Collection[str] | None = None) -> CountBlock:
        return self.days.block(self.day, self.version, creators)
