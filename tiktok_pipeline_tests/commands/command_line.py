"""Run the command line as a user does, with few variables: in this process, or in a new one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import BytesIO, TextIOWrapper
from pathlib import Path

from tiktok_pipeline.cli import main


def run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command in this process; return its output and exit code."""
    return run_here(arguments, _environment(folder, variables), folder)


def run_process(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a new process."""
    return subprocess.run(
        [sys.executable, "-m", "tiktok_pipeline.cli", *arguments],
        cwd=folder, env=_environment(folder, variables), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def run_here(
    arguments: tuple[str, ...], environment: Mapping[str, str], folder: Path
) -> subprocess.CompletedProcess[str]:
    """Run a command in this process with exactly these variables; an unexpected exception is raised."""
    out, err = (TextIOWrapper(BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    code: object = 0
    with _as_process(("tiktok-pipeline", *arguments), environment, folder), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
    output, errors = (stream.buffer.getvalue().decode() for stream in (out, err))  # type: ignore[attr-defined]
    assert isinstance(code, int), code
    return subprocess.CompletedProcess(arguments, code, output, errors)


@contextmanager
def _as_process(arguments: tuple[str, ...], environment: Mapping[str, str], folder: Path) -> Iterator[None]:
    kept = dict(os.environ), os.getcwd(), sys.argv, sys.stdin
    try:
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        sys.argv = list(arguments)
        with Path(os.devnull).open() as empty:
            sys.stdin = empty
            yield
    finally:
        os.environ.clear()
        os.environ.update(kept[0])
        os.chdir(kept[1])
        sys.argv, sys.stdin = kept[2:]


def _environment(folder: Path, variables: Mapping[str, str]) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return {**kept, "TIKTOK_PIPELINE_HOME": str(folder / "data"), **variables}


def assert_refused(done: subprocess.CompletedProcess[str], reason: str) -> None:
    """Check for exit code 1 and one line on stderr that contains `reason`."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.startswith("tiktok-pipeline: ")
    assert len(done.stderr.splitlines()) == 1
    assert reason in done.stderr
