"""Raw rows of other releases and tools."""

from __future__ import annotations

import polars as pl
import pytest

from tiktok_pipeline.transforms.raw_rows import usable
from tiktok_pipeline_tests.raw_files import landed


@pytest.mark.parametrize("column", ["capture_id", "vendor", "endpoint", "requested_at", "observed_at", "outcome"])
def test_a_row_without_a_required_value_is_skipped(column: str) -> None:
    rows = landed("a", "b").with_columns(pl.when(pl.int_range(pl.len()) == 1).then(pl.col(column)).alias(column))
    assert usable(rows.lazy()).collect().equals(landed("a", "b")[1:])
    assert usable(rows.drop(column).lazy()).collect().height == 2


def test_optional_values_of_a_row_are_filled() -> None:
    rows = landed("a").with_columns(subject=pl.lit(None, pl.String), page=pl.lit(None, pl.Int32))
    assert usable(rows.lazy()).select("subject", "page").collect().rows() == [("", 0)]
