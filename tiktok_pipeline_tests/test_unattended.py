"""A deployment without an operator: a real daemon, code server and webserver, and a sandbox at 60 times real speed."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import msgspec
import polars as pl
import pytest

from benchmarks import soak
from benchmarks.soak import Soaked, deployed
from tiktok_pipeline.capture.clock import hours_between
from tiktok_pipeline.capture.newest import newest_capture
from tiktok_pipeline.commands.demo import WorldOnDisk
from tiktok_pipeline.config.settings import SANDBOX_MARKER
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.partitions import hour_key
from tiktok_pipeline.tables import COVERAGE, RAW_LIVES
from tiktok_pipeline_tests.commands.command_line import run_process
from tiktok_pipeline_tests.conftest import OURS

pytestmark = [pytest.mark.unattended, pytest.mark.timeout(900)]

SUCCESS, FAILURE = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE

# Long enough for a machine with other work.
PATIENCE_S = 300


@pytest.fixture(scope="module")
def stopped_dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Future[tuple[Path, list[str]]]]:
    """Run `dev` during the other test: both mostly wait for schedules that tick once a minute."""
    with ThreadPoolExecutor(1) as thread:
        yield thread.submit(start_and_stop_dev, tmp_path_factory.mktemp("dev"), times=3)


@pytest.mark.usefixtures("stopped_dev")
def test_the_deployment_runs_and_recovers_without_an_operator(tmp_path: Path) -> None:
    """Nobody switches anything on, a watch is killed, and streams, boards and a warehouse come to be and stay fresh.

    One test, because schedules tick once a minute: all steps wait for the same ticks.
    """
    with deployed(tmp_path / "home", creators=6, speed=60) as running:
        refused = materialize(running, ["raw_lives"], {"dagster/partition": an_hour_of_yesterday(running)})
        backfill, days = backfill_days(running, 33)
        killed, files = kill_a_watch(running)
        running.sample()

        running.wait(lambda: status(running, refused) is FAILURE, PATIENCE_S, "raw of the past is refused")
        assert "vendors report only the current state" in failure(running, refused)

        running.wait(lambda: backfill_status(running, backfill) != "REQUESTED", PATIENCE_S, "the backfill ends")
        assert backfill_status(running, backfill) == "COMPLETED_SUCCESS"
        # More than one run, but not one per day and table.
        assert 2 <= len(runs_of(running, backfill)) <= len(days)
        assert set(running.lake.days(COVERAGE)) >= set(days)

        # The run is retried, later windows run, and no landed row is lost.
        running.wait(lambda: bool(retries(running, killed)), PATIENCE_S, "the killed watch is started again")
        again = retries(running, killed)[0]
        running.wait(
            lambda: any(r.create_timestamp > again.create_timestamp for r in ended(running, "watch")),
            PATIENCE_S,
            "a later watch succeeds",
        )
        assert all(file.read_bytes() == content for file, content in files.items())
        since = datetime.now(UTC)
        running.wait(
            lambda: any(r.create_timestamp > since for r in ended(running, "derive")), PATIENCE_S, "derived afterwards"
        )
        running.sample()
        output: list[str] = []
        problems = soak.judge(running, output.append)
        # One run was refused and one killed, both on purpose; gaps are judged over a longer time than this.
        on_purpose = ("2 runs failed", "no poll of a creator", "were missed")
        assert not [problem for problem in problems if not any(words in problem for words in on_purpose)], output


def test_make_dev_starts_again_where_it_stopped_and_ends_cleanly_with_ctrl_c(
    stopped_dev: Future[tuple[Path, list[str]]],
) -> None:
    folder, outputs = stopped_dev.result()
    for output in map(plain, outputs):
        assert re.search(r"^Dagster UI: http://127\.0\.0\.1:\d+ is ready", output, re.MULTILINE), output
        assert "stopped" in output
        assert "Traceback" not in output
        assert " DEBUG" not in output
        # Dagster itself warns at the first start of an instance, because it has no events yet.
        warnings = [
            line for line in output.splitlines() if "WARNING" in line and "No cursor for event type" not in line
        ]
        assert warnings == []
    assert not processes_of(folder)

    # Each start resumes after what the one before captured, so nothing is in the future of a later one.
    resumed = [re.search(r"times real speed from (.*) UTC", output) for output in outputs]
    assert all(resumed)
    times = [found.group(1) for found in resumed if found]
    assert times == sorted(set(times))
    with dg.DagsterInstance.from_config(str(folder / "home" / "dagster")) as instance:
        records = instance.get_run_records()
    assert [record.dagster_run.job_name for record in records if record.dagster_run.status is FAILURE] == []
    assert len([run for run in succeeded(records) if run == "derive"]) >= 3


def succeeded(records: Iterable[dg.RunRecord]) -> list[str]:
    return [record.dagster_run.job_name for record in records if record.dagster_run.status is SUCCESS]


def start_and_stop_dev(folder: Path, *, times: int) -> tuple[Path, list[str]]:
    """Start `dev` several times, each time until raw has landed and been derived; return its folder and the outputs."""
    home = folder / "home"
    # As after a demo that was interrupted at once.
    start = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=8)
    home.mkdir()
    (home / SANDBOX_MARKER).write_bytes(msgspec.json.encode(WorldOnDisk(seed=41, creators=3, start=start, days=1)))
    return folder, [start_and_stop(home, folder / f"dev{number}.log") for number in range(times)]


def start_and_stop(home: Path, log: Path) -> str:
    """Start `dev`, send Ctrl-C after rows of this start have landed and a derive has succeeded; return its output."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    begun, captured = datetime.now(UTC), newest_capture(Lake(home / "lake"))

    def done() -> bool:
        # Before that, Dagster creates its records: two processes would do it at once.
        if b"is ready" not in log.read_bytes() or newest_capture(Lake(home / "lake")) == captured:
            return False
        # Not through an instance: Dagster keeps the newest one of a process, and the other test opens some.
        with closing(
            sqlite3.connect(f"{(home / 'dagster' / 'history' / 'runs.db').as_uri()}?mode=ro", uri=True)
        ) as runs:
            derived = "SELECT count(*) FROM runs WHERE pipeline_name = 'derive' AND status = 'SUCCESS'"
            return bool(runs.execute(f"{derived} AND create_timestamp >= ?", (f"{begun:%F %T}",)).fetchone()[0])

    with log.open("wb") as out:
        dev = subprocess.Popen(
            [sys.executable, "-m", "tiktok_pipeline.cli", "dev", "--port", str(soak.free_port())],
            env={**inherited, "TIKTOK_PIPELINE_HOME": str(home), "PYTHONUNBUFFERED": "1"},
            # It finds the project by itself.
            cwd=home,
            stdout=out,
            stderr=out,
        )
        try:
            deadline = time.monotonic() + PATIENCE_S
            while not done() and dev.poll() is None and time.monotonic() < deadline:
                time.sleep(2)
            assert dev.poll() is None, log.read_text()[-2000:]
            status = run_process(home, "status", "--json", TIKTOK_PIPELINE_HOME=str(home))
            dev.send_signal(signal.SIGINT)
            assert dev.wait(90) == 0
        finally:
            dev.kill()
    assert status.returncode == 0, status.stderr
    found = json.loads(status.stdout)
    assert (found["program"]["pid"], found["program"]["command"]) == (dev.pid, "dev")
    assert found["daemon_runs"]
    assert {"watch", "derive", "sweep_profiles"} <= {tick["schedule"] for tick in found["next_ticks"]}
    at = datetime.fromisoformat(found["at"])
    assert all(timedelta() < datetime.fromisoformat(t["at"]) - at <= timedelta(hours=1) for t in found["next_ticks"])
    assert found["last_publish"] is not None
    assert found["warnings"] == []
    return log.read_text(errors="replace")


