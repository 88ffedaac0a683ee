"""The tables of the page: their columns, how cells are written, and what stands in their place if they are empty.

Each table is described once. The template writes its first rows, for readers without scripts; page.js writes the
rows of the chosen creators, sorts them, and saves them as CSV, from the same values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from tiktok_pipeline.publish import formats
from tiktok_pipeline.publish.report import brief as briefs
from tiktok_pipeline.publish.report import words
from tiktok_pipeline.publish.report.brief import Brief

# How a value of a kind is written; page.js has the same functions under the same names.
KINDS: dict[str, Callable[[Any], str]] = {
    "count": formats.count,
    "gained": formats.gained,
    "exactly": formats.exactly,
    "change": formats.change,
    "duration": formats.duration,
    "percent": formats.percent,
    "moment": lambda minutes: formats.moment(_time(minutes)),
    "interval": lambda ends: (
        formats.UNKNOWN if ends is None else f"{formats.gained(ends[0])} to {formats.gained(ends[1])}"
    ),
    "days": lambda days: f"{days} days",
    "text": lambda text: text or formats.UNKNOWN,
}


@dataclass(frozen=True)
class TableColumn:
    """A column of a table.

    Attributes:
        key: name in the CSV.
        kind: one of KINDS.
        term: the explanation to link, a key of `meanings.MEANINGS`.
        mark: the hidden column with the observed share of the value, which is marked if it is small.
        link: the hidden column with the id of the post that the value links to on TikTok.
        about: the hidden column that is true if the value is rounded by its vendor.
        hidden: it is not shown, but is in the CSV.
        tone: the hidden column with the class of the cell.
        fixed: the table cannot be sorted by it.
    """

    key: str
    label: str
    kind: str
    term: str = ""
    mark: str = ""
    link: str = ""
    about: str = ""
    tone: str = ""
    hidden: bool = False
    fixed: bool = False


@dataclass(frozen=True)
class Section:
    """A table: its rows begin with the creator's id, then a value a column.

    Attributes:
        first: rows that are shown at most.
        what: the rows in words, after "The first 12 of 86".
        none: what stands in place of an empty table; `{who}` is replaced by the chosen creators.
        none_at_all: the same without a choice.
        counted: the number of rows in the snapshot, a key of STATS.
        apart: rows of one creator that are shown among others.
    """

    name: str
    caption: str
    columns: tuple[TableColumn, ...]
    rows: list[list[Any]]
    first: int
    what: str
    counted: str
    none: str
    none_at_all: str
    apart: int = 0

    def shown(self) -> Iterator[list[Any]]:
        """Yield the rows that are shown without a choice of creators."""
        of_creator: dict[str, int] = {}
        left = self.first
        for row in self.rows:
            of_creator[row[0]] = of_creator.get(row[0], 0) + 1
            if left and not (self.apart and of_creator[row[0]] > self.apart):
                left -= 1
                yield row

    def visible(self) -> list[tuple[int, TableColumn]]:
        """Return the places and columns with a value in a shown row: an empty column says nothing."""
        rows = list(self.shown())
        return [
            (place, column)
            for place, column in enumerate(self.columns, 1)
            if not column.hidden and any(row[place] is not None for row in rows)
        ]

    def value(self, row: list[Any], key: str) -> Any:
        """Return the value of a column by its key."""
        return row[1 + [column.key for column in self.columns].index(key)]


def minutes(at: datetime | None) -> int | None:
    """Return minutes since 1970, UTC."""
    return None if at is None else int(at.replace(tzinfo=UTC).timestamp() // 60)


def _time(at: int | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at * 60, UTC)


def short(value: float | None) -> float | int | None:
    """Return a number with six digits, more than the page shows."""
    if value is None or isinstance(value, int):
        return value
    rounded = float(f"{value:.6g}")
    return int(rounded) if rounded.is_integer() else rounded


def sections(brief: Brief) -> dict[str, Section]:
    """Return the tables of the page by name."""
    made = (_live, _streams, _movers, _dark, _stories, _recaps, _coverage, _taken)
    return {section.name: section for section in (make(brief) for make in made)}


def _rows(frame: Iterable[dict[str, Any]], *values: Callable[[dict[str, Any]], Any] | str) -> list[list[Any]]:
    return [
        [row["creator_id"], *(short(row[value]) if isinstance(value, str) else value(row) for value in values)]
        for row in frame
    ]


def _at(name: str) -> Callable[[dict[str, Any]], int | None]:
    return lambda row: minutes(row[name])


def _seen(name: str) -> Callable[[dict[str, Any]], float | None]:
    """Return the share if a number needs the mark."""
    return lambda row: None if row[name] is None or row[name] >= briefs.WELL_COVERED else round(row[name], 4)


def _whole(name: str) -> Callable[[dict[str, Any]], int | None]:
    return lambda row: None if row[name] is None else round(row[name])


def _live(brief: Brief) -> Section:
    at = formats.clock(brief.as_of)
    return Section(
        "live",
        "Creators on air, by viewers",
        (
            TableColumn("viewers", "Viewers", "count", "viewers", mark="coverage"),
            TableColumn("peak_viewers", "Peak viewers", "count", "peak_viewers"),
            TableColumn("started_at", "Since (UTC)", "moment", "started_at"),
            TableColumn("airtime_s", "On air for", "duration", "airtime"),
            TableColumn("followers", "Followers", "count", "followers", about="rounded"),
            TableColumn("title", "Title", "text", "title"),
            TableColumn("coverage", "Coverage", "percent", hidden=True),
            TableColumn("rounded", "Rounded", "text", hidden=True),
        ),
        _rows(
            brief.live.iter_rows(named=True),
            "viewers",
            "peak_viewers",
            _at("started_at"),
            _whole("airtime_s"),
            "followers",
            lambda row: row["title"] or None,
            _seen("coverage_ratio"),
            lambda row: "rounded" if row["followers_precision"] == "rounded" else None,
        ),
        briefs.LIVE,
        "creators on air, by viewers",
        "live",
        f"{{who}}: not on air at {at} UTC.",
        f"No creator was on air at {at} UTC.",
    )


# A stream whose end is not known yet has its verdict after the end.
_STATES = {"live": "on air", "lost": "end not seen"}


def _streams(brief: Brief) -> Section:
    def lasted(row: dict[str, Any]) -> str:
        return words.lift_text(row)

    return Section(
        "streams",
        "Streams, the newest first",
        (
            TableColumn("started_at", "Started (UTC)", "moment", "started_at"),
            TableColumn("airtime_s", "Time on air", "duration", "airtime", mark="coverage"),
            TableColumn("average_viewers", "Average viewers", "count", "average_viewers"),
            TableColumn("peak_viewers", "Peak viewers", "count", "peak_viewers"),
            TableColumn("hours_watched", "Viewer-hours", "count", "hours_watched"),
            TableColumn("lift", "Followers gained", "gained", "lift", tone="tone"),
            TableColumn("lift_interval", "90 % interval", "interval", "interval"),
            TableColumn("verdict", "What it means", "text"),
            TableColumn("notes", "Notes", "text", hidden=True),
            TableColumn("state", "State", "text", hidden=True),
            TableColumn("ended_at", "Ended (UTC)", "moment", hidden=True),
            TableColumn("coverage", "Coverage", "percent", hidden=True),
            TableColumn("tone", "Tone", "text", hidden=True),
        ),
        _rows(
            brief.streams.iter_rows(named=True),
            _at("started_at"),
            _whole("airtime_s"),
            "average_viewers",
            "peak_viewers",
            "hours_watched",
            "lift",
            lambda row: None if row["lift_lo"] is None else [short(row["lift_lo"]), short(row["lift_hi"])],
            lasted,
            lambda row: "; ".join(words.notes(row)) or None,
            lambda row: _STATES.get(row["status"]),
            _at("ended_at"),
            _seen("coverage_ratio"),
            lambda row: None if row["lift_lo"] is None else words.verdict(row["lift_lo"], row["lift_hi"]).split()[-1],
        ),
        briefs.CARDS if brief.client is None else brief.streams.height,
        f"streams, the newest first, at most {briefs.CARDS_A_CREATOR} a creator"
        if brief.client is None
        else "streams, the newest first",
        "n_streams",
        "{who}: no stream has been seen yet.",
        "No stream has been seen yet.",
        apart=briefs.CARDS_A_CREATOR if brief.client is None else 0,
    )


def _movers(brief: Brief) -> Section:
    longer = brief.days_watched > briefs.SPAN_DAYS + 1
    # The median of a single day before is that day.
    medians = brief.days_watched > _FEWEST_DAYS
    return Section(
        "movers",
        "Creators with the largest changes",
        (
            TableColumn("hours_watched", formats.day(brief.last_whole_day), "count", "hours_watched", mark="coverage"),
            TableColumn("previous_day", "The day before", "count"),
            TableColumn("vs_previous_day", "Change", "change"),
            *(
                [TableColumn("vs_median_7d", "On the 7-day median" if longer else "On the median", "change", "median")]
                if medians
                else []
            ),
            *([TableColumn("vs_median_28d", "On the 28-day median", "change", "median")] if longer else []),
            TableColumn("coverage", "Coverage", "percent", hidden=True),
        ),
        _rows(
            brief.movers.iter_rows(named=True),
            "hours_watched",
            "previous_day",
            "vs_previous_day",
            *(["vs_median_7d"] if medians else []),
            *(["vs_median_28d"] if longer else []),
            _seen("coverage"),
        ),
        briefs.MOVERS,
        "creators with a change, the largest first",
        "n_movers",
        "{who}: the viewer-hours did not change from one whole day to the next, or there are no two whole days yet.",
        "No creator's viewer-hours changed from one whole day to the next, or there are no two whole days yet.",
    )


# Today, the last whole day, and one day before it.
_FEWEST_DAYS = 3


def _dark(brief: Brief) -> Section:
    return Section(
        "dark",
        "Creators whose last stream ended three days ago or earlier",
        (
            TableColumn("days_dark", "Silent for", "days"),
            TableColumn("last_stream_ended_at", "Last stream ended (UTC)", "moment"),
            TableColumn("streams_known", "Streams known", "exactly"),
        ),
        _rows(brief.dark.iter_rows(named=True), "days_dark", _at("last_stream_ended_at"), "streams_known"),
        briefs.DARK,
        "creators, the newest silence first",
        "n_dark",
        "{who}: a stream in the last three days, or never seen on air.",
        "Every creator that was ever seen on air streamed in the last three days.",
    )


def _stories(brief: Brief) -> Section:
    return Section(
        "stories",
        "Stories by views",
        (
            TableColumn("published_at", "Published (UTC)", "moment", link="story_id"),
            TableColumn("media_type", "Kind", "text"),
            TableColumn("views", "Views", "count", "story_views", mark="completeness"),
            TableColumn("views_1h", "After 1 h", "count", "story_views_at"),
            TableColumn("views_6h", "After 6 h", "count", "story_views_at"),
            TableColumn("views_24h", "After 24 h", "count", "story_views_at"),
            TableColumn("likes", "Likes", "count"),
            TableColumn("completeness", "Share of its day", "percent", hidden=True),
            TableColumn("story_id", "Story", "text", hidden=True),
        ),
        _rows(
            brief.stories.iter_rows(named=True),
            _at("published_at"),
            lambda row: row["media_type"] or None,
            "views",
            "views_1h",
            "views_6h",
            "views_24h",
            "likes",
            _seen("completeness"),
            lambda row: row["story_id"],
        ),
        briefs.STORIES,
        "stories of the last 7 days, by views",
        "n_stories",
        "{who}: no story was seen in the last 7 days.",
        "No story was seen in the last 7 days.",
    )


def _recaps(brief: Brief) -> Section:
    return Section(
        "recaps",
        "Posts that look like recaps, by views",
        (
            TableColumn("published_at", "Published (UTC)", "moment", link="post_id"),
            TableColumn("views", "Views", "count", "post_views"),
            TableColumn("likes", "Likes", "count"),
            TableColumn("score", "Match", "percent", "score"),
            TableColumn("of_stream", "Of the stream", "moment", "of_stream"),
            TableColumn("post_id", "Post", "text", hidden=True),
        ),
        _rows(
            brief.recaps.iter_rows(named=True),
            _at("published_at"),
            "views",
            "likes",
            "score",
            _at("started_at"),
            lambda row: row["post_id"],
        ),
        briefs.RECAPS,
        "posts of the last 7 days, by views",
        "n_recaps",
        "{who}: no post of the last 7 days looks like a recap of a stream.",
        "No post of the last 7 days looks like a recap of a stream.",
    )


# A shorter stream can be missed in a gap of this length.
_LONG_GAP_S = 1800


def _coverage(brief: Brief) -> Section:
    days: list[date] = brief.coverage["day"].unique().sort().to_list()
    rows = []
    for group in brief.coverage.partition_by("creator_id", maintain_order=True):
        by_day = {row["day"]: row for row in group.iter_rows(named=True)}
        one = group.row(0, named=True)
        cells = [_cell(by_day.get(day)) for day in days]
        unknown = None if one["known_share"] is None else short(1 - one["known_share"])
        rows.append([one["creator_id"], *(text for _, text in cells), unknown, *(kind for kind, _ in cells)])
    return Section(
        "coverage",
        "Longest time without a reading, by creator and day",
        (
            *(
                TableColumn(f"longest_gap_{day}", formats.day(day), "text", tone=f"coverage_{day}", fixed=True)
                for day in days
            ),
            TableColumn("unknown_share", "State not known", "percent", "unknown"),
            *(TableColumn(f"coverage_{day}", formats.day(day), "text", hidden=True) for day in days),
        ),
        rows,
        briefs.WATCHED,
        "creators, the worst coverage first",
        "n_coverage",
        "{who}: not polled in the last 7 days.",
        "No creator has been polled yet.",
    )


def _cell(row: dict[str, Any] | None) -> tuple[str, str]:
    """Return (kind, text) of a creator's day: its longest gap between readings, or why there is none."""
    if row is None or not row["polls"]:
        return "blind", "not polled"
    if not row["known_polls"]:
        return "blind", "no live state"
    share = row["known_polls"] / row["polls"]
    kind = "good" if share >= briefs.WELL_COVERED and (row["largest_gap_s"] or 0) <= _LONG_GAP_S else "thin"
    return kind, formats.duration(row["largest_gap_s"])


def _taken(brief: Brief) -> Section:
    return Section(
        "taken",
        "Creators whose handle another account has",
        (
            TableColumn("handle_taken_by", "Other account", "text"),
            TableColumn("handle_taken_at", "Since (UTC)", "moment"),
        ),
        _rows(brief.taken.iter_rows(named=True), lambda row: row["handle_taken_by"], _at("handle_taken_at")),
        briefs.TAKEN,
        "creators, the newest first",
        "n_taken",
        "{who}: no other account has the handle.",
        "No other account has a creator's handle.",
    )
