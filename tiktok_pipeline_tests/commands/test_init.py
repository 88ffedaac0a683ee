"""`tiktok-pipeline init`: a deployment's own files, apart from the checkout."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

from tiktok_pipeline.config.settings import SANDBOX_MARKER, Settings, load_settings
from tiktok_pipeline_tests.commands.command_line import assert_refused, run

ROOT = Path(__file__).parents[2]


def test_init_makes_files_that_work_and_a_second_init_changes_nothing(tmp_path: Path) -> None:
    done = run(tmp_path, "init", "live")
    home = tmp_path / "live"
    assert done.returncode == 0
    assert f"export TIKTOK_PIPELINE_HOME={home}" in done.stdout
    assert load_settings(home / "settings.toml") == Settings()
    assert stat.S_IMODE((home / ".env").stat().st_mode) == 0o600
    assert run(tmp_path, "roster", "add", "mira", TIKTOK_PIPELINE_HOME="live").returncode == 0
    (home / ".env").write_text("TIKTOK_PIPELINE_HOME=elsewhere\nTIKTOK_PIPELINE_CLOCK=replay\n")
    before = {path: path.read_bytes() for path in home.iterdir()}
    assert run(tmp_path, "init", "live").stdout.count("kept ") == 3
    assert {path: path.read_bytes() for path in home.iterdir()} == before


def test_a_home_s_own_environment_is_read_but_the_process_environment_wins(tmp_path: Path) -> None:
    run(tmp_path, "init")
    (tmp_path / "data" / ".env").write_text("TIKTOK_PIPELINE_HOME=elsewhere\nTIKTOK_PIPELINE_CLOCK=reply\n")
    assert_refused(run(tmp_path, "roster", "list"), "must be real or replay")
    assert run(tmp_path, "roster", "list", TIKTOK_PIPELINE_CLOCK="real").returncode == 0
    assert not (tmp_path / "elsewhere").exists()
    (tmp_path / "data" / ".env").write_bytes(b"\xff\xfe\x00")
    assert_refused(run(tmp_path, "roster", "list"), ".env cannot be read")


def test_init_copies_the_files_of_a_deployment_that_has_them_in_the_working_directory(tmp_path: Path) -> None:
    """With an empty roster in the home, polling would stop."""
    (tmp_path / "roster.csv").write_text("handle\nold.one\n")
    assert "old.one" in run(tmp_path, "roster", "list").stdout
    assert "copied " in run(tmp_path, "init").stdout
    assert (tmp_path / "data" / "roster.csv").read_text() == "handle\nold.one\n"
    run(tmp_path, "roster", "add", "new.one")
    assert run(tmp_path, "roster", "list").stdout.split()[::2] == ["old.one", "new.one"]
    assert (tmp_path / "roster.csv").read_text() == "handle\nold.one\n"


def test_init_and_demo_do_not_mix_a_demo_with_a_deployment(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / SANDBOX_MARKER).write_text("{}")
    assert_refused(run(tmp_path, "init"), "holds a demo")
    run(tmp_path, "init", "live")
    assert_refused(run(tmp_path, "demo", TIKTOK_PIPELINE_HOME=str(tmp_path / "live")), "is not a demo's")


def test_the_checkout_holds_no_file_that_a_user_edits() -> None:
    kept = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    assert not {"roster.csv", "settings.toml", ".env"} & set(kept)
    assert {"roster.csv.example", "settings.toml.example", ".env.example"} <= {p.name for p in ROOT.iterdir()}