def plain(output: str) -> str:
    """Return text without colors."""
    return re.sub(r"\x1b\[[0-9;]*m", "", output)


def an_hour_of_yesterday(soaked: Soaked) -> str:
    return hour_key(soaked.clock.now() - timedelta(hours=30))


def kill_a_watch(soaked: Soaked) -> tuple[str, dict[Path, bytes]]:
    """SIGKILL a watch that has landed rows, as the kernel does when memory is short; return these rows."""
    soaked.wait(lambda: bool(landing(soaked)), PATIENCE_S, "a watch under way has landed a file")
    run_id = landing(soaked)[0]
    files = {file: file.read_bytes() for file in files_of(soaked, run_id)}
    os.kill(process_of(soaked, run_id), signal.SIGKILL)
    soaked.wait(lambda: status(soaked, run_id) is FAILURE, 60, "the death of the run is noticed")
    return run_id, files


def landing(soaked: Soaked) -> list[str]:
    started = [r.dagster_run for r in soaked.runs("watch") if r.dagster_run.status is dg.DagsterRunStatus.STARTED]
    return [run.run_id for run in started if files_of(soaked, run.run_id)]


def ended(soaked: Soaked, job: str) -> list[dg.RunRecord]:
    return [record for record in soaked.runs(job) if record.dagster_run.status is dg.DagsterRunStatus.SUCCESS]


