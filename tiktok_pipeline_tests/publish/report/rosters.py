"""A small published roster with every case that the report describes, and a large one to measure sizes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.publish.duckdb_file import LINK, publish
from tiktok_pipeline.publish.report.page import METRICS
from tiktok_pipeline.tables import (
    COVERAGE,
    CREATOR_HOURS,
    CREATORS,
    LEADERBOARD,
    LIVE_OBSERVATIONS,
    RECAPS,
    STORIES,
    STREAM_LIFT,
    STREAMS,
    VENDOR_USAGE,
    Table,
)

AS_OF = datetime(2026, 11, 6, 20, tzinfo=UTC)
TODAY = AS_OF.date()

# Hostile text that a creator may use as a name or title.
HOSTILE = (
    """</script><script>document.title="broken"</script><img src=x onerror="document.title='broken'">'"&{{ 7*7 }}"""
)


def small(folder: Path) -> Path:
    """Publish six creators (live, hostile, rounded, dark, rarely polled, without responses); return the snapshot's
    path.
    """
    lake = Lake(folder / "lake")
    names = {"ann": "Ann", "eve": HOSTILE, "max": "Max", "zoe": "Zoë", "gap": "Gap", "gone": None}
    niches = {"ann": "art", "eve": "art", "max": "music", "zoe": "music", "gap": "talk", "gone": "talk"}
    creators = [
        {
            "creator_id": each, "handle": each, "display_name": name, "niche": niches[each], "tier": "b",
            "followers": 10_000, "followers_precision": "rounded" if each in ("ann", "max") else "exact",
            "on_roster": True,
        }
        for each, name in names.items()
    ]  # fmt: skip
    streams = [
        stream("ann", AS_OF - timedelta(hours=2), None, status="live", viewers=900),
        stream("ann", AS_OF - timedelta(days=1, hours=3), 2.0, viewers=1_200),
        stream("eve", AS_OF - timedelta(days=1, hours=5), 1.0, viewers=300, title=HOSTILE),
        stream("max", AS_OF - timedelta(days=2), 1.5, viewers=5_000),
        stream("zoe", AS_OF - timedelta(days=4, hours=6), 1.0, viewers=80),
        stream("gap", AS_OF - timedelta(hours=30), 3.0, viewers=40, coverage_ratio=0.42),
    ]
    lifts = [
        lift(streams[0], flags=["no_end"]),
        lift(streams[1], 140.0, 100.0, 190.0),
        lift(streams[2], -20.0, -60.0, 25.0, is_final=False, flags=["few_placebo"]),
        lift(streams[3], resolution=100_000, flags=["below_resolution"]),
        lift(streams[4], -50.0, -80.0, -20.0),
        lift(streams[5], 12.0, 1.0, 30.0),
    ]
    days = [TODAY - timedelta(days=back) for back in range(5)]
    covered = [
        {"day": day, "creator_id": each, "polls": 288, "known_polls": 0 if each == "gone" else 288,
         "largest_gap_s": None if each == "gone" else 7_000.0 if each == "gap" else 350.0,
         "median_gap_s": None if each == "gone" else 300.0, "unknown_share": float(each == "gone")}
        for day in days for each in names
    ]  # fmt: skip
    stories = [
        {"story_id": "s1", "creator_id": "ann", "published_at": AS_OF - timedelta(hours=30), "media_type": "video",
         "views": 5_000, "observations": 9, "last_observed_at": AS_OF, "completeness": 0.97},
        {"story_id": "s2", "creator_id": "eve", "published_at": AS_OF - timedelta(hours=9), "media_type": "image",
         "views": 700, "observations": 3, "last_observed_at": AS_OF, "completeness": 0.35},
    ]  # fmt: skip
    recaps = [
        {"stream_id": streams[1]["stream_id"], "post_id": "p1", "creator_id": "ann", "score": 0.83, "band": "24h",
         "published_at": AS_OF - timedelta(hours=5), "views": 42_000, "method": "rules-1"},
    ]  # fmt: skip
    usage = [
        {"day": day, "vendor": vendor, "endpoint": "/live", "credits": 90.0, "p95_ms": 210.0}
        | {column.name: 0 for column in VENDOR_USAGE.columns if column.dtype == pl.Int64()}
        | {"requests": 100, "ok": 88, "rate_limited": 12}
        for day in days
        for vendor in ("konbini", "social_fetch")
    ]
    write(lake, CREATORS, creators)
    write(lake, STREAMS, streams, "started_at")
    write(lake, STREAM_LIFT, lifts, "started_at")
    write(lake, LEADERBOARD, boards(streams, niches), "as_of")
    write(lake, COVERAGE, covered, "day")
    write(lake, STORIES, stories, "published_at")
    write(lake, RECAPS, recaps, "published_at")
    write(lake, VENDOR_USAGE, usage, "day")
    write(lake, CREATOR_HOURS, hours(streams))
    write(lake, LIVE_OBSERVATIONS, readings(streams), "observed_at")
    return served(folder)


