"""The sensor `alerts`: failed runs, blocked days, failed warnings of checks, and missing responses."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import msgspec
import polars as pl

from tiktok_pipeline.alerts import wording
from tiktok_pipeline.alerts.outbox import Message, Outbox
from tiktok_pipeline.alerts.webhook import WEBHOOK, run_link
from tiktok_pipeline.capture.clock import hours_between
from tiktok_pipeline.capture.redaction import Redactor
from tiktok_pipeline.defs.alerts.delivery import EVERY_SECONDS, deliver_messages, reason_to_skip
from tiktok_pipeline.defs.failures import failure_reason
from tiktok_pipeline.defs.scheduling import switched_on
from tiktok_pipeline.providers import VENDORS
from tiktok_pipeline.resources import Pipeline
from tiktok_pipeline.tables import RAW_LIVES

_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
_TOLD_OF = {dg.DagsterEventType.ASSET_CHECK_EVALUATION, dg.DagsterEventType.STEP_FAILURE}

# Runs are found by their time of change; a stopped clock or a slow commit hides none within this time.
_OVERLAP = timedelta(minutes=2)
_MOST_RUNS = 100


class _Seen(msgspec.Struct):
    """The cursor: the time of the last tick's runs, the ids of the last runs, and the outbox of messages."""

    until: datetime
    runs: list[str] = []
    outbox: Outbox = msgspec.field(default_factory=Outbox)


@dg.sensor(
    name="alerts",
    minimum_interval_seconds=EVERY_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Every half minute: sends alerts to TIKTOK_PIPELINE_ALERT_WEBHOOK about failed runs, blocked days, "
    "warnings of checks (staleness, budget, drift, vendors, coverage, quarantine), and missing responses. The same "
    "alert is sent once in `[alerts] repeat_minutes`. Does nothing while the variable is not set.",
)
def alerts_sensor(context: dg.SensorEvaluationContext, pipeline: Pipeline) -> dg.SkipReason:
    """See the description. It polls runs, so that a message that could not be sent is sent by a later tick."""
    reason = reason_to_skip(pipeline)
    if reason is not None:
        return reason
    now = datetime.now(UTC)
    seen = msgspec.json.decode(context.cursor, type=_Seen) if context.cursor else _Seen(until=now)
    ended = _ended(context.instance, seen)
    # The first tick only sets the cursor: earlier runs are no news.
    news = [message for run in ended if context.cursor for message in _of_run(context.instance, pipeline, run)]
    result = deliver_messages(context, pipeline, seen.outbox, [*news, *_of_silence(context, pipeline)])
    seen.until = now
    context.update_cursor(msgspec.json.encode(seen).decode())
    return result


def _ended(instance: dg.DagsterInstance, seen: _Seen) -> list[dg.DagsterRun]:
    """Return the runs that ended since the last tick; update `seen.runs`."""
    records = instance.get_run_records(
        dg.RunsFilter(statuses=_ENDED, updated_after=seen.until - _OVERLAP), limit=_MOST_RUNS, ascending=True
    )
    known = set(seen.runs)
    runs = [record.dagster_run for record in records if record.dagster_run.run_id not in known]
    # A known run cannot come back once it is older than the overlap, and these are the newest.
    seen.runs = [*seen.runs, *(run.run_id for run in runs)][-2 * _MOST_RUNS :]
    return runs


def _of_run(instance: dg.DagsterInstance, pipeline: Pipeline, run: dg.DagsterRun) -> Iterator[Message]:
    link = run_link(run.run_id, pipeline.variables)
    reasons, blocked = [], False
    for entry in instance.all_logs(run.run_id, of_type=_TOLD_OF):
        event = entry.get_dagster_event()
        if event.is_step_failure:
            reasons.append(failure_reason(event)[0])
            continue
        found = event.asset_check_evaluation_data
        if found.passed:
            continue
        table, text = found.asset_key.to_user_string(), found.description or ""
        if found.severity == dg.AssetCheckSeverity.ERROR:
            blocked = True
            yield wording.day_blocked(table, found.check_name, text, link)
        else:
            yield wording.check_warned(table, found.check_name, text, link)
    if run.status == dg.DagsterRunStatus.FAILURE and not blocked:
        yield wording.run_failed(run.job_name, reasons[0] if reasons else "", link, _redactor(pipeline))


def _redactor(pipeline: Pipeline) -> Redactor:
    """Return a redactor with the deployment's secrets: a failure's message may contain them."""
    names = {name for vendor in VENDORS.values() for name in vendor.credential_variables}
    return Redactor(pipeline.variables.get(name, "") for name in {*names, WEBHOOK})


def _of_silence(context: dg.SensorEvaluationContext, pipeline: Pipeline) -> Iterator[Message]:
    """Yield an alert if no response is stored although capture is on, or was on lately."""
    now = pipeline.clock().now()
    within = timedelta(minutes=pipeline.settings().checks.stale_minutes)
    stored = pipeline.lake.scan_raw(RAW_LIVES, hours_between(now - within, now))
    newest = stored.select(pl.col("received_at").max()).collect().item()
    if (newest is None or newest < now - within) and _capture_is_on(context.instance, pipeline):
        yield wording.stale(within)


def _capture_is_on(instance: dg.DagsterInstance, pipeline: Pipeline) -> bool:
    if switched_on(pipeline.variables):
        return True
    lately = dg.RunsFilter(job_name="watch", created_after=datetime.now(UTC) - timedelta(days=1))
    return bool(instance.get_run_records(lately, limit=1))
