"""How much lies where, and whether it can be read: numbers that tell an operator when a disk will be full."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tiktok_pipeline.lake import Lake
from tiktok_pipeline.tables import TABLES

# What a Parquet file begins and ends with; with less than this between, there is none.
_MAGIC = b"PAR1"
_SMALLEST = 12


@dataclass(frozen=True)
class Size:
    """Files and bytes."""

    files: int
    bytes: int


@dataclass
class Sizes:
    """The size of every table of a lake, and the files that are cut off or are no Parquet."""

    tables: dict[str, Size] = field(default_factory=dict)
    unreadable: list[Path] = field(default_factory=list)

    @property
    def total(self) -> Size:
        """All tables together."""
        return Size(sum(s.files for s in self.tables.values()), sum(s.bytes for s in self.tables.values()))


def measure(lake: Lake) -> Sizes:
    """Walk the lake. A file is looked at from both ends, not read: a flipped bit within is not found."""
    sizes = Sizes()
    for table in TABLES.values():
        files = total = 0
        for path in _files(lake.folder(table)):
            try:
                with path.open("rb") as file:
                    length = os.fstat(file.fileno()).st_size
                    if length < _SMALLEST or file.read(4) != _MAGIC or _end(file.fileno(), length) != _MAGIC:
                        sizes.unreadable.append(path)
            except FileNotFoundError:
                continue  # folded meanwhile
            files, total = files + 1, total + length
        sizes.tables[table.name] = Size(files, total)
    return sizes


def folder_size(folder: Path) -> int:
    """Bytes of all files below a folder; links are not followed. 0 where there is no such folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*.parquet") if path.is_file())


def _end(descriptor: int, length: int) -> bytes:
    return os.pread(descriptor, 4, length - 4)
