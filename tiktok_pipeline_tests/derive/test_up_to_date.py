"""A derived day is skipped only while all of its inputs are the same."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tiktok_pipeline.defs.repairing import REPAIR_TAG
from tiktok_pipeline.defs.skipping import REBUILD_TAG
from tiktok_pipeline.derive.up_to_date import FOLDER
from tiktok_pipeline.lake.blocked_days import block
from tiktok_pipeline.lake.reads import Once, of_file, recording
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.partitions import day_range_tags
from tiktok_pipeline.resources import build_resources
from tiktok_pipeline.tables import COVERAGE, LIVE_OBSERVATIONS, RAW_LIVES, STREAMS
from tiktok_pipeline_tests.defs.deployed import Deployed, assets_of_the_deployment
from tiktok_pipeline_tests.derive.off_air import OFF_AIR, USER_ID
from tiktok_pipeline_tests.transforms.frames import frame

DAY = date(2026, 11, 2)
NEXT = DAY + timedelta(days=1)
ASSETS = ("live_observations", "coverage", "streams")


@pytest.fixture(scope="module")
def derived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Derive two days until no day changes; tests work on copies."""
    home = tmp_path_factory.mktemp("derived")
    with dg.DagsterInstance.ephemeral() as instance:
        here = Deployed(home, instance)
        # Without an id, the next day's responses would help to identify the account.
        (home / "roster.csv").write_text(f"handle,user_id\nana,{USER_ID}\n")
        here.land(OFF_AIR, OFF_AIR)
        here.land(OFF_AIR, day=NEXT)
        # The first run derives the first day before the second day has a file.
        run(here)
        run(here)
    return home


@pytest.fixture
def deployed(derived: Path, tmp_path: Path) -> Iterator[Deployed]:
    """Copy the derived days. Tables are hard links, because a table with another inode counts as changed."""
    home = tmp_path / "home"
    shutil.copytree(derived, home, copy_function=lambda source, copy: _copied(Path(source), Path(copy)))
    with dg.DagsterInstance.ephemeral() as instance:
        here = Deployed(home, instance)
        shutil.copyfile(derived / "roster.csv", home / "roster.csv")
        yield here


def _copied(source: Path, copy: Path) -> None:
    if source.suffix == ".parquet":
        copy.hardlink_to(source)
    else:
        shutil.copy2(source, copy)


def run(here: Deployed, **tags: str) -> dict[str, dict[str, list[str]]]:
    """Derive both days; return by asset the days that were derived and those that were up to date."""
    result = dg.materialize(
        assets_of_the_deployment(),
        selection=dg.AssetSelection.groups("normalized") | dg.AssetSelection.assets("coverage", "streams"),
        resources={**build_resources(), "pipeline": here.pipeline},
        instance=here.instance,
        tags={**day_range_tags(DAY, NEXT), **tags},
    )
    found: dict[str, dict[str, list[str]]] = {name: {"made": [], "skipped": []} for name in ASSETS}
    for event in result.get_asset_materialization_events():
        materialization = event.step_materialization_data.materialization
        name = materialization.asset_key.to_user_string()
        if name in found:
            skipped = "up_to_date" in materialization.metadata
            found[name]["skipped" if skipped else "made"].append(str(materialization.partition))
            assert "dagster/partition_row_count" in materialization.metadata
    return found


def made(here: Deployed, **tags: str) -> dict[str, list[str]]:
    return {name: sorted(days["made"]) for name, days in run(here, **tags).items() if days["made"]}


def test_without_changes_no_day_is_derived(deployed: Deployed) -> None:
    assert made(deployed) == {}


