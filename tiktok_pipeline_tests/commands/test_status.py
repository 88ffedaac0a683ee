"""`tiktok-pipeline status` says what runs, how fresh the data is and what it cost, and changes nothing."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from dagster._daemon.types import DaemonHeartbeat
from msgspec import structs

from tiktok_pipeline.capture.newest import newest_capture
from tiktok_pipeline.commands.dagster_records import refuse_other_daemon
from tiktok_pipeline.config.home_lock import Program, home_lock
from tiktok_pipeline.config.settings import SANDBOX_MARKER, Settings
from tiktok_pipeline.errors import SettingsError
from tiktok_pipeline.lake.blocked_days import block
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.tables import RAW_TABLES, STREAMS
from tiktok_pipeline_tests.capture.landed_rows import START, Landing
from tiktok_pipeline_tests.commands.command_line import assert_refused, run


def tree(folder: Path) -> dict[str, object]:
    """Return all files, with size and time except for Dagster's records: SQLite tidies them whoever reads them."""
    return {
        str(path): path.is_dir() or path.suffix == ".db" or (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if not path.name.endswith(("-wal", "-shm"))
    }


def status(home: Path, **variables: str) -> dict[str, Any]:
    """Return the status as JSON; check that no file changed and that the text has the same warnings."""
    before = tree(home)
    done = run(home, "status", "--json", TIKTOK_PIPELINE_HOME=str(home), **variables)
    assert done.returncode == 0, done.stderr
    text = run(home, "status", TIKTOK_PIPELINE_HOME=str(home), **variables)
    assert text.returncode == 0, text.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert [line for line in text.stdout.splitlines() if line.startswith("  - ")] == [
        f"  - {warning}" for warning in found["warnings"]
    ]
    assert tree(home) == before
    return found


def clock_at(moment: datetime) -> dict[str, str]:
    """Return variables with which the clock shows `moment` now."""
    anchor = f"{datetime.now(UTC).isoformat()}/{moment.isoformat()}"
    return {"TIKTOK_PIPELINE_CLOCK_SPEED": "1.0", "TIKTOK_PIPELINE_CLOCK_ANCHOR": anchor}


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    folder = tmp_path / "dagster"
    folder.mkdir()
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(folder)) as opened:
        # As a daemon does at its start, which completes the records of schedules.
        opened.all_instigator_state()
        yield opened


def report(instance: dg.DagsterInstance, *, seconds_ago: float) -> None:
    """Record a report of the daemon."""
    instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - seconds_ago, "SCHEDULER", "id", []))


def test_a_home_that_does_not_exist_has_a_status_and_is_not_created(tmp_path: Path) -> None:
    done = run(tmp_path, "status", TIKTOK_PIPELINE_HOME=str(tmp_path / "home"))
    assert done.returncode == 0, done.stderr
    assert "Last capture  never" in done.stdout
    assert "Daemon        never ran" in done.stdout
    assert "Warnings      none" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("minutes", [60, 200])
def test_the_last_capture_and_the_credits_of_a_day_are_those_of_the_raw_rows(tmp_path: Path, minutes: int) -> None:
    lake = Lake(tmp_path / "lake")
    Landing(lake, 5).go_on(minutes)
    files = [file for table in RAW_TABLES for file in lake.folder(table).rglob("*.parquet")]
    raw = pl.concat(
        [pl.read_parquet(file, columns=["received_at", "requested_at", "vendor", "credits"]) for file in files]
    )
    newest = raw["received_at"].max()
    assert isinstance(newest, datetime)
    (tmp_path / "settings.toml").write_text("[vendors.social_fetch]\ncredits_per_day = 100000\n")

    found = status(tmp_path, **clock_at(newest))
    assert newest_capture(lake) == newest
    assert datetime.fromisoformat(found["last_capture"]) == newest
    assert found["credits_day"] == f"{newest:%F}"
    today = raw.filter(pl.col("requested_at").dt.date() == newest.date(), pl.col("vendor").is_not_null())
    expected: dict[str, float] = {}
    prices = {vendor: limits.credits_per_request for vendor, limits in Settings().vendors.items()}
    for vendor, credits in today.select("vendor", "credits").iter_rows():
        reported = credits is not None and 0 <= credits < float("inf")
        expected[vendor] = expected.get(vendor, 0) + (credits if reported else prices.get(vendor, 1.0))
    spent = {each["vendor"]: each for each in found["credits"]}
    assert {vendor: each["spent"] for vendor, each in spent.items() if each["spent"]} == pytest.approx(
        {vendor: amount for vendor, amount in expected.items() if amount}
    )
    assert spent["social_fetch"]["left"] == pytest.approx(100000 - expected["social_fetch"])
    assert all(each["left"] is None for vendor, each in spent.items() if vendor != "social_fetch")


def test_tomorrow_has_no_spent_credits_yet_but_a_demo_shows_its_own_day(tmp_path: Path) -> None:
    Landing(Lake(tmp_path / "lake"), 5).go_on(20)
    tomorrow = clock_at(START + timedelta(days=3))
    assert all(each["spent"] == 0 for each in status(tmp_path, **tomorrow)["credits"])
    (tmp_path / SANDBOX_MARKER).write_text("{}")
    found = status(tmp_path, **tomorrow)
    assert found["credits_day"] == found["last_capture"][:10]
    assert sum(each["spent"] for each in found["credits"]) > 0


