"""Non-blocking checks: freshness, completeness, vendor errors, cost, and readability of bodies and files."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

import polars as pl

from tiktok_pipeline.checks.check_result import MOST_EXAMPLES, CheckResult
from tiktok_pipeline.config.settings import Checks
from tiktok_pipeline.providers.guard import UNFORESEEN
from tiktok_pipeline.providers.vendor import FATES, Fate, Limits, Outcome

_FAILURES = tuple(outcome.value for outcome in Outcome if FATES[outcome] is not Fate.USABLE)


def freshness(newest: datetime | None, *, now: datetime, settings: Checks) -> CheckResult:
    """Check that the newest reading is as recent as the polling cadence allows.

    Args:
        newest: the newest `observed_at`; None without any reading.
        now: the time, on the clock of the readings.
        settings: thresholds.
    """
    if newest is None:
        return CheckResult(passed=False, message="there is no reading at all: is the schedule `watch` on?")
    minutes = (now - newest).total_seconds() / 60
    numbers = {"minutes_since_newest": round(minutes, 1)}
    if minutes <= settings.stale_minutes:
        return CheckResult(passed=True, message=f"the newest reading is {minutes:.0f} minutes old", numbers=numbers)
    return CheckResult(
        passed=False,
        message=f"the newest reading is of {newest:%Y-%m-%d %H:%M} UTC, {minutes:.0f} minutes ago; it should be "
        f"younger than {settings.stale_minutes}: is the schedule `watch` on, and do its runs succeed?",
        numbers=numbers,
    )


def completeness(coverage: pl.DataFrame, *, settings: Checks) -> CheckResult:
    """Check that every creator was polled, and that readings have a known live state.

    Args:
        coverage: COVERAGE schema, one day.
        settings: thresholds.
    """
    creators = coverage.height
    if creators == 0:
        return CheckResult(passed=True, message="there is no creator to watch", numbers={"creators": 0.0})
    unpolled = coverage.filter(pl.col("polls") == 0)
    polls, known = int(coverage["polls"].sum()), int(coverage["known_polls"].sum())
    unknown_share = (polls - known) / polls if polls else 0.0
    numbers = {
        "creators": float(creators),
        "unasked": float(unpolled.height),
        "polls": float(polls),
        "unknown_share": round(unknown_share, 4),
    }
    problems = []
    if unpolled.height > settings.unasked_share * creators:
        problems.append(
            f"{unpolled.height} of {creators} creators were not polled: was the schedule on? Is budget left?"
        )
    if unknown_share > settings.unknown_share:
        problems.append(f"{unknown_share:.0%} of {polls} readings have no live state: does a vendor have problems?")
    if not problems:
        return CheckResult(passed=True, message=f"{creators} creators, {polls} readings", numbers=numbers)
    examples = tuple(sorted(unpolled["creator_id"].to_list())[:MOST_EXAMPLES])
    return CheckResult(passed=False, message="; ".join(problems), numbers=numbers, examples=examples)


def vendor_errors(usage: pl.DataFrame, *, settings: Checks) -> CheckResult:
    """Check that requests to vendors succeed.

    Args:
        usage: VENDOR_USAGE schema, one day.
        settings: thresholds.
    """
    by_vendor = (
        usage.with_columns(failed=pl.sum_horizontal(_FAILURES))
        .group_by("vendor")
        .agg(pl.col("requests", "failed").sum(), *(pl.col(name).sum() for name in _FAILURES))
        .filter(pl.col("requests") > 0)
        .with_columns(share=pl.col("failed") / pl.col("requests"))
        .sort("vendor")
    )
    numbers = {f"error_share_{row['vendor']}": round(row["share"], 4) for row in by_vendor.iter_rows(named=True)}
    failing = by_vendor.filter(
        pl.col("share") > settings.error_share, pl.col("requests") >= settings.error_min_requests
    )
    if failing.is_empty():
        return CheckResult(passed=True, message="requests succeed", numbers=numbers)
    problems = []
    for row in failing.iter_rows(named=True):
        most = max(_FAILURES, key=lambda name: row[name])
        problems.append(f"{row['share']:.0%} of {row['requests']} attempts at {row['vendor']} failed, most as {most}")
    message = "; ".join(problems) + ": run `tiktok-pipeline check` for the state of each vendor"
    return CheckResult(passed=False, message=message, numbers=numbers)


def budget(usage: pl.DataFrame, vendors: Mapping[str, Limits], *, settings: Checks) -> CheckResult:
    """Check that a vendor's credits of the day stay below their cap; a vendor without a cap is never near it.

    Args:
        usage: VENDOR_USAGE schema, one day.
        vendors: the limits of each vendor.
        settings: thresholds.
    """
    spent = dict(usage.group_by("vendor").agg(pl.col("credits").sum()).iter_rows())
    numbers: dict[str, float] = {}
    near = []
    for vendor, limits in sorted(vendors.items()):
        credits = float(spent.get(vendor) or 0)
        numbers[f"credits_{vendor}"] = round(credits, 2)
        if limits.credits_per_day is None:
            continue
        share = credits / limits.credits_per_day if limits.credits_per_day else 1.0
        numbers[f"budget_share_{vendor}"] = round(share, 4)
        if share >= settings.budget_share:
            near.append(f"{vendor} has spent {credits:,.0f} of {limits.credits_per_day:,.0f} credits of the day")
    if not near:
        return CheckResult(passed=True, message="no vendor is near its cap", numbers=numbers)
    message = "; ".join(near) + ": at the cap, polling skips it until midnight UTC; raise credits_per_day or poll less"
    return CheckResult(passed=False, message=message, numbers=numbers)


def readability(quarantine: pl.DataFrame, captures: int, *, settings: Checks) -> CheckResult:
    """Check that bodies can be read, and that no reader raised an unforeseen exception.

    Args:
        quarantine: QUARANTINE schema, one day.
        captures: raw rows of that day.
        settings: thresholds.
    """
    broken = quarantine["capture_id"].n_unique()
    share = broken / captures if captures else 0.0
    unforeseen = quarantine.filter(pl.col("reason").str.starts_with(UNFORESEEN))
    numbers = {
        "captures": float(captures),
        "quarantined": float(broken),
        "quarantine_share": round(share, 4),
        "unforeseen": float(unforeseen.height),
    }
    if unforeseen.height:
        named = (
            unforeseen.group_by("vendor", "reason")
            .len()
            .sort("len", "vendor", "reason", descending=[True, False, False])
        )
        examples = tuple(f"{vendor}: {reason}, {count} times" for vendor, reason, count in named.iter_rows())
        message = f"a bug in a vendor's reader cost {unforeseen.height} rows ({examples[0]}): please report it"
        return CheckResult(passed=False, message=message, numbers=numbers, examples=examples[:MOST_EXAMPLES])
    if share <= settings.quarantine_share:
        return CheckResult(passed=True, message=f"{broken} of {captures} captures are in quarantine", numbers=numbers)
    reasons = (
        quarantine.group_by("vendor", "table", "reason", "field")
        .len()
        .sort("len", "vendor", "table", "reason", descending=[True, False, False, False])
        .head(MOST_EXAMPLES)
    )
    examples = tuple(
        f"{vendor} {table}: {reason}{f' ({where})' if where else ''}, {count} times"
        for vendor, table, reason, where, count in reasons.iter_rows()
    )
    message = f"{share:.1%} of {captures} captures are in quarantine, most: {examples[0]}"
    return CheckResult(passed=False, message=message, numbers=numbers, examples=examples)


def whole_files(damaged: Collection[str]) -> CheckResult:
    """Check that every file that was read is readable.

    Args:
        damaged: the unreadable files, each with its reason.
    """
    numbers = {"damaged_files": float(len(damaged))}
    if not damaged:
        return CheckResult(passed=True, message="every file could be read", numbers=numbers)
    examples = tuple(sorted(damaged)[:MOST_EXAMPLES])
    more = f" and {len(damaged) - 1} more" if len(damaged) > 1 else ""
    message = (
        f"skipped {examples[0]}{more}: restore raw files from a backup, or move them out of the lake; the next "
        "`derive` rebuilds all others"
    )
    return CheckResult(passed=False, message=message, numbers=numbers, examples=examples)