def test_new_raw_rows_cause_a_derive_of_their_day_and_of_days_that_read_it(deployed: Deployed) -> None:
    at = datetime(2026, 11, 3, 5, tzinfo=UTC)
    rows = deployed.lake.scan_raw(RAW_LIVES, [at.replace(hour=1)]).collect()
    late = rows.with_columns(capture_id=rows["capture_id"] + "-late", requested_at=at, received_at=at, observed_at=at)
    deployed.lake.write_raw(RAW_LIVES, at, "late", late)
    found = made(deployed)
    assert found["live_observations"] == found["coverage"] == [f"{NEXT}"]
    # Streams of the day before may continue.
    assert found["streams"] == [f"{DAY}", f"{NEXT}"]


CHANGES: dict[str, Callable[[Deployed], Any]] = {
    "settings": lambda here: (here.home / "settings.toml").write_text("[streams]\nmerge_gap_minutes = 11\n"),
    "roster": lambda here: (here.home / "roster.csv").write_text(f"handle,user_id\nana,{USER_ID}\nbob,\n"),
    "hash key": lambda here: (here.home / "hash.key").write_text("another"),
    "output gone": lambda here: here.lake.day_file(LIVE_OBSERVATIONS, DAY).unlink(),
    "output replaced": lambda here: here.lake.write_day(COVERAGE, DAY, frame(COVERAGE)),
    "wanted rebuild": lambda here: here.lake.want_rebuild(here.lake.day_file(COVERAGE, DAY)),
    "record damaged": lambda here: (here.lake.root / FOLDER / "coverage" / f"{DAY}.json").write_text("{"),
    "record of another release": lambda here: _other_release(here.lake),
}


def _other_release(lake: Lake) -> None:
    path = lake.root / FOLDER / "coverage" / f"{DAY}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": "another"}))


@pytest.mark.parametrize("change", CHANGES)
def test_a_day_is_derived_again_after_a_change_of_each_input(deployed: Deployed, change: str) -> None:
    CHANGES[change](deployed)
    assert f"{DAY}" in {day for days in made(deployed).values() for day in days}


@pytest.mark.parametrize("tag", [REBUILD_TAG, REPAIR_TAG, "dagster/backfill"])
def test_a_backfill_a_repair_and_a_rebuild_derive_every_day(deployed: Deployed, tag: str) -> None:
    found = made(deployed, **{tag: "true"})
    assert all(found[name] == [f"{DAY}", f"{NEXT}"] for name in ASSETS)


def test_a_day_derived_to_equal_bytes_keeps_its_file_and_its_downstream_days(deployed: Deployed) -> None:
    files = [deployed.lake.day_file(table, DAY) for table in (LIVE_OBSERVATIONS, STREAMS)]
    before = [of_file(file) for file in files]
    run(deployed, **{REBUILD_TAG: "true"})
    assert [of_file(file) for file in files] == before


def test_a_blocked_day_is_derived_again_by_every_run(deployed: Deployed) -> None:
    block(deployed.lake, COVERAGE, f"{DAY}", now=datetime(2026, 11, 3, tzinfo=UTC), reason="for this test")
    assert made(deployed) == {"coverage": [f"{DAY}"]}
    assert made(deployed) == {}


def test_a_shared_read_counts_as_an_input_of_each_reader(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write_day(COVERAGE, DAY, frame(COVERAGE))
    shared = Once(lambda: lake.scan_days(COVERAGE, DAY, NEXT).collect())
    seen = []
    for _ in range(2):
        with recording() as reads:
            shared()
        seen.append(reads.all())
    assert seen[0] == seen[1]
    # A missing day is an input too.
    assert sorted(seen[0]) == [f"marts/coverage/date={day}/coverage.parquet" for day in (DAY, NEXT)]
    assert {path: lake.signature(path) for path in seen[0]} == seen[0]


def test_a_file_that_changed_while_it_was_read_counts_as_changed(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    with recording() as reads:
        lake.days(COVERAGE)
        lake.write_day(COVERAGE, DAY, frame(COVERAGE))
        lake.days(COVERAGE)
    [(path, signature)] = reads.all().items()
    assert lake.signature(path) != signature
