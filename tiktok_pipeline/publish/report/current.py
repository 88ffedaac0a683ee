"""Check whether the report on disk shows the served snapshot, without reading data or loading charts."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import duckdb

# The tag in the head of page.html; see `head`.
_META = re.compile(r'<meta name="report" content="([^" ]+) ([0-9a-f]+) (\d+) (\d+)">')
_HEAD_BYTES = 8192
_END = b"</html>"


@dataclass(frozen=True)
class Report:
    """The page on disk: bytes, creators on air, streams with a card; a picture of the lifts as PNG, if any.

    `written`: this run wrote it.
    """

    path: Path
    size: int
    live: int
    streams: int
    picture: bytes | None = None
    written: bool = False


def current_report(snapshot: Path, path: Path) -> Report | None:
    """Return the report at `path` if it shows this snapshot and was made by this release; None: write it again."""
    try:
        with path.open("rb") as file:
            found = _META.search(file.read(_HEAD_BYTES).decode("utf-8", "replace"))
            size = file.seek(0, 2)
            file.seek(max(size - 64, 0))
            whole = file.read().rstrip().endswith(_END)
        if found is None or not whole:
            return None
        with duckdb.connect(str(snapshot), read_only=True) as connection:
            served = connection.execute("SELECT generation FROM publication").fetchone()
    except (OSError, duckdb.Error):
        return None
    if served is None or (found[1], found[2]) != (served[0], release()):
        return None
    return Report(path, size, int(found[3]), int(found[4]))


@cache
def release() -> str:
    """Hash the code and the templates of the report."""
    digest = hashlib.blake2b(digest_size=8)
    for file in sorted(Path(__file__).parent.rglob("*")):
        if file.suffix in (".py", ".html", ".css", ".js"):
            digest.update(file.read_bytes())
    return digest.hexdigest()
