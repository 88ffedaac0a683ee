"""The normalized tables, made together: each raw body is decoded once and gives rows of all tables."""

from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from functools import partial

import dagster as dg
import polars as pl

from tiktok_pipeline.checks.check_result import CheckResult
from tiktok_pipeline.checks.drift import drift
from tiktok_pipeline.checks.health import freshness, readability, whole_files
from tiktok_pipeline.config.settings import Checks
from tiktok_pipeline.defs.asset_checks import Checking, Results, check_specs, warn_of_damage
from tiktok_pipeline.defs.asset_metadata import describe, shown
from tiktok_pipeline.defs.skipping import REBUILD_TAG, Made, Skipping, metadata_of
from tiktok_pipeline.derive.decoded import CACHED_DAYS, DecodedHours, prune
from tiktok_pipeline.derive.normalized import MADE, NormalizedDay, normalize_day
from tiktok_pipeline.derive.sightings import listed_accounts
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.partitions import BY_THE_MONTH, DAILY, days_of_keys, neighbours
from tiktok_pipeline.providers.guard import UNFORESEEN
from tiktok_pipeline.resources import Pipeline
from tiktok_pipeline.tables import (
    ACCOUNT_SIGHTINGS,
    LIVE_OBSERVATIONS,
    PAYLOAD_SHAPES,
    QUARANTINE,
    RAW_LIVES,
    RAW_TABLES,
    Table,
)
from tiktok_pipeline.upkeep.retention import retired

# The asset name in the records of its days.
_ASSET = "observations"

_ABOUT = """
Made from the raw rows of a day by the job `derive`, which reads every body once. A day is the day of the request; a
cached response may describe the state some seconds earlier. Derived only from raw and the ids on the roster, so any day
can be rebuilt. Responses about another account than the creator's are in quarantine.

The declared dependency is the raw rows of the day and of the day before. Two reads are not declared: the sightings of
all earlier days, because the same step makes them, and the raw rows of the next day, which are read only if an account
is not identified by the end of its day.
"""


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            table.name,
            # The day before as well: a profile vouches for a creator over midnight.
            deps=[neighbours(raw.name, before=1) for raw in RAW_TABLES],
            description=describe(table, _ABOUT),
            partitions_def=DAILY,
            skippable=True,
            **shown(table),
        )
        for table in MADE
    ],
    check_specs=[spec for table in MADE for spec in check_specs(table)],
    can_subset=True,
    backfill_policy=BY_THE_MONTH,
)
def observations(context: dg.AssetExecutionContext, pipeline: Pipeline) -> Results:
    """Read the raw rows of each day that has new ones, and replace the day's files."""
    lake, settings = pipeline.lake, pipeline.settings().checks
    listed = listed_accounts(pipeline.roster())
    selected = [table for table in MADE if dg.AssetKey(table.name) in context.selected_asset_keys]
    checking = {table: Checking.of(table, pipeline) for table in selected}
    skipping = Skipping.of(context, pipeline, _ASSET, MADE)
    days = days_of_keys(list(context.partition_keys))
    newest = max([*days, *lake.days(RAW_LIVES)])
    # The last days are read by every run; a backfill reads each older day once.
    lasting = newest - timedelta(days=CACHED_DAYS - 1)
    # The newest day with raw rows: warnings are about it.
    read: Callable[[], NormalizedDay] | None = None
    for day in days:
        # A day is read with the one before it: if either was removed, the stored rows are better than new ones.
        if retired(lake, day) or retired(lake, day - timedelta(days=1)):
            context.log.warning("%s is not replaced: its raw rows, or those of the day before, were removed", day)
            continue
        record = skipping.up_to_date(day) if len(selected) == len(MADE) else None
        if record is not None:
            for table in selected:
                context.add_asset_metadata(metadata_of(record, table), table.name, f"{day}")
                checking[table].unchanged()
            captures = int(record.numbers[QUARANTINE.name]["captures"])
            if captures or read is None:
                read = partial(_stored, lake, day, captures)
            continue
        keep = day > lasting and REBUILD_TAG not in context.run.tags
        decoded = DecodedHours.of(lake, pipeline.hash_key(), settings.shape_bodies, keep=keep)
        with skipping.making(day) as made:
            normalized = _replace(context, lake, day, partial(normalize_day, decoded, day, listed), checking, made)
        if normalized is not None and (normalized.captures or read is None):
            read = partial(_same, normalized)
    prune(lake, newest)
    passed_over = warn_of_damage(context, lake)
    warned_of = None if read is None else read()
    for table in selected:
        warnings = _warnings(table, warned_of, pipeline) if warned_of is not None else {}
        if table is QUARANTINE:
            warnings["files"] = whole_files(passed_over)
        for result in checking[table].results(warnings):
            if dg.AssetCheckKey(dg.AssetKey(table.name), str(result.check_name)) in context.selected_asset_check_keys:
                yield result
    for table in selected:
        yield dg.MaterializeResult(asset_key=table.name)


