"""Measure the savings of compacting closed hours, on a replayed week: `python -m benchmarks.compaction`.

The week is landed as windows on the real clock land it, a file a minute, and compacted by upkeep. Sizes and times are
ratios to the landed files; `joined` is the peer: one file an hour, its rows in the order of the responses.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from tiktok_pipeline.capture.clock import hours_between
from tiktok_pipeline.capture.deployment import Deployment
from tiktok_pipeline.capture.replay import replay_hours
from tiktok_pipeline.config.access import accesses
from tiktok_pipeline.config.settings import Settings
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.providers.vendor import Target
from tiktok_pipeline.sandbox.server import start_in_process
from tiktok_pipeline.tables import RAW_LIVES
from tiktok_pipeline.upkeep.compaction import compact
from tiktok_pipeline.upkeep.sizes import measure

START = datetime(2026, 3, 2, tzinfo=UTC)


def main() -> None:
    """Replay, land, compact, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--creators", type=int, default=30)
    parser.add_argument("--days", type=int, default=7)
    options = parser.parse_args()
    hours = hours_between(START, START + timedelta(days=options.days))
    with tempfile.TemporaryDirectory() as folder:
        landed, joined, folded = (Lake(Path(folder) / name) for name in ("landed", "joined", "folded"))
        _replay(joined, hours, options.creators)
        _land(joined, landed, hours)
        shutil.copytree(landed.root, folded.root)
        begun = time.process_time()
        done = compact(folded, [RAW_LIVES], now=hours[-1] + timedelta(days=1), window=timedelta(minutes=10))
        seconds = time.process_time() - begun
        rows = folded.scan_raw(RAW_LIVES, hours).select(pl.len()).collect().item()
        print(
            f"{rows:,} responses of {options.creators} creators in {options.days} days; "
            f"compaction took {seconds:.1f} CPU s"
        )
        assert not done.problems
        base = _measure(landed, hours)
        print(f"{'':<10}{'files':>8}{'MB':>8}{'size':>8}{'all':>10}{'credits':>10}{'a creator':>11}")
        for name, lake in (("landed", landed), ("joined", joined), ("folded", folded)):
            size = measure(lake).tables[RAW_LIVES.name]
            times = _measure(lake, hours)
            ratios = [f"{was / now:.1f}x" for was, now in zip(base, times, strict=True)]
            saved = measure(landed).total.bytes / size.bytes
            print(
                f"{name:<10}{size.files:>8,}{size.bytes / 1e6:>8.1f}{saved:>7.1f}x"
                f"{ratios[0]:>10}{ratios[1]:>10}{ratios[2]:>11}"
            )
        bytes_a_row = measure(folded).total.bytes / rows
        print(f"bytes a response, compacted: {bytes_a_row:.0f}")


def _replay(lake: Lake, hours: list[datetime], creators: int) -> None:
    with start_in_process(seed=11, creators=creators, start=START) as sandbox:
        targets = [Target(c.handle, c.handle, c.user_id) for c in sandbox.world.creators]
        here = Deployment(lake, Settings(), accesses(sandbox.environment), targets)
        replay_hours(here, RAW_LIVES, hours, kind="watch")


def _land(source: Lake, target: Lake, hours: list[datetime]) -> None:
    """Write both lakes in the order of the responses: the source a file an hour, the target a file a minute."""
    for hour in hours:
        rows = source.scan_raw(RAW_LIVES, [hour]).collect().sort("requested_at", "capture_id")
        (path,) = source.hour_files(RAW_LIVES, hour)
        source.write_raw(RAW_LIVES, hour, path.stem, rows)
        minutes = rows.with_columns(_minute=pl.col("requested_at").dt.truncate("1m"))
        for flush, part in enumerate(minutes.partition_by("_minute", include_key=False, maintain_order=True)):
            target.write_raw(RAW_LIVES, hour, f"{path.stem[:-5]}-{flush:04d}", part)


def _measure(lake: Lake, hours: list[datetime]) -> list[float]:
    """Return seconds to read everything, to add up the credits, and to read one creator's bodies: medians of three."""
    raw = lake.scan_raw(RAW_LIVES, hours)
    last_creator = raw.select(pl.col("creator_id").max()).collect().item()
    return [
        _median(raw.collect),
        _median(lambda: raw.select(pl.col("credits").sum()).collect()),
        _median(lambda: raw.filter(pl.col("creator_id") == last_creator).select("body").collect()),
    ]


def _median(read: Callable[[], pl.DataFrame]) -> float:
    taken = []
    for _ in range(3):
        begun = time.perf_counter()
        read()
        taken.append(time.perf_counter() - begun)
    return sorted(taken)[1]


if __name__ == "__main__":
    main()
