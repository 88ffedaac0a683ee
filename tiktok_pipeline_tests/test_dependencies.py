"""What the code imports is what `pyproject.toml` declares."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OWN = {"tiktok_pipeline", "tiktok_pipeline_tests", "benchmarks"}

# Declared, and used by name instead of imported.
NOT_IMPORTED = {
    "adbc-driver-manager": "loads the driver for Postgres",
    "dagster-dg-cli": "the command dg",
    "dagster-postgres": "named in deploy/dagster.yaml",
    "dagster-webserver": "the Dagster UI",
    "httptools": "a parser of uvicorn",
    "mypy": "a command",
    "pytest-timeout": "a plugin of pytest",
    "ruff": "a command",
    "setuptools": "builds the package",
}
# A benchmark compares with it, where it is installed.
OPTIONAL = {"pandas"}


def declared(*extras: str) -> set[str]:
    listed = [*PROJECT["dependencies"], *(line for extra in extras for line in PROJECT["optional-dependencies"][extra])]
    return {name(re.split(r"[\[<>=~!; ]", line)[0]) for line in listed}


def name(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def imported(*folders: str) -> dict[str, set[str]]:
    """Distribution -> files that import it."""
    known, found = packages_distributions(), dict[str, set[str]]()
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module or ""]
            for top in {module.partition(".")[0] for module in modules} - OWN - OPTIONAL - sys.stdlib_module_names:
                for distribution in known.get(top, [top]):
                    found.setdefault(name(distribution), set()).add(str(path.relative_to(ROOT)))
    return found


@pytest.mark.parametrize(
    ("folders", "extras"),
    [(["tiktok_pipeline"], ["postgres"]), (["tiktok_pipeline_tests", "benchmarks"], ["postgres", "dev"])],
    ids=["package", "tests"],
)
def test_every_import_is_declared(folders: list[str], extras: list[str]) -> None:
    missing = {each: files for each, files in imported(*folders).items() if each not in declared(*extras)}
    assert not missing


def test_every_declared_dependency_is_used() -> None:
    used = imported("tiktok_pipeline", "tiktok_pipeline_tests", "benchmarks").keys() | NOT_IMPORTED.keys()
    assert declared("postgres", "dev") - used == set()
    assert not NOT_IMPORTED.keys() - declared("postgres", "dev")
