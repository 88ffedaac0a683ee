"""Check a frame against its table in `tables.py`: columns, types, required values, keys, no time in the future."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from tiktok_pipeline.checks.check_result import MOST_EXAMPLES, CheckResult
from tiktok_pipeline.tables import TIME, Table

# Times that are observed or derived here. Times that vendors announce, such as a story's end, may lie in the future.
_SEEN = (
    "observed_at",
    "first_seen_at",
    "last_seen_at",
    "last_observed_at",
    "started_at_hi",
    "ended_at_lo",
    "before_at",
    "after_at",
    "peak_at",
    "day",
    "as_of",
)


def contract(table: Table, frame: pl.DataFrame, *, latest: datetime) -> CheckResult:
    """Check the table's schema, its required columns, its key, and that no observed time is after `latest`.

    The checks run in that order, and the first failure is reported.
    """
    numbers = {"rows": float(frame.height), "null_values": 0.0, "repeated_keys": 0.0, "from_the_future": 0.0}
    if frame.schema != table.schema:
        return CheckResult(passed=False, message=_schema_difference(table, frame), numbers=numbers)
    required = [column.name for column in table.columns if not column.nullable]
    nulls = frame.select(pl.col(required).null_count()).row(0, named=True) if required else {}
    numbers["null_values"] = float(sum(nulls.values()))
    if numbers["null_values"]:
        named = ", ".join(f"{name} ({count})" for name, count in nulls.items() if count)
        lacking = frame.filter(pl.any_horizontal(pl.col(required).is_null()))
        message = f"{table.name} has nulls in required columns: {named}"
        return CheckResult(passed=False, message=message, numbers=numbers, examples=keys(table, lacking))
    repeated = frame.filter(pl.struct(table.key).is_duplicated()) if frame.height else frame
    numbers["repeated_keys"] = float(repeated.height)
    if repeated.height:
        message = f"{repeated.height} rows of {table.name} share a key ({', '.join(table.key)})"
        return CheckResult(passed=False, message=message, numbers=numbers, examples=keys(table, repeated))
    seen = [name for name in _SEEN if name in table.schema]
    ahead = (
        frame.filter(
            pl.any_horizontal(pl.col(name) > (latest if table.schema[name] == TIME else latest.date()) for name in seen)
        )
        if seen
        else frame.clear()
    )
    numbers["from_the_future"] = float(ahead.height)
    if ahead.height:
        message = f"{ahead.height} rows of {table.name} are from after {latest:%Y-%m-%d %H:%M} UTC ({', '.join(seen)})"
        return CheckResult(passed=False, message=message, numbers=numbers, examples=keys(table, ahead))
    return CheckResult(passed=True, message=f"{frame.height} rows as in tables.py", numbers=numbers)


def keys(table: Table, frame: pl.DataFrame) -> tuple[str, ...]:
    """Return the keys of the first few different rows, as text."""
    rows = frame.select(table.key).unique(maintain_order=True).head(MOST_EXAMPLES).iter_rows(named=True)
    return tuple(", ".join(f"{name}={value}" for name, value in row.items()) for row in rows)


def _schema_difference(table: Table, frame: pl.DataFrame) -> str:
    expected, found = table.schema, frame.schema
    differences = [
        *(f"{name} is missing" for name in expected if name not in found),
        *(f"{name} is not in tables.py" for name in found if name not in expected),
        *(
            f"{name} is {found[name]}, not {dtype}"
            for name, dtype in expected.items()
            if found.get(name, dtype) != dtype
        ),
    ]
    return f"{table.name} differs from tables.py: " + ("; ".join(differences) or "columns out of order")
