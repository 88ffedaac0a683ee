"""A publish replaces only changed rows, and serves the same rows as a full build."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.publish import catalog as published_files
from tiktok_pipeline.publish.catalog import PUBLISHED, Fingerprints, parts
from tiktok_pipeline.publish.duckdb_file import LINK, Mode, ServedSnapshot, publish
from tiktok_pipeline.tables import COVERAGE, CREATORS, LIVE_OBSERVATIONS, STREAMS, Table
from tiktok_pipeline_tests.transforms.frames import frame

NOW = datetime(2026, 11, 20, tzinfo=UTC)
LAST = date(2026, 11, 19)


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as connection:
        yield connection


def at(day: date, second: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(seconds=second)


def readings(day: date, rows: int, creator: str = "c") -> pl.DataFrame:
    return frame(
        LIVE_OBSERVATIONS,
        *(
            {"creator_id": f"{creator}{n}", "vendor": "konbini", "observed_at": at(day, n), "live_state": "live",
             "capture_id": f"{creator}-{day}-{n}", "evidence": "strong", "viewers": rows}
            for n in range(rows)
        ),
    )  # fmt: skip


def streams(day: date, rows: int, started: date | None = None) -> pl.DataFrame:
    return frame(
        STREAMS,
        *(
            {"stream_id": f"c{n}:{day}", "creator_id": f"c{n}", "started_at": at(started or day, n),
             "started_at_hi": at(started or day, n), "status": "ended", "rooms": 1, "reconnects": 0, "airtime_s": 60.0,
             "observed_s": 60.0, "coverage_ratio": 1.0, "observations": rows, "vendors": ["konbini"]}
            for n in range(rows)
        ),
    )  # fmt: skip


def covered(day: date, rows: int) -> pl.DataFrame:
    return frame(COVERAGE, *({"day": day, "creator_id": f"c{n}", "polls": rows, "known_polls": 1} for n in range(rows)))


def creators(rows: int) -> pl.DataFrame:
    return frame(CREATORS, *({"creator_id": f"c{n}", "handle": f"c{n}", "on_roster": True} for n in range(rows)))


def fill(lake: Lake, days: int = 40) -> None:
    lake.write_whole(CREATORS, creators(3))
    for ago in range(days):
        day = LAST - timedelta(days=ago)
        lake.write_day(LIVE_OBSERVATIONS, day, readings(day, 3))
        lake.write_day(STREAMS, day, streams(day, 2))
        lake.write_day(COVERAGE, day, covered(day, 2))


def publish_in(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    *,
    warehouse: str = "warehouse",
    mode: Mode = "changed",
    days: int | None = None,
) -> ServedSnapshot:
    return publish(
        connection, Lake(folder / "lake"), folder / warehouse, now=NOW, keep=2, observation_days=days, mode=mode
    )


def rows_of(folder: Path, warehouse: str = "warehouse") -> dict[str, list[tuple[object, ...]]]:
    """Return all rows of every table, of the DuckDB file and of the Parquet files."""
    found = {}
    with duckdb.connect(str(folder / warehouse / LINK), read_only=True) as reader:
        for table in PUBLISHED:
            single = folder / warehouse / "parquet" / f"{table.name}.parquet"
            for name, source in ((table.name, table.name), (f"{table.name}.parquet", f"'{single}'")):
                found[name] = reader.execute(f"SELECT * FROM {source} ORDER BY ALL").fetchall()
            assert pl.read_parquet(single).height == len(found[table.name])
    return found


def test_one_changed_day_is_one_file_read_and_other_tables_stay_untouched(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    lake = Lake(tmp_path / "lake")
    fill(lake)
    first = publish_in(connection, tmp_path)
    assert (first.built, first.files) == (True, 121)
    untouched = tmp_path / "warehouse" / "parquet" / "streams.parquet"
    before = untouched.stat()
    lake.write_day(LIVE_OBSERVATIONS, LAST, readings(LAST, 5))
    changed = publish_in(connection, tmp_path)
    assert (changed.changed, changed.built, changed.files) == (True, False, 1)
    assert untouched.stat().st_ino == before.st_ino
    publish_in(connection, tmp_path, warehouse="full")
    assert rows_of(tmp_path) == rows_of(tmp_path, "full")


def test_a_file_rewritten_with_the_same_bytes_is_hashed_once_and_causes_no_publish(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    lake = Lake(tmp_path / "lake")
    fill(lake, days=3)
    publish_in(connection, tmp_path)
    file = lake.day_file(STREAMS, LAST)
    file.write_bytes(file.read_bytes())
    cache = tmp_path / "warehouse" / published_files.FINGERPRINTS
    counting = Fingerprints(cache)
    parts(lake, fingerprints=counting)
    assert counting.hashed == 1
    again = Fingerprints(cache)
    parts(lake, fingerprints=again)
    assert again.hashed == 0
    assert not publish_in(connection, tmp_path).changed


@pytest.mark.parametrize("content", [b"", b"[]", b'{"x": 1}', None])
def test_a_damaged_cache_of_hashes_is_computed_again(
    content: bytes | None, tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    fill(Lake(tmp_path / "lake"), days=2)
    publish_in(connection, tmp_path)
    cache = tmp_path / "warehouse" / published_files.FINGERPRINTS
    cache.unlink() if content is None else cache.write_bytes(content)
    assert not publish_in(connection, tmp_path).changed
    assert cache.stat().st_size > 100


def _change(lake: Lake, rng: random.Random) -> None:
    """Change, add, empty, remove, damage or misplace one file of the lake."""
    day = LAST - timedelta(days=rng.randrange(45))
    table: Table = rng.choice([LIVE_OBSERVATIONS, STREAMS, COVERAGE, CREATORS])
    rows = rng.randrange(5)
    file = lake.whole_file(CREATORS) if table is CREATORS else lake.day_file(table, day)
    action = rng.choice(["write"] * 6 + ["remove", "damage", "misplace"])
    if action == "remove":
        file.unlink(missing_ok=True)
    elif action == "damage" and file.exists():
        file.write_bytes(rng.choice([b"", b"PAR1", b"noise" * 50, file.read_bytes()[:-9]]))
    elif action == "misplace":
        lake.write_day(STREAMS, day, streams(day, 2, started=day - timedelta(days=rng.randrange(3))))
    elif table is CREATORS:
        lake.write_whole(CREATORS, creators(rows))
    else:
        made = {"live_observations": readings, "streams": streams, "coverage": covered}[table.name](day, rows)
        lake.write_day(table, day, made)


@pytest.mark.parametrize("seed", range(6))
def test_any_order_of_changes_and_publishes_gives_the_rows_of_one_full_build(
    seed: int, tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    rng = random.Random(seed)
    lake = Lake(tmp_path / "lake")
    fill(lake, days=12)
    built = []
    for _ in range(6):
        for _ in range(rng.randrange(1, 5)):
            _change(lake, rng)
        built.append(publish_in(connection, tmp_path, days=rng.choice([2, 7, 90])).built)
    publish_in(connection, tmp_path, days=7)
    publish_in(connection, tmp_path, days=7, warehouse="full", mode="full")
    assert rows_of(tmp_path) == rows_of(tmp_path, "full")
    assert built.count(True) == 1, "only the first publish is a build from nothing"


def test_published_observations_are_limited_to_some_days_and_marts_are_complete(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    lake = Lake(tmp_path / "lake")
    fill(lake)
    # A future day from a wrong clock must not push out real days.
    future = date(2099, 1, 1)
    lake.write_day(LIVE_OBSERVATIONS, future, readings(future, 1))
    published = publish_in(connection, tmp_path, days=10)
    assert (published.rows["live_observations"], published.rows["streams"]) == (3 * 9 + 1, 80)
    with duckdb.connect(str(tmp_path / "warehouse" / LINK), read_only=True) as reader:
        assert reader.execute("SELECT observation_days FROM publication").fetchall() == [(10,)]
    wider = publish_in(connection, tmp_path, days=20)
    assert (wider.built, wider.rows["live_observations"]) == (False, 3 * 19 + 1)
    same_files = publish_in(connection, tmp_path, days=2000)
    assert publish_in(connection, tmp_path, days=2001).changed, "the setting is a column of publication"
    assert same_files.rows["live_observations"] == 3 * 40 + 1


def test_a_full_build_on_request_serves_another_file_with_the_same_rows(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    fill(Lake(tmp_path / "lake"), days=3)
    first = publish_in(connection, tmp_path)
    before = rows_of(tmp_path)
    full = publish_in(connection, tmp_path, mode="full")
    assert full.built
    assert full.snapshot != first.snapshot
    assert rows_of(tmp_path) == before


@pytest.mark.parametrize(
    "change", ["written to", "other version", "record missing", "record damaged", "write-ahead log present"]
)
def test_a_snapshot_that_differs_from_its_record_is_built_from_nothing(
    change: str, tmp_path: Path, connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(Lake(tmp_path / "lake"), days=3)
    served = publish_in(connection, tmp_path).snapshot
    before = rows_of(tmp_path)
    record = served.with_name(f".{served.stem}.json")
    if change == "written to":
        served.chmod(0o644)
        with duckdb.connect(str(served)) as writer:
            writer.execute("UPDATE coverage SET polls = 99").fetchall()
    elif change == "other version":
        monkeypatch.setattr("tiktok_pipeline.publish.duckdb_file._METHOD", 99)
    elif change == "record missing":
        record.unlink()
    elif change == "record damaged":
        record.write_bytes(record.read_bytes()[:-20])
    else:
        served.with_name(f"{served.name}.wal").write_bytes(b"")
    again = publish_in(connection, tmp_path)
    assert (again.changed, again.built) == (True, True)
    assert rows_of(tmp_path) == before
    assert not publish_in(connection, tmp_path).changed


def test_a_damaged_block_of_the_served_snapshot_does_not_stop_a_publish(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    lake = Lake(tmp_path / "lake")
    fill(lake)
    served = publish_in(connection, tmp_path).snapshot
    found = served.stat()
    served.chmod(0o644)
    with served.open("r+b") as file:
        for position in range(3 * 4096, found.st_size, 262_144):
            file.seek(position)
            for _ in range(60):
                file.write(os.urandom(4096)[: max(0, min(4096, found.st_size - file.tell()))])
    os.utime(served, ns=(found.st_atime_ns, found.st_mtime_ns))
    lake.write_day(LIVE_OBSERVATIONS, LAST, readings(LAST, 5))
    assert publish_in(connection, tmp_path).built
    publish_in(connection, tmp_path, warehouse="full")
    assert rows_of(tmp_path) == rows_of(tmp_path, "full")


def test_a_clean_publish_leaves_no_byte_of_a_deleted_row(tmp_path: Path, connection: duckdb.DuckDBPyConnection) -> None:
    lake = Lake(tmp_path / "lake")
    fill(lake)
    # DuckDB chooses its string compression by a random sample; compression would hide text from a search for bytes.
    connection.execute("SET force_compression = 'uncompressed'")
    name = "ERASED-CREATOR-"
    lake.write_day(LIVE_OBSERVATIONS, LAST, readings(LAST, 400, creator=name))
    first = publish_in(connection, tmp_path)
    assert name.encode() in first.snapshot.read_bytes(), "a search for bytes finds the rows"
    lake.write_day(LIVE_OBSERVATIONS, LAST, readings(LAST, 1))
    # Whether this file still contains them depends on the blocks that DuckDB reuses.
    assert not publish_in(connection, tmp_path).built
    before = (tmp_path / "warehouse" / "parquet" / "live_observations.parquet").stat().st_ino
    clean = publish_in(connection, tmp_path, mode="clean")
    assert (clean.changed, clean.built) == (True, True)
    assert not publish_in(connection, tmp_path, mode="clean").changed, "a built snapshot has no free space to clean"
    assert name.encode() not in clean.snapshot.read_bytes()
    # Pages of Parquet are compressed, so a search for bytes proves nothing: the file is new, and its rows lack the
    # name.
    single = tmp_path / "warehouse" / "parquet" / "live_observations.parquet"
    assert single.stat().st_ino != before
    assert not pl.read_parquet(single)["creator_id"].str.contains(name).any()


def test_a_damaged_file_is_named_at_every_publish_until_it_is_repaired(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    lake = Lake(tmp_path / "lake")
    fill(lake, days=5)
    publish_in(connection, tmp_path)
    bad = lake.day_file(STREAMS, LAST)
    whole = bad.read_bytes()
    bad.write_bytes(whole[:-10])
    for _ in range(2):
        fresh = Lake(tmp_path / "lake")
        rows = publish(connection, fresh, tmp_path / "warehouse", now=NOW, keep=2).rows
        assert (rows["streams"], list(fresh.damaged.all())) == (8, [bad])
    bad.write_bytes(whole)
    assert publish_in(connection, tmp_path).rows["streams"] == 10


def test_a_changed_single_file_is_written_again_from_the_snapshot(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    lake = Lake(tmp_path / "lake")
    fill(lake)
    publish_in(connection, tmp_path)
    single = tmp_path / "warehouse" / "parquet" / "live_observations.parquet"
    shutil.copyfile(tmp_path / "warehouse" / "parquet" / "coverage.parquet", single)
    lake.write_day(LIVE_OBSERVATIONS, LAST, readings(LAST, 7))
    publish_in(connection, tmp_path)
    publish_in(connection, tmp_path, warehouse="full")
    assert rows_of(tmp_path) == rows_of(tmp_path, "full")
