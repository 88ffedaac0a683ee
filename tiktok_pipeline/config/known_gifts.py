"""Read the operator's list of streams with known gifts: a CSV file with `stream_id` and `diamonds`.

`[gifts] known_streams` in settings.toml names the file. Its numbers come from creators' own statistics, because no
vendor reports gifts. Errors name the line.
"""

from __future__ import annotations

import csv
from pathlib import Path

import polars as pl

from tiktok_pipeline.errors import SettingsError
from tiktok_pipeline.files import replacing

COLUMNS = ("stream_id", "diamonds")
_SCHEMA = {"stream_id": pl.String, "diamonds": pl.Float64}


def read_known_gifts(path: Path | None) -> pl.DataFrame:
    """Read stream_id and diamonds, one row a stream; return an empty frame without a path.

    Raises:
        SettingsError: the file cannot be read, or a line is invalid or repeats a stream.
    """
    if path is None:
        return pl.DataFrame(schema=_SCHEMA)
    rows: dict[str, float] = {}
    for number, row in _lines(path):
        stream_id, typed = (row.get(column) or "" for column in COLUMNS)
        try:
            diamonds = float(typed)
        except ValueError:
            diamonds = -1.0
        if ":" not in stream_id or not 0 <= diamonds < float("inf"):
            raise SettingsError(
                f"{path.name}, line {number}: {stream_id!r}, {typed!r} is not a stream_id with its diamonds, 0 or more"
            )
        if stream_id in rows:
            raise SettingsError(f"{path.name}, line {number}: {stream_id} is listed twice")
        rows[stream_id] = diamonds
    return pl.DataFrame({"stream_id": list(rows), "diamonds": list(rows.values())}, schema=_SCHEMA)


def forget_known_gifts(path: Path | None, creator_id: str) -> int:
    """Remove a creator's streams from the file; return the number of removed lines.

    Raises:
        SettingsError: the file cannot be read.
    """
    if path is None:
        return 0
    lines = [row for _, row in _lines(path)]
    columns = list(lines[0]) if lines else list(COLUMNS)
    kept = [row for row in lines if (row.get("stream_id") or "").split(":", 1)[0] != creator_id]
    if len(kept) < len(lines):
        with replacing(path) as staged, staged.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(kept)
    return len(lines) - len(kept)


def _lines(path: Path) -> list[tuple[int, dict[str, str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if not set(COLUMNS) <= set(reader.fieldnames or ()):
                raise SettingsError(f"{path.name}, line 1: the columns must be {', '.join(COLUMNS)}")
            lines = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"[gifts] known_streams: {path} cannot be read: {error}") from None
    for number, row in lines:
        if None in row:
            raise SettingsError(f"{path.name}, line {number}: more cells than the header has")
    return lines
