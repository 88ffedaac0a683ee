"""Record the days of tables that a blocking check refused: table, day, first time and reason.

    _blocked/<table>/<part>.json     part: YYYY-MM-DD, or `whole` for a table that is kept whole

A file stands in the lake, outside every table, for as long as the day is blocked: publishing, the report and the
command line read it there. The day's own file is not touched.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec

from tiktok_pipeline.errors import LakeError
from tiktok_pipeline.files import replace_bytes
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.tables import Table

WHOLE = "whole"
_FOLDER = "_blocked"


class BlockedDay(msgspec.Struct, frozen=True, order=True):
    """One blocked day of one table: the first time that it was blocked, and the reason."""

    table: str
    part: str
    since: datetime
    reason: str

    def __str__(self) -> str:
        """Return table, day and time on one line, without the reason."""
        return f"{self.table} {self.part} (since {self.since:%Y-%m-%d %H:%M} UTC)"


def block(lake: Lake, table: Table, part: str, *, now: datetime, reason: str) -> BlockedDay:
    """Record that a part of a table was not replaced; keep the time of the first record.

    Raises:
        LakeError: the record cannot be written.
    """
    before = next((each for each in blocked_days(lake) if (each.table, each.part) == (table.name, part)), None)
    found = BlockedDay(table.name, part, before.since if before else now, reason)
    path = lake.root / _FOLDER / table.name / f"{part}.json"
    try:
        replace_bytes(path, msgspec.json.encode(found))
    except OSError as error:
        raise LakeError(f"{path} cannot be written: {error.strerror}") from None
    return found


def release(lake: Lake, table: Table, part: str) -> None:
    """Remove the record of a part that was replaced."""
    (lake.root / _FOLDER / table.name / f"{part}.json").unlink(missing_ok=True)


def is_blocked(lake: Lake, table: Table, part: str) -> bool:
    """Return whether a part is recorded as blocked."""
    return (lake.root / _FOLDER / table.name / f"{part}.json").exists()


def blocked_days(lake: Lake) -> list[BlockedDay]:
    """List blocked days by table and day, without unreadable records: the next run writes those again."""
    found = []
    for path in (lake.root / _FOLDER).glob("*/*.json"):
        try:
            found.append(msgspec.json.decode(path.read_bytes(), type=BlockedDay))
        except (OSError, msgspec.DecodeError):
            continue
    return sorted(found)


def on_one_line(blocked: Iterable[BlockedDay], *, most: int = 10) -> str | None:
    """Return the blocked days on one line; None if there are none."""
    listed = [str(each) for each in sorted(blocked)]
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more if listed else None
