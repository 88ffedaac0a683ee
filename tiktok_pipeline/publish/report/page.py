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
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jinja2
import polars as pl
from markupsafe import Markup

from tiktok_pipeline.errors import PublishError
from tiktok_pipeline.files import replacing
from tiktok_pipeline.publish import formats
from tiktok_pipeline.publish.duckdb_file import place
from tiktok_pipeline.publish.exports import FORMULA, NUMBER
from tiktok_pipeline.publish.report import brief as briefs
from tiktok_pipeline.publish.report import charts, words
from tiktok_pipeline.publish.report.brief import STATS, Brief
from tiktok_pipeline.publish.report.client import ClientScope
from tiktok_pipeline.publish.report.current import Report, current_report, release
from tiktok_pipeline.publish.report.meanings import MEANINGS, anchor
from tiktok_pipeline.publish.report.sections import KINDS, Section, TableColumn, minutes, sections, short

# Cards of streams that are open at first; one click shows the others.
_FIRST_CARDS = 12


@dataclass(frozen=True)
class Metric:
    """A board: the term that explains its value, and the kind of its value (see sections.py)."""

    term: str
    kind: str

    @property
    def label(self) -> str:
        """Return the metric in words."""
        return MEANINGS[self.term][0]


METRICS = {
    "lift": Metric("lift", "gained"),
    "hours_watched": Metric("hours_watched", "count"),
    "average_viewers": Metric("average_viewers", "count"),
    "peak_viewers": Metric("peak_viewers", "count"),
    "airtime": Metric("airtime", "duration"),
    "lift_per_hour": Metric("lift_per_hour", "gained"),
    "streams": Metric("streams", "count"),
    "active_days": Metric("active_days", "count"),
    "recaps": Metric("recaps", "count"),
}
PERIODS = {"day": "Today so far", "week": "7 days", "month": "30 days"}


