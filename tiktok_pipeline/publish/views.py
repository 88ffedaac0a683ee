"""The views that are published beside the tables, in DuckDB and in Postgres: the start for BI tools.

The SQL uses only what both databases support: no macro, no `GROUP BY ALL`, `percentile_cont` for a median. A day is a
whole number of days since the epoch, because a cast of a `timestamptz` to a date depends on the session. Views use
`publication.as_of`, the time of the newest data, never the wall clock. Do not compute here what a mart can hold.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from tiktok_pipeline.tables import (
    COUNT,
    CREATORS,
    GIFT_ESTIMATES,
    LEADERBOARD,
    RATIO,
    STREAM_CONVERSIONS,
    STREAM_LIFT,
    STREAMS,
    STRING,
    TIME,
    Column,
    Table,
)


@dataclass(frozen=True)
class View:
    """One view: its `grain` (one row per ...), its columns in order, and a SELECT that both databases run."""

    name: str
    grain: str
    description: str
    columns: tuple[Column, ...]
    sql: str


def _from(table: Table, *names: str) -> tuple[Column, ...]:
    """Return columns as the table defines them; all of them if none is named."""
    known = {column.name: column for column in table.columns}
    return tuple(known[name] for name in names or known)


def _maybe(*columns: Column) -> tuple[Column, ...]:
    """Return the columns as nullable, because their row may be missing."""
    return tuple(Column(column.name, column.dtype, column.description) for column in columns)


def _listed(alias: str, table: Table) -> str:
    return ", ".join(f"{alias}.{column.name}" for column in table.columns)


def _day(moment: str) -> str:
    """Return SQL for the UTC day of a time."""
    return f"DATE '1970-01-01' + CAST(floor(extract(epoch FROM {moment}) / 86400) AS INTEGER)"


def _median(days: int) -> str:
    """Return SQL for the median of `hours_watched` over the `days` days before `today`."""
    return (
        "percentile_cont(0.5) WITHIN GROUP (ORDER BY d.hours_watched) "
        f"FILTER (WHERE d.day BETWEEN s.today - {days} AND s.today - 1)"
    )


_HANDLE, _DISPLAY_NAME, _NICHE, _FOLLOWERS, _PRECISION = _maybe(
    *_from(CREATORS, "handle", "display_name", "niche", "followers", "followers_precision")
)

_LIVE_NOW = View(
    "live_now",
    "one row a stream on air",
    "Streams on air at the time of the newest data, with their creators and the last viewer count.",
    (
        *_from(STREAMS, "stream_id", "creator_id"),
        _HANDLE,
        _DISPLAY_NAME,
        _NICHE,
        *_from(STREAMS, "room_id", "title", "started_at"),
        Column("last_seen_live_at", TIME, "Last reading of on air."),
        *_from(STREAMS, "airtime_s", "peak_viewers", "average_viewers"),
        Column("viewers", COUNT, "Last reported concurrent viewers of this stream."),
        Column("viewers_at", TIME, "Time of that reading."),
        *_from(STREAMS, "viewers_total"),
        _FOLLOWERS,
        _PRECISION,
    ),
    """
    SELECT s.stream_id, s.creator_id, c.handle, c.display_name, c.niche, s.room_id, s.title, s.started_at,
           s.ended_at_lo AS last_seen_live_at, s.airtime_s, s.peak_viewers, s.average_viewers,
           CASE WHEN o.observed_at >= s.started_at THEN o.viewers END AS viewers,
           CASE WHEN o.observed_at >= s.started_at THEN o.observed_at END AS viewers_at,
           s.viewers_total, c.followers, c.followers_precision
    FROM streams s
    LEFT JOIN creators c ON c.creator_id = s.creator_id
    LEFT JOIN (
        SELECT DISTINCT ON (creator_id) creator_id, viewers, observed_at
        FROM live_observations
        WHERE live_state IN ('live', 'paused') AND viewers IS NOT NULL
          AND observed_at >= (SELECT as_of FROM publication) - INTERVAL '1 day'
        ORDER BY creator_id, observed_at DESC
    ) o ON o.creator_id = s.creator_id
    WHERE s.status = 'live'
      AND coalesce(s.ended_at_lo, s.started_at_hi) >= (SELECT as_of FROM publication) - INTERVAL '1 hour'
    ORDER BY viewers DESC NULLS LAST, s.stream_id
    """,
)

# A value in the unit that people read: hours for airtime, as it is for all other metrics.
_BOARD_VALUE_H = Column("value_h", RATIO, "Airtime in hours; null for other metrics.")


def _board(name: str, grain: str, description: str, condition: str) -> View:
    """Return a view of the boards with names first, then what a ranking is read for."""
    read = (
        "as_of", "period", "metric", "rank", "value", "value_h", "share", "rank_change", "is_new", "previous_rank",
        "value_lo", "value_hi", "confident_rank", "creator_id",
    )  # fmt: skip
    columns = {column.name: column for column in (*LEADERBOARD.columns, _BOARD_VALUE_H)}
    listed = ", ".join(
        "CASE WHEN l.metric = 'airtime' THEN l.value / 3600 END AS value_h" if name == "value_h" else f"l.{name}"
        for name in read
    )
    return View(
        name,
        grain,
        description,
        (_HANDLE, _DISPLAY_NAME, *_from(LEADERBOARD, "niche"), *(columns[name] for name in read)),
        f"""
    SELECT c.handle, c.display_name, l.niche, {listed}
    FROM leaderboard l
    LEFT JOIN creators c ON c.creator_id = l.creator_id
    {condition}
    """,
    )


_LEADERBOARD_TODAY = _board(
    "leaderboard_today",
    "one row a period, niche, metric and creator, as of the newest day",
    "The boards as of the newest day, with handles.",
    """WHERE l.as_of = (SELECT max(as_of) FROM leaderboard)
    ORDER BY l.period, l.niche, l.metric, l.rank, l.creator_id""",
)
_LEADERBOARD_OVERVIEW = _board(
    "leaderboard_overview",
    "one row a day, period, niche, metric and creator",
    "The boards of every day, with handles: start here for rankings over time.",
    "",
)

# The columns of stream_overview in the order in which an analyst reads them: who, when, how long, how many watched,
# what it brought, then details, and ids and limits last. Columns without an expression here are columns of `streams`.
_OVERVIEW_ORDER = (
    "handle", "display_name", "niche", "started_at", "ended_at", "status", "airtime_min", "airtime_h",
    "average_viewers", "peak_viewers", "hours_watched", "lift", "lift_lo", "lift_hi", "is_significant", "lift_pct",
    "lift_per_hour", "coverage_ratio", "is_final", "observable", "followers_before", "followers_after", "naive_delta",
    "expected_organic", "creator_followers", "followers_precision", "recaps", "recap_views", "joined", "conversion",
    "gift_index", "likes", "viewers_total", "platform_new_followers", "gap_since_previous_h", "detection_delay_min",
    "title", "tier", "verified", "peak_at", "reconnects", "rooms", "observations", "airtime_s", "observed_s",
    "gap_since_previous_s", "detection_delay_s", "started_at_lo", "started_at_hi", "ended_at_lo", "ended_at_hi",
    "before_at", "after_at", "resolution", "stream_id", "creator_id", "room_id", "vendors", "flags", "lift_flags",
    "lift_method",
)  # fmt: skip

_OF_LIFT = (
    "followers_before", "before_at", "followers_after", "after_at", "naive_delta", "expected_organic", "lift",
    "lift_lo", "lift_hi", "lift_pct", "lift_per_hour", "resolution", "observable", "is_final", "is_significant",
    "platform_new_followers",
)  # fmt: skip

_OVERVIEW: dict[str, tuple[Column, str]] = {
    column.name: (column, sql)
    for column, sql in (
        *((column, f"s.{column.name}") for column in STREAMS.columns),
        *((column, f"c.{column.name}") for column in (_HANDLE, _DISPLAY_NAME, _NICHE, _PRECISION)),
        *((column, f"c.{column.name}") for column in _maybe(*_from(CREATORS, "tier", "verified"))),
        *((column, f"f.{column.name}") for column in _maybe(*_from(STREAM_LIFT, *_OF_LIFT))),
        (Column("airtime_min", RATIO, "Time on air in minutes: airtime_s / 60.", nullable=False), "s.airtime_s / 60"),
        (Column("airtime_h", RATIO, "Time on air in hours: airtime_s / 3600.", nullable=False), "s.airtime_s / 3600"),
        (
            Column("gap_since_previous_h", RATIO, "Time since the previous stream."),
            "s.gap_since_previous_s / 3600",
        ),
        (
            Column("detection_delay_min", RATIO, "First on-air reading minus start."),
            "s.detection_delay_s / 60",
        ),
        (
            Column("creator_followers", COUNT, "The creator's newest follower count, of the best recent precision."),
            "c.followers",
        ),
        (
            Column(
                "lift_flags", pl.List(STRING), "Flags of the lift: late_before, below_resolution, overlap_next, ..."
            ),
            "f.flags",
        ),
        (Column("lift_method", STRING, "Name and version of the lift's method."), "f.method"),
        (
            Column(
                "recaps",
                COUNT,
                "Posts that recap it; null without a known one, if no published poll of posts came after it.",
            ),
            "CASE WHEN p.seen_at >= s.started_at THEN coalesce(r.recaps, 0) ELSE r.recaps END",
        ),
        (Column("recap_views", COUNT, "Their views; null if the views of one are missing."), "r.recap_views"),
        *((column, f"v.{column.name}") for column in _maybe(*_from(STREAM_CONVERSIONS, "joined", "conversion"))),
        *((column, f"g.{column.name}") for column in _maybe(*_from(GIFT_ESTIMATES, "gift_index"))),
    )
}

_STREAM_OVERVIEW = View(
    "stream_overview",
    "one row a stream",
    "One row a stream with its lift, its creator, recaps, new followers and gift index: start here.",
    tuple(_OVERVIEW[name][0] for name in _OVERVIEW_ORDER),
    f"""
    SELECT {", ".join(f"{_OVERVIEW[name][1]} AS {name}" for name in _OVERVIEW_ORDER)}
    FROM streams s
    LEFT JOIN stream_lift f ON f.stream_id = s.stream_id
    LEFT JOIN stream_conversions v ON v.stream_id = s.stream_id
    LEFT JOIN gift_estimates g ON g.stream_id = s.stream_id
    LEFT JOIN (
        SELECT stream_id, count(*) AS recaps,
               CASE WHEN count(views) = count(*) THEN CAST(sum(views) AS BIGINT) END AS recap_views
        FROM recaps
        GROUP BY stream_id
    ) r ON r.stream_id = s.stream_id
    LEFT JOIN (
        SELECT creator_id, max(observed_at) AS seen_at FROM post_observations GROUP BY creator_id
    ) p ON p.creator_id = s.creator_id
    LEFT JOIN creators c ON c.creator_id = s.creator_id
    """,
)

# A day is known if a reading shows whether the creator was on air: 0 hours are then a fact. A stream without reported
# viewers makes the day unknown, not 0.
_MOVERS = View(
    "movers",
    "one row a creator",
    "Viewer-hours of each creator on the last whole day against the day before and the medians of the 7 and the 28 "
    "days before; null if no reading shows whether the creator was on air, or how many watched.",
    (
        *_from(CREATORS, "creator_id"),
        _HANDLE,
        _NICHE,
        Column("day", pl.Date(), "The last whole day of the data, UTC.", nullable=False),
        Column("hours_watched", RATIO, "Viewer-hours of the streams that began on that day."),
        Column("previous_day", RATIO, "The same of the day before."),
        Column("median_7d", RATIO, "Median of the 7 days before `day`, known days only."),
        Column("median_28d", RATIO, "Median of the 28 days before `day`, known days only."),
        Column("known_days_28d", COUNT, "Known days behind median_28d.", nullable=False),
        Column("vs_previous_day", RATIO, "hours_watched - previous_day."),
        Column("vs_median_7d", RATIO, "hours_watched - median_7d."),
        Column("vs_median_28d", RATIO, "hours_watched - median_28d."),
    ),
    f"""
    WITH span AS (
        -- The last round of a whole day may end some minutes before midnight.
        SELECT {_day("as_of + INTERVAL '10 minutes'")} - 1 AS today FROM publication
    ), daily AS (
        SELECT creator_id, {_day("started_at")} AS day,
               CASE WHEN count(hours_watched) = count(*) THEN sum(hours_watched) END AS hours_watched
        FROM streams
        GROUP BY 1, 2
    ), days AS (
        SELECT c.creator_id, s.today - CAST(g.ago AS INTEGER) AS day,
               CASE WHEN x.creator_id IS NOT NULL THEN x.hours_watched
                    WHEN v.known_polls > 0 THEN CAST(0 AS DOUBLE PRECISION) END AS hours_watched
        FROM creators c
        CROSS JOIN span s
        CROSS JOIN generate_series(0, 28) AS g(ago)
        LEFT JOIN daily x ON x.creator_id = c.creator_id AND x.day = s.today - CAST(g.ago AS INTEGER)
        LEFT JOIN coverage v ON v.creator_id = c.creator_id AND v.day = s.today - CAST(g.ago AS INTEGER)
    ), compared AS (
        SELECT d.creator_id, s.today AS day,
               max(d.hours_watched) FILTER (WHERE d.day = s.today) AS hours_watched,
               max(d.hours_watched) FILTER (WHERE d.day = s.today - 1) AS previous_day,
               {_median(7)} AS median_7d,
               {_median(28)} AS median_28d,
               count(d.hours_watched) FILTER (WHERE d.day < s.today) AS known_days_28d
        FROM days d
        CROSS JOIN span s
        GROUP BY d.creator_id, s.today
    )
    SELECT m.creator_id, c.handle, c.niche, m.day, m.hours_watched, m.previous_day, m.median_7d, m.median_28d,
           m.known_days_28d, m.hours_watched - m.previous_day AS vs_previous_day,
           m.hours_watched - m.median_7d AS vs_median_7d, m.hours_watched - m.median_28d AS vs_median_28d
    FROM compared m
    JOIN creators c ON c.creator_id = m.creator_id
    ORDER BY abs(m.hours_watched - m.median_28d) DESC NULLS LAST, m.creator_id
    """,
)

_WENT_DARK = View(
    "went_dark",
    "one row a creator",
    "Creators on the roster whose last known stream ended three days or more before the data, longest silence first. "
    "Only creators with readings of off air in those days: without readings, no creator went dark.",
    (
        *_from(CREATORS, "creator_id"),
        _HANDLE,
        _NICHE,
        Column("last_stream_ended_at", TIME, "End of the last known stream, or its last reading.", nullable=False),
        Column("streams_known", COUNT, "Streams known of the creator.", nullable=False),
        Column("days_dark", COUNT, "Whole days since then.", nullable=False),
        Column("known_polls_3d", COUNT, "Readings of the last 3 days with a known live state.", nullable=False),
    ),
    f"""
    SELECT c.creator_id, c.handle, c.niche, s.last_stream_ended_at, s.streams_known,
           CAST(floor(extract(epoch FROM (p.as_of - s.last_stream_ended_at)) / 86400) AS BIGINT) AS days_dark,
           v.known_polls_3d
    FROM creators c
    CROSS JOIN publication p
    JOIN (
        SELECT creator_id, max(coalesce(ended_at, ended_at_lo, started_at_hi)) AS last_stream_ended_at,
               count(*) AS streams_known, count(*) FILTER (WHERE status = 'live') AS on_air
        FROM streams
        GROUP BY creator_id
    ) s ON s.creator_id = c.creator_id
    JOIN (
        SELECT creator_id, CAST(sum(known_polls) AS BIGINT) AS known_polls_3d
        FROM coverage
        WHERE day > (SELECT {_day("as_of")} FROM publication) - 3
        GROUP BY creator_id
    ) v ON v.creator_id = c.creator_id
    WHERE c.on_roster AND s.on_air = 0 AND v.known_polls_3d > 0
      AND s.last_stream_ended_at <= p.as_of - INTERVAL '3 days'
    ORDER BY s.last_stream_ended_at, c.creator_id
    """,
)

VIEWS: dict[str, View] = {
    view.name: view
    for view in (_LIVE_NOW, _LEADERBOARD_TODAY, _LEADERBOARD_OVERVIEW, _STREAM_OVERVIEW, _MOVERS, _WENT_DARK)
}
