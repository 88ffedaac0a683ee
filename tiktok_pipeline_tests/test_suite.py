"""The structure of the suite: imports between its modules, and the division of tests among workers."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tiktok_pipeline_tests import conftest

TESTS = Path(__file__).parent
MODULES = sorted(TESTS.rglob("*.py"))


def imported(module: Path) -> Iterator[str]:
    """Yield the dotted names of all imports of a module."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)
            yield from (f"{node.module}.{name.name}" for name in node.names)


def test_no_module_imports_a_test_module() -> None:
    """Shared fixtures and helpers have their own modules."""
    tests = {".".join(path.relative_to(TESTS.parent).with_suffix("").parts) for path in TESTS.rglob("test_*.py")}
    assert len(tests) > 100
    found = {str(module.relative_to(TESTS)): sorted(tests & set(imported(module))) for module in MODULES}
    assert {module: names for module, names in found.items() if names} == {}


def test_each_file_with_a_rule_for_workers_exists_once() -> None:
    names = [path.name for path in TESTS.rglob("test_*.py")]
    for name in (*conftest.FIRST, *conftest.SHARED, *conftest.DIVISIBLE):
        assert names.count(name) == 1, name


def test_the_files_that_use_the_shared_replay_run_on_one_worker() -> None:
    """Otherwise each worker would make its own replay."""
    using = {
        path.name
        for path in TESTS.rglob("test_*.py")
        if "tiktok_pipeline_tests.replayed" in imported(path) and "superset" not in path.name
    }
    assert using == set(conftest.SHARED)
    assert len(set(conftest.SHARED.values())) == 1


def test_every_test_has_a_timeout(pytestconfig: pytest.Config) -> None:
    assert 60 <= float(pytestconfig.getini("timeout")) <= 900
