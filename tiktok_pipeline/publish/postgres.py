"""Publish to Postgres: schema `tiktok`, with the same tables and views as in the DuckDB file.

A publish is one transaction, into tables that are never dropped: a query sees either the old or the new publication,
and users' views and grants stay. Only changed files of the lake are sent: `published_parts` keeps a hash of each.
Rows are removed by `DELETE`: `TRUNCATE` would block readers, and empty the table for older transactions.

Tables follow `tables.py`: a new column is added, and a column that is no longer published becomes null. A column with
another type is an error with advice. Tables have one column more than in DuckDB, `lake_day`.
"""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import polars as pl
import pyarrow as pa

from tiktok_pipeline.errors import DamagedFileError, PublishError
from tiktok_pipeline.lake import parquet
from tiktok_pipeline.lake.blocked_days import blocked_days, on_one_line
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.publish.catalog import PUBLISHED, Fingerprints, Part, fingerprint, generation, parts
from tiktok_pipeline.publish.sql import quoted_name, quoted_text
from tiktok_pipeline.publish.views import VIEWS, View
from tiktok_pipeline.tables import COUNT, PUBLICATION, STRING, Column, Table

SCHEMA = "tiktok"

# The driver crashes the process on a 128-bit integer and has no writer for an enum: no other types are allowed.
_TYPES: dict[type[pl.DataType], str] = {
    pl.String: "text",
    pl.Int64: "bigint",
    pl.Int32: "integer",
    pl.Float64: "double precision",
    pl.Boolean: "boolean",
    pl.Date: "date",
    pl.Datetime: "timestamp with time zone",
    pl.List: "text",
}

_LAKE_DAY = Column("lake_day", pl.Date(), "Day of the lake's file that a row came from; null: one file.")

_PARTS = Table(
    "published_parts",
    "published",
    "whole",
    "one row a file of a table, and one row a view",
    (),
    "The files that were sent, so that only changed files are sent again.",
    (
        Column("table_name", STRING, "Table or view.", nullable=False),
        _LAKE_DAY,
        Column("fingerprint", STRING, "Hash of file and columns; of a view, of its SQL.", nullable=False),
        Column("rows", COUNT, "Rows of the file; null for a view."),
    ),
)

# Only a change of a table's or view's shape waits for readers; every publish waits for another publisher.
_LOCK_TIMEOUT_S = 30
_CONNECT_TIMEOUT_S = 10

# SQLSTATE -> advice for the operator.
_ADVICE = {
    "55P03": f"another session held a lock for more than {_LOCK_TIMEOUT_S} s (see pg_stat_activity): publish again",
    "42501": f"the role lacks privileges: grant it CREATE on the database, or make it the owner of schema {SCHEMA} and "
    "of everything in it",
    "23505": "the lake has a duplicate key: derive the days of the table again",
    "23502": "the lake has a null in a required column: derive the days of the table again",
    "42P16": "a view has columns of other types than before: drop the view, and publish again",
    "25006": "the server is read-only: use the address of the primary",
}


@dataclass(frozen=True)
class PostgresUpdate:
    """The publication in Postgres: rows by table; how many rows were sent, and whether anything had changed."""

    rows: dict[str, int]
    sent: int
    changed: bool


def publish(
    url: str,
    lake: Lake,
    *,
    now: datetime,
    observation_days: int | None = None,
    fingerprints: Path | None = None,
) -> PostgresUpdate:
    """Update Postgres to the state of the lake, in one transaction; send nothing if nothing has changed.

    NUL characters, which Postgres rejects in text, are removed.

    Args:
        url: postgresql://user:password@host/database.
        lake: where marts and observations are read.
        now: names the generation.
        observation_days: days of observations to publish, back from the newest; None: all.
        fingerprints: file of the hashes of the lake's files (`published.Fingerprints`); None: hash every file.

    Raises:
        PublishError: Postgres cannot be reached, refuses, is locked, or has tables that do not fit. It is then
            unchanged.
    """
    made_of = parts(lake, now=now, observation_days=observation_days, fingerprints=Fingerprints(fingerprints))
    while True:
        try:
            return _publish(url, lake, made_of, now, observation_days)
        except DamagedFileError as error:
            # The transaction was rolled back: retry without the file; its day keeps its rows in Postgres.
            lake.damaged.add(error.path, error.reason)
            lake.want_rebuild(error.path)
            made_of = [replace(part, damaged=part.damaged or part.path == error.path) for part in made_of]


