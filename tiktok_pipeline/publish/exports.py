"""Write a published table or view as CSV, Excel or Parquet, as it was last published.

A CSV is made for spreadsheets by default. It begins with a byte order mark, so that Excel reads it as UTF-8. Text that
a spreadsheet would change begins with an apostrophe: text that it reads as a formula, such as `=HYPERLINK(...)` in a
display name, and digits that it reads as a number. A spreadsheet keeps 15 digits, and ids have up to 19. `exact` writes
neither, for programs. Excel files hold text as text and need no apostrophe. Parquet is exact too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import duckdb
import polars as pl
import xlsxwriter
from xlsxwriter.exceptions import XlsxWriterException

from tiktok_pipeline.errors import ExportError
from tiktok_pipeline.files import replacing
from tiktok_pipeline.publish.catalog import PUBLISHED, find, time_column
from tiktok_pipeline.publish.duckdb_file import LINK
from tiktok_pipeline.publish.sql import quoted_name, quoted_text
from tiktok_pipeline.publish.views import VIEWS, View
from tiktok_pipeline.tables import Table

Format = Literal["csv", "xlsx", "parquet"]

# Limits of an Excel sheet: rows below the header, and UTF-16 units in a cell.
EXCEL_ROWS = 1_048_575
_EXCEL_CELL = 32_767

# First character of a file: Excel reads UTF-8 only with it.
_BYTE_ORDER_MARK = "\ufeff"

# Spreadsheets read text as a formula by its first visible character; Excel also by the full-width and small forms.
# They drop tabs and line ends at the start on import, and the next character counts.
FORMULA = r"^[\s\p{Z}\p{Cc}\p{Cf}]*[=+\-@＝＋－＠﹦﹢﹣﹫]|^[\t\r\n]"

# Text that becomes a number: 16 digits and more (also a list of ids), leading zeros, and 12e5, a valid handle.
NUMBER = r"^\s*(?:[0-9][0-9,. ]{14,}[0-9]|0[0-9]+|[0-9]+(?:[.,][0-9]*)?[eE][+-]?[0-9]+)\s*$"


@dataclass(frozen=True)
class Exported:
    """The file that was written: its rows, and the publication that they are of.

    `guarded` and `numbers` count the CSV cells with an apostrophe in front: texts like formulas, and like numbers.
    `cut` counts the cells that were longer than an Excel cell.
    """

    path: Path
    rows: int
    guarded: int
    numbers: int
    cut: int
    generation: str


@dataclass(frozen=True)
class _Changed:
    """How many cells were changed, by reason; see `Exported`."""

    guarded: int = 0
    numbers: int = 0
    cut: int = 0


def export(
    warehouse: Path,
    name: str,
    form: Format,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    output: Path | None = None,
    exact: bool = False,
    mark: bool = True,
) -> Exported:
    """Write a table or view to a file, which appears only when it is complete.

    Args:
        warehouse: the folder that is served from.
        name: a published table or view.
        form: csv, xlsx or parquet.
        start: only rows whose time (see `time_column`) is this or later, UTC.
        end: only rows whose time is earlier.
        output: the file to write; by default `<name>[-from-<day>][-to-<day>].<form>` in the working directory.
        exact: write a CSV without apostrophes and byte order mark: for programs, not for spreadsheets.
        mark: begin a CSV with a byte order mark.

    Raises:
        ExportError: nothing is published yet, nothing has that name, the span is empty, there is no time column to
            filter by, a sheet is too small, or the file cannot be written.
    """
    of = find(name)
    if of is None:
        names = ", ".join(sorted({table.name for table in PUBLISHED} | VIEWS.keys()))
        raise ExportError(f"{name!r} is not published; published are: {names}")
    if start is not None and end is not None and end <= start:
        raise ExportError(f"the span from {start:%Y-%m-%dT%H:%M} to {end:%Y-%m-%dT%H:%M} is empty")
    link = warehouse / LINK
    if not link.is_file():
        raise ExportError(f"nothing is published in {warehouse} yet: run `make demo`, or the `derive` job")
    path = output or Path(_file_name(name, form, start, end))
    if not path.parent.is_dir():
        raise ExportError(f"{path} was not written: there is no folder {path.parent}; make it first")
    try:
        with replacing(path, durable=True) as staged, duckdb.connect(str(link), read_only=True) as connection:
            chosen = f"SELECT * FROM {name}{_where(of, start, end)}"
            if isinstance(of, Table):
                chosen += f" ORDER BY {', '.join(quoted_name(column) for column in of.key)}"
            rows, generation = _query(
                connection, f"SELECT count(*), (SELECT generation FROM publication) FROM ({chosen})"
            )
            changed = _WRITERS[form](connection, of, chosen, rows, staged, exact, mark and not exact)
    except (OSError, duckdb.Error, XlsxWriterException) as error:
        raise ExportError(f"{path} was not written: {' '.join(str(error).split())}") from None
    return Exported(path, rows, changed.guarded, changed.numbers, changed.cut, generation)


def _csv(
    connection: duckdb.DuckDBPyConnection,
    of: Table | View,
    chosen: str,
    rows: int,
    path: Path,
    exact: bool,
    mark: bool,
) -> _Changed:
    """Write a CSV with DuckDB, in a stream. Times are UTC, `2026-11-02 15:00:00`."""
    texts = [] if exact else [quoted_name(c.name) for c in of.columns if isinstance(c.dtype, pl.String | pl.List)]
    changed = _Changed()
    if texts:
        # No text matches both patterns: a formula begins with a sign, a number with a digit.
        counts = ", ".join(
            "CAST("
            + " + ".join(f"count(*) FILTER (regexp_matches({text}, '{like}'))" for text in texts)
            + " AS BIGINT)"
            for like in (FORMULA, NUMBER)
        )
        changed = _Changed(*connection.execute(f"SELECT {counts} FROM ({chosen})").fetchall()[0])
        guards = ", ".join(
            f"CASE WHEN regexp_matches({text}, '{FORMULA}|{NUMBER}') THEN '''' || {text} ELSE {text} END AS {text}"
            for text in texts
        )
        chosen = f"SELECT * REPLACE ({guards}) FROM ({chosen})"
    if mark:
        # DuckDB writes no byte order mark: make it part of the first column's name.
        first = of.columns[0].name
        chosen = f"SELECT * RENAME ({quoted_name(first)} AS {quoted_name(_BYTE_ORDER_MARK + first)}) FROM ({chosen})"
    connection.execute(f"COPY ({chosen}) TO {quoted_text(str(path))} (FORMAT csv, HEADER)").fetchall()
    return changed


def _parquet(
    connection: duckdb.DuckDBPyConnection,
    of: Table | View,
    chosen: str,
    rows: int,
    path: Path,
    exact: bool,
    mark: bool,
) -> _Changed:
    connection.execute(f"COPY ({chosen}) TO {quoted_text(str(path))} (FORMAT parquet, COMPRESSION zstd)").fetchall()
    return _Changed()


def _xlsx(
    connection: duckdb.DuckDBPyConnection,
    of: Table | View,
    chosen: str,
    rows: int,
    path: Path,
    exact: bool,
    mark: bool,
) -> _Changed:
    """Write one sheet with a frozen header, filters and widths, numbers and times as such, text as text."""
    if rows > EXCEL_ROWS:
        raise ExportError(
            f"{of.name} has {rows:,} rows, but an Excel sheet holds at most {EXCEL_ROWS:,}: narrow it "
            "with --from and --to, or use csv or parquet"
        )
    whole = connection.sql(chosen).pl()
    texts = pl.col(pl.String)
    # A character is one or two UTF-16 units: only texts of more than half the limit need a count.
    long = texts.str.len_chars() > _EXCEL_CELL // 2
    frame = whole.with_columns(pl.when(long).then(texts.map_elements(_cut, return_dtype=pl.String)).otherwise(texts))
    cut = sum((whole[name] != frame[name]).sum() for name, dtype in whole.schema.items() if dtype == pl.String)
    # XlsxWriter copies text from <r> to </r> into the file as markup: a trailing space makes it plain text.
    markup = texts.str.starts_with("<r>") & texts.str.ends_with("</r>")
    frame = frame.with_columns(pl.when(markup).then(texts + " ").otherwise(texts))
    # Excel has no number for NaN and infinity: write its error values.
    options = {"in_memory": True, "nan_inf_to_errors": True}
    as_text = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    # Excel counts days from 1900 and has no time zones: times are UTC, as everywhere.
    with path.open("wb") as file, xlsxwriter.Workbook(file, {**options, **as_text}) as book:
        frame.write_excel(
            book,
            worksheet=of.name[:31],
            freeze_panes=(1, 0),
            autofilter=True,
            column_widths=_widths(frame),
            column_formats={name: _number_format(name) for name in frame.select(pl.col(pl.Float64)).columns},
            dtype_formats={
                pl.Datetime: "yyyy-mm-dd hh:mm:ss",
                pl.Date: "yyyy-mm-dd",
                pl.Int64: "#,##0",
            },
        )
    return _Changed(cut=cut)


# A row of a wide text stays on one screen; Excel shows the rest in its formula bar.
_WIDEST, _SAMPLE_ROWS = 45, 1_000
# A character of Excel's standard font, its padding, and the button of the filter, in pixels.
_CHARACTER_PX, _PADDING_PX, _FILTER_PX = 7, 9, 18
# Number of digits of a time or a number with its format.
_TIME_CHARACTERS, _NUMBER_CHARACTERS = 19, 10


def _widths(frame: pl.DataFrame) -> dict[str, int]:
    """Return the width of each column in pixels: its name and its first texts fit, up to `_WIDEST` characters."""
    widths = {}
    for column in frame.head(_SAMPLE_ROWS).iter_columns():
        if column.dtype == pl.String:
            longest = column.str.len_chars().max()
            characters = min(longest if isinstance(longest, int) else 0, _WIDEST)
        else:
            characters = _TIME_CHARACTERS if column.dtype.is_temporal() else _NUMBER_CHARACTERS
        name = len(column.name) * _CHARACTER_PX + _FILTER_PX
        widths[column.name] = max(name, characters * _CHARACTER_PX) + _PADDING_PX
    return widths


def _number_format(name: str) -> str:
    """Return the Excel format of a column of fractions by its name; the value keeps all its digits."""
    if name.endswith("_s"):
        return "#,##0"
    if name.endswith(("_ratio", "_share")) or name in ("share", "conversion", "completeness"):
        return "0.0%"
    if name in ("lift", "lift_lo", "lift_hi", "expected_organic", "average_viewers"):
        return "#,##0"
    return "#,##0.00"


def _cut(text: str) -> str:
    """Return the part of `text` that fits into an Excel cell."""
    return text.encode("utf-16-le")[: 2 * _EXCEL_CELL].decode("utf-16-le", "ignore")


_WRITERS: dict[Format, Callable[..., _Changed]] = {"csv": _csv, "xlsx": _xlsx, "parquet": _parquet}


def _where(of: Table | View, start: datetime | None, end: datetime | None) -> str:
    if start is None and end is None:
        return ""
    column = time_column(of)
    if column is None:
        raise ExportError(f"{of.name} has no time column to filter by: export it whole")
    conditions = [
        f"{quoted_name(column.name)} {sign} TIMESTAMP '{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}'"
        for sign, moment in ((">=", start), ("<", end))
        if moment is not None
    ]
    return f" WHERE {' AND '.join(conditions)}"


def _file_name(name: str, form: Format, start: datetime | None, end: datetime | None) -> str:
    spans = [f"-{word}-{moment:%Y-%m-%d}" for word, moment in (("from", start), ("to", end)) if moment is not None]
    return f"{name}{''.join(spans)}.{form}"


def _query(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[int, str]:
    row = connection.execute(sql).fetchall()[0]
    return int(row[0]), str(row[-1])
