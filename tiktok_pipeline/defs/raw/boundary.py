"""The job and the sensor of stream boundaries: what is asked when a stream starts, when it ends, and afterwards."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import dagster as dg

from tiktok_pipeline.capture import boundary, window
from tiktok_pipeline.defs.guard import SENSOR_STATUS, given_up_after, interval, under_way
from tiktok_pipeline.partitions import HOURLY, hour_key
from tiktok_pipeline.resources import Pipeline

# The same moments are asked for again after this long: by then a run that was lost is known to be.
_AGAIN_AFTER_S = 300

# A run asks each of the creators that are due a few questions; an hour is for a vendor that is slow.
_LONGEST = timedelta(hours=1)

stream_boundaries = dg.define_asset_job(
    "stream_boundaries",
    selection=list(boundary.CAPABILITIES),
    partitions_def=HOURLY,
    description="One window: asks about all creators whose stream has just started or ended, or ended some time ago: "
    "profiles, the ended room, posts, followers. Whom, and why, stands in the run's configuration.",
    # Before a run that derives: what is asked late is worth less.
    tags={"tiktok/poll": "stream_boundaries", "dagster/priority": "1"},
)


@dg.sensor(
    name="stream_boundaries",
    job=stream_boundaries,
    minimum_interval_seconds=interval(seconds=60),
    default_status=SENSOR_STATUS,
    description="Every minute: reads from the lake which streams started and ended, and asks for one run for all "
    "creators of whom a moment is due ([boundary] in settings.toml) and has not landed. Asks no vendor itself.",
)
def stream_boundaries_sensor(context: dg.SensorEvaluationContext) -> Iterator[dg.SkipReason | dg.RunRequest]:
    """See the description."""
    pipeline = Pipeline()
    if pipeline.replaying:
        yield dg.SkipReason("TIKTOK_PIPELINE_CLOCK=replay: `tiktok-pipeline replay` asks at these moments itself")
        return
    reason = under_way(context.instance, "stream_boundaries")
    if reason is not None:
        yield reason
        return
    clock = pipeline.clock()
    now = clock.now()
    due = window.boundary_due(pipeline.deployment("", context.log.info), now)
    if due.is_empty():
        yield dg.SkipReason("no moment of a stream is due")
        return
    asked = boundary.reasons(due)
    start = now.isoformat(timespec="seconds")
    yield dg.RunRequest(
        run_key=_key(due["creator_id"].to_list(), due["why"].to_list(), due["at"].to_list()),
        partition_key=hour_key(now),
        asset_selection=[dg.AssetKey(table) for table in asked],
        run_config={
            "ops": {
                table: {"config": {"mode": "boundary", "due": whys, "window_start": start}}
                for table, whys in asked.items()
            }
        },
        tags=given_up_after(_LONGEST),
    )


def _key(*columns: list[object]) -> str:
    """Names a set of moments for some minutes: a tick that is evaluated twice asks once, a lost run is asked again."""
    period = int(datetime.now(UTC).timestamp()) // interval(seconds=_AGAIN_AFTER_S)
    return f"{sha256(repr(columns).encode()).hexdigest()[:16]}-{period}"
