"""Files: atomic, the same bytes for the same rows, readable when columns were added since."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from tiktok_pipeline.errors import LakeError
from tiktok_pipeline.lake import Lake
from tiktok_pipeline.tables import COVERAGE, RAW_LIVES

DAY = date(2026, 11, 2)


def rows(*creators: str) -> pl.DataFrame:
    return pl.DataFrame(
        [{"day": DAY, "creator_id": c, "polls": 3, "known_polls": 2} for c in creators],
        schema=COVERAGE.schema,
    )


def test_the_same_rows_in_any_order_are_the_same_bytes(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    first = lake.write_day(COVERAGE, DAY, rows("a", "b", "c")).read_bytes()
    assert lake.write_day(COVERAGE, DAY, rows("c", "a", "b")).read_bytes() == first


def test_a_smaller_rewrite_leaves_no_stale_row_and_an_empty_one_empties_the_day(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write_day(COVERAGE, DAY, rows("a", "b"))
    lake.write_day(COVERAGE, DAY, rows("a"))
    assert lake.scan_all(COVERAGE).collect()["creator_id"].to_list() == ["a"]
    lake.write_day(COVERAGE, DAY, rows())
    assert lake.scan_all(COVERAGE).collect().height == 0


def test_a_table_that_does_not_exist_yet_reads_as_empty(tmp_path: Path) -> None:
    frame = Lake(tmp_path).scan_days(COVERAGE, DAY, DAY).collect()
    assert frame.schema == COVERAGE.schema
    assert frame.is_empty()


def test_a_column_that_old_files_lack_is_null(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    path = lake.day_file(COVERAGE, DAY)
    path.parent.mkdir(parents=True)
    rows("a").drop("median_gap_s").write_parquet(path)
    assert lake.scan_all(COVERAGE).collect()["median_gap_s"].to_list() == [None]


def test_nothing_but_data_lies_under_a_table(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write_day(COVERAGE, DAY, rows("a"))
    assert [p.name for p in lake.folder(COVERAGE).rglob("*") if p.is_file()] == ["coverage.parquet"]
    assert list((tmp_path / "_staging").iterdir()) == []


def test_a_capture_that_landed_twice_is_read_once(tmp_path: Path) -> None:
    lake, hour = Lake(tmp_path), datetime(2026, 11, 2, 10, tzinfo=UTC)
    row = {c.name: None for c in RAW_LIVES.columns} | {"capture_id": "x-1", "vendor": "konbini"}
    for name in ("w-0000", "w-0001"):
        lake.write_raw(RAW_LIVES, hour, name, pl.DataFrame([row], schema=RAW_LIVES.schema))
    assert lake.scan_raw(RAW_LIVES, [hour]).collect().height == 1


def test_a_lake_that_cannot_be_written_says_where(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LakeError, match="cannot be written"):
        Lake(tmp_path / "file").check_writable()
