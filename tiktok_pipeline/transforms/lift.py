"""Followers that a stream brought, over what the creator would have gained anyway (methods, section 2.4).

    lift = (F_after - F_before) - rho * exposure

Between two real follower counts of one vendor and one precision, the organic part is the creator's own rate of the
day before and after, off the air, times the hours between the counts, weighted by the creator's day rhythm. The
interval comes from placebo windows: the same estimate where nothing happened, by the same creator, between real
counts, topped up with the errors of all creators. It is the gain of a window, not a proven cause.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tiktok_pipeline import settings as configuration
from tiktok_pipeline.tables import STREAM_LIFT

METHOD = "organic-local24-placebo/1"

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]

_HOUR_US = 3_600_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# The baseline begins this long after the snapshot after a stream: carry-over fades.
_AFTER_GUARD_H = 2.0
# Windows of the local rate, tried in turn until one has enough clean hours.
_WIDER = (1, 2, 4, 8)
# Weights of the hour profile: four days' worth of "no rhythm" (methods, 2.4, step 2).
_PROFILE_PRIOR = 4.0
_PROFILE_SEGMENT_H = 1.5
_PROFILE_DAY_H = 8.0
_PROFILE_MIN_DAYS, _PROFILE_MIN_SEGMENTS, _PROFILE_MIN_GROWTH_A_DAY = 4, 48, 8.0
# A single step that is this much larger than its scale, and this share of all, is a purge or a slip.
_ANOMALY_SCALES, _ANOMALY_SHARE = 10.0, 0.001
# Two rounded counts differ by up to a quantum with no change at all; 0.7 of one covers 90 % (methods, 2.5).
_ROUNDING = 0.7
_ADJACENT_H = 3.0
# Of another stream within the bracket: more than this and the followers cannot be told apart.
_MOMENT_H = 0.5


def stream_lift(
    streams: pl.DataFrame, profiles: pl.DataFrame, live: pl.DataFrame, *, settings: configuration.Lift, as_of: datetime
) -> pl.DataFrame:
    """Estimate the lift of every stream.

    Args:
        streams: STREAMS schema: all streams of the window, because each is noise in the others' baseline.
        profiles: PROFILE_OBSERVATIONS schema, any order: the follower counts.
        live: LIVE_OBSERVATIONS schema: TikTok's own count of new follows in a room.
        settings: the method's constants.
        as_of: the newest instant that the data speaks for.

    Returns:
        STREAM_LIFT schema, sorted by creator_id and started_at. Lift is null where it cannot be observed.
    """
    if streams.is_empty():
        return STREAM_LIFT.empty()
    ordered = streams.sort("creator_id", "started_at", "stream_id")
    estimates = list(_estimates(ordered, _counts(profiles), settings, _hours(as_of)))
    errors = [e.errors for e in estimates if e.errors.size]
    pool = np.quantile(np.concatenate(errors), np.linspace(0.01, 0.99, settings.pool_size)) if errors else np.empty(0)
    rows = [_row(estimate, pool, settings) for estimate in estimates]
    follows = _platform_follows(ordered, live)
    frame = pl.DataFrame(rows, schema={name: STREAM_LIFT.schema[name] for name in rows[0]}, orient="row")
    kept = ordered.select(
        "stream_id",
        "creator_id",
        "started_at",
        "ended_at",
        "started_at_lo",
        "started_at_hi",
        "ended_at_lo",
        "ended_at_hi",
    )
    return STREAM_LIFT.conform(
        pl.concat([kept, frame], how="horizontal")
        .join(follows, on="stream_id", how="left", maintain_order="left")
        .with_columns(carry_over_min=pl.lit(settings.carry_over_minutes), method=pl.lit(METHOD))
    )


@dataclass(frozen=True)
class _Series:
    """Follower counts of one creator, one vendor, one precision: times in hours, counts, and clean segments."""

    vendor: str
    unit: int
    t: Floats
    followers: Floats
    clean: Flags
    anomaly: Flags
    exposure: Floats  # the integral of the hour profile up to each snapshot
    profile: Floats | None
    sums: tuple[Floats, Floats, Floats]  # over clean segments: growth, exposure, hours; before each snapshot
    unclean: Integers  # segments that are not clean, before each snapshot

    def exposure_at(self, hours: Floats) -> Floats:
        return _exposure(self.profile, hours)

    def rate(self, before: Floats, after: Floats, settings: configuration.Lift, *, both: bool) -> tuple[Floats, Floats]:
        """Organic followers per unit of exposure around windows [before, after], and the clean hours it rests on."""
        rate, hours = np.full(before.shape, np.nan), np.zeros(before.shape)
        for wider in _WIDER:
            width = settings.local_hours * wider
            end = before - settings.guard_before_minutes / 60
            sides = [(end - width, end)]
            if both:
                sides.append((after + _AFTER_GUARD_H, after + _AFTER_GUARD_H + width))
            growth = exposure = clean = np.zeros(before.shape)
            for low, high in sides:
                first = np.searchsorted(self.t, low, "left")
                last = np.maximum(np.searchsorted(self.t, high, "right") - 1, first)
                last = np.minimum(last, len(self.t) - 1)
                first = np.minimum(first, last)
                growth, exposure, clean = (
                    total + sums[last] - sums[first]
                    for total, sums in zip((growth, exposure, clean), self.sums, strict=True)
                )
            fill = (hours < settings.min_clean_hours) & (clean > hours) & (exposure > 0)
            rate[fill] = growth[fill] / exposure[fill]
            hours[fill] = clean[fill]
        return rate, hours


@dataclass
class _Estimate:
    """What is known of one stream's lift before the interval."""

    flags: list[str]
    series: _Series | None = None
    b: int = -1
    a: int = -1
    start: float = np.nan
    window_end: float = np.nan
    airtime_h: float = np.nan
    rate: float = np.nan
    hours: float = 0.0
    expected: float = np.nan
    final: bool = False
    errors: Floats = field(default_factory=lambda: np.empty(0))


