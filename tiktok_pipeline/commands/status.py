"""`tiktok-pipeline status`: what runs in a home, how fresh its data is, and what it spent. It changes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import msgspec

from tiktok_pipeline.capture.clock import real_clock
from tiktok_pipeline.capture.newest import newest_capture
from tiktok_pipeline.capture.spending import spent
from tiktok_pipeline.commands.dagster_records import ActiveRun, DagsterRecords, NextTick, read_records
from tiktok_pipeline.commands.instance import instance_home
from tiktok_pipeline.config.home_lock import Program, running_program
from tiktok_pipeline.config.settings import SANDBOX_MARKER, Places, Settings, load_settings
from tiktok_pipeline.errors import PipelineError
from tiktok_pipeline.lake.blocked_days import BlockedDay, blocked_days
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.publish.duckdb_file import LINK
from tiktok_pipeline.tables import PUBLICATION

# While the watch is on, each of its windows ends within minutes.
_WATCH_LATE_AFTER = timedelta(hours=1)

# Above this share of its daily cap, a vendor's spending is a warning.
_NEARLY_SPENT = 0.9


class VendorCredits(msgspec.Struct, frozen=True):
    """Credits of one vendor on one day: spent, and left under `credits_per_day` (None without a cap)."""

    vendor: str
    spent: float
    left: float | None


class Status(msgspec.Struct, frozen=True):
    """The state of a deployment. Times are UTC; None means that it has not happened yet."""

    home: str
    at: datetime
    program: Program | None
    daemon_reported_at: datetime | None
    daemon_runs: bool
    runs: list[ActiveRun]
    last_capture: datetime | None
    last_publish: datetime | None
    published_as_of: datetime | None
    next_ticks: list[NextTick]
    credits_day: date
    credits: list[VendorCredits]
    blocked_days: list[BlockedDay]
    warnings: list[str]


def status_of(places: Places, environment: Mapping[str, str] = os.environ) -> Status:
    """Read the state of the deployment at `places`. Creates and changes no file; problems become warnings.

    Raises:
        LakeError: the lake cannot be read.
    """
    now = datetime.now(UTC)
    lake = Lake(places.lake)
    warnings: list[str] = []
    settings = _settings(places, environment, warnings)
    captured = newest_capture(lake)
    published = _publication(places.warehouse / LINK, warnings)
    # A demo's time is not the time of this process.
    demo = (places.home / SANDBOX_MARKER).exists()
    day = (captured if demo and captured else real_clock(environment).now()).date()
    credits = _credits(lake, day, settings)
    dagster = read_records(instance_home(environment, places), now)
    blocked = blocked_days(lake)
    warnings += [*dagster.problems, *_warnings(dagster, credits, blocked, now)]
    return Status(
        home=str(places.home),
        at=now,
        program=running_program(places.home),
        daemon_reported_at=dagster.reported_at,
        daemon_runs=dagster.daemon_runs(now),
        runs=dagster.runs,
        last_capture=captured,
        last_publish=published[0],
        published_as_of=published[1],
        next_ticks=dagster.next_ticks if dagster.daemon_runs(now) else [],
        credits_day=day,
        credits=credits,
        blocked_days=blocked,
        warnings=warnings,
    )


def lines_of(status: Status) -> Iterator[str]:
    """Yield the status as text for one screen."""
    yield f"Home          {status.home}"
    yield f"Program       {status.program or 'no demo, dev or replay runs here'}"
    yield f"Daemon        {_daemon_in_words(status)}"
    runs = (f"{run.job} ({run.status.lower()} since {run.since:%H:%M:%S})" for run in status.runs)
    yield f"Runs          {', '.join(runs) or 'none in progress'}"
    yield f"Last capture  {_time(status.last_capture)}"
    as_of = f", data up to {_time(status.published_as_of)}" if status.published_as_of else ""
    yield f"Last publish  {_time(status.last_publish)}{as_of}"
    ticks = (f"{tick.schedule} {tick.at:%H:%M}" for tick in status.next_ticks)
    yield f"Next ticks    {', '.join(ticks) or 'none: no schedule is on, or the daemon does not run'}"
    yield f"Credits       on {status.credits_day}:{'' if status.credits else ' none spent'}"
    for vendor in status.credits:
        left = "no daily cap" if vendor.left is None else f"{vendor.left:,.0f} left"
        yield f"              {vendor.vendor:<14} {vendor.spent:>9,.0f} spent, {left}"
    yield f"Warnings      {'none' if not status.warnings else ''}".rstrip()
    for warning in status.warnings:
        yield f"  - {warning}"


def _daemon_in_words(status: Status) -> str:
    if status.daemon_reported_at is None:
        return "never ran"
    return f"{'runs' if status.daemon_runs else 'does not run'}, last reported {_time(status.daemon_reported_at)}"


def _time(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else "never"


def _settings(places: Places, environment: Mapping[str, str], warnings: list[str]) -> Settings:
    path = places.settings
    if (places.home / SANDBOX_MARKER).exists() and not environment.get("TIKTOK_PIPELINE_SETTINGS"):
        path = places.home / "settings.toml"
    try:
        return load_settings(path)
    except PipelineError as error:
        warnings.append(str(error))
        return Settings()


def _publication(snapshot: Path, warnings: list[str]) -> tuple[datetime | None, datetime | None]:
    """Return the time of the served publication, and the time of its newest reading."""
    if not snapshot.exists():
        return None, None
    try:
        with duckdb.connect(str(snapshot), read_only=True) as connection:
            row = connection.execute(f"SELECT published_at, as_of FROM {PUBLICATION.name}").fetchone()
    except duckdb.Error as error:
        warnings.append(f"{snapshot} cannot be read ({type(error).__name__}): derive again")
        return None, None
    published, as_of = row or (None, None)
    return _utc(published), _utc(as_of)


def _utc(value: object) -> datetime | None:
    if not isinstance(value, datetime):
        return None
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


def _credits(lake: Lake, day: date, settings: Settings) -> list[VendorCredits]:
    amounts = {vendor: amount for (vendor, _), amount in spent(lake, [day], settings.vendors, cache=False).items()}
    capped = {name for name, limits in settings.vendors.items() if limits.credits_per_day is not None}
    found = []
    for vendor in sorted(amounts.keys() | capped):
        amount, limits = amounts.get(vendor, 0.0), settings.vendors.get(vendor)
        cap = limits.credits_per_day if limits else None
        found.append(VendorCredits(vendor, amount, None if cap is None else max(0.0, cap - amount)))
    return found


def _warnings(
    dagster: DagsterRecords, credits: list[VendorCredits], blocked: list[BlockedDay], now: datetime
) -> Iterator[str]:
    if dagster.reported_at is not None and not dagster.daemon_runs(now):
        yield (
            f"Dagster's daemon has not reported since {_time(dagster.reported_at)}: no schedule ticks until it runs "
            "again"
        )
    watching = any(tick.schedule == "watch" for tick in dagster.next_ticks)
    late = dagster.last_watch is not None and now - dagster.last_watch > _WATCH_LATE_AFTER
    if dagster.daemon_runs(now) and watching and late:
        yield f"no watch has succeeded since {_time(dagster.last_watch)}: look at Runs in the Dagster UI"
    for job, many in sorted(dagster.failed.items()):
        runs = "run" if many == 1 else "runs"
        yield f"{many} {runs} of {job} failed in the last 24 hours: look at Runs in the Dagster UI"
    for vendor in credits:
        if vendor.left is not None and vendor.left < (1 - _NEARLY_SPENT) * (vendor.left + vendor.spent):
            yield f"{vendor.vendor} has {vendor.left:,.0f} credits left today"
        elif vendor.left == 0:
            yield f"{vendor.vendor} has no credits left today"
    for day in blocked:
        yield f"{day} keeps its last good version: {day.reason}"
