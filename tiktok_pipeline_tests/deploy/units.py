"""Start the processes of production as their systemd units specify, with the paths of this machine."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from configparser import ConfigParser
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"
NAMES = ("code", "webserver", "daemon")

# A unit has 90 s from SIGTERM to SIGKILL; less is enough on a loaded machine.
STOP_S = 60


def unit(name: str) -> ConfigParser:
    """Parse a unit file; the values of a repeated key, such as EnvironmentFile, are joined by newlines."""
    parser = ConfigParser(interpolation=None, strict=False, delimiters=("=",), comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    text = (DEPLOY / "systemd" / f"tiktok-pipeline-{name}.service").read_text().replace("\\\n", " ")
    environment = re.findall(r"^EnvironmentFile=(.*)$", text, re.MULTILINE)
    parser.read_string(text)
    parser["Service"]["EnvironmentFile"] = "\n".join(environment)
    return parser


def values(name: str, key: str) -> list[str]:
    """Return every value of a key of a unit's [Service], in file order."""
    text = (DEPLOY / "systemd" / f"tiktok-pipeline-{name}.service").read_text().partition("[Service]")[2]
    return re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)


def variables(path: Path) -> dict[str, str]:
    """Return the assignments of an environment file."""
    lines = (line.strip() for line in path.read_text().splitlines())
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@dataclass
class Service:
    """One started process of a unit."""

    name: str
    log: Path
    process: subprocess.Popen[bytes]
    stopped: bool = False

    def stop(self) -> int:
        """Stop it as systemd does: SIGTERM to all of its processes, then SIGKILL if needed.

        A second call does nothing: another process may have the process id by then.
        """
        if self.stopped:
            return self.process.returncode
        self.stopped = True
        for signaled, patience in ((signal.SIGTERM, STOP_S), (signal.SIGKILL, 10)):
            try:
                os.killpg(self.process.pid, signaled)
            except ProcessLookupError:
                break
            try:
                self.process.wait(patience)
            except subprocess.TimeoutExpired:
                continue
        return self.process.wait(5)


def start(name: str, folder: Path, *, confined: bool) -> Service:
    """Run ExecStart with the environment files of `folder` and no other variable of this process.

    With `confined`, apply the unit's system-call restrictions; see confinement.py.
    """
    service = unit(name)["Service"]
    environment = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
    for file in service["EnvironmentFile"].splitlines():
        environment |= variables(folder / Path(file).name)
    command = shlex.split(re.sub(r"\$\{(\w+)\}", lambda match: environment[match[1]], service["ExecStart"]))
    # The environment of the tests replaces the one in /opt.
    command[0] = str(Path(sys.executable).with_name(Path(command[0]).name))
    if confined:
        command = [sys.executable, "-m", "tiktok_pipeline_tests.deploy.confinement", name, *command]
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    return Service(name, log, process)
