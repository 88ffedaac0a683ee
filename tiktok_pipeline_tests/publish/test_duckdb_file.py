"""The served file is never partly written, never blocks a reader, and stays if nothing has changed."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import duckdb
import polars as pl
import pytest

from tiktok_pipeline.errors import PublishError
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.publish.catalog import PUBLISHED
from tiktok_pipeline.publish.duckdb_file import LINK, ServedSnapshot, publish
from tiktok_pipeline.publish.views import VIEWS, View
from tiktok_pipeline.tables import COVERAGE, CREATORS, PUBLICATION, STREAMS
from tiktok_pipeline_tests.publish.generations import DAY, fill
from tiktok_pipeline_tests.transforms.frames import frame, hours

NOW = datetime(2026, 11, 3, tzinfo=UTC)
# The generations that a reader sees: more than one is a mix.
_MIX = "SELECT DISTINCT followers FROM creators UNION SELECT DISTINCT polls FROM coverage"


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as connection:
        yield connection


def publish_at(
    connection: duckdb.DuckDBPyConnection, folder: Path, generation: int, *, keep: int = 3
) -> ServedSnapshot:
    return publish(
        connection, Lake(folder / "lake"), folder / "warehouse", now=NOW + timedelta(seconds=generation), keep=keep
    )


def served(folder: Path, sql: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(folder / "warehouse" / LINK), read_only=True) as reader:
        return reader.execute(sql).fetchall()


def test_a_published_file_has_the_rows_of_the_lake(tmp_path: Path, connection: duckdb.DuckDBPyConnection) -> None:
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


def test_an_unchanged_lake_is_not_published_again(tmp_path: Path, connection: duckdb.DuckDBPyConnection) -> None:
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


def test_a_failing_publish_leaves_the_old_file_served(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(Lake(tmp_path / "lake"), 1)
    publish_at(connection, tmp_path, 1)
    fill(Lake(tmp_path / "lake"), 2)
    broken = View("broken", "nothing", "a view that cannot be", (), "SELECT * FROM no_such_table")
    for module in ("duckdb_file", "snapshot"):
        monkeypatch.setattr(f"tiktok_pipeline.publish.{module}.VIEWS", {"broken": broken})
    with pytest.raises(PublishError, match="was not replaced"):
        publish_at(connection, tmp_path, 2)
    monkeypatch.undo()
    assert served(tmp_path, "SELECT DISTINCT followers FROM creators") == [(1,)]
    assert not list((tmp_path / "warehouse").glob("building-*"))
    assert publish_at(connection, tmp_path, 3).changed


# Points at which a publish is killed: while the file is copied, filled and checked, before its record is written,
# before the Parquet files are moved, before the link is replaced.
_POINTS = (
    "duckdb_file._copy_file",
    "snapshot._insert",
    "snapshot._try_views",
    "snapshot.verify",
    "duckdb_file.stage",
    "duckdb_file.sync",
    "duckdb_file._write_record",
    "duckdb_file._Publisher._move_parquet",
    "duckdb_file.place",
    "duckdb_file._serve",
    "duckdb_file._prune",
)


@pytest.mark.parametrize("point", _POINTS)
def test_a_killed_publish_leaves_a_complete_file_served(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection, point: str
) -> None:
    fill(Lake(tmp_path / "lake"), 1)
    publish_at(connection, tmp_path, 1)
    child = multiprocessing.get_context("spawn").Process(target=_publish_and_be_killed, args=(tmp_path, point))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    done = point == "duckdb_file._prune"
    assert served(tmp_path, "SELECT DISTINCT followers FROM creators") == [(2 if done else 1,)]
    assert publish_at(connection, tmp_path, 3).changed is not done
    assert served(tmp_path, _MIX) == [(2,)]
    left = {path.name for path in (tmp_path / "warehouse").iterdir()}
    assert not [name for name in left if name.startswith(("building-", "_staging")) or name.endswith((".wal", ".next"))]


def _publish_and_be_killed(folder: Path, point: str) -> None:
    fill(Lake(folder / "lake"), 2)
    with duckdb.connect(":memory:") as connection, pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"tiktok_pipeline.publish.{point}", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        publish_at(connection, folder, 2)


def test_concurrent_publishes_wait_for_each_other(tmp_path: Path) -> None:
    fill(Lake(tmp_path / "lake"), 1, rows=2_000)
    context = multiprocessing.get_context("spawn")
    failed = context.Value("i", 0)
    builders = [context.Process(target=_publish_often, args=(tmp_path, n, failed)) for n in range(3)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join(120)
    assert failed.value == 0
    newest = pl.read_parquet(Lake(tmp_path / "lake").whole_file(CREATORS))["followers"].to_list()
    assert [row[0] for row in served(tmp_path, "SELECT followers FROM creators")] == newest
    assert not list((tmp_path / "warehouse").glob("building-*"))


def _publish_often(folder: Path, number: int, failed: Synchronized[int]) -> None:
    try:
        with duckdb.connect(":memory:") as connection:
            for round_ in range(4):
                # Each process publishes a change. A table in a single file cannot be mixed by concurrent writes.
                creators = [{"creator_id": "c", "followers": number * 10 + round_, "on_roster": True}]
                Lake(folder / "lake").write_whole(CREATORS, frame(CREATORS, *creators))
                publish_at(connection, folder, number * 10 + round_)
                served(folder, "SELECT * FROM creators")
    except Exception:
        with failed.get_lock():
            failed.value += 1
        raise


def test_a_file_damaged_by_a_client_is_not_served_again(tmp_path: Path, connection: duckdb.DuckDBPyConnection) -> None:
    """A client with write access opened the served file, wrote, and was killed with its write-ahead log unmerged."""
    fill(Lake(tmp_path / "lake"), 1)
    publish_at(connection, tmp_path, 1)
    child = multiprocessing.get_context("spawn").Process(target=_write_and_be_killed, args=(tmp_path,))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    assert list((tmp_path / "warehouse").glob("*.wal"))
    fill(Lake(tmp_path / "lake"), 2)
    assert publish_at(connection, tmp_path, 2).changed
    assert served(tmp_path, _MIX) == [(2,)]
    assert served(tmp_path, "SELECT count(*) FROM creators") == [(50,)]
    for generation in (3, 4, 5):
        fill(Lake(tmp_path / "lake"), generation)
        publish_at(connection, tmp_path, generation)
    assert not list((tmp_path / "warehouse").glob("*.wal"))


def _write_and_be_killed(folder: Path) -> None:
    link = folder / "warehouse" / LINK
    link.resolve().chmod(0o644)
    writer = duckdb.connect(str(link))
    writer.execute("SET checkpoint_threshold = '1GB'")
    writer.execute("INSERT INTO creators (creator_id, on_roster) VALUES ('intruder', true)").fetchall()
    os.kill(os.getpid(), signal.SIGKILL)


def test_without_symbolic_links_the_file_itself_is_replaced(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: Path, target: str) -> None:
        raise OSError(f"no links here: {self} to {target}")

    monkeypatch.setattr(Path, "symlink_to", refused)
    link = tmp_path / "warehouse" / LINK
    for generation in (1, 2):
        fill(Lake(tmp_path / "lake"), generation)
        # The write-ahead log of a crashed client would be replayed into the next file, and fail.
        (tmp_path / "warehouse").mkdir(exist_ok=True)
        link.with_name(f"{LINK}.wal").write_bytes(b"stale")
        assert publish_at(connection, tmp_path, generation).changed
        assert not link.is_symlink()
        assert link.stat().st_mode & 0o222 == 0
        assert served(tmp_path, _MIX) == [(generation,)]
    assert not publish_at(connection, tmp_path, 3).changed


def test_snapshots_are_kept_by_their_time_and_not_by_their_names(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    for generation in (50, 40, 30, 20):
        fill(Lake(tmp_path / "lake"), generation)
        publish_at(connection, tmp_path, generation)
    seconds = {path.name.split("-")[1][-2:] for path in (tmp_path / "warehouse").glob("tiktok-*.duckdb")}
    assert seconds == {"40", "30", "20"}


def test_a_column_missing_in_the_lakes_files_is_null(tmp_path: Path, connection: duckdb.DuckDBPyConnection) -> None:
    lake = Lake(tmp_path / "lake")
    fill(lake, 1)
    old = pl.read_parquet(lake.whole_file(CREATORS)).drop("display_name", "previous_handles").with_columns(gone=1)
    lake.rewrite(lake.whole_file(CREATORS), old)
    publish_at(connection, tmp_path, 1)
    assert served(tmp_path, "SELECT DISTINCT display_name, previous_handles, followers FROM creators") == [
        (None, None, 1)
    ]


def test_a_table_that_is_no_longer_published_leaves_no_file(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    fill(Lake(tmp_path / "lake"), 1)
    folder = tmp_path / "warehouse" / "parquet"
    folder.mkdir(parents=True)
    (folder / "what_was.parquet").write_bytes(b"")
    publish_at(connection, tmp_path, 1)
    assert {path.name for path in folder.iterdir()} == {f"{table.name}.parquet" for table in PUBLISHED}


def test_every_table_view_and_column_has_a_comment_and_a_basic_type(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    fill(Lake(tmp_path / "lake"), 1)
    publish_at(connection, tmp_path, 1)
    plain = {
        pl.String: "VARCHAR", pl.List: "VARCHAR", pl.Int64: "BIGINT", pl.Int32: "INTEGER", pl.Float64: "DOUBLE",
        pl.Boolean: "BOOLEAN", pl.Date: "DATE", pl.Datetime: "TIMESTAMP",
    }  # fmt: skip
    comments = {
        (of, column): (dtype, comment)
        for of, column, dtype, comment in served(
            tmp_path, "SELECT table_name, column_name, data_type, comment FROM duckdb_columns() WHERE NOT internal"
        )
    }
    expected = {
        (of.name, column.name): (plain[type(column.dtype)], column.description)
        for of in (*PUBLISHED, PUBLICATION, *VIEWS.values())
        for column in of.columns
    }
    assert comments == expected
    about = served(
        tmp_path,
        "SELECT table_name, comment FROM duckdb_tables() UNION ALL "
        "SELECT view_name, comment FROM duckdb_views() WHERE NOT internal",
    )
    assert dict(about) == {of.name: of.description for of in (*PUBLISHED, PUBLICATION, *VIEWS.values())}


def _read(folder: Path, hold: bool, stop: Synchronized[int], good: Synchronized[int], bad: Synchronized[int]) -> None:
    held = duckdb.connect(str(folder / "warehouse" / LINK), read_only=True) if hold else None
    while not stop.value:
        try:
            rows = held.execute(_MIX).fetchall() if held else served(folder, _MIX)
            with good.get_lock():
                good.value += 1
            if len(rows) != 1:
                raise AssertionError(rows)
            time.sleep(0.02)
        except Exception:
            with bad.get_lock():
                bad.value += 1
            raise


def test_readers_neither_wait_nor_see_a_mix(tmp_path: Path, connection: duckdb.DuckDBPyConnection) -> None:
    """One reader keeps the first file open, also after that file is pruned."""
    fill(Lake(tmp_path / "lake"), 0, rows=2_000)
    publish_at(connection, tmp_path, 0)
    context = multiprocessing.get_context("spawn")
    stop, bad = context.Value("i", 0), context.Value("i", 0)
    reads = [context.Value("i", 0) for _ in range(3)]
    readers = [
        context.Process(target=_read, args=(tmp_path, number == 0, stop, good, bad))
        for number, good in enumerate(reads)
    ]
    for reader in readers:
        reader.start()
    try:
        _wait_for(reads, bad)
        for generation in range(1, 13):
            fill(Lake(tmp_path / "lake"), generation, rows=2_000)
            assert publish_at(connection, tmp_path, generation).changed
        _wait_for(reads, bad)
    finally:
        stop.value = 1
        for reader in readers:
            reader.join(30)
    assert bad.value == 0
    assert [reader.exitcode for reader in readers] == [0] * len(readers)
    assert served(tmp_path, "SELECT DISTINCT followers FROM creators") == [(12,)]


def _wait_for(reads: list[Synchronized[int]], bad: Synchronized[int]) -> None:
    """Wait until every reader has read three times more without an error."""
    aims = [good.value + 3 for good in reads]
    until = time.monotonic() + 60
    while any(good.value < aim for good, aim in zip(reads, aims, strict=True)):
        assert bad.value == 0
        assert time.monotonic() < until
        time.sleep(0.02)


SERVED_DAMAGE: dict[str, Callable[[Path], object]] = {
    "snapshot empty": lambda served: _over(served.resolve(), b""),
    "snapshot noise": lambda served: _over(served.resolve(), b"noise" * 9999),
    "snapshot cut off": lambda served: _over(served.resolve(), served.resolve().read_bytes()[:20_000]),
    "snapshot missing": lambda served: served.resolve().unlink(),
    "link missing": lambda served: served.unlink(),
    "link to nothing": lambda served: (served.unlink(), served.symlink_to("nowhere")),
    "link to itself": lambda served: (served.unlink(), served.symlink_to(served.name)),
    "folder": lambda served: (served.unlink(), served.mkdir(), (served / "mine").write_text("x")),
    "file": lambda served: (served.unlink(), served.write_bytes(b"x")),
    "a folder in staging": lambda served: (served.parent / "building-x").mkdir(),
}


def _over(path: Path, content: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(content)


@pytest.mark.parametrize("damage", SERVED_DAMAGE)
def test_served_files_are_rebuilt_after_any_damage(
    damage: str, tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    fill(Lake(tmp_path / "lake"), 7)
    publish_at(connection, tmp_path, 1)
    SERVED_DAMAGE[damage](tmp_path / "warehouse" / LINK)
    publish_at(connection, tmp_path, 2)
    assert served(tmp_path, _MIX) == [(7,)]
    assert not publish_at(connection, tmp_path, 3).changed
    moved_aside = list((tmp_path / "warehouse").glob("*aside*/mine"))
    assert len(moved_aside) == (damage == "folder")


@pytest.mark.parametrize(
    "damage", ["missing", "empty", "noise", "other rows", "folder", "link", "folder missing", "a file"]
)
def test_a_damaged_single_file_is_rewritten_although_the_lake_is_unchanged(
    damage: str, tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    fill(Lake(tmp_path / "lake"), 7)
    publish_at(connection, tmp_path, 1)
    folder = tmp_path / "warehouse" / "parquet"
    file = folder / "creators.parquet"
    whole = pl.read_parquet(file)
    if damage in ("folder missing", "a file"):
        shutil.rmtree(folder)
    else:
        file.unlink()
    make: dict[str, Callable[[], object]] = {
        "empty": file.touch,
        "noise": lambda: file.write_bytes(b"x" * 999),
        "other rows": lambda: whole.head(3).write_parquet(file),
        "folder": file.mkdir,
        "link": lambda: file.symlink_to("nowhere"),
        "a file": lambda: folder.write_text("x"),
    }
    make.get(damage, lambda: None)()
    assert not publish_at(connection, tmp_path, 2).changed
    assert pl.read_parquet(file).equals(whole)
    assert not (tmp_path / "warehouse" / "_staging").exists()


@pytest.mark.parametrize("damage", [b"", b"no parquet", None])
def test_a_damaged_file_of_the_lake_is_skipped_and_all_others_are_published(
    damage: bytes | None, tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    lake = Lake(tmp_path / "lake")
    fill(lake, 7)
    for day in (1, 3):
        rows = [{"day": DAY.replace(day=day), "creator_id": "c1", "polls": 7, "known_polls": 0}]
        lake.write_day(COVERAGE, DAY.replace(day=day), frame(COVERAGE, *rows))
    bad = lake.day_file(COVERAGE, DAY)
    whole = bad.read_bytes()
    bad.write_bytes(damage) if damage is not None else pl.read_parquet(bad).with_columns(
        polls=pl.lit("many"), known_polls=pl.lit(None)
    ).write_parquet(bad)
    copy = lake.folder(COVERAGE) / "date=2026-11-01 (copy)" / "coverage.parquet"
    copy.parent.mkdir()
    copy.write_bytes(whole)
    published = publish(connection, lake, tmp_path / "warehouse", now=NOW, keep=2)
    assert (published.rows["creators"], published.rows["coverage"]) == (50, 2)
    assert list(lake.damaged.all()) == [bad]
    assert lake.wanted_rebuilds() == [bad]
    bad.write_bytes(whole)
    assert publish_at(connection, tmp_path, 2).rows["coverage"] == 52


def test_a_file_in_another_accepted_form_is_published_with_the_same_rows(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    lake = Lake(tmp_path / "lake")
    fill(lake, 7)
    file = lake.whole_file(CREATORS)
    other = pl.read_parquet(file).with_columns(pl.col(pl.Datetime).dt.cast_time_unit("ns"), later=pl.lit("x"))
    other.with_columns(pl.col("followers").cast(pl.Int32), pl.col("handle").cast(pl.Categorical)).write_parquet(file)
    assert publish_at(connection, tmp_path, 1).rows["creators"] == 50
    assert served(tmp_path, _MIX) == [(7,)]
