"""Build a DuckDB snapshot from files of the lake: all of it, or only the days that changed.

`build` fills an empty file. `refresh` updates a copy of an older snapshot to the same rows: it deletes and inserts the
days with changed files. Rows of a day are found by the table's time column, so a table in which a file holds rows of
another day is replaced as a whole. Both return the snapshot's content, file by file (`Held`); `verify` compares it
with the rows in the snapshot.

DuckDB reuses the space of deleted rows, but their bytes stay in the file until then: after an erasure use `build`.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path

import duckdb
import msgspec
import polars as pl

from tiktok_pipeline.errors import PublishError
from tiktok_pipeline.lake import parquet
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.publish.catalog import PUBLISHED, Part, Stat, hashed, stat_of, time_column
from tiktok_pipeline.publish.sql import quoted_name, quoted_text
from tiktok_pipeline.publish.views import VIEWS, View
from tiktok_pipeline.tables import PUBLICATION, Column, Table

# No 1.x client opens a file in DuckDB 2's own default version.
STORAGE_VERSION = "v1.2.0"

# A table is replaced as a whole if more than this share of its files changed.
_MOST_CHANGED = 0.5

# Free blocks of a refreshed snapshot: above this share, and this many bytes, it is rebuilt.
_MOST_FREE = 0.5
_FREE_BYTES = 64 * 2**20

# How often the files of one table are read again if they change during the read.
_READS = 3

_TYPES: dict[type[pl.DataType], str] = {
    pl.String: "VARCHAR",
    pl.Int64: "BIGINT",
    pl.Int32: "INTEGER",
    pl.Float64: "DOUBLE",
    pl.Boolean: "BOOLEAN",
    pl.Date: "DATE",
    pl.Datetime: "TIMESTAMP",
    pl.List: "VARCHAR",
}


class Held(msgspec.Struct, frozen=True):
    """One file of the lake as a snapshot holds it.

    `inside`: all rows are of the file's day, by the table's time column. `problem`: why a damaged file has no rows.
    """

    table: str
    day: date | None
    fingerprint: str
    rows: int
    inside: bool
    problem: str | None = None


class StaleSnapshotError(Exception):
    """A copied snapshot does not match its record, or is mostly free space: rebuild it."""


@dataclass(frozen=True)
class PublicationRow:
    """The row of the table `publication`."""

    generation: str
    published_at: datetime
    fingerprint: str
    stands_still: str | None
    observation_days: int | None


def build(
    connection: duckdb.DuckDBPyConnection, path: Path, lake: Lake, made_of: Sequence[Part], about: PublicationRow
) -> list[Held]:
    """Build a snapshot of `made_of` in a new file; skip damaged files, and enter them in `lake`.

    Raises:
        PublishError: the rows of the snapshot and of the files differ.
        duckdb.Error: it cannot be built.
    """
    with attached(connection, path, f"(STORAGE_VERSION '{STORAGE_VERSION}')"):
        for table in (*PUBLISHED, PUBLICATION):
            _create(connection, table)
        held = [each for table in PUBLISHED for each in _fill(connection, lake, table, _of(table, made_of))]
        _announce(connection, about)
        for view in VIEWS.values():
            connection.execute(f"CREATE VIEW {view.name} AS {view.sql}")
            _comment(connection, "VIEW", view)
        _try_views(connection)
        connection.execute("CHECKPOINT").fetchall()
    return held


def refresh(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    lake: Lake,
    made_of: Sequence[Part],
    about: PublicationRow,
    before: Sequence[Held],
) -> list[Held]:
    """Update a copy of a snapshot with the files `before` to the rows of `made_of`.

    Raises:
        StaleSnapshotError: the copy does not hold `before`, or is mostly free space.
        PublishError: the rows of the snapshot and of the files differ.
        duckdb.Error: the copy cannot be read or written.
    """
    held: list[Held] = []
    with attached(connection, path, ""):
        for table in PUBLISHED:
            was = {each.day: each for each in before if each.table == table.name}
            held += _update(connection, lake, table, was, _of(table, made_of))
        connection.execute(f"DELETE FROM {PUBLICATION.name}").fetchall()
        _announce(connection, about)
        _try_views(connection)
        connection.execute("CHECKPOINT").fetchall()
        free, total, size = connection.execute(
            "SELECT free_blocks, total_blocks, block_size FROM pragma_database_size() WHERE database_name = 'snapshot'"
        ).fetchall()[0]
        if free > _MOST_FREE * total and free * size > _FREE_BYTES:
            raise StaleSnapshotError(f"{free} of {total} blocks are free")
    return held


def verify(connection: duckdb.DuckDBPyConnection, path: Path, held: Sequence[Held]) -> dict[str, int]:
    """Count the rows of a snapshot by table, and compare them with the rows of the files.

    Raises:
        PublishError: they differ.
    """
    expected = rows_by_table(held)
    found = row_counts(connection, path)
    if found != expected:
        differing = ", ".join(
            f"{name}: {found[name]}, not {rows}" for name, rows in expected.items() if found[name] != rows
        )
        raise PublishError(f"the snapshot {path.name} differs from the lake in its rows ({differing})")
    return found


def rows_by_table(held: Sequence[Held]) -> dict[str, int]:
    """Sum the rows of the files by table."""
    rows = dict.fromkeys((table.name for table in PUBLISHED), 0)
    for each in held:
        rows[each.table] += each.rows
    return rows


def row_counts(connection: duckdb.DuckDBPyConnection, path: Path) -> dict[str, int]:
    """Count the rows of a snapshot by table.

    Raises:
        duckdb.Error: the file is not a snapshot of this release.
    """
    with attached(connection, path, "(READ_ONLY)"):
        return {table.name: _one(connection, f"SELECT count(*) FROM {table.name}") for table in PUBLISHED}


@contextmanager
def attached(connection: duckdb.DuckDBPyConnection, path: Path, options: str) -> Iterator[None]:
    """Attach and use a file, and detach it in any case, so that a traceback does not hold its lock."""
    connection.execute("SET TimeZone = 'UTC'")
    # DuckDB would print its progress to the output of a command.
    connection.execute("SET enable_progress_bar = false")
    connection.execute(f"ATTACH {quoted_text(str(path))} AS snapshot {options}")
    try:
        connection.execute("USE snapshot")
        yield
    finally:
        connection.execute("USE memory")
        connection.execute("DETACH snapshot")


def of_days(table: Table, first: date, last: date) -> str:
    """Return an SQL condition: rows whose time is in the days from `first` to `last`, both included."""
    column = time_column(table)
    if column is None:
        raise ValueError(f"{table.name} has no time column")
    if isinstance(column.dtype, pl.Date):
        return f"{quoted_name(column.name)} BETWEEN DATE '{first}' AND DATE '{last}'"
    name = quoted_name(column.name)
    return f"{name} >= TIMESTAMP '{first}' AND {name} < TIMESTAMP '{last}' + INTERVAL 1 DAY"


def _update(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    table: Table,
    was: Mapping[date | None, Held],
    made_of: Sequence[Part],
) -> list[Held]:
    """Replace the changed rows of one table."""
    current = {part.day: part for part in made_of}
    same = {day: each for day, each in was.items() if day in current and current[day].fingerprint == each.fingerprint}
    changed = [part for day, part in current.items() if day not in same]
    removed = [each for day, each in was.items() if day not in same]
    for day, each in same.items():
        if each.problem is not None:
            enter_damaged(lake, current[day].path, each.problem)
    if not changed and not removed:
        return list(same.values())
    if _by_day(table, was.values()) and len(changed) <= max(_MOST_CHANGED * len(current), 1):
        for each in removed:
            _delete_day(connection, table, each)
        with contextlib.suppress(_MovedError):
            fresh = {each.day: each for each in _insert(connection, lake, table, changed)}
            if all(each.inside for each in fresh.values()):
                return [(same | fresh)[part.day] for part in made_of if part.day in same or part.day in fresh]
    connection.execute(f"TRUNCATE {table.name}").fetchall()
    return _fill(connection, lake, table, made_of)


def _by_day(table: Table, held: Iterable[Held]) -> bool:
    """Return whether the rows of each file can be found by the table's time column."""
    return table.files == "day" and time_column(table) is not None and all(each.inside for each in held)


