"""What is published: which tables, and which of the lake's files they are made of.

DuckDB, Parquet, Postgres, exports and the data dictionary all read it from here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import polars as pl

from tiktok_pipeline.lake import Lake
from tiktok_pipeline.tables import TABLES, Column, Table
from tiktok_pipeline.views import VIEWS, View

# Every mart, and every table of observations; playback variants and quarantine stay in the lake.
PUBLISHED: tuple[Table, ...] = tuple(
    table for table in TABLES.values() if table.layer == "marts" or table.name.endswith("_observations")
)


@dataclass(frozen=True)
class Part:
    """One file of a published table: its day (None for a table that is kept whole) and a hash of its bytes.

    A file that turned out to be `damaged` is not published; what was published of its day before may stay.
    """

    table: Table
    day: date | None
    path: Path
    fingerprint: str
    damaged: bool = False


def parts(lake: Lake) -> list[Part]:
    """The files that a publication is made of, as they are now; a file that cannot be opened is passed over.

    Only files at their exact paths count: a copy next to one would be published twice.
    """
    found = []
    for table in PUBLISHED:
        for day, path in _places(lake, table):
            try:
                found.append(Part(table, day, path, _hashed(path)))
            except FileNotFoundError:
                if path.is_symlink():
                    lake.damaged.add(path, "a link to nothing")
            except OSError as error:
                lake.damaged.add(path, f"{error.strerror}")
    return found


def fingerprint(of: Iterable[Part], stands_still: str | None = None) -> str:
    """Hash the published files, the published schema, and the blocked days."""
    digest = hashlib.blake2b(repr((PUBLISHED, VIEWS)).encode(), digest_size=16)
    digest.update(f"{stands_still}\n".encode())
    for part in of:
        digest.update(f"{part.table.name}/{part.day}/{part.path.name}:{part.fingerprint}\n".encode())
    return digest.hexdigest()


def generation(now: datetime, of: str) -> str:
    """The name of a publication: when it was made, and the first digits of its fingerprint."""
    return f"{now:%Y%m%dT%H%M%S}-{of[:8]}"


def find(name: str) -> Table | View | None:
    """The published table or view of this name."""
    return next((table for table in PUBLISHED if table.name == name), None) or VIEWS.get(name)


def time_column(of: Table | View) -> Column | None:
    """The time that a row belongs to: the first date or time that is never null; None where there is none."""
    return next((c for c in of.columns if isinstance(c.dtype, pl.Date | pl.Datetime) and not c.nullable), None)


def _places(lake: Lake, table: Table) -> list[tuple[date | None, Path]]:
    if table.files == "whole":
        return [(None, lake.whole_file(table))]
    return [(day, lake.day_file(table, day)) for day in lake.days(table)]


def _hashed(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
