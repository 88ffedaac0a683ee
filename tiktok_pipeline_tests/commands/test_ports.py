"""A taken port is found before anything starts."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tiktok_pipeline.commands.ports import require_free_port
from tiktok_pipeline.errors import SettingsError
from tiktok_pipeline_tests.commands.command_line import run


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def test_dev_names_a_taken_port_and_what_to_type_and_starts_nothing(tmp_path: Path, taken: int) -> None:
    (tmp_path / "sandbox.json").write_text('{"seed":41,"creators":3,"start":"2026-11-02T00:00:00Z","days":1}')
    done = run(tmp_path, "dev", "--port", str(taken), TIKTOK_PIPELINE_HOME=str(tmp_path))
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"port {taken} of 127.0.0.1 cannot be used (Address already in use)" in done.stderr
    assert "make dev PORT=3001" in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"sandbox.json", "running.lock"}


def test_a_free_port_and_any_port_pass(taken: int) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    require_free_port(free, use="make dev PORT=3001")
    require_free_port(0, use="make dev PORT=3001")
    with pytest.raises(SettingsError):
        require_free_port(taken, use="make dev PORT=3001")
