"""The `stream_lift` mart: followers gained around a stream over what the creator would have gained anyway.

    lift = (followers after - followers before) - organic rate * exposure between the two counts

Method and constants are those of the methods, section 2.4; where counts come from is in `follower_series`, how
wide the interval is in `placebos`, what posts say of the window in `viral_posts`. It is the gain of a window, not a
proven cause.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from tiktok_pipeline.settings import Lift
from tiktok_pipeline.tables import STREAM_LIFT
from tiktok_pipeline.transforms.follower_counts import cache_hours, with_found_unit
from tiktok_pipeline.transforms.follower_series import HOUR_US, Series, read_series
from tiktok_pipeline.transforms.other_streams import OtherStreams
from tiktok_pipeline.transforms.placebos import NO_PLACEBOS, Placebos, draw_placebos, half_widths, pooled
from tiktok_pipeline.transforms.rhythm import DEFAULT_PRIOR, Evidence, Floats, Prior, learned_prior
from tiktok_pipeline.transforms.viral_posts import viral_flags

METHOD = "organic-local24-placebo/2"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Streams closer than this are one event to their audience (methods, section 2.5).
_GROUP_H = 1.0
# A lost stream may have gone on for this long after it was last seen, for all that anybody knows.
_LOST_H = 12.0
# A delta of rounded counts up to this many quanta may be rounding alone, or nearly.
_UNREADABLE_QUANTA = 2
_SERIES = ("vendor", "unit", "listed")

# Of another stream between the two counts: more than this, and the followers cannot be told apart.
_MOMENT_H = 0.5

# Streams that lend their errors to the pool: enough for its tails, few enough to estimate with every day.
_LENDERS = 300

# Half of a 90 % interval of a normal error, in deviations.
_Z = 1.645

# Above this the hours of a window were hardly ever seen off the air.
_HARDLY_SEEN = 0.5
# Half-width of what streams before carry over into a window, as a share of it: it fades faster or slower.
_CARRIED_DOUBT = 0.7

# Creators whose rhythms teach the prior: enough for its shape, few enough to read twice.
_TEACHERS = 120

# TikTok's count may be read this long before a stream's start: clocks differ.
_SLACK = timedelta(minutes=2)


def stream_lift(
    streams: pl.DataFrame,
    profiles: pl.DataFrame | pl.LazyFrame,
    live: pl.DataFrame | pl.LazyFrame,
    posts: pl.DataFrame | pl.LazyFrame,
    *,
    settings: Lift,
    as_of: datetime,
    day: date | None = None,
) -> pl.DataFrame:
    """The lift of every stream, as far as follower counts up to `as_of` tell.

    Args:
        streams: STREAMS schema: all streams of the window, because each is noise in the others' baseline.
        profiles: PROFILE_OBSERVATIONS schema, any order, repeated rows allowed: the follower counts.
        live: LIVE_OBSERVATIONS schema: TikTok's own count of new follows in a room.
        posts: POST_OBSERVATIONS schema, any order, repeated rows allowed: who went viral by something else.
        settings: the constants of the method.
        as_of: the newest instant that the data speaks for; later counts are not looked at.
        day: only the streams that started on it are wanted; some of the others still lend their errors.

    Returns:
        STREAM_LIFT schema, sorted by creator_id and started_at. Where a lift cannot be told it is null, and
        `observable` is false; a lift never stands without its interval.
    """
    ordered = _asked(streams, day)
    estimates = list(_estimates(ordered, _counts(profiles.lazy(), as_of), settings, as_of))
    # Errors of rounded counts are another population than those of exact ones.
    exact, rounded = (
        pooled((e.placebos for e in estimates if e.lends and e.rounded is kind), settings) for kind in (False, True)
    )
    rows = [_row(e, rounded if e.rounded else exact, settings) for e in estimates if e.wanted]
    if not rows:
        return STREAM_LIFT.empty()
    told = pl.DataFrame(rows, schema={name: STREAM_LIFT.schema[name] for name in rows[0]})
    kept = ordered.filter("wanted").select(
        "stream_id",
        "creator_id",
        "started_at",
        "ended_at",
        "started_at_lo",
        "started_at_hi",
        "ended_at_lo",
        "ended_at_hi",
    )
    lifts = pl.concat([kept, told], how="horizontal")
    bracketed = lifts.select("stream_id", "creator_id", "started_at", "before_at", "after_at").drop_nulls()
    return STREAM_LIFT.conform(
        lifts.join(_platform_follows(ordered, live.lazy(), as_of), on="stream_id", how="left", maintain_order="left")
        .join(viral_flags(bracketed, posts.lazy(), as_of), on="stream_id", how="left", maintain_order="left")
        .with_columns(
            flags=pl.concat_list("flags", pl.concat_list("viral").list.drop_nulls()).list.sort(),
            carry_over_min=pl.lit(settings.carry_over_minutes),
            method=pl.lit(METHOD),
        )
    )


def _asked(streams: pl.DataFrame, day: date | None) -> pl.DataFrame:
    """`streams` in order, with `wanted`, and `lends`: whose errors join the pool."""
    ordered = streams.sort("creator_id", "started_at", "stream_id")
    position = pl.int_range(pl.len())
    every = max(-(-ordered.height // _LENDERS), 1)
    return ordered.with_columns(
        wanted=pl.lit(value=True) if day is None else pl.col("started_at").dt.date() == day,
        lends=position % every == 0,
    )


@dataclass
class _Estimate:
    """One stream in hours since the epoch, the counts around it, and its estimate without the interval."""

    start: float
    window_end: float
    airtime_h: float
    flags: set[str]
    wanted: bool = True
    lends: bool = True
    final: bool = False
    series: Series | None = None
    before: int = -1
    after: int = -1
    rate: float = np.nan
    baseline_h: float = 0.0
    expected: float = np.nan
    placebos: Placebos = NO_PLACEBOS
    rhythm_variance: float = 0.0
    unseen: float = 0.0
    weakest: float = np.nan
    carried_over: float = 0.0

    @property
    def rounded(self) -> bool:
        """Whether the counts are rounded."""
        return self.series is not None and self.series.unit > 1


def _counts(profiles: pl.LazyFrame, as_of: datetime) -> dict[tuple[object, ...], pl.DataFrame]:
    """Follower counts up to `as_of` by creator: vendor, unit, listed, at (microseconds), followers; one an instant.

    The total of a list of followers counts other accounts than the profile does: it is a series of its own.
    """
    counts = (
        profiles.filter(pl.col("followers").is_not_null(), pl.col("observed_at") <= as_of)
        .select(
            "creator_id",
            "vendor",
            "followers",
            unit=pl.coalesce("followers_unit", pl.when(pl.col("followers_precision") == "exact").then(1)),
            listed=pl.col("source").eq_missing("followers"),
            at=pl.col("observed_at").dt.epoch("us"),
        )
        .filter(pl.col("unit").is_not_null())
        .collect()
    )
    found = (
        with_found_unit(counts)
        .group_by("creator_id", "vendor", "unit", "listed", "at")
        .agg(pl.col("followers").max(), pl.col("unit_found").any())
        .sort("creator_id", "vendor", "unit", "listed", "at")
    )
    return found.partition_by("creator_id", as_dict=True)


def _estimates(
    streams: pl.DataFrame, counts: dict[tuple[object, ...], pl.DataFrame], settings: Lift, as_of: datetime
) -> Iterator[_Estimate]:
    now, carry_over = as_of.timestamp() / 3600, settings.carry_over_minutes / 60
    timed = streams.select(
        "creator_id",
        "flags",
        "wanted",
        "lends",
        start=_hours("started_at"),
        end=_hours("ended_at"),
        seen=_hours("ended_at_lo"),
        live=pl.col("status") == "live",
        airtime_h=pl.col("airtime_s") / 3600,
    ).with_columns(
        aired=pl.coalesce("end", pl.when("live").then(now), "seen"),
        # Where no end is known, a stream that is on air goes on, and a lost one may have.
        busy=pl.coalesce("end", pl.when("live").then(now), pl.min_horizontal(pl.col("seen") + _LOST_H, now)),
    )
    groups = timed.partition_by("creator_id", as_dict=True, maintain_order=True)
    prior, caches, evidence = _learned(groups, counts, settings)
    # A loop over creators: each has counts, rhythm and placebo windows of its own, and they share nothing.
    for creator, group in groups.items():
        asked = group["wanted"] | group["lends"]
        if not asked.any():
            continue
        start, busy, aired = (group[name].to_numpy() for name in ("start", "busy", "aired"))
        known = counts.get(creator)
        series = (
            [
                read_series(
                    each,
                    start,
                    busy,
                    prior,
                    caches.get(each["vendor"][0], 0.0),
                    settings,
                    evidence.get((*creator, *key)),
                )
                for key, each in known.partition_by(*_SERIES, maintain_order=True, as_dict=True).items()
            ]
            if known is not None
            else []
        )
        others: dict[tuple[int, bool], OtherStreams] = {}
        told = group.select("end", "airtime_h", "flags", "wanted", "lends").with_row_index("n").filter(asked)
        for n, end, airtime_h, flags, wanted, lends in told.iter_rows():
            estimate = _Estimate(
                start=float(start[n]),
                window_end=np.nan,
                airtime_h=airtime_h,
                flags={flag for flag in flags if flag in ("censored_start", "censored_end")},
                wanted=wanted,
                lends=lends,
            )
            gap = start[n] - busy[:n].max() if n else np.inf
            to_next = start[n + 1] - busy[n] if n + 1 < start.size else np.inf
            if gap < settings.guard_minutes / 60:
                estimate.flags.add("adjacent_prev")
            if min(gap, to_next) < _GROUP_H:
                estimate.flags.add("stream_group")
            if end is None:
                estimate.flags.add("no_end")
            else:
                if to_next < carry_over:
                    estimate.flags.add("overlap_next")
                estimate.window_end = end + max(min(carry_over, to_next), 0.0)
                _estimate(estimate, series, end, settings, now)
                if estimate.unseen > _HARDLY_SEEN:
                    estimate.flags.add("hour_never_seen")
                if estimate.series is not None:
                    key = (id(estimate.series), estimate.final)
                    if key not in others:
                        others[key] = OtherStreams(estimate.series, start, aired, settings, both=estimate.final)
                    before, after = (float(estimate.series.t[at]) for at in (estimate.before, estimate.after))
                    estimate.weakest = others[key].weakest(estimate.start)
                    estimate.carried_over = others[key].carried_over(n, before, after)
                if _shares_its_bracket(estimate, np.delete(start, n), np.delete(aired, n)):
                    estimate.flags.add("shared_bracket")
            yield estimate


def _learned(
    groups: dict[tuple[object, ...], pl.DataFrame], counts: dict[tuple[object, ...], pl.DataFrame], settings: Lift
) -> tuple[Prior, dict[str, float], dict[tuple[object, ...], Evidence]]:
    """The prior of rhythms and the cache of each vendor (hours), from some creators whose streams are estimated.

    And the evidence that was read for it, by creator, vendor, unit and listed.
    """
    asked = [key for key, group in groups.items() if key in counts and (group["wanted"] | group["lends"]).any()]
    teachers = asked[:: max(-(-len(asked) // _TEACHERS), 1)]
    parts = {key: counts[key].partition_by(*_SERIES, maintain_order=True, as_dict=True) for key in teachers}
    exact: dict[str, list[tuple[Floats, Floats]]] = {}
    for each in (part for found in parts.values() for part in found.values()):
        if each["unit"][0] == 1:
            t, followers = each["at"].to_numpy() / HOUR_US, each["followers"].to_numpy().astype(np.float64)
            exact.setdefault(each["vendor"][0], []).append((t, followers))
    caches = {vendor: cache_hours(series) for vendor, series in exact.items()}
    evidence: dict[tuple[object, ...], Evidence] = {}
    for creator in teachers:
        start, busy = (groups[creator][name].to_numpy() for name in ("start", "busy"))
        key, largest = max(parts[creator].items(), key=lambda part: part[1].height)
        series = read_series(largest, start, busy, DEFAULT_PRIOR, caches.get(largest["vendor"][0], 0.0), settings)
        if series.evidence:
            evidence[*creator, *key] = series.evidence
    return learned_prior(list(evidence.values())), caches, evidence


def _hours(column: str) -> pl.Expr:
    return pl.col(column).dt.epoch("us") / HOUR_US


def _estimate(estimate: _Estimate, series: list[Series], end: float, settings: Lift, now: float) -> None:
    """Fill `estimate` from the best of `series`: with counts on time, the finest, with a baseline, the closest."""
    estimate.final = now >= estimate.window_end + settings.final_after_hours
    brackets = [found for each in series if (found := _bracket(each, estimate, end, settings.max_segment_hours))]
    if not brackets:
        reach = settings.max_segment_hours
        if not any(((each.t <= end) & (each.t >= estimate.start - reach)).any() for each in series):
            estimate.flags.add("no_before")
        if not any(
            ((each.t >= estimate.window_end) & (each.t <= estimate.window_end + reach)).any() for each in series
        ):
            estimate.flags.add("no_after")
        return
    tried = []
    for late, chosen, b, a in brackets:
        before, after = float(chosen.t[b]), float(chosen.t[a])
        final = now >= after + settings.final_after_hours
        rate, hours, width = chosen.rate(np.array([before]), np.array([after]), settings, both=final)
        no_baseline = not hours[0] > 0
        order = (late, chosen.unit, no_baseline, after - before, chosen.vendor)
        tried.append((order, chosen, b, a, final, float(rate[0]), float(hours[0]), float(width[0])))
    order, chosen, b, a, final, rate_per_h, baseline_h, width_h = min(tried, key=lambda each: each[0])
    estimate.series, estimate.before, estimate.after = chosen, b, a
    estimate.final, estimate.rate, estimate.baseline_h = final, rate_per_h, baseline_h
    estimate.expected = rate_per_h * float(chosen.exposure[a] - chosen.exposure[b])
    before, after = float(chosen.t[b]), float(chosen.t[a])
    estimate.placebos = draw_placebos(chosen, before, after, settings, both=final)
    if baseline_h > 0:
        estimate.rhythm_variance = chosen.rhythm_variance(before, after, width_h, settings, both=final)
        estimate.unseen = chosen.unseen(before, after, settings)
    left_out = chosen.stale_at
    estimate.flags |= {
        name
        for name, holds in (
            ("late_before", order[0]),
            ("short_baseline", baseline_h < settings.min_clean_hours),
            ("few_placebo", estimate.placebos.errors.size < settings.few_placebos),
            ("cached_counts", chosen.cache_h > 0),
            ("unit_found", chosen.unit_found),
            ("count_anomaly", bool(chosen.purge[b:a].any())),
            (
                "stale_suspect",
                bool(
                    (
                        ((left_out > before) & (left_out <= estimate.start))
                        | ((left_out >= estimate.window_end) & (left_out < after))
                    ).any()
                ),
            ),
        )
        if holds
    }


def _shares_its_bracket(estimate: _Estimate, start: Floats, end: Floats) -> bool:
    """Whether one of the other streams fills more than a moment of the time between the two counts."""
    if estimate.series is None:
        return False
    before, after = (float(estimate.series.t[n]) for n in (estimate.before, estimate.after))
    return bool((np.minimum(end, after) - np.maximum(start, before) > _MOMENT_H).any())


def _bracket(series: Series, estimate: _Estimate, end: float, reach: float) -> tuple[bool, Series, int, int] | None:
    """(late, series, before, after): the last count up to the start and the first past the window, within reach.

    Without a count before the start the first one on air will do: `late`, and the lift is then a lower bound.
    """
    t = series.t
    b = int(np.searchsorted(t, estimate.start, "right")) - 1
    a = int(np.searchsorted(t, estimate.window_end, "left"))
    if a >= t.size or t[a] > estimate.window_end + reach:
        return None
    late = b < 0 or t[b] < estimate.start - reach
    if late:
        b += 1
        if t[b] > end or b >= a:
            return None
    return late, series, b, a


_EMPTY: dict[str, Any] = dict.fromkeys(
    (
        "followers_before",
        "before_at",
        "followers_after",
        "after_at",
        "provider_before",
        "provider_after",
        "before_gap_s",
        "after_gap_s",
        "naive_delta",
        "baseline_rate_per_h",
        "baseline_hours",
        "profile_used",
        "expected_organic",
        "lift",
        "lift_lo",
        "lift_hi",
        "lift_shared",
        "interval_level",
        "lift_pct",
        "lift_per_hour",
        "resolution",
        "observable",
        "placebos",
        "is_significant",
        "is_final",
        "flags",
    )
)


def _row(estimate: _Estimate, pool: Floats, settings: Lift) -> dict[str, Any]:
    """The columns of one stream that its counts tell."""
    row = _EMPTY | {"profile_used": False, "observable": False, "placebos": 0, "is_final": estimate.final}
    series = estimate.series
    if series is not None:
        before, after = (int(series.followers[n]) for n in (estimate.before, estimate.after))
        row |= {
            "followers_before": before,
            "before_at": _moment(series, estimate.before),
            "followers_after": after,
            "after_at": _moment(series, estimate.after),
            "provider_before": series.vendor,
            "provider_after": series.vendor,
            "before_gap_s": (estimate.start - float(series.t[estimate.before])) * 3600,
            "after_gap_s": (float(series.t[estimate.after]) - estimate.window_end) * 3600,
            "naive_delta": after - before,
            "baseline_hours": estimate.baseline_h,
            "profile_used": series.evidence is not None,
            "resolution": series.unit,
            "placebos": estimate.placebos.errors.size,
        }
        if np.isfinite(estimate.expected):
            row |= {"baseline_rate_per_h": estimate.rate, "expected_organic": estimate.expected}
            row |= _lift(estimate, series.unit, before, after - before, pool, settings)
    return row | {"flags": sorted(estimate.flags)}


def _lift(estimate: _Estimate, unit: int, before: int, naive: int, pool: Floats, settings: Lift) -> dict[str, Any]:
    """The lift and its interval, or nothing where they would say nothing."""
    lift = naive - estimate.expected - estimate.carried_over
    unseen = max(estimate.rhythm_variance - estimate.placebos.rhythm_variance, 0.0)
    more, doubt = _Z * abs(estimate.expected) * unseen**0.5, 0.0
    shared = _Z * abs(estimate.expected) * estimate.rhythm_variance**0.5
    if estimate.weakest > 1:
        # Growth that the weakest streams at this hour have too may be the hour's own: half of it is taken off.
        share = min(max(estimate.unseen - 0.2, 0.0) / 0.3, 1.0)
        doubt = estimate.expected * (estimate.weakest - 1) * share / 2
        lift -= doubt
        shared = max(shared, doubt)
    more = math.hypot(more, _CARRIED_DOUBT * estimate.carried_over)
    widths = half_widths(estimate.placebos, pool, estimate.expected, unit, more, settings)
    if widths is None:
        return {}
    low, high = lift - widths[0] - doubt, lift + widths[1] + doubt
    # Between rounded counts a small delta is rounding, whatever was expected: nothing can be seen in it.
    if unit > 1 and abs(naive) <= _UNREADABLE_QUANTA * unit:
        estimate.flags.add("below_resolution")
        return {}
    if "shared_bracket" in estimate.flags:
        return {}
    return {
        "observable": True,
        # All that is expected without the stream: also what other streams still bring, and the hour's own growth.
        "expected_organic": naive - lift,
        "lift": lift,
        "lift_lo": low,
        "lift_hi": high,
        "lift_shared": shared,
        "interval_level": 1 - settings.alpha,
        "lift_pct": 100 * lift / before if before else None,
        "lift_per_hour": lift / estimate.airtime_h if estimate.airtime_h > 0 else None,
        "is_significant": low > 0,
    }


def _moment(series: Series, position: int) -> datetime:
    return _EPOCH + timedelta(microseconds=int(series.at[position]))


def _platform_follows(streams: pl.DataFrame, live: pl.LazyFrame, as_of: datetime) -> pl.DataFrame:
    """TikTok's own count of new follows: the most that each room said, summed over the stream's rooms.

    A room belongs to the stream in which it was first read.
    """
    rooms = (
        live.filter(pl.col("room_id").is_not_null(), pl.col("observed_at") <= as_of)
        .group_by("creator_id", "room_id")
        .agg(pl.col("new_followers").max(), first=pl.col("observed_at").min())
        .filter(pl.col("new_followers").is_not_null())
        .collect()
        .sort("first", "creator_id", "room_id")
    )
    spans = streams.select(
        "creator_id",
        "stream_id",
        started=pl.col("started_at") - _SLACK,
        until=pl.coalesce("ended_at_hi", "ended_at", pl.lit(as_of, pl.Datetime("us", "UTC"))) + _SLACK,
    ).sort("started")
    return (
        rooms.join_asof(spans, left_on="first", right_on="started", by="creator_id", check_sortedness=False)
        .filter(pl.col("first") <= pl.col("until"))
        .group_by("stream_id")
        .agg(platform_new_followers=pl.col("new_followers").sum())
    )
