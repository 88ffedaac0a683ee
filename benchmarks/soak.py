"""Run a deployment unattended for a while: `python -m benchmarks.soak --minutes 20 --speed 60`.

A sandbox at many times real speed, and a code server, a daemon and a webserver as in production, in their own home,
run without an operator. At the end it prints failed runs, the growth of the queue, the longest time without a poll of a
creator, the freshness of every table, the memory of the services, and the found streams against the truth. Exits with 1
after any violation. At this speed a second counts for a minute: the overhead of a run (5 to 10 s on an idle machine) is
a tenth of an hour here, and negligible in production.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from urllib.request import Request, urlopen

import dagster as dg
import duckdb
import msgspec
import polars as pl

from tiktok_pipeline.capture.clock import RealClock, hours_between, real_clock
from tiktok_pipeline.commands.demo import dev_environment, dev_settings
from tiktok_pipeline.commands.instance import SHIPPED
from tiktok_pipeline.config.settings import Settings
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.publish.duckdb_file import LINK
from tiktok_pipeline.sandbox.server import RunningSandbox, start_in_process
from tiktok_pipeline.sandbox.streams import TrueStream
from tiktok_pipeline.tables import LIVE_OBSERVATIONS, RAW_LIVES, TABLES

ROOT = Path(__file__).parent.parent

_UNDER_WAY = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING]

# Wall seconds of overhead allowed for a run: to leave the queue, to start and to end. On an idle machine it is five to
# ten.
_RUN_S = 30

# A found start further than this from the truth belongs to another stream.
_SAME_STREAM = timedelta(minutes=10)


@dataclass
class Sample:
    """State of the services at one moment of the soak."""

    at_s: float
    waiting: int
    megabytes: dict[str, float]
    event_log_mb: float


@dataclass
class Soaked:
    """A deployment that runs unattended."""

    home: Path
    sandbox: RunningSandbox
    clock: RealClock
    environment: dict[str, str]
    port: int
    services: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    began: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def lake(self) -> Lake:
        """The lake of the deployment."""
        return Lake(self.home / "lake")

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        """Return its Dagster instance."""
        with dg.DagsterInstance.from_config(str(self.home / "dagster")) as instance:
            yield instance

    def runs(self, job: str | None = None) -> list[dg.RunRecord]:
        """Return its runs, or those of one job, oldest first."""
        with self.instance() as instance:
            found = instance.get_run_records(dg.RunsFilter(job_name=job), limit=100_000)
        return sorted(found, key=lambda record: record.create_timestamp)

    def query(self, query: str, **variables: object) -> dict[str, object]:
        """Query the webserver, as the UI does."""
        body = msgspec.json.encode({"query": query, "variables": variables})
        url = f"http://127.0.0.1:{self.port}/graphql"
        with urlopen(Request(url, body, {"Content-Type": "application/json"}), timeout=60) as reply:
            response = msgspec.json.decode(reply.read())
        if "errors" in response:
            raise RuntimeError(str(response["errors"])[:500])
        data: dict[str, object] = response["data"]
        return data

    def sample(self) -> None:
        """Record the current state."""
        with self.instance() as instance:
            waiting = instance.get_runs_count(dg.RunsFilter(statuses=_UNDER_WAY))
        megabytes = {name: _megabytes(service.pid) for name, service in self.services.items()}
        logs = sum(path.stat().st_size for path in (self.home / "dagster" / "history").rglob("*") if path.is_file())
        self.samples.append(Sample(time.monotonic(), waiting, megabytes, logs / 1e6))

    def wait(self, until: Callable[[], bool], seconds: float, what: str) -> None:
        """Check every second until the condition holds.

        Raises:
            TimeoutError: the condition did not hold in time.
        """
        deadline = time.monotonic() + seconds
        while not until():
            for name, service in self.services.items():
                if service.poll() is not None:
                    raise RuntimeError(f"{name} ended with {service.returncode}: see {self.home / name}.log")
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {seconds:.0f} s: {what}")
            time.sleep(1)


@contextmanager
def deployed(home: Path, *, creators: int, speed: float, seed: int = 7) -> Iterator[Soaked]:
    """Start a sandbox, a code server, a daemon and a webserver, all in `home`; stop them afterwards."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    # The clock must not reach the present: 60 days are 24 hours at 60 times real speed.
    start = now - timedelta(days=60)
    shown = start + timedelta(days=1)
    code_port, port = free_port(), free_port()
    with ExitStack() as stack:
        sandbox = stack.enter_context(
            start_in_process(seed=seed, creators=creators, start=start, clock=shown, speed=speed)
        )
        (home / "dagster").mkdir(parents=True)
        (home / "dagster" / "dagster.yaml").write_text(SHIPPED.read_text())
        # Earlier days can be chosen, as in a deployment that has run for a while.
        earlier = f"\n[partitions]\nfirst_day = {shown - timedelta(days=40):%F}\n"
        (home / "settings.toml").write_text(dev_settings(speed) + earlier)
        (home / "workspace.yaml").write_text(
            f"load_from: [{{grpc_server: {{host: 127.0.0.1, port: {code_port}, location_name: tiktok_pipeline}}}}]\n"
        )
        with urlopen(f"{sandbox.url}/truth/roster.csv") as reply:
            (home / "roster.csv").write_bytes(reply.read())
        variables = {
            **sandbox.environment,
            **dev_environment(speed, shown),
            "TIKTOK_PIPELINE_HOME": str(home),
            "TIKTOK_PIPELINE_ROSTER": str(home / "roster.csv"),
            "TIKTOK_PIPELINE_SETTINGS": str(home / "settings.toml"),
            "DAGSTER_HOME": str(home / "dagster"),
            "PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path),
        }
        soaked = Soaked(home, sandbox, real_clock(variables), variables, port)
        workspace, local = ["-w", str(home / "workspace.yaml")], ["--host", "127.0.0.1"]
        module = ["-m", "tiktok_pipeline.definitions"]
        commands = {
            "code-server": ["dagster", "code-server", "start", *module, "--port", str(code_port), *local],
            "webserver": ["dagster-webserver", "--port", str(port), *local, *workspace],
            "daemon": ["dagster-daemon", "run", *workspace],
        }
        for name, command in commands.items():
            soaked.services[name] = stack.enter_context(_service(home, name, command, variables))
            if name == "code-server":
                soaked.wait(lambda: _listens(code_port), 120, "the code server listens")
        soaked.wait(lambda: _listens(port), 120, "the webserver listens")
        yield soaked


