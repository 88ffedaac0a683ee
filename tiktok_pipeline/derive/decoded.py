"""Decode each raw row once: cache the decoded rows of each hour, and decode only new raw files.

    _decoded/<raw table>/date=YYYY-MM-DD/hour=HH.bin

The cache can be rebuilt from raw: a missing or damaged cache file, or one of another release, is written again. A cache
file lists the raw files that it covers. Compaction does not invalidate it: a compacted file lists the landed files that
it contains. `forget` removes the whole folder.

A landed file is a raw file as one flush of a window wrote it, before compaction.
"""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path

import msgspec
import polars as pl

from tiktok_pipeline.derive.up_to_date import version
from tiktok_pipeline.erased.names import NO_NAMES, Names
from tiktok_pipeline.erased.rows import clear
from tiktok_pipeline.errors import DamagedFileError
from tiktok_pipeline.files import replace_bytes
from tiktok_pipeline.lake import reads
from tiktok_pipeline.lake.store import Lake, landed_names
from tiktok_pipeline.tables import QUARANTINE, TABLES, Table
from tiktok_pipeline.transforms.identity import requests_of
from tiktok_pipeline.transforms.observations import NORMALIZED, read_bodies
from tiktok_pipeline.transforms.payload_shapes import sample
from tiktok_pipeline.transforms.raw_rows import usable
from tiktok_pipeline.transforms.soundness import correct_ages

FOLDER = "_decoded"

# Besides one frame a normalized table: the requests of the hour (`identity.REQUEST_COLUMNS`), and a sample of raw rows.
REQUESTS = "requests"
SAMPLE = "sample"

# Days in the cache: the last days are derived repeatedly, each with the day before it.
CACHED_DAYS = 6


class _CachedHour(msgspec.Struct, frozen=True):
    """The cache file of an hour.

    version: of the code and the settings that decoded the rows; another one invalidates the file.
    files: raw file name -> signature.
    names: the landed files in these raw files.
    frames: frame name -> Arrow IPC; frames without rows are left out.
    """

    version: str
    files: dict[str, str]
    names: list[str]
    frames: dict[str, bytes]