def test_a_vendor_near_its_cap_and_one_at_its_cap_are_warnings(tmp_path: Path) -> None:
    Landing(Lake(tmp_path / "lake"), 5).go_on(20)
    on_that_day = clock_at(START + timedelta(hours=12))
    spent = {each["vendor"]: each["spent"] for each in status(tmp_path, **on_that_day)["credits"]}
    (tmp_path / "settings.toml").write_text(
        f"[vendors.social_fetch]\ncredits_per_day = {spent['social_fetch'] * 1.05}\n"
        "[vendors.konbini]\ncredits_per_day = 0\n[vendors.tikhub]\ncredits_per_day = 1e6\n"
    )
    warnings = status(tmp_path, **on_that_day)["warnings"]
    assert [warning.split(" has ")[0] for warning in warnings] == ["konbini", "social_fetch"]


def test_a_program_that_holds_the_home_is_named(tmp_path: Path) -> None:
    with home_lock(tmp_path, "replay"):
        found = status(tmp_path)
    assert (found["program"]["pid"], found["program"]["command"]) == (os.getpid(), "replay")
    assert status(tmp_path)["program"] is None


def test_a_blocked_day_bad_settings_and_a_damaged_publication_are_warnings(tmp_path: Path) -> None:
    day = block(Lake(tmp_path / "lake"), STREAMS, "2026-11-02", now=START, reason="rows of the future")
    (tmp_path / "settings.toml").write_text("[watch]\nwindow_minutes = 'ten'\n")
    (tmp_path / "warehouse").mkdir()
    (tmp_path / "warehouse" / "tiktok.duckdb").write_bytes(b"no database")
    found = status(tmp_path)
    assert [(each["table"], each["part"], each["reason"]) for each in found["blocked_days"]] == [
        (day.table, day.part, "rows of the future")
    ]
    warnings = "\n".join(found["warnings"])
    assert "settings.toml" in warnings
    assert "window_minutes" in warnings
    assert "tiktok.duckdb cannot be read" in warnings
    assert "streams 2026-11-02" in warnings


def test_the_daemon_runs_while_it_reports(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    report(instance, seconds_ago=5)
    found = status(tmp_path)
    assert found["daemon_runs"] is True
    assert found["warnings"] == []
    report(instance, seconds_ago=600)
    found = status(tmp_path)
    assert found["daemon_runs"] is False
    assert found["next_ticks"] == []
    assert "has not reported since" in found["warnings"][0]


@pytest.mark.parametrize("command", [("dev",), ("demo",)])
def test_a_program_does_not_start_beside_another_daemon(
    tmp_path: Path, instance: dg.DagsterInstance, command: tuple[str, ...]
) -> None:
    (tmp_path / SANDBOX_MARKER).write_text('{"seed":41,"creators":3,"start":"2026-11-02T00:00:00Z","days":1}')
    report(instance, seconds_ago=5)
    before = tree(tmp_path)
    done = run(tmp_path, *command, TIKTOK_PIPELINE_HOME=str(tmp_path))
    assert_refused(done, f"a Dagster daemon runs on {tmp_path / 'dagster'}")
    assert set(tree(tmp_path)) - set(before) == {str(tmp_path / "running.lock")}


def test_the_last_reports_of_its_own_daemon_do_not_keep_a_program_from_starting(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    now = datetime.now(UTC)
    report(instance, seconds_ago=20)
    folder = tmp_path / "dagster"
    ended = Program(1, "dev", now - timedelta(hours=1), until=now - timedelta(seconds=10))
    refuse_other_daemon(folder, ended)
    refuse_other_daemon(folder, structs.replace(ended, until=None))
    for other in (None, structs.replace(ended, until=now - timedelta(seconds=30))):
        with pytest.raises(SettingsError, match="a Dagster daemon runs"):
            refuse_other_daemon(folder, other)
    report(instance, seconds_ago=300)
    refuse_other_daemon(folder, None)


def test_runs_in_progress_and_failed_runs_are_shown(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    seen: list[dict[str, Any]] = []

    @dg.op
    def look() -> None:
        seen.append(status(tmp_path))

    @dg.op
    def fail() -> None:
        raise dg.Failure("no vendor has credentials")

    @dg.job
    def watch() -> None:
        look()

    @dg.job
    def derive() -> None:
        fail()

    watch.execute_in_process(instance=instance)
    assert [(run["job"], run["status"]) for run in seen[0]["runs"]] == [("watch", "STARTED")]
    derive.execute_in_process(instance=instance, raise_on_error=False)
    found = status(tmp_path)
    assert found["runs"] == []
    assert found["warnings"] == ["1 run of derive failed in the last 24 hours: look at Runs in the Dagster UI"]


def test_records_that_dagster_has_not_completed_are_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "dagster"
    (folder / "history" / "runs").mkdir(parents=True)
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    (folder / "history" / "runs.db").write_bytes(b"")
    found = status(tmp_path)
    assert found["daemon_reported_at"] is None
    assert found["warnings"] == []


def test_damaged_records_of_dagster_are_a_warning(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    del instance
    (tmp_path / "dagster" / "history" / "runs.db").write_bytes(b"no database" * 100)
    assert "runs.db are damaged" in status(tmp_path)["warnings"][0]
