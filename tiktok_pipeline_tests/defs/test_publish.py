"""Publishing in Dagster: DuckDB always, Postgres if configured, neither blocks the other."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import duckdb
import pytest
from dagster_duckdb import DuckDBResource

from tiktok_pipeline.defs.publish.postgres import postgres
from tiktok_pipeline.defs.publish.warehouse import warehouse
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.resources import Pipeline
from tiktok_pipeline_tests import small_lake
from tiktok_pipeline_tests.publish.postgres_client import ask


def materialize(folder: Path, **environment: str) -> dg.ExecuteInProcessResult:
    pipeline = Pipeline(environment={"TIKTOK_PIPELINE_HOME": str(folder), **environment})
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize(
            [warehouse, postgres],
            resources={"pipeline": pipeline, "duckdb": DuckDBResource(database=":memory:")},
            instance=instance,
            raise_on_error=False,
        )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    small_lake.fill(Lake(tmp_path / "lake"))
    return tmp_path


def served(home: Path) -> int:
    with duckdb.connect(str(home / "warehouse" / "tiktok.duckdb"), read_only=True) as reader:
        return len(reader.execute("SELECT * FROM creators").fetchall())


def test_without_a_url_postgres_is_skipped(home: Path) -> None:
    result = materialize(home)
    assert result.success
    assert {key.to_user_string() for key in _materialized(result)} == {"warehouse"}
    assert served(home) == 5


def test_both_are_published_with_row_counts(home: Path, postgres_url: str) -> None:
    result = materialize(home, TIKTOK_PIPELINE_POSTGRES_URL=postgres_url)
    assert result.success
    published = {
        event.asset_key.to_user_string(): event.materialization.metadata
        for event in result.get_asset_materialization_events()
        if event.asset_key is not None
    }
    rows = published["postgres"]["dagster/row_count"].value
    assert rows == published["warehouse"]["dagster/row_count"].value
    assert published["postgres"]["rows_sent"].value == rows
    assert ask(postgres_url, "SELECT count(*) FROM tiktok.creators") == [(5,)]


def test_an_unreachable_postgres_is_a_readable_error_and_stops_no_other_asset(home: Path) -> None:
    result = materialize(home, TIKTOK_PIPELINE_POSTGRES_URL="postgresql://u:hunter2@127.0.0.1:1/db")
    assert not result.success
    assert {key.to_user_string() for key in _materialized(result)} == {"warehouse"}
    assert served(home) == 5
    failures = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert len(failures) == 1
    assert failures[0].user_failure_data is not None
    assert "Postgres at 127.0.0.1:1/db cannot be used" in (failures[0].user_failure_data.description or "")
    assert "hunter2" not in "\n".join(str(event) for event in result.all_events)


def _materialized(result: dg.ExecuteInProcessResult) -> list[dg.AssetKey]:
    return [event.asset_key for event in result.get_asset_materialization_events() if event.asset_key is not None]
