"""Schedules: what they ask for, and when they hold back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from tiktok_pipeline.definitions import build_definitions
from tiktok_pipeline.partitions import DAILY, HOURLY

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
    """What a tick comes to: the run that it asks for, or why it asks for none."""
    with dg.build_schedule_context(
        instance=instance, scheduled_execution_time=at or datetime.now(UTC), repository_def=repository
    ) as context:
        data = repository.get_schedule_def(name).evaluate_tick(context)
    if data.run_requests:
        return data.run_requests[0]
    assert data.skip_message
    return data.skip_message


@pytest.mark.parametrize("name", CAPTURES)
def test_a_capture_is_asked_for_the_hour_that_it_is(
    repository: dg.RepositoryDefinition, instance: dg.DagsterInstance, name: str
) -> None:
    request = tick(repository, instance, name)
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == HOURLY.get_partition_keys()[-1]
    (config,) = (op["config"] for op in request.run_config["ops"].values())
    assert datetime.fromisoformat(config["window_start"]) <= datetime.now(UTC)
    assert (config.get("mode") == "watch") == (name == "watch")


def test_derive_asks_for_the_last_days_in_one_run(
    repository: dg.RepositoryDefinition, instance: dg.DagsterInstance
) -> None:
    request = tick(repository, instance, "derive")
    assert isinstance(request, dg.RunRequest)
    days = DAILY.get_partition_keys()
    assert request.tags["dagster/asset_partition_range_start"] == days[-4]
    assert request.tags["dagster/asset_partition_range_end"] == days[-1]


@pytest.mark.parametrize("name", SCHEDULES)
def test_no_second_run_beside_one_that_is_under_way(
    repository: dg.RepositoryDefinition, instance: dg.DagsterInstance, name: str
) -> None:
    job = repository.get_job(name)
    run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    said = tick(repository, instance, name)
    assert isinstance(said, str)
    assert run.run_id in said
    instance.report_run_failed(run)
    assert isinstance(tick(repository, instance, name), dg.RunRequest)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_tick_from_before_a_downtime_asks_nobody(
    repository: dg.RepositoryDefinition, instance: dg.DagsterInstance, name: str
) -> None:
    said = tick(repository, instance, name, datetime.now(UTC) - timedelta(days=3))
    assert isinstance(said, str)
    assert "its window is over" in said


@pytest.mark.parametrize("name", SCHEDULES)
def test_on_the_replay_clock_schedules_hold_still(
    repository: dg.RepositoryDefinition,
    instance: dg.DagsterInstance,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TIKTOK_PIPELINE_CLOCK", "replay")
    said = tick(repository, instance, name)
    assert isinstance(said, str)
    assert "tiktok-pipeline replay" in said
