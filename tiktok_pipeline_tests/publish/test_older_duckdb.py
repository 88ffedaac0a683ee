"""The DuckDB releases that BI tools bundle, from 1.2 on, open the published file.

Each wheel is installed once, into pytest's cache; a machine without a package index skips.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.publish.catalog import PUBLISHED
from tiktok_pipeline.publish.duckdb_file import LINK, publish
from tiktok_pipeline.publish.views import VIEWS
from tiktok_pipeline_tests import small_lake

# Run by the older DuckDB: prints rows by table and view, and the comments.
_READ = """
import json, sys, duckdb
connection = duckdb.connect(sys.argv[1], read_only=True)
names = [row[0] for row in connection.execute("SELECT table_name FROM information_schema.tables").fetchall()]
rows = {name: connection.execute(f"SELECT count(*) FROM (SELECT * FROM {name})").fetchone()[0] for name in names}
comments = connection.execute("SELECT count(comment), count(*) FROM duckdb_columns() WHERE NOT internal").fetchone()
board = connection.execute("SELECT rank, handle FROM leaderboard_today").fetchall()
print(json.dumps({"version": duckdb.__version__, "rows": rows, "comments": comments, "board": board}))
"""


@pytest.fixture(params=["1.2.2", "1.4.4"])
def older(request: pytest.FixtureRequest) -> Path:
    """Return the folder with an older, unpacked wheel."""
    version: str = request.param
    folder = request.config.cache.mkdir(f"duckdb-{version}") / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            staged = folder.with_name(f"{folder.name}.part")
            shutil.rmtree(staged, ignore_errors=True)
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
            done = subprocess.run(
                [*pip, "--only-binary=:all:", "--target", str(staged), f"duckdb=={version}"],
                capture_output=True, text=True, timeout=180, check=False,
            )  # fmt: skip
            if done.returncode:
                pytest.skip(f"duckdb {version} could not be installed: {done.stderr.strip().splitlines()[-1]}")
            staged.replace(folder)
    return folder


def test_an_older_duckdb_opens_the_published_file(older: Path, tmp_path: Path) -> None:
    small_lake.fill(Lake(tmp_path / "lake"))
    with duckdb.connect(":memory:") as connection:
        published = publish(connection, Lake(tmp_path / "lake"), tmp_path / "warehouse", now=small_lake.AS_OF, keep=1)
    done = subprocess.run(
        [sys.executable, "-c", _READ, str(tmp_path / "warehouse" / LINK)],
        env={**os.environ, "PYTHONPATH": str(older)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)
    assert older.parent.name.endswith(read["version"])
    assert read["rows"].keys() == {table.name for table in PUBLISHED} | VIEWS.keys() | {"publication"}
    assert {name: read["rows"][name] for name in published.rows} == published.rows
    assert {name: read["rows"][name] for name in VIEWS} == {
        "live_now": 1, "leaderboard_today": 1, "leaderboard_overview": 1, "stream_overview": published.rows["streams"],
        "movers": published.rows["creators"], "went_dark": 1,
    }  # fmt: skip
    assert read["comments"][0] == read["comments"][1] > 100
    assert read["board"] == [[1, "riser.now"]]