def _publish(
    url: str, lake: Lake, made_of: Sequence[Part], now: datetime, observation_days: int | None
) -> PostgresUpdate:
    stands_still = on_one_line(blocked_days(lake))
    of = fingerprint(made_of, stands_still, observation_days)
    sent = 0
    with _transaction(url) as server:
        before = server.sent_before()
        for table in (_PARTS, PUBLICATION):
            server.shape(table)
        for table in PUBLISHED:
            server.shape(_with_day(table))
            sent += _send(server, table, before.pop(table.name, {}), [p for p in made_of if p.table is table])
            server.require(table)
        for name in before.keys() - VIEWS.keys():
            # No longer published: keep the table, because users may have built on it, but empty it.
            server.erase(name, list(before[name]))
        for view in VIEWS.values():
            server.view(view, before.get(view.name, {}).get(None))
            server.explain(view)
        for explained in (_PARTS, PUBLICATION, *map(_with_day, PUBLISHED)):
            server.explain(explained)
        if server.changed or server.announced() != (stands_still, observation_days):
            server.announce(generation(now, of), now, of, stands_still, observation_days)
        rows = server.rows()
        server.commit()
    return PostgresUpdate(rows, sent, server.changed)


def check(url: str) -> str:
    """Check that a publish would succeed, and change nothing.

    Returns:
        The result, in words.

    Raises:
        PublishError: it would fail; the message has the reason.
    """
    with _transaction(url) as server:
        known = PUBLICATION.name in server.relations
        current = server.query(f"SELECT generation FROM {SCHEMA}.{PUBLICATION.name}") if known else []
        server.do(f"CREATE TABLE {SCHEMA}.check_of_rights (nothing integer)")
    return f"{_shown(url)} is reachable and writable; holds {current[0][0] if current else 'nothing yet'}"


def distinct(url: str, table: str, columns: Sequence[str]) -> pl.DataFrame:
    """Read the distinct rows of some columns of a published table; no rows if it is not published yet.

    Raises:
        PublishError: Postgres cannot be reached, or refuses.
    """
    with _transaction(url) as server:
        held = server.relations.get(table, _Relation()).columns
        present = [column for column in columns if column in held]
        if not present:
            return pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
        rows = server.query(f"SELECT DISTINCT {', '.join(map(quoted_name, present))} FROM {SCHEMA}.{table}")
    return pl.DataFrame(rows, schema=dict.fromkeys(present, pl.String), orient="row")


def vacuum(url: str) -> None:
    """Rewrite every published table, so that no byte of a deleted row stays in its files.

    A plain VACUUM frees the space of deleted rows but leaves their bytes until others overwrite them. Readers wait
    while a table is rewritten. A row stays as long as an older transaction can see it: wait for those first.

    Raises:
        PublishError: Postgres cannot be reached, or refuses, or an older transaction takes too long.
    """
    with _plain_errors(url), closing(_connect(url, autocommit=True)) as connection, connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = '{_LOCK_TIMEOUT_S}s'")
        _wait_for_older_transactions(url, cursor)
        cursor.execute(
            f"SELECT relname::text FROM pg_class WHERE relnamespace = '{SCHEMA}'::regnamespace AND relkind = 'r'"
        )
        held = {name for (name,) in cursor.fetchall()}
        for table in (*PUBLISHED, PUBLICATION, _PARTS):
            if table.name in held:
                # Statistics hold samples of column values.
                cursor.execute(f"VACUUM (FULL, ANALYZE) {SCHEMA}.{table.name}")
        # Old samples: only a superuser or the database's owner may rewrite these; others get a warning.
        cursor.execute("VACUUM FULL pg_catalog.pg_statistic")


