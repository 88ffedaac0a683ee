"""The normalized tables, made together: each raw body is decoded once and gives rows of all of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial

import dagster as dg
import polars as pl

from tiktok_pipeline.capture.clock import hours_between
from tiktok_pipeline.capture.memory import RAW_TABLES
from tiktok_pipeline.checks.drift import drift
from tiktok_pipeline.checks.health import freshness, readability, whole_files
from tiktok_pipeline.checks.verdict import Verdict
from tiktok_pipeline.defs.checked import Checking, Results, check_specs, warn_of_damage
from tiktok_pipeline.defs.normalized.sightings import history, listed_accounts, sightings_of_day
from tiktok_pipeline.defs.shown import describe, shown
from tiktok_pipeline.lake import Lake
from tiktok_pipeline.partitions import BY_THE_MONTH, DAILY, days_of_keys
from tiktok_pipeline.providers.accounts import Account
from tiktok_pipeline.providers.guard import UNFORESEEN
from tiktok_pipeline.resources import Pipeline
from tiktok_pipeline.settings import Checks
from tiktok_pipeline.tables import (
    ACCOUNT_SIGHTINGS,
    LIVE_OBSERVATIONS,
    PAYLOAD_SHAPES,
    PROFILE_OBSERVATIONS,
    QUARANTINE,
    Table,
)
from tiktok_pipeline.transforms.identity import (
    Identities,
    doubted,
    expel,
    identities,
    other_accounts,
    requests_of,
    sightings,
)
from tiktok_pipeline.transforms.observations import NORMALIZED, profile_answers, read_bodies, settle_absences
from tiktok_pipeline.transforms.payload_shapes import payload_shapes
from tiktok_pipeline.transforms.raw_rows import usable
from tiktok_pipeline.transforms.soundness import believe_ages, make_sound, merge_shapes
from tiktok_pipeline.upkeep.retention import retired

_ABOUT = """
Made from the raw rows of a day by the job `derive`, which reads every body once. A day is the day of the request; a
cached response may describe the state some seconds earlier. Derived only from raw and the ids on the roster, so any day
can be rebuilt. Responses about another account than the creator's are in quarantine.
"""

_MADE = (*NORMALIZED, PAYLOAD_SHAPES, ACCOUNT_SIGHTINGS)


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            table.name,
            deps=[
                dg.AssetDep(
                    raw.name,
                    partition_mapping=dg.TimeWindowPartitionMapping(allow_nonexistent_upstream_partitions=True),
                )
                for raw in RAW_TABLES
            ],
            description=describe(table, _ABOUT),
            partitions_def=DAILY,
            skippable=True,
            **shown(table),
        )
        for table in _MADE
    ],
    check_specs=[spec for table in _MADE for spec in check_specs(table)],
    can_subset=True,
    backfill_policy=BY_THE_MONTH,
)
def observations(context: dg.AssetExecutionContext, pipeline: Pipeline) -> Results:
    """Read the raw rows of each day and replace the day's files."""
    lake, hash_key, settings = pipeline.lake, pipeline.hash_key(), pipeline.settings().checks
    listed = listed_accounts(pipeline.roster())
    selected = [table for table in _MADE if dg.AssetKey(table.name) in context.selected_asset_keys]
    checking = {table: Checking.of(table, pipeline) for table in selected}
    days = days_of_keys(list(context.partition_keys))
    read: _Day | None = None
    for day in days:
        # A day is read with the one before it: with either gone, what stands is better than what could be made.
        if retired(lake, day) or retired(lake, day - timedelta(days=1)):
            context.log.warning("%s stays as it is: its raw rows, or those of the day before, were removed", day)
            continue
        landed: _Day | None = None
        failed: Exception | None = None
        try:
            landed = _read_day(lake, day, hash_key, settings, listed)
        # Every table of the day is blocked for it, below; the other days go on.
        except Exception as error:
            failed = error
        for table in selected:
            frame = checking[table].made(partial(_frame, landed, failed, table), f"{day}")
            if frame is None or landed is None:
                context.add_asset_metadata(checking[table].metadata(f"{day}"), table.name, f"{day}")
                continue
            lake.write_day(table, day, frame)
            context.add_asset_metadata(_numbers(table, frame, landed), table.name, f"{day}")
        # Warnings are about the newest day that anything landed on.
        if landed is not None and (landed.captures or read is None):
            read = landed
    passed_over = warn_of_damage(context, lake)
    for table in selected:
        warnings = _warnings(table, read, pipeline) if read is not None else {}
        if table is QUARANTINE:
            warnings["files"] = whole_files(passed_over)
        for result in checking[table].results(warnings):
            if dg.AssetCheckKey(dg.AssetKey(table.name), str(result.check_name)) in context.selected_asset_check_keys:
                yield result
    for table in selected:
        yield dg.MaterializeResult(asset_key=table.name)


