"""Keep the list of erased creators: keyed hashes in a file of the lake, so that copies of the lake include it.

    lake/_erased.json            {"key_check": hash, "creators": [{"begun", "done", "hashes"}, ...]}
    lake/_staging/.erased.lock   shared by every write of a table, exclusive while the list changes

Every write of a table reads the list and places its file while it holds the shared lock. So once `add` returns, no
process can write rows of an erased creator that it still has in memory.

Names cannot be read from the list without the deployment's hash key. With another key no name would match: `key_check`
detects this, and every reader raises an error.
"""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import msgspec
import polars as pl

from tiktok_pipeline.erased.names import NO_NAMES, Names, hashed
from tiktok_pipeline.erased.rows import clear
from tiktok_pipeline.errors import LakeError, SettingsError
from tiktok_pipeline.files import replace_bytes

FILE = "_erased.json"


class Entry(msgspec.Struct, frozen=True):
    """One erased creator: hashes of all names, start of `forget`, and its end (null: it was interrupted)."""

    begun: datetime
    hashes: list[str]
    done: datetime | None = None


class _File(msgspec.Struct, frozen=True):
    key_check: str
    creators: list[Entry] = []


@dataclass(frozen=True)
class ErasedCreators:
    """The list in the lake at `root`.

    `key` returns the deployment's hash key; it is called only if there is a list to read or to write.
    """

    root: Path
    key: Callable[[], bytes]
    _cache: dict[tuple[int, int, int], Names] = field(default_factory=dict, compare=False, repr=False)
    _guard: threading.Lock = field(default_factory=threading.Lock, compare=False, repr=False)

    @property
    def path(self) -> Path:
        """The file of the list."""
        return self.root / FILE

    def names(self) -> Names:
        """Read the names of all erased creators from the list.

        Raises:
            LakeError: the list cannot be read.
            SettingsError: the list was written with another hash key.
        """
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            return NO_NAMES
        except OSError as error:
            raise LakeError(f"{self.path} cannot be read: {error.strerror}") from None
        version = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        with self._guard:
            known = self._cache.get(version)
            if known is None:
                known = self.names_of(self.entries())
                self._cache.clear()
                self._cache[version] = known
            return known

    def names_of(self, entries: Iterable[Entry]) -> Names:
        """Return the names in these entries."""
        return Names(self.key(), (value for entry in entries for value in entry.hashes))

    def entries(self) -> list[Entry]:
        """Return the entries, oldest first.

        Raises:
            LakeError: the list cannot be read.
            SettingsError: the list was written with another hash key.
        """
        try:
            read = msgspec.json.decode(self.path.read_bytes(), type=_File)
        except FileNotFoundError:
            return []
        except (OSError, msgspec.MsgspecError) as error:
            raise LakeError(f"{self.path} cannot be read ({error}): restore it from a backup") from None
        if read.key_check != self._key_check():
            raise SettingsError(
                f"{self.path} was written with another hash key: restore the old key (hash.key in the home, or "
                "TIKTOK_PIPELINE_HASH_KEY), or remove the file and run `forget` again for each erased creator"
            )
        return read.creators

    def find(self, handle: str) -> Entry | None:
        """Return the entry of the creator with this creator_id, handle or id; None if there is none."""
        for entry in self.entries():
            names = self.names_of([entry])
            if names.any_of(handle, handle, handle):
                return entry
        return None

    def add(self, hashes: Iterable[str], now: datetime) -> Entry:
        """Add a creator, or more names to an entry that shares one; return when all later writes apply the list."""
        wanted = set(hashes)
        with self.locked():
            entries = self.entries()
            same = [entry for entry in entries if wanted & set(entry.hashes)]
            for entry in same:
                wanted.update(entry.hashes)
            begun = min((entry.begun for entry in same), default=now)
            added = Entry(begun, sorted(wanted))
            self._write([*(entry for entry in entries if entry not in same), added])
        return added

    def finish(self, entry: Entry, now: datetime) -> None:
        """Record that the erasure is complete."""
        with self.locked():
            done = Entry(entry.begun, entry.hashes, now)
            self._write([done if each.hashes == entry.hashes else each for each in self.entries()])

    def remove(self, entry: Entry) -> None:
        """Remove a creator from the list, so that the creator may be polled again."""
        with self.locked():
            self._write([each for each in self.entries() if each != entry])

    @contextmanager
    def filtered(self, frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Yield `frame` without erased creators; the list does not change within the block."""
        with self._lock(fcntl.LOCK_SH):
            names = self.names()
            yield clear(frame, names).frame if names else frame

    def version(self) -> str:
        """Return a text that changes with the list."""
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise LakeError(f"{self.path} cannot be read: {error.strerror}") from None
        return f"{stat.st_ino}:{stat.st_mtime_ns}:{stat.st_size}"

    @contextmanager
    def held(self) -> Iterator[str]:
        """Yield the list's version; the list does not change within the block."""
        with self._lock(fcntl.LOCK_SH):
            yield self.version()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock out writes of tables: wait for running ones, and block new ones."""
        with self._lock(fcntl.LOCK_EX):
            yield

    @contextmanager
    def _lock(self, kind: int) -> Iterator[None]:
        folder = self.root / "_staging"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = (folder / ".erased.lock").open("w")
        except OSError as error:
            raise LakeError(f"the lake {self.root} cannot be written: {error.strerror}") from None
        with lock:
            fcntl.flock(lock, kind)
            yield

    def _key_check(self) -> str:
        return hashed(self.key(), "name", "tiktok_pipeline")

    def _write(self, entries: list[Entry]) -> None:
        content = msgspec.json.format(msgspec.json.encode(_File(self._key_check(), entries)))
        try:
            replace_bytes(self.path, content, durable=True)
        except OSError as error:
            raise LakeError(f"{self.path} cannot be written: {error.strerror}") from None
