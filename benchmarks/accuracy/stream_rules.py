"""Rule sets that derive streams from readings, ours and plain ones, and their errors against the truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import polars as pl

from benchmarks.accuracy.polled_lives import Lives
from tiktok_pipeline.config.settings import Streams
from tiktok_pipeline.transforms.streams import streams

# A rule set returns creator_id, started_at, ended_at of every stream that it finds.
RuleSet = Callable[[Lives], pl.DataFrame]


@dataclass(frozen=True)
class Score:
    """Shares of streams, and mean absolute errors in minutes over streams that were matched one to one."""

    true: int
    found: int
    split: float
    merged: float
    spurious: float
    missed: float
    start_min: float
    end_min: float


def ours(**changed: int) -> RuleSet:
    """Return the project's rules, with some settings changed."""

    def rule(lives: Lives) -> pl.DataFrame:
        settings = msgspec.structs.replace(Streams(), **changed)
        return streams(lives.live, settings=settings, as_of=lives.as_of).select(
            "creator_id", "started_at", ended_at=pl.coalesce("ended_at", "ended_at_lo")
        )

    return rule


def offline_readings(confirm: int, *, errors_are_offline: bool = False, midpoints: bool = True) -> RuleSet:
    """Return plain rules: a stream is a run of live readings that `confirm` consecutive off-air readings close."""

    def rule(lives: Lives) -> pl.DataFrame:
        live = lives.live if errors_are_offline else lives.live.filter(pl.col("live_state") != "unknown")
        on = pl.col("live_state") == "live"
        rows = live.sort("creator_id", "observed_at").select(
            "creator_id", at="observed_at", on=on, other=pl.col("creator_id") != pl.col("creator_id").shift(1)
        )
        run = (pl.col("other") | (pl.col("on") != pl.col("on").shift(1))).fill_null(value=True).cum_sum()
        runs = (
            rows.with_columns(run=run)
            .group_by("run", maintain_order=True)
            .agg(
                pl.col("creator_id", "on", "other").first(),
                first=pl.col("at").first(),
                last=pl.col("at").last(),
                n=pl.len(),
            )
        )
        closes = ~pl.col("on") & (pl.col("n") >= confirm)
        spell = (pl.col("other") | closes.shift(1)).fill_null(value=True).cum_sum()
        same_before = pl.col("creator_id") == pl.col("creator_id").shift(1)
        same_after = pl.col("creator_id") == pl.col("creator_id").shift(-1)
        runs = runs.with_columns(
            spell=spell,
            before=pl.when(same_before).then(pl.col("last").shift(1)).otherwise("first"),
            after=pl.when(same_after).then(pl.col("first").shift(-1)).otherwise("last"),
        ).filter("on")
        found = runs.group_by("spell", maintain_order=True).agg(
            pl.col("creator_id").first(),
            pl.col("before", "first").first(),
            pl.col("last", "after").last(),
        )
        if not midpoints:
            return found.select("creator_id", started_at="first", ended_at="after")
        return found.select(
            "creator_id",
            started_at=pl.col("before") + (pl.col("first") - pl.col("before")) / 2,
            ended_at=pl.col("last") + (pl.col("after") - pl.col("last")) / 2,
        )

    return rule


RULE_SETS: dict[str, RuleSet] = {
    "every flip is a stream": offline_readings(1, midpoints=False),
    "the same, errors are offline": offline_readings(1, errors_are_offline=True, midpoints=False),
    "2 offline to close, midpoints": offline_readings(2),
    "3 offline to close, midpoints": offline_readings(3),
    "ours, rooms never joined": ours(merge_gap_minutes=0),
    "ours, joined within 60 min": ours(merge_gap_minutes=60),
    "ours": ours(),
}


def score(lives: Lives, rule: RuleSet) -> Score:
    """Score the streams of `rule` against the true ones."""
    truth = lives.truth.with_row_index("true")
    found = rule(lives).with_row_index("drawn")
    both = truth.join(found, on="creator_id", suffix="_drawn").filter(
        pl.col("started_at") < pl.col("ended_at_drawn"), pl.col("started_at_drawn") < pl.col("ended_at")
    )
    drawn_of = both.group_by("true").agg(drawn_count=pl.len())
    true_of = both.group_by("drawn").agg(true_count=pl.len())
    pairs = both.join(drawn_of.filter(pl.col("drawn_count") == 1), on="true").join(
        true_of.filter(pl.col("true_count") == 1), on="drawn"
    )

    def minutes(name: str) -> float:
        error = (pl.col(name) - pl.col(f"{name}_drawn")).dt.total_microseconds().abs().mean() / 60e6
        return float(pairs.select(error).item())

    return Score(
        true=truth.height,
        found=found.height,
        split=drawn_of.filter(pl.col("drawn_count") > 1).height / truth.height,
        merged=true_of.filter(pl.col("true_count") > 1).height / found.height,
        spurious=1 - true_of.height / found.height,
        missed=1 - drawn_of.height / truth.height,
        start_min=minutes("started_at"),
        end_min=minutes("ended_at"),
    )
