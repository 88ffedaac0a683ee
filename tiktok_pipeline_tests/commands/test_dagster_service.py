"""Dagster as a service of a command: a quiet terminal, and a log file."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tiktok_pipeline.commands import dagster_service
from tiktok_pipeline.config.settings import SANDBOX_MARKER
from tiktok_pipeline.errors import PipelineError
from tiktok_pipeline_tests.commands.command_line import assert_refused, run

LINES = (
    "\x1b[32m2026-11-26 16:41:36 +0000\x1b[0m - dagster.daemon - \x1b[34mINFO\x1b[0m - Launching",
    "\x1b[32m2026-11-26 16:41:36 +0000\x1b[0m - dagster.daemon - \x1b[33mWARNING\x1b[0m - No cursor",
    "\x1b[32m2026-11-26 16:41:36 +0000\x1b[0m - dagster.daemon - \x1b[31mERROR\x1b[0m - it broke",
    "Traceback (most recent call last):",
)


def test_the_output_of_a_service_is_in_its_log_and_only_errors_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dagster_service, "give_up_runs", lambda: None)
    said: list[str] = []
    log = tmp_path / "logs" / "dev.log"
    program = f"import sys; print({chr(10).join(LINES)!r}); print('gr\\xfc\\xdfe'); sys.exit(3)"
    with pytest.raises(PipelineError, match=f"ended with exit code 3: see {log}"):
        dagster_service._run_until_stopped([sys.executable, "-c", program], log, said.append)
    assert said == [f"error: it broke (see {log})"]
    written = log.read_text().splitlines()
    assert written[0] == "2026-11-26 16:41:36 +0000 - dagster.daemon - INFO - Launching"
    assert written[3] == "Traceback (most recent call last):"


def test_start_refuses_a_demos_home(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / SANDBOX_MARKER).write_text("{}")
    assert_refused(run(tmp_path, "start"), "holds a demo, which `make dev` serves")
