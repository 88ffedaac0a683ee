"""Run Dagster faster in the process of the tests.

Dagster makes an engine and a connection for every event of a run, and starts four processes for each run to show its
output twice. With one engine for each SQLite file and no such process, a small derive takes half the time. Dagster also
loads all migrations again for each file that it opens; here they are loaded once. Processes started by a test run
Dagster unchanged.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from dagster._core.execution import compute_logs
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage
from sqlalchemy import Engine, make_url

# Each run has its own file, and has ended when some later runs have started.
_KEPT = 16


@contextmanager
def quick_dagster() -> Iterator[None]:
    """Keep engines, and their connections as long as an instance is open; show no output of runs."""
    made: OrderedDict[tuple[object, ...], Engine] = OrderedDict()
    migrations: dict[tuple[str | None, str | None], ScriptDirectory] = {}
    create, dispose = sqlite_event_log.create_engine, dg.DagsterInstance.dispose
    load = ScriptDirectory.from_config

    def create_once(url: str, **options: Any) -> Engine:
        file = Path(make_url(url).database or "")
        if not file.exists():
            return create(url, **options)
        found = file.stat()
        # A file replaced by a test gets a new engine.
        key = (url, found.st_dev, found.st_ino)
        if key not in made:
            made[key] = create(url, **{**options, "poolclass": None})
            # Dagster disposes of an engine after each use.
            made[key].dispose = lambda close=True: None  # type: ignore[method-assign]
        made.move_to_end(key)
        while len(made) > _KEPT:
            Engine.dispose(made.popitem(last=False)[1])
        return made[key]

    def dispose_connections(instance: dg.DagsterInstance) -> None:
        dispose(instance)
        for engine in made.values():
            Engine.dispose(engine)

    def load_once(config: Config) -> ScriptDirectory:
        key = (config.config_file_name, config.get_main_option("script_location"))
        if key not in migrations:
            migrations[key] = load(config)
        return migrations[key]

    @contextmanager
    def show_nothing(path: str, stream: object) -> Iterator[tuple[None, None]]:
        yield None, None

    with pytest.MonkeyPatch.context() as patched:
        for module in (sqlite_event_log, sqlite_run_storage, sqlite_schedule_storage):
            patched.setattr(module, "create_engine", create_once)
        patched.setattr(dg.DagsterInstance, "dispose", dispose_connections)
        patched.setattr(ScriptDirectory, "from_config", load_once)
        patched.setattr(compute_logs, "tail_to_stream", show_nothing)
        yield
    for engine in made.values():
        Engine.dispose(engine)
