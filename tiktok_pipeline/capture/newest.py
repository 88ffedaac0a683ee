"""The time up to which raw rows have landed."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.tables import RAW_TABLES, Table


def newest_capture(lake: Lake) -> datetime | None:
    """Return the time of the newest response, or failed request, in any raw table; None without rows.

    Reads one column of the newest hours only.
    """
    return max(filter(None, (_newest(lake, table) for table in RAW_TABLES)), default=None)


def _newest(lake: Lake, table: Table) -> datetime | None:
    for hour in reversed(list(lake.raw_hours(table))):
        newest = lake.scan_raw(table, [hour]).select(pl.col("received_at").max()).collect().item()
        if isinstance(newest, datetime):
            return newest
    return None
