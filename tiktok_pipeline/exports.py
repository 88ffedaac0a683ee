"""`tiktok-pipeline export`: a published table or view as CSV, Excel or Parquet, as it was last published.

Text in a CSV that a spreadsheet would run as a formula gets an apostrophe in front: creators write what they like, and
`=HYPERLINK(...)` in a display name would be a link in somebody's report. Excel files hold text as text and need none,
and Parquet is exact too.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import duckdb
import polars as pl
import xlsxwriter

from tiktok_pipeline.errors import ExportError
from tiktok_pipeline.published import PUBLISHED, find, time_column
from tiktok_pipeline.tables import Table
from tiktok_pipeline.views import VIEWS, View
from tiktok_pipeline.warehouse import LINK

Format = Literal["csv", "xlsx", "parquet"]

# What an Excel sheet holds: rows below the header, and characters in a cell.
EXCEL_ROWS = 1_048_575
_EXCEL_CELL = 32_767

# What makes spreadsheets take text for a formula, also behind blanks.
_FORMULA = r"^\s*[=+\-@]|^[\t\r\n]"


@dataclass(frozen=True)
class Exported:
    """The file that was written: rows, cells that were guarded or cut, and the publication that they are of."""

    path: Path
    rows: int
    guarded: int
    cut: int
    generation: str


def export(
    warehouse: Path,
    name: str,
    form: Format,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    output: Path | None = None,
    exact: bool = False,
) -> Exported:
    """Write a table or view to a file, which appears when it is whole.

    Args:
        warehouse: the folder that is served from.
        name: a published table or view.
        form: csv, xlsx or parquet.
        start: only rows whose time (see `time_column`) is this or later, UTC.
        end: only rows whose time is earlier.
        output: where to; by default `<name>[-from-<day>][-to-<day>].<form>` in the working directory.
        exact: leave text in a CSV as it is, formulas too: for programs, not for spreadsheets.

    Raises:
        ExportError: nothing is published yet, nothing has that name, the span is empty, there is no time to choose
            by, a sheet is too small, or the file cannot be written.
    """
    of = find(name)
    if of is None:
        names = ", ".join(sorted({table.name for table in PUBLISHED} | VIEWS.keys()))
        raise ExportError(f"{name!r} is not published; what is: {names}")
    if start is not None and end is not None and end <= start:
        raise ExportError(f"the span from {start:%Y-%m-%dT%H:%M} to {end:%Y-%m-%dT%H:%M} is empty")
    link = warehouse / LINK
    if not link.exists():
        raise ExportError(f"nothing is published in {warehouse} yet: run `make demo`, or the `derive` job")
    path = output or Path(_file_name(name, form, start, end))
    staged = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with duckdb.connect(str(link), read_only=True) as connection:
            chosen = f"SELECT * FROM {name}{_where(of, start, end)}"
            if isinstance(of, Table):
                chosen += f" ORDER BY {', '.join(_quoted(column) for column in of.key)}"
            rows, generation = _ask(
                connection, f"SELECT count(*), (SELECT generation FROM publication) FROM ({chosen})"
            )
            guarded, cut = _WRITERS[form](connection, of, chosen, rows, staged, exact)
        with staged.open("rb") as written:
            os.fsync(written.fileno())
        staged.replace(path)
    except (OSError, duckdb.Error) as error:
        raise ExportError(f"{path} was not written: {error}") from None
    finally:
        staged.unlink(missing_ok=True)
    return Exported(path, rows, guarded, cut, generation)


def _csv(
    connection: duckdb.DuckDBPyConnection, of: Table | View, chosen: str, rows: int, path: Path, exact: bool
) -> tuple[int, int]:
    """Written by DuckDB in a stream. Times are UTC, `2026-11-02 15:00:00`."""
    texts = [] if exact else [_quoted(c.name) for c in of.columns if isinstance(c.dtype, pl.String | pl.List)]
    guarded = 0
    if texts:
        suspects = " + ".join(f"count(*) FILTER (regexp_matches({text}, '{_FORMULA}'))" for text in texts)
        guarded = _ask(connection, f"SELECT CAST({suspects} AS BIGINT) FROM ({chosen})")[0]
        guards = ", ".join(
            f"CASE WHEN regexp_matches({text}, '{_FORMULA}') THEN '''' || {text} ELSE {text} END AS {text}"
            for text in texts
        )
        chosen = f"SELECT * REPLACE ({guards}) FROM ({chosen})"
    connection.execute(f"COPY ({chosen}) TO {_literal(str(path))} (FORMAT csv, HEADER)").fetchall()
    return guarded, 0


def _parquet(
    connection: duckdb.DuckDBPyConnection, of: Table | View, chosen: str, rows: int, path: Path, exact: bool
) -> tuple[int, int]:
    connection.execute(f"COPY ({chosen}) TO {_literal(str(path))} (FORMAT parquet, COMPRESSION zstd)").fetchall()
    return 0, 0


def _xlsx(
    connection: duckdb.DuckDBPyConnection, of: Table | View, chosen: str, rows: int, path: Path, exact: bool
) -> tuple[int, int]:
    """One sheet with a frozen header and filters, numbers and times as such, text as text."""
    if rows > EXCEL_ROWS:
        raise ExportError(
            f"{of.name} has {rows:,} rows and an Excel sheet holds {EXCEL_ROWS:,}: narrow it with --from and --to, or "
            "use csv or parquet"
        )
    frame = connection.sql(chosen).pl()
    texts = pl.col(pl.String)
    cut = sum(frame.select((texts.str.len_chars() > _EXCEL_CELL).sum()).row(0)) if frame.height else 0
    frame = frame.with_columns(texts.str.slice(0, _EXCEL_CELL))
    # Excel counts days from 1900 and knows no time zone: times are UTC, as everywhere.
    options = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with path.open("wb") as file, xlsxwriter.Workbook(file, {**options, "in_memory": True}) as book:
        frame.write_excel(
            book,
            worksheet=of.name[:31],
            freeze_panes=(1, 0),
            autofilter=True,
            autofit=rows <= 10_000,
            dtype_formats={pl.Datetime: "yyyy-mm-dd hh:mm:ss", pl.Date: "yyyy-mm-dd", pl.Float64: "General"},
        )
    return 0, int(cut)


_WRITERS: dict[Format, Callable[..., tuple[int, int]]] = {"csv": _csv, "xlsx": _xlsx, "parquet": _parquet}


def _where(of: Table | View, start: datetime | None, end: datetime | None) -> str:
    if start is None and end is None:
        return ""
    column = time_column(of)
    if column is None:
        raise ExportError(f"{of.name} has no time of its own to choose by: export it whole")
    conditions = [
        f"{_quoted(column.name)} {sign} TIMESTAMP '{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}'"
        for sign, moment in ((">=", start), ("<", end))
        if moment is not None
    ]
    return f" WHERE {' AND '.join(conditions)}"


def _file_name(name: str, form: Format, start: datetime | None, end: datetime | None) -> str:
    spans = [f"-{word}-{moment:%Y-%m-%d}" for word, moment in (("from", start), ("to", end)) if moment is not None]
    return f"{name}{''.join(spans)}.{form}"


def _ask(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[int, str]:
    row = connection.execute(sql).fetchall()[0]
    return int(row[0]), str(row[-1])


def _quoted(name: str) -> str:
    return f'"{name}"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