def _hours(moment: datetime) -> float:
    return moment.timestamp() / 3600


def _counts(profiles: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Follower counts by creator: vendor, precision, unit, t (hours), followers; one count an instant."""
    counts = (
        profiles.filter(pl.col("followers").is_not_null(), pl.col("followers_unit").is_not_null())
        .select(
            "creator_id",
            "vendor",
            "followers_precision",
            unit="followers_unit",
            t=pl.col("observed_at").dt.timestamp("us") / _HOUR_US,
            followers="followers",
        )
        .group_by("creator_id", "vendor", "followers_precision", "unit", "t")
        .agg(pl.col("followers").max())
        .sort("creator_id", "vendor", "followers_precision", "unit", "t")
    )
    return {str(key[0]): frame for key, frame in counts.partition_by("creator_id", as_dict=True).items()}


def _estimates(
    streams: pl.DataFrame, counts: dict[str, pl.DataFrame], settings: configuration.Lift, now: float
) -> Iterator[_Estimate]:
    # A loop over creators: each has its own snapshots, rhythm and placebo windows, and they share nothing.
    for (creator,), group in streams.partition_by("creator_id", as_dict=True, maintain_order=True).items():
        start = group["started_at"].dt.timestamp("us").to_numpy() / _HOUR_US
        end = (group["ended_at"].dt.timestamp("us") / _HOUR_US).to_numpy()
        busy = np.where(np.isnan(end), now, end)
        series = (
            [
                _series(frame, start, busy, settings, now)
                for frame in counts.get(str(creator), pl.DataFrame()).partition_by(
                    "vendor", "followers_precision", "unit", maintain_order=True
                )
                if frame.height >= 2
            ]
            if str(creator) in counts
            else []
        )
        airtime = group["airtime_s"].to_numpy() / 3600
        censored = group["flags"].to_list()
        for n in range(group.height):
            following = start[n + 1] if n + 1 < group.height else np.inf
            estimate = _Estimate(
                flags=[flag for flag in censored[n] if flag in ("censored_start", "censored_end")],
                start=start[n],
                airtime_h=float(airtime[n]),
            )
            if n and start[n] - busy[n - 1] < _ADJACENT_H:
                estimate.flags.append("adjacent_prev")
            if not np.isnan(end[n]):
                estimate.window_end = min(end[n] + settings.carry_over_minutes / 60, following)
                if following < end[n] + settings.carry_over_minutes / 60:
                    estimate.flags.append("overlap_next")
                _bracket(estimate, series, float(end[n]))
                if _shares_its_bracket(estimate, np.delete(start, n), np.delete(busy, n)):
                    estimate.flags.append("shared_bracket")
                _estimate(estimate, settings, now)
            yield estimate


def _series(counts: pl.DataFrame, start: Floats, end: Floats, settings: configuration.Lift, now: float) -> _Series:
    t, followers = counts["t"].to_numpy(), counts["followers"].to_numpy().astype(np.float64)
    unit = int(counts["unit"][0])
    hours, growth = np.diff(t), np.diff(followers)
    # Streams widened by the guards and joined where they overlap, so that one search finds who is hit.
    low = start - settings.guard_before_minutes / 60
    high = np.maximum.accumulate(end + settings.guard_minutes / 60)
    hit = np.minimum(np.searchsorted(high, t[:-1], "right"), max(len(low) - 1, 0))
    overlaps = (low[hit] < t[1:]) & (high[hit] > t[:-1]) if len(low) else np.zeros(hours.shape, bool)
    usual = np.median(np.abs(growth[~overlaps])) if (~overlaps).any() else 0.0
    anomaly = (
        (np.abs(growth) > _ANOMALY_SCALES * (max(usual, 1.0) ** 0.75 + 1 + unit))
        & (np.abs(growth) > _ANOMALY_SHARE * followers[:-1])
        & (growth < 0)
    )
    clean = ~overlaps & (hours <= settings.max_segment_hours) & ~anomaly
    profile = _profile(t, growth, clean, now - settings.lookback_days * 24)
    exposure = _exposure(profile, t)
    zero = np.zeros(1)
    sums = tuple(
        np.concatenate([zero, np.cumsum(np.where(clean, amount, 0.0))]) for amount in (growth, np.diff(exposure), hours)
    )
    return _Series(
        vendor=str(counts["vendor"][0]),
        unit=unit,
        t=t,
        followers=followers,
        clean=clean,
        anomaly=anomaly,
        exposure=exposure,
        profile=profile,
        sums=sums,  # type: ignore[arg-type]
        unclean=np.concatenate([[0], np.cumsum(~clean)]),
    )


def _profile(t: Floats, growth: Floats, clean: Flags, since: float) -> Floats | None:
    """The creator's rhythm: growth by hour of the day (UTC) relative to the day's, mean 1; None where unknown."""
    hours = np.diff(t)
    use = clean & (hours <= _PROFILE_SEGMENT_H) & (t[:-1] >= since)
    if use.sum() < _PROFILE_MIN_SEGMENTS:
        return None
    middle = (t[:-1] + hours / 2)[use]
    day = (middle // 24).astype(np.int64)
    day -= day.min()
    cell = day * 24 + (middle % 24).astype(np.int64)
    days = int(day.max()) + 1
    grown = np.bincount(cell, growth[use], days * 24).reshape(days, 24)
    lasted = np.bincount(cell, hours[use], days * 24).reshape(days, 24)
    whole = (lasted.sum(1) >= _PROFILE_DAY_H) & (grown.sum(1) > 0)
    if whole.sum() < _PROFILE_MIN_DAYS or grown[whole].sum() / lasted[whole].sum() * 24 < _PROFILE_MIN_GROWTH_A_DAY:
        return None
    known = (lasted > 0) & whole[:, None]
    daily = np.divide(grown.sum(1), lasted.sum(1), out=np.ones(days), where=lasted.sum(1) > 0)
    relative = np.divide(grown, lasted * daily[:, None], out=np.zeros_like(grown), where=known)
    n = known.sum(0)
    profile = (np.where(known, np.clip(relative, 0, 4), 0).sum(0) + _PROFILE_PRIOR) / (n + _PROFILE_PRIOR)
    profile = np.roll(profile, 1) / 4 + profile / 2 + np.roll(profile, -1) / 4
    return np.asarray(profile / profile.mean())


def _exposure(profile: Floats | None, t: Floats) -> Floats:
    """The integral of the profile from the epoch to `t`, hours; `t` itself where there is no profile."""
    if profile is None:
        return t
    before = np.concatenate([[0.0], np.cumsum(profile)])
    hour = t % 24
    whole = hour.astype(np.int64)
    return np.asarray((t // 24) * 24 + before[whole] + (hour - whole) * profile[whole])


def _bracket(estimate: _Estimate, series: list[_Series], end: float) -> None:
    """The snapshots around the stream: of one series; exact before rounded, then the tightest."""
    best: tuple[bool, int, float] | None = None
    for candidate in series:
        b = int(np.searchsorted(candidate.t, estimate.start, "right")) - 1
        late = b < 0
        b = max(b, 0)
        a = int(np.searchsorted(candidate.t, estimate.window_end, "left"))
        if a >= len(candidate.t) or a <= b or (late and candidate.t[b] >= end):
            continue
        key = (late, candidate.unit, float(candidate.t[a] - candidate.t[b]))
        if best is None or key < best:
            best, estimate.series, estimate.b, estimate.a = key, candidate, b, a
    if best is not None and best[0]:
        estimate.flags.append("late_before")


def _shares_its_bracket(estimate: _Estimate, start: Floats, end: Floats) -> bool:
    """Whether another stream of the creator fills more than a moment of the time between the two counts."""
    if estimate.series is None:
        return False
    before, after = estimate.series.t[estimate.b], estimate.series.t[estimate.a]
    overlap = np.minimum(end, after) - np.maximum(start, before)
    return bool((overlap > _MOMENT_H).any())


def _estimate(estimate: _Estimate, settings: configuration.Lift, now: float) -> None:
    series = estimate.series
    if series is None:
        return
    before, after = series.t[estimate.b], series.t[estimate.a]
    estimate.final = bool(now >= after + settings.final_after_hours)
    rate, hours = series.rate(np.array([before]), np.array([after]), settings, both=estimate.final)
    estimate.rate, estimate.hours = float(rate[0]), float(hours[0])
    estimate.expected = estimate.rate * float(series.exposure[estimate.a] - series.exposure[estimate.b])
    if series.anomaly[estimate.b : estimate.a].any():
        estimate.flags.append("count_anomaly")
    if estimate.hours < settings.min_clean_hours:
        estimate.flags.append("short_baseline")
    estimate.errors = _placebos(series, float(before), float(after), settings, both=estimate.final)
    if estimate.errors.size < settings.few_placebos:
        estimate.flags.append("few_placebo")


def _placebos(series: _Series, before: float, after: float, settings: configuration.Lift, *, both: bool) -> Floats:
    """Studentised errors of the same estimate over windows in which nothing happened."""
    length, reach = after - before, settings.lookback_days * 24
    starts = np.flatnonzero(np.abs(series.t - before) <= reach)
    ends = np.searchsorted(series.t, series.t[starts] + length, "left")
    inside = ends < len(series.t)
    starts, ends = starts[inside], ends[inside]
    quiet = series.unclean[ends] == series.unclean[starts]
    short = series.t[ends] - series.t[starts] <= 1.5 * length + 1
    starts, ends = starts[quiet & short], ends[quiet & short]
    if starts.size > settings.max_placebos:
        thin = np.linspace(0, starts.size - 1, settings.max_placebos).astype(np.int64)
        starts, ends = starts[thin], ends[thin]
    if not starts.size:
        return np.empty(0)
    rate, _ = series.rate(series.t[starts], series.t[ends], settings, both=both)
    expected = rate * (series.exposure[ends] - series.exposure[starts])
    errors = (series.followers[ends] - series.followers[starts] - expected) / _scale(expected, series.unit)
    return np.asarray(errors[np.isfinite(errors)])


def _scale(expected: Floats, unit: int) -> Floats:
    return np.asarray(np.maximum(expected, 0) ** 0.75 + 1 + (unit / 2 if unit > 1 else 0))


def _row(estimate: _Estimate, pool: Floats, settings: configuration.Lift) -> dict[str, object]:
    series = estimate.series
    row: dict[str, object] = dict.fromkeys(
        (
            "followers_before", "before_at", "followers_after", "after_at", "provider_before", "provider_after",
            "before_gap_s", "after_gap_s", "naive_delta", "baseline_rate_per_h", "baseline_hours", "expected_organic",
            "lift", "lift_lo", "lift_hi", "interval_level", "lift_pct", "lift_per_hour", "resolution", "is_significant",
        )
    )  # fmt: skip
    row |= {"profile_used": False, "observable": False, "placebos": 0, "is_final": estimate.final}
    if series is None:
        return row | {"flags": sorted(estimate.flags)}
    before, after = series.followers[estimate.b], series.followers[estimate.a]
    naive, u = after - before, series.unit if series.unit > 1 else 0
    if u and abs(naive) <= 2 * u:
        estimate.flags.append("below_resolution")
    # A difference of rounded counts says nothing up to a quantum each; without a rate there is nothing to take off.
    observable = (
        not (u and abs(naive) <= 2 * u)
        and "shared_bracket" not in estimate.flags
        and bool(np.isfinite(estimate.expected))
    )
    row |= {
        "followers_before": int(before),
        "before_at": _moment(series.t[estimate.b]),
        "followers_after": int(after),
        "after_at": _moment(series.t[estimate.a]),
        "provider_before": series.vendor,
        "provider_after": series.vendor,
        "before_gap_s": (estimate.start - series.t[estimate.b]) * 3600,
        "after_gap_s": (series.t[estimate.a] - estimate.window_end) * 3600,
        "naive_delta": int(naive),
        "baseline_hours": estimate.hours,
        "profile_used": series.profile is not None,
        "resolution": series.unit,
        "observable": bool(observable),
        "placebos": int(estimate.errors.size),
        "flags": sorted(estimate.flags),
    }
    if not np.isfinite(estimate.expected):
        return row
    row |= {
        "baseline_rate_per_h": estimate.rate,
        "expected_organic": estimate.expected,
    }
    if not observable:
        return row
    lift = float(naive - estimate.expected)
    row |= {
        "lift": lift,
        "lift_pct": lift / before * 100 if before else None,
        "lift_per_hour": lift / estimate.airtime_h if estimate.airtime_h > 0 else None,
    }
    return row | _interval(lift, estimate, u, pool, settings)


def _interval(
    lift: float, estimate: _Estimate, u: int, pool: Floats, settings: configuration.Lift
) -> dict[str, object]:
    """Conformal order statistics of the creator's and everybody's placebo errors (methods, 2.4, step 6)."""
    errors = np.sort(np.concatenate([estimate.errors, pool]))
    n = errors.size
    if n < settings.min_placebos:
        return {}
    half = settings.alpha / 2
    low = errors[max(int(np.floor((n + 1) * half)) - 1, 0)]
    high = errors[min(int(np.ceil((n + 1) * (1 - half))) - 1, n - 1)]
    scale, rounding = float(_scale(np.array(estimate.expected), u or 1)), _ROUNDING * u
    lo = lift - max(float(np.hypot(max(high, 0.0) * scale, rounding)), rounding)
    hi = lift + max(float(np.hypot(max(-low, 0.0) * scale, rounding)), rounding)
    return {"lift_lo": lo, "lift_hi": hi, "interval_level": 1 - settings.alpha, "is_significant": lo > 0}


def _moment(hours: float) -> datetime:
    # Hours as floats carry about a tenth of a microsecond: snapshots are dated to the millisecond.
    return _EPOCH + timedelta(milliseconds=round(hours * 3_600_000))


def _platform_follows(streams: pl.DataFrame, live: pl.DataFrame) -> pl.DataFrame:
    """TikTok's own count of new follows: the largest that each room said, summed over the stream's rooms."""
    said = live.filter(pl.col("new_followers").is_not_null(), pl.col("room_id").is_not_null()).select(
        "creator_id", "room_id", "observed_at", "new_followers"
    )
    # Vendors tell of a room for a while after its end, but what comes after the next start is the next stream's.
    slack = timedelta(minutes=30)
    following = pl.when(pl.col("creator_id") == pl.col("creator_id").shift(-1)).then(pl.col("started_at").shift(-1))
    spans = streams.select(
        "stream_id",
        "creator_id",
        "started_at",
        until=pl.min_horizontal(pl.coalesce("ended_at", "ended_at_lo") + slack, following - timedelta(minutes=1)),
    )
    return (
        said.join(spans, on="creator_id")
        .filter(
            pl.col("observed_at") >= pl.col("started_at") - timedelta(minutes=1),
            pl.col("observed_at") <= pl.col("until"),
        )
        .group_by("stream_id", "room_id")
        .agg(pl.col("new_followers").max())
        .group_by("stream_id")
        .agg(platform_new_followers=pl.col("new_followers").sum())
    )
