"""Common parts of the raw assets: their run configuration, and one capture window as a materialization."""

import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import dagster as dg
from pydantic import Field

from tiktok_pipeline.capture import window
from tiktok_pipeline.capture.client import Tally
from tiktok_pipeline.capture.clock import RealClock, hours_between
from tiktok_pipeline.capture.deployment import Deployment
from tiktok_pipeline.capture.followups import CAPABILITIES
from tiktok_pipeline.capture.replay import replay_hours
from tiktok_pipeline.capture.rounds import Round, live_round
from tiktok_pipeline.defs.asset_checks import warn_of_damage
from tiktok_pipeline.defs.asset_metadata import describe, shown
from tiktok_pipeline.errors import SettingsError
from tiktok_pipeline.partitions import HOURLY, hour_key, hour_of_key
from tiktok_pipeline.resources import Pipeline, plain_failures
from tiktok_pipeline.tables import RAW_LIVES, Table

# Progress of a window goes to Python's log for operators; the event log does not need it for every hour.
_progress = logging.getLogger(__name__)

# The last twentieth of a window's length is for storing responses, ending the run, and a late tick.
_POLLING_SHARE = 0.95

# Limits of the list of requests without a usable response in the UI.
_REASONS, _EXAMPLES = 20, 5


class CaptureConfig(dg.Config):
    """How to capture. The default, for a run by hand in the UI, polls each creator once."""

    mode: Literal["sweep", "watch", "boundary"] = Field(
        default="sweep",
        description="sweep: poll each creator once. watch (raw_lives only): poll in rounds until the window ends. "
        "boundary: follow-up requests for the creators in `due`.",
    )
    due: dict[str, str] = Field(default={}, description="For boundary: creator_id -> the due follow-up.")
    window_start: str | None = Field(
        default=None,
        description="Start of a scheduled window, RFC 3339. It names the window, so that a retry resumes it.",
    )
    hours: list[str] = Field(
        default=[],
        description="For replays: start of the first and of the last hour to capture, RFC 3339. A run of a partition "
        "or of a range of partitions captures those.",
    )
    every_hours: int = Field(
        default=1, description="For replays: sweep only in hours of the day that are multiples of this number."
    )


def raw_asset(table: Table, about: str) -> dg.AssetsDefinition:
    """Return the asset of a raw table: hourly, one run for any range, skipped without a vendor for it."""

    @dg.asset(
        name=table.name,
        partitions_def=HOURLY,
        backfill_policy=dg.BackfillPolicy.single_run(),
        output_required=False,
        # On the replay clock the other tables' requests follow the streams in raw_lives: it runs first. It is not a
        # dependency, because a raw table without a vendor is skipped, and must not skip the others.
        op_tags={"dagster/priority": "1" if table is RAW_LIVES else "0"},
        description=describe(table, about),
        **shown(table),
    )
    def land(
        context: dg.AssetExecutionContext, config: CaptureConfig, pipeline: Pipeline
    ) -> Iterator[dg.MaterializeResult[None]]:
        yield from _capture(context, config, pipeline, table)

    asset: dg.AssetsDefinition = land
    return asset


def _capture(
    context: dg.AssetExecutionContext, config: CaptureConfig, pipeline: Pipeline, table: Table
) -> Iterator[dg.MaterializeResult[None]]:
    """Run one window of `table` and report it; without a vendor, log the reason and skip."""
    for problem in pipeline.roster().problems:
        context.log.warning("Bad line of the roster: %s", problem)
    deployment = pipeline.deployment(context.run.run_id, _progress.info)
    capability = CAPABILITIES[table.name] if config.mode == "boundary" else window.SWEEPS[table.name][1]
    try:
        deployment.require_route(capability)
    except SettingsError as error:
        context.log.warning("Skipped %s: %s", table.name, error)
        return
    hours = _hours(context, config)
    round_ = _round(config, deployment, replaying=pipeline.replaying)
    if round_ is not None and round_.problem is not None:
        context.log.warning("A round cannot be kept: %s", round_.problem)
    with plain_failures():
        if pipeline.replaying and config.mode == "boundary":
            raise SettingsError("on the replay clock sweeps follow the streams: use `tiktok-pipeline replay`")
        if pipeline.replaying:
            report = replay_hours(deployment, table, hours, kind=config.mode, every_hours=config.every_hours)
        else:
            report = _now(context, config, pipeline, deployment, table, hours)
    warn_of_damage(context, pipeline.lake)
    for vendor, trouble in sorted(report.tally.troubles.items()):
        context.log.warning("Errors of %s, the last one: %s", vendor, trouble)
    if report.tally.flush_failures:
        context.log.warning(
            "%s flushes could not be written, and were repeated; up to %s rows waited in memory",
            report.tally.flush_failures,
            report.tally.most_rows_waiting,
        )
    creators = len(config.due) if config.mode == "boundary" else len(deployment.targets)
    metadata = _metadata(report, creators, len(hours), round_)
    if config.hours:
        _log_hours(context, table, report.hours, metadata)
        return
    for hour in sorted(report.hours.keys() - set(hours)):
        # A window may cross the hour, or begin late: report the rows outside of the run's own hour there.
        context.log_event(
            dg.AssetMaterialization(
                table.name,
                partition=hour_key(hour),
                metadata={**metadata, "dagster/partition_row_count": report.hours[hour]},
            )
        )
    if len(hours) == 1:
        metadata["dagster/partition_row_count"] = report.hours.get(hours[0], 0)
    if len(hours) > 1 or hours[0] in report.hours or not report.hours:
        yield dg.MaterializeResult(metadata=metadata)


