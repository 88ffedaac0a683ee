"""Record which files of the lake a computation read, so that it can be skipped while none of them has changed.

`Lake` notes every file and folder that it reads: its path within the lake, and a signature of its state. A file has the
same signature as long as its size, time of change and inode are the same. A file or folder that is not there has one
too: a computation that found nothing must run again when there is something.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")

ABSENT = "-"
# Of a path that changed while it was read: no later state may count as the one that was read.
_CHANGING = "?"


class Reads:
    """Paths that were read, each with its signature. Thread-safe: Polars reads in threads of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[str, str] = {}

    def add(self, path: str, signature: str) -> None:
        """Note a path; one that had another signature before is noted as changing."""
        with self._lock:
            before = self._seen.setdefault(path, signature)
            if before != signature:
                self._seen[path] = _CHANGING

    def all(self) -> dict[str, str]:
        """All noted paths with their signatures."""
        with self._lock:
            return dict(self._seen)


_recorders: ContextVar[tuple[Reads, ...]] = ContextVar("recorders", default=())


def recorders() -> tuple[Reads, ...]:
    """The records that reads of this context go to. A read that happens in another thread must ask before."""
    return _recorders.get()


@contextmanager
def recording() -> Iterator[Reads]:
    """Record the reads within the block; a block around it records them too."""
    reads = Reads()
    token = _recorders.set((*_recorders.get(), reads))
    try:
        yield reads
    finally:
        _recorders.reset(token)


class Once(Generic[T]):
    """A value that several computations share: made at the first call, its reads noted at every call."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: tuple[T, dict[str, str]] | None = None

    def __call__(self) -> T:
        """Return the value."""
        if self._made is None:
            with recording() as reads:
                value = self._make()
            self._made = value, reads.all()
            return value
        value, seen = self._made
        for recorder in recorders():
            for path, signature in seen.items():
                recorder.add(path, signature)
        return value


def of_file(path: Path) -> str:
    """The signature of a file."""
    try:
        stat = path.stat()
    except OSError:
        return ABSENT
    return f"{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ino}"


def of_files(paths: Iterable[Path]) -> str:
    """The signature of the files in a folder; of none, that of a folder that is not there."""
    return of_names(f"{path.name}={of_file(path)}" for path in sorted(paths))


def of_names(names: Iterable[str]) -> str:
    """The signature of a list of names."""
    text = "\n".join(names)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest() if text else ABSENT
