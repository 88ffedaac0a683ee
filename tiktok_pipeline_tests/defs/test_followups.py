"""The sensor of follow-ups, on a lake filled by a sandbox: it requests one run for all due follow-ups."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.request import urlopen

import dagster as dg
import polars as pl
import pytest

from tiktok_pipeline.capture.clock import hours_between
from tiktok_pipeline.capture.deployment import Deployment
from tiktok_pipeline.capture.replay import replay_hours
from tiktok_pipeline.config.access import accesses
from tiktok_pipeline.config.settings import Settings
from tiktok_pipeline.definitions import build_definitions
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.providers.vendor import Target
from tiktok_pipeline.sandbox.creators import Creator
from tiktok_pipeline.sandbox.server import RunningSandbox, start_in_process
from tiktok_pipeline.sandbox.streams import TrueStream
from tiktok_pipeline.tables import RAW_LIVES, TABLES
from tiktok_pipeline_tests.defs.ticks import sensor_tick

# The deployment's clock shows an evening on which streams have just ended.
BEGAN = datetime(2026, 3, 2, tzinfo=UTC)
NOW = BEGAN + timedelta(days=2, hours=21)


@dataclass
class Deployed:
    lake: Lake
    sandbox: RunningSandbox
    instance: dg.DagsterInstance
    repository: dg.RepositoryDefinition
    stream: TrueStream

    def tick(self, cursor: str | None = None) -> dg.RunRequest | str:
        data = sensor_tick(self.repository, self.instance, "stream_boundaries", cursor)
        if data.run_requests:
            (request,) = data.run_requests
            return request
        assert data.skip_message
        return data.skip_message

    def run(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """Execute a run request as the daemon does."""
        return self.repository.get_job("stream_boundaries").execute_in_process(
            run_config=request.run_config,
            partition_key=request.partition_key,
            asset_selection=list(request.asset_selection or ()),
            instance=self.instance,
            tags=dict(request.tags),
            raise_on_error=False,
        )

    def landed(self, table: str) -> pl.DataFrame:
        hours = [NOW]
        return self.lake.scan_raw(TABLES[table], hours).filter(pl.col("capture_id").str.contains("boundary")).collect()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with start_in_process(seed=5, creators=30, start=BEGAN, clock=NOW) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def watched(sandbox: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a lake in which a watch has captured the last hours."""
    folder = tmp_path_factory.mktemp("watched")
    targets = [Target(c.handle, c.handle, c.user_id) for c in public(sandbox)]
    here = Deployment(Lake(folder), Settings(), accesses(sandbox.environment), targets)
    replay_hours(here, RAW_LIVES, hours_between(NOW - timedelta(hours=4), NOW), kind="watch")
    return folder


@pytest.fixture
def deployed(
    tmp_path: Path, sandbox: RunningSandbox, watched: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Deployed]:
    shutil.copytree(watched, tmp_path / "lake")
    (tmp_path / "roster.csv").write_text("handle\n" + "\n".join(c.handle for c in public(sandbox)) + "\n")
    (tmp_path / "settings.toml").write_text("[boundary]\npatience_minutes = 240\n")
    places = {
        "TIKTOK_PIPELINE_HOME": str(tmp_path),
        "TIKTOK_PIPELINE_ROSTER": str(tmp_path / "roster.csv"),
        "TIKTOK_PIPELINE_SETTINGS": str(tmp_path / "settings.toml"),
    }
    clock = {
        "TIKTOK_PIPELINE_CLOCK_SPEED": "1",
        "TIKTOK_PIPELINE_CLOCK_ANCHOR": f"{datetime.now(UTC).isoformat()}/{NOW.isoformat()}",
    }
    for name, value in (sandbox.environment | places | clock).items():
        monkeypatch.setenv(name, value)
    ended = [
        stream
        for creator in public(sandbox)
        for stream in sandbox.world.streams(creator, NOW - timedelta(hours=3), NOW)
        if timedelta(minutes=20) < NOW - stream.ended_at < timedelta(hours=3)
        and stream.ended_at - stream.started_at > timedelta(minutes=15)
        and sandbox.world.room_at(creator, NOW) is None
    ]
    with dg.instance_for_test() as instance:
        yield Deployed(Lake(tmp_path / "lake"), sandbox, instance, build_definitions().get_repository_def(), ended[0])