def large(folder: Path, creators: int, days: int) -> Path:
    """Publish `creators` creators who stream every day for `days` days; return the snapshot's path."""
    lake = Lake(folder / "lake")
    names = [f"creator{n:05}" for n in range(creators)]
    people = [
        {"creator_id": each, "handle": each, "display_name": f"{each.title()} is on air", "niche": f"niche {n % 40}",
         "tier": "b", "followers": 1_000 + n, "followers_precision": "exact", "on_roster": True}
        for n, each in enumerate(names)
    ]  # fmt: skip
    streams = [
        stream(each, AS_OF - timedelta(days=back, hours=3 + n % 17), None if n % 3 == back == 0 else 2.0, viewers=n + 5)
        for back in range(days)
        for n, each in enumerate(names)
    ]
    covered = [
        {"day": TODAY - timedelta(days=back), "creator_id": each, "polls": 288, "known_polls": 288,
         "largest_gap_s": 300.0 + n, "median_gap_s": 300.0, "unknown_share": 0.0}
        for back in range(days) for n, each in enumerate(names)
    ]  # fmt: skip
    write(lake, CREATORS, people)
    write(lake, STREAMS, streams, "started_at")
    write(lake, STREAM_LIFT, [lift(each, 50.0, 10.0, 90.0) for each in streams], "started_at")
    write(lake, LEADERBOARD, boards(streams, {each["creator_id"]: each["niche"] for each in people}, days), "as_of")
    write(lake, COVERAGE, covered, "day")
    write(lake, CREATOR_HOURS, hours(streams))
    write(lake, LIVE_OBSERVATIONS, readings(streams), "observed_at")
    return served(folder)


def stream(creator: str, start: datetime, length_h: float | None, *, viewers: int, **more: Any) -> dict[str, Any]:
    """Return a stream of `length_h` hours, or one that is on air."""
    end = None if length_h is None else start + timedelta(hours=length_h)
    seen = ((end or AS_OF) - start).total_seconds()
    return {
        "stream_id": f"{creator}:{start:%m%d%H%M}", "creator_id": creator, "title": "hello", "started_at": start,
        "started_at_hi": start, "ended_at": end, "ended_at_lo": end or AS_OF, "status": "ended" if end else "live",
        "rooms": 1, "reconnects": 0, "airtime_s": seen, "observed_s": seen * more.get("coverage_ratio", 1.0),
        "coverage_ratio": 1.0, "observations": 12, "peak_viewers": viewers, "average_viewers": viewers * 0.8,
        "hours_watched": viewers * 0.8 * seen / 3600, "vendors": ["social_fetch"], "flags": [],
    } | more  # fmt: skip


