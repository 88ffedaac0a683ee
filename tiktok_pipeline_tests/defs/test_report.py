"""The report as an asset: rendered from the snapshot, with metadata for the UI."""

from __future__ import annotations

import base64
from pathlib import Path

import dagster as dg

from tiktok_pipeline.definitions import build_definitions
from tiktok_pipeline.defs.publish.report import report
from tiktok_pipeline.resources import Pipeline
from tiktok_pipeline_tests.publish.report.rosters import small


def materialized(home: Path, *, fails: bool = False) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize(
            [report],
            resources={"pipeline": Pipeline(environment={"TIKTOK_PIPELINE_HOME": str(home)})},
            instance=instance,
            raise_on_error=not fails,
        )


def test_the_report_asset_writes_the_page_and_shows_its_path_and_a_small_chart(tmp_path: Path) -> None:
    small(tmp_path)
    (materialization,) = materialized(tmp_path).asset_materializations_for_node("report")
    page = tmp_path / "report" / "index.html"
    metadata = materialization.metadata
    assert metadata["dagster/uri"].value == str(page)
    assert metadata["page"].value == page.as_uri()
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert metadata["creators_live"].value == 1
    assert metadata["streams_shown"].value == 6
    picture = str(metadata["lifts"].value)
    assert len(picture) < 50_000
    encoded = picture.partition("base64,")[2].rstrip(")")
    assert base64.b64decode(encoded).startswith(b"\x89PNG")


def test_the_chart_is_stored_once_an_hour_and_once_per_run(tmp_path: Path) -> None:
    small(tmp_path)
    resources = {"pipeline": Pipeline(environment={"TIKTOK_PIPELINE_HOME": str(tmp_path)})}
    with dg.DagsterInstance.ephemeral() as instance:
        first, second = (dg.materialize([report], resources=resources, instance=instance) for _ in range(2))
        stored = [entry.to_json() for entry in instance.all_logs(first.run_id)]
    assert sum("data:image/png" in entry for entry in stored) == 1
    (again,) = second.asset_materializations_for_node("report")
    assert "lifts" not in again.metadata
    assert again.metadata["streams_shown"].value == 6


def test_without_a_warehouse_the_asset_fails_with_a_reason(tmp_path: Path) -> None:
    failed = materialized(tmp_path, fails=True)
    (event,) = [each for each in failed.all_events if each.is_step_failure]
    assert event.step_failure_data.user_failure_data is not None
    assert "there is no warehouse" in str(event.step_failure_data.user_failure_data.description)


def test_every_derive_makes_the_report_after_the_warehouse() -> None:
    derive = build_definitions().resolve_job_def("derive")
    assert {"warehouse", "report"} <= {node.name for node in derive.nodes}
    assert [key.to_user_string() for key in report.dependency_keys] == ["warehouse"]