def public(sandbox: RunningSandbox) -> list[Creator]:
    return [creator for creator in sandbox.world.creators if creator.kind == "public"]


def test_one_run_is_requested_for_all_due_follow_ups(deployed: Deployed) -> None:
    request = deployed.tick()
    assert isinstance(request, dg.RunRequest)
    config = request.run_config["ops"]["raw_profiles"]["config"]
    assert config["mode"] == "boundary"
    assert len(config["due"]) > 1
    assert "end" in config["due"][deployed.stream.creator.handle]
    # A tick evaluated again, as after a crash of the daemon, requests the same run and no second one.
    again = deployed.tick()
    assert isinstance(again, dg.RunRequest)
    assert again.run_key == request.run_key
    result = deployed.run(request)
    assert result.success
    rows = deployed.landed("raw_profiles")
    assert set(rows["creator_id"]) == config["due"].keys()
    assert rows.filter(pl.col("outcome") == "ok").height > 0
    assert "no follow-up is due" in deployed.tick()


def test_a_lost_run_is_requested_again(deployed: Deployed) -> None:
    request = deployed.tick()
    assert isinstance(request, dg.RunRequest)
    job = deployed.repository.get_job("stream_boundaries")
    lost = deployed.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    assert lost.run_id in deployed.tick()
    deployed.instance.report_run_failed(lost)
    again = deployed.tick()
    assert isinstance(again, dg.RunRequest)
    assert again.run_config["ops"].keys() == request.run_config["ops"].keys()


def test_follow_ups_without_a_response_stay_due_and_fail_nothing(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = deployed.tick()
    assert isinstance(request, dg.RunRequest)
    for name in deployed.sandbox.environment:
        if name.endswith("_BASE_URL"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
    settings = deployed.lake.root.parent / "settings.toml"
    settings.write_text(settings.read_text() + "[retries]\nattempts = 1\n")
    assert deployed.run(request).success
    assert deployed.landed("raw_profiles")["outcome"].unique().to_list() == ["network_error"]
    again = deployed.tick()
    assert isinstance(again, dg.RunRequest)
    assert again.run_config["ops"].keys() == request.run_config["ops"].keys()


def test_follow_ups_without_a_vendor_are_not_requested(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIKLIVEAPI_API_KEY", "")
    (deployed.lake.root.parent / "settings.toml").write_text(
        '[boundary]\npatience_minutes = 240\n[routes]\nfollowers = ["tikliveapi"]\n'
    )
    request = deployed.tick()
    assert isinstance(request, dg.RunRequest)
    assert "raw_followers" not in request.run_config["ops"]
    assert "raw_profiles" in request.run_config["ops"]


def test_the_ended_room_is_requested_if_the_watch_got_no_response(deployed: Deployed) -> None:
    hours = hours_between(NOW - timedelta(hours=8), NOW)
    for file in [file for hour in hours for file in deployed.lake.hour_files(RAW_LIVES, hour)]:
        frame = pl.read_parquet(file)
        deployed.lake.rewrite(file, frame.filter(~pl.col("endpoint").str.contains("(?i)room|info")))
    request = deployed.tick()
    assert isinstance(request, dg.RunRequest)
    due = request.run_config["ops"]["raw_lives"]["config"]["due"]
    assert "end + 2 min" in due[deployed.stream.creator.handle]
    deployed.run(request)
    rows = deployed.landed("raw_lives").filter(pl.col("creator_id") == deployed.stream.creator.handle)
    assert rows["vendor"].to_list() == ["tikhub"]
    assert rows["subject"].to_list() == [deployed.stream.rooms[-1].room_id]


def test_the_sensor_makes_no_request(deployed: Deployed) -> None:
    def requests() -> bytes:
        with urlopen(f"{deployed.sandbox.url}/truth/ledger") as answer:
            ledger: bytes = answer.read()
            return ledger

    before = requests()
    assert isinstance(deployed.tick(), dg.RunRequest)
    assert requests() == before


def test_on_the_replay_clock_the_sensor_requests_no_run(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIKTOK_PIPELINE_CLOCK", "replay")
    assert "tiktok-pipeline replay" in deployed.tick()
