"""Make the page: the report's data and the templates beside this file become one self-contained HTML file.

Text from creators is hostile: the templates escape it, the data that page.js reads is escaped JSON, and page.js sets
text, never markup. A Content-Security-Policy in the page is the second line of defence: it allows no request, and only
the scripts and the style sheet of this page, by their hashes.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import polars as pl
from markupsafe import Markup

from tiktok_pipeline.errors import PublishError
from tiktok_pipeline.files import replacing
from tiktok_pipeline.publish import formats
from tiktok_pipeline.publish.duckdb_file import place
from tiktok_pipeline.publish.report import brief as briefs
from tiktok_pipeline.publish.report import charts, words
from tiktok_pipeline.publish.report.brief import Brief
from tiktok_pipeline.publish.report.current import Report, current_report, release
from tiktok_pipeline.tables import TABLES

# Cards of streams that are open at first; one click shows the others.
_FIRST_CARDS = 12


@dataclass(frozen=True)
class Metric:
    """A board: the label of its value, the column that defines it, and its format."""

    label: str
    column: str
    write: Callable[[float | None], str]


METRICS = {
    "lift": Metric("Followers gained by streams", "stream_lift.lift", formats.gained),
    "hours_watched": Metric("Viewer-hours", "streams.hours_watched", formats.count),
    "average_viewers": Metric("Average viewers", "streams.average_viewers", formats.count),
    "peak_viewers": Metric("Peak viewers", "streams.peak_viewers", formats.count),
    "airtime": Metric("Time on air", "streams.airtime_s", formats.hours),
    "lift_per_hour": Metric("Followers gained an hour", "stream_lift.lift_per_hour", formats.gained),
    "streams": Metric("Streams", "creator_days.streams", formats.count),
    "active_days": Metric("Active days", "creator_days.active_day", formats.count),
    "recaps": Metric("Recaps", "recaps.score", formats.count),
}
PERIODS = {"day": "Today so far", "week": "7 days", "month": "30 days"}


class Glossary:
    """Links from a number to its meaning: the column's description in tables.py."""

    def __init__(self) -> None:
        self._labels: dict[str, str] = {}

    def term(self, column: str, label: str) -> Markup:
        """Return `label` as a link to the meaning of `column` (table.column)."""
        self.meaning(column)
        self._labels.setdefault(column, label)
        return Markup('<a class="term" href="#{}">{}</a>').format(self.anchor(column), label)

    @staticmethod
    def anchor(column: str) -> str:
        """Return the id of the entry."""
        return f"meaning-{column.replace('.', '-')}"

    @staticmethod
    def meaning(column: str) -> str:
        """Return the column's description in tables.py."""
        table, _, name = column.partition(".")
        return next(each.description for each in TABLES[table].columns if each.name == name)

    def entries(self) -> list[dict[str, str]]:
        """Return the entries that were linked so far, by label."""
        return [
            {"anchor": self.anchor(column), "label": label, "column": column, "meaning": self.meaning(column)}
            for column, label in sorted(self._labels.items(), key=lambda item: item[1].lower())
        ]


