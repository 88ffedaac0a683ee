"""Days of a run that are up to date, and their metadata in the UI. See `derive/up_to_date.py`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from tiktok_pipeline.defs.repairing import REPAIR_TAG
from tiktok_pipeline.derive import up_to_date
from tiktok_pipeline.derive.up_to_date import DayRecord
from tiktok_pipeline.lake.reads import recording
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.resources import Pipeline
from tiktok_pipeline.tables import Table

# Tag of a run that decodes all raw rows of its days again, and derives them even if nothing has changed.
REBUILD_TAG = "tiktok_pipeline/rebuild"

_DERIVES_EVERYTHING = (REBUILD_TAG, REPAIR_TAG, "dagster/backfill")


@dataclass
class Made:
    """The output of one day's run of an asset: the tables, and the metadata of each."""

    numbers: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)

    def add(self, table: Table, numbers: Mapping[str, Any]) -> None:
        """Record a table whose file was written, with its metadata."""
        self.tables.append(table)
        self.numbers[table.name] = numbers


@dataclass(frozen=True)
class Skipping:
    """The days of one asset: `tables` are all tables that it writes for a day."""

    asset: str
    tables: tuple[Table, ...]
    lake: Lake
    pipeline: Pipeline
    version: str
    everything: bool

    @classmethod
    def of(
        cls,
        context: dg.AssetExecutionContext,
        pipeline: Pipeline,
        asset: str,
        tables: Iterable[Table],
        made_from: pl.DataFrame | None = None,
    ) -> Skipping:
        """Return the asset's days by settings, roster, known gifts and hash key, and the rows `made_from`."""
        settings = pipeline.settings()
        gifts = b""
        if settings.gifts.path is not None:
            # A file that cannot be read is reported by the asset that needs it.
            with contextlib.suppress(OSError):
                gifts = settings.gifts.path.read_bytes()
        rows = b"" if made_from is None else made_from.serialize()
        version = up_to_date.version(settings, pipeline.roster().creators, pipeline.hash_key(), gifts, rows)
        return cls(
            asset,
            tuple(tables),
            pipeline.lake,
            pipeline,
            version,
            any(tag in context.run.tags for tag in _DERIVES_EVERYTHING),
        )

    def up_to_date(self, day: date) -> DayRecord | None:
        """Return the record of a day that needs no run."""
        return None if self.everything else up_to_date.up_to_date(self.lake, self.asset, day, self.version)

    @contextmanager
    def making(self, day: date) -> Iterator[Made]:
        """Record the day if the block wrote all tables of the asset."""
        made = Made()
        before = up_to_date.drop_record(self.lake, self.asset, day)
        begun = time.process_time()
        with recording() as reads:
            yield made
        if set(made.tables) == set(self.tables):
            up_to_date.keep_record(
                self.lake,
                self.asset,
                day,
                version=self.version,
                now=self.pipeline.clock().now(),
                of=reads,
                tables=made.tables,
                numbers=made.numbers,
                # A run that finds most of its results in a cache takes less than one with new code.
                cpu_s=round(max(before, time.process_time() - begun), 3),
            )


def metadata_of(record: DayRecord, table: Table) -> dict[str, Any]:
    """Return metadata of a day that was not derived: its numbers, and the reason."""
    since = f"{record.made_at:%Y-%m-%d %H:%M} UTC"
    return {
        **record.numbers.get(table.name, {}),
        "up_to_date": f"not derived again: its inputs have not changed since {since}. The run tag "
        f"{REBUILD_TAG} derives it in any case",
    }
