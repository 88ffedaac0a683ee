"""Record which files of the lake a computation reads, so that it is skipped while none of them changes.

`Lake` records every file and folder that it reads: its path within the lake, and a signature of its state. The
signature of a file is its size, time of change and inode. A missing file or folder has a signature too: a computation
that found no file must run again when there is one.
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
# The signature of a path that changed while it was read: no later state equals it.
_CHANGING = "?"


class Reads:
    """Paths that were read, with their signatures. Thread-safe: Polars reads in its own threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[str, str] = {}

    def add(self, path: str, signature: str) -> None:
        """Add a path; if it had another signature before, mark it as changing."""
        with self._lock:
            before = self._seen.setdefault(path, signature)
            if before != signature:
                self._seen[path] = _CHANGING

    def all(self) -> dict[str, str]:
        """Return all recorded paths with their signatures."""
        with self._lock:
            return dict(self._seen)


_recorders: ContextVar[tuple[Reads, ...]] = ContextVar("recorders", default=())


def recorders() -> tuple[Reads, ...]:
    """Return the records of this context. Call it before a read that runs in another thread."""
    return _recorders.get()


@contextmanager
def recording() -> Iterator[Reads]:
    """Record the reads within the block; enclosing blocks record them too."""
    reads = Reads()
    token = _recorders.set((*_recorders.get(), reads))
    try:
        yield reads
    finally:
        _recorders.reset(token)


class Once(Generic[T]):
    """A value that several computations share: computed at the first call; every call records its reads."""

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
    """Return the signature of a file."""
    try:
        stat = path.stat()
    except OSError:
        return ABSENT
    return f"{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ino}"


def of_files(paths: Iterable[Path]) -> str:
    """Return the signature of the files in a folder; without files, that of a missing folder."""
    return of_names(f"{path.name}={of_file(path)}" for path in sorted(paths))


def of_names(names: Iterable[str]) -> str:
    """Return the signature of a list of names."""
    text = "\n".join(names)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest() if text else ABSENT
