"""Cached lift estimates and profile histories save time and never change a file of the lake."""

from __future__ import annotations

import importlib
import shutil
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import polars as pl
import pytest

from tiktok_pipeline.defs.marts.coverage import coverage
from tiktok_pipeline.defs.marts.creator_days import creator_days
from tiktok_pipeline.defs.marts.creators import creators, profile_history
from tiktok_pipeline.defs.marts.stream_hours import stream_hours
from tiktok_pipeline.defs.marts.stream_lift import stream_lift
from tiktok_pipeline.defs.marts.streams import streams
from tiktok_pipeline.defs.skipping import REBUILD_TAG
from tiktok_pipeline.derive import counted_days
from tiktok_pipeline.derive.counted_days import CountedDays
from tiktok_pipeline.errors import LakeError
from tiktok_pipeline.lake.remembered import FOLDER
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.partitions import day_range_tags
from tiktok_pipeline.resources import Pipeline
from tiktok_pipeline.tables import (
    COVERAGE,
    CREATOR_DAYS,
    CREATORS,
    LIVE_OBSERVATIONS,
    PROFILE_OBSERVATIONS,
    RAW_LIVES,
    STREAM_HOURS,
    STREAM_LIFT,
    STREAMS,
)
from tiktok_pipeline.transforms import lift
from tiktok_pipeline.transforms.creator_ranges import creator_ranges, range_filters
from tiktok_pipeline.transforms.creators import COLUMNS
from tiktok_pipeline_tests.transforms.frames import frame, hours

DAYS = 14
CREATORS_HERE = [f"creator.{n}" for n in range(6)]
FIRST, LAST = hours(0).date(), hours(24 * (DAYS - 1)).date()


def fill(lake: Lake, until_h: float, seed: int = 1) -> None:
    """Write half-hourly counts and a stream a day of most creators, up to an hour."""
    rng = np.random.default_rng(seed)
    gains = rng.poisson(rng.uniform(1, 60, (len(CREATORS_HERE), 1)), (len(CREATORS_HERE), DAYS * 48))
    followers = 10_007 + gains.cumsum(axis=1)
    counts: dict[date, list[dict[str, Any]]] = {}
    streams: dict[date, list[dict[str, Any]]] = {}
    for n, name in enumerate(CREATORS_HERE):
        for half in range(int(until_h * 2)):
            at = hours(half / 2)
            counts.setdefault(at.date(), []).append(
                {
                    "creator_id": name, "vendor": "social_fetch", "observed_at": at, "capture_id": f"{name}{half}",
                    "source": "profile", "followers": int(followers[n, half]), "followers_unit": 1,
                    "followers_precision": "exact", "handle": name,
                }
            )  # fmt: skip
        for day in range(DAYS):
            # One creator has no stream on most days, so its errors are used for others.
            start = day * 24 + 3.0 * n + 1.3
            if start >= until_h or (n == 5 and day != 3):
                continue
            end = start + 2.0 if start + 2.0 <= until_h else None
            streams.setdefault(hours(start).date(), []).append(
                {
                    "stream_id": f"{name}:{day}", "creator_id": name, "started_at": hours(start),
                    "started_at_hi": hours(start), "ended_at": end and hours(end),
                    "ended_at_lo": hours(min(start + 2.0, until_h)), "status": "ended" if end else "live",
                    "airtime_s": 7_200.0, "flags": [],
                }
            )  # fmt: skip
    for day_, rows in counts.items():
        written = frame(PROFILE_OBSERVATIONS, *rows)
        if (
            not lake.scan_days(PROFILE_OBSERVATIONS, day_, day_)
            .collect()
            .equals(written.sort(PROFILE_OBSERVATIONS.key))
        ):
            lake.write_day(PROFILE_OBSERVATIONS, day_, written)
            live = [row | {"live_state": "ended", "evidence": "weak"} for row in rows]
            live = [{name: row[name] for name in LIVE_OBSERVATIONS.schema if name in row} for row in live]
            lake.write_day(LIVE_OBSERVATIONS, day_, frame(LIVE_OBSERVATIONS, *live))
        lake.write_day(STREAMS, day_, frame(STREAMS, *streams.get(day_, [])))


