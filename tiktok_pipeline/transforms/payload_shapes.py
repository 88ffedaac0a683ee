"""The fields of the bodies of a day: a bounded sample of every endpoint, walked once.

A path names a field: `data.user.stats.followers`; `[]` stands for any element of an array. Keys that are ids, and
all keys of an object with very many, are `*`: such an object is a map, and its keys are data. No value is stored,
only its pattern.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zlib import crc32

import polars as pl

from tiktok_pipeline.providers.parsing import Unreadable, parse
from tiktok_pipeline.providers.vendor import Outcome
from tiktok_pipeline.tables import PAYLOAD_SHAPES

# Elements of an array are alike: a few are enough.
_ELEMENTS = 3
_DEEPEST = 16
_MOST_KEYS = 200
_LONGEST_KEY = 40
_LONGEST_EXAMPLE = 40

# Five digits in a row, or sixteen characters of a hash: an id, not a field name.
_IS_DATA = re.compile(r"\d{5}|^[0-9a-fA-F-]{16,}$|^\d+$|[@\s]")
# A bool is an int too: it comes first.
_KINDS = ((dict, "object"), (list, "array"), (str, "string"), (bool, "boolean"), ((int, float), "number"))

_LETTER, _DIGIT = re.compile(r"[^\W\d_]"), re.compile(r"\d")


def payload_shapes(raw: pl.DataFrame, *, bodies: int) -> pl.DataFrame:
    """Return the shapes in one raw table's rows of a day.

    Args:
        raw: capture_id, vendor, endpoint, observed_at, outcome and body are used; any order.
        bodies: the most bodies of each vendor and endpoint to read (see `sample`).

    Returns:
        PAYLOAD_SHAPES schema. Only bodies of outcome `ok` count: errors have shapes of their own.
    """
    endpoints: dict[tuple[str, str], _Endpoint] = {}
    # A loop: a body is a tree, and there are few of them.
    for capture_id, vendor, endpoint, observed_at, body in sample(raw, bodies).drop("outcome").iter_rows():
        try:
            tree = parse(body.encode())
        except Unreadable:
            continue  # quarantined when it was read
        endpoints.setdefault((vendor, endpoint), _Endpoint()).add(tree, capture_id, observed_at)
    rows = [
        (
            None,
            vendor,
            seen.observed_at,
            seen.capture_id,
            endpoint,
            path,
            kind,
            seen.bodies,
            shape.sampled,
            seen.example,
        )
        for (vendor, endpoint), shape in endpoints.items()
        for (path, kind), seen in shape.fields.items()
    ]
    return pl.DataFrame(rows, schema=PAYLOAD_SHAPES.schema, orient="row")


def sample(raw: pl.DataFrame, bodies: int) -> pl.DataFrame:
    """Return at most `bodies` rows of each vendor and endpoint: those with the smallest checksums of the capture id.

    These rows are spread over the day, and do not depend on the layout of files. A sample of samples is the sample of
    all their rows.

    Args:
        raw: as for `payload_shapes`.
        bodies: rows of each vendor and endpoint.

    Returns:
        The columns that `payload_shapes` uses, sorted by capture_id.
    """
    rows = raw.filter(pl.col("body").is_not_null(), pl.col("outcome") == Outcome.OK.value).select(
        "capture_id", "vendor", "endpoint", "observed_at", "outcome", "body"
    )
    checksums = [crc32(capture_id.encode()) for capture_id in rows["capture_id"]]
    number = pl.int_range(pl.len()).over("vendor", "endpoint")
    return (
        rows.with_columns(checksum=pl.Series(checksums, dtype=pl.UInt32))
        .sort("checksum", "capture_id")
        .filter(number < bodies)
        .drop("checksum")
        .sort("capture_id")
    )


@dataclass
class _Field:
    observed_at: datetime
    capture_id: str
    example: str | None
    bodies: int = 0


@dataclass
class _Endpoint:
    sampled: int = 0
    fields: dict[tuple[str, str], _Field] = field(default_factory=dict)

    def add(self, tree: Any, capture_id: str, observed_at: datetime) -> None:
        self.sampled += 1
        for key, value in dict(_fields(tree, "", 0)).items():
            seen = self.fields.get(key)
            if seen is None:
                seen = self.fields[key] = _Field(observed_at, capture_id, _looks_like(value))
            seen.bodies += 1
            seen.observed_at = min(seen.observed_at, observed_at)


def _fields(value: Any, path: str, depth: int) -> Iterator[tuple[tuple[str, str], Any]]:
    """Yield ((path, type), value) of every field below `value`."""
    if depth > _DEEPEST:
        return
    if isinstance(value, dict):
        many = len(value) > _MOST_KEYS
        for key, below in value.items():
            name = "*" if many or len(key) > _LONGEST_KEY or _IS_DATA.search(key) else key
            where = f"{path}.{name}" if path else name
            yield (where, _kind(below)), below
            yield from _fields(below, where, depth + 1)
    elif isinstance(value, list):
        for below in value[:_ELEMENTS]:
            yield (f"{path}[]", _kind(below)), below
            yield from _fields(below, f"{path}[]", depth + 1)


def _kind(value: Any) -> str:
    for kind, name in _KINDS:
        if isinstance(value, kind):
            return name
    return "null"


def _looks_like(value: Any) -> str | None:
    """Return the pattern of a value without its content: letters are a, digits 0."""
    if isinstance(value, dict | list) or value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    return _DIGIT.sub("0", _LETTER.sub("a", str(value)[:_LONGEST_EXAMPLE]))
