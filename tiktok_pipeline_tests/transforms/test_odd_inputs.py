"""For any responses of one creator, every check passes and the rows of other creators do not change."""

from __future__ import annotations

import random
from datetime import datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest

from tiktok_pipeline.commands.runs import run_derive
from tiktok_pipeline.lake.blocked_days import blocked_days
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.publish.duckdb_file import LINK
from tiktok_pipeline.tables import TABLES
from tiktok_pipeline_tests.transforms.odd_inputs import (
    DAYS,
    END,
    START,
    World,
    capture,
    damage_bodies,
    damage_rows,
    derive,
    try_frames,
    try_worlds,
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return capture(tmp_path_factory.mktemp("odd inputs"), creators_watched=4)


def test_the_undamaged_world_has_rows_in_every_table(world: World) -> None:
    """Otherwise the tests below would compare nothing."""
    made = derive(world.raw, world.handles)
    empty = {name for name, frame in made.items() if frame.is_empty()}
    assert empty <= {"quarantine", "recaps", "live_ranking_entries", "search_hits"}
    assert made["coverage"].height == DAYS * len(world.handles)


def test_damaged_bodies_and_headers_break_no_check_and_change_no_other_creator(world: World) -> None:
    tried = try_worlds(world, tries=12, seed=1)
    assert tried.failures == []
    assert tried.quarantined > 0


def test_odd_values_in_readings_break_no_check_and_change_no_other_creator(world: World) -> None:
    tried = try_frames(world, tries=12, seed=1)
    assert tried.failures == []
    assert tried.quarantined > 0


def test_a_derive_of_damaged_responses_publishes_every_day(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, chance = Lake(tmp_path / "lake"), random.Random("derive")
    raw = damage_rows(damage_bodies(world.raw, world.handles[0], chance), world.handles[0], chance)
    for name, rows in raw.items():
        for (hour,), landed in rows.group_by(pl.col("requested_at").dt.truncate("1h")):
            assert isinstance(hour, datetime)
            lake.write_raw(TABLES[name], hour, "w-0000", landed)
    (tmp_path / "roster.csv").write_text("\n".join(["handle", *world.handles]))
    (tmp_path / "dagster").mkdir()
    for name, value in {
        "TIKTOK_PIPELINE_HOME": tmp_path,
        "TIKTOK_PIPELINE_ROSTER": tmp_path / "roster.csv",
        "TIKTOK_PIPELINE_SETTINGS": tmp_path / "settings.toml",
        "DAGSTER_HOME": tmp_path / "dagster",
    }.items():
        monkeypatch.setenv(name, str(value))
    run_derive(START, END)
    assert blocked_days(lake) == []
    with duckdb.connect(str(tmp_path / "warehouse" / LINK), read_only=True) as connection:
        assert connection.execute("SELECT stands_still FROM publication").fetchall() == [(None,)]
        watched = connection.execute("SELECT DISTINCT creator_id FROM coverage").fetchall()
    assert {handle for (handle,) in watched} == set(world.handles)
    assert (tmp_path / "report" / "index.html").exists()