def _delete_day(connection: duckdb.DuckDBPyConnection, table: Table, of: Held) -> None:
    if of.rows and of.day is not None:
        deleted = _one(connection, f"DELETE FROM {table.name} WHERE {of_days(table, of.day, of.day)}")
        if deleted != of.rows:
            raise StaleSnapshotError(f"{table.name} held {deleted} rows of {of.day}, not {of.rows}")


class _MovedError(Exception):
    """A file was replaced while it was read: it is unknown which of its rows were inserted."""


def _fill(connection: duckdb.DuckDBPyConnection, lake: Lake, table: Table, made_of: Sequence[Part]) -> list[Held]:
    """Insert the rows of files into an empty table; if a file is replaced meanwhile, start again."""
    for _ in range(_READS):
        with contextlib.suppress(_MovedError):
            return _insert(connection, lake, table, made_of)
        connection.execute(f"TRUNCATE {table.name}").fetchall()
    raise PublishError(f"files of {table.name} are replaced while they are read: publish again")


def _insert(connection: duckdb.DuckDBPyConnection, lake: Lake, table: Table, made_of: Sequence[Part]) -> list[Held]:
    """Insert the rows of files; skip removed files, and damaged files, which the next `derive` rebuilds."""
    there = [part for part in map(_as_it_is, made_of) if part is not None]
    if not there:
        return []
    try:
        held = _count(connection, table, there)
        _copy(connection, table, [part.path for part in there])
    except duckdb.Error:
        held = [_insert_alone(connection, lake, table, part) for part in there]
    if any(_stat(part.path) != part.stat for part in there):
        raise _MovedError
    return held


