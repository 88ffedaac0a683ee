"""Lake files are atomic, deterministic, and readable after columns were added."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from tiktok_pipeline.errors import LakeError
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.tables import COVERAGE, RAW_LIVES
from tiktok_pipeline_tests.raw_files import HOUR, landed

DAY = date(2026, 11, 2)


def rows(*creators: str) -> pl.DataFrame:
    return pl.DataFrame(
        [{"day": DAY, "creator_id": c, "polls": 3, "known_polls": 2} for c in creators],
        schema=COVERAGE.schema,
    )


def test_the_same_rows_in_any_order_give_the_same_bytes(tmp_path: Path) -> None:
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


def test_a_table_without_files_reads_as_empty(tmp_path: Path) -> None:
    frame = Lake(tmp_path).scan_days(COVERAGE, DAY, DAY).collect()
    assert frame.schema == COVERAGE.schema
    assert frame.is_empty()


def test_a_column_missing_in_old_files_is_null(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    path = lake.day_file(COVERAGE, DAY)
    path.parent.mkdir(parents=True)
    rows("a").drop("median_gap_s").write_parquet(path)
    assert lake.scan_all(COVERAGE).collect()["median_gap_s"].to_list() == [None]


def test_a_table_folder_contains_data_files_only(tmp_path: Path) -> None:
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


def test_an_unwritable_lake_is_reported_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LakeError, match="cannot be written"):
        Lake(tmp_path / "file").check_writable()


def captures(lake: Lake) -> list[str]:
    return sorted(lake.scan_raw(RAW_LIVES, lake.raw_hours(RAW_LIVES)).select("capture_id").collect().to_series())


def test_stray_files_and_folders_are_not_read_as_days_hours_or_files(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write_raw(RAW_LIVES, HOUR, "watch-1-0000", landed("a"))
    lake.write_day(COVERAGE, DAY, rows("a"))
    for folder in (lake.folder(RAW_LIVES), lake.folder(COVERAGE)):
        for name in ("date=2026-11-20 (copy)", "date=2026-13-45", "date=20261120", "date=", "date=2026-11-3", "tmp"):
            (folder / name / "hour=03").mkdir(parents=True)
            (folder / name / "coverage.parquet").write_bytes(b"x")
        (folder / "date=2026-11-04").write_bytes(b"a file")
        (folder / "date=2026-11-05").symlink_to("nowhere")
        (folder / ".DS_Store").write_bytes(b"x")
    day = lake.day_folder(RAW_LIVES, DAY)
    for name in ("hour=99", "hour=24", "hour=1", "hour=10 (copy)", "hour=-1", "hour="):
        (day / name).mkdir()
    (day / "hour=11").write_bytes(b"a file")
    (lake.hour_folder(RAW_LIVES, HOUR) / "watch-1-0000.parquet~").write_bytes(b"x")
    (lake.hour_folder(RAW_LIVES, HOUR) / "watch-1-0000 (copy).parquet").write_bytes(
        lake.hour_files(RAW_LIVES, HOUR)[0].read_bytes()
    )
    assert lake.days(RAW_LIVES) == lake.days(COVERAGE) == [DAY]
    assert list(lake.raw_hours(RAW_LIVES)) == [HOUR]
    assert captures(lake) == ["a"]
    assert lake.raw_window(RAW_LIVES, HOUR, "watch-1") == ["watch-1-0000"]
    assert lake.scan_all(COVERAGE).collect().height == 1


def test_a_file_or_folder_in_the_way_is_moved_aside_and_never_deleted(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    file = lake.day_file(COVERAGE, DAY)
    file.mkdir(parents=True)
    (file / "note").write_text("mine")
    lake.write_day(COVERAGE, DAY, rows("a"))
    hour = lake.hour_folder(RAW_LIVES, HOUR)
    hour.parent.parent.mkdir(parents=True)
    hour.parent.symlink_to("nowhere")
    lake.write_raw(RAW_LIVES, HOUR, "w-0000", landed("a"))
    next_hour = lake.hour_folder(RAW_LIVES, HOUR.replace(hour=11))
    next_hour.write_bytes(b"a file")
    lake.write_raw(RAW_LIVES, HOUR.replace(hour=11), "w-0000", landed("b"))
    assert captures(lake) == ["a", "b"]
    assert lake.scan_all(COVERAGE).collect().height == 1
    aside = sorted(path.name.partition("-")[2] for path in (tmp_path / "_aside").iterdir())
    assert aside == ["coverage.parquet", "date=2026-11-02", "hour=11"]
    assert next((tmp_path / "_aside").glob("*-coverage.parquet/note")).read_text() == "mine"


def test_every_reader_of_raw_skips_every_kind_of_damaged_file(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write_raw(RAW_LIVES, HOUR, "w-0000", landed("a", "b"))
    folder = lake.hour_folder(RAW_LIVES, HOUR)
    (folder / "w-0001.parquet").write_bytes(b"")
    (folder / "w-0002.parquet").mkdir()
    (folder / "w-0003.parquet").symlink_to("nowhere")
    (folder / "compacted-0000.parquet").write_bytes(b"PAR1")
    (folder / "compacted-old.parquet").write_bytes(b"x")
    landed("c").with_columns(later=pl.lit(None)).write_parquet(folder / "w-0004.parquet")
    rows("x").write_parquet(folder / "w-0005.parquet")
    assert captures(lake) == ["a", "b", "c"]
    some = lake.scan_raw(RAW_LIVES, [HOUR])
    assert some.filter(pl.col("capture_id") != "a").select(pl.len()).collect().item() == 2
    assert some.head(2).collect().height == 2
    assert some.filter(pl.col("vendor") == "konbini").select("outcome").collect().height == 3
    assert some.group_by("vendor").len().collect()["len"].to_list() == [3]
    # A file of this name exists, so its number is not used again.
    assert lake.raw_window(RAW_LIVES, HOUR, "w") == ["w-0000", "w-0001", "w-0004", "w-0005"]
    named = {path.name for path in lake.damaged.all()}
    assert named == {
        "w-0001.parquet", "w-0002.parquet", "w-0003.parquet", "w-0005.parquet", "compacted-0000.parquet",
        "compacted-old.parquet",
    }  # fmt: skip
    assert (folder / "w-0001.parquet").exists()


def test_a_damaged_derived_file_is_skipped_and_marked_for_rebuild_until_it_is_rewritten(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    days = [DAY, DAY.replace(day=3)]
    for day in days:
        lake.write_day(COVERAGE, day, rows("a").with_columns(day=pl.lit(day)))
    bad = lake.day_file(COVERAGE, DAY)
    bad.write_bytes(bad.read_bytes()[:-20])
    assert lake.scan_all(COVERAGE).collect()["day"].to_list() == days[1:]
    assert lake.scan_days(COVERAGE, *days).select(pl.len()).collect().item() == 1
    assert Lake(tmp_path).wanted_rebuilds() == [bad]
    lake.write_day(COVERAGE, DAY, rows("a"))
    assert lake.wanted_rebuilds() == []
    assert not (tmp_path / "_rebuild").exists()
    assert lake.scan_all(COVERAGE).collect().height == 2
