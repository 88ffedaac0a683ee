"""Find the follow-ups of streams in raw rows, and those that are due."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from tiktok_pipeline.capture import followups
from tiktok_pipeline.capture.deployment import Deployment
from tiktok_pipeline.capture.history import LiveHistory
from tiktok_pipeline.capture.known_accounts import identified
from tiktok_pipeline.capture.on_air import on_air_readings


def planned_followups(deployment: Deployment, since: datetime, until: datetime) -> pl.DataFrame:
    """Return the follow-ups in [since, until) of creators on the roster (`followups.FOLLOWUPS`)."""
    settings = deployment.settings
    merge_gap = timedelta(minutes=settings.streams.merge_gap_minutes)
    begin = since - followups.reach(settings.boundary) - merge_gap
    targets = identified(deployment.lake, deployment.targets, until)
    readings = on_air_readings(deployment.lake, begin, until, targets)
    listed = [target.creator_id for target in deployment.targets]
    planned = followups.plan(readings, settings.boundary, merge_gap=merge_gap)
    return planned.filter(pl.col("at") >= since, pl.col("at") < until, pl.col("creator_id").is_in(listed))


def due_followups(deployment: Deployment, now: datetime, history: LiveHistory | None = None) -> pl.DataFrame:
    """Return the follow-ups that are due: begun, not expired, without a response, with a vendor (`FOLLOWUPS`).

    `history` holds the state of earlier calls for the same lake. With it only new raw files are read; the result is
    the same.
    """
    settings = deployment.settings
    since = now - timedelta(minutes=settings.boundary.patience_minutes)
    merge_gap = timedelta(minutes=settings.streams.merge_gap_minutes)
    span = followups.reach(settings.boundary) + merge_gap
    readings, responses = (history or LiveHistory()).update(
        deployment.lake, deployment.targets, since - span, now, span=span
    )
    listed = {target.creator_id for target in deployment.targets}
    streamers = set(readings.filter("on_air")["creator_id"].unique()) & listed
    possible = [table for table, capability in followups.CAPABILITIES.items() if deployment.vendors_for(capability)]
    planned = followups.plan(
        readings.filter(pl.col("creator_id").is_in(sorted(streamers))), settings.boundary, merge_gap=merge_gap
    ).filter(pl.col("at") >= since, pl.col("table").is_in(possible))
    return followups.due(planned, responses, now)
