"""Publishing: one read-only DuckDB file that BI tools open, and one Parquet file a table beside it.

The file is built under another name, in a storage version that every DuckDB since 1.2 opens, checked, made
read-only, and only then does the link `tiktok.duckdb` move to it: readers keep what they have open, new readers
see the new one, and a builder that dies leaves the old one served. Builders wait for one another.

A Parquet file is replaced as a whole; between two of them a reader may see two publications. Who joins tables reads
the DuckDB file.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
import polars as pl

from tiktok_pipeline import parquet
from tiktok_pipeline.blocked_days import blocked_days, on_one_line
from tiktok_pipeline.errors import PublishError
from tiktok_pipeline.lake import Lake
from tiktok_pipeline.published import PUBLISHED, Part, fingerprint, generation, parts
from tiktok_pipeline.tables import PUBLICATION, Column, Table
from tiktok_pipeline.views import VIEWS, View

_log = logging.getLogger(__name__)

LINK = "tiktok.duckdb"

# Files of DuckDB 2's own default version open in no 1.x client.
_STORAGE_VERSION = "v1.2.0"

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


@dataclass(frozen=True)
class Publication:
    """What is served: the snapshot, rows by table, and whether this run made it."""

    snapshot: Path
    rows: dict[str, int]
    changed: bool


def publish(
    connection: duckdb.DuckDBPyConnection, lake: Lake, warehouse: Path, *, now: datetime, keep: int
) -> Publication:
    """Build, check and serve a snapshot of the lake; nothing happens where nothing has changed.

    Args:
        connection: an in-memory connection that the snapshot is attached to.
        lake: where marts and observations are read.
        warehouse: the folder to serve from.
        now: names the generation.
        keep: snapshots that stay, this one included: a reader may still have an older one open.

    Raises:
        PublishError: the snapshot could not be built, or does not hold what the lake holds.
    """
    try:
        warehouse.mkdir(parents=True, exist_ok=True)
        with _alone(warehouse):
            _clear(warehouse)
            return _publish(connection, lake, warehouse, now, keep)
    except (duckdb.Error, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise PublishError(f"the warehouse in {warehouse} was not replaced: {reason}") from error


def _publish(
    connection: duckdb.DuckDBPyConnection, lake: Lake, warehouse: Path, now: datetime, keep: int
) -> Publication:
    made_of = parts(lake)
    stands_still = on_one_line(blocked_days(lake))
    of = fingerprint(made_of, stands_still)
    served = _served(warehouse)
    held = None if served is None else _held(connection, served, of)
    if served is not None and held is not None:
        _heal_parquet(connection, served, warehouse, held)
        return Publication(served, held, changed=False)
    name = generation(now, of)
    building, snapshot = warehouse / f"building-{name}.duckdb", warehouse / f"tiktok-{name}.duckdb"
    try:
        rows = _build(connection, lake, made_of, building, name, now, of, stands_still)
        staged = _stage_parquet(connection, building, warehouse, PUBLISHED)
        _sync(building)
        building.chmod(0o444)
        building.replace(snapshot)
        # First the tables, then the link: who is killed in between finds another fingerprint served, and begins anew.
        _move_parquet(staged, warehouse / "parquet")
        _serve(snapshot, warehouse / LINK)
    finally:
        _clear(warehouse)
    _prune(warehouse, snapshot, keep)
    return Publication(snapshot, rows, changed=True)


def prune(warehouse: Path, keep: int = 1) -> list[Path]:
    """Remove all but the newest `keep` snapshots, and what killed publishes left; return what was removed.

    Raises:
        PublishError: a file could not be removed.
    """
    before = {path for path in warehouse.rglob("*") if path.is_file() and not path.is_symlink()}
    served = _served(warehouse)
    try:
        with _alone(warehouse):
            _clear(warehouse)
            (warehouse / f".{LINK}.next").unlink(missing_ok=True)
            if served is not None:
                _prune(warehouse, served, keep)
            for log in warehouse.glob("*.duckdb.wal"):
                log.unlink()
    except OSError as error:
        raise PublishError(f"old snapshots in {warehouse} were not removed: {error}") from error
    return sorted(path for path in before if not path.exists())


@contextmanager
def _alone(warehouse: Path) -> Iterator[None]:
    """Wait until no other builder is at work in this folder; a dead one holds no lock."""
    with (warehouse / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _clear(warehouse: Path) -> None:
    """Remove what a builder, dead or failed, left behind."""
    for left in (*warehouse.glob("building-*"), warehouse / "_staging"):
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        else:
            left.unlink(missing_ok=True)


def _build(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    made_of: Sequence[Part],
    path: Path,
    name: str,
    now: datetime,
    of: str,
    stands_still: str | None,
) -> dict[str, int]:
    with _attached(connection, path, f"(STORAGE_VERSION '{_STORAGE_VERSION}')"):
        for table in (*PUBLISHED, PUBLICATION):
            _create(connection, table)
        rows = {
            table.name: _insert(connection, lake, table, [part.path for part in made_of if part.table is table])
            for table in PUBLISHED
        }
        connection.execute(
            "INSERT INTO publication SELECT ?, ?::TIMESTAMP, ?, "
            "coalesce((SELECT max(observed_at) FROM live_observations), ?::TIMESTAMP), ?",
            [name, _naive(now), of, _naive(now), stands_still],
        ).fetchall()
        for view in VIEWS.values():
            connection.execute(f"CREATE VIEW {view.name} AS {view.sql}")
            _comment(connection, "VIEW", view)
            # Binds it and runs it: a view that fails is found here, not by a reader.
            connection.execute(f"SELECT {', '.join(c.name for c in view.columns)} FROM {view.name} LIMIT 1").fetchall()
        connection.execute("CHECKPOINT").fetchall()
    held = _row_counts(connection, path)
    if held != rows:
        raise PublishError(f"the snapshot {path.name} holds {held}, the lake {rows}: nothing was replaced")
    return rows


def _create(connection: duckdb.DuckDBPyConnection, table: Table) -> None:
    columns = ", ".join(
        f"{_name(c.name)} {_TYPES[type(c.dtype)]}{'' if c.nullable else ' NOT NULL'}" for c in table.columns
    )
    connection.execute(f"CREATE TABLE {table.name} ({columns})")
    _comment(connection, "TABLE", table)


def _comment(connection: duckdb.DuckDBPyConnection, kind: str, of: Table | View) -> None:
    connection.execute(f"COMMENT ON {kind} {of.name} IS {_quoted(of.description)}")
    for column in of.columns:
        connection.execute(f"COMMENT ON COLUMN {of.name}.{_name(column.name)} IS {_quoted(column.description)}")


def _insert(connection: duckdb.DuckDBPyConnection, lake: Lake, table: Table, files: Sequence[Path]) -> int:
    """Fill a table from files; returns its rows. Damaged files are skipped; the next `derive` rebuilds them."""
    try:
        _copy(connection, table, files)
    except duckdb.Error:
        for file in files:
            try:
                _copy(connection, table, [file])
            except duckdb.Error as error:
                lake.damaged.add(file, parquet.problem(table, file) or str(error).partition("\n")[0])
                lake.want_rebuild(file)
    counted = connection.execute(f"SELECT count(*) FROM {table.name}").fetchone()
    return int(counted[0]) if counted else 0


def _copy(connection: duckdb.DuckDBPyConnection, table: Table, files: Sequence[Path]) -> None:
    """Insert the rows of files: of all, or of none where one cannot be read."""
    if not files:
        return
    expressions = ", ".join(_expression(column) for column in table.columns)
    # Files from before a column was added lack it: it is null there.
    no_rows = ", ".join(f"NULL::{_as_stored(c.dtype)} AS {_name(c.name)}" for c in table.columns)
    # Files are read by DuckDB itself, in a stream: a year of observations need not fit in memory.
    connection.execute(
        f"INSERT INTO {table.name} SELECT {expressions} FROM (SELECT {no_rows} WHERE false UNION ALL BY NAME "
        "SELECT * FROM read_parquet(?, union_by_name = true, hive_partitioning = false))",
        [[_unglobbed(file) for file in files]],
    ).fetchall()


def _expression(column: Column) -> str:
    """A column of the lake's files as it is published."""
    if isinstance(column.dtype, pl.List):
        return f"array_to_string({_name(column.name)}, ',')"
    return f"{_name(column.name)}::{_TYPES[type(column.dtype)]}"


