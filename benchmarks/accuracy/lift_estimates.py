"""Errors of lifts against the truth, compared with the naive difference of two counts."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.accuracy.follower_histories import Histories, Scenario, simulate
from tiktok_pipeline.config.settings import Lift
from tiktok_pipeline.transforms.lift import stream_lift

_NEVER_H = 1e9
_CLEAR_DAYS = 0.25  # Power is computed over lifts above six hours of organic growth.


@dataclass(frozen=True)
class Score:
    """Errors in days of the creator's organic growth; coverage, false positives and power as shares."""

    streams: int
    bias: float
    mae: float
    mae_to_naive: float
    rmse_to_naive: float
    coverage: float
    width: float
    false_positives: float
    power: float
    observable: float


def judged(scenario: Scenario, *, creators: int, seed: int) -> pl.DataFrame:
    """Return one row per true stream: per_day, viral, size, true_lift, and the estimate."""
    histories = simulate(scenario, creators=creators, seed=seed)
    settings = Lift()
    if scenario.provisional:
        settings = msgspec.structs.replace(settings, final_after_hours=_NEVER_H)
    return judged_histories(histories, settings)


def estimated(histories: Histories, settings: Lift) -> pl.DataFrame:
    """Estimate the lift of every stream of the histories."""
    h = histories
    return stream_lift(h.streams, h.profiles, h.live, h.posts, settings=settings, as_of=h.as_of)


def judged_histories(histories: Histories, settings: Lift, lifts: pl.DataFrame | None = None) -> pl.DataFrame:
    """Do as `judged` for given histories; `lifts` are their estimates, if already computed."""
    lifts = estimated(histories, settings) if lifts is None else lifts
    rows = histories.truth.join(lifts, on="stream_id", maintain_order="left").filter(pl.col("after_at").is_not_null())
    return rows.with_columns(true_lift=true_lifts(histories, rows))


def true_lifts(histories: Histories, rows: pl.DataFrame) -> pl.Series:
    """Return the true lift of each stream of `rows` (truth and estimates joined) between its two counts."""
    brackets = rows.select("number", "position", "before_at", "after_at").iter_rows()
    return pl.Series([histories.lift_between(*row) for row in brackets], dtype=pl.Float64)


def undisturbed(rows: pl.DataFrame) -> pl.DataFrame:
    """Keep streams without a viral post during them, which counts cannot separate, and without a flagged purge."""
    return rows.filter(~pl.col("viral"), ~pl.col("flags").list.contains("count_anomaly"))


def score(rows: pl.DataFrame) -> Score | None:
    """Return the score of the observable streams among `rows`; None if there are none."""
    seen = rows.filter("observable")
    if seen.is_empty():
        return None
    unit = seen["per_day"].to_numpy()
    true = seen["true_lift"].to_numpy()
    error = (seen["lift"].to_numpy() - true) / unit
    naive = (seen["naive_delta"].to_numpy() - true) / unit
    low, high = seen["lift_lo"].to_numpy(), seen["lift_hi"].to_numpy()
    return Score(
        streams=seen.height,
        bias=float(error.mean()),
        mae=float(np.abs(error).mean()),
        mae_to_naive=float(np.abs(error).mean() / np.abs(naive).mean()),
        rmse_to_naive=float(np.sqrt((error**2).mean() / (naive**2).mean())),
        coverage=float(((low <= true) & (true <= high)).mean()),
        width=float(np.median((high - low) / unit)),
        false_positives=_share(low[true == 0] > 0),
        power=_share(low[true > _CLEAR_DAYS * unit] > 0),
        observable=seen.height / rows.height,
    )


def _share(holds: NDArray[np.bool_]) -> float:
    return float(holds.mean()) if holds.size else float("nan")
