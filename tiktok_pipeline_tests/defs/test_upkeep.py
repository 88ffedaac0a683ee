"""The job `upkeep` as an operator runs it, and the runs that it deletes from the history."""

import logging
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tiktok_pipeline.definitions import build_definitions
from tiktok_pipeline.defs.upkeep.run_history import delete_run, superseded_runs
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.resources import Pipeline
from tiktok_pipeline.tables import LIVE_OBSERVATIONS, RAW_LIVES, VENDOR_USAGE
from tiktok_pipeline_tests.transforms.frames import frame

SOON = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


def partitioned() -> dg.AssetsDefinition:
    @dg.asset(partitions_def=dg.StaticPartitionsDefinition(["a", "b"]), config_schema={"fail": bool})
    def made(context: dg.AssetExecutionContext) -> None:
        logging.getLogger("dagster").debug("making")
        if context.op_execution_context.op_config["fail"]:
            raise dg.Failure("on purpose")

    return made


def run(instance: dg.DagsterInstance, partition: str, *, fail: bool = False) -> str:
    config = {"ops": {"made": {"config": {"fail": fail}}}}
    return dg.materialize(
        [partitioned()], instance=instance, partition_key=partition, run_config=config, raise_on_error=False
    ).run_id


def test_only_runs_superseded_by_a_later_run_are_deleted(instance: dg.DagsterInstance) -> None:
    old = [run(instance, "a"), run(instance, "a", fail=True), run(instance, "b")]
    newest_a, failed_b = run(instance, "a"), run(instance, "b", fail=True)
    # Both old runs of a are superseded. Of b, the success made the current file and the failure is the newest run.
    assert superseded_runs(instance, SOON) == old[:2]
    assert superseded_runs(instance, datetime.now(UTC) - timedelta(days=1)) == []
    for run_id in old[:2]:
        delete_run(instance, run_id)
    assert {record.dagster_run.run_id for record in instance.get_run_records()} == {old[2], newest_a, failed_b}
    assert instance.get_materialized_partitions(dg.AssetKey("made")) == {"a", "b"}
    left = [path.name for path in Path(instance.root_directory).rglob("*") if old[0] in str(path)]
    assert left == []
    assert superseded_runs(instance, SOON) == []


