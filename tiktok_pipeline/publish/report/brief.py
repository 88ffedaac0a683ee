"""Read the report's data from a published snapshot, so that the report and BI tools always agree.

Every frame is bounded, however large the roster: the page shows the total beside the number of rows.
Times are UTC without a zone, as in the snapshot.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
from polars import selectors

from tiktok_pipeline.errors import PublishError

# Rows by section: few enough to read, and to keep the page small.
LIVE, BOARD, NICHES, CARDS, LIFTS, MOVERS, DARK = 30, 10, 16, 24, 16, 6, 12
STORIES, RECAPS, WATCHED, HEAT_CREATORS, TAKEN = 12, 12, 20, 60, 12
CARDS_A_CREATOR = 3

# Points of a viewers' curve: more points than pixels would show nothing.
CURVE_POINTS = 90

TREND_DAYS, SPAN_DAYS = 14, 7

# Least share of the time, or of the readings, that a number needs to stand without a mark (docs/methods.md 1.1).
WELL_COVERED = 0.8


@dataclass(frozen=True)
class Brief:
    """Frames by section; their columns are those of the queries below, named as in tables.py."""

    generation: str
    as_of: datetime
    stands_still: str | None
    last_whole_day: date
    boards_as_of: date | None
    creators: pl.DataFrame
    totals: dict[str, Any]
    watch: dict[str, Any]
    live: pl.DataFrame
    boards: pl.DataFrame
    trends: pl.DataFrame
    streams: pl.DataFrame
    curves: dict[str, pl.DataFrame]
    lifts: pl.DataFrame
    movers: pl.DataFrame
    dark: pl.DataFrame
    hours: pl.DataFrame
    stories: pl.DataFrame
    recaps: pl.DataFrame
    coverage: pl.DataFrame
    taken: pl.DataFrame
    vendors: pl.DataFrame
    credits: pl.DataFrame
    counts: dict[str, int]


def read_brief(snapshot: Path) -> Brief:
    """Read everything that the report shows.

    Raises:
        PublishError: there is no snapshot, or it is not one of this release.
    """
    if not snapshot.exists():
        raise PublishError(f"there is no warehouse at {snapshot} for a report: run `derive` or `make demo` first")
    try:
        with duckdb.connect(str(snapshot), read_only=True) as connection:
            return _Reader(connection).brief()
    except duckdb.Error as error:
        reason = str(error).partition("\n")[0]
        raise PublishError(
            f"the report was not made from {snapshot}: {reason}; run `derive` to publish again"
        ) from error


class _Reader:
    """The queries, in the order of the page."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def brief(self) -> Brief:
        publication = self._row("SELECT * FROM publication")
        streams = self._streams()
        niches = self._frame(
            "SELECT niche FROM creators WHERE niche <> '' GROUP BY niche ORDER BY count(*) DESC, niche LIMIT ?", NICHES
        )["niche"].to_list()
        boards = self._boards(niches)
        return Brief(
            generation=publication["generation"],
            as_of=publication["as_of"],
            # A snapshot of an older release lacks this column.
            stands_still=publication.get("stands_still"),
            last_whole_day=self._row("SELECT CAST(as_of + INTERVAL 10 MINUTE AS DATE) - 1 AS day FROM publication")[
                "day"
            ],
            boards_as_of=self._row("SELECT max(as_of) AS day FROM leaderboard")["day"],
            creators=self._frame("SELECT creator_id, handle, display_name, niche FROM creators"),
            totals=self._totals(),
            watch=self._watch(),
            live=self._live(),
            boards=boards,
            trends=self._trends(boards),
            streams=streams,
            curves=self._curves(streams),
            lifts=self._lifts(),
            movers=self._movers(),
            dark=self._dark(),
            hours=self._hours(niches),
            stories=self._stories(),
            recaps=self._recaps(),
            coverage=self._coverage(),
            taken=self._taken(),
            vendors=self._vendors(),
            credits=self._frame(
                "SELECT day, vendor, sum(credits) AS credits FROM vendor_usage "
                "WHERE day > (SELECT max(day) FROM vendor_usage) - ? GROUP BY ALL ORDER BY ALL",
                TREND_DAYS,
            ),
            counts=self._counts(),
        )

    def _totals(self) -> dict[str, Any]:
        """Return totals of the last 24 hours, and of the 24 before them if those were polled."""
        return self._row(
            f"""
            WITH spans AS (
                SELECT s.*, s.started_at > p.as_of - INTERVAL 1 DAY AS recent
                FROM streams s, publication p WHERE s.started_at > p.as_of - INTERVAL 2 DAY
            )
            SELECT count(*) FILTER (recent) AS streams,
                   count(*) FILTER (NOT recent) AS streams_before,
                   coalesce(sum(airtime_s) FILTER (recent), 0) AS airtime_s,
                   coalesce(sum(airtime_s) FILTER (NOT recent), 0) AS airtime_s_before,
                   coalesce(sum(hours_watched) FILTER (recent), 0) AS hours_watched,
                   coalesce(sum(hours_watched) FILTER (NOT recent), 0) AS hours_watched_before,
                   sum(observed_s) FILTER (recent) / nullif(sum(airtime_s) FILTER (recent), 0) AS coverage,
                   (SELECT min(observed_at) FROM live_observations)
                     <= (SELECT as_of FROM publication) - INTERVAL 47 HOUR AS compared,
                   (SELECT count(DISTINCT day) FROM coverage) AS days_watched,
                   (SELECT count(*) FROM live_now) AS live,
                   (SELECT sum(viewers) FROM live_now) AS live_viewers,
                   (SELECT count(*) FROM stream_overview WHERE {_THIS_WEEK} AND lift_lo > 0) AS lifts_clear,
                   (SELECT count(*) FROM stream_overview WHERE {_THIS_WEEK} AND lift_lo IS NOT NULL) AS lifts_seen,
                   (SELECT count(*) FROM stream_overview WHERE {_THIS_WEEK}) AS lifts_all
            FROM spans
            """
        )

    def _watch(self) -> dict[str, Any]:
        """Return how closely the roster was polled on the newest day with polls, in all."""
        return self._row(
            """
            SELECT (SELECT count(*) FROM creators WHERE on_roster) AS watched,
                   (SELECT count(DISTINCT niche) FROM creators WHERE on_roster AND niche <> '') AS niches,
                   count(*) FILTER (known_polls = 0) AS unreadable,
                   median(median_gap_s) AS median_gap_s, max(largest_gap_s) AS largest_gap_s,
                   sum(known_polls) / nullif(sum(polls), 0) AS known_share, max(day) AS day
            FROM coverage WHERE day = (SELECT max(day) FROM coverage)
            """
        )

    def _live(self) -> pl.DataFrame:
        return self._frame(
            """
            SELECT l.creator_id, l.handle, l.display_name, l.niche, l.title, l.started_at, l.viewers, l.peak_viewers,
                   l.followers, l.followers_precision, s.coverage_ratio
            FROM live_now l JOIN streams s USING (stream_id)
            ORDER BY l.viewers DESC NULLS LAST, l.creator_id LIMIT ?
            """,
            LIVE,
        )

    def _boards(self, niches: list[str]) -> pl.DataFrame:
        """Return the first places of every board, with the observed share of the creator's airtime in the period."""
        return self._frame(
            """
            WITH seen AS (
                SELECT period, creator_id, sum(observed_s) / nullif(sum(airtime_s), 0) AS coverage
                FROM streams, (VALUES ('day', 1), ('week', 7), ('month', 30)) periods(period, days),
                     (SELECT max(as_of) AS as_of FROM leaderboard)
                WHERE CAST(started_at AS DATE) BETWEEN as_of - (days - 1) AND as_of
                GROUP BY ALL
            )
            SELECT l.period, l.niche, l.metric, l.creator_id, l.value, l.value_lo, l.value_hi, l.share, l.rank,
                   l.previous_rank, l.rank_change, l.is_new, l.confident_rank,
                   seen.coverage
            FROM leaderboard l LEFT JOIN seen USING (period, creator_id)
            WHERE l.as_of = (SELECT max(as_of) FROM leaderboard) AND (l.niche = '*' OR list_contains(?, l.niche))
            QUALIFY row_number() OVER (PARTITION BY l.period, l.niche, l.metric ORDER BY l.rank, l.creator_id) <= ?
            ORDER BY l.period, l.niche, l.metric, l.rank, l.creator_id
            """,
            niches,
            BOARD,
        )

    def _trends(self, boards: pl.DataFrame) -> pl.DataFrame:
        """Return each day's value of every creator on a board: day, metric, creator_id, value."""
        return self._frame(
            """
            SELECT as_of AS day, metric, creator_id, value FROM leaderboard
            WHERE period = 'day' AND niche = '*' AND list_contains(?, creator_id)
              AND as_of > (SELECT max(as_of) FROM leaderboard) - ?
            ORDER BY ALL
            """,
            boards["creator_id"].unique().sort().to_list(),
            TREND_DAYS,
        )

    def _streams(self) -> pl.DataFrame:
        return self._frame(
            """
            -- Choose by three columns of all streams first: the view then joins only the shown ones.
            WITH chosen AS (
                SELECT stream_id, row_number() OVER (PARTITION BY creator_id ORDER BY started_at DESC) AS nth
                FROM streams QUALIFY nth <= ? ORDER BY started_at DESC, stream_id LIMIT ?
            )
            SELECT o.*, c.nth FROM stream_overview o JOIN chosen c ON c.stream_id = o.stream_id
            ORDER BY o.started_at DESC, o.stream_id
            """,
            CARDS_A_CREATOR,
            CARDS,
        )

    def _curves(self, streams: pl.DataFrame) -> dict[str, pl.DataFrame]:
        """Return viewers over time by stream: observed_at, viewers; a row without viewers in each long gap."""
        if streams.is_empty():
            return {}
        self._connection.register("shown", streams.select("stream_id", "creator_id", "started_at", "ended_at"))
        points = self._frame(
            """
            SELECT s.stream_id, o.observed_at, max(o.viewers) AS viewers
            FROM shown s, publication p, live_observations o
            WHERE o.creator_id = s.creator_id AND o.live_state IN ('live', 'paused') AND o.viewers IS NOT NULL
              AND o.observed_at BETWEEN s.started_at AND coalesce(s.ended_at, p.as_of)
            GROUP BY s.stream_id, o.observed_at ORDER BY s.stream_id, o.observed_at
            """
        )
        self._connection.unregister("shown")
        return {str(key[0]): _curve(frame) for key, frame in points.partition_by("stream_id", as_dict=True).items()}

    def _lifts(self) -> pl.DataFrame:
        """Return the clearest lifts of the week: by the lower bound, in percent of the followers before."""
        return self._frame(
            f"""
            SELECT stream_id, creator_id, handle, display_name, niche, started_at, coverage_ratio, followers_before,
                   lift, lift_lo, lift_hi, is_final, 100.0 * lift / followers_before AS percent,
                   100.0 * lift_lo / followers_before AS percent_lo, 100.0 * lift_hi / followers_before AS percent_hi
            FROM stream_overview
            WHERE {_THIS_WEEK} AND lift_lo IS NOT NULL AND followers_before > 0
            ORDER BY percent_lo DESC, stream_id LIMIT ?
            """,
            LIFTS,
        )

    def _movers(self) -> pl.DataFrame:
        """Return the largest rises and falls against the day before; without creators whose value did not change."""
        return self._frame(
            """
            SELECT m.creator_id, c.handle, c.display_name, c.niche, m.hours_watched, m.previous_day,
                   m.vs_previous_day, m.vs_median_7d, m.vs_median_28d,
                   v.known_polls / nullif(v.polls, 0) AS coverage
            FROM movers m JOIN creators c ON c.creator_id = m.creator_id
            LEFT JOIN coverage v ON v.creator_id = m.creator_id AND v.day = m.day
            WHERE m.vs_previous_day <> 0
            QUALIFY row_number() OVER (PARTITION BY m.vs_previous_day > 0 ORDER BY abs(m.vs_previous_day) DESC) <= ?
            ORDER BY m.vs_previous_day > 0 DESC, abs(m.vs_previous_day) DESC, m.creator_id
            """,
            MOVERS,
        )

    def _dark(self) -> pl.DataFrame:
        """Return the newest silences first: those creators can still be contacted."""
        return self._frame(
            """
            SELECT w.creator_id, c.handle, c.display_name, c.niche, w.days_dark, w.last_stream_ended_at, w.streams_known
            FROM went_dark w JOIN creators c ON c.creator_id = w.creator_id
            ORDER BY w.days_dark, w.streams_known DESC, w.creator_id LIMIT ?
            """,
            DARK,
        )

    def _hours(self, niches: list[str]) -> pl.DataFrame:
        """Return airtime and viewer-hours by weekday (1 is Monday) and hour, UTC: all, niches, busiest creators.

        Columns: scope (all, niche or creator), name, weekday, hour, airtime_s, hours_watched.
        """
        cells = self._frame("SELECT h.*, c.niche FROM creator_hours h LEFT JOIN creators c USING (creator_id)")
        busiest = (
            cells.group_by("creator_id")
            .agg(pl.col("airtime_s").sum())
            .sort("airtime_s", "creator_id", descending=[True, False])
            .head(HEAT_CREATORS)
        )
        scopes = (
            cells.select(pl.lit("all").alias("scope"), pl.lit("").alias("name"), *_CELL),
            cells.filter(pl.col("niche").is_in(niches)).select(
                pl.lit("niche").alias("scope"), pl.col("niche").alias("name"), *_CELL
            ),
            cells.join(busiest, on="creator_id", how="semi").select(
                pl.lit("creator").alias("scope"), pl.col("creator_id").alias("name"), *_CELL
            ),
        )
        return (
            pl.concat(scopes)
            .group_by("scope", "name", "weekday", "hour")
            .agg(pl.col("airtime_s", "hours_watched").sum())
            .sort("scope", "name", "weekday", "hour")
        )

    def _stories(self) -> pl.DataFrame:
        return self._frame(
            """
            SELECT t.*, c.handle, c.display_name, c.niche FROM stories t JOIN creators c USING (creator_id)
            WHERE t.published_at > (SELECT as_of FROM publication) - to_days(?)
            ORDER BY t.views DESC NULLS LAST, t.story_id LIMIT ?
            """,
            SPAN_DAYS,
            STORIES,
        )

    def _recaps(self) -> pl.DataFrame:
        return self._frame(
            """
            SELECT r.*, c.handle, c.display_name, c.niche, s.started_at
            FROM recaps r JOIN creators c USING (creator_id) LEFT JOIN streams s USING (stream_id)
            WHERE r.published_at > (SELECT as_of FROM publication) - to_days(?)
            ORDER BY r.views DESC NULLS LAST, r.post_id LIMIT ?
            """,
            SPAN_DAYS,
            RECAPS,
        )

    def _coverage(self) -> pl.DataFrame:
        """Return the last days of the creators with the worst coverage: creator_id, handle, display_name, niche, ..."""
        return self._frame(
            """
            WITH recent AS (SELECT * FROM coverage WHERE day > (SELECT max(day) FROM coverage) - ?),
            worst AS (
                SELECT creator_id, sum(known_polls) / nullif(sum(polls), 0) AS known_share,
                       max(largest_gap_s) AS worst_gap_s
                FROM recent GROUP BY creator_id
                ORDER BY known_share NULLS FIRST, worst_gap_s DESC NULLS FIRST, creator_id LIMIT ?
            )
            SELECT r.*, w.known_share, w.worst_gap_s, c.handle, c.display_name, c.niche
            FROM worst w JOIN recent r USING (creator_id) LEFT JOIN creators c USING (creator_id)
            ORDER BY w.known_share NULLS FIRST, w.worst_gap_s DESC NULLS FIRST, r.creator_id, r.day
            """,
            SPAN_DAYS,
            WATCHED,
        )

    def _taken(self) -> pl.DataFrame:
        """Return the creators whose handle another account has, the newest first."""
        return self._frame(
            """
            SELECT creator_id, handle, display_name, niche, handle_taken_by, handle_taken_at FROM creators
            WHERE on_roster AND handle_taken_by IS NOT NULL
            ORDER BY handle_taken_at DESC, creator_id LIMIT ?
            """,
            TAKEN,
        )

    def _vendors(self) -> pl.DataFrame:
        return self._frame(
            """
            SELECT vendor, sum(requests) AS requests,
                   sum(ok + empty + not_found + not_live + private) AS answered,
                   sum(rate_limited) AS rate_limited, sum(blocked) AS blocked, sum(malformed) AS malformed,
                   sum(server_error + network_error) AS failed,
                   sum(unauthorized + out_of_credits + session_expired + invalid_request) AS refused,
                   sum(credits) AS credits, max(p95_ms) AS p95_ms
            FROM vendor_usage WHERE day > (SELECT max(day) FROM vendor_usage) - ? GROUP BY vendor ORDER BY vendor
            """,
            SPAN_DAYS,
        )

    def _counts(self) -> dict[str, int]:
        """Return the total number of rows of sections that are shown in part."""
        return self._row(
            f"""
            SELECT (SELECT count(*) FROM live_now) AS live,
                   (SELECT count(*) FROM streams) AS streams,
                   (SELECT count(*) FROM stream_overview WHERE {_THIS_WEEK} AND lift_lo IS NOT NULL) AS lifts,
                   (SELECT count(*) FROM movers WHERE vs_previous_day <> 0) AS movers,
                   (SELECT count(*) FROM went_dark) AS dark,
                   (SELECT count(*) FROM stories
                    WHERE published_at > (SELECT as_of FROM publication) - INTERVAL {SPAN_DAYS} DAY) AS stories,
                   (SELECT count(*) FROM recaps
                    WHERE published_at > (SELECT as_of FROM publication) - INTERVAL {SPAN_DAYS} DAY) AS recaps,
                   (SELECT count(DISTINCT creator_id) FROM coverage
                    WHERE day > (SELECT max(day) FROM coverage) - {SPAN_DAYS}) AS coverage,
                   (SELECT count(*) FROM creators WHERE on_roster AND handle_taken_by IS NOT NULL) AS taken,
                   (SELECT count(DISTINCT creator_id) FROM streams) AS streamed,
                   (SELECT count(DISTINCT niche) FROM creators WHERE niche <> '') AS niches
            """
        )

    def _frame(self, sql: str, *parameters: object) -> pl.DataFrame:
        frame: pl.DataFrame = self._connection.sql(sql, params=list(parameters)).pl()
        # A sum of BIGINT is a HUGEINT, which arrives as a decimal.
        return frame.cast({selectors.decimal(): pl.Int64})

    def _row(self, sql: str, *parameters: object) -> dict[str, Any]:
        return self._frame(sql, *parameters).row(0, named=True)


_CELL = ("weekday", "hour", "airtime_s", "hours_watched")

_THIS_WEEK = f"started_at > (SELECT as_of FROM publication) - INTERVAL {SPAN_DAYS} DAY"

# Readings further apart than this are not joined by a line.
_BREAK_S = 900


def _curve(points: pl.DataFrame) -> pl.DataFrame:
    """Return `points` thinned to the drawable number, with a row without viewers in each long gap."""
    every = -(-points.height // CURVE_POINTS)
    # Keep the highest of each group: a peak that the text names must be on the line.
    thinned = (
        points.select("observed_at", "viewers", handful=pl.int_range(pl.len()) // every)
        .sort("handful", "viewers", "observed_at", descending=[False, True, False])
        .group_by("handful", maintain_order=True)
        .first()
        .drop("handful")
    )
    silences = points.filter(pl.col("observed_at").diff().dt.total_seconds() > _BREAK_S).select(
        pl.col("observed_at") - pl.duration(seconds=1), viewers=pl.lit(None, pl.Int64)
    )
    return pl.concat([thinned, silences]).sort("observed_at")
