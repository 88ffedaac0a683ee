"""The template of a vendor gives files that pass lint and their own tests; every vendor has all of its files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tiktok_pipeline.providers import VENDORS
from tiktok_pipeline.sandbox.server import VENDORS as SANDBOX_VENDORS
from tiktok_pipeline_tests.new_vendor import REGISTRATIONS, make
from tiktok_pipeline_tests.providers.bodies import CASES

ROOT = Path(__file__).parent.parent
NAME = "acme_live"


@pytest.mark.parametrize("name", VENDORS)
def test_every_vendor_has_its_provider_its_sandbox_and_a_test_module_of_each(name: str) -> None:
    for folder in ("tiktok_pipeline", "tiktok_pipeline_tests"):
        prefix = "" if folder == "tiktok_pipeline" else "test_"
        for part in ("providers", "sandbox"):
            assert (ROOT / folder / part / f"{prefix}{name}.py").is_file(), f"{folder}/{part}/{prefix}{name}.py"
    assert name in {vendor.name for vendor in SANDBOX_VENDORS}
    assert name in {case.vendor for case in CASES}


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository's code."""
    root = tmp_path_factory.mktemp("copy")
    for folder in ("tiktok_pipeline", "tiktok_pipeline_tests"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(ROOT / "pyproject.toml", root / "pyproject.toml")
    return root


def test_a_new_vendor_passes_lint_its_own_tests_and_the_suite_of_all_vendors(copied: Path) -> None:
    files = make(NAME, copied)
    assert len(files) == 5
    written = [str(path) for path in (*files, *(copied / path for path in REGISTRATIONS))]
    for command in (("ruff", "check"), ("ruff", "format", "--check")):
        run(copied, *command, *written)
    tests = [str(path) for path in files if path.name.startswith("test_")]
    said = run(copied, "pytest", "-q", "-p", "no:cacheprovider", *tests)
    assert "4 passed" in said
    suite = "tiktok_pipeline_tests/providers/test_contract.py"
    run(copied, "pytest", "-q", "-p", "no:cacheprovider", suite, "-k", NAME)


def run(root: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=root, env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_wrong_or_taken_name_is_refused_and_nothing_is_written(copied: Path) -> None:
    before = sorted(copied.rglob("*.py"))
    for name in ("Acme", "acme-live", "1st", "konbini", "a__b", ""):
        with pytest.raises(ValueError, match=r"a name is|is there already"):
            make(name, copied)
    assert sorted(path for path in copied.rglob("*.py") if NAME not in path.name) == [
        path for path in before if NAME not in path.name
    ]
