"""The process that `server.start_in_process` starts: prints its port, and ends when its standard input closes."""

from __future__ import annotations

import argparse
import os
import sys
import threading
from datetime import datetime

from tiktok_pipeline.sandbox.server import serve
from tiktok_pipeline.sandbox.world import World


def _end_with_parent() -> None:
    """End at the end of standard input, which comes when the parent closes it or dies."""
    sys.stdin.buffer.read()
    os._exit(0)


def _main() -> None:
    parser = argparse.ArgumentParser(prog="tiktok_pipeline.sandbox")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--creators", type=int, required=True)
    parser.add_argument("--start", type=datetime.fromisoformat, required=True)
    parser.add_argument("--clock", type=datetime.fromisoformat, required=True)
    parser.add_argument("--delay", type=float, required=True)
    parser.add_argument("--speed", type=float, required=True)
    parser.add_argument("--faults", required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    serve(
        World(options.seed, options.creators, start=options.start),
        port=options.port,
        speed=options.speed,
        faults=options.faults,
        clock=options.clock,
        delay_s=options.delay,
        ready=lambda port: print(f"port {port}", flush=True),
    )


if __name__ == "__main__":
    _main()
