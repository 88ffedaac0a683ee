"""Remove the rows of erased creators from a frame, and redact their names in all other rows."""

from __future__ import annotations

import re
from dataclasses import dataclass

import polars as pl

from tiktok_pipeline.erased.mentions import MARK, redact_body, redact_text
from tiktok_pipeline.erased.names import LONG_ID, Kind, Names

# Columns that identify the subject of a row.
_ABOUT: dict[str, tuple[Kind, ...]] = {
    "creator_id": ("creator",),
    "subject": ("handle", "id"),
    "handle": ("handle",),
    "ranked_handle": ("handle",),
    "user_id": ("id",),
    "sec_uid": ("id",),
    "ranked_user_id": ("id",),
    "follower_key": ("follower",),
}

# Columns that only contain words or numbers of this pipeline.
_NEVER_TEXT = frozenset(
    ("capture_id", "vendor", "endpoint", "outcome", "run_id", "table", "live_state", "evidence", "followers_precision",
     "language", "region", "source", "media_type", "status", "method", "tier", "niche", "metric", "period", "body")
)  # fmt: skip

_MAY_MENTION = rf"@|%40|\d{{{LONG_ID},}}|[A-Za-z0-9][._0-9]|[._0-9][A-Za-z]|[A-Za-z0-9_\-=]{{24,}}"
_NAMES_A_HANDLE = r"(?i)(?:^|[._\]])(?:handle|unique_?id|preferredUsername|username|display_?id)$"


@dataclass(frozen=True)
class Cleared:
    """A frame without erased creators; the numbers of removed rows and of redacted other rows."""

    frame: pl.DataFrame
    removed: int
    redacted: int


def clear(frame: pl.DataFrame, names: Names) -> Cleared:
    """Remove rows about erased creators and redact every other row that mentions them.

    Args:
        frame: rows of any table of the lake; columns are recognized by their names.
        names: the erased creators.
    """
    if frame.is_empty() or not names:
        return Cleared(frame, 0, 0)
    about = [pl.lit(value=False)]
    for column, kinds in _ABOUT.items():
        if frame.schema.get(column) == pl.String:
            about.append(_is_about_erased(frame, column, kinds, names))
    if frame.schema.get("stream_id") == pl.String:
        ids = frame["stream_id"].drop_nulls().unique()
        about.append(pl.col("stream_id").is_in([v for v in ids if names.matches("creator", v.partition(":")[0])]))
    kept = frame.filter(~pl.any_horizontal(about).fill_null(value=False))
    changes = [change for change in (_redact(kept, column, names) for column in kept.columns) if change is not None]
    bodies = _bodies(kept, names)
    if bodies is not None:
        changes.append(bodies)
    if not changes:
        return Cleared(kept, frame.height - kept.height, 0)
    touched = pl.any_horizontal(change.ne_missing(kept[change.name]).alias(change.name) for change in changes)
    redacted = kept.select(touched.sum()).item()
    result = kept.with_columns(changes)
    if bodies is not None:
        # The whole body is about an erased creator: remove the row, whatever its subject.
        gone = bodies.is_null() & kept["body"].is_not_null()
        result, redacted = result.filter(~gone), redacted - int(gone.sum())
    return Cleared(result, frame.height - result.height, redacted)


def _is_about_erased(frame: pl.DataFrame, column: str, kinds: tuple[Kind, ...], names: Names) -> pl.Expr:
    values = frame[column].drop_nulls().unique()
    found = pl.col(column).is_in([value for value in values if any(names.matches(kind, value) for kind in kinds)])
    if column != "subject":
        return found
    # Without a creator the subject is a keyword or a region. A keyword may be the same word as a handle.
    ids = [value for value in values if len(value) >= LONG_ID and names.matches("id", value)]
    return pl.when(pl.col("creator_id").is_not_null()).then(found).otherwise(pl.col(column).is_in(ids))


def _redact(frame: pl.DataFrame, column: str, names: Names) -> pl.Series | None:
    """Return the redacted column; None if no value mentions an erased creator."""
    series = frame[column]
    if series.dtype == pl.List(pl.String) and column == "previous_handles":
        return _redact_list(series, names)
    if series.dtype != pl.String or column in _NEVER_TEXT or column in _ABOUT:
        return None
    values = series.drop_nulls().unique()
    replaced = {}
    for value in values.filter(values.str.contains(_MAY_MENTION)):
        redacted = redact_text(value, names)
        if redacted != value:
            replaced[value] = redacted
    if column == "display_name":
        replaced |= {value: MARK for value in values if names.matches("name", value)}
    if column == "value" and "field" in frame.columns:
        return _redact_quarantined(frame, replaced, names)
    return series.replace(replaced) if replaced else None


def _redact_quarantined(frame: pl.DataFrame, replaced: dict[str, str], names: Names) -> pl.Series | None:
    """Redact quarantined values: mentions in text, and whole values of handle fields."""
    handles = frame.filter(pl.col("field").str.contains(_NAMES_A_HANDLE))["value"].drop_nulls().unique()
    whole = [value for value in handles if names.matches("handle", value)]
    if not replaced and not whole:
        return None
    is_whole = pl.col("field").str.contains(_NAMES_A_HANDLE) & pl.col("value").is_in(whole)
    text = pl.col("value").replace(replaced)
    return frame.select(value=pl.when(is_whole.fill_null(value=False)).then(pl.lit(MARK)).otherwise(text))["value"]


def _redact_list(series: pl.Series, names: Names) -> pl.Series | None:
    lists = [None if v is None else [n for n in v if not names.matches("handle", n)] for v in series.to_list()]
    changed = pl.Series(series.name, lists, dtype=series.dtype)
    return None if changed.equals(series) else changed


def _bodies(frame: pl.DataFrame, names: Names) -> pl.Series | None:
    """Return the redacted column `body`, null for a body all about an erased creator; None if none mentions one."""
    if frame.schema.get("body") != pl.String:
        return None
    bodies = frame["body"].to_list()
    redacted = [None if body is None else redact_body(body, names) for body in bodies]
    if all(new is old for new, old in zip(redacted, bodies, strict=True)):
        return None
    return pl.Series("body", redacted, dtype=pl.String)


def mentions(text: str, names: Names) -> bool:
    """Return whether a file of another origin contains a name of an erased creator, beyond doubt."""
    return redact_text(text, names) != text


def is_in_a_cell(text: str, names: Names) -> bool:
    """Return whether a cell of CSV, or a value of XML, is a name of an erased creator."""
    for match in re.finditer(r"[^,;\t\r\n\"<>|]+", text):
        value = match[0].strip()
        if names.matches("creator", value) or names.matches("handle", value) or names.matches("id", value):
            return True
        if ":" in value and names.matches("creator", value.partition(":")[0]):
            return True
    return mentions(text, names)