def retries(soaked: Soaked, run_id: str) -> list[dg.RunRecord]:
    return [record for record in soaked.runs("watch") if record.dagster_run.root_run_id == run_id]


def backfill_days(soaked: Soaked, number: int) -> tuple[str, list[date]]:
    """Launch a backfill of the last days of some tables, as the button *Launch backfill* does; return its id."""
    today = soaked.clock.now().date()
    days = [today - timedelta(days=n) for n in range(number)]
    assets = ["live_observations", "profile_observations", "streams", "coverage"]
    response: Any = soaked.query(
        "mutation($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) { __typename "
        "... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }",
        p={
            "assetSelection": [{"path": [asset]} for asset in assets],
            "partitionNames": [day.isoformat() for day in days],
        },
    )
    return str(response["launchPartitionBackfill"]["backfillId"]), days


def backfill_status(soaked: Soaked, backfill: str) -> str:
    response: Any = soaked.query(
        "query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }",
        id=backfill,
    )
    return str(response["partitionBackfillOrError"]["status"])


def runs_of(soaked: Soaked, backfill: str) -> list[dg.DagsterRun]:
    with soaked.instance() as instance:
        return list(instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": backfill})))


def failure(soaked: Soaked, run_id: str) -> str:
    """Return the failure message on the run's page."""
    response = soaked.query(
        "query($id: ID!) { runOrError(runId: $id) { ... on Run { eventConnection { events { "
        "... on ExecutionStepFailureEvent { failureMetadata { description } } } } } } }",
        id=run_id,
    )
    return str(response)


def files_of(soaked: Soaked, run_id: str) -> list[Path]:
    now = soaked.clock.now()
    hours = hours_between(now - timedelta(hours=3), now)
    files = [file for hour in hours for file in soaked.lake.hour_files(RAW_LIVES, hour)]
    return [file for file in files if run_id in pl.read_parquet(file, columns=["run_id"])["run_id"].unique()]


def process_of(soaked: Soaked, run_id: str) -> int:
    """Return the process id of a run, from the event log."""
    with soaked.instance() as instance:
        messages = [entry.message + entry.user_message for entry in instance.all_logs(run_id)]
    found = re.search(r"Executing steps in process \(pid: (\d+)\)", " ".join(messages))
    assert found, f"no process of run {run_id}"
    return int(found[1])


def processes_of(folder: Path) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes()
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder).encode() in environment and "pytest" not in command:
            found.append(command)
    return found


def status(soaked: Soaked, run_id: str) -> dg.DagsterRunStatus:
    with soaked.instance() as instance:
        run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def materialize(soaked: Soaked, assets: list[str], tags: dict[str, str]) -> str:
    """Materialize assets, as the button *Materialize* does; return the run's id."""
    response: Any = soaked.query(
        "mutation($p: ExecutionParams!) { launchPipelineExecution(executionParams: $p) { __typename "
        "... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }",
        p={
            "selector": {
                "repositoryLocationName": "tiktok_pipeline",
                "repositoryName": "__repository__",
                "jobName": "__ASSET_JOB",
                "assetSelection": [{"path": [asset]} for asset in assets],
            },
            "mode": "default",
            "runConfigData": {},
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
        },
    )
    return str(response["launchPipelineExecution"]["run"]["runId"])