def test_upkeep_keeps_its_own_runs_for_the_growth_of_the_deployment(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    pipeline = deployment(tmp_path)
    ran = {upkeep(pipeline, instance).run_id for _ in range(2)}
    assert superseded_runs(instance, SOON) == []
    assert {record.dagster_run.run_id for record in instance.get_run_records()} == ran


def test_a_running_run_is_never_superseded(instance: dg.DagsterInstance) -> None:
    first = run(instance, "a")
    going = instance.create_run_for_job(
        build_definitions().resolve_job_def("upkeep"), status=dg.DagsterRunStatus.STARTED
    )
    run(instance, "a")
    assert superseded_runs(instance, SOON) == [first]
    assert going.run_id in {record.dagster_run.run_id for record in instance.get_run_records()}


def deployment(tmp_path: Path, settings: str = "") -> Pipeline:
    (tmp_path / "settings.toml").write_text(settings)
    (tmp_path / "roster.csv").write_text("handle\nann\n")
    names = {"HOME": "", "SETTINGS": "settings.toml", "ROSTER": "roster.csv"}
    return Pipeline(environment={f"TIKTOK_PIPELINE_{name}": str(tmp_path / path) for name, path in names.items()})


def land(lake: Lake, hour: datetime) -> None:
    for flush in range(3):
        moment = hour + timedelta(minutes=flush)
        row: dict[str, Any] = {
            "capture_id": f"lives-w-{flush:04d}", "vendor": "konbini", "creator_id": "ann", "http_status": 200,
            "requested_at": moment, "observed_at": moment, "received_at": moment, "endpoint": "/x",
            "outcome": "ok", "credits": 1.0,
        }  # fmt: skip
        lake.write_raw(RAW_LIVES, hour, f"w-{flush:04d}", frame(RAW_LIVES, row))


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    (event,) = (e for e in result.get_asset_materialization_events() if e.asset_key == dg.AssetKey(asset))
    return {key: value.value for key, value in event.materialization.metadata.items()}


def upkeep(pipeline: Pipeline, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    job = build_definitions(resources={"pipeline": pipeline}).resolve_job_def("upkeep")
    return job.execute_in_process(instance=instance, raise_on_error=False)


def test_upkeep_reports_its_results_in_numbers(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    pipeline = deployment(tmp_path, "[retention]\nraw_days = 40\n")
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    for ago in (timedelta(0), timedelta(hours=5), timedelta(days=41)):
        land(pipeline.lake, now - ago)
    result = upkeep(pipeline, instance)
    assert result.success
    compaction = metadata(result, "raw_compaction")
    assert (compaction["files_before"], compaction["files_after"], compaction["dagster/row_count"]) == (6, 2, 6)
    retention = metadata(result, "raw_retention")
    assert (retention["days_removed"], retention["files_removed"]) == (1, 1)
    assert retention["removed"] == f"{now.date() - timedelta(days=41)}"
    # The current hour was not touched.
    sizes = metadata(result, "storage_size")
    assert sizes["files_raw_lives"] == sizes["lake_files"] == 4
    assert sizes["lake_megabytes"] == sizes["megabytes_raw_lives"] > 0
    assert sizes["dagster_megabytes"] > 0.1
    assert sizes["dagster_runs"] == 1
    assert sizes["free_gigabytes"] > 0
    assert metadata(result, "run_history") == {"runs_deleted": 0, "runs_kept": 1}


def test_a_damaged_file_is_named_and_stops_neither_upkeep_nor_other_files(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    pipeline, day = deployment(tmp_path), datetime(2026, 11, 2, tzinfo=UTC)
    for hour in range(2):
        land(pipeline.lake, day + timedelta(hours=hour))
    bad = pipeline.lake.hour_files(RAW_LIVES, day)[1]
    bad.write_bytes(b"PAR1 and nothing more")
    result = upkeep(pipeline, instance)
    assert result.success
    assert metadata(result, "raw_compaction")["left_as_they_were"] == 1
    assert metadata(result, "raw_compaction")["hours_folded"] == 2
    assert metadata(result, "storage_size")["unreadable_files"] == 1
    assert not check(result, "storage_size").passed
    warnings = [log.user_message for log in instance.all_logs(result.run_id) if log.level == logging.WARNING]
    assert sum(str(bad) in message for message in warnings) == 2


def derive(pipeline: Pipeline, first: date, last: date) -> dg.ExecuteInProcessResult:
    job = build_definitions(resources={"pipeline": pipeline}).resolve_job_def("derive")
    tags = {"dagster/asset_partition_range_start": f"{first}", "dagster/asset_partition_range_end": f"{last}"}
    return job.execute_in_process(tags=tags, raise_on_error=False)


def test_a_day_with_removed_raw_rows_keeps_its_observations(tmp_path: Path) -> None:
    pipeline, days = deployment(tmp_path), [date(2026, 9, n) for n in (1, 2, 3)]
    for day in days:
        land(pipeline.lake, datetime(day.year, day.month, day.day, 10, tzinfo=UTC))
    assert derive(pipeline, days[0], days[2]).success

    def derived() -> dict[str, bytes]:
        return {
            f"{table.name} {day}": pipeline.lake.day_file(table, day).read_bytes()
            for table in (LIVE_OBSERVATIONS, VENDOR_USAGE)
            for day in days
        }

    before = derived()
    assert pipeline.lake.scan_days(VENDOR_USAGE, days[0], days[0]).collect()["requests"].sum() == 3
    (tmp_path / "settings.toml").write_text("[retention]\nraw_days = 40\n")
    with dg.instance_for_test() as instance:
        assert metadata(upkeep(pipeline, instance), "raw_retention")["days_removed"] == 3
    assert derive(pipeline, days[0], days[2]).success
    assert derived() == before


def check(result: dg.ExecuteInProcessResult, asset: str) -> dg.AssetCheckEvaluation:
    """Return the result of the check `files` of an asset."""
    found = [e for e in result.get_asset_check_evaluations() if e.check_name == "files"]
    (evaluation,) = [e for e in found if e.asset_key == dg.AssetKey(asset)]
    return evaluation


def test_a_damaged_raw_file_is_named_by_a_warning_check_and_stops_no_derive(tmp_path: Path) -> None:
    pipeline, day = deployment(tmp_path), date(2026, 9, 1)
    land(pipeline.lake, datetime(2026, 9, 1, 10, tzinfo=UTC))
    bad = pipeline.lake.hour_files(RAW_LIVES, datetime(2026, 9, 1, 10, tzinfo=UTC))[0]
    content = bad.read_bytes()
    bad.write_bytes(content[:-10])
    result = derive(pipeline, day, day)
    assert result.success
    found = check(result, "quarantine")
    assert not found.passed
    assert found.severity == dg.AssetCheckSeverity.WARN
    assert f"{bad.relative_to(pipeline.lake.root)}" in (found.description or "")
    assert bad.read_bytes() == content[:-10]
    bad.write_bytes(content)
    result = derive(deployment(tmp_path), day, day)
    assert check(result, "quarantine").passed