def derive(
    home: Path,
    *assets: dg.AssetsDefinition,
    first: date = LAST - timedelta(days=3),
    last: date = LAST,
    rebuild: bool = False,
) -> None:
    """Derive some days; `rebuild` includes those that are up to date."""
    pipeline = Pipeline(environment={"TIKTOK_PIPELINE_HOME": str(home), "TIKTOK_PIPELINE_LAKE": ""})
    again = {REBUILD_TAG: "true"} if rebuild else {}
    for asset in assets:
        tags = day_range_tags(first, last) if asset.partitions_def is not None else {}
        assert dg.materialize([asset], resources={"pipeline": pipeline}, tags={**tags, **again}).success


def made(lake: Lake, first: date = LAST - timedelta(days=3)) -> dict[str, bytes]:
    files = [lake.day_file(STREAM_LIFT, first + timedelta(days=n)) for n in range((LAST - first).days + 1)]
    return {str(file.relative_to(lake.root)): file.read_bytes() for file in files if file.exists()}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "roster.csv").write_text("handle\n" + "\n".join(CREATORS_HERE) + "\n")
    return tmp_path


def test_days_derived_repeatedly_have_the_same_bytes_as_days_derived_once(home: Path) -> None:
    lake = Lake(home / "lake")
    for hour in (24 * 12 + 5.2, 24 * 12 + 9.7, 24 * 13 + 1.4, 24 * 13 + 20.1, 24.0 * DAYS):
        fill(lake, hour)
        derive(home, stream_lift)
    often = made(lake)
    assert len(often) == 4
    rows = lake.scan_days(STREAM_LIFT, LAST - timedelta(days=3), LAST).collect()
    assert rows["observable"].sum() > 10
    assert rows.filter("is_final").height > 5
    shutil.rmtree(lake.root / FOLDER)
    derive(home, stream_lift, rebuild=True)
    assert made(lake) == often
    # Each day alone, newest first, without the cache of the other days.
    shutil.rmtree(lake.root / FOLDER)
    shutil.rmtree(lake.folder(STREAM_LIFT))
    for ago in range(4):
        derive(home, stream_lift, first=LAST - timedelta(days=ago), last=LAST - timedelta(days=ago), rebuild=True)
        shutil.rmtree(lake.root / FOLDER)
    assert made(lake) == often


