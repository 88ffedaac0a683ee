"""`tiktok-pipeline upgrade --check` says what a new version rebuilds, and changes nothing."""

from __future__ import annotations

import subprocess
from datetime import date
from pathlib import Path

import msgspec
import pytest

from tiktok_pipeline.derive.up_to_date import FOLDER, keep_record
from tiktok_pipeline.lake.reads import recording
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.tables import STREAMS
from tiktok_pipeline_tests.commands.command_line import assert_refused, run
from tiktok_pipeline_tests.fixtures.make_lake import END, lakes, unpack


def tree(folder: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}


def upgrade(home: Path) -> subprocess.CompletedProcess[str]:
    before = tree(home)
    done = run(home, "upgrade", "--check", TIKTOK_PIPELINE_HOME=str(home), TIKTOK_PIPELINE_CLOCK="replay")
    assert tree(home) == before
    return done


@pytest.fixture
def older(tmp_path: Path) -> Path:
    unpack(lakes()[0], tmp_path)
    return tmp_path


def derived(home: Path) -> list[date]:
    return Lake(home / "lake").days(STREAMS)


def record(home: Path, day: date, *, cpu_s: float) -> None:
    lake = Lake(home / "lake")
    with recording() as reads:
        keep_record(lake, "streams", day, version="", now=END, of=reads, tables=[STREAMS], numbers={}, cpu_s=cpu_s)


def test_a_lake_of_an_older_version_is_rebuilt_for_the_last_days(older: Path) -> None:
    said = upgrade(older).stdout
    assert "derive     rebuilds " in said
    assert f"to {derived(older)[-1]}), within an hour: about " in said
    assert "built from nothing by the next publish" in said
    assert "vendors    no request" in said


def test_the_estimate_is_the_measured_time_of_days_that_other_code_made(older: Path) -> None:
    days = derived(older)
    for day in days:
        record(older, day, cpu_s=600)
    assert "derive     nothing to rebuild" in upgrade(older).stdout
    path = older / "lake" / FOLDER / "streams" / f"{days[-1]}.json"
    path.write_bytes(msgspec.json.encode(msgspec.json.decode(path.read_bytes()) | {"code": "another"}))
    assert f"rebuilds 1 day ({days[-1]}), within an hour: about 10 min of CPU time" in upgrade(older).stdout


def test_settings_that_the_new_version_refuses_are_named_and_an_empty_home_is_no_error(tmp_path: Path) -> None:
    assert "nothing to rebuild" in upgrade(tmp_path).stdout
    (tmp_path / "settings.toml").write_text("[wach]\n")
    assert_refused(upgrade(tmp_path), "settings.toml: ")
    assert run(tmp_path, "upgrade").returncode == 2
