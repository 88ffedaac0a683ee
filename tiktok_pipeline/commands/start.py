"""`tiktok-pipeline start`: run a deployment on this machine, until Ctrl-C."""

from __future__ import annotations

import os
from collections.abc import Callable

from tiktok_pipeline.commands.dagster_service import give_up_runs, serve_dagster
from tiktok_pipeline.commands.instance import only_program, use_instance
from tiktok_pipeline.commands.ports import require_free_port
from tiktok_pipeline.config.settings import SANDBOX_MARKER, Places
from tiktok_pipeline.errors import SettingsError


def run_start(*, port: int, say: Callable[[str], None]) -> None:
    """Serve the deployment's UI and run its schedules.

    Raises:
        SettingsError: the home is a demo's, another program works in it, or the port is taken.
    """
    places = Places.from_environment()
    if (places.home / SANDBOX_MARKER).exists():
        raise SettingsError(f"{places.home} holds a demo, which `make dev` serves")
    require_free_port(port, use="tiktok-pipeline start --port 3001")
    # The lock is only for programs without a daemon: this daemon's own schedules would skip while it is held.
    with only_program(places, "start"):
        use_instance(places)
        give_up_runs()
    # The service works in the checkout: relative paths are of this folder.
    os.environ |= {
        "TIKTOK_PIPELINE_HOME": str(places.home),
        "TIKTOK_PIPELINE_LAKE": str(places.lake),
        "TIKTOK_PIPELINE_SETTINGS": str(places.settings),
        "TIKTOK_PIPELINE_ROSTER": str(places.roster),
    }
    serve_dagster(port, places.home / "logs" / "dagster.log", say)
