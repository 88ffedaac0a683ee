"""A content-addressed cache in the lake: results are stored under a hash of all their inputs.

    lake/_remembered/<what>/<key>.parquet

The same key means the same inputs, so a cached result equals a new computation. The folder lies outside every table:
deleting it costs time and changes nothing. `forget` deletes it. Writes leave out erased creators, like the writes of
every table. Each kind of result is bounded: the least recently used files are deleted first. An unreadable file counts
as missing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import numpy as np
import polars as pl

from tiktok_pipeline.lake.reads import of_file
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.tables import Table

T = TypeVar("T")

FOLDER = "_remembered"

_FAILURES = (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException)


def digest(*parts: str | bytes) -> str:
    """Return a hash of the parts, in order; the same text split differently gives another hash."""
    hashed = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        hashed.update(len(data).to_bytes(8, "little"))
        hashed.update(data)
    return hashed.hexdigest()


@cache
def modules_version(*modules: ModuleType) -> str:
    """Return a hash of the source of modules, and of the versions of their numeric libraries.

    Include it in every key, so that results of different releases are never mixed.
    """
    sources = [Path(module.__file__ or "").read_bytes() for module in modules]
    return digest(np.__version__, pl.__version__, *sources)


def identity(path: Path) -> str | None:
    """Return an identifier of a file's version; None if there is no file.

    Files of the lake are replaced and never modified, so a new version has another inode and time.
    """
    return of_file(path) if path.exists() else None


def day_identities(lake: Lake, table: Table, days: Iterable[date]) -> dict[date, str]:
    """Return the identity of the file of each day; days without a file are left out."""
    found = ((day, identity(lake.day_file(table, day))) for day in days)
    return {day: name for day, name in found if name is not None}


def chained_keys(first: str, files: Mapping[date, str]) -> list[str]:
    """Return a key for each number of days: the n-th depends on `first` and the first n files, by day.

    So a cached result over a history is valid up to the first day whose file has changed.
    """
    keys = [first]
    for day, version in sorted(files.items()):
        keys.append(digest(keys[-1], f"{day}", version))
    return keys


def longest(keys: Sequence[str], get: Callable[[str], T | None]) -> tuple[T | None, int]:
    """Return the result for the longest prefix of days that `get` still has, and that number of days."""
    for number in range(len(keys) - 1, 0, -1):
        if (found := get(keys[number])) is not None:
            return found, number
    return None, 0


@dataclass(frozen=True)
class Remembered:
    """Cached results of one kind, at most `most` of them."""

    lake: Lake
    what: str
    most: int

    def _path(self, key: str) -> Path:
        return self.lake.root / FOLDER / self.what / f"{key}.parquet"

    def get(self, key: str) -> pl.DataFrame | None:
        """Return the result under `key`; None if there is none."""
        path = self._path(key)
        try:
            frame = pl.read_parquet(path, hive_partitioning=False, glob=False)
            os.utime(path)
        except _FAILURES:
            return None
        return frame

    def put(self, key: str, frame: pl.DataFrame) -> None:
        """Store `frame`, without erased creators. A failed write only costs time at the next computation."""
        with contextlib.suppress(*_FAILURES):
            if self.lake.erased is None:
                self._write(key, frame)
            else:
                with self.lake.erased.filtered(frame) as allowed:
                    # A result that lost rows would be wrong under this key: do not store it.
                    if allowed.height == frame.height:
                        self._write(key, allowed)
            self._prune()

    def _write(self, key: str, frame: pl.DataFrame) -> None:
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        staged = self.lake.staging() / f"{uuid.uuid4().hex}.part"
        try:
            frame.write_parquet(staged, compression="zstd", compression_level=1)
            staged.replace(path)
        finally:
            staged.unlink(missing_ok=True)

    def _prune(self) -> None:
        files = sorted(self._path("").parent.glob("*.parquet"), key=lambda path: path.stat().st_mtime_ns)
        for path in files[: max(len(files) - self.most, 0)]:
            path.unlink(missing_ok=True)