def _wait_for_older_transactions(url: str, cursor: Any) -> None:
    """Wait until no other session of this database can see rows that were deleted before now."""
    cursor.execute("SELECT CAST(pg_current_xact_id()::xid AS text)")
    (now,) = cursor.fetchone()
    until = time.monotonic() + _LOCK_TIMEOUT_S
    while True:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
            f"AND backend_xmin IS NOT NULL AND age(backend_xmin) >= age('{now}'::xid) "
            "AND backend_type = 'client backend'"
        )
        (older,) = cursor.fetchone()
        if not older:
            return
        if time.monotonic() >= until:
            raise PublishError(
                f"Postgres at {_shown(url)}: {older} sessions still see deleted rows (pg_stat_activity.backend_xmin): "
                "end them, and run the command again"
            )
        time.sleep(0.2)


def _send(server: _Server, table: Table, before: Mapping[date | None, str], made_of: Sequence[Part]) -> int:
    """Replace the rows of changed files; return how many were sent."""
    shape = repr([(column.name, column.dtype) for column in table.columns])
    expected = {
        part.day: before.get(part.day, "") if part.damaged else _hash(shape, part.fingerprint) for part in made_of
    }
    # Delete all before the first insert: a stream may have moved to another day.
    server.erase(table.name, [day for day in before if expected.get(day) != before[day]])
    fresh = [part for part in made_of if before.get(part.day) != expected[part.day] and not part.damaged]
    if not fresh:
        return 0
    counted: dict[date | None, int] = {}
    broken: list[DamagedFileError] = []

    def batches() -> Iterator[pa.RecordBatch]:
        for part in fresh:
            try:
                rows = _arrow(parquet.read(table, part.path)[0].lazy(), table, part.day)
            except DamagedFileError as error:
                broken.append(error)
                raise
            counted[part.day] = rows.num_rows
            yield from rows.to_batches()

    # Keep one file in memory at a time.
    schema = _arrow(table.empty().lazy(), table, None).schema
    try:
        server.fill(table.name, pa.RecordBatchReader.from_batches(schema, batches()))
    except Exception:
        # The driver wraps errors of the batches into its own traceback.
        if broken:
            raise broken[0] from None
        raise
    server.remember([(table.name, part.day, expected[part.day], counted[part.day]) for part in fresh])
    server.do(f"ANALYZE {SCHEMA}.{table.name}")
    return sum(counted.values())


def _arrow(rows: pl.LazyFrame, table: Table, day: date | None) -> pa.Table:
    """Return rows in the form for Postgres: lists as comma-separated text, no NUL, and the day of their file."""
    lists = [c.name for c in table.columns if isinstance(c.dtype, pl.List)]
    texts = [c.name for c in table.columns if _TYPES[type(c.dtype)] == "text"]
    return (
        rows.with_columns(pl.col(lists).list.join(","))
        .with_columns(pl.col(texts).str.replace_all("\x00", "", literal=True))
        .with_columns(pl.lit(day, pl.Date).alias(_LAKE_DAY.name))
        .collect()
        .to_arrow()
    )


def _with_day(table: Table) -> Table:
    return replace(table, columns=(*table.columns, _LAKE_DAY))


@dataclass
class _Relation:
    """A table or view of the server: types by column, in order."""

    columns: dict[str, str] = field(default_factory=dict)
    required: set[str] = field(default_factory=set)
    defaulted: set[str] = field(default_factory=set)
    comments: dict[str | None, str] = field(default_factory=dict)
    key: tuple[str, ...] = ()
    key_name: str = ""


