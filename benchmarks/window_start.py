"""Measure the CPU time of loading the state of a capture window, and of the follow-up sensor, late in the day.

    python -m benchmarks.window_start [--creators N ...] [--home FOLDER]

It lands one day of raw rows until 23:00 UTC through the lake's own writers: every creator polled every five minutes,
a file a minute as windows write them, hourly profiles. Each load runs in its own process:

- window: accounts, last states, times of requests, missing handles, credits of the day; the first window of a lake adds
  up the credits of all hours, the next one only those of the current hour.
- look: the due follow-ups, by reading the day, and again after each of the next minutes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from benchmarks import growth
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.tables import CREATORS, RAW_LIVES, RAW_PROFILES

_DAY = datetime(2026, 11, 20, tzinfo=UTC)
_NOW = _DAY + timedelta(hours=23)
_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)
_ROUND = timedelta(minutes=5)


def make(home: Path, creators: int) -> None:
    """Make a deployment with one day of raw rows until `_NOW`."""
    home.mkdir(parents=True)
    names = [f"creator.{number:05d}" for number in range(creators)]
    (home / "roster.csv").write_text("handle\n" + "\n".join(names) + "\n")
    lake = Lake(home / "lake")
    hour = _DAY
    while hour < _NOW:
        _land_lives(lake, creators, hour, hour + _HOUR)
        window = f"sweep-{hour:%Y%m%dT%H%M%S}-0000"
        profiles = growth._polls(creators, hour, hour + _HOUR / 4, _HOUR)
        lake.write_raw(RAW_PROFILES, hour, window, growth._raw(profiles, "profiles", window))
        hour += _HOUR
    people = growth._polls(creators, _DAY, _DAY + _ROUND, _ROUND)
    known = people.with_columns(
        handle="creator_id", identified_by=pl.lit("roster"), first_seen_at=pl.lit(_DAY), on_roster=pl.lit(value=True)
    )
    lake.write_whole(CREATORS, growth._filled(CREATORS, known))


def _land_lives(lake: Lake, creators: int, start: datetime, end: datetime) -> None:
    """Land the polls of [start, end), a file a minute."""
    polls = growth._polls(creators, start, end, _ROUND).with_columns(minute=pl.col("at").dt.truncate("1m"))
    for (minute,), rows in polls.partition_by("minute", as_dict=True).items():
        begun = minute.replace(minute=minute.minute // 10 * 10)
        window = f"watch-{begun:%Y%m%dT%H%M%S}-{minute.minute % 10:04d}"
        lake.write_raw(RAW_LIVES, start, window, growth._raw(rows.drop("minute"), "lives", window))


_SETUP = """
import sys, time
from datetime import datetime, timedelta
from pathlib import Path
from benchmarks import window_start
from tiktok_pipeline import roster, tables
from tiktok_pipeline.capture import due_followups, known_accounts, spending, window_state
from tiktok_pipeline.capture.access import accesses
from tiktok_pipeline.capture.deployment import Deployment
from tiktok_pipeline.capture.history import LiveHistory
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.settings import Settings
home, now = Path(sys.argv[1]), datetime.fromisoformat(sys.argv[2])
keys = accesses({"SOCIAL_FETCH_API_KEY": "k", "TIKHUB_USERNAME": "u", "TIKHUB_PASSWORD": "p"})
lake, settings = Lake(home / "lake"), Settings()
listed = [creator.target for creator in roster.read_roster(home / "roster.csv").creators]
def timed(name, run):
    cpu = time.process_time()
    found = run()
    print(f"  {name:<40} {time.process_time() - cpu:7.3f} CPU s", flush=True)
    return found
lake.scan_raw(tables.RAW_LIVES, [now - timedelta(days=300)]).collect()
"""

_WINDOW = (
    _SETUP
    + """
begun = time.process_time()
targets = timed("accounts (creators)", lambda: known_accounts.with_derived_accounts(lake, listed))
timed("last states and requests", lambda: window_state.last_seen(lake, now, targets))
timed("credits of the day", lambda: spending.spent(lake, [now.date()], settings.vendors))
print(f"  {'window start':<40} {time.process_time() - begun:7.3f} CPU s")
"""
)

_LOOK = (
    _SETUP
    + """
history = LiveHistory()
here = Deployment(lake, settings, keys, known_accounts.with_derived_accounts(lake, listed))
timed("first look, reads a day", lambda: due_followups.due_followups(here, now, history))
for minute in range(3):
    window_start.land_a_minute(lake, len(listed), now)
    now += timedelta(minutes=1)
    timed("look a minute later", lambda: due_followups.due_followups(here, now, history))
"""
)


def land_a_minute(lake: Lake, creators: int, minute: datetime) -> None:
    """Land the polls of one minute, a fifth of the roster, as one file."""
    polls = growth._polls(creators, minute.replace(minute=0), minute.replace(minute=0) + _HOUR, _ROUND)
    rows = polls.filter(pl.col("at").is_between(minute, minute + _MINUTE, closed="left"))
    window = f"watch-{minute:%Y%m%dT%H%M}-0000"
    lake.write_raw(RAW_LIVES, minute.replace(minute=0), window, growth._raw(rows, "lives", window))


def _run(what: str, code: str, home: Path, now: datetime) -> None:
    print(what, flush=True)
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    subprocess.run([sys.executable, "-c", code, str(home), now.isoformat()], env=environment, check=True)


def main() -> None:
    """Make the deployment, measure, and print."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--creators", type=int, nargs="+", default=[10_000])
    parser.add_argument("--home", type=Path, default=None, help="keep the deployments here, and use them again")
    arguments = parser.parse_args()
    scratch = arguments.home or Path(tempfile.mkdtemp(prefix="window-start-"))
    for creators in arguments.creators:
        home = scratch / f"start-{creators}"
        if not home.exists():
            make(home, creators)
        for lake in ("first window of a lake without sums", "next window"):
            _run(f"{creators:,} creators, {lake}, {_NOW:%H:%M} UTC", _WINDOW, home, _NOW)
        used = scratch / f"look-{creators}"
        shutil.rmtree(used, ignore_errors=True)
        shutil.copytree(home, used)
        _run(f"{creators:,} creators, look for follow-ups", _LOOK, used, _NOW)
        shutil.rmtree(used)
        shutil.rmtree(home / "lake" / "_sums")
    if arguments.home is None:
        shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
