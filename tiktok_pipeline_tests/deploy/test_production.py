"""Production as its units start it: a real Postgres, and code server, webserver and daemon as processes.

The watch, the marts and upkeep run against the sandbox, launched through the UI's GraphQL.
"""

from __future__ import annotations

import json
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import duckdb
import pytest
import sqlalchemy

from tiktok_pipeline.capture.clock import RealClock
from tiktok_pipeline.partitions import hour_key
from tiktok_pipeline.sandbox.server import start_in_process
from tiktok_pipeline_tests.deploy import confinement
from tiktok_pipeline_tests.deploy.units import DEPLOY, NAMES, STOP_S, Service, start, values, variables

# The world runs this much faster, so that a watch of 20 minutes is over in 40 seconds.
SPEED = 30.0
WINDOW_MINUTES = 20
LAST_START = 45
CREATORS = 6

# The units' own system-call filters apply wherever the machine allows it.
CONFINED = confinement.available()

# Far longer than needed, so that a loaded machine does not fail the test.
PATIENCE_S = 240

LAUNCH = """
mutation ($job: String!, $config: RunConfigData, $tags: [ExecutionTag!]) {
  launchRun(executionParams: {
    selector: {repositoryLocationName: "tiktok_pipeline", repositoryName: "__repository__", jobName: $job},
    runConfigData: $config, executionMetadata: {tags: $tags}
  }) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}
"""

STATE = """
{
  instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } }
  workspaceOrError {
    ... on Workspace { locationEntries { name loadStatus locationOrLoadError { __typename } } }
  }
  schedulesOrError(repositorySelector: {repositoryLocationName: "tiktok_pipeline", repositoryName: "__repository__"}) {
    ... on Schedules { results { name scheduleState { status } } }
  }
}
"""


@dataclass
class Production:
    folder: Path
    url: str
    clock: RealClock
    services: list[Service]

    def graphql(self, query: str, **variables: Any) -> dict[str, Any]:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        with urlopen(request, timeout=60) as answer:
            response = json.loads(answer.read())
        assert "errors" not in response, response["errors"]
        data: dict[str, Any] = response["data"]
        return data

    def launch(self, job: str, config: dict[str, Any] | None = None, **tags: str) -> str:
        response = self.graphql(
            LAUNCH,
            job=job,
            config=json.dumps(config or {}),
            tags=[{"key": key.replace("__", "/"), "value": value} for key, value in tags.items()],
        )["launchRun"]
        assert response["__typename"] == "LaunchRunSuccess", response
        run_id: str = response["run"]["runId"]
        return run_id

    def ended(self, run_id: str) -> None:
        """Wait for a run's success."""

        def final_status() -> str | None:
            query = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
            status: str = self.graphql(query, id=run_id)["runOrError"]["status"]
            return status if status in ("SUCCESS", "FAILURE", "CANCELED") else None

        assert self.until(final_status) == "SUCCESS", self.logs()

    def until(self, condition: Callable[[], Any]) -> Any:
        """Return the result of `condition` as soon as it is truthy."""
        give_up = time.monotonic() + PATIENCE_S
        while time.monotonic() < give_up:
            assert all(service.process.poll() is None for service in self.services), self.logs()
            try:
                found = condition()
            except OSError:  # Not up yet.
                found = None
            if found:
                return found
            time.sleep(0.3)
        raise AssertionError(self.logs())

    def logs(self) -> str:
        return "\n".join(f"== {s.name}\n{s.log.read_text(errors='replace')[-3000:]}" for s in self.services)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.folder / "data" / "warehouse" / "tiktok.duckdb"), read_only=True) as connection:
            return connection.execute(sql).fetchall()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str]) -> Iterator[Production]:
    folder = tmp_path_factory.mktemp("production")
    (folder / "dagster").mkdir()
    shutil.copy(DEPLOY / "dagster.yaml", folder / "dagster")
    began = datetime.now(UTC)
    # The processes take minutes of the world's time to start: their first hour begins when they do.
    shown = (began - timedelta(hours=12)).replace(minute=0, second=0, microsecond=0)
    with (
        start_in_process(
            seed=3, creators=CREATORS, start=shown - timedelta(days=1), clock=shown, speed=SPEED
        ) as sandbox,
        ExitStack() as stopping,
    ):
        handles = "\n".join(creator.handle for creator in sandbox.world.creators)
        (folder / "roster.csv").write_text(f"handle\n{handles}\n")
        (folder / "settings.toml").write_text(
            f"[watch]\nwindow_minutes = {WINDOW_MINUTES}\nflush_seconds = 2\n[retention]\nraw_days = 60\n"
        )
        driver = variables(DEPLOY / "instance.env.example")["DAGSTER_PG_URL"].partition("dagster:")[0]
        ui = free_port()
        write(
            folder / "instance.env",
            DAGSTER_HOME=folder / "dagster",
            DAGSTER_PG_URL=new_database().replace("postgresql://", driver),
            DAGSTER_CODE_HOST="127.0.0.1",
            DAGSTER_CODE_PORT=free_port(),
            DAGSTER_UI_HOST="127.0.0.1",
            DAGSTER_UI_PORT=ui,
        )
        write(
            folder / "pipeline.env",
            **sandbox.environment,
            TIKTOK_PIPELINE_HOME=folder / "data",
            TIKTOK_PIPELINE_SETTINGS=folder / "settings.toml",
            TIKTOK_PIPELINE_ROSTER=folder / "roster.csv",
            TIKTOK_PIPELINE_SCHEDULES="on",
            TIKTOK_PIPELINE_CLOCK_SPEED=SPEED,
            TIKTOK_PIPELINE_CLOCK_ANCHOR=f"{began.isoformat()}/{shown.isoformat()}",
        )
        services: list[Service] = []
        stopping.callback(lambda: [service.stop() for service in services])
        services.extend(start(name, folder, confined=CONFINED) for name in NAMES)
        clock = RealClock(speed=SPEED, anchor=began, start=shown)
        yield Production(folder, f"http://127.0.0.1:{ui}", clock, services)


