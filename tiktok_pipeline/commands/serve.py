"""`tiktok-pipeline sandbox`: serve the world, and print how to connect to it."""

from __future__ import annotations

import sys
from datetime import datetime

from tiktok_pipeline.errors import SettingsError
from tiktok_pipeline.sandbox.server import environment, serve
from tiktok_pipeline.sandbox.world import World


def serve_sandbox(*, port: int, seed: int, creators: int, start: datetime, speed: float, faults: str) -> None:
    """Serve until stopped; print the variables to set to stdout as lines of a `.env` file, the rest to stderr.

    Raises:
        SettingsError: the port is taken, or there is no such fault profile.
    """

    def print_variables(taken: int) -> None:
        url = f"http://127.0.0.1:{taken}"
        for name, value in environment(url).items():
            print(f"{name}={value}")
        sys.stdout.flush()
        print(
            f"# {creators} creators, seed {seed}, clock from {start:%Y-%m-%dT%H:%M:%SZ} at {speed:g}x", file=sys.stderr
        )
        print(f"# roster: {url}/truth/roster.csv - stop with Ctrl-C", file=sys.stderr)

    try:
        serve(World(seed, creators, start=start), port=port, speed=speed, faults=faults, ready=print_variables)
    except KeyboardInterrupt:
        print("# stopped", file=sys.stderr)
    except OSError as error:
        raise SettingsError(f"cannot serve on 127.0.0.1:{port}: {error.strerror}; use --port 0") from None
    except ValueError as error:
        raise SettingsError(str(error)) from None
