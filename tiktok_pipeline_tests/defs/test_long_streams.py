"""A stream longer than the days of a derive: its day is derived again while the stream lasts."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from tiktok_pipeline.definitions import build_definitions
from tiktok_pipeline.defs.marts.creator_days import creator_days
from tiktok_pipeline.defs.marts.stream_hours import stream_hours
from tiktok_pipeline.defs.marts.stream_lift import stream_lift
from tiktok_pipeline.defs.marts.streams import streams
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.partitions import DAILY
from tiktok_pipeline.resources import Pipeline
from tiktok_pipeline.tables import (
    COVERAGE,
    CREATOR_DAYS,
    LIVE_OBSERVATIONS,
    PROFILE_OBSERVATIONS,
    RAW_LIVES,
    STREAM_LIFT,
    STREAMS,
)
from tiktok_pipeline_tests.defs.ticks import schedule_tick
from tiktok_pipeline_tests.transforms.frames import frame

DAY = date(2026, 3, 2)
BEGAN = datetime(2026, 3, 2, 20, tzinfo=UTC)
# No vendor reports room or start, so only the readings connect the stream.
ENDED = BEGAN + timedelta(days=8, hours=3, minutes=20)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "roster.csv").write_text("handle\nana\nbo\n")
    return tmp_path


def pipeline_of(home: Path) -> Pipeline:
    return Pipeline(environment={"TIKTOK_PIPELINE_HOME": str(home), "TIKTOK_PIPELINE_LAKE": ""})


def observe(home: Path, until: datetime) -> None:
    """Write readings of every half hour: one stream lasts eight days, another two hours a day."""
    lake, rows = Lake(home / "lake"), dict[date, list[dict[str, Any]]]()
    counts: dict[date, list[dict[str, Any]]] = {}
    at = BEGAN - timedelta(days=1, minutes=10)
    while at < until:
        for creator, on in (("ana", BEGAN <= at < ENDED), ("bo", 12 <= at.hour < 14)):
            row = {"creator_id": creator, "vendor": "konbini", "observed_at": at, "capture_id": f"{creator}{at}"}
            live = {"live_state": "live" if on else "ended", "evidence": "weak"}
            rows.setdefault(at.date(), []).append(row | live)
            hours = (at - BEGAN).total_seconds() / 3600
            followers = {"followers": int(9_000 + 10 * hours), "followers_unit": 1, "followers_precision": "exact"}
            counts.setdefault(at.date(), []).append(row | followers | {"source": "profile"})
        at += timedelta(minutes=30)
    for table, by_day in ((LIVE_OBSERVATIONS, rows), (PROFILE_OBSERVATIONS, counts)):
        for day, found in by_day.items():
            lake.write_day(table, day, frame(table, *found))


def derived(home: Path, day: date = DAY) -> list[dict[str, Any]]:
    done = dg.materialize([streams], resources={"pipeline": pipeline_of(home)}, partition_key=f"{day:%Y-%m-%d}")
    assert done.success
    return Lake(home / "lake").scan_days(STREAMS, day, day).sort("creator_id").collect().to_dicts()


def test_a_long_stream_is_live_until_its_end_and_then_complete(home: Path) -> None:
    observe(home, BEGAN + timedelta(days=6))
    ana, bo = derived(home)
    assert (ana["status"], ana["ended_at"]) == ("live", None)
    assert ana["airtime_s"] == pytest.approx(6 * 86_400, abs=3_600)
    observe(home, ENDED + timedelta(days=7))
    ana, still_bo = derived(home)
    assert ana["status"] == "ended"
    assert abs(ana["ended_at"] - ENDED) <= timedelta(minutes=15)
    assert "over_24h" in ana["flags"]
    # The other creator's stream, which ended the same day, is unchanged.
    assert still_bo == bo


def test_no_later_day_has_a_part_of_the_stream(home: Path) -> None:
    observe(home, ENDED + timedelta(days=7))
    for later in range(1, 9):
        assert [row["creator_id"] for row in derived(home, DAY + timedelta(days=later))] == ["bo"]


def test_its_lift_uses_counts_from_after_it(home: Path) -> None:
    observe(home, ENDED + timedelta(days=7))
    derived(home)
    done = dg.materialize([stream_lift], resources={"pipeline": pipeline_of(home)}, partition_key=f"{DAY:%Y-%m-%d}")
    assert done.success
    ana = Lake(home / "lake").scan_days(STREAM_LIFT, DAY, DAY).filter(pl.col("creator_id") == "ana").collect()
    assert ana["after_at"].item() >= ENDED + timedelta(hours=1)
    assert ana["is_final"].item() is True


def test_its_airtime_is_counted_on_each_day_on_air(home: Path) -> None:
    observe(home, ENDED + timedelta(days=7))
    derived(home)
    resources = {"pipeline": pipeline_of(home)}
    (home / "roster.csv").write_text("handle\nana\n")
    for asset, days in ((stream_hours, (DAY,)), (creator_days, tuple(DAY + timedelta(days=n) for n in range(10)))):
        for day in days:
            assert dg.materialize([asset], resources=resources, partition_key=f"{day:%Y-%m-%d}").success
    rows = Lake(home / "lake").scan_all(CREATOR_DAYS).filter(pl.col("creator_id") == "ana").sort("day").collect()
    hours = [row / 3600 for row in rows["airtime_s"].drop_nulls()]
    assert hours[1:8] == [24.0] * 7
    assert (hours[0], hours[8]) == (pytest.approx(4, abs=0.6), pytest.approx(23.3, abs=0.6))
    assert rows["streams"].to_list()[:2] == [1, 0]


def test_the_schedule_requests_older_days_with_an_open_stream(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIKTOK_PIPELINE_HOME", str(home))
    today = date.fromisoformat(DAILY.get_partition_keys()[-1])
    lake, old = Lake(home / "lake"), today - timedelta(days=7)
    for day, ended in ((old, None), (old - timedelta(days=1), True), (today, None)):
        started = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
        end = started + timedelta(hours=1) if ended else None
        lake.write_day(STREAMS, day, frame(STREAMS, {"stream_id": f"{day}", "started_at": started, "ended_at": end}))
    lake.write_raw(RAW_LIVES, datetime.now(UTC), "watch-0000", RAW_LIVES.empty())
    lake.write_day(COVERAGE, today, COVERAGE.empty())
    repository = build_definitions().get_repository_def()
    with dg.instance_for_test() as instance:
        requests = schedule_tick(repository, instance, "derive").run_requests
    assert requests is not None
    last_days, older = requests
    assert last_days.tags["dagster/asset_partition_range_end"] == f"{today:%Y-%m-%d}"
    assert older.partition_key == f"{old:%Y-%m-%d}"
    assert {key.to_user_string() for key in older.asset_selection or []} == {
        "streams", "stream_lift", "stream_hours", "stream_conversions", "gift_estimates"
    }  # fmt: skip
