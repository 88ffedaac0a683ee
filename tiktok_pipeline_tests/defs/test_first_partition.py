"""Partitions begin where a deployment begins: nothing made before vanishes, and older days can be added."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from tiktok_pipeline.definitions import build_definitions, defs
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.partitions import FIRST_DAY, HOURLY, begin_at, first_day, hour_key
from tiktok_pipeline.tables import COVERAGE, RAW_LIVES, RAW_PROFILES

TODAY = datetime.now(UTC).date()
CAPTURED = TODAY - timedelta(days=20)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    lake.write_raw(RAW_PROFILES, at(CAPTURED, 7), "sweep-0000", RAW_PROFILES.empty())
    lake.write_raw(RAW_LIVES, at(CAPTURED, 8), "watch-0000", RAW_LIVES.empty())
    return lake


def at(day: date, hour: int) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


def keys(definitions: dg.Definitions, asset: str) -> list[str]:
    of = definitions.resolve_asset_graph().get(dg.AssetKey(asset)).partitions_def
    assert of is not None
    return list(of.get_partition_keys())


def test_hours_begin_with_the_first_capture_and_days_with_the_first_that_a_derive_covers(lake: Lake) -> None:
    assert first_day(lake, TODAY) == CAPTURED
    begun = begin_at(build_definitions(), CAPTURED)
    hours, days = keys(begun, "raw_lives"), keys(begun, "streams")
    assert hours[0] == hour_key(at(CAPTURED, 0))
    assert days[0] == f"{CAPTURED - timedelta(days=3)}"
    # Keys are those of the fixed definition, so materializations of an earlier version stay.
    fixed = HOURLY.get_partition_keys()
    assert hours == fixed[fixed.index(hours[0]) :]
    assert days[-1] == f"{TODAY}"


def test_jobs_have_the_partitions_of_their_assets(lake: Lake) -> None:
    repository = begin_at(build_definitions(), CAPTURED).get_repository_def()
    for name, asset in (
        ("watch", "raw_lives"),
        ("derive", "streams"),
        ("stream_boundaries", "raw_posts"),
        ("replay", "raw_lives"),
    ):
        job = repository.get_job(name)
        assert job.partitions_def == repository.asset_graph.get(dg.AssetKey(asset)).partitions_def, name


def test_the_first_day_never_moves_forward_past_what_was_made(lake: Lake) -> None:
    for day in (CAPTURED - timedelta(days=3), CAPTURED):
        lake.write_day(COVERAGE, day, COVERAGE.empty())
    for table in (RAW_PROFILES, RAW_LIVES):
        shutil.rmtree(lake.folder(table))
    assert first_day(lake, TODAY) == CAPTURED


def test_older_raw_and_the_setting_move_it_back_but_a_setting_never_forward(lake: Lake) -> None:
    older = CAPTURED - timedelta(days=100)
    assert first_day(lake, TODAY, older) == older
    assert first_day(lake, TODAY, CAPTURED + timedelta(days=1)) == CAPTURED
    lake.write_raw(RAW_LIVES, at(older, 8), "watch-0000", RAW_LIVES.empty())
    assert first_day(lake, TODAY) == older
    # A folder of a clock that was wrong.
    lake.write_raw(RAW_LIVES, at(date(1970, 1, 1), 8), "watch-0000", RAW_LIVES.empty())
    assert first_day(lake, TODAY) == date.fromisoformat(FIRST_DAY)


def test_dagster_loads_the_partitions_of_the_home_also_with_invalid_settings(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TIKTOK_PIPELINE_HOME", str(tmp_path))
    before = sorted(tmp_path.rglob("*"))
    assert keys(defs(), "raw_lives")[0] == hour_key(at(CAPTURED, 0))
    assert sorted(tmp_path.rglob("*")) == before
    older = CAPTURED - timedelta(days=100)
    (tmp_path / "settings.toml").write_text(f"[partitions]\nfirst_day = {older}\n")
    assert keys(defs(), "raw_lives")[0] == hour_key(at(older, 0))
    (tmp_path / "settings.toml").write_text("[wach]\n")
    assert keys(defs(), "raw_lives")[0] == hour_key(at(CAPTURED, 0))
    monkeypatch.setenv("TIKTOK_PIPELINE_LAKE", "s3://bucket/lake")
    assert keys(defs(), "raw_lives")[0] == f"{FIRST_DAY}-00:00"


def test_in_a_world_of_the_past_partitions_begin_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in `make dev` on a demo without a capture: schedules request its hours."""
    shows = at(CAPTURED, 5)
    monkeypatch.setenv("TIKTOK_PIPELINE_HOME", str(tmp_path))
    monkeypatch.setenv("TIKTOK_PIPELINE_CLOCK_SPEED", "60")
    monkeypatch.setenv("TIKTOK_PIPELINE_CLOCK_ANCHOR", f"{datetime.now(UTC).isoformat()}/{shows.isoformat()}")
    assert keys(defs(), "raw_lives")[0] == hour_key(at(CAPTURED, 0))