def _as_stored(dtype: pl.DataType) -> str:
    """The type that DuckDB gives a column of the lake's files."""
    if isinstance(dtype, pl.List):
        return "VARCHAR[]"
    return "TIMESTAMPTZ" if isinstance(dtype, pl.Datetime) else _TYPES[type(dtype)]


def _stage_parquet(
    connection: duckdb.DuckDBPyConnection, snapshot: Path, warehouse: Path, tables: Sequence[Table]
) -> Path:
    """The same tables as single files, ready to be moved into place."""
    staging = warehouse / "_staging"
    staging.mkdir()
    with _attached(connection, snapshot, "(READ_ONLY)"):
        for table in tables:
            staged = staging / f"{table.name}.parquet"
            connection.execute(f"COPY {table.name} TO {_quoted(str(staged))} (FORMAT parquet, COMPRESSION zstd)")
            _sync(staged)
    return staging


def _move_parquet(staging: Path, folder: Path) -> None:
    """Replace each file as a whole; a table that is published no longer goes."""
    if not folder.is_dir():
        clear_way(folder)
    folder.mkdir(exist_ok=True)
    for staged in sorted(staging.iterdir()):
        place(staged, folder / staged.name)
    for file in folder.glob("*.parquet"):
        if file.stem not in {table.name for table in PUBLISHED} and not file.is_dir():
            file.unlink()


