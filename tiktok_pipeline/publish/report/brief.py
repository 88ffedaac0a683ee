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
from tiktok_pipeline.publish.report.client import ClientScope, restrict

# Rows by section that are shown of all creators, of a niche or of a creator: few enough to read.
LIVE, BOARD, CARDS, LIFTS, MOVERS, DARK, STORIES, RECAPS, WATCHED, TAKEN = 30, 10, 24, 16, 12, 12, 12, 12, 20, 12
# Streams of a creator among others, so that one busy creator does not fill the page.
CARDS_A_CREATOR = 3
# Rows that the page carries of every creator, for a reader who chooses that creator.
STREAMS_EACH, LIFTS_EACH, POSTS_EACH = 6, 4, 4

# Creators whose rows the page carries, so that its size has a limit. Of a larger roster, those with the best ranks.
CREATORS = 1_000

# Points of a viewers' curve: more points than pixels would show nothing.
CURVE_POINTS = 60

# The periods of the page, in days that end with today: those of the boards.
PERIODS = {"day": 1, "week": 7, "month": 30}
SPAN_DAYS = PERIODS["week"]

# Least share of the time, or of the readings, that a number needs to stand without a mark (docs/methods.md 1.1).
WELL_COVERED = 0.8

# How the numbers of creators are combined into those of several creators.
_OF_PERIODS = {
    "streams": "sum", "airtime_s": "sum", "hours_watched": "sum", "observed_s": "sum", "counted_s": "sum",
    "peak_viewers": "max", "lift": "sum", "lifts": "sum", "clear": "sum",
}  # fmt: skip
STATS: dict[str, str] = {
    **{f"{name}_{period}": how for period in (*PERIODS, "before") for name, how in _OF_PERIODS.items()},
    **dict.fromkeys(
        ("watched", "live", "live_viewers", "n_streams", "n_lifts", "n_movers", "n_dark", "n_stories", "n_recaps",
         "n_coverage", "n_taken", "polls", "known_polls", "unreadable"),
        "sum",
    ),
    "median_gap_s": "median",
    "largest_gap_s": "max",
}  # fmt: skip


@dataclass(frozen=True)
class Brief:
    """Frames by section; their columns are those of the queries below, named as in tables.py.

    Attributes:
        client: the name of the client whose creators alone the data is of; None for all creators.
        compared: whether the period before was polled.
        depth: places to which the boards of niches are complete; None if all places are.
        stats: a row a carried creator: `creator_id`, `niche`, and the columns of `STATS`.
        scopes: the same numbers of all creators (`*`) and of each niche.
    """

    generation: str
    as_of: datetime
    stands_still: str | None
    last_whole_day: date
    boards_as_of: date | None
    client: str | None
    compared: bool
    days_watched: int
    depth: int | None
    creators: pl.DataFrame
    stats: pl.DataFrame
    scopes: dict[str, dict[str, Any]]
    live: pl.DataFrame
    boards: pl.DataFrame
    trends: pl.DataFrame
    streams: pl.DataFrame
    curves: pl.DataFrame
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


def read_brief(snapshot: Path, client: ClientScope | None = None) -> Brief:
    """Read everything that the report shows; of a client, only the data of its creators.

    Raises:
        PublishError: there is no snapshot, it is not one of this release, or it has no creator of the client.
    """
    if not snapshot.exists():
        raise PublishError(f"there is no warehouse at {snapshot} for a report: run `derive` or `make demo` first")
    try:
        with duckdb.connect(":memory:" if client else str(snapshot), read_only=client is None) as connection:
            if client is not None:
                restrict(connection, snapshot, client)
            return _Reader(connection, client).brief()
    except duckdb.Error as error:
        reason = str(error).partition("\n")[0]
        raise PublishError(
            f"the report was not made from {snapshot}: {reason}; run `derive` to publish again"
        ) from error