def main() -> None:
    """Soak, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--speed", type=float, default=60)
    parser.add_argument("--creators", type=int, default=14)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        deployed(Path(folder) / "home", creators=options.creators, speed=options.speed) as soaked,
    ):
        soak(soaked, options.minutes * 60, print)
        problems = judge(soaked, print)
    for problem in problems:
        print(f"VIOLATION: {problem}")
    sys.exit(1 if problems else 0)


def soak(soaked: Soaked, seconds: float, report: Callable[[str], None]) -> None:
    """Wait for `seconds`; record a sample of the services every half minute."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        soaked.sample()
        sample = soaked.samples[-1]
        grown = ", ".join(f"{name} {size:.0f} MB" for name, size in sample.megabytes.items())
        report(
            f"{soaked.clock.now():%m-%d %H:%M} {sample.waiting} waiting, {grown}, "
            f"event log {sample.event_log_mb:.1f} MB, load {os.getloadavg()[0]:.1f}"
        )
        time.sleep(max(0, min(30, end - time.monotonic())))


def judge(soaked: Soaked, report: Callable[[str], None]) -> list[str]:
    """Print the results; return the violations."""
    problems: list[str] = []
    speed = float(soaked.environment["TIKTOK_PIPELINE_CLOCK_SPEED"])
    lag = timedelta(seconds=_RUN_S * speed)
    now = soaked.clock.now()
    runs = soaked.runs()
    by_job = Counter((run.dagster_run.job_name, run.dagster_run.status.value) for run in runs)
    for (job, status), count in sorted(by_job.items()):
        ended = [run for run in runs if run.dagster_run.job_name == job and run.end_time and run.start_time]
        took = median([(run.end_time or 0) - (run.start_time or 0) for run in ended] or [0])
        late = median([(run.start_time or 0) - run.create_timestamp.timestamp() for run in ended] or [0])
        report(f"runs of {job}: {count} {status}, median wait {late:.1f} s, median duration {took:.1f} s")
    failed = [run.dagster_run.run_id for run in runs if run.dagster_run.status is dg.DagsterRunStatus.FAILURE]
    if failed:
        problems.append(f"{len(failed)} runs failed: {', '.join(failed[:5])}")
    never = [job for job in ("watch", "derive", "sweep_profiles") if not by_job[job, "SUCCESS"]]
    problems += [f"no run of {job} succeeded" for job in never]
    waiting = [sample.waiting for sample in soaked.samples]
    half = len(waiting) // 2
    report(
        f"queue: median {median(waiting[:half] or [0])} runs in the first half, {median(waiting[half:])} in the second"
    )
    if median(waiting[half:]) > median(waiting[:half] or [0]) + 3:
        problems.append("the queue grows")
    problems += _gaps(soaked, now, lag, report)
    problems += _staleness(soaked, now, lag, report)
    first, last = soaked.samples[len(soaked.samples) // 4], soaked.samples[-1]
    for name, size in last.megabytes.items():
        report(f"memory of {name}: {first.megabytes[name]:.0f} MB after a quarter, {size:.0f} MB at the end")
    report(f"event log: {last.event_log_mb:.1f} MB, {last.event_log_mb / max(len(runs), 1) * 1000:.0f} KB a run")
    problems += _streams(soaked, lag, report)
    return problems


def _gaps(soaked: Soaked, now: datetime, lag: timedelta, report: Callable[[str], None]) -> list[str]:
    """Check the longest time without a poll of a creator against the round plus the overhead of windows."""
    hours = hours_between(now - timedelta(days=30), now)
    polls = (
        soaked.lake.scan_raw(RAW_LIVES, hours)
        .filter(pl.col("creator_id").is_not_null())
        .sort("creator_id", "requested_at")
        .with_columns(
            gap=pl.col("requested_at").diff().over("creator_id"),
            missing=(pl.col("outcome") == "not_found").shift(fill_value=False).over("creator_id"),
        )
        .collect()
    )
    # Missing handles are polled with growing delay.
    known = polls.filter(~pl.col("missing"))
    longest = known.group_by("creator_id").agg(pl.col("gap").max())["gap"]
    worst, middle = longest.max(), known["gap"].median()
    assert isinstance(worst, timedelta)
    assert isinstance(middle, timedelta)
    round_ = timedelta(seconds=Settings().watch.round_seconds)
    allowed = round_ + lag
    report(f"polled {known['creator_id'].n_unique()} creators {known.height:,} times; gap between polls: "
        f"median {middle}, maximum {worst} (a round takes {round_}, run overhead at this speed {lag})")  # fmt: skip
    return [f"no poll of a creator for {worst}"] if worst > allowed else []


def _staleness(soaked: Soaked, now: datetime, lag: timedelta, report: Callable[[str], None]) -> list[str]:
    """Check the age of the published data, and that every table has a file of today."""
    # Derive ticks once a minute of wall time, and reads rows that a watch has flushed.
    speed = float(soaked.environment["TIKTOK_PIPELINE_CLOCK_SPEED"])
    allowed = timedelta(seconds=60 * speed) + 2 * lag
    problems = []
    newest = soaked.lake.scan_all(LIVE_OBSERVATIONS).select(pl.col("observed_at").max()).collect().item()
    with duckdb.connect(str(soaked.home / "warehouse" / LINK), read_only=True) as connection:
        (published,) = connection.execute("SELECT as_of FROM publication").fetchone() or (None,)
    published = published.replace(tzinfo=UTC) if published else None
    report(f"clock {now:%m-%d %H:%M}; newest reading {newest:%m-%d %H:%M}, published {published:%m-%d %H:%M}")
    for name, moment in (("the newest reading", newest), ("the publication", published)):
        if moment is None or now - moment > allowed:
            problems.append(f"{name} is too old: {moment}; the clock is at {now}")
    day = newest.date()
    for table in TABLES.values():
        if table.layer in ("normalized", "marts"):
            file = soaked.lake.whole_file(table) if table.files == "whole" else soaked.lake.day_file(table, day)
            if not file.exists():
                problems.append(f"{table.name} has no file of {day}")
    return problems


def _streams(soaked: Soaked, lag: timedelta, report: Callable[[str], None]) -> list[str]:
    """Compare streams within the soak with the truth."""
    found = soaked.lake.scan_all(TABLES["streams"]).collect()
    span = soaked.lake.scan_all(LIVE_OBSERVATIONS).select(
        first=pl.col("observed_at").min(), last=pl.col("observed_at").max()
    )
    first, last = span.collect().row(0)
    world = soaked.sandbox.world
    true: list[TrueStream] = [
        stream
        for creator in world.creators
        if creator.kind == "public"
        for stream in world.streams(creator, first, last)
        # Long enough to overlap a round and a pause of the watch.
        if stream.started_at > first and stream.ended_at < last - 2 * lag and stream.ended_at - stream.started_at > lag
    ]
    errors = []
    missed = 0
    for stream in true:
        matches = found.filter(
            pl.col("creator_id") == stream.creator.handle,
            (pl.col("started_at") - stream.started_at).abs() <= _SAME_STREAM,
        )
        missed += matches.is_empty()
        errors += [abs((ended - stream.ended_at).total_seconds()) / 60 for ended in matches["ended_at"].drop_nulls()]
    report(f"streams: {len(true)} in the truth, {len(true) - missed} found; median error of the end "
        f"{median(errors) if errors else 0:.1f} minutes")  # fmt: skip
    return [f"{missed} of {len(true)} streams were missed"] if missed else []


@contextmanager
def _service(home: Path, name: str, command: list[str], variables: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    program = [str(Path(sys.executable).with_name(command[0])), *command[1:]]
    with (home / f"{name}.log").open("wb") as log:
        service = subprocess.Popen(
            program,
            cwd=home,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield service
        finally:
            service.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                service.wait(20)
            # Its runs and helper processes are in the same session; all of them must end.
            with suppress(ProcessLookupError):
                os.killpg(service.pid, signal.SIGKILL)
            service.wait()


def free_port() -> int:
    """Return a free port of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _megabytes(pid: int) -> float:
    """Return the memory of a process; 0 if this machine does not report it."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return 0.0
    line = next((line for line in status.read_text().splitlines() if line.startswith("VmRSS:")), "VmRSS: 0 kB")
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
