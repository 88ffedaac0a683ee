"""Raw rows are removed only if configured, whole days at a time, and no derive uses a removed day."""

from __future__ import annotations

import os
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.tables import LIVE_OBSERVATIONS, RAW_LIVES, RAW_PROFILES
from tiktok_pipeline.upkeep.retention import retire, retired
from tiktok_pipeline.upkeep.sizes import folder_size, measure
from tiktok_pipeline_tests.transforms.frames import frame

TODAY = date(2026, 11, 2)


def day(ago: int) -> date:
    return TODAY - timedelta(days=ago)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Return ten days of two raw tables and of a derived one; no creator was polled ten days ago."""
    lake = Lake(tmp_path)
    for ago in range(11):
        at = datetime(day(ago).year, day(ago).month, day(ago).day, 13, tzinfo=UTC)
        read = {"creator_id": "ann", "capture_id": f"c{ago}", "observed_at": at, "vendor": "konbini"}
        if ago < 10:
            for table in (RAW_LIVES, RAW_PROFILES):
                lake.write_raw(table, at, "w-0000", frame(table, {"capture_id": f"c{ago}", "creator_id": "ann"}))
        lake.write_day(LIVE_OBSERVATIONS, day(ago), frame(LIVE_OBSERVATIONS, *([read] if ago < 10 else [])))
    return lake


def test_without_the_setting_no_day_is_removed(lake: Lake) -> None:
    assert retire(lake, today=TODAY, raw_days=None).days == []
    assert len(lake.days(RAW_LIVES)) == 10


def test_expired_days_are_removed_whole_and_reported(lake: Lake) -> None:
    sizes = measure(lake)
    done = retire(lake, today=TODAY, raw_days=7)
    assert done.days == [day(9), day(8)]
    assert done.files == 4
    assert done.bytes == sizes.total.bytes - measure(lake).total.bytes
    assert lake.days(RAW_LIVES) == lake.days(RAW_PROFILES) == [day(ago) for ago in range(7, -1, -1)]
    assert len(lake.days(LIVE_OBSERVATIONS)) == 11
    assert retire(lake, today=TODAY, raw_days=7).days == []


def test_a_day_with_removed_raw_rows_differs_from_a_day_without_polls(lake: Lake) -> None:
    retire(lake, today=TODAY, raw_days=7)
    assert [ago for ago in range(12) if retired(lake, day(ago))] == [8, 9]


def test_leftovers_of_killed_processes_are_removed_and_active_writes_stay(lake: Lake) -> None:
    old, new, half = (lake.staging() / name for name in ("old.part", "new.part", "retired-raw_lives-2026-01-01"))
    for path in (old, new, half / "hour=10" / "w-0000.parquet"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    two_days_ago = time.time() - 2 * 86_400
    os.utime(old, (two_days_ago, two_days_ago))
    assert retire(lake, today=TODAY, raw_days=None).abandoned == 1
    assert sorted(path.name for path in lake.staging().iterdir()) == [".lock", "new.part"]


def test_sizes_are_those_on_disk_and_damaged_files_are_named(lake: Lake) -> None:
    sizes = measure(lake)
    assert sizes.tables["raw_lives"].files == 10
    assert sizes.total.bytes == folder_size(lake.root / "raw") + folder_size(lake.root / "normalized")
    assert sizes.damaged == {}
    (good,) = lake.hour_folder(RAW_LIVES, datetime(2026, 11, 2, 13, tzinfo=UTC)).iterdir()
    content = good.read_bytes()
    for broken in (content[:-1], content[4:], b"", b"PAR1PAR1"):
        good.write_bytes(broken)
        assert list(measure(lake).damaged) == [good]


def test_foreign_links_and_folders_do_not_stop_a_removal(lake: Lake, tmp_path: Path) -> None:
    oldest = lake.day_folder(RAW_LIVES, lake.days(RAW_LIVES)[0])
    hour = next(oldest.glob("hour=*"))
    (hour / "w-0100.parquet").symlink_to("nowhere")
    (hour / "w-0101.parquet").mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine").write_text("x")
    (oldest / "hour=23").symlink_to(elsewhere)
    two_days_ago = time.time() - 2 * 86_400
    for name in ("folder", "pipe.part"):
        (lake.staging() / name).mkdir()
        os.utime(lake.staging() / name, (two_days_ago, two_days_ago))
    (lake.staging() / "retired-raw_lives-2020-01-01").write_text("a file")
    done = retire(lake, today=lake.days(RAW_LIVES)[0] + timedelta(days=400), raw_days=40)
    assert lake.days(RAW_LIVES) == []
    assert done.abandoned == 2
    assert (elsewhere / "mine").exists()
    assert [path.name for path in lake.staging().iterdir()] == [".lock"]


def test_stray_files_are_distinguished_from_damaged_ones(lake: Lake) -> None:
    file = next(lake.folder(RAW_LIVES).rglob("*.parquet"))
    oldest = lake.day_folder(RAW_LIVES, lake.days(RAW_LIVES)[0])
    stray = lake.folder(RAW_LIVES) / f"{oldest.name} (copy)" / "hour=10" / "w-0000.parquet"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(file.read_bytes())
    sizes = measure(lake)
    assert sizes.stray == [stray]
    assert sizes.damaged == {}
