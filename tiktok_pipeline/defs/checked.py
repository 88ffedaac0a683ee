"""Which asset carries which check, and how a verdict becomes Dagster's check result.

Checks run inside the asset's own step, on the frame that is about to be written: a step of their own would cost
more than most of them do. The logic is in `tiktok_pipeline/checks/`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import dagster as dg
import polars as pl

from tiktok_pipeline import tables
from tiktok_pipeline.checks.contract import contract
from tiktok_pipeline.checks.identities import RULES, identities
from tiktok_pipeline.checks.verdict import Verdict, together
from tiktok_pipeline.published import PUBLISHED
from tiktok_pipeline.resources import Pipeline
from tiktok_pipeline.tables import Table

Results = Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]

# One check for all that must hold: each result costs Dagster more than the look at the frame.
CONTRACT = "contract"

_PROMISE = """The table is what `tables.py` says: schema, required values, unique keys, nothing from the future, and the
rules below. A day that breaks it does not replace the day that is there, and nothing is published.
"""

# Table -> check -> what it warns of. Thresholds are settings: [checks].
WARNINGS: dict[str, dict[str, str]] = {
    tables.LIVE_OBSERVATIONS.name: {"freshness": "The newest reading is younger than `stale_minutes`."},
    tables.QUARANTINE.name: {"readability": "At most `quarantine_share` of the day's captures could not be read."},
    tables.PAYLOAD_SHAPES.name: {
        "drift": "No field of a vendor's bodies is new, of another type, or gone, by a sample of the day against the "
        "`drift_days` before."
    },
    tables.COVERAGE.name: {
        "completeness": "Nearly everybody was asked about (`unasked_share`), and answers said something "
        "(`unknown_share`)."
    },
    tables.VENDOR_USAGE.name: {
        "vendor_errors": "At most `error_share` of a vendor's attempts of the day failed.",
        "budget": "No vendor's credits of the day are near its cap: `budget_share` of `credits_per_day`.",
    },
}


def check_specs(table: Table) -> list[dg.AssetCheckSpec]:
    """The checks of a table: the one that stops a publish, where the table is served, and its warnings."""
    specs = [
        dg.AssetCheckSpec(name, asset=table.name, description=f"{said} A warning: it stops nothing.")
        for name, said in WARNINGS.get(table.name, {}).items()
    ]
    if table in PUBLISHED:
        rules = "".join(f"\n- {rule.says}" for rule in RULES.get(table.name, ()))
        specs.insert(0, dg.AssetCheckSpec(CONTRACT, asset=table.name, description=_PROMISE + rules, blocking=True))
    return specs


@dataclass
class Checking:
    """The checks of one table over the days of a run."""

    table: Table
    now: Callable[[], datetime]
    skew: timedelta
    found: list[Verdict] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, table: Table, pipeline: Pipeline) -> Checking:
        """The table's checks by the deployment's clock and settings."""
        skew = timedelta(seconds=pipeline.settings().checks.clock_skew_seconds)
        return cls(table, pipeline.clock().now, skew)

    def passes(self, frame: pl.DataFrame, part: str) -> bool:
        """Whether `frame` may be written: `part` names it where it may not."""
        # Now, not when the run began: what landed since is in the frame as well.
        verdict = contract(self.table, frame, latest=self.now() + self.skew)
        # Rules read the columns that the contract promises.
        if verdict.passed and self.table.name in RULES:
            verdict = verdict.also(identities(self.table, frame))
        self.found.append(verdict)
        if not verdict.passed:
            self.failed.append(part)
        return verdict.passed

    def results(self, warnings: Mapping[str, Verdict]) -> Iterator[dg.AssetCheckResult]:
        """A result for every check of the table."""
        if self.table in PUBLISHED:
            yield result(self.table, CONTRACT, together(self.found), blocking=True)
        for name, verdict in warnings.items():
            yield result(self.table, name, verdict, blocking=False)

    def raise_if_blocked(self) -> None:
        """Fail the step in words where something may not be written; results must have been yielded before.

        Raises:
            dagster.Failure: some part broke the contract.
        """
        if self.failed:
            raise dg.Failure(
                description=f"{self.table.name} ({', '.join(self.failed)}) was not replaced, and nothing is published: "
                + together(self.found).message,
                allow_retries=False,
            )


def result(table: Table, name: str, verdict: Verdict, *, blocking: bool) -> dg.AssetCheckResult:
    """A verdict as the UI shows it: the message, numbers that it plots, and where to look."""
    return dg.AssetCheckResult(
        check_name=name,
        asset_key=table.name,
        passed=verdict.passed,
        severity=dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN,
        description=verdict.message,
        metadata={
            **verdict.numbers,
            **({"examples": dg.MetadataValue.json(list(verdict.examples))} if verdict.examples else {}),
        },
    )
