"""Raw rows as their files hold them, without the deduplication of `Lake.scan_raw`: for tests that count rows."""

from __future__ import annotations

import polars as pl

from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.tables import Table


def all_raw(lake: Lake, table: Table) -> pl.LazyFrame:
    """Every row of every file of a raw table."""
    files = sorted(lake.folder(table).rglob("*.parquet"))
    return pl.scan_parquet(files, hive_partitioning=False, glob=False) if files else table.empty().lazy()
