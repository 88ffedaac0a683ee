"""The served file: never torn, never in a reader's way, and left alone when nothing has changed."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import duckdb
import polars as pl
import pytest

from tiktok_pipeline import warehouse as snapshots
from tiktok_pipeline.errors import PublishError
from tiktok_pipeline.lake import Lake
from tiktok_pipeline.tables import COVERAGE, CREATORS, STREAMS
from tiktok_pipeline.warehouse import LINK, Publication, publish
from tiktok_pipeline_tests.transforms.frames import frame, hours

NOW = datetime(2026, 11, 3, tzinfo=UTC)
DAY = date(2026, 11, 2)


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as connection:
        yield connection


def fill(lake: Lake, generation: int, rows: int = 50) -> None:
    """Two tables that agree on a generation, so that a reader can tell a mix."""
    creators = [
        {"creator_id": f"c{n}", "handle": f"c{n}", "followers": generation, "on_roster": True,
         "previous_handles": ["old", "older"]}
        for n in range(rows)
    ]  # fmt: skip
    lake.write_whole(CREATORS, frame(CREATORS, *creators))
    covered = [{"day": DAY, "creator_id": f"c{n}", "polls": generation, "known_polls": 0} for n in range(rows)]
    lake.write_day(COVERAGE, DAY, frame(COVERAGE, *covered))


def publish_at(connection: duckdb.DuckDBPyConnection, folder: Path, generation: int, *, keep: int = 3) -> Publication:
    return publish(
        connection, Lake(folder / "lake"), folder / "warehouse", now=NOW + timedelta(seconds=generation), keep=keep
    )


def served(folder: Path, sql: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(folder / "warehouse" / LINK), read_only=True) as reader:
        return reader.execute(sql).fetchall()


def test_a_published_file_holds_what_the_lake_holds(tmp_path: Path, connection: duckdb.DuckDBPyConnection) -> None:
    fill(Lake(tmp_path / "lake"), 7)
    stream = {
        "stream_id": "c1:1", "creator_id": "c1", "started_at": hours(23), "started_at_hi": hours(23.1),
        "status": "live", "rooms": 1, "reconnects": 0, "airtime_s": 60.0, "observed_s": 60.0, "coverage_ratio": 1.0,
        "observations": 2, "vendors": ["konbini", "tikhub"],
    }  # fmt: skip
    Lake(tmp_path / "lake").write_day(STREAMS, DAY, frame(STREAMS, stream))
    publication = publish_at(connection, tmp_path, 1)
    assert publication.changed
    assert publication.rows["creators"] == publication.rows["coverage"] == 50
    assert served(tmp_path, "SELECT started_at, vendors FROM streams") == [
        (datetime(2026, 11, 2, 23), "konbini,tikhub")  # noqa: DTZ001 - TIMESTAMP is naive UTC for BI tools
    ]
    assert served(tmp_path, "SELECT handle FROM live_now") == [("c1",)]
    assert served(tmp_path, "SELECT DISTINCT previous_handles FROM creators") == [("old,older",)]
    assert pl.read_parquet(tmp_path / "warehouse" / "parquet" / "creators.parquet").height == 50


def test_nothing_is_published_twice(tmp_path: Path, connection: duckdb.DuckDBPyConnection) -> None:
    fill(Lake(tmp_path / "lake"), 1)
    first = publish_at(connection, tmp_path, 1)
    again = publish_at(connection, tmp_path, 2)
    assert not again.changed
    assert again.snapshot == first.snapshot
    assert again.rows == first.rows


def test_only_the_newest_snapshots_stay_and_they_are_read_only(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    for generation in range(5):
        fill(Lake(tmp_path / "lake"), generation)
        publish_at(connection, tmp_path, generation)
    snapshot_files = sorted((tmp_path / "warehouse").glob("tiktok-*.duckdb"))
    assert len(snapshot_files) == 3
    assert all(path.stat().st_mode & 0o222 == 0 for path in snapshot_files)
    assert (tmp_path / "warehouse" / LINK).resolve() == snapshot_files[-1]
    assert not list((tmp_path / "warehouse").glob("*.wal"))


def test_a_builder_that_fails_leaves_the_old_file_served(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(Lake(tmp_path / "lake"), 1)
    publish_at(connection, tmp_path, 1)
    fill(Lake(tmp_path / "lake"), 2)
    broken = {"broken": ("a view that cannot be", "SELECT * FROM no_such_table")}
    monkeypatch.setattr(snapshots, "VIEWS", broken)
    with pytest.raises(PublishError, match="was not replaced"):
        publish_at(connection, tmp_path, 2)
    monkeypatch.undo()
    assert served(tmp_path, "SELECT DISTINCT followers FROM creators") == [(1,)]
    assert not list((tmp_path / "warehouse").glob("building-*"))
    assert publish_at(connection, tmp_path, 3).changed


def test_a_builder_that_is_killed_leaves_the_old_file_served(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    fill(Lake(tmp_path / "lake"), 1)
    publish_at(connection, tmp_path, 1)
    child = multiprocessing.get_context("spawn").Process(target=_publish_and_die, args=(tmp_path,))
    child.start()
    child.join(60)
    assert child.exitcode == 9
    assert list((tmp_path / "warehouse").glob("building-*"))
    assert served(tmp_path, "SELECT DISTINCT followers FROM creators") == [(1,)]
    assert publish_at(connection, tmp_path, 3).changed
    assert not list((tmp_path / "warehouse").glob("building-*"))
    assert served(tmp_path, "SELECT DISTINCT followers FROM creators") == [(2,)]


def _publish_and_die(folder: Path) -> None:
    fill(Lake(folder / "lake"), 2)
    snapshots._sync = lambda path: os._exit(9)  # just before the new file would be served
    with duckdb.connect(":memory:") as connection:
        publish_at(connection, folder, 2)


def _read(folder: Path, hold: bool, stop: Synchronized[int], good: Synchronized[int], bad: Synchronized[int]) -> None:
    held = duckdb.connect(str(folder / "warehouse" / LINK), read_only=True) if hold else None
    while not stop.value:
        try:
            sql = "SELECT DISTINCT followers FROM creators UNION SELECT DISTINCT polls FROM coverage"
            rows = held.execute(sql).fetchall() if held else served(folder, sql)
            with good.get_lock():
                good.value += 1
            if len(rows) != 1:
                raise AssertionError(rows)
        except Exception:
            with bad.get_lock():
                bad.value += 1
            raise


def test_readers_neither_wait_nor_see_a_mix(tmp_path: Path, connection: duckdb.DuckDBPyConnection) -> None:
    fill(Lake(tmp_path / "lake"), 0, rows=5_000)
    publish_at(connection, tmp_path, 0)
    context = multiprocessing.get_context("spawn")
    stop, good, bad = context.Value("i", 0), context.Value("i", 0), context.Value("i", 0)
    readers = [context.Process(target=_read, args=(tmp_path, hold, stop, good, bad)) for hold in (True, False, False)]
    for reader in readers:
        reader.start()
    while good.value < 10:
        assert bad.value == 0
        time.sleep(0.02)
    for generation in range(1, 9):
        fill(Lake(tmp_path / "lake"), generation, rows=5_000)
        assert publish_at(connection, tmp_path, generation).changed
    stop.value = 1
    for reader in readers:
        reader.join(30)
    assert bad.value == 0
    assert good.value > 20
    assert served(tmp_path, "SELECT DISTINCT followers FROM creators") == [(8,)]
