"""The newest capture counts every raw table, failed requests too."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from tiktok_pipeline.capture.newest import newest_capture
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.tables import RAW_TABLES
from tiktok_pipeline_tests.capture.landed_rows import START, Landing


def test_a_lake_without_rows_has_none(tmp_path: Path) -> None:
    assert newest_capture(Lake(tmp_path / "lake")) is None
    assert not (tmp_path / "lake").exists()


@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_maximum_over_all_rows(tmp_path: Path, seed: int) -> None:
    lake = Lake(tmp_path)
    Landing(lake, seed).go_on(50)
    files = [file for table in RAW_TABLES for file in lake.folder(table).rglob("*.parquet")]
    assert newest_capture(lake) == max(pl.read_parquet(file)["received_at"].max() for file in files)  # type: ignore[type-var]


def test_rows_of_another_table_in_a_later_hour_count(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    Landing(lake, 1).go_on(50)
    newest = newest_capture(lake)
    assert newest is not None
    table = RAW_TABLES[-1]
    late = START + timedelta(days=2, minutes=7)
    row = dict.fromkeys(table.schema) | {"received_at": late, "requested_at": late}
    lake.write_raw(table, late.replace(minute=0), "late", pl.DataFrame([row], schema=table.schema))
    assert newest_capture(lake) == late
