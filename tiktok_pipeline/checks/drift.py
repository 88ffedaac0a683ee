"""Whether vendors' bodies changed: fields that were never there before, and fields that are gone.

Known is what the shapes of the days before show, so nothing is kept beside the lake. The first days of an endpoint
only teach. A field is told by its topmost part: where a whole object is new, its fields are not listed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import polars as pl

from tiktok_pipeline.checks.check_result import MOST_EXAMPLES, CheckResult
from tiktok_pipeline.config.settings import Checks


@dataclass(frozen=True)
class Change:
    """A field of an endpoint that is new, of another type, or gone."""

    vendor: str
    endpoint: str
    path: str
    what: str

    def __str__(self) -> str:
        return f"{self.vendor} {self.endpoint}: {self.path} {self.what}"


def drift(today: pl.DataFrame, before: pl.DataFrame, *, settings: Checks) -> CheckResult:
    """What differs in a day's shapes from those of the days before.

    Args:
        today: PAYLOAD_SHAPES schema, one day.
        before: the same of earlier days, with a column `day`.
        settings: thresholds.
    """
    known = _taught(before, settings)
    new = list(_new(today, known))
    gone = list(_gone(today, before, settings))
    numbers = {
        "endpoints": float(today.select(pl.struct("vendor", "endpoint").n_unique()).item() if today.height else 0),
        "fields": float(today.height),
        "new_fields": float(len(new)),
        "vanished_fields": float(len(gone)),
    }
    changes = [*new, *gone]
    if not changes:
        learning = today.join(known, on=["vendor", "endpoint"], how="anti").select("vendor", "endpoint").unique().height
        told = f"no field is new or gone; {learning} endpoints are still being learned" if learning else (
            "no field is new or gone")  # fmt: skip
        return CheckResult(passed=True, message=told, numbers=numbers)
    more = f" and {len(changes) - MOST_EXAMPLES} more" if len(changes) > MOST_EXAMPLES else ""
    return CheckResult(
        passed=False,
        message=f"{len(new)} fields are new, {len(gone)} have vanished: "
        + "; ".join(str(change) for change in changes[:MOST_EXAMPLES])
        + more,
        numbers=numbers,
        examples=tuple(str(change) for change in changes[:MOST_EXAMPLES]),
    )


def _taught(before: pl.DataFrame, settings: Checks) -> pl.DataFrame:
    """The fields of endpoints that the days before saw often enough to know them."""
    enough = (
        before.group_by("vendor", "endpoint", "day")
        .agg(pl.col("sampled").first())
        .group_by("vendor", "endpoint")
        .agg(pl.col("sampled").sum())
        .filter(pl.col("sampled") >= settings.drift_min_bodies)
    )
    return before.join(enough.select("vendor", "endpoint"), on=["vendor", "endpoint"], how="semi")


def _new(today: pl.DataFrame, known: pl.DataFrame) -> Iterator[Change]:
    """Paths never seen before, and types that a path never had; a null says nothing of a type."""
    keys = ["vendor", "endpoint", "path"]
    taught = today.join(known, on=["vendor", "endpoint"], how="semi").filter(pl.col("type") != "null")
    unseen = taught.join(known, on=keys, how="anti")
    for vendor, endpoint, path, kind, example in _topmost(unseen).select(*keys, "type", "example").iter_rows():
        yield Change(vendor, endpoint, path, f"is new ({kind}{_as(example)})")
    typed = known.filter(pl.col("type") != "null").group_by(keys).agg(known=pl.col("type").unique().sort())
    other = taught.join(typed, on=keys).filter(~pl.col("type").is_in(pl.col("known")))
    for vendor, endpoint, path, kind, example, had in (
        other.sort(keys).select(*keys, "type", "example", "known").iter_rows()
    ):
        yield Change(vendor, endpoint, path, f"was {' or '.join(had)} and is {kind}{_as(example)}")


def _gone(today: pl.DataFrame, before: pl.DataFrame, settings: Checks) -> Iterator[Change]:
    """Fields that nearly every object of the last day had, and none of today's has, where there are such objects."""
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
        yield Change(vendor, endpoint, path, f"has vanished (was {' or '.join(types)})")


def _objects(shapes: pl.DataFrame) -> pl.DataFrame:
    """vendor, endpoint, path, bodies of all objects, the whole body (path "") among them."""
    keys = ["vendor", "endpoint", "path"]
    whole = shapes.group_by("vendor", "endpoint").agg(path=pl.lit(""), bodies=pl.col("sampled").first())
    return pl.concat([whole.select(*keys, "bodies"), shapes.filter(pl.col("type") == "object").select(*keys, "bodies")])


def _topmost(fields: pl.DataFrame) -> pl.DataFrame:
    """`fields` without those below another of them, sorted."""
    rows = fields.sort("vendor", "endpoint", "path").with_row_index("row")
    kept: list[int] = []
    tops: set[tuple[str, str, str]] = set()
    for row, vendor, endpoint, path in rows.select("row", "vendor", "endpoint", "path").iter_rows():
        if not any((vendor, endpoint, parent) in tops for parent in _parents(path)):
            tops.add((vendor, endpoint, path))
            kept.append(row)
    return rows[kept]


def _parents(path: str) -> Iterable[str]:
    """`a`, `a[]` and `a[].b` of `a[].b.c`."""
    return (path[:end] for end in range(1, len(path)) if path[end] == "." or path.startswith("[]", end))


def _as(example: str | None) -> str:
    return f", such as {example}" if example else ""
