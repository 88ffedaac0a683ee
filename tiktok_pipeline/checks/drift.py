"""Detect changes in vendors' bodies: new fields, changed types, and missing fields.

The baseline is the shapes of the previous days, so that no other state is needed. A new endpoint raises no warning
during its first days. A field is reported by its topmost part: if a whole object is new, its fields are not listed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import polars as pl

from tiktok_pipeline.checks.check_result import MOST_EXAMPLES, CheckResult
from tiktok_pipeline.config.settings import Checks


@dataclass(frozen=True)
class Change:
    """A field of an endpoint that is new, of another type, or missing."""

    vendor: str
    endpoint: str
    path: str
    change: str

    def __str__(self) -> str:
        return f"{self.vendor} {self.endpoint}: {self.path} {self.change}"


def drift(today: pl.DataFrame, before: pl.DataFrame, *, settings: Checks) -> CheckResult:
    """Compare the shapes of a day with those of the days before.

    Args:
        today: PAYLOAD_SHAPES schema, one day.
        before: the same of earlier days, with a column `day`.
        settings: thresholds.
    """
    known = _known_fields(before, settings)
    new = list(_new(today, known))
    missing = list(_missing(today, before, settings))
    numbers = {
        "endpoints": float(today.select(pl.struct("vendor", "endpoint").n_unique()).item() if today.height else 0),
        "fields": float(today.height),
        "new_fields": float(len(new)),
        "vanished_fields": float(len(missing)),
    }
    changes = [*new, *missing]
    if not changes:
        learning = today.join(known, on=["vendor", "endpoint"], how="anti").select("vendor", "endpoint").unique().height
        message = f"no field is new or missing; {learning} endpoints have no baseline yet" if learning else (
            "no field is new or missing")  # fmt: skip
        return CheckResult(passed=True, message=message, numbers=numbers)
    more = f" and {len(changes) - MOST_EXAMPLES} more" if len(changes) > MOST_EXAMPLES else ""
    return CheckResult(
        passed=False,
        message=f"{len(new)} fields are new, {len(missing)} are missing: "
        + "; ".join(str(change) for change in changes[:MOST_EXAMPLES])
        + more,
        numbers=numbers,
        examples=tuple(str(change) for change in changes[:MOST_EXAMPLES]),
    )


def _known_fields(before: pl.DataFrame, settings: Checks) -> pl.DataFrame:
    """Return the fields of endpoints that have a baseline: enough captures in the days before."""
    enough = (
        before.group_by("vendor", "endpoint", "day")
        .agg(pl.col("sampled").first())
        .group_by("vendor", "endpoint")
        .agg(pl.col("sampled").sum())
        .filter(pl.col("sampled") >= settings.drift_min_bodies)
    )
    return before.join(enough.select("vendor", "endpoint"), on=["vendor", "endpoint"], how="semi")


def _new(today: pl.DataFrame, known: pl.DataFrame) -> Iterator[Change]:
    """Yield paths never seen before, and types that a path never had; a null shows no type."""
    keys = ["vendor", "endpoint", "path"]
    covered = today.join(known, on=["vendor", "endpoint"], how="semi").filter(pl.col("type") != "null")
    unseen = covered.join(known, on=keys, how="anti")
    for vendor, endpoint, path, kind, example in _topmost(unseen).select(*keys, "type", "example").iter_rows():
        yield Change(vendor, endpoint, path, f"is new ({kind}{_as(example)})")
    typed = known.filter(pl.col("type") != "null").group_by(keys).agg(known=pl.col("type").unique().sort())
    other = covered.join(typed, on=keys).filter(~pl.col("type").is_in(pl.col("known")))
    for vendor, endpoint, path, kind, example, had in (
        other.sort(keys).select(*keys, "type", "example", "known").iter_rows()
    ):
        yield Change(vendor, endpoint, path, f"was {' or '.join(had)} and is {kind}{_as(example)}")


def _missing(today: pl.DataFrame, before: pl.DataFrame, settings: Checks) -> Iterator[Change]:
    """Yield fields that nearly every object of the last day had and none of today has, if there are such objects."""
    keys = ["vendor", "endpoint", "path"]
    last = before.filter(pl.col("day") == pl.col("day").max().over("vendor", "endpoint"))
    fields = (
        last.filter(~pl.col("path").str.ends_with("[]"))  # an empty list has no elements
        .group_by(keys)
        .agg(pl.col("bodies").sum(), types=pl.col("type").unique().sort())
        .with_columns(parent=pl.col("path").str.replace(r"\.?[^.]+$", ""))
    )
    was, still = _objects(last), _objects(today).filter(pl.col("bodies") >= settings.drift_min_bodies)
    vanished = (
        fields.join(was.rename({"path": "parent", "bodies": "parents"}), on=["vendor", "endpoint", "parent"])
        .filter(
            pl.col("parents") >= settings.drift_min_bodies,
            pl.col("bodies") >= settings.always_share * pl.col("parents"),
        )
        .join(still.rename({"path": "parent"}), on=["vendor", "endpoint", "parent"], how="semi")
        .join(today, on=keys, how="anti")
        .sort(keys)
    )
    for vendor, endpoint, path, types in vanished.select(*keys, "types").iter_rows():
        yield Change(vendor, endpoint, path, f"is missing (was {' or '.join(types)})")


def _objects(shapes: pl.DataFrame) -> pl.DataFrame:
    """Return vendor, endpoint, path, bodies of all objects, including the whole body (path "")."""
    keys = ["vendor", "endpoint", "path"]
    whole = shapes.group_by("vendor", "endpoint").agg(path=pl.lit(""), bodies=pl.col("sampled").first())
    return pl.concat([whole.select(*keys, "bodies"), shapes.filter(pl.col("type") == "object").select(*keys, "bodies")])


def _topmost(fields: pl.DataFrame) -> pl.DataFrame:
    """Return `fields` without those below another of them, sorted."""
    rows = fields.sort("vendor", "endpoint", "path").with_row_index("row")
    kept: list[int] = []
    tops: set[tuple[str, str, str]] = set()
    for row, vendor, endpoint, path in rows.select("row", "vendor", "endpoint", "path").iter_rows():
        if not any((vendor, endpoint, parent) in tops for parent in _parents(path)):
            tops.add((vendor, endpoint, path))
            kept.append(row)
    return rows[kept]


def _parents(path: str) -> Iterable[str]:
    """Return the parents of a path: `a`, `a[]` and `a[].b` of `a[].b.c`."""
    return (path[:end] for end in range(1, len(path)) if path[end] == "." or path.startswith("[]", end))


def _as(example: str | None) -> str:
    return f", such as {example}" if example else ""
