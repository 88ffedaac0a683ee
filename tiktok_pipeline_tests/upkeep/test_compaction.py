"""Compaction keeps every row, and no concurrent reader sees a row twice or misses one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.tables import RAW_LIVES, RAW_PROFILES
from tiktok_pipeline.upkeep.compaction import Compaction, compact

HOUR = datetime(2026, 11, 2, 10, tzinfo=UTC)
LATER = HOUR + timedelta(days=1)
WINDOW = timedelta(minutes=10)
CREATORS = ("cam", "ann", "bo")


def landed(window: str, flush: int, *, status: int | None = 200, minute: int = 0) -> pl.DataFrame:
    """Return one flush with each creator once, in the order of the responses."""
    rows = [
        {
            "capture_id": f"lives-{window}-{flush:04d}-10-{number:06d}",
            "vendor": "social_fetch",
            "endpoint": "/v1/live",
            "creator_id": creator,
            "subject": creator,
            "page": 0,
            "requested_at": HOUR + timedelta(minutes=minute, seconds=number),
            "received_at": HOUR + timedelta(minutes=minute, seconds=number + 1),
            "observed_at": HOUR + timedelta(minutes=minute, seconds=number + 1),
            "attempt": 1,
            "http_status": status,
            "outcome": "ok" if status else "network_error",
            "headers": "{}",
            "body": f'{{"who":"{creator}","at":{minute}}}' if status else None,
        }
        for number, creator in enumerate(CREATORS)
    ]
    empty = dict.fromkeys(RAW_LIVES.schema)
    return pl.DataFrame([empty | row for row in rows], schema=RAW_LIVES.schema)


def land(lake: Lake, window: str, flush: int, **how: int | None) -> None:
    lake.write_raw(RAW_LIVES, HOUR, f"{window}-{flush:04d}", landed(window, flush, **how))  # type: ignore[arg-type]


def compact_lake(lake: Lake, now: datetime = LATER) -> Compaction:
    return compact(lake, [RAW_LIVES, RAW_PROFILES], now=now, window=WINDOW)


def files(lake: Lake) -> list[str]:
    return [path.name for path in lake.hour_files(RAW_LIVES, HOUR)]


def rows(lake: Lake) -> pl.DataFrame:
    return lake.scan_raw(RAW_LIVES, [HOUR]).collect().sort("capture_id")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path)
    for flush in range(5):
        land(lake, "watch-20261102T100000", flush, minute=flush)
    return lake


def test_a_closed_hour_becomes_one_file_sorted_by_creator_and_time_with_every_row(lake: Lake) -> None:
    before = rows(lake)
    done = compact_lake(lake)
    assert files(lake) == ["compacted-0000.parquet"]
    assert rows(lake).equals(before)
    written = pl.read_parquet(lake.hour_files(RAW_LIVES, HOUR)[0])
    assert written.select("creator_id", "requested_at").rows() == sorted(
        before.select("creator_id", "requested_at").rows()
    )
    assert (done.hours, done.rows, done.files_before, done.files_after) == (1, 15, 5, 1)
    assert done.bytes_after < done.bytes_before
    assert done.problems == []
    assert [p.name for p in (lake.root / "_staging").iterdir()] == [".lock"]


def test_a_second_compaction_changes_nothing(lake: Lake) -> None:
    compact_lake(lake)
    (path,) = lake.hour_files(RAW_LIVES, HOUR)
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    assert compact_lake(lake).hours == 0
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


@pytest.mark.parametrize("minutes", [0, 59, 60, 90, 179])
def test_an_hour_that_a_window_may_still_write_is_left_unchanged(lake: Lake, minutes: int) -> None:
    assert compact_lake(lake, HOUR + timedelta(minutes=minutes)).hours == 0
    assert len(files(lake)) == 5


def test_longer_windows_delay_the_compaction_of_their_hour(lake: Lake) -> None:
    four_hours = timedelta(hours=4)
    assert compact(lake, [RAW_LIVES], now=HOUR + timedelta(hours=8), window=four_hours).hours == 0
    assert compact(lake, [RAW_LIVES], now=HOUR + timedelta(hours=9), window=four_hours).hours == 1


def test_a_late_file_is_compacted_in_the_next_run(lake: Lake) -> None:
    compact_lake(lake)
    land(lake, "watch-20261102T105500", 0, minute=55)
    assert rows(lake).height == 18
    before = rows(lake)
    compact_lake(lake)
    assert files(lake) == ["compacted-0001.parquet"]
    assert rows(lake).equals(before)


def test_a_compaction_killed_before_it_removed_old_files_is_completed_by_the_next(lake: Lake, tmp_path: Path) -> None:
    before = rows(lake)
    kept = {path.name: path.read_bytes() for path in lake.hour_files(RAW_LIVES, HOUR)}
    compact_lake(lake)
    for name in list(kept)[2:]:
        (lake.hour_folder(RAW_LIVES, HOUR) / name).write_bytes(kept[name])
    assert rows(lake).equals(before), "a capture that two files hold is one"
    compact_lake(lake)
    assert files(lake) == ["compacted-0001.parquet"]
    assert rows(lake).equals(before)


def test_windows_are_still_known_by_name_after_compaction(lake: Lake) -> None:
    land(lake, "sweep-20261102T1000", 0)
    lake.write_raw(RAW_LIVES, HOUR, "sweep-20261102T10-0000", RAW_LIVES.empty())
    names = lake.raw_window(RAW_LIVES, HOUR, "watch-20261102T100000")
    assert names == [f"watch-20261102T100000-{flush:04d}" for flush in range(5)]
    for _ in range(2):
        compact_lake(lake)
        assert lake.raw_window(RAW_LIVES, HOUR, "watch-20261102T100000") == names
        # An hour in which no poll was due has no row that names it.
        assert lake.raw_window(RAW_LIVES, HOUR, "sweep-20261102T10") == ["sweep-20261102T10-0000"]
        assert lake.raw_window(RAW_LIVES, HOUR, "watch-20261102T1000") == []
        land(lake, "late-20261102T10", 0)


def test_a_window_without_any_response_stays_a_file_that_its_retry_replaces(lake: Lake) -> None:
    land(lake, "sweep-20261102T10", 0, status=None)
    compact_lake(lake)
    assert files(lake) == ["sweep-20261102T10-0000.parquet", "compacted-0000.parquet"]
    land(lake, "sweep-20261102T10", 0, status=200)
    assert rows(lake)["http_status"].null_count() == 0
    compact_lake(lake)
    assert files(lake) == ["compacted-0001.parquet"]
    assert rows(lake).height == 18


def test_different_responses_with_one_capture_id_are_never_deduplicated(lake: Lake) -> None:
    other = landed("watch-20261102T100000", 0).with_columns(body=pl.lit("another"))
    lake.write_raw(RAW_LIVES, HOUR, "other-0000", other)
    done = compact_lake(lake)
    assert "have the same capture_id" in done.problems[0]
    assert len(files(lake)) == 6


def test_an_unreadable_file_is_skipped_and_reported_and_the_others_are_compacted(lake: Lake) -> None:
    bad = lake.hour_files(RAW_LIVES, HOUR)[2]
    damaged = bad.read_bytes()[:-100]
    bad.write_bytes(damaged)
    before = rows(lake)
    for _ in range(2):
        done = compact_lake(lake)
        assert str(bad) in done.problems[0]
        assert files(lake) == [bad.name, "compacted-0000.parquet"]
        assert bad.read_bytes() == damaged
        assert rows(lake).equals(before)


def test_a_file_with_an_unknown_column_is_left_uncompacted(lake: Lake) -> None:
    """An unknown column with nulls only holds no data, so its file is compacted."""
    newer, empty = lake.hour_files(RAW_LIVES, HOUR)[1:3]
    pl.read_parquet(newer).with_columns(later=pl.lit("x")).write_parquet(newer)
    pl.read_parquet(empty).with_columns(later=pl.lit(None)).write_parquet(empty)
    before, content = rows(lake), newer.read_bytes()
    for _ in range(2):
        done = compact_lake(lake)
        assert "columns that this release does not know: later" in done.problems[0]
        assert files(lake) == [newer.name, "compacted-0000.parquet"]
        assert newer.read_bytes() == content
        assert rows(lake).equals(before)


def test_a_compacted_file_never_takes_the_name_of_an_existing_file(lake: Lake) -> None:
    folder = lake.hour_folder(RAW_LIVES, HOUR)
    (folder / "compacted-0000.parquet").write_bytes(b"PAR1 damaged")
    (folder / "compacted-0007.parquet").mkdir()
    (folder / "compacted-x.parquet").write_bytes(b"not ours")
    before = rows(lake)
    done = compact_lake(lake)
    assert len(done.problems) == 2
    assert files(lake) == ["compacted-0000.parquet", "compacted-0008.parquet", "compacted-x.parquet"]
    assert rows(lake).equals(before)
    land(lake, "late", 0)
    compact_lake(lake)
    assert files(lake) == ["compacted-0000.parquet", "compacted-0009.parquet", "compacted-x.parquet"]


def test_a_compacted_file_that_another_tool_rewrote_is_compacted_again(lake: Lake) -> None:
    compact_lake(lake)
    (folded,) = lake.hour_files(RAW_LIVES, HOUR)
    pl.read_parquet(folded).write_parquet(folded)
    land(lake, "late", 0)
    before = rows(lake)
    assert compact_lake(lake).problems == []
    assert files(lake) == ["compacted-0001.parquet"]
    assert rows(lake).equals(before)


def test_nothing_is_removed_if_the_compacted_file_does_not_read_back(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = pl.DataFrame.write_parquet
    monkeypatch.setattr(pl.DataFrame, "write_parquet", lambda frame, *a, **k: write(frame.head(3), *a, **k))
    done = compact_lake(lake)
    assert "nothing was removed" in done.problems[0]
    assert len(files(lake)) == 5


def test_an_unreadable_file_is_skipped_and_named(lake: Lake) -> None:
    bad = lake.hour_files(RAW_LIVES, HOUR)[2]
    whole = rows(lake)
    bad.write_bytes(bad.read_bytes()[:-100])
    kept = rows(lake)
    assert kept.equals(whole.filter(~pl.col("capture_id").str.contains(f"-{bad.stem[-4:]}-")))
    assert list(lake.damaged.new()) == [bad]


def test_only_the_first_rows_are_read_if_only_they_are_requested(lake: Lake) -> None:
    hours = [HOUR, HOUR + timedelta(hours=1)]
    assert lake.scan_raw(RAW_LIVES, hours).head(4).collect().height == 4
    few = lake.scan_raw(RAW_LIVES, hours).filter(pl.col("creator_id") == "bo").select("body").head(2).collect()
    assert few.shape == (2, 1)
    assert lake.scan_raw(RAW_PROFILES, hours).select("vendor").collect().schema == {"vendor": pl.String()}


def test_a_file_listing_that_races_with_a_compaction_is_repeated(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder may be listed while one file appears and another is removed, and show neither."""
    compact_lake(lake)
    listings: list[list[str]] = [[]]
    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: listings.pop() if listings else listdir(path))
    assert files(lake) == ["compacted-0000.parquet"]


