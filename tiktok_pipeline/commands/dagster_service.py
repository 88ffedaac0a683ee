"""Run Dagster's UI, daemon and code server as one service of this process, until Ctrl-C.

Its output goes to a log file. The terminal shows its address, when it is ready, and errors.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from logging.handlers import RotatingFileHandler
from pathlib import Path
from urllib.request import Request, urlopen

import msgspec

from tiktok_pipeline.errors import PipelineError

Say = Callable[[str], None]

# How often to check whether the service has ended, or Ctrl-C was pressed.
_LOOK_S = 0.2

# Time limit for a question to the UI's server while it starts.
_ASKING_S = 5

# Repositories of the code locations that are loaded, and the health of the daemons.
_READY = """{
  repositoriesOrError { ... on RepositoryConnection { nodes { name } } }
  instance { daemonHealth { allDaemonStatuses { required lastHeartbeatTime } } }
}"""

# `dg dev` finds the project by its working directory.
_CHECKOUT = Path(__file__).parents[2]

# Time limit for a service to stop, active runs included.
_STOPPING_S = 30

# Size of the log file; one older file is kept beside it.
_LOG_BYTES = 20_000_000

# Colours of a terminal; a line of Dagster's log that reports an error, and how much of it is printed.
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_ERROR = re.compile(r" - (?:ERROR|CRITICAL) - (.*)")
_SHOWN = 300
_MOST_ERRORS = 100


def serve_dagster(port: int, log: Path, say: Say) -> None:
    """Serve the UI at `port`, with all schedules and sensors, until Ctrl-C; write its output to `log`.

    Raises:
        PipelineError: `dg` or the checkout is missing, or the service ended by itself with an error.
    """
    dg = Path(sys.executable).with_name("dg")
    if not dg.exists() or not (_CHECKOUT / "pyproject.toml").exists():
        raise PipelineError("`dg` or the project's checkout is missing: run this command in a checkout of the project")
    url = f"http://127.0.0.1:{port}"
    say(f"log of Dagster: {log}")
    threading.Thread(target=_say_when_ready, args=(url, say), daemon=True).start()
    _run_until_stopped([str(dg), "dev", "--port", str(port), "--host", "127.0.0.1"], log, say)


def _run_until_stopped(command: list[str], log: Path, say: Say) -> None:
    """Run `command` until it ends, or until Ctrl-C or a termination signal.

    It runs in a session of its own: Ctrl-C in a terminal reaches a whole session, and every process of Dagster would
    print a traceback. Only the process that can stop the others gets the signal.

    Raises:
        PipelineError: it ended by itself with an error.
    """
    service = subprocess.Popen(
        command,
        cwd=_CHECKOUT,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    assert service.stdout is not None
    reader = threading.Thread(target=_keep, args=(service.stdout, log, say), daemon=True)
    reader.start()
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        # A signal may reach another thread, and a wait without a timeout would not notice it.
        while service.poll() is None:
            time.sleep(_LOOK_S)
        if service.returncode:
            reader.join(_LOOK_S)
            raise PipelineError(
                f"{Path(command[0]).name} {command[1]} ended with exit code {service.returncode}: see {log}"
            )
    except KeyboardInterrupt:
        say("stopping")
        # A second Ctrl-C must not leave processes behind.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        service.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            service.wait(_STOPPING_S)
        say("stopped")
    finally:
        # Code servers outlive their parent by most of a minute, and runs continue with them.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(service.pid, signal.SIGKILL)
        service.wait()
        reader.join(_STOPPING_S)
        service.stdout.close()
        give_up_runs()
        signal.signal(signal.SIGTERM, previous)


def _say_when_ready(url: str, say: Say) -> None:
    """Print the address of the UI when it answers, and again when the code is loaded and the daemon runs."""
    begun = time.time()
    while not _answers(url):
        time.sleep(_LOOK_S)
    say(f"Dagster UI: {url} (starting)")
    while not _ready(url, begun):
        time.sleep(_LOOK_S)
    say(f"Dagster UI: {url} is ready: watch runs under Runs, and switch schedules under Automation")


def _answers(url: str) -> bool:
    with contextlib.suppress(OSError), urlopen(f"{url}/server_info", timeout=_ASKING_S):
        return True
    return False


def _ready(url: str, begun: float) -> bool:
    """Return whether the code is loaded, and every required daemon has reported since `begun`, in Unix time.

    Dagster itself calls a daemon healthy for half an hour after its last report.
    """
    request = Request(f"{url}/graphql", msgspec.json.encode({"query": _READY}), {"Content-Type": "application/json"})
    with contextlib.suppress(OSError, msgspec.MsgspecError, KeyError, TypeError):
        with urlopen(request, timeout=_ASKING_S) as response:
            found = msgspec.json.decode(response.read())["data"]
        daemons = found["instance"]["daemonHealth"]["allDaemonStatuses"]
        return bool(found["repositoriesOrError"].get("nodes")) and all(
            (daemon["lastHeartbeatTime"] or 0) >= begun for daemon in daemons if daemon["required"]
        )
    return False


def _keep(lines: Iterable[str], log: Path, say: Say) -> None:
    """Write the lines of a service to its log, and print those that report an error."""
    log.parent.mkdir(parents=True, exist_ok=True)
    printed = set[str]()
    with contextlib.closing(RotatingFileHandler(log, maxBytes=_LOG_BYTES, backupCount=1, encoding="utf-8")) as file:
        for line in lines:
            text = _COLOUR.sub("", line.rstrip("\n"))
            file.emit(logging.LogRecord("service", logging.INFO, "", 0, text, None, None))
            found = _ERROR.search(text)
            # An error that repeats with every tick is printed once.
            if found and found[1] not in printed and len(printed) < _MOST_ERRORS:
                printed.add(found[1])
                say(f"error: {found[1][:_SHOWN]} (see {log})")


def give_up_runs() -> None:
    """Cancel runs that the records show as active: their services have stopped."""
    from tiktok_pipeline.commands.runs import give_up_runs as give_up  # noqa: PLC0415 - Dagster takes a second to import

    give_up()
