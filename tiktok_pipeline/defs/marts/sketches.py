"""Pictures in text, for places that show only Markdown: Dagster's metadata of a day, which is kept for every run.

A drawn picture takes 20 to 40 kB, a sketch 1 or 2. It has no names: Dagster's log stays after a creator is forgotten.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta

import polars as pl

from tiktok_pipeline.publish import formats

# Rows of a sketch: a line below gives the number of the others.
MOST_ROWS = 16

# Columns of the lift's axis; columns of a day, half an hour each.
_AXIS, _SLOTS = 31, 48

_SLOT = timedelta(days=1) / _SLOTS
_SHADES = " ░▒▓█"
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def lifts(stream_lift: pl.DataFrame) -> str | None:
    """Sketch the surest lifts in rows of `stream_lift`, in percent of followers, with intervals; None without a lift.

    The axis is linear around zero and logarithmic beyond a tenth of a percent, as in the report.
    """
    share = {name: 100 * pl.col(name) / pl.col("followers_before") for name in ("lift", "lift_lo", "lift_hi")}
    known = (
        stream_lift.filter(pl.col("observable"), pl.col("followers_before") > 0)
        .select("started_at", "is_final", **share)
        .drop_nulls()
        .sort("lift_lo", "started_at", descending=[True, False])
    )
    if known.is_empty():
        return None
    rows = known.head(MOST_ROWS).to_dicts()
    ends = [_compressed(row[name]) for row in rows for name in ("lift_lo", "lift_hi")]
    low, high = min(0.0, *ends), max(0.0, *ends)
    step = (high - low) / (_AXIS - 1) or 1.0

    def column(percent: float) -> int:
        return round((_compressed(percent) - low) / step)

    lines = []
    for row in rows:
        axis = [" "] * _AXIS
        axis[column(0)] = "│"
        for at in range(column(row["lift_lo"]), column(row["lift_hi"]) + 1):
            axis[at] = "─"
        axis[column(row["lift"])] = "●"
        percent_text = f"{round(row['lift'], 2) or 0:+.2f} %".replace("-", "−")
        final = " " if row["is_final"] else "*"
        lines.append(f"{row['started_at']:%H:%M} {percent_text:>9}{final} {''.join(axis)}")
    legend = "● lift, ─ its 90 % interval, │ zero; share of followers, far from zero compressed. * not final yet"
    return _block(lines, [legend, *_left_out(known.height)])


def on_air(streams: pl.DataFrame) -> str | None:
    """Sketch the streams that began on a day over its hours (UTC), and how many were on air; None without a stream.

    Rows of `streams`: started_at, ended_at (null while live), airtime_s, peak_viewers.
    """
    if streams.is_empty():
        return None
    rows = streams.sort("started_at", "stream_id").to_dicts()
    midnight = rows[0]["started_at"].replace(hour=0, minute=0, second=0, microsecond=0)
    spans = []
    for row in rows:
        end = row["ended_at"] or row["started_at"] + timedelta(seconds=row["airtime_s"])
        first = (row["started_at"] - midnight) // _SLOT
        # The half hour of the end counts fully, unless the stream ended exactly as it began.
        last = max(first, math.ceil((end - midnight) / _SLOT) - 1)
        spans.append((first, min(last, _SLOTS - 1), last >= _SLOTS))
    lines = [f"{'':11} {''.join(f'{hour:<6}' for hour in range(0, 24, 3))}"]
    for row, (first, last, over) in list(zip(rows, spans, strict=True))[:MOST_ROWS]:
        bar = "".join("█" if first <= slot <= last else "·" for slot in range(_SLOTS))
        after = "▶" if over else "●" if row["status"] == "live" else ""
        lines.append(f"{row['started_at']:%H:%M} {formats.count(row['peak_viewers']):>5} {bar}{after}")
    together = [sum(first <= slot <= last for first, last, _ in spans) for slot in range(_SLOTS)]
    lines.append(f"{'all':<11} {''.join(_digit(number) for number in together)}")
    legend = (
        "Start, peak viewers, half an hour a column (UTC); ▶ goes on after midnight, ● is live; all: streams at once"
    )
    return _block(lines, [legend, *_left_out(len(rows))])


def week(creator_hours: pl.DataFrame) -> str | None:
    """Sketch airtime by weekday and hour (UTC), from rows of `creator_hours`; None without airtime."""
    sums = creator_hours.group_by("weekday", "hour").agg(pl.col("airtime_s").sum()).filter(pl.col("airtime_s") > 0)
    if sums.is_empty():
        return None
    airtime = {(row["weekday"], row["hour"]): row["airtime_s"] for row in sums.to_dicts()}
    most = max(airtime.values())
    lines = [f"{'':3} {''.join(f'{hour:<6}' for hour in range(0, 24, 3))}"]
    for weekday, name in enumerate(_WEEKDAYS, start=1):
        shares = [airtime.get((weekday, hour), 0.0) / most for hour in range(24)]
        lines.append(f"{name} {''.join(2 * _SHADES[math.ceil(share * (len(_SHADES) - 1))] for share in shares)}")
    return _block(
        lines, [f"Airtime of all creators together, UTC; █ is up to {formats.duration(most)} an hour of the week"]
    )


def _compressed(percent: float) -> float:
    return math.copysign(math.log10(1 + abs(percent) / 0.1), percent)


def _digit(number: int) -> str:
    return "·" if number == 0 else str(number) if number < 10 else "+"


def _left_out(rows: int) -> list[str]:
    return [f"and {rows - MOST_ROWS} more"] if rows > MOST_ROWS else []


def _block(lines: Sequence[str], below: Sequence[str]) -> str:
    drawn = "\n".join(line.rstrip() for line in lines)
    return f"```\n{drawn}\n```\n\n" + "; ".join(below)
