"""Schedules: the runs that they request, and the reasons for which they skip."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from tiktok_pipeline.config.home_lock import home_lock
from tiktok_pipeline.definitions import build_definitions
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.partitions import DAILY, HOURLY
from tiktok_pipeline.tables import COVERAGE, RAW_LIVES
from tiktok_pipeline_tests.defs.ticks import schedule_tick, sensor_tick

CAPTURES = (
    "watch",
    "sweep_profiles",
    "sweep_stories",
    "sweep_posts",
    "sweep_followers",
    "sweep_live_rankings",
    "sweep_user_searches",
)
SCHEDULES = (*CAPTURES, "derive", "upkeep")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


@pytest.fixture(scope="module")
def repository() -> dg.RepositoryDefinition:
    return build_definitions().get_repository_def()


def tick(
    repository: dg.RepositoryDefinition, instance: dg.DagsterInstance, name: str, at: datetime | None = None
) -> dg.RunRequest | str:
    """Return a tick's run request, or its skip reason."""
    data = schedule_tick(repository, instance, name, at)
    if data.run_requests:
        return data.run_requests[0]
    assert data.skip_message
    return data.skip_message


@pytest.fixture(autouse=True)
def deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a home with landed rows and settings that give every capture something to poll."""
    (tmp_path / "settings.toml").write_text('[sweeps]\nkeywords = ["tea"]\nranking_regions = ["US"]\n')
    monkeypatch.setenv("TIKTOK_PIPELINE_HOME", str(tmp_path))
    monkeypatch.setenv("TIKTOK_PIPELINE_SETTINGS", str(tmp_path / "settings.toml"))
    Lake(tmp_path / "lake").write_raw(RAW_LIVES, datetime.now(UTC), "watch-0000", RAW_LIVES.empty())
    return tmp_path


@pytest.mark.parametrize("name", CAPTURES)
def test_a_capture_is_requested_for_the_current_hour(
    repository: dg.RepositoryDefinition, instance: dg.DagsterInstance, name: str
) -> None:
    request = tick(repository, instance, name)
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == HOURLY.get_partition_keys()[-1]
    (config,) = (op["config"] for op in request.run_config["ops"].values())
    assert datetime.fromisoformat(config["window_start"]) <= datetime.now(UTC)
    assert (config.get("mode") == "watch") == (name == "watch")


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("command", ["dev", "replay"])
def test_no_schedule_of_another_daemon_starts_a_run_in_a_home_in_use(
    repository: dg.RepositoryDefinition,
    instance: dg.DagsterInstance,
    deployed: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    command: str,
) -> None:
    with home_lock(deployed, command):
        skipped = tick(repository, instance, name)
        assert isinstance(skipped, str)
        assert f"`tiktok-pipeline {command}` (process {os.getpid()}, " in skipped
        # The daemon of `dev` itself has the clock of `dev`.
        monkeypatch.setenv("TIKTOK_PIPELINE_CLOCK_ANCHOR", "set")
        assert isinstance(tick(repository, instance, name), dg.RunRequest) == (command == "dev")
    monkeypatch.delenv("TIKTOK_PIPELINE_CLOCK_ANCHOR")
    assert isinstance(tick(repository, instance, name), dg.RunRequest)


def test_derive_requests_the_last_days_in_one_run(
    repository: dg.RepositoryDefinition, instance: dg.DagsterInstance, deployed: Path
) -> None:
    derive_up_to(deployed, datetime.now(UTC).date())
    request = tick(repository, instance, "derive")
    assert isinstance(request, dg.RunRequest)
    days = DAILY.get_partition_keys()
    assert request.tags["dagster/asset_partition_range_start"] == days[-4]
    assert request.tags["dagster/asset_partition_range_end"] == days[-1]

    # Within an hour of a successful run of all days, only today and yesterday are requested.
    job = repository.get_job("derive")
    all_days = {"tiktok_pipeline/days": request.tags["tiktok_pipeline/days"]}
    instance.create_run_for_job(job, tags=all_days, status=dg.DagsterRunStatus.FAILURE)
    assert tick(repository, instance, "derive").tags == request.tags  # type: ignore[union-attr]
    instance.create_run_for_job(job, tags=all_days, status=dg.DagsterRunStatus.SUCCESS)
    request = tick(repository, instance, "derive")
    assert isinstance(request, dg.RunRequest)
    assert request.tags["dagster/asset_partition_range_start"] == days[-2]
    assert "tiktok_pipeline/days" not in request.tags
    # After a downtime no day is skipped.
    derive_up_to(deployed, datetime.now(UTC).date() - timedelta(days=10), alone=True)
    request = tick(repository, instance, "derive")
    assert isinstance(request, dg.RunRequest)
    assert request.tags["dagster/asset_partition_range_start"] == days[-14]


def test_after_a_downtime_derive_continues_where_it_stopped(
    repository: dg.RepositoryDefinition, instance: dg.DagsterInstance, deployed: Path
) -> None:
    days = DAILY.get_partition_keys()
    derive_up_to(deployed, datetime.now(UTC).date() - timedelta(days=10))
    request = tick(repository, instance, "derive")
    assert isinstance(request, dg.RunRequest)
    # Three days before the last derived day, because its streams were still open.
    assert request.tags["dagster/asset_partition_range_start"] == days[-14]
    assert request.tags["dagster/asset_partition_range_end"] == days[-1]
    # A run over a year could not be stopped: days older than a month need a backfill.
    derive_up_to(deployed, datetime.now(UTC).date() - timedelta(days=300), alone=True)
    request = tick(repository, instance, "derive")
    assert isinstance(request, dg.RunRequest)
    assert request.tags["dagster/asset_partition_range_start"] == days[-31]


def test_derive_requests_one_repair_run_for_damaged_files_of_older_days(
    repository: dg.RepositoryDefinition, instance: dg.DagsterInstance, deployed: Path
) -> None:
    today = datetime.now(UTC).date()
    lake, old = Lake(deployed / "lake"), today - timedelta(days=30)
    derive_up_to(deployed, today)
    lake.write_day(COVERAGE, old, COVERAGE.empty())
    assert len(requests(repository, instance)) == 1
    lake.day_file(COVERAGE, old).write_bytes(b"damaged")
    usual, repair = requests(repository, instance)
    assert usual.tags["dagster/asset_partition_range_start"] == f"{today - timedelta(days=3)}"
    assert repair.tags["dagster/asset_partition_range_start"] == f"{old}"
    assert repair.tags["dagster/asset_partition_range_end"] == f"{old}"
    assert repair.asset_selection == [dg.AssetKey("coverage")]
    # The repair ran without success: one try a day is enough. Days derived in between are derived again.
    job = repository.get_job("derive")
    run = instance.create_run_for_job(job_def=job, tags=dict(repair.tags))
    instance.report_run_canceled(run)
    (usual,) = requests(repository, instance)
    assert usual.tags["dagster/asset_partition_range_start"] == f"{today - timedelta(days=4)}"
    lake.day_file(COVERAGE, old).write_bytes(b"damaged in another way")
    assert len(requests(repository, instance)) == 2


def requests(repository: dg.RepositoryDefinition, instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    """Return the run requests of a tick of `derive`."""
    return list(schedule_tick(repository, instance, "derive").run_requests or [])


def derive_up_to(home: Path, day: date, *, alone: bool = False) -> None:
    lake = Lake(home / "lake")
    if alone:
        shutil.rmtree(lake.folder(COVERAGE))
    lake.write_day(COVERAGE, day, COVERAGE.empty())


def test_derive_waits_for_the_first_raw_rows(
    repository: dg.RepositoryDefinition, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TIKTOK_PIPELINE_HOME", str(tmp_path / "new"))
    reason = tick(repository, instance, "derive")
    assert isinstance(reason, str)
    assert "no raw rows yet" in reason


@pytest.mark.parametrize(("name", "setting"), [("sweep_live_rankings", "regions"), ("sweep_user_searches", "keywords")])
def test_a_sweep_with_nothing_to_poll_requests_no_run(
    repository: dg.RepositoryDefinition, instance: dg.DagsterInstance, name: str, setting: str, deployed: Path
) -> None:
    (deployed / "settings.toml").unlink()
    reason = tick(repository, instance, name)
    assert isinstance(reason, str)
    assert setting in reason


def test_paid_requests_are_off_by_default_and_derive_is_on(repository: dg.RepositoryDefinition) -> None:
    status = {schedule.name: schedule.default_status for schedule in repository.schedule_defs}
    assert status.pop("derive") is dg.DefaultScheduleStatus.RUNNING
    assert set(status.values()) == {dg.DefaultScheduleStatus.STOPPED}
    on = {sensor.name for sensor in repository.sensor_defs if sensor.default_status == dg.DefaultSensorStatus.RUNNING}
    assert on == {"alerts", "first_report", "go_live"}


def test_one_variable_switches_all_schedules_on() -> None:
    program = (
        "from tiktok_pipeline.definitions import build_definitions as b; r = b().get_repository_def(); "
        "print({d.default_status.value for d in [*r.schedule_defs, *r.sensor_defs]})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"TIKTOK_PIPELINE_SCHEDULES": "on"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "{'RUNNING'}"


def test_a_window_starts_at_the_time_of_its_tick_however_late_the_tick_is_evaluated(
    repository: dg.RepositoryDefinition, instance: dg.DagsterInstance
) -> None:
    ticked = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=3)
    request = tick(repository, instance, "watch", ticked)
    assert isinstance(request, dg.RunRequest)
    assert request.run_config["ops"]["raw_lives"]["config"]["window_start"] == ticked.isoformat()
    # The window plus the overhead of a run: a run lost with its machine blocks the queue no longer than this.
    assert request.tags["dagster/max_runtime"] == "720"


@pytest.mark.parametrize(("minutes", "expected"), [(10, [0, 10, 20]), (7, [0, 7, 14, 21]), (1, list(range(26)))])
def test_windows_start_at_the_configured_interval(
    repository: dg.RepositoryDefinition,
    instance: dg.DagsterInstance,
    deployed: Path,
    minutes: int,
    expected: list[int],
) -> None:
    (deployed / "settings.toml").write_text(f"[watch]\nwindow_minutes = {minutes}\n")
    first = datetime.now(UTC).replace(second=0, microsecond=0)
    assert repository.get_schedule_def("watch").cron_schedule == "0-59/1 * * * *"
    begun = []
    for minute in range(26):
        # Future ticks are never stale.
        request = tick(repository, instance, "watch", first + timedelta(minutes=minute))
        if isinstance(request, dg.RunRequest):
            begun.append(minute)
            job = repository.get_job("watch")
            instance.create_run_for_job(job, tags=dict(request.tags), status=dg.DagsterRunStatus.SUCCESS)
        else:
            assert "is not over: the next begins at" in request
    assert begun == expected


def test_a_changed_interval_applies_at_the_next_tick_and_a_lost_tick_is_made_up_by_the_next(
    repository: dg.RepositoryDefinition, instance: dg.DagsterInstance, deployed: Path
) -> None:
    first = datetime.now(UTC).replace(second=0, microsecond=0)
    request = tick(repository, instance, "watch", first)
    assert isinstance(request, dg.RunRequest)
    job = repository.get_job("watch")
    instance.create_run_for_job(job, tags=dict(request.tags), status=dg.DagsterRunStatus.SUCCESS)
    assert isinstance(tick(repository, instance, "watch", first + timedelta(minutes=5)), str)
    # The tick of the tenth minute was lost: the next one starts the window.
    assert isinstance(tick(repository, instance, "watch", first + timedelta(minutes=11)), dg.RunRequest)
    (deployed / "settings.toml").write_text("[watch]\nwindow_minutes = 5\n")
    assert isinstance(tick(repository, instance, "watch", first + timedelta(minutes=5)), dg.RunRequest)


def test_the_next_window_queues_behind_a_late_one_and_a_third_is_skipped(
    repository: dg.RepositoryDefinition, instance: dg.DagsterInstance
) -> None:
    instance.create_run_for_job(repository.get_job("watch"), status=dg.DagsterRunStatus.STARTED)
    assert isinstance(tick(repository, instance, "watch"), dg.RunRequest)
    waiting = instance.create_run_for_job(repository.get_job("watch"), status=dg.DagsterRunStatus.NOT_STARTED)
    reason = tick(repository, instance, "watch")
    assert isinstance(reason, str)
    assert waiting.run_id in reason


@pytest.mark.parametrize("name", SCHEDULES)
def test_no_second_run_is_requested_beside_a_running_one(
    repository: dg.RepositoryDefinition, instance: dg.DagsterInstance, name: str
) -> None:
    job = repository.get_job(name)
    waits = dg.DagsterRunStatus.NOT_STARTED if name == "watch" else dg.DagsterRunStatus.STARTED
    run = instance.create_run_for_job(job, status=waits)
    reason = tick(repository, instance, name)
    assert isinstance(reason, str)
    assert run.run_id in reason
    instance.report_run_failed(run)
    assert isinstance(tick(repository, instance, name), dg.RunRequest)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_tick_from_before_a_downtime_makes_no_request(
    repository: dg.RepositoryDefinition, instance: dg.DagsterInstance, name: str
) -> None:
    reason = tick(repository, instance, name, datetime.now(UTC) - timedelta(days=3))
    assert isinstance(reason, str)
    assert "its window is over" in reason


@pytest.mark.parametrize("name", SCHEDULES)
def test_on_the_replay_clock_schedules_request_no_run(
    repository: dg.RepositoryDefinition,
    instance: dg.DagsterInstance,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TIKTOK_PIPELINE_CLOCK", "replay")
    reason = tick(repository, instance, name)
    assert isinstance(reason, str)
    assert "tiktok-pipeline replay" in reason


def test_the_first_derive_of_a_deployment_does_not_wait_for_its_schedule(
    repository: dg.RepositoryDefinition, instance: dg.DagsterInstance, deployed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sensor = repository.get_sensor_def("first_report")

    def look() -> dg.RunRequest | str:
        data = sensor_tick(repository, instance, "first_report")
        return data.run_requests[0] if data.run_requests else str(data.skip_message)

    today = DAILY.get_partition_keys()[-1]
    request = look()
    assert isinstance(request, dg.RunRequest)
    assert request.tags["dagster/asset_partition_range_end"] == today
    assert sensor.minimum_interval_seconds == 30
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING

    # A run that failed is repeated by the schedule, not every half minute.
    instance.create_run_for_job(repository.get_job("derive"), status=dg.DagsterRunStatus.FAILURE)
    assert "has run before" in str(look())
    served = deployed / "warehouse" / "tiktok.duckdb"
    served.parent.mkdir()
    served.touch()
    assert "is published" in str(look())
    monkeypatch.setenv("TIKTOK_PIPELINE_HOME", str(deployed / "new"))
    assert "no raw rows yet" in str(look())
    monkeypatch.setenv("TIKTOK_PIPELINE_CLOCK", "replay")
    assert "derive with `tiktok-pipeline replay`" in str(look())


def test_with_a_fast_clock_the_next_window_s_run_starts_a_tick_early_and_waits(
    repository: dg.RepositoryDefinition, instance: dg.DagsterInstance, deployed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a process starts, a fast clock moves on by most of a window: between two windows nobody would be polled."""
    now = datetime.now(UTC).replace(microsecond=0)
    world = now - timedelta(days=5)
    monkeypatch.setenv("TIKTOK_PIPELINE_CLOCK_SPEED", "60")
    monkeypatch.setenv("TIKTOK_PIPELINE_CLOCK_ANCHOR", f"{now.isoformat()}/{world.isoformat()}")
    (deployed / "settings.toml").write_text("[watch]\nwindow_minutes = 57\n")

    def requested(minutes: int) -> list[tuple[timedelta, str]]:
        """Request the windows of a tick, and return when they start in the world, and their places."""
        data = schedule_tick(repository, instance, "watch", now + timedelta(minutes=minutes))
        for request in data.run_requests or ():
            instance.create_run_for_job(
                repository.get_job("watch"), tags=request.tags, status=dg.DagsterRunStatus.STARTED
            )
        return [
            (datetime.fromisoformat(request.tags["tiktok_pipeline/window_start"]) - world, request.tags["tiktok/poll"])
            for request in data.run_requests or ()
        ]

    assert requested(-1) == []
    starts, places = zip(*(each for minutes in range(4) for each in requested(minutes)), strict=True)
    assert starts == tuple(timedelta(hours=hour) for hour in range(5))
    assert places in (("watch 0", "watch 1") * 2 + ("watch 0",), ("watch 1", "watch 0") * 2 + ("watch 1",))
    # A window that is longer than a tick is not requested before its end.
    (deployed / "settings.toml").write_text("[watch]\nwindow_minutes = 120\n")
    assert [start for start, _ in requested(10)] == [timedelta(hours=10)]
    assert [requested(minutes) == [] for minutes in (10, 11)] == [True, False]