class _Server:
    """One transaction: the state of the schema, and the steps to update it."""

    def __init__(self, connection: Any, cursor: Any) -> None:
        self._connection, self._cursor = connection, cursor
        self.changed = False
        for setting, value in (("lock_timeout", f"{_LOCK_TIMEOUT_S}s"), ("TimeZone", "UTC"), ("search_path", SCHEMA)):
            cursor.execute(f"SET LOCAL {setting} = '{value}'")
        # Allow one publisher at a time.
        self.query(f"SELECT 1 FROM (SELECT pg_advisory_xact_lock(hashtext('{SCHEMA}.{PUBLICATION.name}'))) AS alone")
        if not self.query(f"SELECT 1 FROM pg_namespace WHERE nspname = '{SCHEMA}'"):
            self.do(f"CREATE SCHEMA {SCHEMA}")
        self.relations = self._look()

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        self._cursor.execute(sql)
        rows: list[tuple[Any, ...]] = self._cursor.fetchall()
        return rows

    def do(self, sql: str) -> None:
        """Run a statement that changes something."""
        self._cursor.execute(sql)
        self.changed = True

    def fill(self, name: str, rows: pa.Table | pa.RecordBatchReader) -> None:
        """Insert rows, by the names of their columns."""
        self._cursor.adbc_ingest(name, rows, mode="append", db_schema_name=SCHEMA)
        self.changed = True

    def commit(self) -> None:
        """Commit the transaction."""
        self._connection.commit()

    def shape(self, table: Table) -> None:
        """Create the table, or add its missing columns."""
        there, name = self.relations.get(table.name), f"{SCHEMA}.{table.name}"
        key = ", ".join(map(quoted_name, table.key))
        if there is None:
            columns = [_column(column) for column in table.columns] + ([f"PRIMARY KEY ({key})"] if key else [])
            self.do(f"CREATE TABLE {name} ({', '.join(columns)})")
            if table.files == "day":
                self.do(f"CREATE INDEX ON {name} ({_LAKE_DAY.name})")
            return
        if _LAKE_DAY in table.columns and _LAKE_DAY.name not in there.columns:
            raise PublishError(f"{name} was not created by this pipeline: rename it, and publish again")
        for column in table.columns:
            expected, held = _TYPES[type(column.dtype)], there.columns.get(column.name)
            if held is None:
                # Existing rows are sent again, because the hashes of their files include the columns.
                self.do(f"ALTER TABLE {name} ADD COLUMN {quoted_name(column.name)} {expected}")
            elif held != expected:
                raise PublishError(
                    f"{name}.{column.name} is {held} and should be {expected}: change it with ALTER TABLE, or rename "
                    "the table (a new one is then created), and publish again"
                )
        keep = {column.name for column in table.columns if not column.nullable} | {*table.key} | there.defaulted
        if there.key != table.key:
            if there.key:
                self.do(f"ALTER TABLE {name} DROP CONSTRAINT {quoted_name(there.key_name)}")
            if key:
                self.do(f"ALTER TABLE {name} ADD PRIMARY KEY ({key})")
        for column_name in sorted(there.required - keep):
            self.do(f"ALTER TABLE {name} ALTER COLUMN {quoted_name(column_name)} DROP NOT NULL")

    def require(self, table: Table) -> None:
        """Set NOT NULL on required columns that were added, after their rows were inserted."""
        there = self.relations.get(table.name)
        for column in table.columns if there else ():
            if there and not column.nullable and column.name not in there.required:
                self.do(f"ALTER TABLE {SCHEMA}.{table.name} ALTER COLUMN {quoted_name(column.name)} SET NOT NULL")

    def view(self, view: View, before: str | None) -> None:
        """Create or replace a view; existing columns keep their positions, as Postgres requires."""
        expected, there = _hash(view.columns, view.sql), self.relations.get(view.name, _Relation())
        if there.columns and before == expected:
            return
        named = [column.name for column in view.columns]
        listed = [
            quoted_name(name) if name in named else f"CAST(NULL AS {dtype}) AS {quoted_name(name)}"
            for name, dtype in there.columns.items()
        ]
        listed += [quoted_name(name) for name in named if name not in there.columns]
        self.do(f"CREATE OR REPLACE VIEW {SCHEMA}.{view.name} AS SELECT {', '.join(listed)} FROM ({view.sql}) AS v")
        self._forget(view.name, [None])
        self.remember([(view.name, None, expected, None)])

    def explain(self, of: Table | View) -> None:
        """Comment on a table or view and its columns, if the comment differs."""
        there = self.relations.get(of.name, _Relation())
        kind, name = ("VIEW" if isinstance(of, View) else "TABLE"), f"{SCHEMA}.{of.name}"
        if there.comments.get(None) != of.description:
            self.do(f"COMMENT ON {kind} {name} IS {quoted_text(of.description)}")
        for column in of.columns:
            if there.comments.get(column.name) != column.description:
                self.do(f"COMMENT ON COLUMN {name}.{quoted_name(column.name)} IS {quoted_text(column.description)}")

    def sent_before(self) -> dict[str, dict[date | None, str]]:
        """Return hashes of sent files, by table or view and day; without tables that were dropped since."""
        before: dict[str, dict[date | None, str]] = defaultdict(dict)
        if _PARTS.name in self.relations:
            for name, day, sent in self.query(f"SELECT table_name, lake_day, fingerprint FROM {SCHEMA}.{_PARTS.name}"):
                if name in self.relations:
                    before[name][day] = sent
                else:
                    self._forget(name, [day])
        return before

    def erase(self, table: str, days: Sequence[date | None]) -> None:
        """Delete the rows of these days' files."""
        if days:
            self.do(f"DELETE FROM {SCHEMA}.{table} WHERE {_in(days)}")
            self._forget(table, days)

    def remember(self, sent: Sequence[tuple[str, date | None, str, int | None]]) -> None:
        """Record what was sent: table or view, day, hash, rows."""
        self.fill(_PARTS.name, pl.DataFrame(sent, schema=_PARTS.schema, orient="row").to_arrow())

    def announced(self) -> tuple[str | None, int | None] | None:
        """Return the blocked days and the days of observations of the current publication; None without one."""
        current = self.query(f"SELECT stands_still, observation_days FROM {SCHEMA}.{PUBLICATION.name}")
        return (current[0][0], current[0][1]) if current else None

    def announce(
        self, name: str, now: datetime, of: str, stands_still: str | None, observation_days: int | None
    ) -> None:
        """Replace the row of the table `publication`."""
        moment = f"{quoted_text(now.astimezone(UTC).isoformat())}::timestamptz"
        self.do(f"DELETE FROM {SCHEMA}.{PUBLICATION.name}")
        self.do(
            f"INSERT INTO {SCHEMA}.{PUBLICATION.name} "
            "(generation, published_at, fingerprint, as_of, stands_still, observation_days) "
            f"SELECT {quoted_text(name)}, {moment}, {quoted_text(of)}, "
            f"coalesce((SELECT max(observed_at) FROM {SCHEMA}.live_observations), {moment}), "
            f"{'NULL' if stands_still is None else quoted_text(stands_still)}, "
            f"{'NULL' if observation_days is None else observation_days}"
        )

    def rows(self) -> dict[str, int]:
        """Return rows by table."""
        counted = dict(
            self.query(f"SELECT table_name, CAST(sum(rows) AS bigint) FROM {SCHEMA}.{_PARTS.name} GROUP BY table_name")
        )
        return {table.name: counted.get(table.name, 0) for table in PUBLISHED}

    def _forget(self, name: str, days: Sequence[date | None]) -> None:
        self.do(f"DELETE FROM {SCHEMA}.{_PARTS.name} WHERE table_name = {quoted_text(name)} AND ({_in(days)})")

    def _look(self) -> dict[str, _Relation]:
        relations: dict[str, _Relation] = defaultdict(_Relation)
        of_ours = f"relnamespace = '{SCHEMA}'::regnamespace AND relkind IN ('r', 'p', 'v')"
        for name, comment in self.query(
            f"SELECT relname::text, obj_description(oid, 'pg_class') FROM pg_class WHERE {of_ours}"
        ):
            relations[name].comments[None] = comment
        for name, column, dtype, required, defaulted, comment in self.query(
            "SELECT relname::text, attname::text, format_type(atttypid, atttypmod), attnotnull, atthasdef, "
            "col_description(attrelid, attnum) FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid "
            f"WHERE {of_ours} AND attnum > 0 AND NOT attisdropped ORDER BY relname, attnum"
        ):
            there = relations[name]
            there.columns[column], there.comments[column] = dtype, comment
            there.required |= {column} if required else set()
            there.defaulted |= {column} if defaulted else set()
        for name, key_name, column in self.query(
            "SELECT relname::text, conname::text, attname::text FROM pg_constraint "
            "JOIN pg_class ON pg_class.oid = conrelid CROSS JOIN unnest(conkey) WITH ORDINALITY AS k(number, place) "
            f"JOIN pg_attribute ON attrelid = conrelid AND attnum = number WHERE {of_ours} AND contype = 'p' "
            "ORDER BY relname, place"
        ):
            relations[name].key_name = key_name
            relations[name].key += (column,)
        return dict(relations)


