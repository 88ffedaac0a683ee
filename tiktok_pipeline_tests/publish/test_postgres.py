"""Publishing to a real Postgres: the rows of DuckDB, in one transaction, into tables that users build on."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import duckdb
import polars as pl
import pytest
from adbc_driver_postgresql import dbapi

from tiktok_pipeline.config.settings import postgres_url as configured
from tiktok_pipeline.errors import PublishError, SettingsError
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.publish import catalog, duckdb_file, postgres
from tiktok_pipeline.publish.catalog import PUBLISHED
from tiktok_pipeline.publish.postgres import check, publish
from tiktok_pipeline.publish.views import VIEWS
from tiktok_pipeline.tables import COUNT, COVERAGE, CREATORS, PUBLICATION, STREAMS, Column, Table
from tiktok_pipeline_tests import small_lake
from tiktok_pipeline_tests.publish.generations import fill
from tiktok_pipeline_tests.publish.postgres_client import ask, do
from tiktok_pipeline_tests.transforms.frames import frame

NOW = datetime(2026, 11, 6, 9, tzinfo=UTC)
DAY = date(2026, 11, 2)

# The generations that a query sees: more than one is a mix.
_MIX = "SELECT DISTINCT followers FROM tiktok.creators UNION SELECT DISTINCT polls FROM tiktok.coverage"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    small_lake.fill(lake)
    return lake


def publish_shapes(monkeypatch: pytest.MonkeyPatch, *tables: Table) -> None:
    """Publish these tables with these columns instead of their own."""
    shapes = {table.name: table for table in tables}
    shaped = tuple(shapes.get(table.name, table) for table in PUBLISHED)
    for module in (postgres, catalog):
        monkeypatch.setattr(module, "PUBLISHED", shaped)


def without(table: Table, *columns: str) -> Table:
    return replace(table, columns=tuple(column for column in table.columns if column.name not in columns))


def test_postgres_has_the_same_rows_as_duckdb(postgres_url: str, lake: Lake, tmp_path: Path) -> None:
    with duckdb.connect(":memory:") as connection:
        snapshot = duckdb_file.publish(connection, lake, tmp_path / "warehouse", now=NOW, keep=1)
    sent = publish(postgres_url, lake, now=NOW)
    assert sent.changed
    assert sent.rows == snapshot.rows
    assert sent.sent == sum(sent.rows.values())
    with duckdb.connect(str(snapshot.snapshot), read_only=True) as reader:
        for of in (*PUBLISHED, PUBLICATION, *VIEWS.values()):
            columns = ", ".join(f'"{column.name}"' for column in of.columns)
            order = ", ".join(str(n + 1) for n in range(len(of.columns)))
            expected_rows = reader.execute(f"SELECT {columns} FROM {of.name} ORDER BY {order}").fetchall()
            postgres_rows = ask(postgres_url, f"SELECT {columns} FROM tiktok.{of.name}")
            plain = [
                tuple(
                    value.astimezone(UTC).replace(tzinfo=None) if isinstance(value, datetime) else value
                    for value in row
                )
                for row in postgres_rows
            ]
            # Postgres text cannot contain NUL.
            whole = [tuple(v.replace("\x00", "") if isinstance(v, str) else v for v in row) for row in expected_rows]
            assert sorted(plain, key=repr) == sorted(whole, key=repr), of.name
            assert of is PUBLICATION or of.name not in ("streams", "movers") or len(whole) > 3


def test_only_changed_days_are_sent(postgres_url: str, lake: Lake) -> None:
    publish(postgres_url, lake, now=NOW)
    before = dict(ask(postgres_url, "SELECT lake_day, max(xmin::text) FROM tiktok.coverage GROUP BY 1"))
    again = publish(postgres_url, lake, now=NOW + timedelta(hours=1))
    assert (again.changed, again.sent) == (False, 0)
    assert ask(postgres_url, "SELECT published_at FROM tiktok.publication") == [(NOW,)]
    covered = [{"day": DAY, "creator_id": name, "polls": 5, "known_polls": 5} for name in ("a", "b", "c")]
    lake.write_day(COVERAGE, DAY, frame(COVERAGE, *covered))
    later = publish(postgres_url, lake, now=NOW + timedelta(hours=2))
    assert (later.changed, later.sent) == (True, 3)
    after = dict(ask(postgres_url, "SELECT lake_day, max(xmin::text) FROM tiktok.coverage GROUP BY 1"))
    assert {day for day in after if before[day] != after[day]} == {DAY}
    assert ask(postgres_url, f"SELECT creator_id FROM tiktok.coverage WHERE day = '{DAY}' ORDER BY 1") == [
        ("a",), ("b",), ("c",)
    ]  # fmt: skip


def test_an_emptied_or_removed_day_is_empty_in_postgres_too(postgres_url: str, lake: Lake) -> None:
    publish(postgres_url, lake, now=NOW)
    lake.write_day(COVERAGE, DAY, COVERAGE.empty())
    lake.day_file(COVERAGE, DAY - timedelta(days=1)).unlink()
    published_again = publish(postgres_url, lake, now=NOW)
    days = ask(postgres_url, "SELECT count(*) FROM tiktok.coverage")
    assert days == [(27 * len(small_lake.HOURS_WATCHED),)]
    assert published_again.rows["coverage"] == days[0][0]


def test_a_row_may_move_to_another_day(postgres_url: str, lake: Lake) -> None:
    publish(postgres_url, lake, now=NOW)
    moved = lake.scan_days(STREAMS, DAY, DAY).collect()
    assert moved.height == 1
    lake.write_day(STREAMS, DAY, STREAMS.empty())
    stays = lake.scan_days(STREAMS, DAY - timedelta(days=1), DAY - timedelta(days=1)).collect()
    lake.write_day(STREAMS, DAY - timedelta(days=1), pl.concat([stays, moved]))
    publish(postgres_url, lake, now=NOW)
    assert ask(postgres_url, f"SELECT lake_day FROM tiktok.streams WHERE stream_id = '{moved['stream_id'][0]}'") == [
        (DAY - timedelta(days=1),)
    ]


def test_tables_have_primary_keys_and_comments(postgres_url: str, lake: Lake) -> None:
    publish(postgres_url, lake, now=NOW)
    keys = ask(
        postgres_url,
        "SELECT c.relname::text, string_agg(a.attname::text, ',' ORDER BY k.place) FROM pg_constraint p "
        "JOIN pg_class c ON c.oid = p.conrelid CROSS JOIN unnest(p.conkey) WITH ORDINALITY AS k(number, place) "
        "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number "
        "WHERE p.contype = 'p' AND c.relnamespace = 'tiktok'::regnamespace GROUP BY 1",
    )
    assert dict(keys) == {table.name: ",".join(table.key) for table in (*PUBLISHED, PUBLICATION)}
    comments = ask(
        postgres_url,
        "SELECT c.relname::text, a.attname::text, col_description(c.oid, a.attnum), obj_description(c.oid, 'pg_class') "
        "FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 "
        "WHERE c.relnamespace = 'tiktok'::regnamespace AND c.relkind IN ('r', 'v')",
    )
    comments_by_column = {(of, column): (about_column, about) for of, column, about_column, about in comments}
    for of in (*PUBLISHED, PUBLICATION, *VIEWS.values()):
        for column in of.columns:
            assert comments_by_column[of.name, column.name] == (column.description, of.description)
    assert all(about_column and about for about_column, about in comments_by_column.values())


def test_users_views_survive_and_new_columns_are_added(
    postgres_url: str, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        # `polls` must not be null, `first_seen_at` may be; the first publish has neither.
        publish_shapes(patched, without(COVERAGE, "polls"), without(CREATORS, "first_seen_at"))
        publish(postgres_url, lake, now=NOW)
    do(
        postgres_url,
        "CREATE ROLE reader",
        "GRANT USAGE ON SCHEMA tiktok TO reader",
        "GRANT SELECT ON tiktok.creators, tiktok.movers TO reader",
        "CREATE VIEW public.mine AS SELECT c.handle, v.known_polls, m.hours_watched FROM tiktok.creators c "
        "JOIN tiktok.coverage v USING (creator_id) JOIN tiktok.movers m USING (creator_id)",
    )
    publish(postgres_url, lake, now=NOW)
    fill(lake, 4, rows=3)
    publish(postgres_url, lake, now=NOW)
    granted = ask(
        postgres_url,
        "SELECT has_table_privilege('reader', 'tiktok.creators', 'SELECT'), "
        "has_table_privilege('reader', 'tiktok.movers', 'SELECT')",
    )
    assert granted == [(True, True)]
    assert ask(postgres_url, "SELECT count(DISTINCT handle) FROM public.mine") == [(3,)]
    assert ask(postgres_url, f"SELECT DISTINCT polls FROM tiktok.coverage WHERE day = '{DAY}'") == [(4,)]
    required = ask(
        postgres_url,
        "SELECT column_name::text, is_nullable::text FROM information_schema.columns WHERE table_schema = 'tiktok' "
        "AND (table_name, column_name) IN (('coverage', 'polls'), ('creators', 'first_seen_at')) ORDER BY 1",
    )
    assert required == [("first_seen_at", "YES"), ("polls", "NO")]
    do(postgres_url, "DROP VIEW public.mine", "DROP OWNED BY reader", "DROP ROLE reader")


def test_a_column_or_table_that_is_no_longer_published_stays_and_is_empty(
    postgres_url: str, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(postgres_url, lake, now=NOW)
    do(postgres_url, "CREATE VIEW public.mine AS SELECT day, polls FROM tiktok.coverage")
    with monkeypatch.context() as patched:
        publish_shapes(patched, without(COVERAGE, "polls"))
        patched.setattr(postgres, "PUBLISHED", tuple(t for t in postgres.PUBLISHED if t.name != "stream_lift"))
        publish(postgres_url, lake, now=NOW)
    assert ask(postgres_url, "SELECT count(*), count(polls) FROM public.mine") == [(145, 0)]
    assert ask(postgres_url, "SELECT count(*) FROM tiktok.stream_lift") == [(0,)]
    publish(postgres_url, lake, now=NOW)
    assert ask(postgres_url, "SELECT count(*), count(polls) FROM public.mine") == [(145, 145)]
    assert ask(postgres_url, "SELECT count(*) FROM tiktok.stream_lift") == [(1,)]


def test_a_changed_view_keeps_the_positions_of_its_columns(
    postgres_url: str, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(postgres_url, lake, now=NOW)
    do(postgres_url, "CREATE VIEW public.mine AS SELECT creator_id, known_polls_3d FROM tiktok.went_dark")
    dark = VIEWS["went_dark"]
    changed = replace(
        dark,
        columns=(Column("first", COUNT, "New, and first."), *dark.columns[:-1]),
        sql="SELECT CAST(1 AS BIGINT) AS first, d.* FROM (" + dark.sql + ") AS d",
    )
    with monkeypatch.context() as patched:
        patched.setattr(postgres, "VIEWS", {**VIEWS, "went_dark": changed})
        publish(postgres_url, lake, now=NOW)
        assert not publish(postgres_url, lake, now=NOW).changed
    assert ask(postgres_url, "SELECT creator_id, first, known_polls_3d FROM tiktok.went_dark") == [("quiet", 1, None)]
    assert ask(postgres_url, "SELECT * FROM public.mine") == [("quiet", None)]


def test_a_changed_type_is_reported_and_nothing_changes(
    postgres_url: str, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(postgres_url, lake, now=NOW)
    before = ask(postgres_url, "SELECT * FROM tiktok.publication")
    columns = tuple(replace(c, dtype=pl.String()) if c.name == "polls" else c for c in COVERAGE.columns)
    publish_shapes(monkeypatch, replace(COVERAGE, columns=columns))
    with pytest.raises(PublishError, match=r"tiktok.coverage.polls is bigint and should be text: change it"):
        publish(postgres_url, lake, now=NOW)
    assert ask(postgres_url, "SELECT * FROM tiktok.publication") == before


def test_a_foreign_table_is_left_alone(postgres_url: str, lake: Lake) -> None:
    do(postgres_url, "CREATE SCHEMA tiktok", "CREATE TABLE tiktok.streams (stream_id text)")
    with pytest.raises(PublishError, match=r"tiktok.streams was not created by this pipeline"):
        publish(postgres_url, lake, now=NOW)


def test_a_dropped_table_is_created_again(postgres_url: str, lake: Lake) -> None:
    publish(postgres_url, lake, now=NOW)
    do(postgres_url, "DROP TABLE tiktok.coverage CASCADE")
    healed = publish(postgres_url, lake, now=NOW)
    assert healed.sent == healed.rows["coverage"] == 145
    assert ask(postgres_url, "SELECT count(*) FROM tiktok.movers") == [(5,)]


def test_a_duplicate_key_of_the_lake_is_reported_without_the_data(postgres_url: str, lake: Lake) -> None:
    publish(postgres_url, lake, now=NOW)
    duplicates = lake.scan_days(STREAMS, DAY, DAY).collect()
    lake.write_day(STREAMS, DAY - timedelta(days=9), duplicates)
    with pytest.raises(PublishError, match="the lake has a duplicate key") as refused:
        publish(postgres_url, lake, now=NOW)
    assert "riser" not in str(refused.value)
    assert "streams_pkey" in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_the_day_of_a_damaged_file_keeps_its_rows_and_all_others_are_published(postgres_url: str, lake: Lake) -> None:
    publish(postgres_url, lake, now=NOW)
    streams = ask(postgres_url, "SELECT count(*) FROM tiktok.streams")
    fill(lake, 3)
    good = lake.day_file(STREAMS, DAY).read_bytes()
    lake.day_file(STREAMS, DAY).write_bytes(b"no parquet")
    for _ in range(2):
        publish(postgres_url, lake, now=NOW)
        assert list(lake.damaged.all()) == [lake.day_file(STREAMS, DAY)]
        assert ask(postgres_url, "SELECT DISTINCT followers FROM tiktok.creators") == [(3,)]
        assert ask(postgres_url, "SELECT count(*) FROM tiktok.streams") == streams
    lake.day_file(STREAMS, DAY).write_bytes(good)
    publish(postgres_url, lake, now=NOW)
    assert ask(postgres_url, "SELECT count(*) FROM tiktok.streams") == [(lake.scan_all(STREAMS).collect().height,)]


def _read(url: str, repeatable: bool, stop: Synchronized[int], good: Synchronized[int], bad: Synchronized[int]) -> None:
    with closing(dbapi.connect(url)) as connection, connection.cursor() as cursor:
        while not stop.value:
            try:
                if repeatable:
                    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                cursor.execute(_MIX)
                seen = cursor.fetchall()
                if repeatable:
                    # Two queries of one transaction see one publication too.
                    time.sleep(0.01)
                    cursor.execute(_MIX)
                    seen = [*seen, *(row for row in cursor.fetchall() if row not in seen)]
                connection.rollback()
                if len(seen) != 1:
                    raise AssertionError(seen)
                with good.get_lock():
                    good.value += 1
            except Exception:
                with bad.get_lock():
                    bad.value += 1
                raise


def test_readers_neither_wait_nor_see_a_mix(postgres_url: str, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    fill(lake, 0, rows=2_000)
    publish(postgres_url, lake, now=NOW)
    context = multiprocessing.get_context("spawn")
    stop, bad = context.Value("i", 0), context.Value("i", 0)
    reads = [context.Value("i", 0) for _ in range(3)]
    readers = [
        context.Process(target=_read, args=(postgres_url, n == 0, stop, good, bad)) for n, good in enumerate(reads)
    ]
    for reader in readers:
        reader.start()
    try:
        for generation in range(1, 11):
            seen = [good.value for good in reads]
            fill(lake, generation, rows=2_000)
            assert publish(postgres_url, lake, now=NOW).sent == 4_000
            until = time.monotonic() + 60
            while any(good.value <= before for good, before in zip(reads, seen, strict=True)):
                assert bad.value == 0
                assert time.monotonic() < until
                time.sleep(0.01)
    finally:
        stop.value = 1
        for reader in readers:
            reader.join(30)
    assert bad.value == 0
    assert ask(postgres_url, _MIX) == [(10,)]


def _publish_and_be_killed(url: str, folder: Path) -> None:
    fill(Lake(folder / "lake"), 2)
    postgres._Server.announce = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]
    publish(url, Lake(folder / "lake"), now=NOW)


def test_a_killed_publisher_leaves_the_old_publication(postgres_url: str, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    fill(lake, 1)
    publish(postgres_url, lake, now=NOW)
    child = multiprocessing.get_context("spawn").Process(target=_publish_and_be_killed, args=(postgres_url, tmp_path))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    assert ask(postgres_url, _MIX) == [(1,)]
    assert publish(postgres_url, lake, now=NOW).sent == 100
    assert ask(postgres_url, _MIX) == [(2,)]


def _publish_often(url: str, folder: Path, failed: Synchronized[int]) -> None:
    try:
        for _ in range(5):
            publish(url, Lake(folder / "lake"), now=NOW)
    except Exception:
        with failed.get_lock():
            failed.value += 1
        raise


def test_concurrent_publishes_wait_for_each_other(postgres_url: str, tmp_path: Path) -> None:
    fill(Lake(tmp_path / "lake"), 1, rows=2_000)
    context = multiprocessing.get_context("spawn")
    failed = context.Value("i", 0)
    publishers = [context.Process(target=_publish_often, args=(postgres_url, tmp_path, failed)) for _ in range(3)]
    for publisher in publishers:
        publisher.start()
    for publisher in publishers:
        publisher.join(60)
    assert failed.value == 0
    assert ask(postgres_url, "SELECT count(*) FROM tiktok.creators") == [(2_000,)]


def test_a_held_lock_is_reported(postgres_url: str, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(postgres_url, lake, now=NOW)
    fill(lake, 1)
    monkeypatch.setattr(postgres, "_LOCK_TIMEOUT_S", 1)
    with closing(dbapi.connect(postgres_url)) as other, other.cursor() as cursor:
        cursor.execute("LOCK TABLE tiktok.coverage IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(PublishError, match="another session held a lock"):
            publish(postgres_url, lake, now=NOW)
        other.rollback()
    assert publish(postgres_url, lake, now=NOW).changed


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hun%20ter2@127.0.0.1:1/db",
        "postgresql://u:hunter2%zz@127.0.0.1:1/db",
        "postgresql://u@127.0.0.1:1/db?password=hunter2",
        "postgresql://u:hunter2@127.0.0.1:1/db?no_such_parameter=1",
    ],
)
def test_an_unreachable_server_is_named_without_the_password(url: str, lake: Lake) -> None:
    for use in (lambda: publish(url, lake, now=NOW), lambda: check(url)):
        with pytest.raises(PublishError) as refused:
            use()
        assert "Postgres at 127.0.0.1:1/db cannot be used" in str(refused.value)
        assert "hun" not in repr(refused.value)
        assert refused.value.__cause__ is None
        assert refused.value.__suppress_context__


@pytest.mark.parametrize(
    "url",
    [
        "host=db password=hunter2",
        "mysql://u:hunter2@db/x",
        "postgresql://u:hun/ter2@db/x",
        "postgresql://u:hun?ter2@db/x",
        "postgresql://u:hun#ter2@db/x",
        "postgresql://u:hun@ter2@db/x",
        "postgresql://u:hunter2@[db/x",
    ],
)
def test_an_invalid_url_is_rejected_without_being_shown(url: str) -> None:
    with pytest.raises(SettingsError, match="write @ as %40") as refused:
        configured({"TIKTOK_PIPELINE_POSTGRES_URL": url})
    assert "hun" not in str(refused.value)


def test_without_a_url_postgres_is_off() -> None:
    assert configured({}) is None
    assert configured({"TIKTOK_PIPELINE_POSTGRES_URL": "  "}) is None
    assert configured({"TIKTOK_PIPELINE_POSTGRES_URL": "postgresql://u:p%40@h:5/d"}) == "postgresql://u:p%40@h:5/d"


def test_a_check_leaves_no_trace_and_detects_missing_privileges(postgres_url: str, lake: Lake) -> None:
    assert "reachable and writable; holds nothing yet" in check(postgres_url)
    assert ask(postgres_url, "SELECT 1 FROM pg_namespace WHERE nspname = 'tiktok'") == []
    publish(postgres_url, lake, now=NOW)
    assert "holds 20261106T090000-" in check(postgres_url)
    do(postgres_url, "CREATE ROLE looker LOGIN", "GRANT USAGE ON SCHEMA tiktok TO looker")
    looker = postgres_url.replace("//postgres:@", "//looker@")
    try:
        with pytest.raises(PublishError, match="the role lacks privileges"):
            check(looker)
    finally:
        do(postgres_url, "DROP OWNED BY looker", "DROP ROLE looker")
