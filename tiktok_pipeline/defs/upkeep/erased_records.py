"""Redact erased creators in Dagster's own records: runs, events, ticks, cursors, and logs of runs.

Runs of `stream_boundaries` name creators in their configuration, materializations name creators without a response,
warnings of checks name rows, and the cursor of `go_live` names creators on air. Dagster's API can only delete a run as
a whole, and with it the record that its partitions were made. So texts are rewritten in place, in the database of the
instance; no run, event or tick is deleted, and daemons may be running.

Logs are masked at the same length, because a process may have them open. Pictures in the metadata of `report` show
handles as pixels and are dropped.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa

from tiktok_pipeline.erased.mentions import MARK, masked, redact_names, redact_text
from tiktok_pipeline.erased.names import Names
from tiktok_pipeline.errors import PipelineError

# Objects whose keys are creators: in the configuration of follow-up runs, and in the cursor of `go_live`.
_KEYED_BY_CREATOR = frozenset(("due", "broadcasts"))

# Metadata that names creators: unanswered requests, and examples of a check.
_LABELS = frozenset(("unanswered", "examples"))
_VALUES = frozenset(("creator_id", "handle"))

_PICTURE = re.compile(r"data:image/png;base64,[A-Za-z0-9+/=]+")
_PICTURE_TERM = "data:image/png;base64,"

# Time to wait for a database that another process has locked.
_PATIENCE_S = 30.0

_ROWS_AT_ONCE = 500


def erase_records(names: Names, terms: list[str] | None, thorough: bool) -> int:
    """Redact the creators in all records of the instance of DAGSTER_HOME; return how many records were changed.

    Args:
        names: the erased creators.
        terms: texts of which every mention contains one, lower-case; None: every record is searched.
        thorough: rewrite databases even without a change: an interrupted call may have left bytes.

    Raises:
        PipelineError: a database is in use for too long, or cannot be rewritten.
    """
    with dg.DagsterInstance.get() as instance:
        folders = _folders(instance)
        all_terms = None if terms is None else [*terms, _PICTURE_TERM]
        databases = sorted({path for folder in folders for path in folder.rglob("*.db")})
        changed = sum(_erase_sqlite(path, names, all_terms, thorough=thorough) for path in databases)
        changed += _erase_server(instance, names, all_terms, thorough=thorough)
        return changed + sum(_mask_logs(folder, names) for folder in folders)


def _folders(instance: dg.DagsterInstance) -> list[Path]:
    """Return the folders of the instance: its home, and the configured folders of storages and logs."""
    found = {Path(instance.root_directory)}
    parts: tuple[Any, ...] = (
        instance.run_storage,
        instance.event_log_storage,
        instance.schedule_storage,
        instance.compute_log_manager,
    )
    for part in parts:
        configured = getattr(part, "inst_data", None)
        base = (configured.config_dict if configured is not None else {}).get("base_dir")
        if isinstance(base, str):
            found.add(Path(base))
    # A folder within another is walked once.
    return sorted(folder for folder in found if not any(other in folder.parents for other in found))


def redacted_record(text: str, names: Names) -> str:
    """Redact one text in Dagster's storage: walk JSON, treat all else as free text."""
    try:
        value = json.loads(text) if text.lstrip().startswith(("{", "[")) else None
    except ValueError:
        value = None
    if value is None:
        return _redacted_text(text, names, listed=False)
    redacted = _walk(value, names)
    return text if redacted == value else json.dumps(redacted)


