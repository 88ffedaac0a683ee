"""Dagster's folder is created if missing; damage is reported in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tiktok_pipeline.commands.instance import problems, use_instance
from tiktok_pipeline.commands.runs import give_up_runs
from tiktok_pipeline.config.settings import Places
from tiktok_pipeline.errors import SettingsError

RECORDS = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")


def places(home: Path) -> Places:
    return Places.from_environment({"TIKTOK_PIPELINE_HOME": str(home)})


@pytest.mark.parametrize("named", [True, False])
def test_a_missing_folder_is_created_with_telemetry_off(
    named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", "relative/dagster" if named else "")
    home = use_instance(places(tmp_path / "home"))
    assert os.environ["DAGSTER_HOME"] == str(home)
    assert home.is_absolute()
    assert "enabled: false" in (home / "dagster.yaml").read_text()
    # Existing settings belong to the operator and stay.
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    (home / "dagster.yaml").write_text("nux: {enabled: false}\n")
    assert use_instance(places(tmp_path / "home")).joinpath("dagster.yaml").read_text() == "nux: {enabled: false}\n"


def test_a_file_in_place_of_the_folder_and_invalid_settings_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "file"))
    (tmp_path / "file").write_text("x")
    with pytest.raises(SettingsError, match="move away what is there"):
        use_instance(places(tmp_path))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    (tmp_path / "dagster").mkdir()
    for wrong in ("- a list", ": : :\n- x", "\x00"):
        (tmp_path / "dagster" / "dagster.yaml").write_text(wrong)
        with pytest.raises(SettingsError, match="replace it by a copy of the shipped one") as error:
            use_instance(places(tmp_path))
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", RECORDS)
def test_damaged_records_are_named_and_recreated_after_they_are_moved_away(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    give_up_runs()
    file = tmp_path / name
    assert list(problems(tmp_path)) == []
    content = file.read_bytes()
    for damage in (b"noise " * 999, content[:5000], content[:100] + bytes(3996) + content[4096:]):
        file.write_bytes(damage)
        (problem,) = problems(tmp_path)
        assert str(file) in problem
        assert "move it away" in problem
        with pytest.raises(SettingsError):
            use_instance(places(tmp_path))
    file.unlink()
    give_up_runs()
    # SQLite recreates an empty file.
    file.write_bytes(b"")
    assert list(problems(tmp_path)) == []
    give_up_runs()


def test_records_that_break_later_are_reported_in_one_line_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    give_up_runs()
    (tmp_path / "history" / "runs.db").write_bytes(b"noise " * 999)
    with pytest.raises(SettingsError, match="cannot be used") as error:
        give_up_runs()
    assert "\n" not in str(error.value)


LEVELS = """
import sqlalchemy
from tiktok_pipeline.commands.instance import records_without_fsync

def synchronous():
    engine = sqlalchemy.create_engine("sqlite:///records.db")
    with engine.connect() as connection:
        return connection.execute(sqlalchemy.text("PRAGMA synchronous")).scalar()

usual = synchronous()
with records_without_fsync():
    within = synchronous()
print(usual, within, synchronous())
"""


def test_only_records_of_a_replay_are_written_without_fsync(tmp_path: Path) -> None:
    # In its own process, because the tests' records are written without fsync.
    done = subprocess.run([sys.executable, "-c", LEVELS], cwd=tmp_path, capture_output=True, text=True, check=True)
    usual, within, after = (int(level) for level in done.stdout.split())
    assert usual == after > within == 0
