"""Start runs of the deployment's jobs in this process, and end runs that were lost."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any

import dagster as dg
import sqlalchemy

from tiktok_pipeline.capture.sweep import EVERY_HOURS
from tiktok_pipeline.config.settings import Places
from tiktok_pipeline.definitions import build_definitions
from tiktok_pipeline.defs.failures import failure_reason
from tiktok_pipeline.defs.repairing import repair_tags, repairs_before
from tiktok_pipeline.errors import PipelineError, SettingsError
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.partitions import FIRST_DAY, TRAILING_DAYS, day_range_tags
from tiktok_pipeline.tables import RAW_LIVES

_log = logging.getLogger(__name__)

_UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def table_sources() -> dict[str, list[str]]:
    """Return the sources of each asset: table-level lineage, as in Dagster."""
    graph = _definitions().resolve_asset_graph()
    return {
        key.to_user_string(): sorted(parent.to_user_string() for parent in graph.get(key).parent_keys)
        for key in graph.get_all_asset_keys()
    }


def run_capture(start: datetime, end: datetime) -> None:
    """Capture [start, end) on the replay clock, in one run in this process.

    Raises:
        PipelineError: the run failed; its reason.
    """
    hours = [start.isoformat(), (end - timedelta(hours=1)).isoformat()]
    sweeps = {asset: {"config": {"every_hours": every, "hours": hours}} for asset, every in EVERY_HOURS.items()}
    watch = {RAW_LIVES.name: {"config": {"mode": "watch", "hours": hours}}}
    _run("replay", {}, {"ops": sweeps | watch})


def run_derive(start: datetime, end: datetime) -> None:
    """Derive the days of [start, end) and those before, and publish, in one run in this process.

    Like the schedule, it starts some days earlier: a stream may have begun there, or ended only now. It also rebuilds
    damaged files of older days, before others read them.

    Raises:
        PipelineError: the run failed; its reason. Or everything was published except days that a check blocked.
    """
    first = max(start.date() - timedelta(days=TRAILING_DAYS - 1), date.fromisoformat(FIRST_DAY))
    days = day_range_tags(first, (end - timedelta(microseconds=1)).date())
    lake = Lake(Places.from_environment().lake)
    _rebuild_damaged(lake, first)
    _run("derive", days, {})
    # Some damage shows only when pages are read: a run reads all pages, to publish them.
    if _rebuild_damaged(lake, first):
        _run("derive", days, {})


def _rebuild_damaged(lake: Lake, before: date) -> bool:
    """Rebuild damaged files of days before `before`; return whether there were any. Log those that cannot be."""
    tried: set[str] = set()
    while missing := [repair for repair in repairs_before(lake, before) if repair.key not in tried]:
        for repair in missing:
            tried.add(repair.key)
            _log.warning("Damaged, rebuilt: %s of %s to %s", ", ".join(repair.tables), repair.first, repair.last)
            try:
                _run("derive", repair_tags(repair), {}, assets=repair.tables)
            except PipelineError as error:
                _log.warning("Not rebuilt: %s", error)
    return bool(tried)


def check_span(start: datetime, end: datetime) -> None:
    """Reject a span without partitions.

    Raises:
        SettingsError: it begins before the first partition, or ends in the future.
    """
    if f"{start:%Y-%m-%d}" < FIRST_DAY:
        raise SettingsError(f"{start:%Y-%m-%d} is before the first partition, {FIRST_DAY}")
    if end > datetime.now(UTC):
        raise SettingsError(f"{end:%Y-%m-%dT%H:%M} UTC is in the future: only past hours can be replayed")


def give_up_runs() -> int:
    """Cancel the runs that the instance records as active; return how many.

    For a start of all services on one machine: runs of the stopped services cannot continue, and would block the next
    run of their kind.
    """
    with _instance() as instance:
        lost = instance.get_runs(dg.RunsFilter(statuses=_UNDER_WAY))
        for run in lost:
            instance.report_run_canceled(run, message="Stopped with the services that ran it.")
    return len(lost)


def _run(job: str, tags: Mapping[str, str], config: dict[str, Any], assets: Sequence[str] = ()) -> None:
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with _instance() as instance:
        result = (
            _definitions()
            .resolve_job_def(job)
            .execute_in_process(
                run_config={**config, **quiet},
                tags=dict(tags),
                instance=instance,
                raise_on_error=False,
                asset_selection=[dg.AssetKey(name) for name in assets] or None,
            )
        )
    if not result.success:
        raise PipelineError("; ".join(_reasons(result)) or f"run {result.run_id} of {job} failed")
    refused = [
        f"{found.asset_key.to_user_string()} {found.description or ''}"
        for found in result.get_asset_check_evaluations()
        if not found.passed and found.severity == dg.AssetCheckSeverity.ERROR
    ]
    if refused:
        raise PipelineError(f"published, but some days are blocked: {'; '.join(refused)}")


@contextmanager
def _instance() -> Iterator[dg.DagsterInstance]:
    """Return the Dagster instance. An unusable instance is an expected error.

    Raises:
        SettingsError: there is no instance, or its records cannot be read.
    """
    try:
        with dg.DagsterInstance.get() as instance:
            yield instance
    except (dg.DagsterInvariantViolationError, dg.DagsterInvalidConfigError, sqlalchemy.exc.DatabaseError) as error:
        reason = str(error).partition("\n")[0]
        raise SettingsError(
            f"Dagster's records in {os.environ.get('DAGSTER_HOME')} cannot be used: {reason}. `tiktok-pipeline check` "
            "names a damaged file; move it away, and a new one is made; no data is lost"
        ) from None


def _reasons(result: dg.ExecuteInProcessResult) -> list[str]:
    """Return the reasons of failed steps: the message of an expected failure, else where to look."""
    reasons = []
    for event in result.all_events:
        if not event.is_step_failure:
            continue
        reason, expected = failure_reason(event)
        if expected:
            reasons.append(reason)
        elif reason:
            reasons.append(f"{event.step_key}: {reason} (run {result.run_id} in the Dagster UI)")
    return reasons


@cache
def _definitions() -> dg.Definitions:
    return build_definitions()
