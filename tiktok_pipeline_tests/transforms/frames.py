"""Build frames from rows with only the relevant columns; the others are null."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from tiktok_pipeline.tables import Table

DAY = datetime(2026, 11, 2, tzinfo=UTC)


def hours(number: float) -> datetime:
    """Return the instant this many hours after the start of the test day."""
    return DAY + timedelta(hours=number)


def frame(table: Table, *rows: dict[str, Any]) -> pl.DataFrame:
    """Return rows of a table; omitted columns are null, or empty for lists."""
    empty = {c.name: [] if isinstance(c.dtype, pl.List) else None for c in table.columns}
    return pl.DataFrame([empty | row for row in rows], schema=table.schema)
