"""Check that a port is free before a command starts anything."""

from __future__ import annotations

import socket

from tiktok_pipeline.errors import SettingsError


def require_free_port(port: int, *, use: str) -> None:
    """Check that `port` of 127.0.0.1 can be listened on.

    Args:
        port: the port; 0 stands for any free port.
        use: the command line to type for another port.

    Raises:
        SettingsError: another program uses the port, or this user may not listen on it.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port whose last connections are still closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError as error:
            raise SettingsError(
                f"port {port} of 127.0.0.1 cannot be used ({error.strerror}): stop the program that uses it, or type "
                f"`{use}` with another number"
            ) from None