def lift(
    of: dict[str, Any], value: float | None = None, low: float | None = None, high: float | None = None, **more: Any
) -> dict[str, Any]:
    """Return the lift of a stream; without a value it is not observable."""
    return {
        "stream_id": of["stream_id"], "creator_id": of["creator_id"], "started_at": of["started_at"],
        "carry_over_min": 60, "profile_used": False, "followers_before": 10_000, "lift": value, "lift_lo": low,
        "lift_hi": high, "observable": value is not None, "placebos": 50, "is_final": True, "flags": [],
        "method": "placebo-1",
    } | more  # fmt: skip


def boards(streams: list[dict[str, Any]], niches: dict[str, str], days: int = 5) -> list[dict[str, Any]]:
    """Return boards of the last `days` days, every metric by viewer-hours; only days have a previous day to compare
    with.
    """
    rows = []
    for back in range(days):
        as_of = TODAY - timedelta(days=back)
        for period, length in (("day", 1), ("week", 7), ("month", 30)):
            totals: dict[str, dict[str, float]] = {}
            for each in streams:
                if as_of - timedelta(days=length) < each["started_at"].date() <= as_of:
                    creator = each["creator_id"]
                    for niche in ("*", niches[creator]):
                        sums = totals.setdefault(niche, {})
                        sums[creator] = sums.get(creator, 0.0) + each["hours_watched"]
            for niche, sums in totals.items():
                ranked = sorted(sums.items(), key=lambda item: (-item[1], item[0]))
                rows += [
                    {"as_of": as_of, "period": period, "niche": niche, "metric": metric, "creator_id": creator,
                     "value": value, "value_lo": value * 0.9 if metric == "lift" else None,
                     "value_hi": value * 1.1 if metric == "lift" else None, "share": value / sum(sums.values()),
                     "rank": rank, "previous_rank": rank + 1 if period == "day" else None,
                     "rank_change": 1 if period == "day" else None, "is_new": period != "day"}
                    for metric in METRICS for rank, (creator, value) in enumerate(ranked, 1)
                ]  # fmt: skip
    return rows


def hours(streams: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each stream in its first hour, one row per creator and hour."""
    cells = {(s["creator_id"], s["started_at"].isoweekday(), s["started_at"].hour): s for s in streams}
    return [
        {"creator_id": creator, "weekday": weekday, "hour": hour, "streams": 1, "airtime_s": 3_600.0,
         "hours_watched": each["hours_watched"]}
        for (creator, weekday, hour), each in cells.items()
    ]  # fmt: skip


def readings(streams: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a reading every ten minutes of a stream; the creator `gap` has no readings in the middle."""
    rows = []
    for each in streams:
        for n in range(int(each["airtime_s"] // 600) + 1):
            if each["creator_id"] == "gap" and 4 <= n <= 12:
                continue
            rows.append(
                {"creator_id": each["creator_id"], "vendor": "social_fetch", "capture_id": f"{each['stream_id']}-{n}",
                 "observed_at": each["started_at"] + timedelta(minutes=10 * n), "live_state": "live",
                 "evidence": "strong", "viewers": each["peak_viewers"] - n}
            )  # fmt: skip
    rows.append(
        {"creator_id": "nobody", "vendor": "konbini", "capture_id": "last", "observed_at": AS_OF,
         "live_state": "ended", "evidence": "weak"}
    )  # fmt: skip
    return rows


def write(lake: Lake, table: Table, rows: list[dict[str, Any]], day_of: str | None = None) -> None:
    """Write rows into the table, by the day of a column; omitted columns are null, or empty for lists."""
    empty = {c.name: [] if isinstance(c.dtype, pl.List) else None for c in table.columns}
    frame = pl.DataFrame([empty | row for row in rows], schema=table.schema)
    if day_of is None:
        lake.write_whole(table, frame)
        return
    for (day,), part in frame.group_by(pl.col(day_of).cast(pl.Date)):
        assert isinstance(day, date)
        lake.write_day(table, day, part)


def served(folder: Path) -> Path:
    """Publish the lake."""
    with duckdb.connect(":memory:") as connection:
        publish(connection, Lake(folder / "lake"), folder / "warehouse", now=AS_OF, keep=3)
    return folder / "warehouse" / LINK