@dataclass(frozen=True)
class _Day:
    day: date
    frames: dict[str, pl.DataFrame]
    captures: int


def _frame(landed: _Day | None, failed: Exception | None, table: Table) -> pl.DataFrame:
    """Return the table's rows of a day, or the error that stopped the reading."""
    if landed is None:
        raise failed or AssertionError("a day that was not read has an error")
    return landed.frames[table.name]


def _read_day(lake: Lake, day: date, hash_key: bytes, settings: Checks, listed: Mapping[str, Account]) -> _Day:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    hours = hours_between(start, start + timedelta(days=1))
    read: dict[str, dict[str, pl.DataFrame]] = {}
    requests, shapes = [], []
    for table in RAW_TABLES:
        raw, implausible_ages = believe_ages(usable(lake.scan_raw(table, hours)).collect(), table.name)
        read[table.name] = read_bodies(raw, table.name, hash_key=hash_key)
        noted = read[table.name][QUARANTINE.name]
        read[table.name][QUARANTINE.name] = pl.concat([noted, implausible_ages])
        requests.append(requests_of(raw, table))
        shapes.append(payload_shapes(raw, bodies=settings.shape_bodies))
    asked = pl.concat(requests)
    found = {table.name: pl.concat([frames[table.name] for frames in read.values()]) for table in NORMALIZED}
    seen = sightings(found[PROFILE_OBSERVATIONS.name], asked)
    known, before = _identities(lake, day, seen, hash_key, listed)
    others = other_accounts(found, asked, known, before)
    sound = [make_sound(expel(frames, others, name), name) for name, frames in read.items()]
    frames = {table.name: pl.concat([each[table.name] for each in sound]) for table in NORMALIZED}
    # The day before as well: a profile vouches for a creator over midnight.
    around = hours_between(start - timedelta(days=1), start + timedelta(days=1))
    answers = profile_answers(usable(lake.scan_raw(table, around)) for table in RAW_TABLES)
    answers = doubted(answers, pl.concat([before, seen]), known)
    frames[LIVE_OBSERVATIONS.name] = settle_absences(frames[LIVE_OBSERVATIONS.name], answers)
    return _Day(day, frames | {PAYLOAD_SHAPES.name: merge_shapes(shapes), ACCOUNT_SIGHTINGS.name: seen}, asked.height)


def _identities(
    lake: Lake, day: date, seen: pl.DataFrame, hash_key: bytes, listed: Mapping[str, Account]
) -> tuple[Identities, pl.DataFrame]:
    """Return the accounts that a day is judged by, and the sightings of the day before.

    By the sightings up to the end of the day; for creators who are not identified by then, the next day counts too.
    """
    earlier = history(lake, day, hash_key)
    creators = seen["creator_id"].unique().to_list()
    known = identities(pl.concat([earlier, seen.lazy()]), listed, creators)
    unsure = [creator_id for creator_id in creators if known.known_by[creator_id] is None]
    if unsure:
        later = sightings_of_day(lake, day + timedelta(days=1), hash_key, unsure)
        if not later.is_empty():
            known = known.updated(identities(pl.concat([earlier, seen.lazy(), later.lazy()]), listed, unsure))
    yesterday = earlier.filter(pl.col("last_observed_at").dt.date() >= day - timedelta(days=1)).collect()
    return known, yesterday


def _warnings(table: Table, read: _Day, pipeline: Pipeline) -> dict[str, Verdict]:
    """What is worth a warning of the newest day that was read."""
    settings, frame = pipeline.settings().checks, read.frames[table.name]
    if table is LIVE_OBSERVATIONS:
        now = pipeline.clock().now()
        if pipeline.replaying or read.day < (now - timedelta(days=1)).date():
            return {"freshness": Verdict(passed=True, message="a run of past days says nothing of how fresh they are")}
        newest = frame["observed_at"].max()
        return {"freshness": freshness(newest if isinstance(newest, datetime) else None, now=now, settings=settings)}
    if table is QUARANTINE:
        return {"readability": readability(frame, read.captures, settings=settings)}
    if table is PAYLOAD_SHAPES:
        return {"drift": drift(frame, _shapes_before(pipeline.lake, read.day, settings), settings=settings)}
    return {}


def _numbers(table: Table, frame: pl.DataFrame, read: _Day) -> dict[str, float | int]:
    """What the UI plots of a day."""
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
