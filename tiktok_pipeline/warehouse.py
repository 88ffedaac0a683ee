"""Publishing: one read-only DuckDB file that BI tools open, and one Parquet file a table beside it.

The file is built under another name, in a storage version that every DuckDB since 1.2 opens, checked, made
read-only, and only then does the link `tiktok.duckdb` move to it: readers keep what they have open, new readers
see the new one, and a builder that dies leaves the old one served. SQL lives here and nowhere else.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
import polars as pl

from tiktok_pipeline.errors import PublishError
from tiktok_pipeline.lake import Lake
from tiktok_pipeline.tables import TABLES, Table

LINK = "tiktok.duckdb"

# Files of DuckDB 2's own default version open in no 1.x client.
_STORAGE_VERSION = "v1.2.0"

# Every mart, and every table of observations; playback variants and quarantine stay in the lake.
PUBLISHED: tuple[Table, ...] = tuple(
    table for table in TABLES.values() if table.layer == "marts" or table.name.endswith("_observations")
)

_TYPES: dict[type[pl.DataType], str] = {
    pl.String: "VARCHAR",
    pl.Int64: "BIGINT",
    pl.Int32: "INTEGER",
    pl.Float64: "DOUBLE",
    pl.Boolean: "BOOLEAN",
    pl.Date: "DATE",
    pl.Datetime: "TIMESTAMP",
    pl.List: "VARCHAR",
}

# What a BI tool starts from. Views: name -> (comment, SQL). `publication` says what moment the data speaks for.
VIEWS: dict[str, tuple[str, str]] = {
    "live_now": (
        "Streams that were on air when the data was published, with who they are and the viewers last seen.",
        """
        SELECT s.stream_id, s.creator_id, c.handle, c.display_name, c.niche, s.room_id, s.title, s.started_at,
               s.ended_at_lo AS last_seen_live_at, s.airtime_s, s.peak_viewers, s.average_viewers,
               o.viewers, s.viewers_total, c.followers, c.followers_precision
        FROM streams s
        LEFT JOIN creators c USING (creator_id)
        LEFT JOIN (
            SELECT creator_id, arg_max(viewers, observed_at) AS viewers
            FROM live_observations WHERE live_state IN ('live', 'paused') AND viewers IS NOT NULL
              AND observed_at >= (SELECT as_of FROM publication) - INTERVAL 1 DAY
            GROUP BY creator_id
        ) o USING (creator_id)
        WHERE s.status = 'live'
          AND coalesce(s.ended_at_lo, s.started_at_hi) >= (SELECT as_of FROM publication) - INTERVAL 1 HOUR
        ORDER BY o.viewers DESC NULLS LAST
        """,
    ),
    "leaderboard_today": (
        "The boards as of the newest day, with handles.",
        """
        SELECT l.*, c.handle, c.display_name
        FROM leaderboard l LEFT JOIN creators c USING (creator_id)
        WHERE l.as_of = (SELECT max(as_of) FROM leaderboard)
        ORDER BY l.period, l.niche, l.metric, l.rank, l.creator_id
        """,
    ),
    "stream_overview": (
        "One row a stream with its lift, its creator, recaps, new followers and gift index: start here. `recaps` is "
        "null where nobody looked at the creator's posts since the stream began.",
        """
        SELECT s.*, c.handle, c.display_name, c.niche, c.tier, c.verified,
               c.followers AS creator_followers, c.followers_precision,
               f.followers_before, f.before_at, f.followers_after, f.after_at, f.naive_delta, f.expected_organic,
               f.lift, f.lift_lo, f.lift_hi, f.lift_pct, f.lift_per_hour, f.resolution, f.observable, f.is_final,
               f.is_significant, f.platform_new_followers, f.flags AS lift_flags, f.method AS lift_method,
               CASE WHEN p.seen_at >= s.started_at THEN coalesce(r.recaps, 0) END AS recaps, r.recap_views,
               v.joined, v.conversion, g.gift_index
        FROM streams s
        LEFT JOIN stream_lift f USING (stream_id)
        LEFT JOIN stream_conversions v USING (stream_id)
        LEFT JOIN gift_estimates g USING (stream_id)
        LEFT JOIN (
            SELECT stream_id, count(*) AS recaps, CAST(sum(views) AS BIGINT) AS recap_views
            FROM recaps WHERE stream_id IS NOT NULL GROUP BY stream_id
        ) r USING (stream_id)
        LEFT JOIN (
            SELECT creator_id, max(observed_at) AS seen_at FROM post_observations GROUP BY creator_id
        ) p ON p.creator_id = s.creator_id
        LEFT JOIN creators c ON c.creator_id = s.creator_id
        """,
    ),
    "movers": (
        "Viewer-hours of each creator on the last whole day, less those of the day before and of the 7-day and 28-day "
        "medians (differences, in viewer-hours); null where nobody knew whether the creator was on air.",
        """
        WITH span AS (SELECT CAST(as_of + INTERVAL 10 MINUTE AS DATE) - 1 AS today FROM publication),
        daily AS (
            SELECT creator_id, CAST(started_at AS DATE) AS day, sum(hours_watched) AS hours_watched
            FROM streams GROUP BY ALL
        ),
        days AS (
            SELECT c.creator_id, CAST(d.day AS DATE) AS day,
                   CASE WHEN v.known_polls > 0 THEN coalesce(x.hours_watched, 0) END AS hours_watched
            FROM creators c, span,
                 generate_series(span.today - INTERVAL 28 DAY, span.today, INTERVAL 1 DAY) AS d(day)
            LEFT JOIN daily x ON x.creator_id = c.creator_id AND x.day = CAST(d.day AS DATE)
            LEFT JOIN coverage v ON v.creator_id = c.creator_id AND v.day = CAST(d.day AS DATE)
            WHERE CAST(d.day AS DATE) >= (SELECT min(day) FROM daily)
        )
        SELECT days.creator_id, max(handle) AS handle, max(niche) AS niche, max(today) AS day,
               max(hours_watched) FILTER (day = today) AS hours_watched,
               max(hours_watched) FILTER (day = today - 1) AS previous_day,
               median(hours_watched) FILTER (day BETWEEN today - 7 AND today - 1) AS median_7d,
               median(hours_watched) FILTER (day BETWEEN today - 28 AND today - 1) AS median_28d,
               max(hours_watched) FILTER (day = today) - max(hours_watched) FILTER (day = today - 1) AS vs_previous_day,
               max(hours_watched) FILTER (day = today)
                 - median(hours_watched) FILTER (day BETWEEN today - 7 AND today - 1) AS vs_median_7d,
               max(hours_watched) FILTER (day = today)
                 - median(hours_watched) FILTER (day BETWEEN today - 28 AND today - 1) AS vs_median_28d
        FROM days CROSS JOIN span JOIN creators c ON c.creator_id = days.creator_id
        GROUP BY days.creator_id
        ORDER BY abs(coalesce(vs_previous_day, 0)) DESC, days.creator_id
        """,
    ),
    "went_dark": (
        "Creators whose last known stream ended three days or more before the data, longest silence first.",
        """
        SELECT c.creator_id, c.handle, c.niche, max(s.ended_at) AS last_stream_ended_at, count(*) AS streams_known,
               CAST(date_diff('day', max(s.ended_at), (SELECT as_of FROM publication)) AS BIGINT) AS days_dark
        FROM creators c JOIN streams s USING (creator_id)
        WHERE c.on_roster
        GROUP BY c.creator_id, c.handle, c.niche
        HAVING max(s.ended_at) < (SELECT as_of FROM publication) - INTERVAL 3 DAY
           AND count(*) FILTER (s.status = 'live') = 0
        ORDER BY days_dark DESC, c.creator_id
        """,
    ),
}


@dataclass(frozen=True)
class Publication:
    """What is served: the snapshot, rows by table, and whether this run made it."""

    snapshot: Path
    rows: dict[str, int]
    changed: bool


def publish(
    connection: duckdb.DuckDBPyConnection, lake: Lake, warehouse: Path, *, now: datetime, keep: int
) -> Publication:
    """Build, check and serve a snapshot of the lake; nothing happens where nothing has changed.

    Args:
        connection: an in-memory connection that the snapshot is attached to.
        lake: where marts and observations are read.
        warehouse: the folder to serve from.
        now: names the generation.
        keep: snapshots that stay, this one included: a reader may still have an older one open.

    Raises:
        PublishError: the snapshot could not be built, or does not hold what the lake holds.
    """
    warehouse.mkdir(parents=True, exist_ok=True)
    fingerprint = _fingerprint(lake)
    served = _served(warehouse)
    if served is not None and _fingerprint_of(connection, served) == fingerprint:
        return Publication(served, _row_counts(connection, served), changed=False)
    generation = f"{now:%Y%m%dT%H%M%S}-{fingerprint[:8]}"
    building, snapshot = warehouse / f"building-{generation}.duckdb", warehouse / f"tiktok-{generation}.duckdb"
    try:
        rows = _build(connection, lake, building, generation, now, fingerprint)
        _write_parquet(connection, building, warehouse)
        _sync(building)
        building.chmod(0o444)
        building.replace(snapshot)
    except (duckdb.Error, OSError) as error:
        raise PublishError(f"the warehouse in {warehouse} was not replaced: {error}") from error
    finally:
        for left in warehouse.glob(f"building-{generation}*"):
            left.unlink()
    _serve(snapshot, warehouse / LINK)
    _prune(warehouse, snapshot, keep)
    return Publication(snapshot, rows, changed=True)


def _build(
    connection: duckdb.DuckDBPyConnection, lake: Lake, path: Path, generation: str, now: datetime, fingerprint: str
) -> dict[str, int]:
    rows = {}
    with _attached(connection, path, f"(STORAGE_VERSION '{_STORAGE_VERSION}')"):
        for table in PUBLISHED:
            columns = ", ".join(
                f'"{c.name}" {_TYPES[type(c.dtype)]}{"" if c.nullable else " NOT NULL"}' for c in table.columns
            )
            connection.execute(f"CREATE TABLE {table.name} ({columns})")
            rows[table.name] = _insert(connection, lake, table)
            connection.execute(f"COMMENT ON TABLE {table.name} IS {_quoted(table.description)}")
            for column in table.columns:
                connection.execute(f'COMMENT ON COLUMN {table.name}."{column.name}" IS {_quoted(column.description)}')
        connection.execute(
            "CREATE TABLE publication AS SELECT ? AS generation, ?::TIMESTAMP AS published_at, ? AS fingerprint, "
            "coalesce((SELECT max(observed_at) FROM live_observations), ?::TIMESTAMP) AS as_of",
            [generation, _naive(now), fingerprint, _naive(now)],
        ).fetchall()
        connection.execute("COMMENT ON TABLE publication IS 'What this file is, and the moment it speaks for (as_of).'")
        for name, (comment, sql) in VIEWS.items():
            connection.execute(f"CREATE VIEW {name} AS {sql}")
            connection.execute(f"COMMENT ON VIEW {name} IS {_quoted(comment)}")
            connection.execute(f"SELECT * FROM {name} LIMIT 1").fetchall()
        connection.execute("CHECKPOINT").fetchall()
    held = _row_counts(connection, path)
    if held != rows:
        raise PublishError(f"the snapshot {path.name} holds {held}, the lake {rows}: nothing was replaced")
    return rows


def _insert(connection: duckdb.DuckDBPyConnection, lake: Lake, table: Table) -> int:
    files = [str(file) for file in sorted(lake.folder(table).rglob("*.parquet"))]
    if not files:
        return 0
    expressions = ", ".join(
        f"array_to_string(\"{c.name}\", ',')"
        if isinstance(c.dtype, pl.List)
        else f'"{c.name}"::{_TYPES[type(c.dtype)]}'
        for c in table.columns
    )
    # Files are read by DuckDB itself, in a stream: a year of observations need not fit in memory.
    connection.execute(
        f"INSERT INTO {table.name} SELECT {expressions} FROM read_parquet(?, union_by_name = true, "
        "hive_partitioning = false)",
        [files],
    ).fetchall()
    counted = connection.execute(f"SELECT count(*) FROM {table.name}").fetchone()
    return int(counted[0]) if counted else 0


def _write_parquet(connection: duckdb.DuckDBPyConnection, snapshot: Path, warehouse: Path) -> None:
    """The same tables as single files, each replaced as a whole."""
    folder, staging = warehouse / "parquet", warehouse / "_staging"
    folder.mkdir(exist_ok=True)
    staging.mkdir(exist_ok=True)
    with _attached(connection, snapshot, "(READ_ONLY)"):
        for table in PUBLISHED:
            staged = staging / f"{table.name}.part"
            connection.execute(f"COPY {table.name} TO {_quoted(str(staged))} (FORMAT parquet, COMPRESSION zstd)")
            staged.replace(folder / f"{table.name}.parquet")
    shutil.rmtree(staging)


@contextmanager
def _attached(connection: duckdb.DuckDBPyConnection, path: Path, options: str) -> Iterator[None]:
    """Attach and use a file; always detached, so that its lock is not held by a traceback."""
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"ATTACH {_quoted(str(path))} AS snapshot {options}")
    try:
        connection.execute("USE snapshot")
        yield
    finally:
        connection.execute("USE memory")
        connection.execute("DETACH snapshot")


def _row_counts(connection: duckdb.DuckDBPyConnection, path: Path) -> dict[str, int]:
    with _attached(connection, path, "(READ_ONLY)"):
        counts = {}
        for table in PUBLISHED:
            counted = connection.execute(f"SELECT count(*) FROM {table.name}").fetchone()
            counts[table.name] = int(counted[0]) if counted else 0
        return counts


def _fingerprint(lake: Lake) -> str:
    """A hash over the bytes of everything that is published, and over how it is published."""
    digest = hashlib.blake2b(repr((PUBLISHED, VIEWS)).encode(), digest_size=16)
    for table in PUBLISHED:
        for path in sorted(lake.folder(table).rglob("*.parquet")):
            digest.update(str(path.relative_to(lake.root)).encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "blake2b").digest())
    return digest.hexdigest()


def _fingerprint_of(connection: duckdb.DuckDBPyConnection, snapshot: Path) -> str | None:
    """What a served snapshot was made from; None where it cannot be told, so that it is made again."""
    try:
        with _attached(connection, snapshot, "(READ_ONLY)"):
            row = connection.execute("SELECT fingerprint FROM publication").fetchone()
    except duckdb.Error:
        return None
    return str(row[0]) if row else None


def _served(warehouse: Path) -> Path | None:
    link = warehouse / LINK
    return link.resolve() if link.exists() else None


def _serve(snapshot: Path, link: Path) -> None:
    """Point the link at the snapshot, in one step; where there are no links, move a copy in."""
    staged = link.with_name(f".{LINK}.next")
    staged.unlink(missing_ok=True)
    try:
        staged.symlink_to(snapshot.name)
    except OSError:
        # A stale write-ahead log of a crashed client would be replayed into the new file.
        link.with_name(f"{LINK}.wal").unlink(missing_ok=True)
        shutil.copyfile(snapshot, staged)
    staged.replace(link)


def _prune(warehouse: Path, newest: Path, keep: int) -> None:
    """Remove all but the newest `keep` snapshots, and what dead builders left."""
    snapshots = sorted(warehouse.glob("tiktok-*.duckdb"), reverse=True)
    others = [snapshot for snapshot in snapshots if snapshot != newest]
    for old in others[max(keep - 1, 0) :]:
        old.unlink()
        old.with_name(f"{old.name}.wal").unlink(missing_ok=True)
    for dead in warehouse.glob("building-*"):
        dead.unlink()


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _naive(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None)