def _walk(value: Any, names: Names, *, key: str = "", listed: bool = False) -> Any:
    """Return a redacted JSON value. `listed`: its texts are lists of creators' names."""
    if isinstance(value, dict):
        listed = listed or value.get("label") in _LABELS
        return {
            name: _walk(inner, names, key=name, listed=listed)
            for name, inner in value.items()
            if not (key in _KEYED_BY_CREATOR and names.matches("creator", name)) and redact_text(name, names) == name
        }
    if isinstance(value, list):
        return [_walk(inner, names, key=key, listed=listed) for inner in value if not _is_alert(inner, names)]
    if not isinstance(value, str):
        return value
    if key in _VALUES and (names.matches("creator", value) or names.matches("handle", value)):
        return MARK
    if value.lstrip().startswith(("{", "[")):
        return redacted_record(value, names) if not listed else _redacted_text(value, names, listed=True)
    return _redacted_text(value, names, listed=listed)


def _is_alert(value: Any, names: Names) -> bool:
    """Return whether this is a queued alert about an erased creator."""
    return (
        isinstance(value, dict)
        and value.keys() == {"key", "text"}
        and any(redact_text(str(part), names) != part for part in value.values())
    )


def _redacted_text(text: str, names: Names, *, listed: bool) -> str:
    if listed:
        # The third cell of a table's lines names creators; other texts consist of names.
        lines = [_redacted_line(line, names) for line in text.split("\n")]
        text = "\n".join(lines)
    if _PICTURE_TERM in text:
        text = _PICTURE.sub(MARK, text)
    return redact_text(text, names)


def _redacted_line(line: str, names: Names) -> str:
    cells = line.split("|")
    if len(cells) < 4:
        return redact_names(line, names)
    cells[3] = redact_names(cells[3], names)
    return "|".join(cells)


def _may_mention(text: str, terms: list[str] | None) -> bool:
    if terms is None:
        return True
    lower = text.lower()
    return any(term in lower for term in terms)


def _erase_sqlite(path: Path, names: Names, terms: list[str] | None, *, thorough: bool) -> int:
    """Redact one database file; overwrite freed pages, and empty its write-ahead log."""
    try:
        with closing(sqlite3.connect(path, timeout=_PATIENCE_S, isolation_level=None)) as connection:
            connection.execute("PRAGMA secure_delete = ON")
            connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
            changed = 0
            for table, columns in _sqlite_tables(connection).items():
                for column in columns:
                    changed += _erase_sqlite_column(connection, table, column, names, terms)
            if changed or thorough or _bytes_left(path, terms):
                _patiently(path, lambda: connection.execute("VACUUM").fetchall() == [])
            _patiently(path, lambda: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0)
            return changed
    except sqlite3.Error as error:
        raise PipelineError(f"Dagster's records in {path} were not erased: {error}; run `forget` again") from None


def _sqlite_tables(connection: sqlite3.Connection) -> dict[str, list[str]]:
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {
        table: [
            row[1]
            for row in connection.execute(f'PRAGMA table_info("{table}")')
            if any(word in row[2].upper() for word in ("CHAR", "TEXT", "CLOB", "JSON"))
        ]
        for table in tables
        if not table.startswith("sqlite_")
    }


def _erase_sqlite_column(
    connection: sqlite3.Connection, table: str, column: str, names: Names, terms: list[str] | None
) -> int:
    changed, last = 0, -1
    select = f'SELECT rowid, "{column}" FROM "{table}" WHERE rowid > ? ORDER BY rowid LIMIT {_ROWS_AT_ONCE}'
    while rows := connection.execute(select, [last]).fetchall():
        last = rows[-1][0]
        for rowid, text in rows:
            if isinstance(text, str) and _may_mention(text, terms):
                redacted = redacted_record(text, names)
                if redacted != text:
                    update = f'UPDATE "{table}" SET "{column}" = ? WHERE rowid = ? AND "{column}" = ?'
                    changed += connection.execute(update, [redacted, rowid, text]).rowcount
    return changed


def _bytes_left(path: Path, terms: list[str] | None) -> bool:
    """Return whether pages that SQLite has freed still hold a name."""
    lower = path.read_bytes().lower()
    return terms is None or any(term.encode() in lower for term in terms if term != _PICTURE_TERM)


