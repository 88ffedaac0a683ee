"""After `forget` no byte of a creator is left, and the next call completes an interrupted one."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tiktok_pipeline import tables
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.publish import postgres
from tiktok_pipeline_tests.raw_files import all_raw
from tiktok_pipeline_tests.upkeep.forget.deployment import (
    CREATOR,
    HOUR,
    RENAMED,
    Deployment,
    build,
    go_live_cursor,
    postgres_traces,
    traces,
)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a deployment that names the creator everywhere; tests work on copies."""
    root = tmp_path_factory.mktemp("template") / "deployment"
    build(root)
    return root


@pytest.fixture
def deployed(template: Path, tmp_path: Path) -> Deployment:
    root = tmp_path / "deployment"
    shutil.copytree(template, root, symlinks=True)
    (root / "settings.toml").write_text(f'[gifts]\nknown_streams = "{root / "gifts.csv"}"\n')
    return Deployment(root, None)


def killed_at(deployed: Deployment, point: int, handle: str = RENAMED) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tiktok_pipeline_tests.upkeep.forget.killed", handle, str(point)],
        env={**deployed.environment, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def test_forget_leaves_no_byte_of_a_creator_in_files_dagsters_records_and_postgres(
    deployed: Deployment, postgres_url: str
) -> None:
    deployed.postgres_url = postgres_url
    postgres.publish(postgres_url, Lake(deployed.places.lake), now=HOUR)
    assert len(traces(deployed.root)) > 20
    assert postgres_traces(postgres_url) > 5
    done = deployed.run("forget", f"@{RENAMED}")
    assert done.returncode == 0, done.stderr
    assert traces(deployed.root) == {}
    assert postgres_traces(postgres_url) == 0
    assert f"forgot {CREATOR}" in done.stdout
    # The rows, alerts and runs of other creators still exist.
    assert list(go_live_cursor(deployed.root / "dagster")["on_air"]["broadcasts"]) == ["ann"]
    assert {"ann", "eve", "max", "gap", "gone"} == {
        *Lake(deployed.places.lake).scan_all(tables.CREATORS).collect()["creator_id"]
    }
    posts = json.loads(all_raw(Lake(deployed.places.lake), tables.RAW_POSTS).collect()["body"].item())
    assert [post["id"][-1] for post in posts["data"]["posts"]] == ["1", "2"]
    again = deployed.run("forget", CREATOR)
    assert (again.returncode, len(again.stderr.splitlines())) == (1, 1)
    assert "is not known here: erased on" in again.stderr


def test_a_second_call_completes_an_interrupted_erasure(deployed: Deployment, template: Path) -> None:
    points = int(killed_at(deployed, 0).stdout)
    assert points > 100
    # Early, and near the end; `python -m benchmarks.forget_kills` tries every point.
    for point in (points // 4, points - 3):
        shutil.rmtree(deployed.root)
        shutil.copytree(template, deployed.root, symlinks=True)
        (deployed.root / "settings.toml").write_text(f'[gifts]\nknown_streams = "{deployed.root / "gifts.csv"}"\n')
        assert killed_at(deployed, point).returncode == -9
        done = deployed.run("forget", RENAMED)
        assert done.returncode == 0, (point, done.stderr)
        assert "interrupted" in done.stdout
        assert traces(deployed.root) == {}, point


def test_after_a_publish_error_the_next_call_completes_the_erasure(deployed: Deployment) -> None:
    blocked = deployed.places.warehouse / ".lock"
    blocked.unlink()
    blocked.mkdir()
    failed = deployed.run("forget", CREATOR)
    assert (failed.returncode, len(failed.stderr.splitlines())) == (1, 1)
    assert "was not replaced" in failed.stderr
    assert traces(deployed.root) != {}
    blocked.rmdir()
    assert deployed.run("forget", CREATOR).returncode == 0
    assert traces(deployed.root) == {}


def test_a_damaged_file_is_named_and_the_creator_is_erased_from_all_others(deployed: Deployment) -> None:
    lake = Lake(deployed.places.lake)
    broken = lake.folder(tables.RAW_LIVES) / "date=2026-11-02" / "hour=10" / "broken-0000.parquet"
    broken.write_bytes(b"PAR1 and nothing that is Parquet")
    failed = deployed.run("forget", CREATOR)
    assert failed.returncode == 1
    assert str(broken) in failed.stderr
    assert traces(deployed.root) == {}
    broken.unlink()
    assert deployed.run("forget", CREATOR).returncode == 0
    assert traces(deployed.root) == {}


def test_a_foreign_file_in_the_home_is_named_and_stays(deployed: Deployment) -> None:
    notes = [
        deployed.places.home / "notes.txt",
        deployed.places.lake / "_aside" / "0a-streams.parquet",
        deployed.places.warehouse / "parquet" / "streams.parquet.aside-0a" / "note",
    ]
    for note in notes:
        note.parent.mkdir(exist_ok=True)
        note.write_text(f"call @{RENAMED} tomorrow")
    done = deployed.run("forget", CREATOR)
    assert (done.returncode, [str(note) in done.stderr for note in notes]) == (1, [True, True, True])
    assert all(note.exists() for note in notes)
    assert set(traces(deployed.root)) == {str(note.relative_to(deployed.root)) for note in notes}
