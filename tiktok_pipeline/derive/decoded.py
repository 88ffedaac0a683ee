"""Decode each raw row once: cache the readings of an hour, and decode only new files.

    _decoded/<raw table>/date=YYYY-MM-DD/hour=HH.bin

The cache is not a source: a missing or damaged file, or one of another release, is made again from raw. It lists the
raw files that it covers. A compaction only changes their names: a compacted file lists the landed files that it
contains. `forget` removes the whole folder.
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

# Names of the two frames beside those of the normalized tables.
REQUESTS = "requests"
SAMPLE = "sample"

# Days in the cache: the last days are derived repeatedly, each with the day before it.
KEPT_DAYS = 6


class _Kept(msgspec.Struct, frozen=True):
    """The cache file of an hour: raw files with signatures, the landed files in them, and frames as Arrow IPC."""

    version: str
    files: dict[str, str]
    names: list[str]
    frames: dict[str, bytes]


@dataclass(frozen=True)
class DecodedHours:
    """Readings of raw hours, as `read_bodies` returns them, with `requests` and a `sample` of bodies.

    With `keep` off, the cache is neither read nor written: every row is decoded.
    """

    lake: Lake
    hash_key: bytes
    shape_bodies: int
    version: str
    erased_version: str
    keep: bool = True

    @classmethod
    def of(cls, lake: Lake, hash_key: bytes, shape_bodies: int, *, keep: bool = True) -> DecodedHours:
        """Return the hours of a lake."""
        erased_version = "" if lake.erased is None else lake.erased.version()
        return cls(lake, hash_key, shape_bodies, version(hash_key, shape_bodies), erased_version, keep)

    def read(
        self, table: Table, hours: Sequence[datetime], names: Sequence[str] | None = None
    ) -> dict[str, pl.DataFrame]:
        """Return the frames of several hours together, by name, each capture once; `names`: only these frames."""
        found = [frames for hour in hours if (frames := self._hour(table, hour, names))]
        if not found:
            found = [_only(_empty(table.name), names)]
        return {name: pl.concat([frames[name] for frames in found]) for name in found[0]}

    def _hour(self, table: Table, hour: datetime, names: Sequence[str] | None) -> dict[str, pl.DataFrame] | None:
        """Return the frames of one hour; None if there is no file."""
        files, signature = self.lake.hour_state(table, hour)
        if not files:
            return None
        state = {file.name: reads.of_file(file) for file in files}
        kept = self._load(table, hour) if self.keep else None
        if kept is not None and kept.files == state:
            return self._frames(table, kept, names)
        if kept is not None and (added := self._added(table, hour, kept, files, state, signature)) is not None:
            return _only(added, names)
        raw = self.lake.scan_raw(table, [hour]).collect()
        frames = self._decoded(table, raw)
        self._keep(table, hour, state, signature, frames)
        return _only(frames, names)

    def _added(
        self, table: Table, hour: datetime, kept: _Kept, files: Sequence[Path], state: Mapping[str, str], signature: str
    ) -> dict[str, pl.DataFrame] | None:
        """Add the rows of new files to the cached frames; None if the hour must be decoded as a whole."""
        if any(state[name] != before for name, before in kept.files.items() if name in state):
            return None
        known, present, new = set(kept.names), set[str](), []
        try:
            for file in files:
                holds = set(landed_names(file))
                present |= holds
                if not holds & known:
                    new.append(file)
                elif holds - known:
                    return None
        except (DamagedFileError, FileNotFoundError):
            return None
        # A file was removed, and no other file contains its rows.
        if known - present:
            return None
        frames = self._frames(table, kept, None)
        if new:
            try:
                raw = self.lake.read_landed(table, new)
            except FileNotFoundError:
                return None
            if not frames[REQUESTS].join(raw, on="capture_id", how="semi").is_empty():
                return None
            decoded = self._decoded(table, raw)
            frames = {name: _in_order(pl.concat([frames[name], decoded[name]])) for name in frames}
            frames[SAMPLE] = sample(frames[SAMPLE], self.shape_bodies)
        self._keep(table, hour, state, signature, frames)
        return frames

    def _decoded(self, table: Table, rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
        raw, implausible_ages = correct_ages(usable(rows.lazy()).collect(), table.name)
        frames = read_bodies(raw, table.name, hash_key=self.hash_key)
        frames[QUARANTINE.name] = pl.concat([frames[QUARANTINE.name], implausible_ages])
        frames[REQUESTS] = requests_of(raw, table)
        frames[SAMPLE] = sample(raw, self.shape_bodies)
        # Sorted, so that the result does not depend on the layout and order of files.
        return {name: _in_order(frame) for name, frame in frames.items()}

    def _frames(self, table: Table, kept: _Kept, names: Sequence[str] | None) -> dict[str, pl.DataFrame]:
        wanted = _only(_empty(table.name), names)
        return {
            name: pl.read_ipc(kept.frames[name]) if name in kept.frames else empty for name, empty in wanted.items()
        }

    def _load(self, table: Table, hour: datetime) -> _Kept | None:
        try:
            kept = msgspec.msgpack.decode(self._path(table, hour).read_bytes(), type=_Kept)
            if kept.version == self.version:
                return kept
        except (OSError, msgspec.MsgspecError):
            pass
        return None

    def _keep(
        self, table: Table, hour: datetime, state: Mapping[str, str], signature: str, frames: Mapping[str, pl.DataFrame]
    ) -> None:
        """Cache the frames of an hour, unless its files changed while they were read, or one is damaged."""
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
        with self._erased() as erased, contextlib.suppress(OSError):
            if erased is None:
                return
            packed = {name: _packed(clear(frame, erased).frame) for name, frame in frames.items() if frame.height}
            kept = _Kept(self.version, dict(state), names, packed)
            replace_bytes(self._path(table, hour), msgspec.msgpack.encode(kept))

    @contextlib.contextmanager
    def _erased(self) -> Iterator[Names | None]:
        """Yield the erased creators' names, fixed within the block; None if the list changed since the reads."""
        if self.lake.erased is None:
            yield NO_NAMES
            return
        with self.lake.erased.held() as now:
            yield self.lake.erased.names() if now == self.erased_version else None

    def _path(self, table: Table, hour: datetime) -> Path:
        return self.lake.root / FOLDER / table.name / f"date={hour:%Y-%m-%d}" / f"hour={hour:%H}.bin"


def prune(lake: Lake, newest: date) -> None:
    """Remove cached days that no regular run reads any more."""
    first = f"date={newest - timedelta(days=KEPT_DAYS - 1)}"
    for folder in (lake.root / FOLDER).glob("*/date=*"):
        if folder.name < first:
            shutil.rmtree(folder, ignore_errors=True)


@cache
def _empty(table: str) -> dict[str, pl.DataFrame]:
    """Return the frames of a raw table, without rows."""
    none = TABLES[table].empty()
    frames = {normalized.name: normalized.empty() for normalized in NORMALIZED}
    return frames | {REQUESTS: requests_of(none, TABLES[table]), SAMPLE: sample(none, 1)}


def _in_order(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.sort("capture_id", maintain_order=True)


def _only(frames: Mapping[str, pl.DataFrame], names: Sequence[str] | None) -> dict[str, pl.DataFrame]:
    return {name: frame for name, frame in frames.items() if names is None or name in names}


def _packed(frame: pl.DataFrame) -> bytes:
    packed = io.BytesIO()
    frame.write_ipc(packed, compression="zstd")
    return packed.getvalue()
