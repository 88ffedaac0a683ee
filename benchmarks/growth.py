"""Measure the cost of a derive as a deployment grows: creators, days of history, and the size of the change.

    python -m benchmarks.growth [--creators N ...] [--days D] [--home FOLDER]

For each number of creators it makes a deployment through the lake's own writers (no polling): raw rows of the last
four days in the wire format of Social Fetch, normalized rows and marts of the days before. It then measures, each in
its own process: a derive of the last four days; a derive without changes; a derive after fifteen more minutes.
It prints CPU seconds, wall seconds, the peak of memory and the exponents by which they grow with the roster.

The derive runs the code of the current folder: run it in two checkouts with the same `--home` to compare them.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.partitions import TRAILING_DAYS
from tiktok_pipeline.providers import social_fetch
from tiktok_pipeline.tables import (
    COVERAGE,
    LIVE_OBSERVATIONS,
    PROFILE_OBSERVATIONS,
    RAW_LIVES,
    RAW_PROFILES,
    STREAM_LIFT,
    STREAMS,
    VENDOR_USAGE,
    Table,
)

_NOW = datetime(2026, 11, 20, 18, tzinfo=UTC)
# Days with raw rows: those that a derive reads.
_RAW_DAYS = 5
_ROUND = timedelta(minutes=5)
_QUARTER = timedelta(minutes=15)
# Every creator is on air once a day for this long, at a time of their own.
_ON_AIR = timedelta(minutes=90)


@dataclass(frozen=True)
class Cost:
    """Cost of a derive."""

    cpu_s: float
    wall_s: float
    peak_mb: float


def make(home: Path, creators: int, days: int) -> None:
    """Make a deployment with `days` of history that ends at `_NOW`."""
    home.mkdir(parents=True)
    names = [f"creator.{number:05d}" for number in range(creators)]
    (home / "roster.csv").write_text("handle\n" + "\n".join(names) + "\n")
    lake = Lake(home / "lake")
    today = _NOW.date()
    for ago in range(days - 1, -1, -1):
        day = today - timedelta(days=ago)
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        end = min(start + timedelta(days=1), _NOW)
        if ago < _RAW_DAYS:
            land(lake, creators, start, end)
        else:
            _write_normalized(lake, creators, start, end)
    derive(home, _NOW)
    _copy_marts(lake, today, days)


def land(lake: Lake, creators: int, start: datetime, end: datetime) -> None:
    """Land raw rows of [start, end): each creator polled every five minutes, profiles every hour; a file a window."""
    moment = start
    while moment < end:
        stop = min(moment.replace(minute=0) + timedelta(hours=1), end)
        closed = stop <= _NOW.replace(hour=0)
        step = timedelta(hours=1) if closed else timedelta(minutes=10)
        begin = moment
        while begin < stop:
            until = min(begin + step, stop)
            window = f"watch-{begin:%Y%m%dT%H%M%S}-0000"
            lake.write_raw(RAW_LIVES, moment, window, _raw(_polls(creators, begin, until, _ROUND), "lives", window))
            begin = until
        window = f"sweep-{moment:%Y%m%dT%H%M%S}-0000"
        polls = _polls(creators, moment, min(moment + _QUARTER, stop), timedelta(hours=1))
        lake.write_raw(RAW_PROFILES, moment, window, _raw(polls, "profiles", window))
        moment = stop


def _polls(creators: int, start: datetime, end: datetime, every: timedelta) -> pl.DataFrame:
    """Yield one row per poll: creator, at, on air or not, followers, viewers."""
    rounds = max(1, math.ceil((end - start) / every))
    index = np.repeat(np.arange(creators), rounds)
    turn = np.tile(np.arange(rounds), creators)
    at = start.timestamp() + turn * every.total_seconds() + index / creators * min(every, end - start).total_seconds()
    hour_of_day = (index * 7919 % 86_400).astype(np.float64)
    into = (at - hour_of_day) % 86_400
    day = ((at - hour_of_day) // 86_400).astype(np.int64)
    on = (into < _ON_AIR.total_seconds()) & ((day * 31 + index) % 10 < 7)
    rate = 20.0 + index % 400
    wave = 1 + 0.5 * np.sin(2 * np.pi * at / 86_400)
    grown = rate * (at - 1.79e9) / 86_400 * 1.0 + rate * wave + ((index * 31 + day * 17) % 13) * rate / 20
    return pl.DataFrame(
        {
            "index": index,
            "at": (at * 1e6).astype(np.int64),
            "on": on,
            "began": ((at - into) * 1e6).astype(np.int64),
            "followers": (10_000 + 37 * index + grown.clip(0)).astype(np.int64),
            "viewers": (50 + index % 900 + into / 60).astype(np.int64),
        }
    ).with_columns(
        pl.col("at", "began").cast(pl.Datetime("us", "UTC")),
        creator_id=pl.format("creator.{}", pl.col("index").cast(pl.String).str.zfill(5)),
        user_id=pl.format("69{}", (pl.col("index") + 10**15).cast(pl.String)),
        # A live room's id: its second in the upper half, the type 11 in bits 8 to 11.
        room_id=((pl.col("began") // 1_000_000) * 2**32 + 11 * 256).cast(pl.String),
    )


def _raw(polls: pl.DataFrame, of: str, window: str) -> pl.DataFrame:
    person = (
        '"profile":{"platform":"tiktok","handle":"{}","displayName":"{}","bio":"' + "words " * 20 + '",'
        '"avatarUrl":"https://img.example/{}.jpeg","verified":false,"platformUserId":"{}",'
        '"secUid":"MS4wLjABAAAA{}","followerCount":{},"followingCount":12}'
    )
    who = ("creator_id", "creator_id", "index", "user_id", "user_id", "followers")
    meta = '"meta":{"requestId":"r","creditsCharged":1,"version":"v1"}'

    def text(template: str, *columns: str) -> pl.Expr:
        parts = template.split("{}")
        pieces = [pl.lit(parts[0])]
        for column, part in zip(columns, parts[1:], strict=True):
            pieces += [pl.col(column).cast(pl.String), pl.lit(part)]
        return pl.concat_str(pieces)

    off = text('{"data":{"lookupStatus":"found","liveStatus":"offline",' + person + ',"live":null},' + meta + "}", *who)
    on = text(
        '{"data":{"lookupStatus":"found","liveStatus":"live",' + person + ',"live":{"roomId":"{}","title":"on air",'
        '"startedAt":{},"viewerCount":{},"streams":[]}},' + meta + "}",
        *who, "room_id", "began_s", "viewers",
    )  # fmt: skip
    profile = text(
        '{"data":{"lookupStatus":"found",' + person + ',"metrics":{"followers":{},"following":12,"likes":9,"posts":7}},'
        + meta + "}",
        *who, "followers",
    )  # fmt: skip
    live = of == "lives"
    timed = polls.with_columns(began_s=pl.col("began").dt.epoch("s"))
    return timed.sort("creator_id", "at").select(
        capture_id=pl.format(f"{of}-{window}{{}}-{{}}", pl.col("at").dt.strftime("%H"), pl.int_range(pl.len())),
        vendor=pl.lit("social_fetch"),
        endpoint=pl.lit(social_fetch.LIVE if live else social_fetch.PROFILE),
        creator_id="creator_id",
        subject="creator_id",
        page=pl.lit(0),
        cursor=pl.lit(None, pl.String),
        requested_at="at",
        received_at="at",
        observed_at="at",
        elapsed_ms=pl.lit(200.0),
        attempt=pl.lit(1),
        http_status=pl.lit(200),
        outcome=pl.when("on").then(pl.lit("ok")).otherwise(pl.lit("not_live")) if live else pl.lit("ok"),
        error=pl.lit(None, pl.String),
        request_id=pl.lit("r"),
        credits=pl.lit(1.0),
        headers=pl.lit("{}"),
        body=(pl.when("on").then(on).otherwise(off)) if live else profile,
        run_id=pl.lit("benchmark"),
    )


def _write_normalized(lake: Lake, creators: int, start: datetime, end: datetime) -> None:
    live, profiles = _polls(creators, start, end, _ROUND), _polls(creators, start, end, timedelta(hours=1))
    window = f"{start:%Y%m%d}"
    about = {"vendor": pl.lit("social_fetch"), "observed_at": pl.col("at")}
    state = {
        "live_state": pl.when("on").then(pl.lit("live")).otherwise(pl.lit("ended")),
        "evidence": pl.when("on").then(pl.lit("strong")).otherwise(pl.lit("weak")),
        "room_id": pl.when("on").then("room_id"),
        "started_at": pl.when("on").then("began"),
        "viewers": pl.when("on").then("viewers"),
        "capture_id": pl.format(f"lives-{window}-{{}}", pl.int_range(pl.len())),
    }
    lake.write_day(LIVE_OBSERVATIONS, start.date(), _filled(LIVE_OBSERVATIONS, live.with_columns(**about, **state)))
    person = {"handle": pl.col("creator_id"), "followers_precision": pl.lit("exact"), "followers_unit": pl.lit(1)}
    read = [
        _filled(
            PROFILE_OBSERVATIONS,
            polls.with_columns(
                **about,
                **person,
                source=pl.lit(source),
                capture_id=pl.format(f"{source}-{window}-{{}}", pl.int_range(pl.len())),
            ),
        )
        for source, polls in (("live", live), ("profile", profiles))
    ]
    lake.write_day(PROFILE_OBSERVATIONS, start.date(), pl.concat(read))


def _filled(table: Table, rows: pl.DataFrame) -> pl.DataFrame:
    """Return `rows` with nulls in missing columns."""
    lacking = [pl.lit(None, dtype).alias(name) for name, dtype in table.schema.items() if name not in rows.columns]
    return table.conform(rows.with_columns(lacking))


def _copy_marts(lake: Lake, today: date, days: int) -> None:
    """Copy yesterday's marts to the days before, moved back in time."""
    yesterday = today - timedelta(days=2)
    for table in (STREAMS, STREAM_LIFT, COVERAGE, VENDOR_USAGE):
        frame = lake.scan_days(table, yesterday, yesterday).collect()
        for ago in range(TRAILING_DAYS, days):
            back = timedelta(days=ago - 2)
            moved = frame.with_columns(
                *(pl.col(name) - back for name, dtype in table.schema.items() if dtype in (pl.Date, pl.Datetime)),
                *([pl.col("stream_id") + f"-{ago}"] if "stream_id" in frame.columns else []),
            )
            lake.write_day(table, today - timedelta(days=ago), moved)


