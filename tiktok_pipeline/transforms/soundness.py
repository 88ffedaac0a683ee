"""Make normalized rows sound: a vendor's body must not break a blocking check.

A value that cannot be true becomes null, a row without a usable id is dropped, and a repeated item is kept once. Every
change adds a row to `quarantine`, and the check `readability` counts it. The blocking checks (`contract`,
`identities`) then fail for faults of this code only.

Put a rule here if a vendor's body or header can break it, for any reader of the body. `providers/` has the formats of
values; `evidence` chooses between two plausible readings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from tiktok_pipeline import tables
from tiktok_pipeline.tables import COUNT, RATIO, STRING, TIME, Table

# TikTok began in 2016: an earlier time is a default value or another unit.
_FIRST_MOMENT = datetime(2016, 1, 1, tzinfo=UTC)
# Clocks of vendors are off by minutes. Later than this after the reading, an event has not happened yet.
_CLOCK_SKEW = timedelta(minutes=10)
# A vendor's cache keeps a response for minutes. An `Age` of a day or more is no age; the client cuts it to a day.
_LONGEST_AGE = timedelta(days=1)
# Marts look for the start of an open stream this far back (defs/marts/daily.LONGEST_STREAM_DAYS).
_LONGEST_STREAM = timedelta(days=60)
# A story expires after a day. TikTok may change that, but not to more than this.
_LONGEST_STORY = timedelta(days=31)
# Videos last up to an hour, recordings of streams some hours.
_LONGEST_MEDIA_S = 7 * 86_400.0

# More accounts than people. Sums of a million such counts still fit into Int64.
_MOST_ACCOUNTS = 10**10
# A hundred times the likes of the most liked account. Sums of a million such counts still fit into Int64.
_MOST = 10**12
_ACCOUNTS = frozenset({"followers", "following", "viewers", "gifters", "new_followers", "list_total"})

_LONGEST_ID = 200
_IDS = frozenset(
    {
        "room_id",
        "user_id",
        "sec_uid",
        "handle",
        "story_id",
        "post_id",
        "follower_key",
        "ranked_user_id",
        "ranked_handle",
        "keyword",
    }
)

_ABOUT = ("creator_id", "vendor", "observed_at", "capture_id")


@dataclass(frozen=True)
class _Rule:
    """Impossible values of `column`: their rows, and the reason for `quarantine` (None: no row is written)."""

    column: str
    wrong: pl.Expr
    reason: str | None


def make_sound(frames: Mapping[str, pl.DataFrame], raw_table: str) -> dict[str, pl.DataFrame]:
    """Remove values and rows from `frames` that no normalized table may contain.

    Args:
        frames: name -> frame in the table's schema, as `read_bodies` returns them for one raw table.
        raw_table: that raw table's name, for the quarantine.

    Returns:
        The same frames, sound, with one row in `quarantine` for every changed value or dropped item. Which of two
        rows with one key is kept does not depend on their order.
    """
    sound: dict[str, pl.DataFrame] = {}
    notes = [frames[tables.QUARANTINE.name]]
    for name, frame in frames.items():
        table = tables.TABLES[name]
        if table is tables.QUARANTINE:
            continue
        rows = _without_nul(frame)
        for rule in _RULES[name]:
            rows, noted = _applied(table, rows, rule, raw_table)
            notes.extend(noted)
        rows, noted = _deduplicated(table, rows, raw_table)
        notes.extend(noted)
        sound[name] = rows
    # Two faults of one body may read the same: the table has one row a body, field and reason.
    quarantine = tables.QUARANTINE
    sound[quarantine.name], _ = _deduplicated(quarantine, _without_nul(pl.concat(notes)), raw_table)
    return sound


def correct_ages(raw: pl.DataFrame, raw_table: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Replace `observed_at` by `received_at` in rows with an implausible `Age` header.

    Args:
        raw: rows with the raw columns.
        raw_table: their table's name.

    Returns:
        (`raw` with a plausible `observed_at`, QUARANTINE rows for those that were changed).
    """
    age = pl.col("received_at") - pl.col("observed_at")
    wrong = (age < timedelta(0)) | (age >= _LONGEST_AGE)
    changed = raw.filter(wrong)
    if changed.is_empty():
        return raw, tables.QUARANTINE.empty()
    noted = changed.with_columns(observed_at="received_at", _value=age.dt.total_seconds().cast(STRING))
    return (
        raw.with_columns(observed_at=pl.when(wrong).then("received_at").otherwise("observed_at")),
        _notes(noted, raw_table, "implausible age, in seconds: dated by receipt", "age", pl.col("_value")),
    )


