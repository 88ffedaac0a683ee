"""The Dagster instance of this machine: DAGSTER_HOME, or a folder of the deployment's home."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import yaml  # type: ignore[import-untyped]
from sqlalchemy import Engine, event

from tiktok_pipeline.config.home_lock import home_lock
from tiktok_pipeline.config.settings import Places
from tiktok_pipeline.errors import SettingsError

# The settings of an instance on one machine, in a checkout of the project.
SHIPPED = Path(__file__).parents[2] / "dagster.yaml"

# The header of an SQLite file gives its length: bytes a page (1 means 65,536) and the number of pages.
_HEADER = b"SQLite format 3\x00"


def use_instance(places: Places) -> Path:
    """Set DAGSTER_HOME for this process and its children, unless it is set; return the folder.

    The folder is made where it is missing, and gets a dagster.yaml where it has none.

    Raises:
        SettingsError: the folder cannot be made, or its content is damaged; the message has the fix.
    """
    configured = os.environ.get("DAGSTER_HOME")
    home = Path(configured).absolute() if configured else (places.home / "dagster").absolute()
    used = home / "dagster.yaml"
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not (configured and used.exists()):
            if SHIPPED.exists():
                shutil.copyfile(SHIPPED, used)
            elif not used.exists():
                # Installed without a checkout: Dagster's defaults, without telemetry.
                used.write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    except OSError as error:
        raise SettingsError(
            f"Dagster's folder {home} cannot be made ({error.strerror}): move away what is there, or name another "
            "folder in DAGSTER_HOME"
        ) from None
    for problem in problems(home):
        raise SettingsError(problem)
    os.environ["DAGSTER_HOME"] = str(home)
    return home


@contextmanager
def records_without_fsync() -> Iterator[None]:
    """Write Dagster's SQLite records in this process without waiting for the disk after each event.

    For runs that can be repeated, such as a replay. A killed process loses nothing. A power failure can damage the
    records, never data; `problems` names a damaged file.
    """

    def never_wait(connection: object, _: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous = OFF")

    event.listen(Engine, "connect", never_wait)
    try:
        yield
    finally:
        event.remove(Engine, "connect", never_wait)


@contextmanager
def only_program(places: Places, command: str) -> Iterator[None]:
    """Use the home of a deployment as its only program.

    Raises:
        SettingsError: another program, or a Dagster daemon, works in it.
    """
    from tiktok_pipeline.commands.dagster_records import refuse_other_daemon  # noqa: PLC0415 - Dagster takes a second

    home = instance_home(os.environ, places)
    with home_lock(places.home, command, check=lambda before: refuse_other_daemon(home, before)):
        yield


def instance_home(environment: Mapping[str, str], places: Places) -> Path:
    """Return the folder of the instance, existing or not."""
    return Path(environment.get("DAGSTER_HOME") or places.home / "dagster").absolute()


def problems(home: Path) -> Iterator[str]:
    """Yield problems of an instance's folder with their fixes. A missing folder is none: it is created later."""
    if not home.exists() and not home.is_symlink():
        return
    if not home.is_dir():
        yield f"{home} is no folder: move it away, or name another folder in DAGSTER_HOME"
        return
    settings = home / "dagster.yaml"
    try:
        if settings.exists() and not isinstance(yaml.safe_load(settings.read_text(encoding="utf-8")) or {}, dict):
            yield f"{settings} holds no settings: replace it by a copy of the shipped one"
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        yield f"{settings} cannot be read ({' '.join(str(error).split())}): replace it by a copy of the shipped one"
    for name in ("schedules/schedules.db", "history/runs.db", "history/runs/index.db"):
        reason = _damage(home / name)
        if reason is not None:
            yield (
                f"Dagster's records {home / name} are damaged ({reason}): put the file back from a backup, or move it "
                "away, and Dagster makes a new one; this loses the history of runs, but no data"
            )


def _damage(path: Path) -> str | None:
    """Return why an SQLite file cannot be used; None for a good or an empty file, which SQLite initializes."""
    if not path.exists() and not path.is_symlink():
        return None
    if not path.is_file():
        return "not a file"
    try:
        with path.open("rb") as file:
            header = file.read(100)
        if header and not header.startswith(_HEADER):
            return "not an SQLite file"
        size = int.from_bytes(header[16:18], "big")
        if path.stat().st_size < (65536 if size == 1 else size) * int.from_bytes(header[28:32], "big"):
            return "it is cut off"
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
    except sqlite3.OperationalError:
        return None  # busy
    except (OSError, sqlite3.Error) as error:
        return str(error)
    return None
