"""Replay hours on a clock that jumps: the same polls as in production, for any number of hours at once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

import polars as pl

from tiktok_pipeline import tables
from tiktok_pipeline.capture import followups
from tiktok_pipeline.capture.client import Client, Tally
from tiktok_pipeline.capture.clock import ReplayClock, hours_between
from tiktok_pipeline.capture.deployment import Deployment
from tiktok_pipeline.capture.due_followups import planned_followups
from tiktok_pipeline.capture.landing import captures_of, is_over
from tiktok_pipeline.capture.window import SWEEPS, WindowReport, run_window, watch_until
from tiktok_pipeline.capture.window_state import WindowState
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.providers.vendor import Target
from tiktok_pipeline.tables import Table


def replay_hours(
    deployment: Deployment, table: Table, hours: Sequence[datetime], *, kind: str, every_hours: int = 1
) -> WindowReport:
    """Replay `hours`: as a watch, or as a sweep at the start of every hour that `every_hours` divides.

    A sweep also makes the follow-up requests of streams, as far as live polls are landed. An hour that this kind of
    window has already landed is skipped, unless it contains no response at all.

    Raises:
        CaptureError: no request of a whole span got a usable response.
    """
    poll, _ = SWEEPS[table.name]
    report = WindowReport()
    begun = time.perf_counter()
    for start, end in _spans([hour for hour in hours if not _landed(deployment.lake, table, hour, kind)]):

        async def sweeps(client: Client, state: WindowState, start: datetime = start, end: datetime = end) -> None:
            for moment, targets in _agenda(deployment, table, start, end, every_hours):
                await client.clock.sleep_until(moment)
                await poll(client, targets, state)

        work = watch_until(end) if kind == "watch" else sweeps
        done = run_window(deployment, table, ReplayClock(start), kind, None, work, span=(start, end))
        report.rows += done.rows
        report.hours |= done.hours
        _add(report.tally, done.tally)
        report.hours_skipped -= len(hours_between(start, end))
    report.hours_skipped += len(hours)
    report.seconds = time.perf_counter() - begun
    return report


def _agenda(
    deployment: Deployment, table: Table, start: datetime, end: datetime, every_hours: int
) -> list[tuple[datetime, list[Target]]]:
    """Return times with the creators to poll: all of them at sweep hours, some at follow-ups of their streams."""
    agenda = [
        (hour, list(deployment.targets))
        for hour in hours_between(start, end)
        if every_hours == 1 or hour.hour % every_hours == 0
    ]
    # The watch requests rooms itself. A table without follow-ups needs no on-air history.
    if table is tables.RAW_LIVES or table.name not in followups.CAPABILITIES:
        return agenda
    by_id = {target.creator_id: target for target in deployment.targets}
    planned = planned_followups(deployment, start, end).filter(pl.col("table") == table.name)
    for at, creator_ids in planned.group_by("at").agg(pl.col("creator_id").unique().sort()).iter_rows():
        agenda.append((at, [by_id[creator_id] for creator_id in creator_ids]))
    return sorted(agenda, key=lambda entry: entry[0])


def _landed(lake: Lake, table: Table, hour: datetime, kind: str) -> bool:
    """Return whether a replayed window is complete on disk: it needed no requests, or a vendor responded."""
    window = f"{kind}-{hour:%Y%m%dT%H}"
    if not is_over(lake, table, hour, window):
        return False
    in_window = pl.col("capture_id").str.starts_with(captures_of(table, window))
    statuses = lake.scan_raw(table, [hour]).filter(in_window).select("http_status").collect()["http_status"]
    return statuses.is_empty() or statuses.null_count() < len(statuses)


def _spans(hours: Sequence[datetime]) -> list[tuple[datetime, datetime]]:
    """Join adjacent hours to spans without a gap."""
    spans: list[tuple[datetime, datetime]] = []
    for hour in sorted(hours):
        if spans and spans[-1][1] == hour:
            spans[-1] = (spans[-1][0], hour + timedelta(hours=1))
        else:
            spans.append((hour, hour + timedelta(hours=1)))
    return spans


def _add(total: Tally, part: Tally) -> None:
    total.outcomes.update(part.outcomes)
    total.credits += part.credits
    for reasons, creators in part.failures.items():
        total.failures.setdefault(reasons, Counter()).update(creators)
    total.troubles.update(part.troubles)
    total.unforeseen.update(part.unforeseen)
    total.flush_failures += part.flush_failures
    total.most_rows_waiting = max(total.most_rows_waiting, part.most_rows_waiting)