class Glossary:
    """Links from a number to its explanation; the page explains the linked terms only."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def term(self, term: str, label: str) -> Markup:
        """Return `label` as a link to the explanation."""
        self._used.add(term)
        return Markup('<a class="term" href="#{}">{}</a>').format(anchor(term), label)

    def entries(self) -> list[dict[str, str]]:
        """Return the entries that were linked so far, by label."""
        return [
            {"anchor": anchor(term), "label": label, "meaning": meaning}
            for term, (label, meaning) in sorted(MEANINGS.items(), key=lambda item: item[1][0].lower())
            if term in self._used
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
            page = _write(brief, path)
    except OSError as error:
        raise PublishError(f"the report {path} was not replaced: {error}") from error
    picture = charts.lift_picture(brief.lifts) if brief.lifts.height else None
    return Report(path, page, brief.scopes["*"]["live"], len(list(_cards(brief))), picture, written=True)


def write_client_report(snapshot: Path, path: Path, client: ClientScope) -> Report:
    """Write the page of a client: only rows of its creators, and nothing about vendors.

    Raises:
        PublishError: there is no snapshot, no creator of the client in it, or the page cannot be written.
    """
    brief = briefs.read_brief(snapshot, client)
    if not path.parent.is_dir():
        raise PublishError(f"there is no folder {path.parent}: make it, or name another file with --out")
    try:
        page = _write(brief, path)
    except OSError as error:
        raise PublishError(f"the report {path} was not written: {error}") from error
    return Report(path, page, brief.scopes["*"]["live"], brief.streams.height, written=True)


def _write(brief: Brief, path: Path) -> int:
    """Replace the page atomically; return its size."""
    page = render(brief).encode()
    with replacing(path, durable=True, place=place) as staged:
        staged.write_bytes(page)
    return len(page)


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
        glossary.term(metric.term, metric.label)
    tables = sections(brief)
    for column in (each for table in tables.values() for each in table.columns if each.term and not each.hidden):
        glossary.term(column.term, column.label)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tiktok_pipeline.publish.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        name: getattr(formats, name)
        for name in ("count", "gained", "exactly", "percent", "duration", "day", "long_day", "clock", "moment")
    }
    style, script, runtime = _source("page.css"), _source("page.js"), Markup(charts.runtime())
    niches = [niche for niche in brief.scopes if niche != "*"]
    return environment.get_template("page.html").render(
        policy=Markup(content_security_policy(scripts=[runtime, script], styles=[style])),
        style=style,
        script=script,
        runtime=runtime,
        brief=brief,
        total=brief.scopes["*"],
        people=_people(brief, tables),
        tables=tables,
        written=_written,
        tiktok=_tiktok,
        release=release(),
        data=_data(brief, tables, niches),
        cards=len(list(_cards(brief))),
        vendors=brief.vendors.to_dicts(),
        metrics=METRICS,
        periods=PERIODS,
        niches=niches,
        words=words,
        term=glossary.term,
        glossary=glossary.entries,
        anchor=anchor,
        vendor_name=_vendor_name,
        well_covered=briefs.WELL_COVERED,
        limits=briefs,
    )


def _people(brief: Brief, tables: dict[str, Section]) -> dict[str, dict[str, str]]:
    """Return the names of creators by id. While days of `creators` are blocked, an id may have no other name."""
    ids = {row[0] for table in tables.values() for row in table.rows}
    return {creator: {"name": creator, "handle": creator, "niche": ""} for creator in sorted(ids)} | {
        row["creator_id"]: {
            "name": row["display_name"] or row["handle"] or row["creator_id"],
            "handle": row["handle"] or row["creator_id"],
            "niche": row["niche"] or "",
        }
        for row in brief.creators.iter_rows(named=True)
    }


def _written(section: Section, column: TableColumn, row: list[Any], handle: str) -> Markup:
    """Return a cell: its text, linked and marked as the column says."""
    value = section.value(row, column.key)
    text = KINDS[column.kind](value)
    if column.about and section.value(row, column.about):
        text = f"≈ {text}"
    cell = Markup("<bdi>{}</bdi>" if column.kind == "text" else "{}").format(text)
    if column.link:
        address = _post(handle, section.value(row, column.link))
        if address:
            cell = Markup('<a class="out" rel="noopener noreferrer" href="{}">{}</a>').format(address, cell)
    seen = section.value(row, column.mark) if column.mark else None
    if seen is not None:
        kind = "completeness" if column.mark == "completeness" else "coverage"
        said = "of its day" if kind == "completeness" else "seen"
        cell += Markup(' <a class="mark" href="#{}">{} {}</a>').format(anchor(kind), formats.percent(seen), said)
    return cell


_HANDLE = re.compile(r"[A-Za-z0-9_.]{1,64}")
_POST = re.compile(r"[0-9]{1,32}")


def _tiktok(handle: str) -> str | None:
    """Return the address of a creator at TikTok; None if the handle is not one that TikTok gives."""
    return f"https://www.tiktok.com/@{handle}" if _HANDLE.fullmatch(handle) else None


def _post(handle: str, post: str | None) -> str | None:
    """Return the address of a post or story at TikTok."""
    creator = _tiktok(handle)
    return f"{creator}/video/{post}" if creator and post and _POST.fullmatch(post) else None


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


def _data(brief: Brief, tables: dict[str, Section], niches: list[str]) -> dict[str, Any]:
    """Return the data that page.js filters and draws. Creators are named by their place in `creators`."""
    people = _people(brief, tables)
    stats = {row["creator_id"]: row for row in brief.stats.iter_rows(named=True)}
    shown = {row[0] for table in tables.values() for row in table.rows} | set(stats) | set(brief.lifts["creator_id"])
    ids = {creator: place for place, creator in enumerate(sorted(shown & people.keys()))}
    curves = _curves(brief)
    return {
        "creators": [
            [*people[creator].values(), _numbers(stats[creator]) if creator in stats else None] for creator in ids
        ],
        # Pairs keep their order, which the numbers follow.
        "stats": list(STATS.items()),
        "scopes": {scope: _numbers(numbers) for scope, numbers in brief.scopes.items()},
        "facts": {
            "client": brief.client,
            "compared": brief.compared,
            "days": brief.days_watched,
            "wellCovered": briefs.WELL_COVERED,
            "all": brief.creators.height <= briefs.CREATORS,
            "depth": brief.depth,
            "board": briefs.BOARD,
            "cards": briefs.CARDS,
            "cardsEach": briefs.CARDS_A_CREATOR,
            "cardsOfOne": briefs.STREAMS_EACH,
            "clock": formats.clock(brief.as_of),
            "lifts": briefs.LIFTS,
            "formula": FORMULA,
            "number": NUMBER,
            "onAir": words.ON_AIR,
        },
        "tables": {
            name: {
                "columns": [{key: value for key, value in asdict(column).items() if value} for column in table.columns],
                "rows": [[ids[row[0]], *row[1:]] for row in table.rows if row[0] in ids],
                "first": table.first,
                "what": table.what,
                "counted": table.counted,
                "none": table.none,
                "noneAtAll": table.none_at_all,
                "apart": table.apart,
            }
            for name, table in tables.items()
        },
        # The curves of `streams`, in the order of its rows.
        "curves": [curves.get(stream) for stream in brief.streams["stream_id"]],
        "metrics": {key: {"term": metric.term, "kind": metric.kind} for key, metric in METRICS.items()},
        "boards": _boards(brief, ids),
        "seen": _thin(brief, ids),
        "trends": _trends(brief, ids),
        "lifts": [_lift_row(row, ids) for row in brief.lifts.iter_rows(named=True)],
        "heat": _heat(brief, ids),
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


def _numbers(row: dict[str, Any]) -> list[float | int | None]:
    return [short(row[name]) for name in STATS]


def _cards(brief: Brief) -> Iterator[dict[str, Any]]:
    """Yield the streams that have a card without a choice of creators: the newest, few of each creator."""
    left = briefs.CARDS
    for row in brief.streams.iter_rows(named=True):
        if left and row["nth"] <= briefs.CARDS_A_CREATOR:
            left -= 1
            yield row


def _boards(brief: Brief, ids: dict[str, int]) -> dict[str, Any]:
    """Return period|metric -> places and totals. A place is: creator, value, rank, rank in the niche, and without
    trailing nulls: change, change in the niche, ends of the interval, sure rank, sure rank in the niche.
    """
    boards: dict[str, Any] = {}
    for row in brief.boards.filter(pl.col("metric").is_in(list(METRICS))).iter_rows(named=True):
        board = boards.setdefault(f"{row['period']}|{row['metric']}", {"rows": [], "totals": {}})
        if row["total"] is not None:
            board["totals"]["*"] = short(row["total"])
        if row["niche_total"] is not None and row["niche"]:
            board["totals"][row["niche"]] = short(row["niche_total"])
        line = [
            ids[row["creator_id"]],
            short(row["value"]),
            row["rank"],
            row["niche_rank"],
            _moved(row, ""),
            _moved(row, "niche_"),
            short(row["value_lo"]),
            short(row["value_hi"]),
            row["confident_rank"],
            row["niche_confident_rank"],
        ]
        while line[-1] is None:
            line.pop()
        board["rows"].append(line)
    return boards


def _moved(row: dict[str, Any], of: str) -> int | str | None:
    """Return the change of a rank, `new`, or None without an earlier period to compare with."""
    if row[f"{of}is_new"]:
        return "new"
    change: int | None = row[f"{of}rank_change"]
    return change


def _thin(brief: Brief, ids: dict[str, int]) -> dict[str, dict[int, float]]:
    """Return period -> creator -> observed share of the time on air, where it needs a mark."""
    marks: dict[str, dict[int, float]] = {}
    low = brief.boards.filter(pl.col("coverage") < briefs.WELL_COVERED)
    for period, creator, share in low.select("period", "creator_id", "coverage").unique().sort(pl.all()).iter_rows():
        marks.setdefault(period, {})[ids[creator]] = round(share, 4)
    return marks


def _trends(brief: Brief, ids: dict[str, int]) -> dict[str, Any]:
    """Return each day's value as a share of the creator's best day, 0 to 100; null without a value."""
    days = brief.trends["day"].unique().sort().to_list()
    place = {day: n for n, day in enumerate(days)}
    lines: dict[str, dict[int, list[int | None]]] = {}
    for (metric, creator), rows in brief.trends.partition_by("metric", "creator_id", as_dict=True).items():
        line: list[int | None] = [None] * len(days)
        top = max((abs(value) for value in rows["value"]), default=0) or 1
        for day, value in rows.select("day", "value").iter_rows():
            line[place[day]] = round(100 * value / top)
        lines.setdefault(str(metric), {})[ids[str(creator)]] = line
    return {"days": [formats.day(day) for day in days], "lines": lines}


def _lift_row(row: dict[str, Any], ids: dict[str, int]) -> list[Any]:
    """Return creator, start, percent with its ends, lift with its ends, final, observed share if low."""
    seen = row["coverage_ratio"]
    return [
        ids[row["creator_id"]],
        minutes(row["started_at"]),
        *(round(row[name], 4) for name in ("percent", "percent_lo", "percent_hi")),
        *(short(row[name]) for name in ("lift", "lift_lo", "lift_hi")),
        int(row["is_final"]),
        None if seen is None or seen >= briefs.WELL_COVERED else round(seen, 4),
    ]


def _heat(brief: Brief, ids: dict[str, int]) -> dict[str, dict[str, list[int]]]:
    """Return scope -> name -> cells: hour of the week, minutes on air, viewer-hours, one after the other."""
    heat: dict[str, dict[str, list[int]]] = {"all": {}, "niche": {}, "creator": {}}
    for scope, name, weekday, hour, airtime_s, watched in brief.hours.iter_rows():
        cells = heat[scope].setdefault(str(ids[name]) if scope == "creator" else name, [])
        cells += [(weekday - 1) * 24 + hour, round(airtime_s / 60), round(watched or 0)]
    return heat


# Characters for 64 positions of a curve: no quote, no markup.
_POSITIONS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"
_FEWEST_READINGS = 3


def _curves(brief: Brief) -> dict[str, str]:
    """Return each curve as text: two characters a point, time and viewers in 64ths; a space for a gap."""
    drawn = {}
    for (stream,), points in brief.curves.partition_by("stream_id", as_dict=True, maintain_order=True).items():
        if points.height < _FEWEST_READINGS:
            continue
        times, viewers = points["observed_at"].dt.epoch("s").to_list(), points["viewers"].to_list()
        first, length = times[0], max(times[-1] - times[0], 1)
        top = max((value for value in viewers if value is not None), default=0) or 1
        drawn[str(stream)] = "".join(
            " "
            if value is None
            else _POSITIONS[round(63 * (at - first) / length)] + _POSITIONS[round(63 * max(value, 0) / top)]
            for at, value in zip(times, viewers, strict=True)
        )
    return drawn
