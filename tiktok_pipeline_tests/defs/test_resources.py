"""Schedules and sensors use the resources of the definitions; an import reads neither disk nor environment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from tiktok_pipeline.definitions import build_definitions
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.resources import Pipeline
from tiktok_pipeline.tables import COVERAGE, RAW_LIVES
from tiktok_pipeline_tests.defs.ticks import schedule_tick, sensor_tick

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


def with_variables(**variables: object) -> dg.RepositoryDefinition:
    """The definitions with another resource `pipeline`."""
    pipeline = Pipeline(environment={name: str(value) for name, value in variables.items()})
    return build_definitions(resources={"pipeline": pipeline}).get_repository_def()


def names(kind: str) -> list[str]:
    repository = build_definitions().get_repository_def()
    return sorted(each.name for each in (repository.schedule_defs if kind == "schedules" else repository.sensor_defs))


@pytest.mark.parametrize("name", names("schedules"))
def test_a_schedule_sees_the_replaced_resource(name: str, instance: dg.DagsterInstance) -> None:
    said = schedule_tick(with_variables(TIKTOK_PIPELINE_CLOCK="replay"), instance, name).skip_message
    assert said is not None
    assert "TIKTOK_PIPELINE_CLOCK=replay" in said


@pytest.mark.parametrize("name", names("sensors"))
def test_a_sensor_sees_the_replaced_resource(name: str, instance: dg.DagsterInstance) -> None:
    replaced = with_variables(TIKTOK_PIPELINE_CLOCK="replay", TIKTOK_PIPELINE_ALERT_WEBHOOK="http://127.0.0.1:9/")
    said = sensor_tick(replaced, instance, name).skip_message
    assert said is not None
    assert "TIKTOK_PIPELINE_CLOCK=replay" in said


def test_a_schedule_reads_the_lake_of_the_replaced_resource(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    replaced = with_variables(TIKTOK_PIPELINE_HOME=tmp_path)
    assert not schedule_tick(replaced, instance, "derive").run_requests
    lake, now = Lake(tmp_path / "lake"), datetime.now(UTC)
    lake.write_raw(RAW_LIVES, now, "watch-0000", RAW_LIVES.empty())
    lake.write_day(COVERAGE, now.date(), COVERAGE.empty())
    assert schedule_tick(replaced, instance, "derive").run_requests


# Fails at any read of the deployment's variables, and at any read of a file that is not code.
_STRICT = """
import importlib, os, pkgutil, sys

class Guarded(type(os.environ)):
    def __getitem__(self, name):
        if name.startswith(("TIKTOK_PIPELINE", "KONBINI", "SOCIAL_FETCH", "TIKLIVEAPI", "TIKHUB")):
            raise RuntimeError(f"read {name}")
        return super().__getitem__(name)

# Libraries that read the whole environment, proxies among it.
import dagster, dagster_duckdb, polars, duckdb, httpx, aiohttp, altair, sqlalchemy, uvicorn, xlsxwriter

def watch(event, arguments):
    if event == "open" and isinstance(arguments[0], str) and arguments[0].startswith(sys.argv[1]):
        if not arguments[0].endswith((".py", ".pyc")) and ".pyc." not in arguments[0]:
            raise RuntimeError(f"opened {arguments[0]}")
    if event == "socket.connect":
        raise RuntimeError("connected")

os.environ.__class__ = Guarded
sys.addaudithook(watch)
from tiktok_pipeline import definitions
import tiktok_pipeline
for module in pkgutil.walk_packages(tiktok_pipeline.__path__, "tiktok_pipeline."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""


def test_an_import_reads_neither_disk_nor_environment(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("no settings [")
    wrong = {
        "TIKTOK_PIPELINE_CLOCK": "wrong",
        "TIKTOK_PIPELINE_CLOCK_SPEED": "wrong",
        "TIKTOK_PIPELINE_CLOCK_ANCHOR": "wrong",
        "TIKTOK_PIPELINE_SCHEDULES": "wrong",
        "TIKTOK_PIPELINE_SETTINGS": str(broken),
        "TIKTOK_PIPELINE_ROSTER": str(broken),
        "TIKTOK_PIPELINE_HOME": str(broken),
        "TIKTOK_PIPELINE_LAKE": str(broken),
    }
    done = subprocess.run(
        [sys.executable, "-c", _STRICT, str(tmp_path)], cwd=tmp_path,
        env=os.environ | wrong | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [broken.name]