def current_hour(production: Production) -> dict[str, str]:
    """Return the tags of a run for the current hour; wait for the next one where a run may not start within it.

    Raw cannot be captured for a past hour, and on a loaded machine a run starts minutes of the world's time later.
    """
    while production.clock.now().minute >= LAST_START:
        time.sleep(0.3)
    return {"dagster__partition": hour_key(production.clock.now())}


def write(path: Path, **variables: Any) -> None:
    path.write_text("".join(f"{name}={value}\n" for name, value in variables.items()))


def test_production_comes_up_and_captures_derives_and_publishes(production: Production) -> None:
    def healthy() -> dict[str, Any] | None:
        state = production.graphql(STATE)
        (location,) = state["workspaceOrError"]["locationEntries"]
        daemons = [d for d in state["instance"]["daemonHealth"]["allDaemonStatuses"] if d["required"]]
        up = location["loadStatus"] == "LOADED" and len(daemons) >= 4 and all(d["healthy"] for d in daemons)
        return state if up else None

    state = production.until(healthy)
    (location,) = state["workspaceOrError"]["locationEntries"]
    assert location["locationOrLoadError"]["__typename"] == "RepositoryLocation"
    daemons = {d["daemonType"] for d in state["instance"]["daemonHealth"]["allDaemonStatuses"] if d["healthy"]}
    assert {"SCHEDULER", "SENSOR", "QUEUED_RUN_COORDINATOR", "MONITORING"} <= daemons
    schedules = {s["name"]: s["scheduleState"]["status"] for s in state["schedulesOrError"]["results"]}
    assert {"watch", "derive", "upkeep"} <= set(schedules)
    assert set(schedules.values()) == {"RUNNING"}, "TIKTOK_PIPELINE_SCHEDULES=on reached the code server"

    hour = current_hour(production)
    asked_at = production.clock.now()
    window = {"mode": "watch", "window_start": asked_at.isoformat()}
    watch = production.launch("watch", {"ops": {"raw_lives": {"config": window}}}, **hour)
    late = {"ops": {"raw_profiles": {"config": {"window_start": asked_at.isoformat()}}}}
    profiles = production.launch("sweep_profiles", late, **hour)
    for run_id in (watch, profiles):
        production.ended(run_id)
    day = f"{asked_at:%Y-%m-%d}"
    days = {"dagster__asset_partition_range_start": day, "dagster__asset_partition_range_end": day}
    for run_id in (production.launch("derive", **days), production.launch("upkeep")):
        production.ended(run_id)

    ((as_of, watched, polls),) = production.query(
        "SELECT (SELECT as_of FROM publication), count(DISTINCT creator_id), count(*) FROM live_observations"
    )
    assert as_of.replace(tzinfo=UTC) >= asked_at
    assert watched == CREATORS
    assert polls >= 2 * CREATORS, "a watch polls repeatedly"
    assert production.query("SELECT sum(ok) >= 3 * count(DISTINCT vendor) FROM vendor_usage") == [(True,)]

    measured = production.graphql(
        '{ assetOrError(assetKey: {path: ["storage_size"]}) { ... on Asset { assetMaterializations(limit: 1) '
        "{ metadataEntries { label ... on FloatMetadataEntry { floatValue } } } } } }"
    )["assetOrError"]["assetMaterializations"][0]["metadataEntries"]
    sizes = {entry["label"]: entry.get("floatValue") for entry in measured}
    assert sizes["dagster_megabytes"] > 5, "the database counts"
    assert sizes["lake_megabytes"] > 0

    # All records are in Postgres, and the logs contain no secret.
    assert not list((production.folder / "dagster").rglob("*.db"))
    secrets = [v for n, v in variables(production.folder / "pipeline.env").items() if n.endswith(("_KEY", "_PASSWORD"))]
    assert len(secrets) >= 3
    assert not any(secret in production.logs() for secret in secrets)