class _Reader:
    """The queries, in the order of the page."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, client: ClientScope | None) -> None:
        self._connection = connection
        self._client = client
        self._most = {"streams": STREAMS_EACH, "lifts": LIFTS_EACH, "posts": POSTS_EACH}
        if client is not None:
            # A client's own page has all its rows.
            self._most = dict.fromkeys(self._most, 1_000_000)

    def brief(self) -> Brief:
        publication = self._row("SELECT * FROM publication")
        depth = self._carry()
        self._connection.execute(
            "CREATE OR REPLACE TEMP VIEW today AS SELECT coalesce((SELECT max(as_of) FROM leaderboard), "
            "(SELECT CAST(as_of AS DATE) FROM publication)) AS day"
        )
        numbers = self._stats()
        boards = self._boards()
        streams = self._streams()
        return Brief(
            generation=publication["generation"],
            as_of=publication["as_of"],
            # A snapshot of an older release lacks this column.
            stands_still=publication.get("stands_still"),
            last_whole_day=self._row("SELECT CAST(as_of + INTERVAL 10 MINUTE AS DATE) - 1 AS day FROM publication")[
                "day"
            ],
            boards_as_of=self._row("SELECT max(as_of) AS day FROM leaderboard")["day"],
            client=self._client.name if self._client else None,
            compared=bool(
                self._row(f"SELECT min(day) <= (SELECT day FROM today) - {2 * SPAN_DAYS - 1} AS yes FROM coverage")[
                    "yes"
                ]
            ),
            days_watched=self._row("SELECT count(DISTINCT day) AS days FROM coverage")["days"],
            depth=depth,
            creators=self._frame("SELECT creator_id, handle, display_name, niche FROM creators ORDER BY creator_id"),
            stats=numbers.join(self._frame("SELECT creator_id FROM carried"), on="creator_id", how="semi"),
            scopes=_scopes(numbers),
            live=self._live(),
            boards=boards,
            trends=self._trends(),
            streams=streams,
            curves=self._curves(streams),
            lifts=self._lifts(),
            movers=self._movers(),
            dark=self._dark(),
            hours=self._hours(),
            stories=self._stories(),
            recaps=self._recaps(),
            coverage=self._coverage(),
            taken=self._taken(),
            vendors=self._vendors(),
            credits=self._frame(
                "SELECT day, vendor, sum(credits) AS credits FROM vendor_usage "
                "WHERE day > (SELECT day FROM today) - ? GROUP BY ALL ORDER BY ALL",
                SPAN_DAYS,
            ),
        )

    def _carry(self) -> int | None:
        """Choose the creators that the page carries; return the places of niche boards that are complete, or None.

        Of a large roster they are the first places of the boards of all creators, then those of niches by place.
        """
        chosen = self._frame(
            f"""
            SELECT c.creator_id, CASE WHEN b.best <= {BOARD} THEN 0 ELSE b.niche_best END AS place
            FROM creators c LEFT JOIN (
                SELECT creator_id, min(rank) FILTER (niche = '*') AS best,
                       min(rank) FILTER (niche <> '*') AS niche_best
                FROM leaderboard WHERE as_of = (SELECT max(as_of) FROM leaderboard) GROUP BY creator_id
            ) b USING (creator_id)
            ORDER BY place NULLS LAST, creator_id
            """
        )
        carried = chosen.head(CREATORS).select("creator_id")
        self._connection.register("carried_rows", carried)
        self._connection.execute("CREATE OR REPLACE TEMP TABLE carried AS SELECT creator_id FROM carried_rows")
        self._connection.unregister("carried_rows")
        place = chosen["place"][CREATORS] if chosen.height > CREATORS else None
        return None if place is None else int(place) - 1

    def _stats(self) -> pl.DataFrame:
        """Return a row a creator with the columns of `STATS`; a sum without a value is null."""
        spans = {name: f"t.day - s.day BETWEEN 0 AND {days - 1}" for name, days in PERIODS.items()}
        spans["before"] = f"t.day - s.day BETWEEN {SPAN_DAYS} AND {2 * SPAN_DAYS - 1}"
        sums = ", ".join(
            f"{value} FILTER ({within}{more}) AS {name}_{span}"
            for span, within in spans.items()
            for name, value, more in (
                ("streams", "count(*)", ""),
                ("airtime_s", "sum(airtime_s)", ""),
                ("hours_watched", "sum(hours_watched)", ""),
                ("observed_s", "sum(observed_s)", ""),
                ("counted_s", "sum(observed_s)", " AND hours_watched IS NOT NULL"),
                ("peak_viewers", "max(peak_viewers)", ""),
                ("lift", "sum(lift)", " AND lift_lo IS NOT NULL"),
                ("lifts", "count(*)", " AND lift_lo IS NOT NULL"),
                ("clear", "count(*)", " AND lift_lo > 0"),
            )
        )
        counted = ", ".join(
            f"(SELECT count(*) FROM {table} x WHERE x.creator_id = c.creator_id{more}) AS n_{name}"
            for name, table, more in (
                ("movers", "movers", " AND x.vs_previous_day <> 0"),
                ("dark", "went_dark", ""),
                ("stories", "stories", f" AND {_recent('x.published_at')}"),
                ("recaps", "recaps", f" AND {_recent('x.published_at')}"),
            )
        )
        frame = self._frame(
            f"""
            WITH s AS (
                SELECT s.*, CAST(s.started_at AS DATE) AS day, f.lift, f.lift_lo, f.followers_before
                FROM streams s LEFT JOIN stream_lift f USING (stream_id)
            ), summed AS (
                SELECT creator_id, {sums}, count(*) AS n_streams,
                       count(*) FILTER ({spans["week"]} AND lift_lo IS NOT NULL AND followers_before > 0) AS n_lifts
                FROM s, today t GROUP BY creator_id
            ), newest AS (
                SELECT * FROM coverage WHERE day = (SELECT max(day) FROM coverage)
            ), on_air AS (
                SELECT creator_id, count(*) AS live, sum(viewers) AS live_viewers FROM live_now GROUP BY creator_id
            ), watched AS (
                SELECT DISTINCT creator_id FROM coverage WHERE day > (SELECT day FROM today) - {SPAN_DAYS}
            )
            SELECT c.creator_id, c.niche, summed.* EXCLUDE (creator_id), {counted},
                   CAST(c.on_roster AS BIGINT) AS watched, coalesce(on_air.live, 0) AS live, on_air.live_viewers,
                   CAST(c.on_roster AND c.handle_taken_by IS NOT NULL AS BIGINT) AS n_taken,
                   CAST(watched.creator_id IS NOT NULL AS BIGINT) AS n_coverage,
                   newest.polls, newest.known_polls, CAST(newest.known_polls = 0 AS BIGINT) AS unreadable,
                   newest.median_gap_s, newest.largest_gap_s
            FROM creators c LEFT JOIN summed USING (creator_id) LEFT JOIN newest USING (creator_id)
            LEFT JOIN on_air USING (creator_id) LEFT JOIN watched USING (creator_id)
            ORDER BY c.creator_id
            """
        )
        counts = [name for name in frame.columns if name.startswith(("streams_", "lifts_", "clear_", "n_"))]
        return frame.select("creator_id", "niche", *STATS).with_columns(pl.col(counts).fill_null(0))

    def _live(self) -> pl.DataFrame:
        return self._frame(
            f"""
            SELECT l.creator_id, l.niche, l.title, l.started_at, l.airtime_s, l.viewers, l.peak_viewers,
                   l.followers, l.followers_precision, s.coverage_ratio
            FROM live_now l JOIN streams s USING (stream_id)
            QUALIFY {_chosen("l.viewers DESC NULLS LAST, l.creator_id", LIVE, LIVE, "l")}
            ORDER BY l.viewers DESC NULLS LAST, l.creator_id
            """
        )

    def _boards(self) -> pl.DataFrame:
        """Return the places of carried creators on the boards of all creators and of their niche.

        Columns: those of LEADERBOARD, places in the niche with the prefix `niche_`, the sum of the board where it has a
        meaning, and the observed share of the creator's airtime.
        """
        return self._frame(
            """
            WITH seen AS (
                SELECT period, creator_id, sum(observed_s) / nullif(sum(airtime_s), 0) AS coverage
                FROM streams, today, (VALUES ('day', 1), ('week', 7), ('month', 30)) periods(period, days)
                WHERE today.day - CAST(started_at AS DATE) BETWEEN 0 AND days - 1
                GROUP BY ALL
            ), board AS (
                SELECT *, CASE WHEN share IS NOT NULL THEN sum(value) OVER of_board END AS total
                FROM leaderboard WHERE as_of = (SELECT max(as_of) FROM leaderboard)
                WINDOW of_board AS (PARTITION BY period, niche, metric)
            )
            SELECT l.period, l.metric, l.creator_id, l.value, l.value_lo, l.value_hi, l.total,
                   l.rank, l.rank_change, l.previous_rank, l.is_new, l.confident_rank,
                   n.niche, n.rank AS niche_rank, n.rank_change AS niche_rank_change, n.is_new AS niche_is_new,
                   n.confident_rank AS niche_confident_rank, n.total AS niche_total, seen.coverage
            FROM board l JOIN carried USING (creator_id)
            LEFT JOIN board n ON n.period = l.period AND n.metric = l.metric AND n.creator_id = l.creator_id
                AND n.niche <> '*'
            LEFT JOIN seen ON seen.period = l.period AND seen.creator_id = l.creator_id
            WHERE l.niche = '*'
            ORDER BY l.period, l.metric, l.rank, l.creator_id
            """
        )

    def _trends(self) -> pl.DataFrame:
        """Return each day's value of every carried creator: day, metric, creator_id, value."""
        return self._frame(
            """
            SELECT as_of AS day, metric, creator_id, value FROM leaderboard JOIN carried USING (creator_id)
            WHERE period = 'day' AND niche = '*' AND as_of > (SELECT day FROM today) - ?
            ORDER BY ALL
            """,
            SPAN_DAYS,
        )

    def _streams(self) -> pl.DataFrame:
        """Return the newest streams; `nth` counts those of the creator from the newest."""
        return self._frame(
            f"""
            -- Choose by three columns of all streams first: the view then joins only the chosen ones.
            WITH numbered AS (
                SELECT s.stream_id, s.creator_id, c.niche, s.started_at,
                       row_number() OVER (PARTITION BY s.creator_id ORDER BY s.started_at DESC, s.stream_id) AS nth
                FROM streams s LEFT JOIN creators c USING (creator_id)
            ), chosen AS (
                SELECT * FROM numbered WHERE nth <= {self._most["streams"]}
                QUALIFY (nth <= {CARDS_A_CREATOR} AND {_first("nth > 3, started_at DESC, stream_id", CARDS)})
                    OR creator_id IN (SELECT creator_id FROM carried)
            )
            SELECT o.*, c.nth FROM stream_overview o JOIN chosen c ON c.stream_id = o.stream_id
            ORDER BY o.started_at DESC, o.stream_id
            """
        )

    def _curves(self, streams: pl.DataFrame) -> pl.DataFrame:
        """Return viewers over time: stream_id, observed_at, viewers; a row without viewers in each long gap."""
        shown = streams.filter(pl.col("nth") <= STREAMS_EACH)
        self._connection.register("shown", shown.select("stream_id", "creator_id", "started_at", "ended_at"))
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
        return thinned_curves(points)

    def _lifts(self) -> pl.DataFrame:
        """Return the clearest lifts of the week: by the lower bound, in percent of the followers before."""
        return self._frame(
            f"""
            SELECT stream_id, creator_id, handle, niche, started_at, coverage_ratio, followers_before,
                   lift, lift_lo, lift_hi, is_final, 100.0 * lift / followers_before AS percent,
                   100.0 * lift_lo / followers_before AS percent_lo, 100.0 * lift_hi / followers_before AS percent_hi
            FROM stream_overview o
            WHERE {_recent("started_at")} AND lift_lo IS NOT NULL AND followers_before > 0
            QUALIFY {_chosen("100.0 * lift_lo / followers_before DESC, stream_id", LIFTS, self._most["lifts"], "o")}
            ORDER BY percent_lo DESC, stream_id
            """
        )

    def _movers(self) -> pl.DataFrame:
        """Return the largest changes against the day before; without creators whose value did not change."""
        order = "abs(m.vs_previous_day) DESC, m.creator_id"
        return self._frame(
            f"""
            SELECT m.creator_id, m.niche, m.hours_watched, m.previous_day,
                   m.vs_previous_day, m.vs_median_7d, m.vs_median_28d,
                   v.known_polls / nullif(v.polls, 0) AS coverage
            FROM movers m LEFT JOIN coverage v ON v.creator_id = m.creator_id AND v.day = m.day
            WHERE m.vs_previous_day <> 0
            QUALIFY {_chosen(order, MOVERS, 1, "m")}
            ORDER BY {order}
            """
        )

    def _dark(self) -> pl.DataFrame:
        """Return the newest silences first: those creators can still be contacted."""
        order = "w.days_dark, w.streams_known DESC, w.creator_id"
        return self._frame(
            f"""
            SELECT w.creator_id, w.niche, w.days_dark, w.last_stream_ended_at, w.streams_known FROM went_dark w
            QUALIFY {_chosen(order, DARK, 1, "w")}
            ORDER BY {order}
            """
        )

    def _hours(self) -> pl.DataFrame:
        """Return airtime and viewer-hours by weekday (1 is Monday) and hour, UTC: all, niches, carried creators.

        Columns: scope (all, niche or creator), name, weekday, hour, airtime_s, hours_watched.
        """
        return self._frame(
            """
            WITH cells AS (SELECT h.*, c.niche FROM creator_hours h LEFT JOIN creators c USING (creator_id))
            SELECT scope, name, weekday, hour, sum(airtime_s) AS airtime_s, sum(hours_watched) AS hours_watched FROM (
                SELECT 'all' AS scope, '' AS name, * FROM cells
                UNION ALL SELECT 'niche', niche, * FROM cells WHERE niche <> ''
                UNION ALL SELECT 'creator', creator_id, * FROM cells JOIN carried USING (creator_id)
            ) GROUP BY ALL ORDER BY scope, name, weekday, hour
            """
        )

    def _stories(self) -> pl.DataFrame:
        order = "t.views DESC NULLS LAST, t.story_id"
        return self._frame(
            f"""
            SELECT t.*, c.niche FROM stories t JOIN creators c USING (creator_id)
            WHERE {_recent("t.published_at")}
            QUALIFY {_chosen(order, STORIES, self._most["posts"], "t", "c")}
            ORDER BY {order}
            """
        )

    def _recaps(self) -> pl.DataFrame:
        order = "r.views DESC NULLS LAST, r.post_id"
        return self._frame(
            f"""
            SELECT r.*, c.niche, s.started_at
            FROM recaps r JOIN creators c USING (creator_id) LEFT JOIN streams s USING (stream_id)
            WHERE {_recent("r.published_at")}
            QUALIFY {_chosen(order, RECAPS, self._most["posts"], "r", "c")}
            ORDER BY {order}
            """
        )

    def _coverage(self) -> pl.DataFrame:
        """Return the last days of creators, the worst coverage first: creator_id, niche, known_share, worst_gap_s."""
        order = "w.known_share NULLS FIRST, w.worst_gap_s DESC NULLS FIRST, w.creator_id"
        return self._frame(
            f"""
            WITH recent AS (SELECT * FROM coverage WHERE day > (SELECT day FROM today) - {SPAN_DAYS}),
            worst AS (
                SELECT w.*, c.niche FROM (
                    SELECT creator_id, sum(known_polls) / nullif(sum(polls), 0) AS known_share,
                           max(largest_gap_s) AS worst_gap_s
                    FROM recent GROUP BY creator_id
                ) w LEFT JOIN creators c USING (creator_id)
                QUALIFY {_chosen(order, WATCHED, 1, "w", "c")}
            )
            SELECT r.*, w.known_share, w.worst_gap_s, w.niche
            FROM worst w JOIN recent r USING (creator_id)
            ORDER BY {order}, r.day
            """
        )

    def _taken(self) -> pl.DataFrame:
        """Return the creators whose handle another account has, the newest first; none in a client's report."""
        return self._frame(
            f"""
            SELECT creator_id, niche, handle_taken_by, handle_taken_at FROM creators
            WHERE on_roster AND handle_taken_by IS NOT NULL AND {self._client is None}
            QUALIFY {_chosen("handle_taken_at DESC, creators.creator_id", TAKEN, 1, "creators")}
            ORDER BY handle_taken_at DESC, creators.creator_id
            """
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
            FROM vendor_usage WHERE day > (SELECT day FROM today) - ? GROUP BY vendor ORDER BY vendor
            """,
            SPAN_DAYS,
        )

    def _frame(self, sql: str, *parameters: object) -> pl.DataFrame:
        frame: pl.DataFrame = self._connection.sql(sql, params=list(parameters)).pl()
        # A sum of BIGINT is a HUGEINT, which arrives as a decimal.
        return frame.cast({selectors.decimal(): pl.Int64})

    def _row(self, sql: str, *parameters: object) -> dict[str, Any]:
        return self._frame(sql, *parameters).row(0, named=True)


def _recent(moment: str) -> str:
    """Return the condition that a time is in the days of the page, as the boards count them."""
    return f"(SELECT day FROM today) - CAST({moment} AS DATE) BETWEEN 0 AND {SPAN_DAYS - 1}"


def _first(order: str, most: int, niche: str = "niche") -> str:
    """Return the condition of the first `most` rows of all creators, and of every niche."""
    return (
        f"(row_number() OVER (ORDER BY {order}) <= {most} "
        f"OR row_number() OVER (PARTITION BY {niche} ORDER BY {order}) <= {most})"
    )


def _chosen(order: str, most: int, each: int, alias: str, niche_alias: str | None = None) -> str:
    """Return the condition of the rows that the page carries: the first of all creators, of every niche, and of
    every carried creator."""
    return (
        f"{_first(order, most, f'{niche_alias or alias}.niche')} "
        f"OR ({alias}.creator_id IN (SELECT creator_id FROM carried) "
        f"AND row_number() OVER (PARTITION BY {alias}.creator_id ORDER BY {order}) <= {each})"
    )


def _scopes(numbers: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """Return the numbers of all creators (`*`) and of each niche; a sum without a value is null."""

    def combined(frame: pl.DataFrame) -> dict[str, Any]:
        parts = []
        for name, how in STATS.items():
            column = pl.col(name)
            total = {"sum": column.sum(), "max": column.max(), "median": column.median()}[how]
            parts.append(pl.when(column.count() > 0).then(total).alias(name))
        return frame.select(parts).row(0, named=True)

    return {
        "*": combined(numbers),
        **{
            str(key[0]): combined(frame)
            for key, frame in numbers.filter(pl.col("niche") != "")
            .sort("niche")
            .partition_by("niche", as_dict=True, maintain_order=True)
            .items()
        },
    }


# Readings further apart than this are not joined by a line.
_BREAK_S = 900


def thinned_curves(points: pl.DataFrame) -> pl.DataFrame:
    """Return the points of each stream thinned to the drawable number, with a row without viewers in each long gap.

    Args:
        points: stream_id, observed_at, viewers, in order of stream and time.
    """
    of_stream = points.with_columns(
        every=(pl.len().over("stream_id") + CURVE_POINTS - 1) // CURVE_POINTS,
        nth=pl.int_range(pl.len()).over("stream_id"),
        gap_s=pl.col("observed_at").diff().over("stream_id").dt.total_seconds(),
    )
    # Keep the highest of each group: a peak that the text names must be on the line.
    thinned = (
        of_stream.sort(
            "stream_id", pl.col("nth") // pl.col("every"), "viewers", "observed_at",
            descending=[False, False, True, False],
        )
        .group_by("stream_id", pl.col("nth") // pl.col("every"), maintain_order=True)
        .first()
        .select("stream_id", "observed_at", "viewers")
    )  # fmt: skip
    silences = of_stream.filter(pl.col("gap_s") > _BREAK_S).select(
        "stream_id", pl.col("observed_at") - pl.duration(seconds=1), viewers=pl.lit(None, pl.Int64)
    )
    return pl.concat([thinned, silences]).sort("stream_id", "observed_at")