@dataclass(frozen=True)
class DecodedHours:
    """Decoded raw hours: the frames of `read_bodies`, and the frames `requests` and `sample`.

    hash_key: key of the one-way hash of followers' ids.
    shape_bodies: largest number of rows of a vendor and endpoint in `sample`.
    version, erased_version: of the decoding code and of the list of erased creators, at the time of the call of `of`.
    keep: False neither reads nor writes the cache; every row is decoded.
    """

    lake: Lake
    hash_key: bytes
    shape_bodies: int
    version: str
    erased_version: str
    keep: bool = True

    @classmethod
    def of(cls, lake: Lake, hash_key: bytes, shape_bodies: int, *, keep: bool = True) -> DecodedHours:
        """Create the reader of a lake, with the present versions."""
        erased_version = "" if lake.erased is None else lake.erased.version()
        return cls(lake, hash_key, shape_bodies, version(hash_key, shape_bodies), erased_version, keep)

    def read(
        self, table: Table, hours: Sequence[datetime], names: Sequence[str] | None = None
    ) -> dict[str, pl.DataFrame]:
        """Return the frames of several hours, concatenated, by frame name; each capture occurs once.

        names: the frames to return; by default one for each normalized table, `requests` and `sample`. Hours without
            raw files add no rows.
        """
        found = [frames for hour in hours if (frames := self._read_hour(table, hour, names))]
        if not found:
            found = [_select(_empty_frames(table.name), names)]
        return {name: pl.concat([frames[name] for frames in found]) for name in found[0]}

    def _read_hour(self, table: Table, hour: datetime, names: Sequence[str] | None) -> dict[str, pl.DataFrame] | None:
        """Return the frames of one hour, from the cache as far as it is valid; None if the hour has no raw file."""
        files, signature = self.lake.hour_state(table, hour)
        if not files:
            return None
        state = {file.name: reads.of_file(file) for file in files}
        cached = self._read_cache(table, hour) if self.keep else None
        if cached is not None and cached.files == state:
            return self._cached_frames(table, cached, names)
        if (
            cached is not None
            and (added := self._with_new_files(table, hour, cached, files, state, signature)) is not None
        ):
            return _select(added, names)
        raw = self.lake.scan_raw(table, [hour]).collect()
        frames = self._decode(table, raw)
        self._write_cache(table, hour, state, signature, frames)
        return _select(frames, names)

    def _with_new_files(
        self,
        table: Table,
        hour: datetime,
        cached: _CachedHour,
        files: Sequence[Path],
        state: Mapping[str, str],
        signature: str,
    ) -> dict[str, pl.DataFrame] | None:
        """Decode new files, add their rows to the cached frames, and write the cache.

        Returns:
            All frames of the hour; None if the whole hour must be decoded: a file changed or cannot be read, rows were
            removed, or a new file repeats cached rows.
        """
        if any(state[name] != before for name, before in cached.files.items() if name in state):
            return None
        cached_names, present, new = set(cached.names), set[str](), []
        try:
            for file in files:
                landed = set(landed_names(file))
                present |= landed
                if not landed & cached_names:
                    new.append(file)
                elif landed - cached_names:
                    return None
        except (DamagedFileError, FileNotFoundError):
            return None
        # A file was removed, and no other file contains its rows.
        if cached_names - present:
            return None
        frames = self._cached_frames(table, cached, None)
        if new:
            try:
                raw = self.lake.read_landed(table, new)
            except FileNotFoundError:
                return None
            if not frames[REQUESTS].join(raw, on="capture_id", how="semi").is_empty():
                return None
            decoded = self._decode(table, raw)
            frames = {name: _sorted(pl.concat([frames[name], decoded[name]])) for name in frames}
            frames[SAMPLE] = sample(frames[SAMPLE], self.shape_bodies)
        self._write_cache(table, hour, state, signature, frames)
        return frames

    def _decode(self, table: Table, rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
        """Return the frames of raw rows, each sorted by capture_id."""
        raw, implausible_ages = correct_ages(usable(rows.lazy()).collect(), table.name)
        frames = read_bodies(raw, table.name, hash_key=self.hash_key)
        frames[QUARANTINE.name] = pl.concat([frames[QUARANTINE.name], implausible_ages])
        frames[REQUESTS] = requests_of(raw, table)
        frames[SAMPLE] = sample(raw, self.shape_bodies)
        # Sorted, so that the result does not depend on the layout and order of files.
        return {name: _sorted(frame) for name, frame in frames.items()}

    def _cached_frames(self, table: Table, cached: _CachedHour, names: Sequence[str] | None) -> dict[str, pl.DataFrame]:
        """Return the frames of a cache file, with an empty frame for each that the file leaves out."""
        wanted = _select(_empty_frames(table.name), names)
        return {
            name: pl.read_ipc(cached.frames[name]) if name in cached.frames else empty for name, empty in wanted.items()
        }

    def _read_cache(self, table: Table, hour: datetime) -> _CachedHour | None:
        """Return the cache file of an hour; None if it is missing, damaged or of another version."""
        try:
            cached = msgspec.msgpack.decode(self._path(table, hour).read_bytes(), type=_CachedHour)
            if cached.version == self.version:
                return cached
        except (OSError, msgspec.MsgspecError):
            pass
        return None

    def _write_cache(
        self, table: Table, hour: datetime, state: Mapping[str, str], signature: str, frames: Mapping[str, pl.DataFrame]
    ) -> None:
        """Write the cache file of an hour, unless a raw file changed while it was read, or is damaged."""
        folder = self.lake.hour_folder(table, hour)
        if not self.keep or any(path.parent == folder for path in self.lake.damaged.all()):
            return
        try:
            names = sorted({name for file in state for name in landed_names(folder / file)})
        except (DamagedFileError, FileNotFoundError):
            return
        if self.lake.hour_signature(table, hour) != signature:
            return
        # A failed write, for example on a full disk, only costs time in the next run.
        with self._erased_names() as erased, contextlib.suppress(OSError):
            if erased is None:
                return
            packed = {name: _to_arrow(clear(frame, erased).frame) for name, frame in frames.items() if frame.height}
            cached = _CachedHour(self.version, dict(state), names, packed)
            replace_bytes(self._path(table, hour), msgspec.msgpack.encode(cached))

    @contextlib.contextmanager
    def _erased_names(self) -> Iterator[Names | None]:
        """Lock the list of erased creators and yield it; None if it changed since `of` was called."""
        if self.lake.erased is None:
            yield NO_NAMES
            return
        with self.lake.erased.held() as now:
            yield self.lake.erased.names() if now == self.erased_version else None

    def _path(self, table: Table, hour: datetime) -> Path:
        return self.lake.root / FOLDER / table.name / f"date={hour:%Y-%m-%d}" / f"hour={hour:%H}.bin"


def prune(lake: Lake, newest: date) -> None:
    """Remove cache files of days before the newest `CACHED_DAYS`."""
    first = f"date={newest - timedelta(days=CACHED_DAYS - 1)}"
    for folder in (lake.root / FOLDER).glob("*/date=*"):
        if folder.name < first:
            shutil.rmtree(folder, ignore_errors=True)


@cache
def _empty_frames(table: str) -> dict[str, pl.DataFrame]:
    """Return all frames of a raw table, without rows."""
    none = TABLES[table].empty()
    frames = {normalized.name: normalized.empty() for normalized in NORMALIZED}
    return frames | {REQUESTS: requests_of(none, TABLES[table]), SAMPLE: sample(none, 1)}


def _sorted(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.sort("capture_id", maintain_order=True)


def _select(frames: Mapping[str, pl.DataFrame], names: Sequence[str] | None) -> dict[str, pl.DataFrame]:
    return {name: frame for name, frame in frames.items() if names is None or name in names}


def _to_arrow(frame: pl.DataFrame) -> bytes:
    packed = io.BytesIO()
    frame.write_ipc(packed, compression="zstd")
    return packed.getvalue()