_DERIVE = """
import sys
from datetime import datetime, timedelta
from tiktok_pipeline.commands import runs
now = datetime.fromisoformat(sys.argv[1])
runs.run_derive(now - timedelta(hours=1), now)
"""


def derive(home: Path, now: datetime) -> Cost:
    """Derive the last days in its own process."""
    (home / "dagster").mkdir(exist_ok=True)
    (home / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    environment = {
        **os.environ,
        "TIKTOK_PIPELINE_HOME": str(home),
        "TIKTOK_PIPELINE_ROSTER": str(home / "roster.csv"),
        "DAGSTER_HOME": str(home / "dagster"),
        "PYTHONPATH": os.getcwd(),
    }
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-c", _MEASURED, sys.executable, _DERIVE, now.isoformat()]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-2_000:])
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(cpu, wall, float(done.stdout.splitlines()[-1]) / 1024)


# The peak of memory of the child alone: this process may have had a higher one.
_MEASURED = """
import resource, subprocess, sys
subprocess.run([sys.argv[1], "-c", sys.argv[2], sys.argv[3]], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def main() -> None:
    """Make the deployments, measure, and print."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--creators", type=int, nargs="+", default=[100, 1_000])
    parser.add_argument("--days", type=int, default=28)
    parser.add_argument("--home", type=Path, default=None, help="keep the deployments here, and use them again")
    arguments = parser.parse_args()
    scratch = arguments.home or Path(tempfile.mkdtemp(prefix="growth-"))
    costs: dict[str, list[Cost]] = {}
    for creators in arguments.creators:
        made = scratch / f"made-{creators}-{arguments.days}"
        if not made.exists():
            make(made, creators, arguments.days)
        home = scratch / f"used-{creators}-{arguments.days}"
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(made, home, symlinks=True)
        steps = {"first derive of this code": derive(home, _NOW), "nothing new": derive(home, _NOW)}
        land(Lake(home / "lake"), creators, _NOW, _NOW + _QUARTER)
        steps["15 minutes later"] = derive(home, _NOW + _QUARTER)
        for step, cost in steps.items():
            costs.setdefault(step, []).append(cost)
            print(f"{creators:>6} creators, {arguments.days} days, {step:<26} "
                  f"{cost.cpu_s:8.1f} CPU s {cost.wall_s:8.1f} s {cost.peak_mb:8,.0f} MB", flush=True)  # fmt: skip
        shutil.rmtree(home)
    few, many = arguments.creators[0], arguments.creators[-1]
    if many > few:
        for step, by_size in costs.items():
            exponent = math.log(by_size[-1].cpu_s / by_size[0].cpu_s) / math.log(many / few)
            print(f"{step}: CPU grows with the roster to the power of {exponent:.2f}")
    if arguments.home is None:
        shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
