"""Read Parquet files of the lake, including damaged ones and those of other releases.

A file may be truncated, have another schema, or not be Parquet: another release or another tool wrote it, or a disk
damaged it. `scan` is the fast path: one scan of all files, which raises if one of them cannot be read. `read` takes one
file, casts values without loss, and raises `DamagedFileError` with the reason. Callers try `scan` first and use `read`
only after a failure, so that no footer is read twice while all files are good.

Accepted in a file as a column of the table:

| in the file | in the table |
|---|---|
| a column that the table does not have | left out |
| no such column, or a column of type null | null |
| a dictionary (categorical, enum), an integer, UTF-8 bytes | text |
| times in ns, ms or s, in another zone or in none (read as UTC) | times in us, UTC |
| an integer of another width, a whole number as float or decimal | an integer |
| an integer, a decimal, a float of another width | a float |
| midnight as a time | a date |

Anything else is damage, and so is a file without the columns that identify its rows. A raw row without a capture_id is
left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from tiktok_pipeline.errors import DamagedFileError
from tiktok_pipeline.tables import Table

# Exceptions that polars raises for an unreadable file. A corrupt page may also panic, which is not an `Exception`.
FAILURES = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError, MemoryError)

# Without these columns, a file is not a raw file. Other required columns may be missing: older releases lacked some.
_RAW_NEEDS = ("capture_id", "vendor", "endpoint", "requested_at", "received_at", "observed_at", "outcome")

_MAGIC = b"PAR1"

_CASTS = pl.ScanCastOptions(
    integer_cast=["upcast", "allow-float"],
    float_cast="upcast",
    datetime_cast=["nanosecond-downcast", "millisecond-upcast", "convert-timezone"],
    categorical_to_string="allow",
)


def scan(table: Table, files: Sequence[Path]) -> pl.LazyFrame:
    """Scan files together as rows of `table`; raises one of `FAILURES` at collection if a file cannot be read."""
    return pl.scan_parquet(
        list(files),
        schema=table.schema,
        missing_columns="insert",
        extra_columns="ignore",
        cast_options=_CASTS,
        hive_partitioning=False,
        glob=False,
    )


def complete(table: Table, frame: pl.DataFrame) -> bool:
    """Return whether every row of `frame` has the values that identify it, for the columns in `frame`.

    False if the scan filled in a required column that a file lacks: `read` finds the file.
    """
    return not any(frame[name].null_count() for name in _needed(table) if name in frame.columns)


def read(table: Table, path: Path, columns: Sequence[str] | None = None) -> tuple[pl.DataFrame, str | None]:
    """Read one file as rows of `table`.

    Args:
        table: the table that gives columns and types.
        path: the file.
        columns: read only these; None for all.

    Returns:
        The rows, and what is wrong with some raw rows: required values are missing. Rows without a capture_id are left
        out. None if all rows are valid.

    Raises:
        DamagedFileError: the file cannot be read as rows of `table`; gives the reason.
        FileNotFoundError: the file does not exist.
    """
    rows = conform(table, open_file(table, path, columns), path, columns)
    lacking = [name for name in _RAW_NEEDS if table.layer == "raw" and name in rows.columns and rows[name].null_count()]
    if not lacking:
        return rows, None
    reason = f"{rows.height - rows.drop_nulls(lacking).height} of {rows.height} rows have no {', '.join(lacking)}"
    return rows.drop_nulls("capture_id") if "capture_id" in lacking else rows, reason


def open_file(table: Table, path: Path, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Read one file with its own columns and types; with `columns`, only these.

    Raises:
        DamagedFileError: the file cannot be read, or its columns are not those of `table`; gives the reason.
        FileNotFoundError: the file does not exist.
    """
    found = _schema(table, path)
    wanted = [name for name in found if columns is None or name in columns]
    try:
        return pl.scan_parquet(path, hive_partitioning=False, glob=False).select(wanted).collect()
    except FileNotFoundError:
        raise
    except FAILURES as error:
        raise DamagedFileError(path, _first_line(error)) from None