def merge_shapes(parts: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Concatenate PAYLOAD_SHAPES of several raw tables, with one row for an endpoint that two of them have."""
    table = tables.PAYLOAD_SHAPES
    shapes = pl.concat(parts)
    return (
        shapes.sort("observed_at", "capture_id", "example", nulls_last=True)
        .group_by(table.key, maintain_order=True)
        .agg(pl.col("creator_id", "observed_at", "capture_id", "example").first(), pl.col("bodies", "sampled").sum())
        .select(table.schema.names())
    )


def _applied(
    table: Table, rows: pl.DataFrame, rule: _Rule, raw_table: str
) -> tuple[pl.DataFrame, tuple[pl.DataFrame, ...]]:
    """Return `rows` with values that break the rule set to null, or dropped if the column is required."""
    wrong = pl.col(rule.column).is_not_null() & rule.wrong.fill_null(value=False)
    broken = rows.filter(wrong)
    if broken.is_empty():
        return rows, ()
    value = pl.col(rule.column).cast(STRING)
    noted = (_notes(broken, raw_table, rule.reason, rule.column, value),) if rule.reason else ()
    if rule.column in _required(table):
        return rows.filter(~wrong), noted
    return rows.with_columns(pl.when(~wrong).then(rule.column).alias(rule.column)), noted


def _deduplicated(table: Table, rows: pl.DataFrame, raw_table: str) -> tuple[pl.DataFrame, tuple[pl.DataFrame, ...]]:
    """Return `rows` with one row a key: the most informative one, then by values, so that row order does not matter."""
    if rows.is_empty():
        return rows, ()
    shares = pl.struct(table.key).is_duplicated()
    repeated = rows.filter(shares)
    if repeated.is_empty():
        return rows, ()
    chosen = repeated.sort(
        *_PREFERRED.get(table.name, ()),
        pl.sum_horizontal(pl.all().is_null()),
        *rows.columns,
        nulls_last=True,
    ).unique(table.key, keep="first", maintain_order=True)
    sound = pl.concat([rows.filter(~shares), chosen])
    if table is tables.QUARANTINE:
        return sound, ()
    parts = [name for name in table.key if name != "capture_id"]
    value = (
        pl.concat_str(pl.col(parts).cast(STRING), separator=" ", ignore_nulls=True) if parts else pl.lit(None, STRING)
    )
    reason = f"repeated item: kept once by {', '.join(parts)}" if parts else "more than one reading: kept once"
    return sound, (_notes(chosen, raw_table, reason, None, value),)


def _notes(rows: pl.DataFrame, raw_table: str, reason: str, field: str | None, value: pl.Expr) -> pl.DataFrame:
    """Return QUARANTINE rows about `rows`."""
    return rows.select(
        *_ABOUT,
        table=pl.lit(raw_table),
        reason=pl.lit(reason),
        field=pl.lit(field, STRING),
        value=value.str.slice(0, 200),
    ).select(pl.col(name).cast(dtype) for name, dtype in tables.QUARANTINE.schema.items())


def _without_nul(rows: pl.DataFrame) -> pl.DataFrame:
    """Return `rows` without NUL characters: Postgres rejects them, so that one title would stop a publish."""
    texts = [name for name, dtype in rows.schema.items() if dtype == STRING]
    # Check first without a change: nearly no frame has any.
    if not rows.select(pl.any_horizontal(pl.col(texts).str.contains("\0", literal=True).any())).item():
        return rows
    return rows.with_columns(pl.col(texts).str.replace_all("\0", "", literal=True))


def _required(table: Table) -> set[str]:
    return {column.name for column in table.columns if not column.nullable}


def _of_columns(table: Table) -> list[_Rule]:
    """Return rules for a column by its type and name: ids, counts, lengths, times."""
    rules = []
    for column in table.columns:
        name, value = column.name, pl.col(column.name)
        if name in _ABOUT:
            continue
        if name in _IDS:
            rules.append(_Rule(name, value.str.strip_chars() == "", "empty id"))
            rules.append(_Rule(name, value.str.len_chars() > _LONGEST_ID, "id too long"))
        elif column.dtype == COUNT:
            most = _MOST_ACCOUNTS if name in _ACCOUNTS else _MOST
            rules.append(_Rule(name, value < 0, "negative count"))
            rules.append(_Rule(name, value > most, "implausible count"))
        elif column.dtype == RATIO:
            rules.append(_Rule(name, ~value.is_finite(), "not a finite number"))
            rules.append(_Rule(name, (value < 0) | (value > _LONGEST_MEDIA_S), "implausible duration"))
        elif column.dtype == TIME:
            rules.append(_Rule(name, value < _FIRST_MOMENT, "time before 2016"))
            if name != "expires_at":
                rules.append(_Rule(name, value > pl.col("observed_at") + _CLOCK_SKEW, "time after the reading"))
    return rules


_exact, _unit = pl.col("followers_precision") == "exact", pl.col("followers_unit")
_PRECISION = (
    _Rule("followers_precision", pl.col("followers").is_null(), None),
    _Rule(
        "followers_precision",
        (_exact != (_unit == 1))
        | (_unit < 1)
        | (~_exact & _unit.is_null())
        # A rounded count is a multiple of its unit.
        | (pl.col("followers") % pl.when(_unit > 0).then(_unit) != 0),
        "precision contradicts the count or its unit",
    ),
    _Rule("followers_unit", pl.col("followers_precision").is_null(), None),
)

_MORE: dict[str, tuple[_Rule, ...]] = {
    tables.PROFILE_OBSERVATIONS.name: _PRECISION,
    tables.LIVE_OBSERVATIONS.name: (
        _Rule("started_at", pl.col("started_at") < pl.col("observed_at") - _LONGEST_STREAM, "start 60 days ago"),
        _Rule("ended_at", pl.col("live_state") != "ended", "end of a room that has not ended"),
        _Rule("ended_at", pl.col("ended_at") < pl.col("started_at"), "end before the start"),
    ),
    tables.STORY_OBSERVATIONS.name: (
        _Rule("expires_at", pl.col("expires_at") < pl.col("published_at"), "expiry before the publication"),
        _Rule(
            "expires_at",
            pl.col("expires_at") > pl.coalesce("published_at", "observed_at") + _LONGEST_STORY,
            "implausible expiry",
        ),
    ),
    tables.FOLLOWER_LIST_ENTRIES.name: (_Rule("position", pl.col("position") < 1, "no place in a list"),),
    tables.LIVE_RANKING_ENTRIES.name: (_Rule("rank", pl.col("rank") < 1, "no place in a list"),),
    tables.SEARCH_HITS.name: (_Rule("rank", pl.col("rank") < 1, "no place in a list"),),
}

_RULES: dict[str, tuple[_Rule, ...]] = {
    table.name: (*_of_columns(table), *_MORE.get(table.name, ()))
    for table in tables.TABLES.values()
    if table.layer == "normalized" and table not in (tables.QUARANTINE, tables.PAYLOAD_SHAPES)
}

# Of two rows with one key, prefer by these; then the one with fewer nulls, then the smaller values.
_PREFERRED: dict[str, tuple[pl.Expr, ...]] = {
    tables.LIVE_OBSERVATIONS.name: (pl.col("live_state") == "unknown", pl.col("evidence") != "strong"),
    tables.FOLLOWER_LIST_ENTRIES.name: (pl.col("position"),),
    tables.LIVE_RANKING_ENTRIES.name: (pl.col("rank"),),
}
