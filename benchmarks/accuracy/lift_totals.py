"""Errors and ranking of a month's totals on the leaderboard, compared with naive differences."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import polars as pl

from benchmarks.accuracy.follower_histories import Floats, Histories, Scenario, simulate
from benchmarks.accuracy.lift_estimates import estimated, true_lifts
from tiktok_pipeline.config.settings import Lift
from tiktok_pipeline.tables import CREATORS, RECAPS
from tiktok_pipeline.transforms.leaderboard import leaderboard

# A month, and the two days after it that make its last lifts final.
_MONTH = Scenario("a month", days=34, warm_up_days=0)
_TOP = 25


@dataclass(frozen=True)
class Totals:
    """Errors in days of organic growth; rank correlations with the true totals; shares of the true top 25."""

    creators: int
    mae: float
    mae_to_naive: float
    coverage: float
    rank_correlation: float
    naive_rank_correlation: float
    confident_rank_correlation: float
    top: float
    naive_top: float


def score_totals(*, creators: int, seed: int) -> Totals:
    """Score the board `lift` of a month, over streams without a viral post."""
    return score_board(simulate(_MONTH, creators=creators, seed=seed))


def score_board(histories: Histories, lifts: pl.DataFrame | None = None) -> Totals:
    """Score the board `lift` of the last 30 days with a stream, over streams without a viral post.

    `lifts` are the estimates of all streams, if already computed.
    """
    lifts = estimated(histories, Lift()) if lifts is None else lifts
    clear = histories.truth.filter(~pl.col("viral"))
    lifts = lifts.join(clear, on="stream_id", how="semi", maintain_order="left")
    roster = histories.streams.select("creator_id").unique().sort("creator_id")
    known = roster.with_columns(niche=pl.lit("all"), first_seen_at=pl.lit(datetime(2026, 1, 1, tzinfo=UTC)))
    people = pl.concat([CREATORS.empty(), known], how="diagonal")
    last = lifts.select(pl.col("started_at").max().dt.date()).item()
    streams = histories.streams.join(clear, on="stream_id", how="semi")
    board = leaderboard(streams, lifts, RECAPS.empty(), people, last).filter(
        pl.col("period") == "month", pl.col("niche") == "*", pl.col("metric") == "lift"
    )
    rows = clear.join(lifts, on="stream_id", maintain_order="left").filter("observable")
    first = pl.lit(last) - pl.duration(days=29)
    counted = rows.with_columns(true_lift=true_lifts(histories, rows)).filter(
        pl.col("started_at").dt.date() >= first, ~pl.col("flags").list.contains("count_anomaly")
    )
    true = counted.group_by("creator_id").agg(pl.col("true_lift", "naive_delta").sum(), pl.col("per_day").first())
    got = board.join(true, on="creator_id", maintain_order="left")
    unit, truth = got["per_day"].to_numpy(), got["true_lift"].to_numpy()
    value, naive = got["value"].to_numpy(), got["naive_delta"].to_numpy().astype(float)
    covered = got.select(pl.col("true_lift").is_between("value_lo", "value_hi").mean()).item()
    error = np.abs(value - truth) / unit
    return Totals(
        creators=got.height,
        mae=float(error.mean()),
        mae_to_naive=float(error.mean() / (np.abs(naive - truth) / unit).mean()),
        coverage=float(covered),
        rank_correlation=_spearman(value, truth),
        naive_rank_correlation=_spearman(naive, truth),
        confident_rank_correlation=_spearman(got["value_lo"].to_numpy(), truth),
        top=_shared_top(value, truth),
        naive_top=_shared_top(naive, truth),
    )


def _spearman(one: Floats, other: Floats) -> float:
    ranks = [np.argsort(np.argsort(values)) for values in (one, other)]
    return float(np.corrcoef(*ranks)[0, 1])


def _shared_top(one: Floats, other: Floats) -> float:
    best = [set(np.argsort(-values)[:_TOP].tolist()) for values in (one, other)]
    return len(best[0] & best[1]) / _TOP
