"""The job and the sensor of follow-ups: requests when a stream starts, when it ends, and afterwards."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from pathlib import Path

import dagster as dg

from tiktok_pipeline.capture import due_followups, followups
from tiktok_pipeline.capture.history import LiveHistory
from tiktok_pipeline.defs.scheduling import Pace, given_up_after, home_in_use, interval, under_way
from tiktok_pipeline.partitions import hour_key
from tiktok_pipeline.resources import Pipeline

# Delay before the same follow-ups are requested again: by then run monitoring has found a lost run.
_AGAIN_AFTER_S = 300

# A run makes a few requests for each due creator; an hour allows for a slow vendor.
_LONGEST = timedelta(hours=1)

stream_boundaries = dg.define_asset_job(
    "stream_boundaries",
    selection=list(followups.CAPABILITIES),
    description="One window of follow-up requests for creators whose stream has started or ended: profiles, the ended "
    "room, posts, followers. The run's configuration lists the creators and the reasons.",
    # Runs before `derive`, because a late follow-up is worth less.
    tags={"tiktok/poll": "stream_boundaries", "dagster/priority": "1"},
)


@dg.definitions
def automation() -> dg.Definitions:
    """Define the job and its sensor."""
    pace = Pace.from_environment()
    sensor = dg.sensor(
        name="stream_boundaries",
        job=stream_boundaries,
        minimum_interval_seconds=interval(60, speed=pace.speed),
        default_status=pace.sensors,
        description="Every minute: finds started and ended streams in the lake and requests one run for all creators "
        "with a due follow-up ([boundary] in settings.toml) that is not in raw yet. Makes no request to a vendor.",
    )
    return dg.Definitions(jobs=[stream_boundaries], sensors=[sensor(_tick)])


def _tick(context: dg.SensorEvaluationContext, pipeline: Pipeline) -> Iterator[dg.SkipReason | dg.RunRequest]:
    """Yield one run for all due follow-ups, or the reason to skip the tick."""
    if pipeline.replaying:
        yield dg.SkipReason("TIKTOK_PIPELINE_CLOCK=replay: `tiktok-pipeline replay` makes these follow-ups itself")
        return
    reason = home_in_use(pipeline.places.home, pipeline.variables) or under_way(context.instance, "stream_boundaries")
    if reason is not None:
        yield reason
        return
    clock = pipeline.clock()
    now = clock.now()
    due = due_followups.due_followups(pipeline.deployment("", context.log.info), now, _history(pipeline.places.lake))
    if due.is_empty():
        yield dg.SkipReason("no follow-up is due")
        return
    reasons_by_table = followups.reasons(due)
    start = now.isoformat(timespec="seconds")
    yield dg.RunRequest(
        run_key=_key(due["creator_id"].to_list(), due["why"].to_list(), due["at"].to_list(), speed=clock.speed),
        partition_key=hour_key(now),
        asset_selection=[dg.AssetKey(table) for table in reasons_by_table],
        run_config={
            "ops": {
                table: {"config": {"mode": "boundary", "due": reasons, "window_start": start}}
                for table, reasons in reasons_by_table.items()
            }
        },
        tags=given_up_after(_LONGEST),
    )


@cache
def _history(lake: Path) -> LiveHistory:
    """Return the state that earlier ticks have read. The code server evaluates all ticks, so it outlives each one."""
    return LiveHistory()


def _key(*columns: list[object], speed: float) -> str:
    """Return a run key that deduplicates a set of follow-ups for some minutes; after that, a lost run is retried."""
    period = int(datetime.now(UTC).timestamp()) // interval(_AGAIN_AFTER_S, speed=speed)
    return f"{sha256(repr(columns).encode()).hexdigest()[:16]}-{period}"
