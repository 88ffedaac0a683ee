"""Fixtures of every test, which isolate it from the machine's own deployment."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tiktok_pipeline.commands.instance import records_without_fsync
from tiktok_pipeline_tests.postgres_server import postgres_server
from tiktok_pipeline_tests.quick_dagster import quick_dagster
from tiktok_pipeline_tests.replayed import replayed

__all__ = ["replayed"]

OURS = ("TIKTOK_PIPELINE", "KONBINI_", "SOCIAL_FETCH_", "TIKLIVEAPI_", "TIKHUB_", "DAGSTER_HOME")


# Files that take longest start first.
FIRST = (
    "test_unattended.py", "test_end_to_end.py", "test_example_queries.py", "test_same_bytes.py", "test_production.py",
    "test_damaged_files.py", "test_impostors.py", "test_recovery.py", "test_cases.py", "test_duckdb_file.py",
    "test_bounds.py", "test_odd_inputs.py", "test_snapshot.py", "test_erase.py", "test_schedules.py",
    "test_history.py", "test_hostile.py", "test_ledger.py", "test_lift_hard_worlds.py",
)  # fmt: skip

# Files whose tests share a session fixture, which one worker makes once.
SHARED = dict.fromkeys(
    ("test_end_to_end.py", "test_example_queries.py", "test_same_bytes.py", "test_filters.py"), "replayed"
)

# Files without a module fixture: their tests may run in parallel.
DIVISIBLE = ("test_damaged_files.py", "test_recovery.py", "test_lift_hard_worlds.py")


def pytest_configure() -> None:
    """Let SIGINT end child processes of the tests, even if the suite was started with SIGINT ignored (`make test &`).

    Children inherit an ignored signal: code servers, daemons and workers of a pool would not end.
    """
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first; the order within each stays."""
    items.sort(key=lambda item: FIRST.index(item.path.name) if item.path.name in FIRST else len(FIRST))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Divide the tests among workers by `group`. The marks of `--dist loadgroup` have no effect with pytest 9.1."""
    from xdist.scheduler import LoadFileScheduling  # noqa: PLC0415 - needed only with workers

    class Groups(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group(nodeid)

    return Groups(config, log) if config.getvalue("dist") == "loadfile" else None


def group(nodeid: str) -> str:
    """Return the group of a test: its file, unless that file shares a fixture with others or is divisible."""
    file, _, test = nodeid.partition("::")
    name = Path(file).name
    if name in DIVISIBLE:
        return nodeid
    if name == "test_cases.py":
        # Tests of the same vendors share a replay of odd responses.
        return f"{file} {test.partition('[')[2].rstrip(']').partition('-')[0]}"
    return SHARED.get(name, file)


@pytest.fixture(scope="session", autouse=True)
def quick_records() -> Iterator[None]:
    """Dagster's records of tests need not survive a power failure."""
    with records_without_fsync(), quick_dagster():
        yield


@pytest.fixture(autouse=True)
def no_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(OURS):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def new_database() -> Iterator[Callable[[], str]]:
    """Yield a function that makes empty databases of a real Postgres server, which runs until this worker ends."""
    with postgres_server() as server:
        yield server.new_database


@pytest.fixture
def postgres_url(new_database: Callable[[], str]) -> str:
    """Make an empty database and return its URL."""
    return new_database()
