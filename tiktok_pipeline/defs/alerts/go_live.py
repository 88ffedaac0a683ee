"""The sensor `go_live`: streams that started or ended, as soon as their raw rows are stored."""

from __future__ import annotations

import dagster as dg
import msgspec
import polars as pl

from tiktok_pipeline.alerts import wording
from tiktok_pipeline.alerts.on_air import LATE, OnAir, advance
from tiktok_pipeline.alerts.outbox import Outbox
from tiktok_pipeline.capture.clock import hours_between
from tiktok_pipeline.defs.alerts.delivery import EVERY_SECONDS, deliver_messages, reason_to_skip
from tiktok_pipeline.resources import Pipeline
from tiktok_pipeline.tables import CREATORS, LIVE_OBSERVATIONS, RAW_LIVES
from tiktok_pipeline.transforms.observations import read_bodies
from tiktok_pipeline.transforms.raw_rows import usable


class _Seen(msgspec.Struct):
    """The cursor: streams on air, and the outbox of messages."""

    on_air: OnAir = msgspec.field(default_factory=OnAir)
    outbox: Outbox = msgspec.field(default_factory=Outbox)


@dg.sensor(
    name="go_live",
    minimum_interval_seconds=EVERY_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Every half minute, if `[alerts] go_live` is true: sends TIKTOK_PIPELINE_ALERT_WEBHOOK one notice for "
    "each started and ended stream, from the responses since the last tick.",
)
def go_live_sensor(context: dg.SensorEvaluationContext, pipeline: Pipeline) -> dg.SkipReason:
    """See the description. It reads raw files and makes no requests."""
    reason = reason_to_skip(pipeline)
    if reason is not None:
        return reason
    settings = pipeline.settings()
    if not settings.alerts.go_live:
        return dg.SkipReason("[alerts] go_live is not true")
    seen = msgspec.json.decode(context.cursor, type=_Seen) if context.cursor else _Seen()
    lake, now = pipeline.lake, pipeline.clock().now()
    since = (seen.on_air.until or now) - LATE
    stored = lake.scan_raw(RAW_LIVES, hours_between(since, now))
    raw = usable(stored.filter(pl.col("received_at") > since)).collect()
    live = read_bodies(raw, RAW_LIVES.name, hash_key=pipeline.hash_key())[LIVE_OBSERVATIONS.name]
    notices = advance(seen.on_air, live, settings=settings.streams, now=now)
    handles = dict(lake.scan_all(CREATORS).select("creator_id", "handle").collect().iter_rows()) if notices else {}
    result = deliver_messages(
        context,
        pipeline,
        seen.outbox,
        [wording.on_air(notice, handles.get(notice.creator_id) or notice.creator_id) for notice in notices],
    )
    context.update_cursor(msgspec.json.encode(seen).decode())
    return result
