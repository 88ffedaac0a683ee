"""Find every name of a creator: in the roster, the lake, and published data that may outlive the lake's rows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl

from tiktok_pipeline import tables
from tiktok_pipeline.config.roster import Creator
from tiktok_pipeline.config.settings import Places
from tiktok_pipeline.errors import RosterError
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.publish import postgres

# Names of creators from one source; null where the source lacks a column.
_COLUMNS = ("creator_id", "handle", "user_id", "sec_uid", "display_name")
_SCHEMA = pl.Schema([*((name, pl.String()) for name in _COLUMNS), ("previous_handles", pl.List(pl.String))])
_SOURCES = (tables.CREATORS, tables.PROFILE_OBSERVATIONS)


@dataclass(frozen=True)
class Person:
    """All names of one creator. `others` holds handles that another creator has today: they are not searched for."""

    creator_id: str
    handles: frozenset[str]
    ids: frozenset[str]
    display_names: frozenset[str]
    others: frozenset[str] = frozenset()

    @property
    def terms(self) -> list[str]:
        """Texts that every mention of the creator contains, lower-case."""
        return sorted({value.lower() for value in (self.creator_id, *self.handles, *self.ids, *self.display_names)})


def identify(
    typed: str, lake: Lake, places: Places, listed: Sequence[Creator], postgres_url: str | None, as_creator: str | None
) -> Person | None:
    """Find the creator with this handle, present or past.

    Args:
        typed: a handle in any spelling, or a creator_id.
        lake: where raw, normalized tables and marts are read.
        places: where the warehouse is.
        listed: the roster.
        postgres_url: the Postgres that is published to, if any.
        as_creator: which creator_id is meant, where several creators had the handle.

    Returns:
        The creator; None if no creator with that handle is known.

    Raises:
        RosterError: several creators had the handle, and `as_creator` names none of them.
    """
    name = plain(typed)
    known = pl.concat(
        [_of_roster(listed), *_in_lake(lake), *_in_warehouse(places.warehouse), *_in_postgres(postgres_url)]
    ).unique()
    marts = known.filter(pl.col("previous_handles").is_not_null())
    has_it = (pl.col("creator_id") == name) | (pl.col("handle").str.to_lowercase() == name)
    found = set(marts.filter(has_it | pl.col("previous_handles").list.contains(name))["creator_id"])
    if not found and _in_raw(lake, name):
        found = {name}
    if not found:
        found = set(known.filter(has_it, pl.col("creator_id").is_not_null())["creator_id"])
    creator_id = _choose(name, found, as_creator)
    if creator_id is None:
        return _seen_only(name, lake)
    return _person(name, creator_id, known, marts)


def plain(typed: str) -> str:
    """Return a handle as it is compared: without @, lower-case."""
    return typed.strip().lstrip("@").lower()


def _choose(name: str, found: set[str], as_creator: str | None) -> str | None:
    if as_creator is not None:
        chosen = plain(as_creator)
        if chosen not in found:
            raise RosterError(
                f"{chosen} never had the handle @{name}; creators that had it: {', '.join(sorted(found)) or 'none'}"
            )
        return chosen
    if len(found) > 1:
        listed = " or ".join(f"--creator {creator_id}" for creator_id in sorted(found))
        raise RosterError(
            f"@{name} was the handle of {len(found)} creators; nothing was removed: choose one with {listed}"
        )
    return next(iter(found), None)


def _person(name: str, creator_id: str, known: pl.DataFrame, marts: pl.DataFrame) -> Person:
    own = known.filter(pl.col("creator_id") == creator_id)
    others = known.filter(pl.col("creator_id") != creator_id)
    # Handles that another creator has now, and names that several people have, are not this creator's alone.
    taken = {*others["creator_id"], *marts.filter(pl.col("creator_id") != creator_id)["handle"].str.to_lowercase()}
    taken -= {None}
    handles = {creator_id, name, *own["handle"].drop_nulls().str.to_lowercase()}
    handles |= {handle.lower() for handle in own["previous_handles"].drop_nulls().explode().drop_nulls()}
    ids = {*own["user_id"].drop_nulls(), *own["sec_uid"].drop_nulls()}
    ids -= {*others["user_id"].drop_nulls(), *others["sec_uid"].drop_nulls()} - _vouched(own, creator_id)
    names = {*own["display_name"].drop_nulls()} - {*others["display_name"].drop_nulls()}
    return Person(creator_id, frozenset(handles - taken), frozenset(ids), frozenset(names), frozenset(handles & taken))


def _vouched(own: pl.DataFrame, creator_id: str) -> set[str]:
    """Return the ids in the roster and the mart `creators`: they are the creator's, even if a body disagrees."""
    confirmed = own.filter(pl.col("previous_handles").is_not_null(), pl.col("creator_id") == creator_id)
    return {*confirmed["user_id"].drop_nulls(), *confirmed["sec_uid"].drop_nulls()}


