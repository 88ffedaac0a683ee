"""Frames for tests: rows with only the columns that matter, the others null or plain."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from tiktok_pipeline.tables import Table

DAY = datetime(2026, 11, 2, tzinfo=UTC)


def hours(number: float) -> datetime:
    """A moment, by hours since the test day began."""
    return DAY + timedelta(hours=number)


def frame(table: Table, *rows: dict[str, Any]) -> pl.DataFrame:
    """Rows of a table; columns that a row leaves out are null, or empty for lists."""
    empty = {c.name: [] if isinstance(c.dtype, pl.List) else None for c in table.columns}
    return pl.DataFrame([empty | row for row in rows], schema=table.schema)
