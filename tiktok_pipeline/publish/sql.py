"""Quote names and texts for SQL, for DuckDB and Postgres alike."""

from __future__ import annotations


def quoted_name(name: str) -> str:
    """Return a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def quoted_text(text: str) -> str:
    """Return a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"
