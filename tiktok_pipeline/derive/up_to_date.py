"""Skip the derivation of a day if none of its inputs has changed.

    _derived/<asset>/<part>.json     part: YYYY-MM-DD

A record is written after the day's files. It lists the inputs (files with size, time of change and inode; code,
settings, roster, hash key) and the files themselves. A day is up to date if all of them match. A record is only a
reason to skip: without it, the day is derived.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from functools import cache
from pathlib import Path

import msgspec
import polars as pl

from tiktok_pipeline.files import replace_bytes
from tiktok_pipeline.lake import reads
from tiktok_pipeline.lake.blocked_days import is_blocked
from tiktok_pipeline.lake.reads import Reads
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.tables import TABLES, Table

FOLDER = "_derived"

# Increase this when the meaning of a record changes.
_FORMAT = 1


class DayRecord(msgspec.Struct, frozen=True):
    """The inputs of one day of an asset, the time of its derivation, and the metadata to show.

    `damaged` are the files that its reads skipped, with the reason; `numbers` is the metadata of each table. `code` is
    the package's hash, and `cpu_s` the most CPU time that a derivation of the day took, both for `upgrade --check`.
    """

    version: str
    made_at: datetime
    inputs: dict[str, str]
    outputs: dict[str, str]
    damaged: dict[str, str] = {}
    numbers: dict[str, dict[str, float | int]] = {}
    code: str = ""
    cpu_s: float = 0.0


@cache
def package_version() -> str:
    """Return a hash of the package's sources and of Polars' version: another release may derive other rows."""
    package = Path(__file__).parent.parent
    digest = hashlib.blake2b(f"{_FORMAT} {pl.__version__}".encode(), digest_size=12)
    for path in sorted(package.rglob("*.py")):
        digest.update(f"\n{path.relative_to(package)}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def version(*depends_on: object) -> str:
    """Return a hash of the code and of all inputs of a day other than files of the lake."""
    digest = hashlib.blake2b(package_version().encode(), digest_size=12)
    for each in depends_on:
        digest.update(b"\n" + (each if isinstance(each, bytes) else repr(each).encode()))
    return digest.hexdigest()


def up_to_date(lake: Lake, asset: str, day: date, version: str) -> DayRecord | None:
    """Return the record of an unchanged day; None for a day that must be derived.

    Files that the day's reads skipped are added to `Lake.damaged` again.
    """
    record = _read(_path(lake, asset, day))
    if record is None or record.version != version:
        return None
    try:
        same = all(lake.signature(path) == signature for path, signature in (record.outputs | record.inputs).items())
    except ValueError:
        return None
    made = [lake.root / path for path in record.outputs]
    if not same or any(lake.wants_rebuild(path) or is_blocked(lake, TABLES[path.stem], f"{day}") for path in made):
        return None
    for path, reason in record.damaged.items():
        lake.damaged.add(lake.root / path, reason)
    return record


def keep_record(
    lake: Lake,
    asset: str,
    day: date,
    *,
    version: str,
    now: datetime,
    of: Reads,
    tables: Iterable[Table],
    numbers: Mapping[str, Mapping[str, object]],
    cpu_s: float = 0.0,
) -> None:
    """Record a day of an asset whose files of `tables` were written from the reads `of`.

    A failed write only costs time in the next run.
    """
    inputs = of.all()
    files = [lake.day_file(table, day) for table in tables]
    outputs = {f"{file.relative_to(lake.root)}": reads.of_file(file) for file in files}
    damaged = {f"{path.relative_to(lake.root)}": reason for path, reason in lake.damaged.all().items()}
    read = {path: reason for path, reason in damaged.items() if path in inputs or f"{Path(path).parent}" in inputs}
    plain = {
        table: {name: value for name, value in found.items() if isinstance(value, float | int)}
        for table, found in numbers.items()
    }
    record = DayRecord(version, now, inputs, outputs, read, plain, package_version(), cpu_s)
    with contextlib.suppress(OSError):
        replace_bytes(_path(lake, asset, day), msgspec.json.encode(record))


def drop_record(lake: Lake, asset: str, day: date) -> float:
    """Remove the record of a day, so that the next run derives it; return its `cpu_s`."""
    path = _path(lake, asset, day)
    record = _read(path)
    path.unlink(missing_ok=True)
    return 0.0 if record is None else record.cpu_s


def records(lake: Lake, asset: str) -> dict[date, DayRecord]:
    """Return the readable records of an asset, by day."""
    found: dict[date, DayRecord] = {}
    for path in sorted((lake.root / FOLDER / asset).glob("*.json")):
        with contextlib.suppress(ValueError):
            day, record = date.fromisoformat(path.stem), _read(path)
            if record is not None:
                found[day] = record
    return found


def _read(path: Path) -> DayRecord | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=DayRecord)
    except (OSError, msgspec.MsgspecError):
        return None


def _path(lake: Lake, asset: str, day: date) -> Path:
    return lake.root / FOLDER / asset / f"{day:%Y-%m-%d}.json"