def _as_it_is(part: Part) -> Part | None:
    """Return the part with the current hash of its file; None if the file was removed."""
    stat = _stat(part.path)
    if stat is None or stat == part.stat:
        return part if stat else None
    try:
        return replace(part, stat=stat, fingerprint=hashed(part.path))
    except OSError:
        return None


def _insert_alone(connection: duckdb.DuckDBPyConnection, lake: Lake, table: Table, part: Part) -> Held:
    """Insert the rows of one file, unless it is damaged."""
    try:
        held = _count(connection, table, [part])[0]
        _copy(connection, table, [part.path])
    except duckdb.Error as error:
        problem = parquet.problem(table, part.path) or str(error).partition("\n")[0]
        enter_damaged(lake, part.path, problem)
        return Held(table.name, part.day, part.fingerprint, 0, inside=True, problem=problem)
    return held


def enter_damaged(lake: Lake, path: Path, problem: str) -> None:
    """Record a damaged file that is not published, so that the next `derive` rebuilds it."""
    lake.damaged.add(path, problem)
    lake.want_rebuild(path)


def _stat(path: Path) -> Stat | None:
    try:
        return stat_of(path)
    except OSError:
        return None


def _count(connection: duckdb.DuckDBPyConnection, table: Table, made_of: Sequence[Part]) -> list[Held]:
    """Count the rows of each file, and check whether they are all of its day."""
    column = time_column(table) if table.files == "day" else None
    day = "NULL::DATE" if column is None else f"{quoted_name(column.name)}::DATE"
    rows = connection.execute(
        f"SELECT filename, count(*), min({day}), max({day}) "
        "FROM read_parquet(?, union_by_name = true, hive_partitioning = false, filename = true) GROUP BY filename",
        [[_unglobbed(part.path) for part in made_of]],
    ).fetchall()
    counted = {name: (int(count), first, last) for name, count, first, last in rows}
    held = []
    for part in made_of:
        count, first, last = counted.get(str(part.path), (0, None, None))
        inside = not count or (first == last == part.day)
        held.append(Held(table.name, part.day, part.fingerprint, count, inside))
    return held


