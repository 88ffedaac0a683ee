"""List what is published: the tables, and the files of the lake that they are made of.

DuckDB, Parquet, Postgres, exports and the data dictionary all read it from here.

A file is hashed once. `Fingerprints` keeps each hash with the file's stat (size, times, inode), and a file whose stat
is the same is not read again. A file that was rewritten with the same bytes gets the same hash: it causes no publish.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path

import msgspec
import polars as pl

from tiktok_pipeline.files import replace_bytes
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.publish.views import VIEWS, View
from tiktok_pipeline.tables import TABLES, Column, Table

# Every mart and every table of observations; playback variants and quarantine stay in the lake.
PUBLISHED: tuple[Table, ...] = tuple(
    table for table in TABLES.values() if table.layer == "marts" or table.name.endswith("_observations")
)


# Size, modification time, change time (both ns) and inode of a file: a write changes at least one of them.
Stat = tuple[int, int, int, int]

# Where the hashes of the lake's files are kept, in the folder that is served from.
FINGERPRINTS = ".fingerprints.json"


@dataclass(frozen=True)
class Part:
    """One file of a published table: its day (None for a table that is kept whole) and a hash of its bytes.

    `stat` is the file's stat from before it was hashed. A file that turned out to be `damaged` is not published.
    """

    table: Table
    day: date | None
    path: Path
    fingerprint: str
    damaged: bool = False
    stat: Stat | None = field(default=None, compare=False)


class Fingerprints:
    """Hashes of files by path, with the stat that each file had; kept in the file `path`.

    It is a cache: if the file is missing or damaged, all files are hashed again.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._known: dict[str, tuple[Stat, str]] = {}
        self._used: dict[str, tuple[Stat, str]] = {}
        # Files that were hashed because their stat was new.
        self.hashed = 0
        if path is not None:
            with contextlib.suppress(OSError, msgspec.MsgspecError):
                self._known = msgspec.json.decode(path.read_bytes(), type=dict[str, tuple[Stat, str]])

    def of(self, path: Path) -> tuple[Stat, str]:
        """Return stat and hash of a file.

        Raises:
            OSError: it cannot be read.
        """
        name = str(path)
        # Taken before the hash: a write in between leaves a stat that the file no longer has.
        stat = stat_of(path)
        known = self._known.get(name)
        if known is None or known[0] != stat:
            self.hashed += 1
            known = stat, hashed(path)
        self._used[name] = known
        return known

    def save(self) -> None:
        """Keep the hashes of the files that were requested since this object was made, and only those."""
        if self._path is None or self._used == self._known:
            return
        # Without the cache the next publish is slower, but its result is the same.
        with contextlib.suppress(OSError):
            replace_bytes(self._path, msgspec.json.encode(self._used))
        self._known = dict(self._used)


def stat_of(path: Path) -> Stat:
    """Return the stat of a file, which differs after a rewrite.

    Raises:
        OSError: there is no such file, or its folder cannot be read.
    """
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def parts(
    lake: Lake,
    *,
    now: datetime | None = None,
    observation_days: int | None = None,
    fingerprints: Fingerprints | None = None,
) -> list[Part]:
    """List the files that a publication is made of, as they are now; a file that cannot be opened is skipped.

    Only files at their exact paths count: a copy next to one would be published twice.

    Args:
        lake: where marts and observations are read.
        now: the time of the publication: a later day of observations does not count as the newest.
        observation_days: days of observations to publish, back from the newest; None: all. Marts are always whole.
        fingerprints: hashes of files that did not change.
    """
    fingerprints = fingerprints or Fingerprints()
    places = {table: _places(lake, table) for table in PUBLISHED}
    first = _first_day(places, now, observation_days)
    found = []
    for table, files in places.items():
        for day, path in files:
            if first is not None and day is not None and table.layer != "marts" and day < first:
                continue
            try:
                stat, digest = fingerprints.of(path)
                found.append(Part(table, day, path, digest, stat=stat))
            except FileNotFoundError:
                if path.is_symlink():
                    lake.damaged.add(path, "a link to nothing")
            except OSError as error:
                lake.damaged.add(path, f"{error.strerror}")
    fingerprints.save()
    return found


def _first_day(
    places: dict[Table, list[tuple[date | None, Path]]], now: datetime | None, observation_days: int | None
) -> date | None:
    """Return the first day of observations to publish; None for all."""
    days = [day for table, files in places.items() if table.layer != "marts" for day, _ in files if day is not None]
    if observation_days is None or not days:
        return None
    # A day in the future, from a wrong clock, must not replace the real days.
    newest = max(days) if now is None else min(max(days), now.date())
    return newest - timedelta(days=observation_days - 1)


def fingerprint(of: Iterable[Part], stands_still: str | None = None, observation_days: int | None = None) -> str:
    """Hash the published files, the published schema, the blocked days, and the days of observations."""
    digest = hashlib.blake2b(repr((PUBLISHED, VIEWS)).encode(), digest_size=16)
    digest.update(f"{stands_still}\n{observation_days}\n".encode())
    for part in of:
        digest.update(f"{part.table.name}/{part.day}/{part.path.name}:{part.fingerprint}\n".encode())
    return digest.hexdigest()


def generation(now: datetime, of: str) -> str:
    """Return the name of a publication: its time, and the first digits of its fingerprint."""
    return f"{now:%Y%m%dT%H%M%S}-{of[:8]}"


def find(name: str) -> Table | View | None:
    """Return the published table or view of this name; None if there is none."""
    return next((table for table in PUBLISHED if table.name == name), None) or VIEWS.get(name)


def time_column(of: Table | View) -> Column | None:
    """Return the column with the time of a row: the first date or time that is never null; None without one."""
    return next((c for c in of.columns if isinstance(c.dtype, pl.Date | pl.Datetime) and not c.nullable), None)


def _places(lake: Lake, table: Table) -> list[tuple[date | None, Path]]:
    if table.files == "whole":
        return [(None, lake.whole_file(table))]
    return [(day, lake.day_file(table, day)) for day in lake.days(table)]


def hashed(path: Path) -> str:
    """Hash the bytes of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
