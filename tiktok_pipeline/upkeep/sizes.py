"""Sizes of tables and damaged files, so that operators can predict when a disk will be full."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tiktok_pipeline.errors import DamagedFileError
from tiktok_pipeline.lake import parquet
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.tables import TABLES, Table


@dataclass(frozen=True)
class Size:
    """Files and bytes."""

    files: int
    bytes: int


@dataclass
class Sizes:
    """The size of every table of a lake, and the problems of its files.

    `damaged`: files that no read uses, with the reason. `stray`: Parquet files in places that no read searches, such as
    a copy of a day's folder. `aside`: files that blocked a write and were moved to `_aside/`.
    """

    tables: dict[str, Size] = field(default_factory=dict)
    damaged: dict[Path, str] = field(default_factory=dict)
    stray: list[Path] = field(default_factory=list)
    aside: list[Path] = field(default_factory=list)

    @property
    def total(self) -> Size:
        """Return the sum of all tables."""
        return Size(sum(s.files for s in self.tables.values()), sum(s.bytes for s in self.tables.values()))


def measure(lake: Lake, *, pages: bool = False) -> Sizes:
    """Measure the lake. Only footers are read, not pages: a flipped bit within a page is not found.

    With `pages`, derived files are read to the last page, and the next `derive` rebuilds damaged ones. Raw files are
    not: they are many times larger, and compaction reads each once.
    """
    sizes = Sizes()
    for table in TABLES.values():
        read = set(_places(lake, table))
        files = total = 0
        for path in sorted(lake.folder(table).rglob("*.parquet")):
            # A folder with such a name may hold stray files.
            if path not in read and not any(parent in read for parent in path.parents):
                sizes.stray.append(path)
                continue
            if path not in read:
                continue
            reason = parquet.problem(table, path)
            if pages and table.layer != "raw":
                reason = reason or _damaged_page(table, path)
                if reason is not None:
                    lake.want_rebuild(path)
            try:
                size = path.lstat().st_size
            except OSError:
                continue  # compacted meanwhile
            if reason is not None:
                sizes.damaged[path] = reason
            files, total = files + 1, total + size
        sizes.tables[table.name] = Size(files, total)
    aside = lake.root / "_aside"
    sizes.aside = sorted(aside.iterdir()) if aside.is_dir() else []
    return sizes


def folder_size(folder: Path) -> int:
    """Return bytes of all files below a folder; links are not followed. 0 if there is no such folder."""
    total = 0
    for path in folder.rglob("*"):
        try:
            if path.is_file() and not path.is_symlink():
                total += path.lstat().st_size
        except OSError:
            continue  # removed meanwhile
    return total


def _damaged_page(table: Table, path: Path) -> str | None:
    try:
        parquet.read(table, path)
    except DamagedFileError as error:
        return error.reason
    except FileNotFoundError:
        return None
    return None


def _places(lake: Lake, table: Table) -> Iterator[Path]:
    """Yield the expected paths of a table's files, whether they exist or not."""
    if table.files == "whole":
        yield lake.whole_file(table)
    elif table.files == "day":
        yield from (lake.day_file(table, day) for day in lake.days(table))
    else:
        for hour in lake.raw_hours(table):
            yield from lake.hour_folder(table, hour).glob("*.parquet")
