"""One demo, dev or replay at a time uses a home; a second says which one runs and changes nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tiktok_pipeline.config.home_lock import Program, home_lock, running_program
from tiktok_pipeline.errors import SettingsError
from tiktok_pipeline_tests.commands.command_line import run

_HOLD = """
import sys
from pathlib import Path
from tiktok_pipeline.config.home_lock import home_lock
with home_lock(Path(sys.argv[1]), "dev"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_process(home: Path) -> Iterator[subprocess.Popen[str]]:
    """Hold the lock of `home` in another process, as `dev`."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        try:
            yield holder
        finally:
            holder.kill()


def files_of(home: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "command",
    [("demo",), ("dev",), ("dev", "--port", "1")],
)
def test_a_second_program_names_the_first_and_changes_nothing(tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "sandbox.json").write_text('{"seed":41,"creators":3,"start":"2026-11-02T00:00:00Z","days":1}')
    with another_process(tmp_path) as holder:
        before = files_of(tmp_path)
        done = run(tmp_path, *command, TIKTOK_PIPELINE_HOME=str(tmp_path))
        assert done.returncode == 1
        assert f"`tiktok-pipeline dev` (process {holder.pid}, since " in done.stderr
        assert f"runs in {tmp_path}" in done.stderr
        assert files_of(tmp_path) == before
        assert holder.poll() is None


def test_a_replay_in_a_used_home_names_the_program(tmp_path: Path) -> None:
    (tmp_path / "roster.csv").write_text("handle\nmira.paints\n")
    keys = {"TIKHUB_USERNAME": "user", "TIKHUB_PASSWORD": "secret", "TIKTOK_PIPELINE_CLOCK": "replay"}
    with another_process(tmp_path):
        done = run(
            tmp_path,
            *("replay", "--from", "2026-11-02", "--to", "2026-11-03"),
            TIKTOK_PIPELINE_HOME=str(tmp_path),
            TIKTOK_PIPELINE_ROSTER=str(tmp_path / "roster.csv"),
            **keys,
        )
    assert done.returncode == 1
    assert "`tiktok-pipeline dev` (process " in done.stderr


def test_a_killed_program_blocks_nobody(tmp_path: Path) -> None:
    with another_process(tmp_path) as holder:
        found = running_program(tmp_path)
        assert found is not None
        assert (found.pid, found.command) == (holder.pid, "dev")
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert running_program(tmp_path) is None
        with home_lock(tmp_path, "demo"):
            pass


def test_the_lock_is_free_after_an_error_and_names_this_process_meanwhile(tmp_path: Path) -> None:
    home = tmp_path / "new" / "home"

    def fail() -> None:
        with home_lock(home, "replay"):
            found = running_program(home)
            assert found is not None
            assert (found.pid, found.command) == (os.getpid(), "replay")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert running_program(home) is None


@pytest.mark.parametrize("content", [b"", b"{", b'{"pid": "x"}', b"\xff\xfe"])
def test_a_lock_file_of_any_content_is_used_again(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "running.lock").write_bytes(content)
    assert running_program(tmp_path) is None
    with home_lock(tmp_path, "demo"):
        found = running_program(tmp_path)
        assert found is not None
        assert found.command == "demo"


def test_the_end_of_a_program_is_recorded_and_the_next_one_sees_it(tmp_path: Path) -> None:
    seen: list[Program | None] = []
    for command in ("demo", "dev"):
        with home_lock(tmp_path, command, check=seen.append):
            pass
    first, second = seen
    assert first is None
    assert second is not None
    assert (second.command, second.until is not None) == ("demo", True)


def test_a_check_that_fails_leaves_the_record_as_it_was(tmp_path: Path) -> None:
    def refuse(_: Program | None) -> None:
        raise SettingsError("a daemon runs")

    with home_lock(tmp_path, "demo"):
        pass
    before = (tmp_path / "running.lock").read_bytes()
    with pytest.raises(SettingsError, match="a daemon runs"), home_lock(tmp_path, "dev", check=refuse):
        pass
    assert (tmp_path / "running.lock").read_bytes() == before
    assert running_program(tmp_path) is None


def test_a_home_that_is_a_file_is_an_error_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(SettingsError, match="cannot be written"), home_lock(tmp_path / "home", "demo"):
        pass


def test_looking_for_a_program_creates_nothing(tmp_path: Path) -> None:
    assert running_program(tmp_path / "home") is None
    assert list(tmp_path.iterdir()) == []
