"""Days of tables that a blocking check keeps from being replaced: which, since when, and why.

    _blocked/<table>/<part>.json     part: YYYY-MM-DD, or `whole` for a table that is kept whole

A file stands in the lake, outside every table, for as long as the day is blocked: publishing, the report and the
command line read it there. The day's own file is not touched.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import datetime

import msgspec

from tiktok_pipeline.errors import LakeError
from tiktok_pipeline.lake import Lake
from tiktok_pipeline.tables import Table

WHOLE = "whole"
_FOLDER = "_blocked"


class BlockedDay(msgspec.Struct, frozen=True, order=True):
    """One day of one table that keeps its last good file: the first time that it was blocked, and the reason."""

    table: str
    part: str
    since: datetime
    reason: str

    def __str__(self) -> str:
        """Say it on one line, without the reason."""
        return f"{self.table} {self.part} (since {self.since:%Y-%m-%d %H:%M} UTC)"


def block(lake: Lake, table: Table, part: str, *, now: datetime, reason: str) -> BlockedDay:
    """Note that a part of a table was not replaced; the first time is kept.

    Raises:
        LakeError: the note cannot be written.
    """
    before = next((each for each in blocked_days(lake) if (each.table, each.part) == (table.name, part)), None)
    found = BlockedDay(table.name, part, before.since if before else now, reason)
    path = lake.root / _FOLDER / table.name / f"{part}.json"
    staged = path.with_suffix(".next")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        staged.write_bytes(msgspec.json.encode(found))
        os.replace(staged, path)
    except OSError as error:
        raise LakeError(f"{path} cannot be written: {error.strerror}") from None
    return found


def release(lake: Lake, table: Table, part: str) -> None:
    """Remove the note of a part that was replaced."""
    (lake.root / _FOLDER / table.name / f"{part}.json").unlink(missing_ok=True)


def blocked_days(lake: Lake) -> list[BlockedDay]:
    """List what is blocked, by table and day; a note that cannot be read is left out: the next run writes it again."""
    found = []
    for path in (lake.root / _FOLDER).glob("*/*.json"):
        try:
            found.append(msgspec.json.decode(path.read_bytes(), type=BlockedDay))
        except (OSError, msgspec.DecodeError):
            continue
    return sorted(found)


def on_one_line(blocked: Iterable[BlockedDay], *, most: int = 10) -> str | None:
    """What is blocked, on one line; None where nothing is."""
    listed = [str(each) for each in sorted(blocked)]
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more if listed else None
