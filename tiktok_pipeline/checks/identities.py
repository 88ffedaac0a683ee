"""Bounds and identities that must hold in every row of a table, and between the rows of a board.

A rule is an expression that is true for a row that breaks it; null passes, because a missing value breaks nothing.
Put a rule here only if a broken one means that *our* numbers are wrong. Wrong values of vendors become null or go to
quarantine when they are read, and never stop a publish.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import polars as pl

from tiktok_pipeline import tables
from tiktok_pipeline.checks.check_result import CheckResult
from tiktok_pipeline.checks.contract import keys
from tiktok_pipeline.providers.vendor import Outcome
from tiktok_pipeline.tables import Table

# Sums and differences of floats, relative and absolute; times are kept in microseconds.
_RELATIVE, _ABSOLUTE = 1e-9, 1e-6


@dataclass(frozen=True)
class Rule:
    """One identity: its statement in words, and the rows that break it."""

    statement: str
    broken: pl.Expr


def identities(table: Table, frame: pl.DataFrame) -> CheckResult:
    """Check every rule of the table; the table must have rules, and the frame the table's schema."""
    rules = RULES[table.name]
    counts = frame.select(
        pl.coalesce(rule.broken, False).sum().cast(pl.Float64).alias(rule.statement) for rule in rules
    ).row(0, named=True)
    broken = {statement: int(count) for statement, count in counts.items() if count}
    numbers = {"rows": float(frame.height), "rows_that_break_a_rule": 0.0}
    if not broken:
        return CheckResult(passed=True, message=f"{len(rules)} rules hold", numbers=numbers)
    breaking = frame.filter(
        pl.any_horizontal(pl.coalesce(rule.broken, False) for rule in rules if rule.statement in broken)
    )
    numbers["rows_that_break_a_rule"] = float(breaking.height)
    message = "; ".join(
        f"{statement} (broken in {count} of {frame.height} rows)" for statement, count in broken.items()
    )
    return CheckResult(
        passed=False, message=f"{table.name}: {message}", numbers=numbers, examples=keys(table, breaking)
    )


def _differ(left: pl.Expr, right: pl.Expr) -> pl.Expr:
    return (left - right).abs() > pl.max_horizontal(left.abs(), right.abs()) * _RELATIVE + _ABSOLUTE


def _outside(column: str, low: float, high: float) -> pl.Expr:
    return (pl.col(column) < low - _ABSOLUTE) | (pl.col(column) > high + _ABSOLUTE)


def _one_of(column: str, values: Iterable[str]) -> Rule:
    allowed = tuple(values)
    return Rule(f"{column} is one of {', '.join(allowed)}", ~pl.col(column).is_in(allowed))


def _never_negative(*columns: str) -> tuple[Rule, ...]:
    return tuple(Rule(f"{column} is not negative", pl.col(column) < 0) for column in columns)


def _in_order(*columns: str) -> tuple[Rule, ...]:
    return tuple(Rule(f"{low} <= {high}", pl.col(low) > pl.col(high)) for low, high in pairwise(columns))


def _seconds(duration: pl.Expr) -> pl.Expr:
    return duration.dt.total_microseconds() / 1e6


_BOARD = ("as_of", "period", "niche", "metric")
_STREAM_ENDS = pl.coalesce("ended_at", "ended_at_lo")

_PRECISION = (
    _one_of("followers_precision", ("exact", "rounded")),
    Rule("an exact count has unit 1, a rounded one more",
         (pl.col("followers_precision") == "exact") != (pl.col("followers_unit") == 1)),
)  # fmt: skip