@contextmanager
def _transaction(url: str) -> Iterator[_Server]:
    """Open a transaction that is rolled back unless it is committed; raise errors with plain messages."""
    with _plain_errors(url), closing(_connect(url)) as connection, connection.cursor() as cursor:
        yield _Server(connection, cursor)


def _connect(url: str, *, autocommit: bool = False) -> Any:
    patient = "connect_timeout" in dict(parse_qsl(urlsplit(url).query))
    timeout = "" if patient else f"{'&' if urlsplit(url).query else '?'}connect_timeout={_CONNECT_TIMEOUT_S}"
    return _driver().connect(url + timeout, autocommit=autocommit)


def _driver() -> Any:
    try:
        from adbc_driver_postgresql import dbapi  # noqa: PLC0415 - an optional dependency
    except ImportError:
        raise PublishError(
            "TIKTOK_PIPELINE_POSTGRES_URL is set, but the driver is missing: pip install 'tiktok-pipeline[postgres]'"
        ) from None
    return dbapi


@contextmanager
def _plain_errors(url: str) -> Iterator[None]:
    driver = _driver()
    try:
        yield
    except driver.Error as error:
        raise PublishError(_in_words(url, error)) from None


def _in_words(url: str, error: Any) -> str:
    """Return the server's error: its first line, because the others quote the data; never a password."""
    message = str(error)
    if error.sqlstate is None:
        reason = " ".join(message.partition("[libpq] ")[2].split()) or message
        message = f"Postgres at {_shown(url)} cannot be used: {reason}"
    else:
        reason = message.splitlines()[0].rpartition("ERROR:  ")[2]
        message = f"Postgres at {_shown(url)} was not published to, and is unchanged: {reason}"
        message += f"; {_ADVICE[error.sqlstate]}" if error.sqlstate in _ADVICE else f" (SQLSTATE {error.sqlstate})"
    address = urlsplit(url)
    for secret in (address.password, dict(parse_qsl(address.query)).get("password")):
        for written in {secret, unquote(secret)} if secret else ():
            message = message.replace(written, "[redacted]")
    return message


def _shown(url: str) -> str:
    """Return host and database of a URL, which may be shown."""
    address = urlsplit(url)
    host = address.netloc.rpartition("@")[2] or dict(parse_qsl(address.query)).get("host", "the default host")
    return f"{host}{address.path}"


def _column(column: Column) -> str:
    return f"{quoted_name(column.name)} {_TYPES[type(column.dtype)]}{'' if column.nullable else ' NOT NULL'}"


def _in(days: Sequence[date | None]) -> str:
    listed = ", ".join(f"'{day:%Y-%m-%d}'" for day in days if day is not None)
    conditions = ([f"lake_day IN ({listed})"] if listed else []) + (["lake_day IS NULL"] if None in days else [])
    return " OR ".join(conditions)


def _hash(*of: object) -> str:
    return hashlib.blake2b(repr(of).encode(), digest_size=16).hexdigest()
