"""Measure the cost of deriving: streams against Polars sorting the same columns, and a lift in milliseconds.

    python -m benchmarks.derive_speed [readings]

Ten million readings of 2,000 creators by default. Every part runs in its own process, so that its CPU time
and its peak of memory are its own.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import re
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.accuracy.follower_histories import Scenario, simulate
from tiktok_pipeline.config.settings import Lift, Streams
from tiktok_pipeline.derive.counted_days import CountedDays
from tiktok_pipeline.lake.remembered import Remembered
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.tables import LIVE_OBSERVATIONS, PROFILE_OBSERVATIONS
from tiktok_pipeline.transforms.lift import RememberedEstimates, lifts, stream_lift
from tiktok_pipeline.transforms.streams import streams

_READINGS, _CREATORS, _DAYS, _ROUNDS = 10_000_000, 2_000, 28, 2
_START = datetime(2026, 3, 2, tzinfo=UTC)
_AS_OF = datetime(2026, 4, 1, tzinfo=UTC)
_ON_AIR_S = 90 * 60  # each creator, once a day
_LIFT_CREATORS = 100
_LIFT_AIM_MS, _AIM_RATIO, _AIM_MB = 1.5, 3.0, 2_000

# The columns that streams need: reading and sorting them is the floor.
_COLUMNS = (
    "creator_id", "vendor", "observed_at", "capture_id", "live_state", "evidence", "room_id", "title", "started_at",
    "ended_at", "viewers", "viewers_total", "likes",
)  # fmt: skip


def write_readings(path: Path, count: int) -> None:
    """Write unordered readings: 3 % unknown, 1 % falsely off air, from two vendors."""
    rng = np.random.default_rng(1)
    each = count // _CREATORS
    creator = np.repeat(np.arange(_CREATORS), each)
    gap = _DAYS * 86_400 / each
    second = np.tile(np.arange(each) * gap, _CREATORS) + rng.uniform(0, gap * 0.9, creator.size)
    phase = rng.uniform(0, 86_400, _CREATORS)[creator]
    into = (second + phase) % 86_400
    created = (_START.timestamp() + second - into).astype(np.int64)
    chance = rng.uniform(size=creator.size)
    state = np.where(chance < 0.03, 0, np.where((into < _ON_AIR_S) & (chance > 0.04), 2, 1))
    order = rng.permutation(creator.size)
    live = pl.col("state") == 2
    rows = pl.DataFrame(
        {
            "creator": creator, "second": second, "state": state, "created": created,
            "viewers": rng.integers(50, 5_000, creator.size),
        }
    )[order].with_row_index("n")  # fmt: skip
    written = rows.select(
        creator_id=pl.format("creator.{}", "creator"),
        vendor=pl.when(pl.col("n") % 3 == 0).then(pl.lit("konbini")).otherwise(pl.lit("social_fetch")),
        observed_at=pl.lit(_START) + pl.duration(microseconds=(pl.col("second") * 1e6).cast(pl.Int64)),
        capture_id=pl.format("20260302T10-watch-{}", "n"),
        live_state=pl.col("state").replace_strict({0: "unknown", 1: "ended", 2: "live"}, return_dtype=pl.String),
        evidence=pl.when(live).then(pl.lit("strong")).otherwise(pl.lit("weak")),
        room_id=pl.when(live).then((pl.col("created") * 2**32 + 11 * 256 + 5).cast(pl.String)),
        title=pl.when(live).then(pl.lit("paint with me")),
        started_at=pl.when(live).then(pl.from_epoch("created").dt.replace_time_zone("UTC")),
        viewers=pl.when(live).then("viewers"),
        viewers_total=pl.when(live).then(pl.col("viewers") * 10),
        cover_url=pl.when(live).then(pl.format("https://covers.invalid/{}.jpeg", "creator")),
        reason=pl.when(pl.col("state") == 0).then(pl.lit("server_error")),
    )  # fmt: skip
    written.select(
        (pl.col(name) if name in written.columns else pl.lit(None).alias(name)).cast(dtype)
        for name, dtype in LIVE_OBSERVATIONS.schema.items()
    ).write_parquet(path, compression="zstd", compression_level=1)


def read_and_sort(path: Path) -> int:
    """Run the floor: Polars reads the columns that streams need and sorts them."""
    return pl.scan_parquet(path).select(_COLUMNS).sort("creator_id", "observed_at").collect().height


def derive(path: Path) -> int:
    """Derive streams from the same file."""
    return streams(pl.scan_parquet(path), settings=Streams(), as_of=_AS_OF).height


def derive_collected(path: Path) -> int:
    """Derive streams from a frame with every column."""
    return streams(pl.read_parquet(path), settings=Streams(), as_of=_AS_OF).height


def measured(work: Callable[[Path], int], path: Path) -> tuple[int, float, float]:
    """Return (result, CPU seconds, peak MB) of `work` in a new process."""
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(work, path, send))
    process.start()
    send.close()
    try:
        result: tuple[int, float, float] = receive.recv()
    finally:
        process.join()
    return result


def _work(work: Callable[[Path], int], path: Path, send: multiprocessing.connection.Connection) -> None:
    begun = time.process_time()
    rows = work(path)
    cpu = time.process_time() - begun
    # Not ru_maxrss: it includes the peak of the parent process.
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    send.send((rows, cpu, int(peak[1]) / 1024 if peak else float("nan")))


def lift_milliseconds() -> tuple[int, float]:
    """Return (streams, CPU milliseconds a stream): 15-minute counts over four weeks."""
    h = simulate(Scenario("speed", days=_DAYS), creators=_LIFT_CREATORS, seed=1)
    begun = time.process_time()
    frame = stream_lift(h.streams, h.profiles, h.live, h.posts, settings=Lift(), as_of=h.as_of)
    return frame.height, (time.process_time() - begun) / frame.height * 1000


def daily_lift_milliseconds() -> tuple[int, float, float]:
    """Return (streams, CPU milliseconds a stream at the first derive of a day, and again with the next counts)."""
    h = simulate(Scenario("speed", days=_DAYS), creators=_LIFT_CREATORS, seed=1)
    day = (h.as_of - timedelta(days=3)).date()
    first = day - timedelta(days=_DAYS)
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC) + timedelta(days=1)
    spent = []
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(Path(folder))
        memory = RememberedEstimates(Remembered(lake, "lift-estimates", 8), Remembered(lake, "lift-priors", 8))
        # Half a day after the day, and a quarter of an hour later.
        for as_of in (noon, noon + timedelta(minutes=15)):
            known = h.profiles.filter(pl.col("observed_at") <= as_of)
            for (date_,), rows in known.group_by(pl.col("observed_at").dt.date()):
                lake.write_day(PROFILE_OBSERVATIONS, date_, rows)  # type: ignore[arg-type]
            begun = time.process_time()
            frame = lifts(
                h.streams.filter(pl.col("started_at") <= as_of),
                CountedDays(lake).history(first, as_of.date()),
                h.live.lazy(),
                h.posts.lazy(),
                settings=Lift(),
                as_of=as_of,
                day=day,
                memory=memory,
            )
            spent.append((time.process_time() - begun) / frame.height * 1000)
    return frame.height, spent[0], spent[1]


def main() -> None:
    """Print CPU seconds, ratios and peaks."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else _READINGS
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "live.parquet"
        write_readings(path, count)
        print(f"{count:,} readings of {_CREATORS:,} creators")
        print(f"{'':<40}{'rows':>12}{'CPU s':>8}{'peak MB':>9}{'ratio':>7}")
        for _ in range(_ROUNDS):
            rows, floor, peak = measured(read_and_sort, path)
            print(f"{'Polars reads and sorts':<40}{rows:>12,}{floor:>8.2f}{peak:>9,.0f}{1:>7.2f}")
            for name, work in (
                ("streams, of a scan", derive),
                ("streams, of a frame with all columns", derive_collected),
            ):
                rows, cpu, peak = measured(work, path)
                print(f"{name:<40}{rows:>12,}{cpu:>8.2f}{peak:>9,.0f}{cpu / floor:>7.2f}", flush=True)
        print(f"aim: below {_AIM_RATIO:.2f} and {_AIM_MB:,} MB")
    for _ in range(_ROUNDS):
        rows, each = lift_milliseconds()
        print(f"lift: {rows:,} streams, {each:.2f} ms of CPU each (aim {_LIFT_AIM_MS}: x{each / _LIFT_AIM_MS:.2f})")
        rows, first, again = daily_lift_milliseconds()
        print(f"lift of one day: {rows:,} streams, {first:.2f} ms of CPU each, {again:.2f} ms with the next counts")


if __name__ == "__main__":
    main()