def _copy(connection: duckdb.DuckDBPyConnection, table: Table, files: Sequence[Path]) -> None:
    """Insert the rows of all files, or of none if one cannot be read."""
    expressions = ", ".join(_expression(column) for column in table.columns)
    # Files from before a column was added lack it: fill it with null.
    no_rows = ", ".join(f"NULL::{_as_stored(c.dtype)} AS {quoted_name(c.name)}" for c in table.columns)
    # DuckDB reads the files itself, in a stream: a year of observations need not fit in memory.
    connection.execute(
        f"INSERT INTO {table.name} SELECT {expressions} FROM (SELECT {no_rows} WHERE false UNION ALL BY NAME "
        "SELECT * FROM read_parquet(?, union_by_name = true, hive_partitioning = false))",
        [[_unglobbed(file) for file in files]],
    ).fetchall()


def _expression(column: Column) -> str:
    """Return the published form of a column of the lake's files, as SQL."""
    if isinstance(column.dtype, pl.List):
        return f"array_to_string({quoted_name(column.name)}, ',')"
    return f"{quoted_name(column.name)}::{_TYPES[type(column.dtype)]}"


def _as_stored(dtype: pl.DataType) -> str:
    """Return the type that DuckDB gives a column of the lake's files."""
    if isinstance(dtype, pl.List):
        return "VARCHAR[]"
    return "TIMESTAMPTZ" if isinstance(dtype, pl.Datetime) else _TYPES[type(dtype)]


def _announce(connection: duckdb.DuckDBPyConnection, about: PublicationRow) -> None:
    """Insert the row of `publication`."""
    moment = about.published_at.replace(tzinfo=None)
    connection.execute(
        f"INSERT INTO {PUBLICATION.name} "
        "(generation, published_at, fingerprint, as_of, stands_still, observation_days) "
        "SELECT ?, ?::TIMESTAMP, ?, coalesce((SELECT max(observed_at) FROM live_observations), ?::TIMESTAMP), ?, ?",
        [about.generation, moment, about.fingerprint, moment, about.stands_still, about.observation_days],
    ).fetchall()


def _try_views(connection: duckdb.DuckDBPyConnection) -> None:
    """Bind and run each view, so that a failing view is found here, not by a reader."""
    for view in VIEWS.values():
        connection.execute(f"SELECT {', '.join(c.name for c in view.columns)} FROM {view.name} LIMIT 1").fetchall()


def _create(connection: duckdb.DuckDBPyConnection, table: Table) -> None:
    columns = ", ".join(
        f"{quoted_name(c.name)} {_TYPES[type(c.dtype)]}{'' if c.nullable else ' NOT NULL'}" for c in table.columns
    )
    connection.execute(f"CREATE TABLE {table.name} ({columns})")
    _comment(connection, "TABLE", table)


def _comment(connection: duckdb.DuckDBPyConnection, kind: str, of: Table | View) -> None:
    connection.execute(f"COMMENT ON {kind} {of.name} IS {quoted_text(of.description)}")
    for column in of.columns:
        connection.execute(
            f"COMMENT ON COLUMN {of.name}.{quoted_name(column.name)} IS {quoted_text(column.description)}"
        )


def _of(table: Table, made_of: Sequence[Part]) -> list[Part]:
    return [part for part in made_of if part.table is table]


def _one(connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    row = connection.execute(sql).fetchone()
    return int(row[0]) if row else 0


def _unglobbed(path: Path) -> str:
    """Return a path that DuckDB reads literally: without this, a bracket in a folder's name is a pattern."""
    return re.sub(r"([\[*?])", r"[\1]", str(path))
