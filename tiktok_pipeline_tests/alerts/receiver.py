"""A local webhook receiver: keeps posted messages and responds with a configurable status."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class Receiver:
    """Posted messages, and the HTTP status of every response."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/hook/very-secret-part"
        self.posted: list[dict[str, Any]] = []
        self.status = 200

    @property
    def texts(self) -> list[str]:
        """The text of every message, oldest first."""
        return [message["text"] for message in self.posted]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if receiver.status == 200:
                receiver.posted.append(json.loads(body))
            self.send_response(receiver.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing, so that test output shows failures only."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver = Receiver(server.server_address[1])
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