def _seen_only(name: str, lake: Lake) -> Person | None:
    """Return an account that was never polled, but is in search hits or rankings."""
    seen = [read.select("handle", "user_id") for read in _files(lake, tables.SEARCH_HITS)]
    for path in lake.folder(tables.LIVE_RANKING_ENTRIES).rglob("*.parquet"):
        with contextlib.suppress(OSError, pl.exceptions.PolarsError):
            read = pl.read_parquet(path, hive_partitioning=False)
            seen.append(read.select(handle="ranked_handle", user_id="ranked_user_id"))
    if not seen:
        return None
    found = pl.concat(seen).filter(pl.col("handle").str.to_lowercase() == name)
    if found.is_empty():
        return None
    return Person(name, frozenset({name}), frozenset(found["user_id"].drop_nulls()), frozenset())


def _in_raw(lake: Lake, name: str) -> bool:
    raw = tables.RAW_TABLES
    return any(
        not read.filter(pl.col("creator_id") == name).is_empty() for table in raw for read in _files(lake, table)
    )


def _files(lake: Lake, table: tables.Table) -> Iterator[pl.DataFrame]:
    """Yield the names of creators in each file of a table. Unreadable files are skipped here and reported later."""
    for path in sorted(lake.folder(table).rglob("*.parquet")):
        try:
            columns = _name_columns(pl.read_parquet_schema(path))
            yield pl.read_parquet(path, columns=columns, hive_partitioning=False).unique()
        except (OSError, pl.exceptions.PolarsError):
            continue


def _of_roster(listed: Iterable[Creator]) -> pl.DataFrame:
    rows = [(c.creator_id, c.handle, c.user_id or None, c.sec_uid or None, None, list[str]()) for c in listed]
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")


def _in_lake(lake: Lake) -> Iterator[pl.DataFrame]:
    for table in _SOURCES:
        for read in _files(lake, table):
            yield _shaped(read)


def _in_warehouse(warehouse: Path) -> Iterator[pl.DataFrame]:
    """Yield names in every snapshot and Parquet file that is served, or was left by a killed publish."""
    for path in sorted({*warehouse.glob("*.duckdb"), *warehouse.glob("building-*")}):
        try:
            with duckdb.connect(str(path.resolve()), read_only=True) as connection:
                for table in _SOURCES:
                    columns = ", ".join(_name_columns(table.schema.names()))
                    yield _shaped(connection.sql(f"SELECT DISTINCT {columns} FROM {table.name}").pl())
        except (duckdb.Error, OSError):
            continue  # unfinished: it is removed below
    for folder in (warehouse / "parquet", warehouse / "_staging"):
        for table in _SOURCES:
            file = folder / f"{table.name}.parquet"
            try:
                read = pl.read_parquet(file, hive_partitioning=False)
            except (OSError, pl.exceptions.PolarsError):
                continue
            yield _shaped(read.select(_name_columns(read.columns)).unique())


def _in_postgres(url: str | None) -> Iterator[pl.DataFrame]:
    if url is not None:
        for table in _SOURCES:
            yield _shaped(postgres.distinct(url, table.name, _name_columns(table.schema.names())))


def _name_columns(columns: Iterable[str]) -> list[str]:
    return [column for column in columns if column in _SCHEMA]


def _shaped(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the columns of `_SCHEMA`: lists are published as comma-separated text."""
    if frame.schema.get("previous_handles") == pl.String:
        frame = frame.with_columns(pl.col("previous_handles").str.split(","))
    lacking = [pl.lit(None, dtype).alias(name) for name, dtype in _SCHEMA.items() if name not in frame.columns]
    shaped = frame.with_columns(lacking).select(_SCHEMA.names()).cast(_SCHEMA)
    # The mart has all handles of a creator; a row of observations has one.
    if "previous_handles" not in frame.columns:
        return shaped
    return shaped.with_columns(pl.col("previous_handles").fill_null([]))
