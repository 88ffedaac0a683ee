"""Damaged derived files are found, and derived again in an order that reads no damaged input."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.tables import LIVE_OBSERVATIONS, RAW_LIVES, STREAM_LIFT, STREAMS, TABLES
from tiktok_pipeline.upkeep.repair import Repair, repairs
from tiktok_pipeline_tests.raw_files import landed

FIRST = date(2026, 1, 1)
DAYS = [FIRST + timedelta(days=n) for n in range(50)]
DAILY = [table for table in TABLES.values() if table.files == "day"]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Return fifty days of polls, derived; no creator streamed."""
    lake = Lake(tmp_path)
    for day in DAYS:
        at = datetime(day.year, day.month, day.day, 10, tzinfo=UTC)
        lake.write_raw(RAW_LIVES, at, "w-0000", landed(f"c{day}"))
        for table in (LIVE_OBSERVATIONS, STREAMS, STREAM_LIFT):
            lake.write_day(table, day, table.empty())
    return lake


def wanted(lake: Lake, before: date = DAYS[-4]) -> list[Repair]:
    return repairs(lake, earliest=FIRST, before=before)


def spans(lake: Lake) -> list[tuple[int, int, tuple[str, ...]]]:
    return [((r.first - FIRST).days, (r.last - FIRST).days, r.tables) for r in wanted(lake)]


def test_intact_files_and_days_of_every_derive_need_no_repair(lake: Lake) -> None:
    assert wanted(lake) == []
    for day in DAYS[-4:]:
        lake.day_file(STREAMS, day).write_bytes(b"")
    assert wanted(lake) == []


def test_consecutive_days_are_one_run_of_at_most_a_month(lake: Lake) -> None:
    for number in (3, 4, 5, 9, 10):
        lake.day_file(STREAMS, DAYS[number]).write_bytes(b"")
    lake.day_file(STREAMS, DAYS[20]).unlink()
    assert spans(lake) == [(3, 5, ("streams",)), (9, 10, ("streams",)), (20, 20, ("streams",))]
    for day in DAYS[:45]:
        lake.day_file(STREAMS, day).write_bytes(b"")
    assert spans(lake) == [(0, 30, ("streams",)), (31, 44, ("streams",))]
    # Every second day: the first few runs, and the others when those are done.
    for day in DAYS[::2]:
        lake.write_day(STREAMS, day, STREAMS.empty())
    assert len(spans(lake)) == 4


def test_sources_of_other_tables_are_repaired_first(lake: Lake) -> None:
    for table in (STREAM_LIFT, STREAMS, LIVE_OBSERVATIONS):
        lake.day_file(table, DAYS[7]).write_bytes(b"no parquet")
    for table in (LIVE_OBSERVATIONS, STREAMS, STREAM_LIFT):
        assert spans(lake) == [(7, 7, (table.name,))]
        lake.write_day(table, DAYS[7], table.empty())
    assert spans(lake) == []


def test_a_day_whose_raw_rows_were_removed_is_not_repaired_from_raw(lake: Lake) -> None:
    for table in (LIVE_OBSERVATIONS, STREAMS):
        lake.day_file(table, DAYS[7]).write_bytes(b"")
    lake.hour_files(RAW_LIVES, datetime(2026, 1, 8, 10, tzinfo=UTC))[0].unlink()
    lake.hour_folder(RAW_LIVES, datetime(2026, 1, 8, 10, tzinfo=UTC)).rmdir()
    lake.day_folder(RAW_LIVES, DAYS[7]).rmdir()
    # A mart can be repaired from the remaining normalized tables.
    assert spans(lake) == [(7, 7, ("streams",))]


def test_the_same_damage_has_the_same_run_key_and_new_damage_another(lake: Lake) -> None:
    file = lake.day_file(STREAMS, DAYS[7])
    file.write_bytes(b"x")
    key = wanted(lake)[0].key
    assert wanted(lake)[0].key == key
    file.write_bytes(b"xx")
    assert wanted(lake)[0].key != key


def test_damage_within_a_file_is_found_when_it_is_read(lake: Lake) -> None:
    file = lake.day_file(STREAMS, DAYS[7])
    content = file.read_bytes()
    file.write_bytes(content)
    assert wanted(lake) == []
    lake.want_rebuild(file)
    assert spans(lake) == [(7, 7, ("streams",))]
    lake.write_day(STREAMS, DAYS[7], STREAMS.empty())
    assert wanted(lake) == []
