"""Compare streams and lifts of a replayed week with the sandbox's truth: `python -m benchmarks.sandbox_accuracy`.

Errors of lift are in days of the creator's organic growth (docs/methods.md 9.2); the naive difference of two counts is
the peer, over the same snapshots. Confounded streams (a viral bump begins near them) are included, because the counts
do not identify them.
"""

from __future__ import annotations

import argparse
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import mean

import numpy as np
import polars as pl

from tiktok_pipeline.capture.clock import hours_between
from tiktok_pipeline.capture.deployment import Deployment
from tiktok_pipeline.capture.replay import replay_hours
from tiktok_pipeline.config.access import accesses
from tiktok_pipeline.config.settings import Settings
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.providers.vendor import Target
from tiktok_pipeline.sandbox.server import RunningSandbox, start_in_process
from tiktok_pipeline.sandbox.streams import TrueStream
from tiktok_pipeline.tables import (
    LIVE_OBSERVATIONS,
    POST_OBSERVATIONS,
    PROFILE_OBSERVATIONS,
    RAW_LIVES,
    RAW_POSTS,
    RAW_PROFILES,
)
from tiktok_pipeline.transforms.lift import stream_lift
from tiktok_pipeline.transforms.observations import read_bodies
from tiktok_pipeline.transforms.streams import streams

START = datetime(2026, 3, 2, tzinfo=UTC)
_READ = (LIVE_OBSERVATIONS, PROFILE_OBSERVATIONS, POST_OBSERVATIONS)


def main() -> None:
    """Replay, derive, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--creators", type=int, default=30)
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--faults", default="none")
    options = parser.parse_args()
    end = START + timedelta(days=options.days)
    with (
        tempfile.TemporaryDirectory() as folder,
        start_in_process(seed=options.seed, creators=options.creators, start=START, faults=options.faults) as sandbox,
    ):
        lake = Lake(Path(folder))
        live, profiles, posts = _observe(sandbox, lake, end)
    settings = Settings()
    as_of = live["observed_at"].max()
    assert isinstance(as_of, datetime)
    found = streams(live, settings=settings.streams, as_of=as_of)
    lifts = stream_lift(found, profiles, live, posts, settings=settings.lift, as_of=as_of)
    _compare_streams(sandbox, found, end)
    _compare_lifts(sandbox, lifts)


def _observe(sandbox: RunningSandbox, lake: Lake, end: datetime) -> tuple[pl.DataFrame, ...]:
    """Return live, profile and post observations of watching and sweeping until `end`."""
    targets = [Target(c.handle, c.handle, c.user_id) for c in sandbox.world.creators if c.kind == "public"]
    here = Deployment(lake, Settings(), accesses(sandbox.environment), targets)
    hours = hours_between(START, end)
    frames: dict[str, list[pl.DataFrame]] = {table.name: [] for table in _READ}
    for table, kind in ((RAW_LIVES, "watch"), (RAW_PROFILES, "sweep"), (RAW_POSTS, "sweep")):
        replay_hours(here, table, hours, kind=kind)
        read = read_bodies(lake.scan_raw(table, hours).collect(), table.name, hash_key=b"benchmark")
        for name, found in frames.items():
            found.append(read[name])
    return tuple(pl.concat(found) for found in frames.values())


def _compare_streams(sandbox: RunningSandbox, found: pl.DataFrame, end: datetime) -> None:
    world, rows = sandbox.world, found.rows(named=True)
    true = [
        stream
        for creator in world.creators
        if creator.kind == "public"
        for stream in world.streams(creator, START, end)
        if stream.started_at >= START and stream.ended_at < end - timedelta(minutes=15)
    ]

    def found_near(stream: TrueStream) -> list[dict[str, object]]:
        return [
            row
            for row in rows
            if row["creator_id"] == stream.creator.handle
            and row["started_at"] < stream.ended_at
            and (row["ended_at"] or row["ended_at_lo"]) > stream.started_at
        ]

    matches = [(stream, found_near(stream)) for stream in true]
    met = [(stream, hits[0]) for stream, hits in matches if hits]
    used = {str(row["stream_id"]): 0 for _, row in met}
    for _, row in met:
        used[str(row["stream_id"])] += 1
    starts = [abs((row["started_at"] - s.started_at).total_seconds()) / 60 for s, row in met]  # type: ignore[operator]
    ends = [
        abs((row["ended_at"] - s.ended_at).total_seconds()) / 60  # type: ignore[operator]
        for s, row in met
        if row["ended_at"] is not None
    ]
    spurious = sum(
        not world.streams(creator, row["started_at"] - timedelta(minutes=1), row["ended_at_lo"] + timedelta(minutes=1))
        for row in rows
        for creator in [next(c for c in world.creators if c.handle == row["creator_id"])]
    )
    print(f"streams: {len(true)} true, {len(met)} found ({len(met) / len(true):.1%})")
    print(f"  split {sum(len(hits) > 1 for _, hits in matches)}, merged {sum(n > 1 for n in used.values())}")
    print(f"  spurious {spurious}")
    print(f"  start error mean {mean(starts):.2f} min, end error mean {mean(ends):.2f} min, max {max(ends):.1f}")


def _compare_lifts(sandbox: RunningSandbox, lifts: pl.DataFrame) -> None:
    world = sandbox.world
    by_handle = {creator.handle: creator for creator in world.creators}
    estimated = lifts.filter(pl.col("lift").is_not_null(), pl.col("lift_lo").is_not_null()).rows(named=True)
    truth = np.array([world.lift_between(by_handle[r["creator_id"]], r["before_at"], r["after_at"]) for r in estimated])
    unit = np.array([max(world.organic_per_day(by_handle[r["creator_id"]]), 1.0) for r in estimated])
    lift, naive, low, high = (
        np.array([r[name] for r in estimated], dtype=float) for name in ("lift", "naive_delta", "lift_lo", "lift_hi")
    )
    ours, peer = (lift - truth) / unit, (naive - truth) / unit
    nothing = truth < 0.5
    rounding = 0.5  # Counts are whole numbers, the truth is not.
    covered = (low - rounding <= truth) & (truth <= high + rounding)
    print(f"lift: {lifts.height} streams, {len(estimated)} with an interval, {int(lifts['is_final'].sum())} final")
    print(f"  bias {ours.mean():+.3f} days (naive {peer.mean():+.3f})")
    print(f"  MAE {np.abs(ours).mean():.3f} days = {np.abs(ours).mean() / np.abs(peer).mean():.2f} x naive")
    print(f"  RMSE {np.sqrt((ours**2).mean()):.3f} days = {np.sqrt((ours**2).mean() / (peer**2).mean()):.2f} x naive")
    print(f"  90 % interval covers {covered.mean():.1%}; width {((high - low) / unit).mean():.3f} days")
    print(f"  significant although the lift was nothing: {(low[nothing] > rounding).mean():.1%} of {nothing.sum()}")


if __name__ == "__main__":
    main()