@pytest.mark.skipif(not CONFINED, reason="no libseccomp or systemd-analyze: the units ran without their filters")
def test_production_ran_under_the_filters_and_below_the_memory_limits_of_its_units(production: Production) -> None:
    for service in production.services:
        status = dict(
            line.split(":", 1) for line in Path(f"/proc/{service.process.pid}/status").read_text().splitlines()
        )
        assert (status["Seccomp"].strip(), status["NoNewPrivs"].strip()) == ("2", "1")
        peak_mb = int(status["VmHWM"].split()[0]) / 1024
        (high,) = values(service.name, "MemoryHigh")
        if high.endswith("M"):
            assert peak_mb < float(high[:-1]) / 1.5, f"{service.name} took {peak_mb:.0f} MB"
    denials = ("Operation not permitted", "PermissionError", "Address family not supported")
    assert [line for line in production.logs().splitlines() if any(response in line for response in denials)] == []


def test_production_continues_after_the_database_drops_all_connections(production: Production) -> None:
    url = variables(production.folder / "instance.env")["DAGSTER_PG_URL"]
    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        dropped = connection.execute(
            sqlalchemy.text(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        ).scalar()
    engine.dispose()
    assert dropped
    # A process that ends after the lost connection is restarted, as with Restart=always.
    time.sleep(2)
    for number, service in enumerate(production.services):
        if service.process.poll() is not None:
            production.services[number] = start(service.name, production.folder, confined=CONFINED)
    production.ended(production.until(lambda: production.launch("sweep_profiles", **current_hour(production))))


def test_production_stops_on_sigterm(production: Production) -> None:
    """Runs last. A stopped process has no child left that continues to write."""
    for service in reversed(production.services):
        began = time.monotonic()
        service.stop()
        assert time.monotonic() - began < STOP_S, f"{service.name} had to be killed"
