"""The command line as a user has it: a process with few variables."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    environment = {**kept, "TIKTOK_PIPELINE_HOME": str(folder / "data"), **variables}
    return subprocess.run(
        [sys.executable, "-m", "tiktok_pipeline.cli", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def assert_refused(done: subprocess.CompletedProcess[str], said: str) -> None:
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.startswith("tiktok-pipeline: ")
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr
