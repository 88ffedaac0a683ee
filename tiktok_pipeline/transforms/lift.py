"""The `stream_lift` mart: followers gained around a stream over what the creator would have gained anyway.

    lift = (followers after - followers before) - organic rate * exposure between the two counts

Method and constants follow docs/methods.md 2. `follower_series` reads the counts, `placebos` computes the
interval, `viral_posts` flags posts that went viral in the window. The lift is the gain of a window, not a proven cause.

The estimate of a stream depends only on counts up to some hours after its window. So it does not change with every
new count, and is stored under a digest of everything that it depends on.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol

import msgspec
import numpy as np
import polars as pl

from tiktok_pipeline.config.settings import Lift
from tiktok_pipeline.lake.remembered import digest, modules_version
from tiktok_pipeline.tables import STREAM_LIFT
from tiktok_pipeline.transforms import (
    follower_counts,
    follower_days,
    follower_series,
    other_streams,
    placebos,
    rhythm,
)
from tiktok_pipeline.transforms.creator_ranges import creator_ranges
from tiktok_pipeline.transforms.follower_counts import cache_hours
from tiktok_pipeline.transforms.follower_days import Counts, FollowerHistory, WholeBlock
from tiktok_pipeline.transforms.follower_series import HOUR_US, Series, read_series
from tiktok_pipeline.transforms.other_streams import OtherStreams
from tiktok_pipeline.transforms.placebos import NO_PLACEBOS, Placebos, draw_placebos, half_widths, pooled
from tiktok_pipeline.transforms.rhythm import DEFAULT_PRIOR, HOURS, Floats, Prior, learned_prior
from tiktok_pipeline.transforms.viral_posts import viral_flags

METHOD = "organic-local24-placebo/3"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HOUR = timedelta(hours=1)

# Streams closer than this are one event to their audience (docs/methods.md 2.3).
_GROUP_H = 1.0
# A lost stream may have gone on for this long after it was last seen.
_LOST_H = 12.0
# A delta of rounded counts up to this many quanta may be mostly rounding.
_UNREADABLE_QUANTA = 2

# If another stream fills more than this between the two counts, the followers cannot be attributed.
_SHARED_H = 0.5

# Creators whose errors make up the pool of a day: enough for its tails. Those with a stream on the day come first.
_POOL_CREATORS = 100

# Half of a 90 % interval of a normal error, in deviations.
_Z = 1.645

# Above this the hours of a window were hardly ever observed off air.
_HARDLY_SEEN = 0.5
# Half-width of the carry-over from earlier streams, as a share of it: the rate of decay is uncertain.
_CARRIED_DOUBT = 0.7

# Creators whose rhythms determine the prior: enough for its shape, few enough to read twice.
_PRIOR_CREATORS = 120
# From this many days of counts on, estimates use counts near their windows, and the prior of a day those before it.
_SETTLED_DAYS = 7

# A provisional estimate uses counts up to this long after its window: longer than the caches of vendors.
_PROVISIONAL_H = 4.0

# TikTok's count may be read this long before a stream's start: clocks differ.
_SLACK = timedelta(minutes=2)


class Results(Protocol):
    """Results under digests of what they depend on: see `remembered.Remembered`."""

    def get(self, key: str) -> pl.DataFrame | None:
        """Return the result under `key`; None if there is none."""
        ...

    def put(self, key: str, frame: pl.DataFrame) -> None:
        """Keep a result under `key`."""
        ...


@dataclass(frozen=True)
class RememberedEstimates:
    """Results kept between calls: the estimates of each day, and the learned prior and caches."""

    estimates: Results
    learned: Results


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
    """Return the lift of every stream, from follower counts up to `as_of`.

    Args:
        streams: STREAMS schema: all streams of the window, because each disturbs the baseline of the others.
        profiles: PROFILE_OBSERVATIONS schema, any order, repeated rows allowed: the follower counts.
        live: LIVE_OBSERVATIONS schema: TikTok's own count of new follows in a room.
        posts: POST_OBSERVATIONS schema, any order, repeated rows allowed: posts that went viral explain followers.
        settings: the constants of the method.
        as_of: the newest instant of the data; later counts are ignored.
        day: return only the streams that started on it; some of the others still add errors to the pool. None
            estimates all streams together, from the same counts.

    Returns:
        STREAM_LIFT schema, sorted by creator_id and started_at. A lift that cannot be estimated is null, and
        `observable` is false; a lift is never without its interval.
    """
    history = FollowerHistory([WholeBlock.of(profiles.lazy())])
    return lifts(streams, history, live.lazy(), posts.lazy(), settings=settings, as_of=as_of, day=day)


def lifts(
    streams: pl.DataFrame,
    counts: FollowerHistory,
    live: pl.LazyFrame,
    posts: pl.LazyFrame,
    *,
    settings: Lift,
    as_of: datetime,
    day: date | None = None,
    memory: RememberedEstimates | None = None,
) -> pl.DataFrame:
    """Return the same as `stream_lift` from a history of follower counts; `memory` keeps estimates between calls.

    The rows do not depend on `memory`.
    """
    ordered = streams.sort("creator_id", "started_at", "stream_id").with_columns(
        wanted=pl.lit(value=True) if day is None else pl.col("started_at").dt.date() == day
    )
    if not ordered["wanted"].any():
        return STREAM_LIFT.empty()
    known = _known_streams(ordered, as_of)
    begin = _settled_since(counts, day)
    tasks = _tasks(known, counts, settings, as_of, day, settled=begin is not None)
    learned = _learned(known, counts, settings, as_of if begin is None else min(begin, as_of), memory)
    estimates = _estimated(tasks, counts, learned, settings, f"{day}", memory)
    # Errors of rounded counts are another population than those of exact ones.
    exact, rounded = (
        pooled((e.placebos for task in tasks for e in estimates[task.creator] if e.rounded is kind), settings)
        for kind in (False, True)
    )
    rows = [
        _row(e, rounded if e.rounded else exact, settings)
        for task in tasks
        for e, wanted in zip(estimates[task.creator], task.wanted, strict=True)
        if wanted
    ]
    estimated = pl.DataFrame(rows, schema={name: STREAM_LIFT.schema[name] for name in rows[0]})
    columns = ordered.filter("wanted").select(
        "stream_id",
        "creator_id",
        "started_at",
        "ended_at",
        "started_at_lo",
        "started_at_hi",
        "ended_at_lo",
        "ended_at_hi",
    )
    found = pl.concat([columns, estimated], how="horizontal")
    bracketed = found.select("stream_id", "creator_id", "started_at", "before_at", "after_at").drop_nulls()
    return STREAM_LIFT.conform(
        found.join(_platform_follows(ordered, live, as_of), on="stream_id", how="left", maintain_order="left")
        .join(viral_flags(bracketed, posts, as_of), on="stream_id", how="left", maintain_order="left")
        .with_columns(
            flags=pl.concat_list("flags", pl.concat_list("viral").list.drop_nulls()).list.sort(),
            carry_over_min=pl.lit(settings.carry_over_minutes),
            method=pl.lit(METHOD),
        )
    )


def _settled_since(counts: FollowerHistory, day: date | None) -> datetime | None:
    """Return the start of `day`, if counts start some days before it; None in the first days, and without `day`.

    From then on, estimates ignore counts long after their windows, so that they become final. In the first days every
    count is needed.
    """
    first = counts.first_at()
    if day is None or first is None:
        return None
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return begin if _EPOCH + timedelta(microseconds=first) <= begin - timedelta(days=_SETTLED_DAYS) else None


@dataclass(frozen=True, eq=False)
class _Streams:
    """The streams of one creator in order, in hours since the epoch; NaN without an end.

    aired: until when it was on air; busy: until when it may have been. wanted: whether its lift is requested.
    """

    start: Floats
    end: Floats
    busy: Floats
    aired: Floats
    airtime_h: Floats
    wanted: list[bool]
    flags: list[list[str]]


def _known_streams(ordered: pl.DataFrame, as_of: datetime) -> dict[str, _Streams]:
    """Return the streams by creator, in the order of their ids."""
    now = as_of.timestamp() / 3600
    timed = ordered.select(
        "creator_id",
        "flags",
        "wanted",
        start=_hours("started_at"),
        end=_hours("ended_at"),
        seen=_hours("ended_at_lo"),
        live=pl.col("status") == "live",
        airtime_h=pl.col("airtime_s") / 3600,
    ).with_columns(
        aired=pl.coalesce("end", pl.when("live").then(now), "seen"),
        # Without an end, a stream that is on air goes on, and a lost stream may have gone on.
        busy=pl.coalesce("end", pl.when("live").then(now), pl.min_horizontal(pl.col("seen") + _LOST_H, now)),
    )
    start, end, busy, aired, airtime_h = (
        timed[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
        for name in ("start", "end", "busy", "aired", "airtime_h")
    )
    wanted, flags = timed["wanted"].to_list(), timed["flags"].to_list()
    spans = (
        timed.with_row_index("n")
        .group_by("creator_id", maintain_order=True)
        .agg(pl.col("n").first(), until=pl.col("n").last() + 1)
    )
    found = {}
    for name, first, until in spans.iter_rows():
        rows = slice(first, until)
        found[name] = _Streams(
            start[rows], end[rows], busy[rows], aired[rows], airtime_h[rows], wanted[rows], flags[rows]
        )
    return found


@dataclass(frozen=True, eq=False)
class _Task:
    """The streams of one creator that are estimated together, from the same counts.

    until: the last instant (microseconds) of counts that they use. Of each stream to estimate: its place among the
    creator's, whether its own lift is wanted, the end of its window (NaN without one), whether it is final, and
    flags that follow from the streams alone.
    """

    creator: str
    streams: _Streams
    until: int
    places: list[int]
    wanted: list[bool]
    window_end: list[float]
    final: list[bool]
    flags: list[set[str]]

    def described(self) -> bytes:
        """Return everything that the estimates depend on, except counts and results learned from other creators."""
        known = self.streams
        return b"".join(
            [
                *(each.tobytes() for each in (known.start, known.busy, known.aired, known.end)),
                msgspec.json.encode(
                    [self.until, self.places, [f"{end!r}" for end in self.window_end], self.final]
                    + [sorted(each) for each in self.flags]
                    + [known.airtime_h[n].item() for n in self.places]
                ),
            ]
        )


def _tasks(
    known: dict[str, _Streams],
    counts: FollowerHistory,
    settings: Lift,
    as_of: datetime,
    day: date | None,
    *,
    settled: bool,
) -> list[_Task]:
    """List what to estimate: the wanted streams, and one stream each of other creators while the pool is small."""
    requested = {name: [n for n, wanted in enumerate(each.wanted) if wanted] for name, each in known.items()}
    added = {}
    few = _POOL_CREATORS - sum(bool(places) for places in requested.values())
    if day is not None and few > 0:
        begin = (datetime(day.year, day.month, day.day, tzinfo=UTC) - _EPOCH) / _HOUR
        # The last stream of each that ended before the day.
        over = {
            name: int(np.flatnonzero(each.end <= begin)[-1])
            for name, each in known.items()
            if not requested[name] and (each.end <= begin).any()
        }
        names = list(over)
        chosen = names[:: max(-(-len(names) // few), 1)]
        added = {name: [over[name]] for name in chosen}
    return [
        _task(name, each, added.get(name) or requested[name], counts, settings, as_of, settled=settled)
        for name, each in known.items()
        if requested[name] or name in added
    ]


def _task(
    name: str,
    known: _Streams,
    places: list[int],
    counts: FollowerHistory,
    settings: Lift,
    as_of: datetime,
    *,
    settled: bool,
) -> _Task:
    now, carry_over = as_of.timestamp() / 3600, settings.carry_over_minutes / 60
    window_end, final, flags = [], [], []
    until = 0.0
    for n in places:
        found = {flag for flag in known.flags[n] if flag in ("censored_start", "censored_end")}
        gap = known.start[n] - known.busy[:n].max() if n else np.inf
        to_next = known.start[n + 1] - known.busy[n] if n + 1 < known.start.size else np.inf
        if gap < settings.guard_minutes / 60:
            found.add("adjacent_prev")
        if min(gap, to_next) < _GROUP_H:
            found.add("stream_group")
        end = known.end[n]
        if np.isnan(end):
            found.add("no_end")
            window_end.append(math.nan)
            final.append(False)
        else:
            if to_next < carry_over:
                found.add("overlap_next")
            window = float(end + max(min(carry_over, to_next), 0.0))
            window_end.append(window)
            final.append(now >= window + settings.final_after_hours)
            reach = _reach(name, window, counts, settings, final=final[-1]) if settled else math.inf
            until = max(until, window + reach)
        flags.append(found)
    until_us = round(min(until, now) * HOUR_US)
    # Later streams touch no segment between these counts.
    some = known.start * HOUR_US <= until_us + settings.guard_before_minutes * HOUR_US / 60
    some[: max(places) + 1] = True
    latest = max(until_us / HOUR_US, float(known.start[max(places)]))
    used = _Streams(
        known.start[some],
        known.end[some],
        np.minimum(known.busy[some], np.maximum(latest, known.start[some])),
        np.minimum(known.aired[some], np.maximum(latest, known.start[some])),
        known.airtime_h[some],
        known.wanted,
        known.flags,
    )
    return _Task(name, used, until_us, places, [known.wanted[n] for n in places], window_end, final, flags)


def _reach(name: str, window_end: float, counts: FollowerHistory, settings: Lift, *, final: bool) -> float:
    """Return how long after the end of its window a stream uses counts, hours.

    Provisional estimates need the count after the window and the counts that show that it is not a cached response.
    They change once more when they become final.
    """
    if final:
        return settings.final_after_hours
    first = round(window_end * HOUR_US)
    near = counts.counted_within(name, first, first + round(_PROVISIONAL_H * HOUR_US))
    return _PROVISIONAL_H if near else max(settings.max_segment_hours, _PROVISIONAL_H)


@dataclass
class _Estimate:
    """One stream, the counts around it, and its estimate without the interval; times in hours since the epoch.

    unit: the counts are rounded to it, 0 without counts; before_at and after_at: microseconds.
    """

    start: float
    window_end: float
    airtime_h: float
    flags: set[str]
    final: bool = False
    vendor: str = ""
    unit: int = 0
    before: int = 0
    after: int = 0
    before_at: int = 0
    after_at: int = 0
    profile_used: bool = False
    rate: float = math.nan
    baseline_h: float = 0.0
    expected: float = math.nan
    rhythm_variance: float = 0.0
    unseen: float = 0.0
    weakest: float = math.nan
    carried_over: float = 0.0
    placebos: Placebos = field(default=NO_PLACEBOS)

    @property
    def rounded(self) -> bool:
        """Whether the counts are rounded."""
        return self.unit > 1


_PLAIN = tuple(each.name for each in fields(_Estimate) if each.name not in ("flags", "placebos"))
_KEPT_AS: dict[str, Any] = {
    "key": pl.String,
    "creator_id": pl.String,
    **{
        each.name: {"float": pl.Float64, "int": pl.Int64, "bool": pl.Boolean, "str": pl.String}[str(each.type)]
        for each in fields(_Estimate)
        if each.name in _PLAIN
    },
    "flags": pl.List(pl.String),
    "errors": pl.List(pl.Float64),
    "independent": pl.Int64,
    "placebo_variance": pl.Float64,
}


def _estimated(
    tasks: list[_Task],
    counts: FollowerHistory,
    learned: _Learned,
    settings: Lift,
    name: str,
    memory: RememberedEstimates | None,
) -> dict[str, list[_Estimate]]:
    """Return the estimates of each task by creator: stored ones if counts, streams and learned values are the same."""
    if memory is None:
        return dict(_computed(tasks, counts, learned, settings))
    about = digest(_version(settings), learned.key)
    keys = {task.creator: digest(about, task.described(), counts.digest(task.creator, task.until)) for task in tasks}
    kept = memory.estimates.get(name)
    found = {} if kept is None or kept.schema != pl.Schema(_KEPT_AS) else _remembered(kept, set(keys.values()))
    missing = [task for task in tasks if keys[task.creator] not in found]
    computed = dict(_computed(missing, counts, learned, settings))
    estimates = {task.creator: computed.get(task.creator) or found[keys[task.creator]] for task in tasks}
    if missing or len(found) < (0 if kept is None else kept["key"].n_unique()):
        memory.estimates.put(name, _to_remember(estimates, keys))
    return estimates


def _version(settings: Lift) -> str:
    """Return a digest of the method: its code and its settings."""
    code = modules_version(
        sys.modules[__name__], follower_counts, follower_days, follower_series, other_streams, placebos, rhythm
    )
    return digest(METHOD, code, msgspec.json.encode(settings))


def _to_remember(estimates: Mapping[str, list[_Estimate]], keys: Mapping[str, str]) -> pl.DataFrame:
    rows = [
        (
            keys[name],
            name,
            *(getattr(e, column) for column in _PLAIN),
            sorted(e.flags),
            e.placebos.errors.tolist(),
            e.placebos.independent,
            e.placebos.rhythm_variance,
        )
        for name, found in estimates.items()
        for e in found
    ]
    return pl.DataFrame(rows, schema=_KEPT_AS, orient="row")


def _remembered(kept: pl.DataFrame, wanted: set[str]) -> dict[str, list[_Estimate]]:
    found: dict[str, list[_Estimate]] = {}
    kept = kept.filter(pl.col("key").is_in(list(wanted)))
    errors = [each.to_numpy() for each in kept["errors"]]
    for row, error in zip(kept.drop("errors").iter_rows(named=True), errors, strict=True):
        placebos = Placebos(error, row["independent"], row["placebo_variance"])
        plain = {column: row[column] for column in _PLAIN}
        found.setdefault(row["key"], []).append(_Estimate(**plain, flags=set(row["flags"]), placebos=placebos))
    return found


def _computed(
    tasks: list[_Task], counts: FollowerHistory, learned: _Learned, settings: Lift
) -> Iterator[tuple[str, list[_Estimate]]]:
    """Yield the estimates of each task; counts are in memory for one range of creators at a time."""
    by_creator = {task.creator: task for task in tasks}
    for part in creator_ranges(by_creator):
        within = [task for name, task in by_creator.items() if part.first <= name <= part.last]
        read = counts.read({task.creator: task.until for task in within if not _without_end(task)})
        for task in within:
            yield task.creator, _estimates(task, read.get(task.creator, []), learned, settings)


def _without_end(task: _Task) -> bool:
    return all(math.isnan(end) for end in task.window_end)


def _estimates(task: _Task, found: list[Counts], learned: _Learned, settings: Lift) -> list[_Estimate]:
    """Return the estimates of one creator's streams."""
    known = task.streams
    series = [
        read_series(each, known.start, known.busy, learned.prior, learned.caches.get(each.vendor, 0.0), settings)
        for each in found
    ]
    others: dict[tuple[int, bool], OtherStreams] = {}
    estimates = []
    for n, window_end, final, flags in zip(task.places, task.window_end, task.final, task.flags, strict=True):
        estimate = _Estimate(
            start=float(known.start[n]),
            window_end=window_end,
            airtime_h=float(known.airtime_h[n]),
            flags=set(flags),
            final=final,
        )
        estimates.append(estimate)
        if math.isnan(window_end):
            continue
        chosen = _estimate(estimate, series, float(known.end[n]), settings)
        if estimate.unseen > _HARDLY_SEEN:
            estimate.flags.add("hour_never_seen")
        if chosen is None:
            continue
        key = (id(chosen), final)
        if key not in others:
            others[key] = OtherStreams(chosen, known.start, known.aired, settings, both=final)
        before, after = estimate.before_at / HOUR_US, estimate.after_at / HOUR_US
        estimate.weakest = others[key].weakest(estimate.start)
        estimate.carried_over = others[key].carried_over(n, before, after)
        if _shares_its_bracket(before, after, np.delete(known.start, n), np.delete(known.aired, n)):
            estimate.flags.add("shared_bracket")
    return estimates