def _patiently(path: Path, done: Any) -> None:
    """Retry while another process has the database locked."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            if done():
                return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) and "busy" not in str(error):
                raise
        if time.monotonic() >= until:
            raise PipelineError(
                f"Dagster's records in {path} are redacted, but another process holds the file open: run `forget` "
                "again, or stop the daemon first"
            )
        time.sleep(0.1)


def _erase_server(instance: dg.DagsterInstance, names: Names, terms: list[str] | None, *, thorough: bool) -> int:
    """Redact storages in a database server: updates, then a rewrite of the changed tables."""
    changed = 0
    seen: set[str] = set()
    for engine in _engines(instance):
        address = str(engine.url)
        if engine.dialect.name == "sqlite" or address in seen:
            continue
        seen.add(address)
        try:
            changed += _erase_postgres(engine, names, terms, thorough=thorough)
        except sa.exc.SQLAlchemyError as error:
            reason = str(getattr(error, "orig", None) or error).splitlines()[0]
            raise PipelineError(
                f"Dagster's records in its database were not erased: {reason}; run `forget` again"
            ) from None
    return changed


def _engines(instance: dg.DagsterInstance) -> Iterator[sa.Engine]:
    storages: tuple[Any, ...] = (instance.run_storage, instance.event_log_storage, instance.schedule_storage)
    for storage in storages:
        opened = getattr(storage, "index_connection", None) or getattr(storage, "connect", None)
        if opened is not None:
            with opened() as connection:
                yield connection.engine


def _erase_postgres(engine: sa.Engine, names: Names, terms: list[str] | None, *, thorough: bool) -> int:
    total = 0
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"SET lock_timeout = '{int(_PATIENCE_S)}s'")
        for table, columns in _server_tables(connection):
            changed = sum(_erase_server_column(connection, table, column, names, terms) for column in columns)
            if changed or thorough:
                connection.exec_driver_sql(f'VACUUM (FULL, ANALYZE) "{table}"')
            total += changed
    return total


def _server_tables(connection: sa.Connection) -> Iterable[tuple[str, list[str]]]:
    inspected = sa.inspect(connection)
    for table in inspected.get_table_names():
        columns = [
            column["name"]
            for column in inspected.get_columns(table)
            if isinstance(column["type"], sa.types.String | sa.types.JSON)
        ]
        if columns:
            yield table, columns


def _erase_server_column(
    connection: sa.Connection, table: str, column: str, names: Names, terms: list[str] | None
) -> int:
    quoted, where = f'"{column}"', ""
    parameters: dict[str, Any] = {}
    if terms is not None:
        parameters = {f"term{number}": f"%{_like(term)}%" for number, term in enumerate(terms)}
        where = " WHERE " + " OR ".join(f"CAST({quoted} AS text) ILIKE :{name}" for name in parameters)
    rows = connection.execute(
        sa.text(f'SELECT CAST(ctid AS text), CAST({quoted} AS text) FROM "{table}"{where}'), parameters
    ).fetchall()
    changed = 0
    update = sa.text(
        f'UPDATE "{table}" SET {quoted} = :new WHERE ctid = CAST(:row AS tid) AND CAST({quoted} AS text) = :old'
    )
    for row, text in rows:
        redacted = text if text is None else redacted_record(text, names)
        if redacted != text:
            changed += connection.execute(update, {"new": redacted, "row": row, "old": text}).rowcount
    return changed


def _like(term: str) -> str:
    return term.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")


def _mask_logs(folder: Path, names: Names) -> int:
    """Redact the logs of runs and ticks: overwrite names in place, with the same number of bytes."""
    changed = 0
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file() or ".db" in path.suffixes or path.suffix in (".db-wal", ".db-shm"):
            continue
        # One character a byte, so that lengths stay.
        text = path.read_bytes().decode("latin-1")
        redacted = redact_text(text, names, masked)
        if redacted != text:
            with path.open("r+b") as file:
                file.write(redacted.encode("latin-1"))
            changed += 1
    return changed
