"""Raw rows for tests: those of files, without the deduplication of `Lake.scan_raw`, and made-up ones."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.tables import RAW_LIVES, Table

HOUR = datetime(2026, 11, 2, 10, tzinfo=UTC)


def all_raw(lake: Lake, table: Table) -> pl.LazyFrame:
    """Return every row of every file of a raw table."""
    files = sorted(lake.folder(table).rglob("*.parquet"))
    return pl.scan_parquet(files, hive_partitioning=False, glob=False) if files else table.empty().lazy()


def landed(*captures: str) -> pl.DataFrame:
    """Return one row of `raw_lives` for each capture id, all within `HOUR`."""
    row = dict.fromkeys(RAW_LIVES.schema) | {
        "vendor": "konbini", "endpoint": "/v1/live", "subject": "ann", "page": 0, "requested_at": HOUR,
        "received_at": HOUR, "observed_at": HOUR, "attempt": 1, "outcome": "ok", "headers": "{}",
    }  # fmt: skip
    return pl.DataFrame([row | {"capture_id": capture} for capture in captures], schema=RAW_LIVES.schema)