RULES: dict[str, tuple[Rule, ...]] = {
    tables.PROFILE_OBSERVATIONS.name: (
        *_never_negative("followers", "following", "likes", "videos"),
        *_PRECISION,
    ),
    tables.LIVE_OBSERVATIONS.name: (
        _one_of("live_state", ("live", "paused", "ended", "unknown")),
        _one_of("evidence", ("strong", "weak")),
        *_never_negative("viewers", "viewers_total", "likes", "gifters", "new_followers"),
        Rule("an unknown state states no end", (pl.col("live_state") == "unknown") & pl.col("ended_at").is_not_null()),
    ),
    tables.POST_OBSERVATIONS.name: _never_negative("views", "likes", "comments", "shares", "saves", "duration_s"),
    tables.STREAMS.name: (
        _one_of("status", ("live", "ended", "lost")),
        Rule("airtime_s = end (or last seen) - start",
             _differ(pl.col("airtime_s"), _seconds(_STREAM_ENDS - pl.col("started_at")))),
        Rule("airtime_s is not negative", pl.col("airtime_s") < 0),
        Rule("observed_s <= airtime_s", pl.col("observed_s") > pl.col("airtime_s") + _ABSOLUTE),
        Rule("coverage_ratio = observed_s / airtime_s",
             (pl.col("airtime_s") > 0) & _differ(pl.col("coverage_ratio"), pl.col("observed_s") / pl.col("airtime_s"))),
        Rule("coverage_ratio is between 0 and 1", _outside("coverage_ratio", 0, 1)),
        Rule("reconnects = rooms - 1", pl.col("reconnects") != pl.col("rooms") - 1),
        Rule("an ended stream has an end, a live one has none",
             ((pl.col("status") == "ended") & pl.col("ended_at").is_null())
             | ((pl.col("status") == "live") & pl.col("ended_at").is_not_null())),
        Rule("hours_watched = average_viewers x observed_s",
             _differ(pl.col("hours_watched"), pl.col("average_viewers") * pl.col("observed_s") / 3600)
             | (pl.col("hours_watched").is_null() != pl.col("average_viewers").is_null())),
        Rule("average_viewers <= peak_viewers", pl.col("average_viewers") > pl.col("peak_viewers") + _ABSOLUTE),
        *_in_order("started_at_lo", "started_at_hi"),
        *_in_order("ended_at_lo", "ended_at_hi"),
        *_never_negative("hours_watched", "peak_viewers", "detection_delay_s"),
    ),
    tables.STREAM_LIFT.name: (
        Rule("naive_delta = followers_after - followers_before",
             pl.col("naive_delta") != pl.col("followers_after") - pl.col("followers_before")),
        Rule("lift = naive_delta - expected_organic",
             _differ(pl.col("lift"), pl.col("naive_delta") - pl.col("expected_organic"))),
        Rule("lift_pct = 100 lift / followers_before",
             (pl.col("followers_before") > 0)
             & _differ(pl.col("lift_pct"), 100 * pl.col("lift") / pl.col("followers_before"))),
        Rule("is_significant = lift_lo > 0", pl.col("is_significant") != (pl.col("lift_lo") > 0)),
        Rule("the interval holds the lift",
             (pl.col("lift") < pl.col("lift_lo") - _ABSOLUTE) | (pl.col("lift") > pl.col("lift_hi") + _ABSOLUTE)),
        Rule("an observable stream has a lift", pl.col("observable") & pl.col("lift").is_null()),
        Rule("both counts are of one vendor", pl.col("provider_before") != pl.col("provider_after")),
        *_in_order("before_at", "after_at"),
        *_never_negative("followers_before", "followers_after", "placebos"),
    ),
    tables.STREAM_HOURS.name: (
        Rule("airtime_s of an hour is at most an hour", _outside("airtime_s", 0, 3600)),
        Rule("hours_watched = average_viewers x counted_s",
             _differ(pl.col("hours_watched"), pl.col("average_viewers") * pl.col("counted_s") / 3600)),
        *_never_negative("counted_s", "hours_watched", "peak_viewers"),
    ),
    tables.CREATOR_DAYS.name: (
        Rule("airtime_s of a day is at most a day", _outside("airtime_s", 0, 86_400)),
        Rule("an active day is one on which a stream started", pl.col("active_day") != (pl.col("streams") > 0)),
        Rule("lift_streams <= streams", pl.col("lift_streams") > pl.col("streams")),
        *_PRECISION,
        *_never_negative("streams", "hours_watched", "peak_viewers", "followers_end", "days_since_last_stream"),
    ),
    tables.CREATOR_HOURS.name: (
        Rule("weekday is 1 to 7, hour 0 to 23", _outside("weekday", 1, 7) | _outside("hour", 0, 23)),
        *_in_order("typical_viewers_lo", "typical_viewers", "typical_viewers_hi"),
        *_in_order("typical_lift_per_hour_lo", "typical_lift_per_hour", "typical_lift_per_hour_hi"),
        *_never_negative("streams", "airtime_s", "hours_watched", "typical_viewers_lo"),
    ),
    tables.STREAM_CONVERSIONS.name: (
        Rule("conversion = joined / viewers_total",
             (pl.col("viewers_total") > 0)
             & _differ(pl.col("conversion"), pl.col("joined") / pl.col("viewers_total"))),
        *_in_order("before_at", "after_at"),
        *_in_order("left_recent", "compared"),
        *_never_negative("joined", "left", "left_recent"),
    ),
    tables.RECAPS.name: (
        _one_of("band", ("during", "3h", "24h", "72h", "none")),
        Rule("score is between 0 and 1", _outside("score", 0, 1)),
        Rule("a band other than none names its stream", (pl.col("band") != "none") & pl.col("stream_id").is_null()),
        *_never_negative("views", "likes"),
    ),
    tables.GIFT_ESTIMATES.name: (
        _one_of("basis", ("none", "roster", "creator", "known")),
        Rule("gift_index is between 0 and 100", _outside("gift_index", 0, 100)),
        Rule("without known streams there is no range", (pl.col("basis") == "none") & pl.col("mid").is_not_null()),
        *_in_order("low", "mid", "high"),
    ),
    tables.LEADERBOARD.name: (
        Rule("rank follows value, ties share a rank, the next rank counts them",
             pl.col("rank") != pl.col("value").rank("min", descending=True).over(_BOARD)),
        Rule("rank_change = previous_rank - rank", pl.col("rank_change") != pl.col("previous_rank") - pl.col("rank")),
        Rule("is_new where there was no rank before", pl.col("is_new") != pl.col("previous_rank").is_null()),
        Rule("share is between 0 and 1", _outside("share", 0, 1)),
        Rule("shares of a board add up to 1",
             pl.col("share").is_not_null() & _differ(pl.col("share").sum().over(_BOARD), pl.lit(1.0))),
        *_in_order("value_lo", "value", "value_hi"),
    ),
    tables.STORIES.name: (
        Rule("completeness is between 0 and 1", _outside("completeness", 0, 1)),
        *_never_negative("views", "likes", "comments", "shares", "saves"),
    ),
    tables.VENDOR_USAGE.name: (
        Rule("requests = the sum of their outcomes",
             pl.col("requests") != pl.sum_horizontal(outcome.value for outcome in Outcome)),
        Rule("not_billed <= requests", pl.col("not_billed") > pl.col("requests")),
        Rule("p50_ms <= p95_ms", pl.col("p50_ms") > pl.col("p95_ms")),
        *_never_negative("credits"),
    ),
    tables.COVERAGE.name: (
        Rule("known_polls <= polls", pl.col("known_polls") > pl.col("polls")),
        Rule("unknown_share is between 0 and 1", _outside("unknown_share", 0, 1)),
        *_in_order("median_gap_s", "largest_gap_s"),
    ),
    tables.CREATORS.name: (
        *_in_order("first_seen_at", "last_seen_at"),
        *_never_negative("followers"),
    ),
}  # fmt: skip
