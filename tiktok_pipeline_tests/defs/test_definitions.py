"""The deployment's definitions as Dagster loads them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from tiktok_pipeline.definitions import build_definitions
from tiktok_pipeline.partitions import DAILY, HOURLY
from tiktok_pipeline.tables import TABLES

UPKEEP = ("raw_compaction", "raw_retention", "run_history", "storage_size")

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def defs() -> dg.Definitions:
    return build_definitions()


def test_definitions_load_without_environment_and_touch_nothing(tmp_path: Path) -> None:
    program = (
        "import dagster as dg; from tiktok_pipeline.definitions import build_definitions; "
        "dg.Definitions.validate_loadable(build_definitions())\n"
        # As Dagster loads the code: it reads the names of day folders, if there are any, and writes nothing.
        "from tiktok_pipeline.definitions import defs; dg.Definitions.validate_loadable(defs())"
    )
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LD_LIBRARY_PATH")}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env={**kept, "HOME": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == []


def test_every_asset_has_a_description_group_kinds_and_owner(defs: dg.Definitions) -> None:
    specs = list(defs.resolve_all_asset_specs())
    assert {spec.key.to_user_string() for spec in specs} == {*TABLES, "warehouse", "postgres", "report", *UPKEEP}
    for spec in specs:
        name = spec.key.to_user_string()
        assert spec.description, name
        assert len(spec.description) > 150, name
        assert spec.owners, name
        assert spec.kinds, name
        assert spec.group_name in ("raw", "normalized", "marts", "publish", "upkeep"), name


def test_every_table_shows_its_columns_with_types_and_descriptions(defs: dg.Definitions) -> None:
    for spec in defs.resolve_all_asset_specs():
        table = TABLES.get(spec.key.to_user_string())
        if table is None:
            continue
        schema = spec.metadata["dagster/column_schema"]
        assert isinstance(schema, dg.TableSchema)
        assert [column.name for column in schema.columns] == [column.name for column in table.columns]
        assert all(column.description for column in schema.columns)


def test_every_mart_shows_the_columns_that_each_of_its_columns_is_made_of(defs: dg.Definitions) -> None:
    assets = {spec.key for spec in defs.resolve_all_asset_specs()}
    for spec in defs.resolve_all_asset_specs():
        table = TABLES.get(spec.key.to_user_string())
        if table is None or table.layer != "marts":
            continue
        lineage = spec.metadata["dagster/column_lineage"]
        assert isinstance(lineage, dg.TableColumnLineage)
        assert list(lineage.deps_by_column) == [column.name for column in table.columns]
        deps = [dep for made_of in lineage.deps_by_column.values() for dep in made_of]
        assert deps, table.name
        assert {dep.asset_key for dep in deps} <= assets
        # Column lineage must match the graph: no lineage from a table that is not upstream.
        assert {dep.asset_key for dep in deps} <= {dep.asset_key for dep in spec.deps}, table.name


def test_a_marts_columns_show_their_sources_in_the_ui(defs: dg.Definitions) -> None:
    (spec,) = [spec for spec in defs.resolve_all_asset_specs() if spec.key.to_user_string() == "stream_hours"]
    descriptions = {column.name: column.description or "" for column in spec.metadata["dagster/column_schema"].columns}
    assert descriptions["lift"].startswith(
        next(c.description for c in TABLES["stream_hours"].columns if c.name == "lift")
    )
    assert "stream_lift (" in descriptions["lift"].partition("\n\n*From ")[2]
    assert descriptions["lift"].endswith("*")


def test_every_asset_links_to_an_existing_section_of_the_docs(defs: dg.Definitions) -> None:
    for spec in defs.resolve_all_asset_specs():
        docs = spec.metadata["docs"]
        assert isinstance(docs, dg.PathMetadataValue)
        page, _, part = str(docs.value).partition("#")
        headings = [line.lstrip("# ").lower() for line in (ROOT / page).read_text().splitlines() if line[:1] == "#"]
        assert not part or part in headings, docs.value


def test_raw_is_hourly_and_every_other_table_daily_or_whole(defs: dg.Definitions) -> None:
    for spec in defs.resolve_all_asset_specs():
        table = TABLES.get(spec.key.to_user_string())
        expected = None if table is None or table.files == "whole" else HOURLY if table.files == "hour" else DAILY
        assert spec.partitions_def == expected


def test_jobs_and_schedules_have_descriptions_with_their_cadence(defs: dg.Definitions) -> None:
    repository = defs.get_repository_def()
    jobs = [job for job in repository.get_all_jobs() if not job.name.startswith("__")]
    sweeps = {
        f"sweep_{name}" for name in ("profiles", "stories", "posts", "followers", "live_rankings", "user_searches")
    }
    assert {job.name for job in jobs} == {"watch", "replay", "derive", "upkeep", "stream_boundaries"} | sweeps
    assert all(job.description for job in jobs)
    schedules = {schedule.name: schedule for schedule in repository.schedule_defs}
    assert set(schedules) == {"watch", "derive", "upkeep"} | sweeps
    for schedule in schedules.values():
        assert schedule.description
        assert schedule.description.startswith("Every ")
    sensors = {sensor.name: sensor for sensor in repository.sensor_defs}
    assert set(sensors) == {"stream_boundaries", "first_report", "alerts", "go_live"}
    for sensor in sensors.values():
        assert sensor.description
        assert sensor.description.startswith("Every ")


def test_runs_execute_in_one_process(defs: dg.Definitions) -> None:
    assert defs.executor is dg.in_process_executor


def test_dagster_is_imported_only_in_allowed_modules() -> None:
    allowed = {"definitions.py", "resources.py", "partitions.py", "commands/runs.py", "commands/dagster_records.py"}
    for path in (ROOT / "tiktok_pipeline").rglob("*.py"):
        place = path.relative_to(ROOT / "tiktok_pipeline")
        if place.parts[0] == "defs" or str(place) in allowed:
            continue
        imports = [
            line.strip() for line in path.read_text().splitlines() if line.strip().startswith(("import", "from"))
        ]
        assert not [line for line in imports if line.split()[1].split(".")[0].startswith("dagster")], place
