"""A server that sends arbitrary bytes, and a window against it whose peak memory is measured."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

Behaviour = Callable[[socket.socket, str], None]


@dataclass
class HostileServer:
    """A server on a free port; `behave(connection, path)` handles each request in its own thread."""

    behave: Behaviour
    requests: list[str] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)
    # TLS context that wraps each connection.
    wrap: Callable[[socket.socket], socket.socket] = lambda connection: connection

    def __post_init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._stopped = False

    def serve(self) -> None:
        while not self._stopped:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._handle, args=(connection,), daemon=True).start()

    def _handle(self, accepted: socket.socket) -> None:
        with contextlib.suppress(OSError), accepted, self.wrap(accepted) as connection:
            received = b""
            while True:
                while b"\r\n\r\n" not in received:
                    more = connection.recv(65536)
                    if not more:
                        return
                    received += more
                head, _, received = received.partition(b"\r\n\r\n")
                path = head.split(b" ")[1].decode("latin-1")
                self.requests.append(path)
                self.heads.append(head)
                self.behave(connection, path)

    def stop(self) -> None:
        self._stopped = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@contextlib.contextmanager
def hostile_server(behave: Behaviour) -> Iterator[HostileServer]:
    server = HostileServer(behave)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(5)


def head(status: str = "200 OK", **headers: str) -> bytes:
    """Return the head of a response; underscores in header names become hyphens."""
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def whole(body: bytes, status: str = "200 OK", **headers: str) -> Behaviour:
    """Return a `behave` that always sends the same response, with its length."""
    sent = head(status, content_length=str(len(body)), content_type="application/json", **headers) + body
    return lambda connection, path: connection.sendall(sent)


@dataclass
class Measured:
    """Results of a window in its own process."""

    peak_mb: float
    seconds: float
    rows: list[dict[str, object]]
    progress: list[str]


_WINDOW = Path(__file__).with_name("hostile_window.py")


def measured_window(
    lake: Path, url: str, *, table: str = "raw_profiles", timeout: float = 120, **options: object
) -> Measured:
    """Run one sweep of `options["creators"]` creators against `url` in its own process."""
    arguments = {"lake": str(lake), "url": url, "table": table, **options}
    done = subprocess.run(
        [sys.executable, str(_WINDOW), json.dumps(arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path)},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return Measured(**json.loads(done.stdout.splitlines()[-1]))
