"""The follow-ups of streams that raw rows report, and which of them are due."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from tiktok_pipeline.capture import followups
from tiktok_pipeline.capture.deployment import Deployment
from tiktok_pipeline.capture.history import LiveHistory
from tiktok_pipeline.capture.known_accounts import identified
from tiktok_pipeline.capture.on_air import on_air_readings


def followup_moments(deployment: Deployment, since: datetime, until: datetime) -> pl.DataFrame:
    """The moments in [since, until) of streams that landed, of creators on the roster (`followups.MOMENTS`)."""
    settings = deployment.settings
    merge_gap = timedelta(minutes=settings.streams.merge_gap_minutes)
    begin = since - followups.reach(settings.boundary) - merge_gap
    targets = identified(deployment.lake, deployment.targets, until)
    readings = on_air_readings(deployment.lake, begin, until, targets)
    listed = [target.creator_id for target in deployment.targets]
    found = followups.moments(readings, settings.boundary, merge_gap=merge_gap)
    return found.filter(pl.col("at") >= since, pl.col("at") < until, pl.col("creator_id").is_in(listed))


def due_followups(deployment: Deployment, now: datetime, history: LiveHistory | None = None) -> pl.DataFrame:
    """Return the follow-ups that are due: begun, not expired, without an answer, with a vendor (`followups.MOMENTS`).

    With `history`, the state of earlier calls for the same lake, only what landed since is read; the result is the
    same.
    """
    settings = deployment.settings
    since = now - timedelta(minutes=settings.boundary.patience_minutes)
    merge_gap = timedelta(minutes=settings.streams.merge_gap_minutes)
    span = followups.reach(settings.boundary) + merge_gap
    readings, answered = (history or LiveHistory()).update(
        deployment.lake, deployment.targets, since - span, now, span=span
    )
    listed = {target.creator_id for target in deployment.targets}
    streamers = set(readings.filter("on_air")["creator_id"].unique()) & listed
    possible = [table for table, asks in followups.CAPABILITIES.items() if deployment.vendors_for(asks)]
    found = followups.moments(
        readings.filter(pl.col("creator_id").is_in(sorted(streamers))), settings.boundary, merge_gap=merge_gap
    ).filter(pl.col("at") >= since, pl.col("table").is_in(possible))
    return followups.due(found, answered, now)