def _hours(context: dg.AssetExecutionContext, config: CaptureConfig) -> list[datetime]:
    """Return the hours of the run: of its configuration, else of its partitions."""
    if not config.hours:
        return [hour_of_key(key) for key in context.partition_keys]
    first, last = (datetime.fromisoformat(hour) for hour in config.hours)
    return hours_between(first, last + timedelta(hours=1))


def _log_hours(
    context: dg.AssetExecutionContext, table: Table, rows: Mapping[datetime, int], metadata: Mapping[str, Any]
) -> None:
    """Log one materialization for each hour that has new rows; the newest also carries the numbers of the run.

    If the hours were partitions of the run, Dagster would store two events for each, even without rows. That took
    more time of a replay than polling.
    """
    hours = sorted(hour for hour, number in rows.items() if number)
    for hour in hours:
        shown = dict(metadata) if hour == hours[-1] else {}
        shown["dagster/partition_row_count"] = rows[hour]
        context.log_event(dg.AssetMaterialization(table.name, partition=hour_key(hour), metadata=shown))


def _now(
    context: dg.AssetExecutionContext,
    config: CaptureConfig,
    pipeline: Pipeline,
    deployment: Deployment,
    table: Table,
    hours: list[datetime],
) -> window.WindowReport:
    clock = pipeline.clock()
    now = clock.now()
    start = datetime.fromisoformat(config.window_start) if config.window_start else None
    start = start.replace(tzinfo=UTC) if start and not start.tzinfo else start
    if config.mode != "watch" or start is None:
        current = _current_hours(context, clock) if start is None else set[datetime]()
        for hour in hours:
            window.check_partition(hour, now, start, current)
    # A retried run keeps the id of the first: its stored rows stay, and are distinguished from the new ones.
    name = f"{config.mode}-{now:%Y%m%dT%H%M%S}-{(context.run.root_run_id or context.run.run_id)[:8]}"
    if config.mode == "sweep":
        return window.sweep_now(deployment, table, clock, name)
    if config.mode == "boundary":
        return window.followups_now(deployment, table, clock, config.due.keys(), name)
    length = timedelta(minutes=deployment.settings.watch.window_minutes)
    start = start or now
    # With a fast clock a run starts before its window.
    if start > now:
        time.sleep((start - now).total_seconds() / clock.speed)
        now = clock.now()
    # The run must finish before the next tick, or every second window is skipped.
    until = start + length * _POLLING_SHARE
    if until <= now:
        context.log.warning("The window that began at %s is over: no requests", config.window_start)
        return window.WindowReport()
    return window.watch_now(deployment, clock, until=until, window=f"watch-{start:%Y%m%dT%H%M%S}")


def _current_hours(context: dg.AssetExecutionContext, clock: RealClock) -> set[datetime]:
    """Return the hours that count as the current one for a run by hand."""
    record = context.instance.get_run_record_by_id(context.run.run_id)
    return set() if record is None else window.current_hours(record.create_timestamp, clock)


def _round(config: CaptureConfig, deployment: Deployment, *, replaying: bool) -> Round | None:
    """Return the round of a watch; None for other windows."""
    if config.mode != "watch":
        return None
    return live_round(deployment.settings, len(deployment.targets), deployment.accesses.keys(), replaying=replaying)


def _metadata(report: window.WindowReport, creators: int, hours: int, round_: Round | None) -> dict[str, Any]:
    tally = report.tally
    counted: dict[str, Any] = {
        "creators": creators,
        "requests": tally.requests,
        "answered": tally.usable_responses,
        "unanswered_questions": tally.failed_requests,
        "credits": tally.credits,
        "seconds": round(report.seconds, 1),
        "hours_already_landed": report.hours_skipped,
    }
    if round_ is not None:
        counted["round_seconds"] = round_.planned.total_seconds()
        counted["round_seconds_needed"] = round(round_.needed.total_seconds(), 1)
    if tally.unforeseen:
        counted["unforeseen"] = dict(tally.unforeseen)
    if tally.flush_failures:
        counted |= {"flush_failures": tally.flush_failures, "most_rows_waiting": tally.most_rows_waiting}
    counted |= {f"outcome_{outcome}": number for outcome, number in sorted(tally.outcomes.items())}
    counted |= {f"trouble_{vendor}": trouble for vendor, trouble in sorted(tally.troubles.items())}
    if tally.failures:
        counted["unanswered"] = dg.MetadataValue.md(_failures(tally))
    if hours == 1:
        return {"dagster/partition_row_count": report.rows, **counted}
    # Dagster shows the same metadata for every hour of a run: under the names of one hour, plots would be wrong.
    return {"dagster/row_count": report.rows, **{f"run/{name}": value for name, value in counted.items()}}


def _failures(tally: Tally) -> str:
    """Return a table of requests without a usable response: creators and reasons, the most common reasons first."""
    most_common = sorted(tally.failures.items(), key=lambda each: -each[1].total())[:_REASONS]
    rows = [
        f"| {capability} | {creators.total()} | {_names(creators)} | {reason.replace('|', '/')} |"
        for (capability, reason), creators in most_common
    ]
    return "\n".join(["| request | times | creators | reason |", "|---|---|---|---|", *rows])


def _names(creators: Counter[str]) -> str:
    named = [name for name, _ in creators.most_common(_EXAMPLES)]
    return ", ".join(named) + (f" and {len(creators) - len(named)} more" if len(creators) > len(named) else "")
