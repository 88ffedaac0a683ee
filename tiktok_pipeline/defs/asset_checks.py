"""Which asset carries which check, and how a verdict becomes Dagster's check result.

Checks run inside the asset's own step, on the frame before it is written: a separate step would cost more than most
checks do. The logic is in `tiktok_pipeline/checks/`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import dagster as dg
import polars as pl

from tiktok_pipeline import tables
from tiktok_pipeline.checks.check_result import CheckResult, together
from tiktok_pipeline.checks.contract import contract
from tiktok_pipeline.checks.identities import RULES, identities
from tiktok_pipeline.errors import PipelineError
from tiktok_pipeline.lake.blocked_days import BlockedDay, block, release
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.resources import Pipeline
from tiktok_pipeline.tables import Table

Results = Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]

# One check for all rules: each result costs Dagster more than the check of the frame.
CONTRACT = "contract"

_PROMISE = """The table is as in `tables.py`: schema, required values, unique keys, no time in the future, and the
rules below. A day that breaks it keeps its last good file, and the check fails with severity ERROR. All other days and
tables are made and published. It is not `blocking` for Dagster, which would skip all of those.
"""

# Table -> check -> its statement. Thresholds are settings: [checks].
WARNINGS: dict[str, dict[str, str]] = {
    tables.LIVE_OBSERVATIONS.name: {"freshness": "The newest reading is younger than `stale_minutes`."},
    tables.QUARANTINE.name: {
        "readability": "At most `quarantine_share` of the day's captures could not be read.",
        "files": "Every raw file of the days of the run could be read.",
    },
    tables.PAYLOAD_SHAPES.name: {
        "drift": "No field of a vendor's bodies is new, of another type, or missing, by a sample of the day against "
        "the `drift_days` before."
    },
    tables.COVERAGE.name: {
        "completeness": "Nearly all creators were polled (`unasked_share`), and readings have a known live state "
        "(`unknown_share`)."
    },
    tables.VENDOR_USAGE.name: {
        "vendor_errors": "At most `error_share` of a vendor's attempts of the day failed.",
        "budget": "No vendor's credits of the day are near its cap: `budget_share` of `credits_per_day`.",
    },
}


def check_specs(table: Table) -> list[dg.AssetCheckSpec]:
    """List the checks of a table: the one that blocks a wrong day, and its warnings."""
    specs = [
        dg.AssetCheckSpec(name, asset=table.name, description=f"{statement} A warning: it blocks nothing.")
        for name, statement in WARNINGS.get(table.name, {}).items()
    ]
    rules = "".join(f"\n- {rule.statement}" for rule in RULES.get(table.name, ()))
    return [dg.AssetCheckSpec(CONTRACT, asset=table.name, description=_PROMISE + rules), *specs]


@dataclass
class Checking:
    """The checks of one table over the days of a run."""

    table: Table
    lake: Lake
    now: Callable[[], datetime]
    skew: timedelta
    found: list[CheckResult] = field(default_factory=list)
    blocked: list[BlockedDay] = field(default_factory=list)

    @classmethod
    def of(cls, table: Table, pipeline: Pipeline) -> Checking:
        """Return the table's checks by the deployment's clock and settings."""
        skew = timedelta(seconds=pipeline.settings().checks.clock_skew_seconds)
        return cls(table, pipeline.lake, pipeline.clock().now, skew)

    def made(self, make: Callable[[], pl.DataFrame], part: str) -> pl.DataFrame | None:
        """Return the rows that `make` returns; None if the checks reject them or `make` raises.

        A rejected part is recorded in the lake (`blocked_days`) and keeps its last good file.

        Args:
            make: makes the rows of the part.
            part: the day, or `blocked_days.WHOLE`.
        """
        try:
            frame = make()
        # A fault in one day of one table must not stop the others.
        except Exception as error:
            dg.get_dagster_logger().exception(f"{self.table.name} {part} was not replaced")
            self._block(CheckResult(passed=False, message=_reason(error)), part)
            return None
        return frame if self.passes(frame, part) else None

    def passes(self, frame: pl.DataFrame, part: str) -> bool:
        """Return whether `frame` may be written as this part of the table; record a rejection in the lake."""
        # The time now, not at the start of the run: the frame also has rows that were stored since.
        verdict = contract(self.table, frame, latest=self.now() + self.skew)
        # Rules read the columns that the contract has checked.
        if verdict.passed and self.table.name in RULES:
            verdict = verdict.also(identities(self.table, frame))
        if not verdict.passed:
            self._block(verdict, part)
            return False
        self.found.append(verdict)
        release(self.lake, self.table, part)
        return True

    def unchanged(self) -> None:
        """Count a day that is up to date: it passed when it was written, and its file is the same."""
        self.found.append(CheckResult(passed=True, message="unchanged since the last check"))

    def results(self, warnings: Mapping[str, CheckResult]) -> Iterator[dg.AssetCheckResult]:
        """Yield a result for every check of the table."""
        verdict = together(self.found)
        if self.blocked:
            not_replaced = ", ".join(each.part for each in self.blocked)
            verdict = replace(
                verdict,
                message=f"not replaced: {not_replaced}; {verdict.message}. The last good file stays; all other days "
                "and tables are derived and published",
            )
        yield result(self.table, CONTRACT, verdict, severity=dg.AssetCheckSeverity.ERROR)
        for name, warning in warnings.items():
            yield result(self.table, name, warning, severity=dg.AssetCheckSeverity.WARN)

    def metadata(self, part: str) -> dict[str, str]:
        """Return metadata for a part that was not replaced: Dagster counts every partition of a run as materialized."""
        each = next(each for each in self.blocked if each.part == part)
        return {"not_replaced": f"{each.reason}; blocked since {each.since:%Y-%m-%d %H:%M} UTC"}

    def _block(self, verdict: CheckResult, part: str) -> None:
        self.found.append(verdict)
        self.blocked.append(block(self.lake, self.table, part, now=self.now(), reason=verdict.message))


def _reason(error: Exception) -> str:
    """Return an exception as one line: the message of our own errors; only the type of others, which may quote data."""
    if isinstance(error, PipelineError):
        return " ".join(str(error).split())
    return f"{type(error).__name__} while deriving: the log of the run has the traceback"


def warn_of_damage(context: dg.AssetExecutionContext, lake: Lake) -> list[str]:
    """Log the files that reads of `lake` skipped, each once; return all of them so far."""
    for path, reason in lake.damaged.new().items():
        context.log.warning("Skipped a damaged file, all others were read: %s (%s)", path, reason)
    return [f"{path.relative_to(lake.root)} ({reason})" for path, reason in lake.damaged.all().items()]


def result(
    table: Table | str, name: str, verdict: CheckResult, *, severity: dg.AssetCheckSeverity
) -> dg.AssetCheckResult:
    """Return a verdict as a result for the UI: the message, numbers to plot, and examples.

    A passed contract shows no zeros: every run stores the result of every table.
    """
    holds = name == CONTRACT and verdict.passed
    return dg.AssetCheckResult(
        check_name=name,
        asset_key=table if isinstance(table, str) else table.name,
        passed=verdict.passed,
        severity=severity,
        description=verdict.message,
        metadata={
            **{label: number for label, number in verdict.numbers.items() if number or not holds},
            **({"examples": dg.MetadataValue.json(list(verdict.examples))} if verdict.examples else {}),
        },
    )
