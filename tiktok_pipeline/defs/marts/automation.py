"""The job and the schedule that derive and publish all layers after raw."""

from datetime import date, timedelta

import dagster as dg
import polars as pl

from tiktok_pipeline.defs.marts.daily import LONGEST_STREAM_DAYS
from tiktok_pipeline.defs.repairing import repair_tags, repaired_lately, repairs_before
from tiktok_pipeline.defs.scheduling import (
    Pace,
    given_up_after,
    home_in_use,
    interval,
    stale,
    succeeded_within,
    under_way,
)
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.partitions import TRAILING_DAYS, day_range_tags
from tiktok_pipeline.publish.duckdb_file import LINK
from tiktok_pipeline.resources import Pipeline
from tiktok_pipeline.tables import (
    COVERAGE,
    GIFT_ESTIMATES,
    RAW_LIVES,
    STREAM_CONVERSIONS,
    STREAM_HOURS,
    STREAM_LIFT,
    STREAMS,
)

# A stream may be longer than the last days. While it is open, these tables of its day are derived again; the next run
# over all of the last days sums up, ranks and publishes the changes.
_OF_OPEN_STREAMS = (STREAMS, STREAM_LIFT, STREAM_HOURS, STREAM_CONVERSIONS, GIFT_ESTIMATES)

# After a downtime at most this many days are derived in one run; older days need a backfill by hand.
MOST_DAYS = 31

_CADENCE = timedelta(minutes=15)

# At least once an hour a run covers all of the last days; the runs between cover today and yesterday, for streams on
# air and streams that began before midnight. Other changes of older days (the end of a late stream, a final lift) wait
# for the hourly run. Four ticks are an hour. The limit is below an hour, so that a tick some seconds early counts.
_ALL_DAYS = {"tiktok_pipeline/days": "all"}
_ALL_DAYS_EVERY = timedelta(minutes=52)
_NEWEST_DAYS = 2

# A run of the trailing days takes minutes; of a month, at 2,000 creators, an hour or more.
_LONGEST, _LONGEST_AFTER_DOWNTIME = timedelta(hours=1), timedelta(hours=6)

derive = dg.define_asset_job(
    "derive",
    selection=dg.AssetSelection.groups("normalized", "marts", "publish"),
    description="Normalizes new raw rows, rebuilds streams, lift, boards and ledgers of some days, and publishes.",
)


_EVERY = (
    "Every 15 minutes: derives today and yesterday and publishes. Once an hour: derives four days. "
    "After a downtime: derives all days since. "
    "Skipped while the last run is under way or if there is no raw data. Also rebuilds older days "
    "with an open stream, and damaged files of older days."
)


@dg.definitions
def automation() -> dg.Definitions:
    """Define the job and its schedule."""
    schedule = dg.schedule(
        name="derive",
        job=derive,
        cron_schedule=Pace.from_environment().cron(minutes=15, at_minute=7),
        # On from the start: it makes no request to a vendor and costs nothing.
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=_EVERY,
    )
    sensor = dg.sensor(
        name="first_report",
        job=derive,
        minimum_interval_seconds=interval(30, speed=Pace.from_environment().speed),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Every half minute: starts the first `derive` of a new deployment as soon as raw rows have landed, "
        "so that its first report does not wait for a tick. Does nothing after that.",
    )
    return dg.Definitions(jobs=[derive], schedules=[schedule(_tick)], sensors=[sensor(_first_tick)])


def _first_tick(context: dg.SensorEvaluationContext, pipeline: Pipeline) -> dg.SkipReason | dg.RunRequest:
    """Return the first run of `derive`, or the reason to skip it. Later runs, also after a failure, are scheduled."""
    if pipeline.replaying:
        return dg.SkipReason("TIKTOK_PIPELINE_CLOCK=replay: derive with `tiktok-pipeline replay`")
    if reason := home_in_use(pipeline.places.home, pipeline.variables):
        return reason
    if (pipeline.places.warehouse / LINK).exists():
        return dg.SkipReason("the first report is published; the schedule `derive` updates it")
    if not pipeline.lake.days(RAW_LIVES):
        return dg.SkipReason("no raw rows yet: switch the schedule `watch` on, or materialize `raw_lives`")
    if context.instance.get_run_records(dg.RunsFilter(job_name="derive"), limit=1):
        return dg.SkipReason("`derive` has run before; the schedule `derive` runs it again")
    today = pipeline.clock().now().date()
    first = first_unsettled_day(pipeline.lake, today)
    return dg.RunRequest(
        run_key="first", tags={**day_range_tags(first, today), **_ALL_DAYS, **given_up_after(_LONGEST_AFTER_DOWNTIME)}
    )