def _replace(
    context: dg.AssetExecutionContext,
    lake: Lake,
    day: date,
    normalize: Callable[[], NormalizedDay],
    checking: Mapping[Table, Checking],
    made: Made,
) -> NormalizedDay | None:
    """Replace a day's files; return its rows, or None if the day could not be read."""
    normalized: NormalizedDay | None = None
    failed: Exception | None = None
    try:
        normalized = normalize()
    # Every table of the day is blocked below; the other days continue.
    except Exception as error:
        failed = error
    for table, checks in checking.items():
        frame = checks.made(partial(_frame, normalized, failed, table), f"{day}")
        if frame is None or normalized is None:
            context.add_asset_metadata(checks.metadata(f"{day}"), table.name, f"{day}")
            continue
        lake.write_day(table, day, frame)
        numbers = _numbers(table, frame, normalized)
        context.add_asset_metadata(numbers, table.name, f"{day}")
        made.add(table, numbers)
    return normalized


def _stored(lake: Lake, day: date, captures: int) -> NormalizedDay:
    """Return a day that is up to date, with the fields that warnings read."""
    warned = (LIVE_OBSERVATIONS, QUARANTINE, PAYLOAD_SHAPES)
    frames = {table.name: lake.scan_days(table, day, day).collect() for table in warned}
    return NormalizedDay(day, {table.name: table.empty() for table in MADE} | frames, captures)


def _same(normalized: NormalizedDay) -> NormalizedDay:
    return normalized


def _frame(normalized: NormalizedDay | None, failed: Exception | None, table: Table) -> pl.DataFrame:
    """Return the table's rows of a day, or the error that stopped the reading."""
    if normalized is None:
        raise failed or AssertionError("a day that was not read has an error")
    return normalized.frames[table.name]


def _warnings(table: Table, read: NormalizedDay, pipeline: Pipeline) -> dict[str, CheckResult]:
    """Return the warnings of the newest day that was read."""
    settings, frame = pipeline.settings().checks, read.frames[table.name]
    if table is LIVE_OBSERVATIONS:
        now = pipeline.clock().now()
        if pipeline.replaying or read.day < (now - timedelta(days=1)).date():
            return {"freshness": CheckResult(passed=True, message="not checked: the run covers past days only")}
        newest = frame["observed_at"].max()
        return {"freshness": freshness(newest if isinstance(newest, datetime) else None, now=now, settings=settings)}
    if table is QUARANTINE:
        return {"readability": readability(frame, read.captures, settings=settings)}
    if table is PAYLOAD_SHAPES:
        return {"drift": drift(frame, _shapes_before(pipeline.lake, read.day, settings), settings=settings)}
    return {}


def _numbers(table: Table, frame: pl.DataFrame, read: NormalizedDay) -> dict[str, float | int]:
    """Return the numbers of a day for the UI's plots."""
    shown: dict[str, float | int] = {"dagster/partition_row_count": frame.height}
    if table is QUARANTINE:
        return shown | {
            "captures": read.captures,
            "captures_in_quarantine": frame["capture_id"].n_unique(),
            "unforeseen": int(frame["reason"].str.starts_with(UNFORESEEN).sum()),
        }
    if table in (PAYLOAD_SHAPES, ACCOUNT_SIGHTINGS):
        return shown
    shown["creators"] = frame["creator_id"].n_unique()
    if table is LIVE_OBSERVATIONS and frame.height:
        states = frame["live_state"]
        shown["creators_seen_live"] = frame.filter(states == "live")["creator_id"].n_unique()
        shown["unknown_share"] = round(int((states == "unknown").sum()) / frame.height, 4)
    return shown


def _shapes_before(lake: Lake, day: date, settings: Checks) -> pl.DataFrame:
    first, last = day - timedelta(days=settings.drift_days), day - timedelta(days=1)
    return lake.scan_days(PAYLOAD_SHAPES, first, last).with_columns(day=pl.col("observed_at").dt.date()).collect()