@dataclass(frozen=True, eq=False)
class _Learned:
    """Values learned from the counts of many creators: the prior of rhythms, and the cache of each vendor (hours).

    key: a digest of what it was learned from.
    """

    prior: Prior
    caches: dict[str, float]
    key: str


def _learned(
    known: dict[str, _Streams],
    counts: FollowerHistory,
    settings: Lift,
    until: datetime,
    memory: RememberedEstimates | None,
) -> _Learned:
    """Learn from the counts up to `until` of some creators with streams."""
    until_us = (until - _EPOCH) // timedelta(microseconds=1)
    until_h = until_us / HOUR_US
    able = [
        name
        for name in counts.creators(until_us)
        if (streams := known.get(name)) is not None and streams.start[0] <= until_h
    ]
    prior_names = able[:: max(-(-len(able) // _PRIOR_CREATORS), 1)]
    spans = {}
    for name in prior_names:
        begun = known[name].start <= until_h
        spans[name] = known[name].start[begun], np.minimum(known[name].busy[begun], until_h)
    digests = [
        b"".join([name.encode(), counts.digest(name, until_us), *(each.tobytes() for each in spans[name])])
        for name in prior_names
    ]
    key = digest(_version(settings), *digests)
    if memory is not None and (kept := memory.learned.get(key)) is not None:
        return _learned_of(kept, key)
    read = counts.read(dict.fromkeys(prior_names, until_us))
    exact: dict[str, list[tuple[Floats, Floats]]] = {}
    for each in (each for name in prior_names for each in read[name] if each.unit == 1):
        exact.setdefault(each.vendor, []).append((each.at / HOUR_US, each.followers))
    caches = {vendor: cache_hours(found) for vendor, found in exact.items()}
    evidence = []
    for name in prior_names:
        if read[name]:
            largest = max(read[name], key=lambda each: each.at.size)
            series = read_series(largest, *spans[name], DEFAULT_PRIOR, caches.get(largest.vendor, 0.0), settings)
            evidence += [series.evidence] if series.evidence else []
    learned = _Learned(learned_prior(evidence), caches, key)
    if memory is not None:
        memory.learned.put(key, _learned_frame(learned))
    return learned


def _learned_frame(learned: _Learned) -> pl.DataFrame:
    named = {"mean": learned.prior.mean, "covariance": learned.prior.covariance.ravel()}
    named |= {f"cache {vendor}": np.array([hours]) for vendor, hours in learned.caches.items()}
    return pl.DataFrame({"name": list(named), "values": [each.tolist() for each in named.values()]})


def _learned_of(kept: pl.DataFrame, key: str) -> _Learned:
    named = {name: np.array(values) for name, values in kept.iter_rows()}
    prior = Prior(named.pop("mean"), named.pop("covariance").reshape(HOURS, HOURS))
    return _Learned(prior, {name.removeprefix("cache "): float(each[0]) for name, each in named.items()}, key)


def _hours(column: str) -> pl.Expr:
    return pl.col(column).dt.epoch("us") / HOUR_US


def _estimate(estimate: _Estimate, series: Iterable[Series], end: float, settings: Lift) -> Series | None:
    """Fill `estimate` from the best of `series`, and return it: counts on time first, then the finest, the closest."""
    brackets = [found for each in series if (found := _bracket(each, estimate, end, settings.max_segment_hours))]
    if not brackets:
        reach = settings.max_segment_hours
        if not any(((each.t <= end) & (each.t >= estimate.start - reach)).any() for each in series):
            estimate.flags.add("no_before")
        if not any(
            ((each.t >= estimate.window_end) & (each.t <= estimate.window_end + reach)).any() for each in series
        ):
            estimate.flags.add("no_after")
        return None
    tried = []
    final = estimate.final
    for late, chosen, b, a in brackets:
        before, after = float(chosen.t[b]), float(chosen.t[a])
        rate, hours, width = chosen.rate(np.array([before]), np.array([after]), settings, both=final)
        no_baseline = not hours[0] > 0
        order = (late, chosen.unit, no_baseline, after - before, chosen.vendor)
        tried.append((order, chosen, b, a, float(rate[0]), float(hours[0]), float(width[0])))
    order, chosen, b, a, rate_per_h, baseline_h, width_h = min(tried, key=lambda each: each[0])
    estimate.vendor, estimate.unit = chosen.vendor, chosen.unit
    estimate.before, estimate.after = int(chosen.followers[b]), int(chosen.followers[a])
    estimate.before_at, estimate.after_at = int(chosen.at[b]), int(chosen.at[a])
    estimate.profile_used = chosen.evidence is not None
    estimate.rate, estimate.baseline_h = rate_per_h, baseline_h
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
    return chosen


def _shares_its_bracket(before: float, after: float, start: Floats, end: Floats) -> bool:
    """Return whether another stream fills more than `_SHARED_H` of the time between the two counts."""
    return bool((np.minimum(end, after) - np.maximum(start, before) > _SHARED_H).any())


def _bracket(series: Series, estimate: _Estimate, end: float, reach: float) -> tuple[bool, Series, int, int] | None:
    """Return (late, series, before, after): the last count up to the start, the first past the window, within reach.

    Without a count before the start, use the first one on air: `late`, and the lift is then a lower bound.
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
    """Return the columns of one stream that depend on its counts."""
    row = _EMPTY | {"profile_used": False, "observable": False, "placebos": 0, "is_final": estimate.final}
    if estimate.unit:
        before, after = estimate.before, estimate.after
        row |= {
            "followers_before": before,
            "before_at": _moment(estimate.before_at),
            "followers_after": after,
            "after_at": _moment(estimate.after_at),
            "provider_before": estimate.vendor,
            "provider_after": estimate.vendor,
            "before_gap_s": (estimate.start - estimate.before_at / HOUR_US) * 3600,
            "after_gap_s": (estimate.after_at / HOUR_US - estimate.window_end) * 3600,
            "naive_delta": after - before,
            "baseline_hours": estimate.baseline_h,
            "profile_used": estimate.profile_used,
            "resolution": estimate.unit,
            "placebos": estimate.placebos.errors.size,
        }
        if np.isfinite(estimate.expected):
            row |= {"baseline_rate_per_h": estimate.rate, "expected_organic": estimate.expected}
            row |= _lift(estimate, estimate.unit, before, after - before, pool, settings)
    return row | {"flags": sorted(estimate.flags)}


def _lift(estimate: _Estimate, unit: int, before: int, naive: int, pool: Floats, settings: Lift) -> dict[str, Any]:
    """Return the lift and its interval, or nothing if they would have no meaning."""
    lift = naive - estimate.expected - estimate.carried_over
    unseen = max(estimate.rhythm_variance - estimate.placebos.rhythm_variance, 0.0)
    more, doubt = _Z * abs(estimate.expected) * unseen**0.5, 0.0
    shared = _Z * abs(estimate.expected) * estimate.rhythm_variance**0.5
    if estimate.weakest > 1:
        # The weakest streams at this hour grow too, so the growth may be the hour's own: take off half of it.
        share = min(max(estimate.unseen - 0.2, 0.0) / 0.3, 1.0)
        doubt = estimate.expected * (estimate.weakest - 1) * share / 2
        lift -= doubt
        shared = max(shared, doubt)
    more = math.hypot(more, _CARRIED_DOUBT * estimate.carried_over)
    widths = half_widths(estimate.placebos, pool, estimate.expected, unit, more, settings)
    if widths is None:
        return {}
    low, high = lift - widths[0] - doubt, lift + widths[1] + doubt
    # Between rounded counts a small delta is rounding, whatever was expected: the lift is not observable.
    if unit > 1 and abs(naive) <= _UNREADABLE_QUANTA * unit:
        estimate.flags.add("below_resolution")
        return {}
    if "shared_bracket" in estimate.flags:
        return {}
    return {
        "observable": True,
        # All growth that is expected without the stream: also carry-over from other streams, and the hour's own growth.
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


def _moment(at: int) -> datetime:
    return _EPOCH + timedelta(microseconds=at)


def _platform_follows(streams: pl.DataFrame, live: pl.LazyFrame, as_of: datetime) -> pl.DataFrame:
    """Return TikTok's own count of new follows: the highest count of each room, summed over the stream's rooms.

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
