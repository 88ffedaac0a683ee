"""Filter raw rows that can be read: files of other releases or tools may lack required values."""

from __future__ import annotations

import polars as pl

_NEEDED = ("capture_id", "vendor", "endpoint", "requested_at", "observed_at", "outcome")


def usable(raw: pl.LazyFrame) -> pl.LazyFrame:
    """Drop rows without capture id, vendor, endpoint, times or outcome; fill a missing subject or page.

    Args:
        raw: raw columns, any of them; missing ones are ignored.

    Returns:
        The same columns. A missing subject is empty, a missing page 0.
    """
    columns = raw.collect_schema().names()
    fill = {"subject": pl.col("subject").fill_null(""), "page": pl.col("page").fill_null(0)}
    return raw.drop_nulls([name for name in _NEEDED if name in columns]).with_columns(
        **{name: filled for name, filled in fill.items() if name in columns}
    )