def _tick(context: dg.ScheduleEvaluationContext, pipeline: Pipeline) -> dg.SkipReason | list[dg.RunRequest]:
    """Return the runs of a tick, or the reason to skip it."""
    if pipeline.replaying:
        return dg.SkipReason("TIKTOK_PIPELINE_CLOCK=replay: derive with `tiktok-pipeline replay`")
    reason = (
        home_in_use(pipeline.places.home, pipeline.variables)
        or stale(context.scheduled_execution_time, _CADENCE)
        or under_way(context.instance, "derive")
    )
    if reason is not None:
        return reason
    if not pipeline.lake.days(RAW_LIVES):
        return dg.SkipReason("no raw rows yet: switch the schedule `watch` on, or see `tiktok-pipeline check`")
    clock = pipeline.clock()
    today = clock.now().date()
    first = oldest = first_unsettled_day(pipeline.lake, today)
    of_days = _ALL_DAYS
    # Tables made from a damaged file may lack its rows. Rebuild the day that just left the regular range once more.
    if repaired_lately(context.instance):
        first = oldest = oldest - timedelta(days=1)
    elif (today - oldest).days < TRAILING_DAYS and succeeded_within(
        context.instance, "derive", _ALL_DAYS, _ALL_DAYS_EVERY, speed=clock.speed
    ):
        first, of_days = max(oldest, today - timedelta(days=_NEWEST_DAYS - 1)), {}
    trailing = (today - first).days < TRAILING_DAYS
    limit = given_up_after(_LONGEST if trailing else _LONGEST_AFTER_DOWNTIME)
    tick = f"{context.scheduled_execution_time:%Y-%m-%dT%H:%M}"
    older = [
        dg.RunRequest(
            run_key=f"{tick}/{day}",
            partition_key=f"{day:%Y-%m-%d}",
            asset_selection=[dg.AssetKey(table.name) for table in _OF_OPEN_STREAMS],
            tags=limit,
        )
        for day in _with_open_streams(pipeline.lake, oldest)
    ]
    damaged = [
        dg.RunRequest(
            run_key=f"{tick}/{repair.key}",
            asset_selection=[dg.AssetKey(name) for name in repair.tables],
            tags={**repair_tags(repair), **given_up_after(_LONGEST_AFTER_DOWNTIME)},
        )
        for repair in repairs_before(pipeline.lake, min(oldest, today))
        if not repaired_lately(context.instance, repair)
    ]
    return [dg.RunRequest(run_key=tick, tags={**day_range_tags(first, today), **of_days, **limit}), *older, *damaged]


def first_unsettled_day(lake: Lake, today: date) -> date:
    """Return the first day to derive: the last days may still change, and so may days before a downtime and all since.

    Every derived day has a file of `coverage`, even without a poll.
    """
    derived, captured = lake.days(COVERAGE), lake.days(RAW_LIVES)
    newest = min(derived[-1] if derived else captured[0] if captured else today, today)
    first = newest - timedelta(days=TRAILING_DAYS - 1)
    return max(first, today - timedelta(days=MOST_DAYS - 1))


def _with_open_streams(lake: Lake, before: date) -> list[date]:
    """Return the days before `before` on which a stream began that has no end yet."""
    rows = lake.scan_days(STREAMS, before - timedelta(days=LONGEST_STREAM_DAYS), before - timedelta(days=1))
    days = rows.filter(pl.col("ended_at").is_null()).select(pl.col("started_at").dt.date().unique().sort())
    return days.collect().to_series().to_list()