def _heal_parquet(
    connection: duckdb.DuckDBPyConnection, served: Path, warehouse: Path, rows: Mapping[str, int]
) -> None:
    """Write those single files again that are gone, or do not hold the rows that the snapshot holds."""
    broken = [
        table
        for table in PUBLISHED
        if _parquet_rows(warehouse / "parquet" / f"{table.name}.parquet") != rows[table.name]
    ]
    if broken:
        try:
            _move_parquet(_stage_parquet(connection, served, warehouse, broken), warehouse / "parquet")
        finally:
            _clear(warehouse)


def _parquet_rows(path: Path) -> int | None:
    """The rows of a Parquet file by its footer; None where there is none."""
    try:
        return int(pl.scan_parquet(path, glob=False).select(pl.len()).collect().item()) if path.is_file() else None
    except parquet.FAILURES:
        return None


@contextmanager
def _attached(connection: duckdb.DuckDBPyConnection, path: Path, options: str) -> Iterator[None]:
    """Attach and use a file; always detached, so that its lock is not held by a traceback."""
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"ATTACH {_quoted(str(path))} AS snapshot {options}")
    try:
        connection.execute("USE snapshot")
        yield
    finally:
        connection.execute("USE memory")
        connection.execute("DETACH snapshot")


def _row_counts(connection: duckdb.DuckDBPyConnection, path: Path) -> dict[str, int]:
    with _attached(connection, path, "(READ_ONLY)"):
        counts = {}
        for table in PUBLISHED:
            counted = connection.execute(f"SELECT count(*) FROM {table.name}").fetchone()
            counts[table.name] = int(counted[0]) if counted else 0
        return counts


def _held(connection: duckdb.DuckDBPyConnection, snapshot: Path, of: str) -> dict[str, int] | None:
    """Rows by table of a served snapshot with this fingerprint; None for any other, and for one that is damaged."""
    try:
        with _attached(connection, snapshot, "(READ_ONLY)"):
            row = connection.execute("SELECT fingerprint FROM publication").fetchone()
        return _row_counts(connection, snapshot) if row and str(row[0]) == of else None
    except duckdb.Error:
        return None


def _served(warehouse: Path) -> Path | None:
    """What the link leads to, where that is a file."""
    link = warehouse / LINK
    return link.resolve() if link.is_file() else None


def place(staged: Path, path: Path) -> None:
    """Move a finished file to its place, in one step; a folder that is in the way is moved aside, never deleted."""
    if path.is_dir() and not path.is_symlink():
        clear_way(path)
    staged.replace(path)


def clear_way(path: Path) -> None:
    """Rename a file or folder that blocks the path of one of our own."""
    if path.is_symlink() or path.exists():
        aside = path.with_name(f"{path.name}.aside-{uuid.uuid4().hex[:8]}")
        path.rename(aside)
        _log.warning("Moved %s, which was in the way, to %s", path, aside)


def _serve(snapshot: Path, link: Path) -> None:
    """Point the link at the snapshot, in one step; where there are no links, move a copy in."""
    staged = link.with_name(f".{LINK}.next")
    staged.unlink(missing_ok=True)
    try:
        staged.symlink_to(snapshot.name)
    except OSError:
        # A stale write-ahead log of a crashed client would be replayed into the new file.
        link.with_name(f"{LINK}.wal").unlink(missing_ok=True)
        shutil.copyfile(snapshot, staged)
        _sync(staged)
        staged.chmod(0o444)
    place(staged, link)
    _sync(link.parent)


def _prune(warehouse: Path, newest: Path, keep: int) -> None:
    """Remove all but the `keep` snapshots that were made last: the clock that names them may go back."""
    snapshots = sorted(warehouse.glob("tiktok-*.duckdb"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    others = [snapshot for snapshot in snapshots if snapshot != newest]
    for old in others[max(keep - 1, 0) :]:
        # Where an open file cannot be removed it stays until the next time.
        with contextlib.suppress(PermissionError):
            old.unlink()
            old.with_name(f"{old.name}.wal").unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Make what was written, or which names a folder holds, outlive a loss of power."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _name(column: str) -> str:
    """A column's name as SQL: some are words of SQL's own."""
    return f'"{column}"'


def _unglobbed(path: Path) -> str:
    """A path as DuckDB takes it literally: it would read a bracket in a folder's name as a pattern."""
    return re.sub(r"([\[*?])", r"[\1]", str(path))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _naive(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None)