def conform(table: Table, frame: pl.DataFrame, path: Path, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Cast `frame`, which was read from `path`, to the columns of `table`; with `columns`, only to these.

    Raises:
        DamagedFileError: a value cannot be cast without loss; names the column.
    """
    names = list(table.schema) if columns is None else [name for name in table.schema if name in columns]
    made = []
    for name in names:
        wanted = table.schema[name]
        try:
            made.append(
                _cast(frame[name], wanted)
                if name in frame.columns
                else pl.Series(name, [None], dtype=wanted).new_from_index(0, frame.height)
            )
        except FAILURES as error:
            raise DamagedFileError(path, f"column {name}: {_first_line(error)}") from None
    return pl.DataFrame(made)


def problem(table: Table, path: Path) -> str | None:
    """Return why a file cannot be read as rows of `table`, judged by its footer alone; None if it can.

    Finding a damaged page takes reading the whole file, which this function does not do.
    """
    try:
        found = _schema(table, path)
        # The footer alone may be intact: the beginning of the file may be lost.
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                return "it does not begin as a Parquet file"
    except DamagedFileError as error:
        return error.reason
    except FileNotFoundError:
        return "the file does not exist"
    except OSError as error:
        return f"{error.strerror}"
    # Reads treat a column that an older release lacked as null, but such a column may not be published.
    missing = [column.name for column in table.columns if not column.nullable and column.name not in found]
    return f"it has no {', '.join(missing)}" if missing and table.layer != "raw" else None


def lost(table: Table, frame: pl.DataFrame) -> str | None:
    """Return what casting `frame` to `table` would lose; None if nothing is lost.

    For compaction: the rows of a file may be rewritten only if nothing is lost.
    """
    extra = [name for name in frame.columns if name not in table.schema and frame[name].null_count() < frame.height]
    if extra:
        return f"columns that this release does not know: {', '.join(extra)}"
    for column in frame.iter_columns():
        finer = isinstance(column.dtype, pl.Datetime) and column.dtype.time_unit == "ns"
        if finer and bool((column.to_physical() % 1000 != 0).any()):
            return f"nanoseconds of {column.name}"
    return None


def _needed(table: Table) -> tuple[str, ...]:
    return _RAW_NEEDS if table.layer == "raw" else table.key


def _schema(table: Table, path: Path) -> pl.Schema:
    """Return the schema of a file that can be read as rows of `table`."""
    if not path.is_file():
        # A broken link exists, and is damage. A file that was removed since its listing is not.
        if not path.is_symlink() and not path.exists():
            raise FileNotFoundError(path)
        raise DamagedFileError(path, "a broken link" if not path.exists() else "not a file")
    try:
        found = pl.Schema(pl.read_parquet_schema(path))
    except FileNotFoundError:
        raise
    except FAILURES as error:
        raise DamagedFileError(path, _first_line(error)) from None
    missing = [name for name in _needed(table) if found.get(name, pl.Null()) == pl.Null]
    if missing:
        raise DamagedFileError(path, f"it has no {', '.join(missing)}")
    for name, wanted in table.schema.items():
        if name in found and not _castable(found[name], wanted):
            raise DamagedFileError(path, f"column {name} is {found[name]}, not {wanted}")
    return found


def _castable(found: pl.DataType, wanted: pl.DataType) -> bool:
    """Return whether one type may be cast to another; single values may still not fit."""
    if found in (wanted, pl.Null):
        return True
    if isinstance(wanted, pl.List):
        return isinstance(found, pl.List | pl.Array) and _castable(found.inner, wanted.inner)  # type: ignore[arg-type]
    if wanted == pl.String:
        return found.is_integer() or isinstance(found, pl.Categorical | pl.Enum | pl.Binary)
    if isinstance(wanted, pl.Datetime):
        return isinstance(found, pl.Datetime)
    if wanted == pl.Date:
        return isinstance(found, pl.Datetime)
    return wanted.is_numeric() and found.is_numeric()


def _cast(column: pl.Series, wanted: pl.DataType) -> pl.Series:
    """Cast a column without loss.

    Raises:
        polars.exceptions.PolarsError or ValueError: a value does not fit.
    """
    found = column.dtype
    if found == wanted:
        return column
    if isinstance(found, pl.Datetime):
        zoned = column.dt.replace_time_zone("UTC") if found.time_zone is None else column.dt.convert_time_zone("UTC")
        if isinstance(wanted, pl.Datetime):
            return zoned.dt.cast_time_unit("us")
        days = zoned.dt.date()
        if not bool((days.cast(zoned.dtype) == zoned).all()):
            raise ValueError("times of day where dates are wanted")
        return days
    if wanted.is_integer() and (found.is_float() or found.is_decimal()):
        whole = column.cast(pl.Float64).fill_nan(None)
        if not bool((whole == whole.round()).all()):
            raise ValueError("fractions where whole numbers are wanted")
        return whole.cast(wanted)
    return column.cast(wanted)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