READER = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.tables import RAW_LIVES
lake, hour = Lake(Path(sys.argv[1])), datetime(2026, 11, 2, 10, tzinfo=UTC)
stop, reads, least = Path(sys.argv[1]) / "stop", 0, 0
print("reading", flush=True)
while not stop.exists():
    ids = lake.scan_raw(RAW_LIVES, [hour]).select("capture_id", "body").collect()["capture_id"]
    assert ids.n_unique() == len(ids), "a row was seen twice"
    # Rows are only added, so a reader that has seen a row must see it again.
    assert len(ids) >= least, f"{least - len(ids)} rows were not seen"
    reads, least = reads + 1, len(ids)
print(reads)
"""


def test_concurrent_readers_see_each_row_exactly_once(lake: Lake) -> None:
    readers = [
        subprocess.Popen([sys.executable, "-c", READER, str(lake.root)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    folds = 0
    try:
        for reader in readers:
            assert reader.stdout is not None
            assert reader.stdout.readline() == "reading\n"
        until = time.monotonic() + 6
        while time.monotonic() < until:
            for flush in range(4):
                land(lake, f"late-{folds:06d}", flush)
            folds += compact_lake(lake).hours
    finally:
        (lake.root / "stop").touch()
        counts = [reader.communicate(timeout=60)[0].strip() for reader in readers]
    assert [reader.returncode for reader in readers] == [0, 0, 0]
    assert folds > 20
    assert all(int(reads) > 3 for reads in counts)
    assert rows(lake).height == 15 + folds * 12
