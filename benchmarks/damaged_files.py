"""Damage files of a small deployment at random, and kill it: `python -m benchmarks.damaged_files --rounds 20`.

A sandbox is polled for some hours of seven days and everything is derived. Each round damages files of a copy (raw,
normalized, marts, published files), then runs a capture window, a derive with publish, and `check`. The output counts
the kinds of damage, the successful rounds, and rows lost outside the damaged files. With `--kills`, a replay is killed
with SIGKILL at random moments until it succeeds. Exits with 1 after any failure.
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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from urllib.request import urlopen

import polars as pl

from tiktok_pipeline.commands import runs
from tiktok_pipeline.commands.check import check_deployment
from tiktok_pipeline.lake import parquet
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.sandbox.server import RunningSandbox, start_in_process
from tiktok_pipeline.tables import LIVE_OBSERVATIONS, RAW_TABLES, TABLES, Table
from tiktok_pipeline.upkeep.sizes import measure

START = datetime(2026, 3, 2, tzinfo=UTC)
DAYS = 7


def _window(days: int) -> datetime:
    """Return the window that is captured after the damage; its state comes from the hours before."""
    return START + timedelta(days=days - 1, hours=18)


Damage = Callable[[Path, random.Random], None]


def _rewritten(change: Callable[[pl.DataFrame], pl.DataFrame]) -> Damage:
    """Return damage that rewrites a file as another tool, or another release, would write it."""

    def damage(path: Path, _: random.Random) -> None:
        change(pl.read_parquet(path, hive_partitioning=False, glob=False)).write_parquet(path)

    return damage


def _times(change: Callable[[pl.Expr], pl.Expr]) -> Callable[[pl.DataFrame], pl.DataFrame]:
    return lambda frame: frame.with_columns(change(pl.col(pl.Datetime)))


def _instead(make: Callable[[Path], object]) -> Damage:
    def damage(path: Path, _: random.Random) -> None:
        path.unlink()
        make(path)

    return damage


def _truncate(path: Path, chance: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: chance.randrange(1, len(content))])


def _zero_within(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    begin = chance.randrange(4, max(5, len(content) // 2))
    length = min(200, len(content) - begin)
    content[begin : begin + length] = bytes(length)
    path.write_bytes(bytes(content))


def _flip(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(20):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(bytes(content))


def _folder(path: Path) -> None:
    path.mkdir()
    pl.DataFrame({"a": [1]}).write_parquet(path / "x.parquet")


# The file is unusable, or its usable part is unknown.
DESTRUCTIVE: dict[str, Damage] = {
    "zero bytes": lambda path, _: path.write_bytes(b"") and None,
    "cut off": _truncate,
    "text": lambda path, _: path.write_text("creator_id,at\nann,1\n") and None,
    "only the magic": lambda path, _: path.write_bytes(b"PAR1PAR1") and None,
    "noise": lambda path, chance: path.write_bytes(chance.randbytes(3000)) and None,
    "head lost": lambda path, _: path.write_bytes(path.read_bytes()[40:]) and None,
    "zeros within": _zero_within,
    "flipped bits": _flip,
    "folder": _instead(lambda path: path.mkdir()),
    "folder with a file": _instead(_folder),
    "link to nothing": _instead(lambda path: path.symlink_to("nowhere.parquet")),
    "link to itself": _instead(lambda path: path.symlink_to(path.name)),
    "pipe": _instead(os.mkfifo),
    "another schema": _rewritten(lambda frame: pl.DataFrame({"name": ["x"] * frame.height, "n": range(frame.height)})),
    "numbers as text": _rewritten(
        lambda frame: frame.with_columns(pl.col(pl.Int64, pl.Int32, pl.Int16, pl.Float64).cast(pl.String) + "x")
        .with_columns(pl.col(pl.Datetime).cast(pl.String))
    ),
}  # fmt: skip

# All rows are usable.
TOLERABLE: dict[str, Damage] = {
    "one more column, null": _rewritten(lambda frame: frame.with_columns(later=pl.lit(None))),
    "one more column": _rewritten(lambda frame: frame.with_columns(later=pl.lit("x"))),
    "nanoseconds": _rewritten(_times(lambda times: times.dt.cast_time_unit("ns"))),
    "no zone": _rewritten(_times(lambda times: times.dt.replace_time_zone(None))),
    "another zone": _rewritten(_times(lambda times: times.dt.convert_time_zone("Asia/Tokyo"))),
    "categories": _rewritten(lambda frame: frame.with_columns(pl.col(pl.String).cast(pl.Categorical))),
    "wide integers": _rewritten(lambda frame: frame.with_columns(pl.col(pl.Int16, pl.Int32).cast(pl.Int64))),
    "floats for integers": _rewritten(lambda frame: frame.with_columns(pl.col(pl.Int16, pl.Int64).cast(pl.Float64))),
    "columns of nulls have no type": _rewritten(
        lambda frame: frame.with_columns(
            pl.lit(None).alias(c.name) for c in frame.iter_columns() if frame.height and c.null_count() == frame.height
        )
    ),
    "columns in another order": _rewritten(lambda frame: frame.select(reversed(frame.columns))),
}


@dataclass
class Outcome:
    """Results of the rounds: kinds of damage, successful rounds, and failures."""

    tried: Counter[str] = field(default_factory=Counter)
    rounds: int = 0
    survived: int = 0
    rows_lost_with_their_files: int = 0
    rows_lost_besides: int = 0
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kinds = "\n".join(f"  {kind:<44} {times:>4}" for kind, times in sorted(self.tried.items()))
        return (
            f"{kinds}\nrounds {self.rounds}, survived {self.survived}; raw rows lost with their own files "
            f"{self.rows_lost_with_their_files}, rows lost besides {self.rows_lost_besides}"
            + "".join(f"\nFAILED {failure}" for failure in self.failures)
        )


@contextmanager
def environment(home: Path, sandbox: RunningSandbox) -> Iterator[None]:
    """Set this process's environment to that of the deployment in `home`."""
    before = dict(os.environ)
    os.environ.update(variables(home, sandbox))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def variables(home: Path, sandbox: RunningSandbox) -> dict[str, str]:
    """Return the environment of the deployment in `home`."""
    (home / "dagster").mkdir(parents=True, exist_ok=True)
    (home / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    return {
        **sandbox.environment,
        "TIKTOK_PIPELINE_HOME": str(home),
        "TIKTOK_PIPELINE_ROSTER": str(home / "roster.csv"),
        "TIKTOK_PIPELINE_SETTINGS": str(home / "settings.toml"),
        "TIKTOK_PIPELINE_CLOCK": "replay",
        "DAGSTER_HOME": str(home / "dagster"),
    }


def prepare(home: Path, sandbox: RunningSandbox, *, days: int, hours: int) -> None:
    """Poll some hours of each day, derive and publish."""
    home.mkdir(parents=True, exist_ok=True)
    with urlopen(f"{sandbox.url}/truth/roster.csv") as response:
        (home / "roster.csv").write_bytes(response.read())
    with environment(home, sandbox):
        for day in range(days):
            begin = START + timedelta(days=day, hours=18 - hours)
            runs.run_capture(begin, begin + timedelta(hours=hours))
        runs.run_derive(START, START + timedelta(days=days))


def go_on(home: Path, sandbox: RunningSandbox, window: datetime) -> None:
    """Capture a window, and derive the newest days with publish, as the schedules would."""
    with environment(home, sandbox):
        runs.run_capture(window, window + timedelta(hours=1))
        runs.run_derive(window, window + timedelta(hours=1))


def damage_files(
    lake: Lake,
    layers: tuple[str, ...],
    kinds: dict[str, Damage],
    number: int,
    chance: random.Random,
    tried: Counter[str],
    but: Sequence[Path] = (),
) -> list[Path]:
    """Damage this many files of these layers; return them."""
    files = sorted({path for layer in layers for path in (lake.root / layer).rglob("*.parquet")} - set(but))
    chosen = chance.sample(files, min(number, len(files)))
    for path in chosen:
        kind = chance.choice(sorted(kinds))
        kinds[kind](path, chance)
        tried[f"{path.relative_to(lake.root).parts[0]}: {kind}"] += 1
    return chosen


def derived(lake: Lake, before: date | None = None) -> dict[str, str]:
    """Return a digest of the rows of every derived file; with `before`, of earlier days only.

    Two windows of the same hour differ in measured times, so days with such an hour are not compared.
    """
    found = {}
    for table in TABLES.values():
        for day in lake.days(table) if table.layer in ("normalized", "marts") else []:
            if before is None or day < before:
                path = lake.day_file(table, day)
                try:
                    content = parquet.read(table, path)[0].write_json()
                except (*parquet.FAILURES, parquet.DamagedFileError) as error:
                    content = f"{error}"
                found[str(path.relative_to(lake.root))] = sha256(content.encode()).hexdigest()
    return found


def captures(lake: Lake) -> set[str]:
    """Return the ids of all raw rows in readable files."""
    tables = list(RAW_TABLES)
    return {row for t in tables for row in lake.scan_raw(t, lake.raw_hours(t)).collect()["capture_id"]}


def damaged(lake: Lake, layers: tuple[str, ...]) -> list[str]:
    """Return the files in their places that cannot be read to the last page."""
    found = []
    for table in TABLES.values():
        if table.layer not in layers:
            continue
        if table.files == "hour":
            places = [file for hour in lake.raw_hours(table) for file in lake.hour_files(table, hour)]
        else:
            places = [lake.day_file(table, day) for day in lake.days(table)]
            places = [lake.whole_file(table)] if table.files == "whole" else places
        for path in places:
            try:
                parquet.read(table, path)
            except FileNotFoundError:
                continue  # Not made yet.
            except (*parquet.FAILURES, parquet.DamagedFileError) as error:
                found.append(f"{error}")
    return found


def run(
    rounds: int,
    seed: int,
    work: Path,
    *,
    creators: int = 5,
    most: int = 12,
    days: int = DAYS,
    hours: int = 3,
    report: Callable[[str], None],
) -> Outcome:
    """Damage a deployment `rounds` times, each time a fresh copy, and check the results."""
    outcome, chance, window = Outcome(), random.Random(seed), _window(days)
    with start_in_process(seed=3, creators=creators, start=START) as sandbox:
        base, control = work / "base", work / "control"
        prepare(base, sandbox, days=days, hours=hours)
        shutil.copytree(base, control, symlinks=True)
        go_on(control, sandbox, window)
        wanted, all_captures = derived(Lake(control / "lake"), window.date()), captures(Lake(control / "lake"))
        for number in range(rounds):
            home = work / f"round-{number}"
            shutil.copytree(base, home, symlinks=True)
            outcome.rounds += 1
            begun = time.monotonic()
            failures = _round(home, sandbox, window, chance, outcome, wanted, all_captures, most)
            outcome.survived += not failures
            outcome.failures += [f"round {number}: {failure}" for failure in failures]
            report(f"round {number}: {'FAILED' if failures else 'survived'} in {time.monotonic() - begun:.0f} s")
            for failure in failures:
                report(f"  {failure}")
            if not failures:
                shutil.rmtree(home)
    return outcome


def _round(
    home: Path,
    sandbox: RunningSandbox,
    window: datetime,
    chance: random.Random,
    outcome: Outcome,
    wanted: dict[str, str],
    all_captures: set[str],
    most: int,
) -> list[str]:
    lake, failures = Lake(home / "lake"), []
    before = captures(lake)
    # Every second round keeps raw intact: then every derived byte must be the same as without damage.
    destroys_raw = chance.random() < 0.5
    gone: list[Path] = []
    number = chance.randrange(1, most)
    if destroys_raw:
        gone = damage_files(lake, ("raw",), DESTRUCTIVE, number, chance, outcome.tried)
    lost = before - captures(Lake(home / "lake"))
    outcome.rows_lost_with_their_files += len(lost)
    damage_files(lake, ("raw", "normalized", "marts"), TOLERABLE, number, chance, outcome.tried, but=gone)
    damage_files(lake, ("normalized", "marts"), DESTRUCTIVE, number, chance, outcome.tried)
    served = chance.choice(("snapshot", "parquet", "link", "report", "strays"))
    outcome.tried[f"served: {served}"] += 1
    _damage_served(home, served, chance)
    kept = {path: path.read_bytes() for path in gone if path.is_file()}
    try:
        go_on(home, sandbox, window)
        # Damage inside the pages of a table that no run reads is found by the daily check of `upkeep`.
        if measure(lake, pages=True).damaged:
            outcome.tried["found by upkeep"] += 1
            go_on(home, sandbox, window)
        findings = check_deployment(os.environ | variables(home, sandbox))
    except Exception as error:
        return [f"{type(error).__name__}: {error}"]
    failures += [f"{path} was changed" for path, content in kept.items() if path.read_bytes() != content]
    failures += [f"still damaged: {each}" for each in damaged(lake, ("normalized", "marts"))]
    besides = all_captures - lost - captures(Lake(home / "lake"))
    outcome.rows_lost_besides += len(besides)
    failures += [f"{len(besides)} rows lost that were in no damaged file"] if besides else []
    if not gone:
        found = derived(lake, window.date())
        wrong = sorted(path for path in wanted.keys() | found.keys() if wanted.get(path) != found.get(path))
        failures += [f"different from a run without damage: {', '.join(wrong[:5])}"] if wrong else []
    else:
        failures += [
            f"{LIVE_OBSERVATIONS.name} lost {missing} rows that were in no damaged file"
            for missing in [_missing(Path(str(home).replace(home.name, "control")), home, LIVE_OBSERVATIONS, lost)]
            if missing
        ]
    findings_of_lake = [finding.message for finding in findings if finding.what == "lake"]
    unnamed = [
        path
        for path in gone
        if parquet.problem(_table(lake, path), path) and not any(str(path) in s for s in findings_of_lake)
    ]
    if len(gone) <= 20:
        failures += [f"`check` does not name {path}" for path in unnamed]
    return failures


def _missing(control: Path, home: Path, table: Table, lost: set[str]) -> int:
    """Count rows of a normalized table that the control has and the damaged deployment lacks, except lost captures."""
    there = Lake(control / "lake").scan_all(table).select("capture_id").collect()["capture_id"]
    here = Lake(home / "lake").scan_all(table).select("capture_id").collect()["capture_id"]
    return len(set(there) - lost - set(here))


def _table(lake: Lake, path: Path) -> Table:
    return TABLES[path.relative_to(lake.root).parts[1]]


def _damage_served(home: Path, what: str, chance: random.Random) -> None:
    warehouse = home / "warehouse"
    link = warehouse / "tiktok.duckdb"
    if what == "snapshot":
        snapshot = link.resolve()
        snapshot.chmod(0o644)
        snapshot.write_bytes(chance.choice((b"", b"x" * 5000, snapshot.read_bytes()[:9000])))
    elif what == "parquet":
        file = chance.choice(sorted((warehouse / "parquet").glob("*.parquet")))
        file.unlink()
        if chance.random() < 0.7:
            chance.choice((file.touch, file.mkdir, lambda: file.symlink_to("nowhere")))()
    elif what == "link":
        link.unlink()
        chance.choice((link.mkdir, lambda: link.write_bytes(b"x"), lambda: link.symlink_to("nowhere"), lambda: None))()
    elif what == "report":
        (home / "report" / "index.html").unlink()
        (home / "report" / "index.html").mkdir()
    else:
        for layer, table in (("raw", "raw_lives"), ("marts", "streams"), ("normalized", "live_observations")):
            folder = home / "lake" / layer / table
            day = sorted(folder.glob("date=*"))[-1]
            shutil.copytree(day, folder / f"{day.name} (copy)", symlinks=True)
            (folder / "date=2026-13-45").mkdir()
            (folder / ".DS_Store").write_bytes(b"x")
            (folder / "date=2026-02-01").write_bytes(b"x")
            (day / "hour=99").mkdir()
            (day / "hour=01.bak").write_bytes(b"x")
            (day / f"{table} (copy).parquet").write_bytes(b"x")
            (day / f"#{table}.parquet#").write_bytes(b"x")


def kill(times: int, seed: int, work: Path, *, creators: int = 5, report: Callable[[str], None]) -> Outcome:
    """Kill a replay of some hours with SIGKILL at random moments, `times` times, then let it end."""
    outcome, chance = Outcome(), random.Random(seed)
    with start_in_process(seed=3, creators=creators, start=START) as sandbox:
        control, home = work / "kill-control", work / "killed"
        for each in (control, home):
            each.mkdir(parents=True)
            with urlopen(f"{sandbox.url}/truth/roster.csv") as response:
                (each / "roster.csv").write_bytes(response.read())
        begun = time.monotonic()
        _replay(control, sandbox).wait()
        whole = time.monotonic() - begun
        for _ in range(times):
            outcome.rounds += 1
            process = _replay(home, sandbox)
            # The first kills hit the capture; later ones, after it has landed, the derive and the publish.
            time.sleep(chance.uniform(0.15, 1.0) * whole)
            process.send_signal(signal.SIGKILL)
            process.wait()
            torn = damaged(Lake(home / "lake"), ("raw", "normalized", "marts"))
            outcome.failures += [f"a file was left half written: {each}" for each in torn]
            outcome.survived += not torn
            left = (
                len(list((home / "lake" / "_staging").glob("*.part"))) if (home / "lake" / "_staging").exists() else 0
            )
            outcome.tried["killed"] += 1
            report(f"killed; {len(captures(Lake(home / 'lake')))} raw rows landed, {left} files left in staging")
        last = _replay(home, sandbox)
        if last.wait():
            outcome.failures.append("the replay after all kills failed")
        there, here = Lake(control / "lake"), Lake(home / "lake")
        besides = captures(there) ^ captures(here)
        outcome.rows_lost_besides = len(besides)
        if besides:
            outcome.failures.append(f"{len(besides)} raw rows differ from those of an uninterrupted replay")
        # Measured times, and the order of responses, differ between replays.
        wrong = [name for name, rows in _heights(there).items() if _heights(here)[name] != rows]
        if wrong:
            outcome.failures.append(f"other numbers of rows than without kills: {', '.join(wrong)}")
    return outcome


def _heights(lake: Lake) -> dict[str, int]:
    """Return the number of rows of every derived table."""
    return {t.name: lake.scan_all(t).collect().height for t in TABLES.values() if t.layer in ("normalized", "marts")}


def _replay(home: Path, sandbox: RunningSandbox) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tiktok_pipeline.cli", "replay", f"--from={START:%F}", f"--to={START:%FT06}"],
        env=os.environ | variables(home, sandbox), stdout=subprocess.DEVNULL,
    )  # fmt: skip


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=None, help="Work in this folder, and leave failed rounds there.")
    arguments = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.keep or Path(temporary)
        for found in (
            run(arguments.rounds, arguments.seed, work, report=print) if arguments.rounds else Outcome(),
            kill(arguments.kills, arguments.seed, work, report=print) if arguments.kills else Outcome(),
        ):
            print(found)
            failed = failed or bool(found.failures)
    sys.exit(failed)


if __name__ == "__main__":
    main()