def test_deriving_in_ranges_of_creators_changes_no_byte(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = Lake(home / "lake")
    fill(lake, 24.0 * DAYS)
    derive(home, stream_lift)
    whole = made(lake)
    shutil.rmtree(lake.root / FOLDER)
    monkeypatch.setattr(lift, "creator_ranges", lambda names: creator_ranges(names, 2))
    monkeypatch.setattr(counted_days, "_MOST_ROWS", 1)
    derive(home, stream_lift, rebuild=True)
    assert made(lake) == whole


def test_streams_coverage_and_creator_days_do_not_depend_on_the_ranges(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Lake(home / "lake")
    fill(lake, 24.0 * DAYS)
    on_air = [
        {
            "creator_id": name, "vendor": "social_fetch", "observed_at": hours(24 * (DAYS - 1) + quarter / 4),
            "capture_id": f"live {name} {quarter}", "evidence": "weak", "viewers": 10 + n,
            "live_state": "live" if 12 + n <= quarter % 80 < 24 + n else "ended",
        }
        for n, name in enumerate([*CREATORS_HERE, "Ünlisted"])
        for quarter in range(90)
    ]  # fmt: skip
    lake.write_day(LIVE_OBSERVATIONS, LAST, frame(LIVE_OBSERVATIONS, *on_air))
    lake.write_raw(RAW_LIVES, hours(0), "watch-0000", RAW_LIVES.empty())
    assets = (creators, streams, stream_hours, coverage, creator_days)
    tables = (STREAMS, STREAM_HOURS, COVERAGE, CREATOR_DAYS)
    derive(home, *assets)
    whole = {table.name: lake.day_file(table, LAST).read_bytes() for table in tables}
    assert lake.scan_days(STREAMS, LAST, LAST).collect().height == 7
    assert lake.scan_days(COVERAGE, LAST, LAST).collect().height == 7
    for module in ("streams", "coverage", "creator_days"):
        one = importlib.import_module(f"tiktok_pipeline.defs.marts.{module}")
        monkeypatch.setattr(one, "range_filters", lambda rows: range_filters(rows, 1))
    derive(home, *assets, rebuild=True)
    assert {table.name: lake.day_file(table, LAST).read_bytes() for table in tables} == whole


def test_a_late_count_of_an_old_day_changes_the_days_that_read_it(home: Path) -> None:
    lake = Lake(home / "lake")
    fill(lake, 24.0 * DAYS)
    derive(home, stream_lift, creators)
    before = made(lake)
    # A correction of the sixth day: more followers in the counts of one creator.
    day = FIRST + timedelta(days=5)
    corrected = pl.when(pl.col("creator_id") == "creator.0").then(40).otherwise(0)
    rows = lake.scan_days(PROFILE_OBSERVATIONS, day, day).with_columns(pl.col("followers") + corrected).collect()
    lake.write_day(PROFILE_OBSERVATIONS, day, rows)
    derive(home, stream_lift, creators)
    after = made(lake)
    assert after != before
    shutil.rmtree(lake.root / FOLDER)
    derive(home, stream_lift, creators, rebuild=True)
    assert made(lake) == after


def test_a_damaged_cache_is_computed_again(home: Path) -> None:
    lake = Lake(home / "lake")
    fill(lake, 24.0 * DAYS)
    derive(home, stream_lift, creators)
    before = made(lake), lake.whole_file(CREATORS).read_bytes()
    for number, path in enumerate(sorted((lake.root / FOLDER).rglob("*.parquet"))):
        if number % 2:
            path.write_bytes(b"PAR1 damaged")
        else:
            pl.DataFrame({"another": ["release"]}).write_parquet(path)
    derive(home, stream_lift, creators, rebuild=True)
    assert (made(lake), lake.whole_file(CREATORS).read_bytes()) == before


def test_the_profile_history_equals_that_of_all_days_read_at_once(home: Path) -> None:
    lake = Lake(home / "lake")
    for hour in (24 * 4.0, 24 * 9.5, 24.0 * DAYS):
        fill(lake, hour)
        derive(home, creators)
        in_steps = profile_history(lake)
        shutil.rmtree(lake.root / FOLDER)
        assert profile_history(lake).equals(in_steps)
    assert in_steps.height <= 4 * len(CREATORS_HERE)
    assert in_steps.columns == list(COLUMNS)
    whole = lake.whole_file(CREATORS).read_bytes()
    # A day in the middle is erased.
    lake.write_day(PROFILE_OBSERVATIONS, FIRST, PROFILE_OBSERVATIONS.empty())
    derive(home, creators)
    assert lake.whole_file(CREATORS).read_bytes() != whole
    first_seen = lake.scan_all(CREATORS).select(pl.col("first_seen_at").min()).collect().item()
    assert isinstance(first_seen, datetime)
    assert first_seen.date() == FIRST + timedelta(days=1)


def test_a_file_that_is_replaced_while_it_is_read_fails_the_day(home: Path) -> None:
    lake = Lake(home / "lake")
    fill(lake, 48.0)
    history = CountedDays(lake).history(FIRST, FIRST)
    lake.write_day(PROFILE_OBSERVATIONS, FIRST, PROFILE_OBSERVATIONS.empty())
    with pytest.raises(LakeError, match="replaced while it was read"):
        history.first_at()