def write_report(snapshot: Path, path: Path) -> Report:
    """Make the page of `snapshot` and replace `path` atomically: readers see the old page or the new one.

    If the page at `path` shows this snapshot already, it is not written again.

    Raises:
        PublishError: there is no snapshot, or the page cannot be written.
    """
    try:
        # One writer at a time: a page of an older snapshot must not replace one of a newer.
        with _alone(path.parent):
            current = current_report(snapshot, path)
            if current is not None:
                return current
            brief = briefs.read_brief(snapshot)
            page = render(brief).encode()
            with replacing(path, durable=True, place=place) as staged:
                staged.write_bytes(page)
    except OSError as error:
        raise PublishError(f"the report {path} was not replaced: {error}") from error
    picture = charts.lift_picture(brief.lifts) if brief.lifts.height else None
    return Report(path, len(page), brief.counts["live"], brief.streams.height, picture, written=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process writes a report into this folder."""
    folder.mkdir(parents=True, exist_ok=True)
    # Lock the folder itself: people copy the folder, and would copy a lock file too.
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def render(brief: Brief) -> str:
    """Return the page. The same brief gives the same bytes."""
    glossary = Glossary()
    for metric in METRICS.values():
        glossary.term(metric.column, metric.label)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tiktok_pipeline.publish.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        name: getattr(formats, name)
        for name in ("count", "gained", "exactly", "percent", "hours", "duration", "day", "long_day", "clock", "moment")
    }
    style, script, runtime = _source("page.css"), _source("page.js"), Markup(charts.runtime())
    return environment.get_template("page.html").render(
        policy=Markup(content_security_policy(scripts=[runtime, script], styles=[style])),
        style=style,
        script=script,
        runtime=runtime,
        brief=brief,
        release=release(),
        data=_data(brief),
        cards=_cards(brief),
        watched=_watched(brief),
        vendors=brief.vendors.to_dicts(),
        metrics=METRICS,
        periods=PERIODS,
        niches=sorted(set(brief.creators["niche"].drop_nulls()) - {""}),
        words=words,
        term=glossary.term,
        glossary=glossary.entries,
        vendor_name=_vendor_name,
        well_covered=briefs.WELL_COVERED,
        limits=briefs,
        first_cards=_FIRST_CARDS,
    )


def content_security_policy(*, scripts: Iterable[str], styles: Iterable[str]) -> str:
    """Return the policy of a page that loads nothing and runs only these inline scripts and style sheets.

    No inline style attribute, event handler, `javascript:` address, evaluated text, frame, form or request is allowed.
    """
    return "; ".join(
        [
            "default-src 'none'",
            " ".join(["script-src", *map(_hash, scripts)]),
            " ".join(["style-src", *map(_hash, styles)]),
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _source(name: str) -> Markup:
    """Return a style sheet or script of the templates' folder, unchanged."""
    return Markup((Path(__file__).parent / "templates" / name).read_text(encoding="utf-8"))


def _vendor_name(vendor: str) -> str:
    return vendor.replace("_", " ").title()


def _data(brief: Brief) -> dict[str, Any]:
    """Return the data that page.js filters and draws."""
    boards, trends = _boards(brief), _trends(brief)
    lifts = [_lift_row(row) for row in brief.lifts.iter_rows(named=True)]
    shown = {row[2] for rows in boards.values() for row in rows}
    frames = (
        brief.live,
        brief.streams,
        brief.lifts,
        brief.movers,
        brief.dark,
        brief.stories,
        brief.recaps,
        brief.coverage,
    )
    shown |= {creator for frame in frames for creator in frame["creator_id"]}
    heat = _heat(brief)
    shown |= set(heat["creator"])
    return {
        "creators": {
            row["creator_id"]: {
                "name": row["display_name"] or row["handle"],
                "handle": row["handle"],
                "niche": row["niche"],
            }
            for row in brief.creators.sort("creator_id").iter_rows(named=True)
            if row["creator_id"] in shown
        },
        "boards": boards,
        "trends": trends,
        "meanings": {key: f"#{Glossary.anchor(metric.column)}" for key, metric in METRICS.items()},
        "boardNiches": sorted(set(brief.boards["niche"])),
        "compared": sorted(set(brief.boards.filter(pl.col("previous_rank").is_not_null())["period"])),
        "lifts": lifts,
        "heat": heat,
        "credits": [
            {
                "day": formats.day(row["day"]),
                "vendor": row["vendor"],
                "credits": row["credits"],
                "label": f"{_vendor_name(row['vendor'])}, {formats.day(row['day'])}: "
                f"{formats.exactly(row['credits'])} credits",
            }
            for row in brief.credits.iter_rows(named=True)
        ],
        "charts": {
            "lifts": charts.lift_chart(),
            "heat": charts.heat_chart(),
            "credits": charts.credits_chart(sorted(set(brief.credits["vendor"]))),
        },
    }


def _boards(brief: Brief) -> dict[str, list[list[Any]]]:
    """Return period|niche|metric -> rows of rank, change, creator, text, bar, share, interval, coverage, sure rank."""
    boards: dict[str, list[list[Any]]] = {}
    for row in brief.boards.filter(pl.col("metric").is_in(list(METRICS))).iter_rows(named=True):
        write = METRICS[row["metric"]].write
        rows = boards.setdefault(f"{row['period']}|{row['niche']}|{row['metric']}", [])
        interval = None
        if row["value_lo"] is not None and row["value_hi"] is not None:
            interval = f"{write(row['value_lo'])} to {write(row['value_hi'])}"
        rows.append(
            [
                row["rank"],
                "new" if row["is_new"] else row["rank_change"],
                row["creator_id"],
                write(row["value"]),
                row["value"],
                None if row["share"] is None else formats.percent(row["share"]),
                interval,
                _thin(row["coverage"]),
                row["confident_rank"],
            ]
        )
    for board in boards.values():
        top = max(abs(line[4]) for line in board) or 1
        for line in board:
            line[4] = round(max(line[4], 0) / top, 3)
    return boards


def _thin(coverage: float | None) -> str | None:
    """Return the mark of a number with low coverage, if it needs one."""
    return None if coverage is None or coverage >= briefs.WELL_COVERED else formats.percent(coverage)


def _trends(brief: Brief) -> dict[str, Any]:
    """Return each day's value as a share of the creator's best day, 0 to 100; null without a value."""
    days = brief.trends["day"].unique().sort().to_list()
    place = {day: n for n, day in enumerate(days)}
    lines: dict[str, dict[str, list[int | None]]] = {}
    for (metric, creator), rows in brief.trends.partition_by("metric", "creator_id", as_dict=True).items():
        line: list[int | None] = [None] * len(days)
        top = max((abs(value) for value in rows["value"]), default=0) or 1
        for day, value in rows.select("day", "value").iter_rows():
            line[place[day]] = round(100 * value / top)
        lines.setdefault(str(metric), {})[str(creator)] = line
    return {"days": [formats.day(day) for day in days], "lines": lines}


def _lift_row(row: dict[str, Any]) -> dict[str, Any]:
    thin = _thin(row["coverage_ratio"])
    return {
        "stream": f"@{row['handle']} · {formats.short_moment(row['started_at'])}",
        "creator": row["creator_id"],
        **{name: round(row[name], 5) for name in ("percent", "percent_lo", "percent_hi")},
        "tone": words.verdict(row["lift_lo"], row["lift_hi"]).split()[-1],
        "label": f"@{row['handle']}, {formats.moment(row['started_at'])}: {formats.gained(row['lift'])} followers "
        f"({formats.gained(row['lift_lo'])} to {formats.gained(row['lift_hi'])})"
        + ("" if row["is_final"] else ", provisional")
        + (f", {thin} of the stream seen" if thin else ""),
    }


def _heat(brief: Brief) -> dict[str, Any]:
    """Return scope -> name -> two lists of 168: minutes on air, viewer-hours."""
    heat: dict[str, dict[str, list[list[int]]]] = {"all": {}, "niche": {}, "creator": {}}
    for scope, name, weekday, hour, airtime_s, watched in brief.hours.iter_rows():
        lists = heat[scope].setdefault(name, [[0] * 168, [0] * 168])
        cell = (weekday - 1) * 24 + hour
        lists[0][cell] = round(airtime_s / 60)
        lists[1][cell] = round(watched or 0)
    return heat


def _cards(brief: Brief) -> list[dict[str, Any]]:
    """Return the last streams, each with its curve as SVG, and its lift in words and as positions on a line."""
    return [
        row
        | {
            "curve": _drawn(brief.curves.get(row["stream_id"])),
            "tone": None if row["lift_lo"] is None else words.verdict(row["lift_lo"], row["lift_hi"]).split()[-1],
            "lift_line": _line(row["lift"], row["lift_lo"], row["lift_hi"]),
            "reason": words.not_observable(_list(row["lift_flags"]), row["resolution"]),
            "notes": words.caveats(
                [*_list(row["flags"]), *_list(row["lift_flags"])],
                known=words.REASONS if row["lift_lo"] is None else frozenset(),
            ),
        }
        for row in brief.streams.iter_rows(named=True)
    ]


def _drawn(curve: pl.DataFrame | None) -> Markup | None:
    """Return the curve as SVG; None if there are fewer than three readings."""
    return None if curve is None or curve.height < _FEWEST_READINGS else Markup(charts.curve(curve))


_FEWEST_READINGS = 3


def _list(joined: str | None) -> list[str]:
    return joined.split(",") if joined else []


def _line(lift: float | None, low: float | None, high: float | None) -> dict[str, float] | None:
    """Return the positions of zero, the lift and its interval on a line, in percent of its length."""
    if lift is None or low is None or high is None:
        return None
    left, right = min(low, 0.0), max(high, 0.0)
    length = (right - left) or 1.0
    return {
        name: round(4 + 92 * (at - left) / length, 1)
        for name, at in zip(("zero", "lift", "low", "high"), (0.0, lift, low, high), strict=True)
    }


def _watched(brief: Brief) -> dict[str, Any]:
    """Return the shown days, and a row a creator with a cell a day."""
    days = brief.coverage["day"].unique().sort().to_list()
    rows = []
    for group in brief.coverage.partition_by("creator_id", maintain_order=True):
        by_day = {row["day"]: row for row in group.iter_rows(named=True)}
        rows.append(group.row(0, named=True) | {"cells": [_cell(by_day.get(day)) for day in days]})
    return {"days": days, "rows": rows}


def _cell(row: dict[str, Any] | None) -> tuple[str, str]:
    """Return (kind, text) of a creator's day: its longest gap between readings, or why there is none."""
    if row is None or not row["polls"]:
        return "blind", "not polled"
    if not row["known_polls"]:
        return "blind", "no live state"
    share = row["known_polls"] / row["polls"]
    kind = "good" if share >= briefs.WELL_COVERED and (row["largest_gap_s"] or 0) <= _LONG_GAP_S else "thin"
    return kind, formats.duration(row["largest_gap_s"])


# A shorter stream can be missed in a gap of this length.
_LONG_GAP_S = 1800
