"""Read runs, ticks and the daemon's reports from the records of a Dagster instance, without changing them."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import msgspec
import yaml  # type: ignore[import-untyped]

from tiktok_pipeline.commands.instance import problems
from tiktok_pipeline.config.home_lock import Program
from tiktok_pipeline.errors import SettingsError

# A daemon reports every 30 seconds.
_SILENT_AFTER = timedelta(minutes=2)

_FAILURES_WITHIN = timedelta(hours=24)

_ACTIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]

# Dagster's records on one machine; each has its version once it is complete.
_RECORDS = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")


class ActiveRun(msgspec.Struct, frozen=True):
    """A run that is queued or in progress."""

    job: str
    run_id: str
    status: str
    since: datetime


class NextTick(msgspec.Struct, frozen=True, order=True):
    """The next tick of a schedule that is on."""

    at: datetime
    schedule: str


class DagsterRecords(msgspec.Struct):
    """What the records of an instance say: all times are UTC.

    Attributes:
        reported_at: the last report of a daemon; None if none ever ran.
        runs: the runs that are queued or in progress.
        next_ticks: the next tick of each schedule that is on, in the order of time.
        last_watch: the end of the last watch that succeeded.
        failed: number of failed runs by job, in the last 24 hours.
        problems: why records cannot be read.
    """

    reported_at: datetime | None = None
    runs: list[ActiveRun] = []
    next_ticks: list[NextTick] = []
    last_watch: datetime | None = None
    failed: dict[str, int] = {}
    problems: list[str] = []

    def daemon_runs(self, now: datetime) -> bool:
        """Return whether the daemon has reported lately. Dagster itself calls it healthy for half an hour."""
        return self.reported_at is not None and now - self.reported_at < _SILENT_AFTER


def read_records(home: Path, now: datetime) -> DagsterRecords:
    """Read the records of the instance in `home`; empty ones if there is no instance. Creates nothing."""
    damaged = list(problems(home))
    if damaged or not _has_records(home):
        return DagsterRecords(problems=damaged)
    try:
        with dg.DagsterInstance.from_config(str(home)) as instance:
            return _read(instance, now)
    except Exception as error:
        # A database that the operator configured fails in the ways of its own driver; the message may have its URL.
        return DagsterRecords(problems=[f"Dagster's records in {home} cannot be read: {type(error).__name__}"])


def refuse_other_daemon(home: Path, before: Program | None) -> None:
    """Check that no daemon of another program works on the instance in `home`.

    Args:
        home: the instance's folder.
        before: the last program in the deployment's home. A daemon's reports until its end were those of its own
            daemon; if it was killed, that cannot be told.

    Raises:
        SettingsError: a daemon has reported lately.
    """
    now = datetime.now(UTC)
    records = read_records(home, now)
    own = before is not None and (before.until is None or (records.reported_at or now) <= before.until)
    if records.daemon_runs(now) and not own:
        raise SettingsError(
            f"a Dagster daemon runs on {home} (last reported {records.reported_at:%H:%M:%S} UTC): stop it first, or "
            "name another folder in TIKTOK_PIPELINE_HOME. If it has just been stopped, wait two minutes"
        )


def _has_records(home: Path) -> bool:
    """Return whether Dagster's records exist and are complete: to open missing ones would create them."""
    try:
        configured = yaml.safe_load((home / "dagster.yaml").read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return False
    # Records in a database of the operator's have no files here.
    return "storage" in configured or all(_is_complete(home / name) for name in _RECORDS)


def _is_complete(records: Path) -> bool:
    if not records.is_file():
        return False
    try:
        with closing(sqlite3.connect(f"{records.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            return bool(connection.execute("SELECT count(*) = 1 FROM alembic_version").fetchone()[0])
    except sqlite3.Error:
        return False


def _read(instance: dg.DagsterInstance, now: datetime) -> DagsterRecords:
    beats = [s.last_heartbeat.timestamp for s in instance.get_daemon_statuses().values() if s.last_heartbeat]
    active = instance.get_run_records(dg.RunsFilter(statuses=_ACTIVE))
    ended = instance.get_run_records(
        dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=now - _FAILURES_WITHIN)
    )
    watched = instance.get_run_records(dg.RunsFilter(job_name="watch", statuses=[dg.DagsterRunStatus.SUCCESS]), limit=1)
    return DagsterRecords(
        reported_at=datetime.fromtimestamp(max(beats), UTC) if beats else None,
        runs=[
            ActiveRun(r.dagster_run.job_name, r.dagster_run.run_id, r.dagster_run.status.value, r.create_timestamp)
            for r in active
        ],
        next_ticks=sorted(_next_ticks(instance, now)),
        last_watch=watched[0].update_timestamp if watched else None,
        failed=dict(Counter(record.dagster_run.job_name for record in ended)),
    )


def _next_ticks(instance: dg.DagsterInstance, now: datetime) -> Iterator[NextTick]:
    for state in instance.all_instigator_state():
        cron = getattr(state.instigator_data, "cron_schedule", None)
        if not state.is_running or not isinstance(cron, str):
            continue
        ticks = dg.TimeWindowPartitionsDefinition(start=now, cron_schedule=cron, fmt="%Y-%m-%dT%H:%M")
        window = ticks.get_next_partition_window(now, respect_bounds=False)
        if window is not None:
            yield NextTick(window.start.astimezone(UTC), state.name)
