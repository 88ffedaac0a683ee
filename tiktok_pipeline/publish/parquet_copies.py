"""Keep one Parquet file a table beside the snapshot, and write again only the days that changed.

A file is a sequence of chunks: one per day, or per month where a past month has few rows. Each chunk is whole row
groups. Chunks that did not change are copied byte by byte from the file that is served (`row_groups.join`); the others
are written by DuckDB from the snapshot. `Copy` records which chunks a file holds and where.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from pathlib import Path

import duckdb
import msgspec

from tiktok_pipeline.errors import PublishError
from tiktok_pipeline.files import sync
from tiktok_pipeline.publish import row_groups
from tiktok_pipeline.publish.catalog import PUBLISHED
from tiktok_pipeline.publish.row_groups import Piece, Place
from tiktok_pipeline.publish.snapshot import Held, attached, of_days
from tiktok_pipeline.publish.sql import quoted_text
from tiktok_pipeline.tables import Table

# Days older than this are usually not derived again: their months are closed.
_OPEN_DAYS = 7

# A closed month of at most this many rows is one chunk: row groups of a few rows are slow to read.
_MONTH_ROWS = 1_000_000


class Chunk(msgspec.Struct, frozen=True):
    """A run of row groups of a file: a hash of its source files, and its position."""

    name: str
    fingerprint: str
    place: Place


class Copy(msgspec.Struct, frozen=True):
    """A Parquet file as it was written: size, time and chunks."""

    size: int
    mtime_ns: int
    chunks: list[Chunk]


@dataclass(frozen=True)
class _Wanted:
    """An expected chunk of a file: the days from `first` to `last`; None: all rows of the table."""

    name: str
    fingerprint: str
    first: date | None
    last: date | None
    rows: int


def stage(
    connection: duckdb.DuckDBPyConnection,
    snapshot: Path,
    staging: Path,
    held: Sequence[Held],
    folder: Path,
    before: Mapping[str, Copy],
) -> dict[str, Copy]:
    """Write the files of changed tables to `staging`; return the content of every table's file.

    Args:
        connection: an in-memory connection that the snapshot is attached to.
        snapshot: the file to read rows from.
        staging: an empty folder.
        held: the content of the snapshot.
        folder: the files that are served.
        before: their content, as recorded. A file that was changed since is written anew.

    Raises:
        PublishError: a file does not have the expected rows.
        duckdb.Error or OSError: a file cannot be read or written.
    """
    copies = {}
    with attached(connection, snapshot, "(READ_ONLY)"):
        for table in PUBLISHED:
            expected = _chunks(table, [each for each in held if each.table == table.name])
            served = folder / f"{table.name}.parquet"
            old = before.get(table.name)
            if old is not None and not is_intact(served, old):
                old = None
            if old is not None and [(c.name, c.fingerprint) for c in old.chunks] == [
                (chunk.name, chunk.fingerprint) for chunk in expected
            ]:
                copies[table.name] = old
                continue
            staged = staging / served.name
            try:
                chunks = _write(connection, table, expected, staged, served, old)
            except row_groups.JoinError:
                chunks = _write(connection, table, expected, staged, served, None)
            found = staged.stat()
            copies[table.name] = Copy(found.st_size, found.st_mtime_ns, chunks)
    return copies


def is_intact(file: Path, copy: Copy) -> bool:
    """Return whether a file is unchanged since it was written, by its size and time."""
    try:
        found = file.stat()
    except OSError:
        return False
    return (found.st_size, found.st_mtime_ns) == (copy.size, copy.mtime_ns)


def _chunks(table: Table, held: Sequence[Held]) -> list[_Wanted]:
    """Divide the files of a table into chunks, in the order of their days."""
    filled = sorted((each for each in held if each.rows), key=lambda each: each.day or date.min)
    if not filled:
        return []
    if table.files == "whole" or not all(each.inside for each in filled):
        return [_wanted("all", filled, days=False)]
    newest = filled[-1].day or date.min
    closed = (newest - timedelta(days=_OPEN_DAYS)).replace(day=1)
    chunks = []
    for month, days in groupby(filled, key=lambda each: f"{each.day:%Y-%m}"):
        group = list(days)
        if f"{closed:%Y-%m}" > month and sum(each.rows for each in group) <= _MONTH_ROWS:
            chunks.append(_wanted(month, group))
        else:
            chunks += [_wanted(f"{each.day}", [each]) for each in group]
    return chunks


def _wanted(name: str, group: Sequence[Held], *, days: bool = True) -> _Wanted:
    digest = hashlib.blake2b(digest_size=16)
    for each in group:
        digest.update(f"{each.day}:{each.fingerprint}:{each.rows}\n".encode())
    first, last = (group[0].day, group[-1].day) if days else (None, None)
    return _Wanted(name, digest.hexdigest(), first, last, sum(each.rows for each in group))


def _write(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    expected: Sequence[_Wanted],
    staged: Path,
    served: Path,
    old: Copy | None,
) -> list[Chunk]:
    """Write one file: unchanged chunks of the served file, and new ones."""
    stay = {chunk.name: chunk for chunk in old.chunks} if old else {}
    pieces, parts = [], []
    for chunk in expected:
        served_chunk = stay.get(chunk.name)
        if served_chunk is not None and served_chunk.fingerprint == chunk.fingerprint:
            pieces.append(Piece(served, served_chunk.place))
            continue
        part = staged.with_name(f"{staged.name}.{chunk.name}")
        _encode(connection, table, chunk, part)
        parts.append(part)
        piece = row_groups.whole(part)
        pieces.append(piece)
        if piece.place.rows != chunk.rows:
            raise PublishError(f"{table.name} {chunk.name} holds {piece.place.rows} rows in Parquet, not {chunk.rows}")
    if len(parts) == 1 == len(pieces):
        parts[0].replace(staged)
        placed = [pieces[0].place]
    elif not expected:
        _encode(connection, table, None, staged)
        placed = []
    else:
        placed = row_groups.join(pieces, parts[0] if parts else served, staged)
        for part in parts:
            part.unlink()
    sync(staged)
    return [Chunk(chunk.name, chunk.fingerprint, place) for chunk, place in zip(expected, placed, strict=True)]


def _encode(connection: duckdb.DuckDBPyConnection, table: Table, chunk: _Wanted | None, path: Path) -> None:
    rows = table.name
    if chunk is not None and chunk.first is not None and chunk.last is not None:
        rows = f"(SELECT * FROM {table.name} WHERE {of_days(table, chunk.first, chunk.last)})"
    connection.execute(f"COPY {rows} TO {quoted_text(str(path))} (FORMAT parquet, COMPRESSION zstd)").fetchall()
