"""Two replayed days against a hostile sandbox: `python -m benchmarks.hostile`.

The real command runs in its own process, first without faults and then with 5 % of responses damaged (profile
`hostile`: bodies, headers, connections). An independent reader lists the readings that must be found nevertheless.

Prints counts of sent, damaged, landed and read responses, streams found, and memory and time of the replay. Exits with
1 after a violation: the exit code, a request without a row, a lost undamaged reading, a request caused by a body,
another creator's readings, an invented stream, memory of the capture.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.request import urlopen

from benchmarks.hostile.judging import Judged, judge
from tiktok_pipeline.config.settings import Routes
from tiktok_pipeline.sandbox.server import RunningSandbox, start_in_process

START = datetime(2026, 11, 2, tzinfo=UTC)
# The memory limit of a window, for any response; the process also derives and publishes.
MOST_MEGABYTES = 500


@dataclass
class Replay:
    """Exit code and cost of one replay."""

    exit_code: int
    output: str
    wall_s: float
    cpu_s: float
    # Peak of the whole process, and of the capture.
    megabytes: float
    capture_megabytes: float


def settings(*, reverse: bool) -> str:
    """Return settings that poll everything and end slow responses soon, because their seconds are real ones."""
    lines = ["[watch]", "round_seconds = 300"]
    lines += ["[sweeps]", 'keywords = ["gaming"]', 'ranking_regions = ["US"]', "ranking_of_live = true"]
    lines += ["[responses]", "deadline_seconds = 2.0"]
    if reverse:
        routes = Routes()
        lines.append("[routes]")
        lines += [f"{name} = {list(reversed(getattr(routes, name)))}" for name in Routes.__struct_fields__]
    return "\n".join(lines).replace("'", '"') + "\n"


def environment(sandbox: RunningSandbox, home: Path) -> dict[str, str]:
    """Return variables of a deployment in `home` that polls the sandbox on the replay clock."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("TIKTOK_PIPELINE")},
        **sandbox.environment,
        "TIKTOK_PIPELINE_HOME": str(home),
        "TIKTOK_PIPELINE_ROSTER": str(home / "roster.csv"),
        "TIKTOK_PIPELINE_SETTINGS": str(home / "settings.toml"),
        "TIKTOK_PIPELINE_CLOCK": "replay",
        "DAGSTER_HOME": "",
        "PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path),
    }


def replay(sandbox: RunningSandbox, home: Path, start: datetime, end: datetime, *, reverse: bool = False) -> Replay:
    """Replay [start, end) in `home` by the command line, and measure it."""
    home.mkdir(parents=True, exist_ok=True)
    with urlopen(f"{sandbox.url}/truth/roster.csv") as response:
        (home / "roster.csv").write_bytes(response.read())
    (home / "settings.toml").write_text(settings(reverse=reverse))
    times = (f"--from={start:%Y-%m-%dT%H:%M}", f"--to={end:%Y-%m-%dT%H:%M}")
    begun = time.perf_counter()
    with (home / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tiktok_pipeline.cli", "replay", *times],
            env=environment(sandbox, home), stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        with _watching(process.pid, home / "output.txt") as capturing:
            # Not `Popen.wait`: only this call returns the memory of this one child.
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    kilobytes = usage.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return Replay(
        exit_code=process.returncode,
        output=(home / "output.txt").read_text(errors="replace"),
        wall_s=time.perf_counter() - begun,
        cpu_s=usage.ru_utime + usage.ru_stime,
        megabytes=kilobytes / 1024,
        capture_megabytes=max(capturing, default=0.0),
    )


@contextmanager
def _watching(pid: int, output: Path) -> Iterator[list[float]]:
    """Sample the peak memory of a process every tenth of a second until it starts to derive; empty without /proc."""
    peaks: list[float] = []
    over = threading.Event()

    def look() -> None:
        status = Path(f"/proc/{pid}/status")
        while not over.wait(0.1) and b"deriving" not in output.read_bytes():
            try:
                line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
            except (OSError, StopIteration):
                return
            peaks.append(int(line.split()[1]) / 1024)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield peaks
    finally:
        over.set()
        watcher.join()


def describe(name: str, done: Replay, judged: Judged) -> None:
    """Print a replay."""
    print(f"\n== {name}: exit {done.exit_code}, {done.wall_s:.0f} s, {done.cpu_s:.0f} s of CPU, "
          f"peak memory {done.capture_megabytes:.0f} MB while capturing, {done.megabytes:.0f} MB in all")  # fmt: skip
    if done.exit_code:
        print("   " + "\n   ".join(done.output.splitlines()[-12:]))
    print(f"   {judged.requests:,} requests on the server, {judged.landed:,} rows; "
          + ", ".join(f"{outcome} {n:,}" for outcome, n in judged.outcomes.most_common()))  # fmt: skip
    share = judged.damaged.total() / max(judged.requests, 1)
    print(f"   {judged.damaged.total():,} responses damaged ({share:.1%})")
    print(f"   withheld, as no account is named near a mix-up: {judged.withheld:,} readings")
    print(f"   streams: {judged.streams_found} of {judged.streams_true} found, {judged.streams_invented} invented")
    for kind in sorted({*judged.damaged, *judged.readings}):
        wanted, present = judged.readings[kind]
        print(f"   {kind or 'undamaged':45} {judged.damaged[kind]:5,} damaged, {present:6,} of {wanted:6,} readings")
    for reason, number in judged.quarantined.most_common(12):
        print(f"   quarantine {number:5,}: {reason[:110]}")


def main() -> None:
    """Replay without faults, then with them; print; judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--creators", type=int, default=14)
    parser.add_argument("--hours", type=int, default=48)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--profile", default="hostile")
    parser.add_argument("--only", type=int, nargs="*", default=[0, 1, 2], help="which of the three replays")
    parser.add_argument("--keep", type=Path, help="keep the deployments in this folder")
    options = parser.parse_args()
    end = START + timedelta(hours=options.hours)
    broken: list[str] = []
    found: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        replays = (
            ("no faults", "none", False),
            (options.profile, options.profile, False),
            (f"{options.profile}, routes reversed", options.profile, True),
        )
        for name, profile, reverse in (replays[number] for number in options.only):
            home = (options.keep or Path(folder)) / name.replace(", ", "-").replace(" ", "-")
            with start_in_process(seed=options.seed, creators=options.creators, start=START, faults=profile) as sandbox:
                done = replay(sandbox, home, START, end, reverse=reverse)
                judged = judge(sandbox, home, START, end)
            describe(name, done, judged)
            if done.exit_code:
                broken.append(f"{name}: exit {done.exit_code}")
            found[name] = judged.streams_found
            broken += [f"{name}: {promise}" for promise in judged.broken]
            if done.capture_megabytes > MOST_MEGABYTES:
                broken.append(f"{name}: {done.capture_megabytes:.0f} MB while capturing, more than {MOST_MEGABYTES}")
    print()
    for promise in broken:
        print(f"BROKEN: {promise}")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
