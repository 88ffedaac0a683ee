"""Evidence to rooms: one row a room of a creator, with bounds of its start and of its end.

Rules: docs/methods.md 1.3 to docs/methods.md 1.8. A *spell* is a stretch of readings of on air without a
confirmed end in it; a room may span spells (it was reopened) and a spell may hold rooms (a reconnect). `streams`
derives streams from rooms.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from tiktok_pipeline.config.settings import Streams
from tiktok_pipeline.transforms.evidence import SettledReadings, room_created_at

# A reported start this long after the first reading of on air is a clock error, no new stream (docs/methods.md 1.4).
_CLOCK_SKEW = pl.duration(minutes=1)
# A vendor's start this long before the last reading of off air contradicts that reading (docs/methods.md 1.4).
_START_TOLERANCE = pl.duration(minutes=10)
# A room opens up to 89 s after its id was created, and never before it (docs/vendors.md 1.8).
_ID_TOLERANCE = pl.duration(minutes=1)

# A room that was closed for longer than this reopens only with proof (docs/methods.md 1.6).
_REOPENING = pl.duration(minutes=30)
# A stated end may lie this long before a reading of on air: clocks differ (docs/methods.md 1.5).
_END_SLACK = pl.duration(seconds=60)

_TIME = pl.Datetime("us", "UTC")
_NEVER = pl.lit(datetime(1970, 1, 1, tzinfo=UTC), _TIME)
_ROOM = ["creator", "room_id", "nameless"]
# A room that was closed and opened again has one row for each time that it was open.
_OPENING = [*_ROOM, "opening"]


@dataclass(frozen=True)
class Rooms:
    """`rooms`: one row an opening of a room, sorted by creator and first_live. `readings`: on air, with their room."""

    rooms: pl.DataFrame
    readings: pl.DataFrame


def derive_rooms(evidence: SettledReadings, settings: Streams) -> Rooms:
    """Derive rooms from the evidence.

    A room has creator, room_id (null if no vendor reported one) and nameless (distinguishes rooms without an id);
    opening (from 0) and opened_again (not the first opening); first_live and last_live; started_at,
    started_at_lo, start_source; ended_at and ended_at_hi (null while open); pending (the last reading was a single one
    of off air), summaries of its readings, and flags as booleans.
    """
    readings, ends = _spells(evidence.known, evidence.on_air, settings)
    unproven = _unproven(_with_room(readings), settings)
    if not unproven.is_empty():
        # Cached responses must not join a spell either: derive the spells again without them.
        known = evidence.known.filter(~pl.col("row").is_in(unproven.implode()).fill_null(value=False))
        readings, ends = _spells(known, evidence.on_air, settings)
    rooms, readings = _summed(_with_opening(_with_room(readings), settings), ends)
    return Rooms(_ended(_started(rooms, settings), settings), readings)


def _spells(known: pl.DataFrame, on_air: pl.DataFrame, settings: Streams) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return (readings of on air with their spell and the off air around them, ends that vendors report by room)."""
    opens = pl.col("creator").ne_missing(pl.col("creator").shift(1))
    known = known.with_columns(
        last_room=pl.when(pl.col("on") & pl.col("room_id").is_not_null())
        .then("room_id")
        .when(opens)
        .then(pl.lit(""))
        .forward_fill()
    )
    ends = (
        known.filter(pl.col("ended_at").is_not_null())
        .with_columns(room_id=pl.coalesce("room_id", pl.when(pl.col("last_room") != "").then("last_room")))
        .filter(pl.col("room_id").is_not_null())
        .select("creator", "room_id", stated_end="ended_at")
    )
    # The end of another room does not end the room on air.
    of_another = ~pl.col("on") & (pl.col("last_room") != "") & (pl.col("room_id") != pl.col("last_room"))
    known = known.filter(~of_another.fill_null(value=False)).drop("last_room", "room_id", "ended_at")
    known = known.with_columns(opens=opens).with_columns(
        run=(pl.col("opens") | (pl.col("on") != pl.col("on").shift(1))).fill_null(value=True).cum_sum(),
        last_off=pl.when(~pl.col("on")).then("at").when("opens").then(_NEVER).forward_fill(),
        next_off=pl.when(~pl.col("on"))
        .then("at")
        .when(pl.col("opens").shift(-1, fill_value=True))
        .then(_NEVER)
        .backward_fill(),
    )
    readings = (
        known.filter("on")
        .join(_runs(known, settings), on="run", how="left", maintain_order="left")
        .select(
            "creator",
            "at",
            "strong",
            "row",
            "spell",
            "closed",
            "closed_for_sure",
            _known("last_off"),
            _known("next_off"),
        )
    )
    readings = readings.hstack(on_air[readings["row"]])
    silent = pl.col("at") - pl.col("at").shift(1) > pl.duration(hours=settings.censor_hours)
    goes_on = (pl.col("spell") == pl.col("spell").shift(1)) & ~silent
    next_on = pl.when(pl.col("creator") == pl.col("creator").shift(-1)).then(pl.col("at").shift(-1))
    directly = (pl.col("next_off") <= next_on).fill_null(value=True)
    return (
        readings.with_columns(
            spell=(~goes_on).fill_null(value=True).cum_sum(),
            next_off=pl.when(directly).then("next_off"),
        ).with_columns(pl.col("closed", "closed_for_sure") & pl.col("next_off").is_not_null()),
        ends,
    )


def _known(column: str) -> pl.Expr:
    return pl.when(pl.col(column) != _NEVER).then(column)


def _runs(known: pl.DataFrame, settings: Streams) -> pl.DataFrame:
    """Return each run of equal readings: its spell, and whether a confirmed end follows it (docs/methods.md 1.5)."""
    runs = known.group_by("run", maintain_order=True).agg(
        pl.col("creator", "on", "opens").first(),
        first=pl.col("at").first(),
        last=pl.col("at").last(),
        readings=pl.len(),
        strong=pl.col("strong").any(),
    )
    span = pl.duration(seconds=settings.confirm_span_seconds)
    confirmed = (pl.col("readings") >= settings.confirm_offline) & (pl.col("last") - pl.col("first") >= span)
    runs = runs.with_columns(ends=~pl.col("on") & (pl.col("strong") | confirmed))
    followed = (pl.col("creator") == pl.col("creator").shift(-1)).fill_null(value=False)
    closed = followed & pl.col("ends").shift(-1, fill_value=False)
    return runs.select(
        "run",
        spell=(pl.col("opens") | pl.col("ends").shift(1, fill_value=False)).cum_sum(),
        closed=closed,
        closed_for_sure=closed & pl.col("strong").shift(-1, fill_value=False),
    )


def _with_room(readings: pl.DataFrame) -> pl.DataFrame:
    """Return `readings` with a room each: without a room id it is the open room, or a nameless one.

    A room that is named later in the spell takes earlier readings, if it was open then (docs/methods.md 1.3).
    """
    named = pl.col("room_id").is_not_null()
    made = readings.with_columns(
        opened=pl.when(named).then(pl.coalesce(room_created_at(pl.col("room_id")), "started_at", _NEVER)),
        named_in=pl.when(named).then("spell"),
    )
    same_spell_after = pl.col("named_in").backward_fill() == pl.col("spell")
    same_spell_before = pl.col("named_in").forward_fill() == pl.col("spell")
    open_already = pl.col("opened").backward_fill() <= pl.col("at") + _ID_TOLERANCE
    return (
        made.with_columns(
            room_id=pl.coalesce(
                "room_id",
                pl.when(same_spell_after & open_already).then(pl.col("room_id").backward_fill()),
                pl.when(same_spell_before).then(pl.col("room_id").forward_fill()),
            )
        )
        .with_columns(
            nameless=pl.when(pl.col("room_id").is_null()).then("spell"),
            lent=pl.col("room_id").is_not_null() & pl.col("named_in").is_null(),
        )
        .drop("opened", "named_in")
    )


def _unproven(readings: pl.DataFrame, settings: Streams) -> pl.Series:
    """Return positions in `on_air` of readings that contradict a confirmed end without proof (docs/methods.md 1.6).

    A closed room reopens at once within the reopening time. After that time, or after an end from the room's own
    status, it reopens only with proof: as many fresh readings over as long a span as end a stream. The same proof is
    required of a room that began before another room that has ended since, and of flags without a room right after
    an end.
    """
    readings = _with_earlier_end(readings)
    # No cached response has a start after the end of the room, so its repetitions are proof too.
    begun_later = (pl.col("started_at") > pl.col("earlier_end")) & (pl.col("started_at") <= pl.col("at") + _CLOCK_SKEW)
    # A reading that was only assigned to a room is no proof of it.
    proof = (pl.col("fresh") | begun_later.fill_null(value=False)) & ~pl.col("lent")
    fresh_at = pl.col("at").filter(proof)
    stays = (
        readings.group_by(*_ROOM, "spell", maintain_order=True)
        .agg(
            first=pl.col("at").min(),
            closed_at=pl.when("closed").then("next_off").last(),
            for_sure=pl.col("closed_for_sure").last(),
            strong=pl.col("strong").any(),
            created_at=room_created_at(pl.col("room_id").first()),
            proven=(proof.sum() >= settings.confirm_offline)
            & (fresh_at.max() - fresh_at.min() >= pl.duration(seconds=settings.confirm_span_seconds)),
        )
        .sort("creator", "spell", "first", "room_id")
    )
    spells = (
        stays.group_by("creator", "spell", maintain_order=True)
        .agg(pl.col("closed_at").max(), newest=pl.col("created_at").max())
        .with_columns(
            spell_before_closed_at=pl.col("closed_at").shift(1).over("creator"),
            newest_before=pl.col("newest").cum_max().forward_fill().shift(1).over("creator"),
        )
    )
    # Measure a return against the last proven stay, not against a cached response in between.
    beyond_doubt = pl.col("proven") | (pl.int_range(pl.len()).over(*_ROOM) == 0)
    named, from_start = pl.col("room_id").is_not_null(), pl.col("first") - pl.col("spell_before_closed_at")
    doubtful = (
        stays.join(spells.drop("closed_at", "newest"), on=["creator", "spell"], how="left")
        .with_columns(closed_before=pl.when(beyond_doubt).then("closed_at"))
        .sort(*_ROOM, "spell")
        .with_columns(
            pl.col("closed_before").forward_fill().shift(1).over(*_ROOM),
            over_before=pl.col("for_sure").cum_max().shift(1).over(*_ROOM),
        )
        .filter(
            ~pl.col("proven"),
            pl.any_horizontal(
                named & pl.col("over_before"),
                named & (pl.col("first") - pl.col("closed_before") > _REOPENING),
                pl.col("created_at") < pl.col("newest_before"),
                ~named & ~pl.col("strong") & (from_start <= _REOPENING),
            ).fill_null(value=False),
        )
    )
    found = readings.join(doubtful.select(*_ROOM, "spell"), on=[*_ROOM, "spell"], how="semi", nulls_equal=True)
    return found.filter(~pl.col("lent"))["row"]


def _with_earlier_end(readings: pl.DataFrame) -> pl.DataFrame:
    """Return `readings` with `earlier_end`: when their room was last closed in an earlier spell, null if never."""
    ends = (
        readings.group_by(*_ROOM, "spell")
        .agg(closed_at=pl.when("closed").then("next_off").max())
        .sort(*_ROOM, "spell")
        .with_columns(earlier_end=pl.col("closed_at").cum_max().forward_fill().shift(1).over(_ROOM))
        .drop("closed_at")
    )
    return readings.join(ends, on=[*_ROOM, "spell"], how="left", nulls_equal=True, maintain_order="left")


def _with_opening(readings: pl.DataFrame, settings: Streams) -> pl.DataFrame:
    """Return `readings` with the number of their room's `opening`, and `not_before`: the end of the opening before.

    A room is opened again if its readings stop at a confirmed end and go on much later: after the merge gap if the
    room's own status reported the end, after the reopening time if readings of off air fill that time. A shorter break,
    or one without any reading, does not show whether the room was closed.
    """
    spells = readings.group_by("creator", "spell", maintain_order=True).agg(
        closed_at=pl.col("next_off").filter("closed").max(), for_sure=pl.col("closed_for_sure").any()
    )
    before = (
        readings.select(*_ROOM, "spell", "at", "last_off")
        .with_row_index("position")
        .sort(*_ROOM, "at", "position", nulls_last=True)
        .with_columns(spell_before=pl.col("spell").shift(1).over(_ROOM))
        .join(
            spells.rename({"spell": "spell_before"}), on=["creator", "spell_before"], how="left", maintain_order="left"
        )
    )
    returns = pl.col("spell") != pl.col("spell_before")
    for_sure = pl.col("for_sure") & (
        pl.col("at") - pl.col("closed_at") > pl.duration(minutes=settings.merge_gap_minutes)
    )
    seen_off = pl.col("last_off") - pl.col("closed_at") >= _REOPENING
    again = (pl.col("room_id").is_not_null() & returns & (for_sure | seen_off)).fill_null(value=False)
    openings = (
        before.with_columns(again=again)
        .with_columns(
            opening=pl.col("again").cum_sum().over(_ROOM),
            not_before=pl.when("again").then("closed_at").forward_fill().over(_ROOM),
        )
        .sort("position")
    )
    return readings.with_columns(openings["opening"], openings["not_before"])


def _stated_ends(ends: pl.DataFrame, readings: pl.DataFrame) -> pl.DataFrame:
    """Return the latest reported end of each opening of a room: the opening that began last before that end."""
    begun = (
        readings.filter(pl.col("room_id").is_not_null())
        .group_by("creator", "room_id", "opening")
        .agg(begun=pl.col("at").min())
        .sort("begun")
    )
    return (
        ends.sort("stated_end")
        .join_asof(begun, left_on="stated_end", right_on="begun", by=["creator", "room_id"], check_sortedness=False)
        .with_columns(pl.col("opening").fill_null(0))
        .group_by("creator", "room_id", "opening")
        .agg(pl.col("stated_end").max())
    )


def _summed(readings: pl.DataFrame, ends: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return (one row an opening of a room, readings without those after its reported end)."""
    created = room_created_at(pl.col("room_id"))
    of_before = (pl.col("started_at") < pl.col("not_before")).fill_null(value=False)
    possible = (pl.col("started_at") <= pl.col("at") + _CLOCK_SKEW) & (
        pl.col("started_at") >= created - _ID_TOLERANCE
    ).fill_null(value=True)
    readings = readings.join(
        _stated_ends(ends, readings), on=["creator", "room_id", "opening"], how="left", maintain_order="left"
    ).with_columns(
        stated_start=pl.when(possible & ~of_before).then("started_at"),
        impossible_start=~possible.fill_null(value=True),
        after_end=(pl.col("at") > pl.col("stated_end")).fill_null(value=False),
    )
    rooms = readings.group_by(_OPENING, maintain_order=True).agg(
        pl.col("last_off", "not_before").first(),
        pl.col("next_off", "closed").last(),
        pl.col("stated_end").first(),
        pl.col("impossible_start").any(),
        # The lower median: the majority of readings, and always a value that a vendor reported.
        stated_start=pl.col("stated_start").to_physical().quantile(0.5, "lower").cast(pl.Int64).cast(_TIME),
        first_live=pl.col("at").first(),
        last_live=pl.col("at").last(),
        surely_live=pl.col("oldest").max(),
        last_live_before_end=pl.col("at").filter(~pl.col("after_end")).last(),
        title=pl.col("title").drop_nulls().last(),
        viewers_total=pl.col("viewers_total").max(),
        likes=pl.col("likes").max(),
        reopened=pl.col("spell").first() != pl.col("spell").last(),
    )
    # A reported end is valid unless the room is seen on air for longer than the vendor's cache could show it.
    stands = (pl.col("surely_live") <= pl.col("stated_end") + _END_SLACK).fill_null(value=False)
    rooms = rooms.with_columns(
        end_disputed=pl.col("stated_end").is_not_null() & ~stands,
        stated_end=pl.when(stands).then("stated_end"),
    ).with_columns(
        first_live=pl.min_horizontal("first_live", "stated_end"),
        last_live=pl.when(pl.col("stated_end").is_null())
        .then("last_live")
        .otherwise(pl.coalesce("last_live_before_end", "stated_end")),
    )
    old = rooms.filter(pl.col("stated_end").is_not_null(), pl.col("last_live_before_end").is_not_null()).select(
        _OPENING
    )
    after_end = readings.filter("after_end").join(old, on=_OPENING, how="semi", nulls_equal=True)["row"]
    remaining = readings.filter(~pl.col("row").is_in(after_end.implode())).drop(
        "stated_end", "stated_start", "started_at", "row"
    )
    return rooms.drop("last_live_before_end", "surely_live").sort(
        "creator", "first_live", "room_id", "nameless", "opening"
    ), remaining


def _started(rooms: pl.DataFrame, settings: Streams) -> pl.DataFrame:
    """Set the start (docs/methods.md 1.4): the vendor's, the room id's, the middle of the gap, or the first reading."""
    before = pl.when(pl.col("creator") == pl.col("creator").shift(1)).then(pl.col("last_live").shift(1))
    rooms = rooms.with_columns(
        created_at=room_created_at(pl.col("room_id")),
        started_at_lo=pl.max_horizontal("last_off", pl.when(before <= pl.col("first_live")).then(before)),
    )
    # A start this long before a reading of off air belongs to an opening without readings here.
    long_before = pl.col("last_off") - pl.duration(days=settings.lookback_days)
    rooms = rooms.with_columns(
        opened_again=pl.col("not_before").is_not_null() | (pl.col("created_at") < long_before).fill_null(value=False),
        stated_start=pl.when((pl.col("stated_start") >= long_before).fill_null(value=True)).then("stated_start"),
    )
    from_id = pl.when(~pl.col("opened_again"), pl.col("created_at") <= pl.col("first_live") + _CLOCK_SKEW).then(
        "created_at"
    )
    bounded = pl.col("first_live") - pl.col("started_at_lo") <= pl.duration(hours=settings.censor_hours)
    middle = pl.when(bounded).then(_middle("started_at_lo", "first_live"))
    reported_start = pl.coalesce("stated_start", from_id)
    return rooms.with_columns(
        started_at=pl.min_horizontal(pl.coalesce(reported_start, middle, "first_live"), "first_live"),
        start_source=pl.when(pl.col("stated_start").is_not_null())
        .then(pl.lit("vendor"))
        .when(from_id.is_not_null())
        .then(pl.lit("room_id"))
        .when(middle.is_not_null())
        .then(pl.lit("interval"))
        .otherwise(pl.lit("censored")),
        start_disputed=pl.col("impossible_start")
        | (reported_start < pl.col("started_at_lo") - _START_TOLERANCE).fill_null(value=False),
        start_censored=~bounded.fill_null(value=False),
    ).with_columns(
        # A start that overrules a reading of off air makes that reading false: it is no bound.
        started_at_lo=pl.when(pl.col("started_at_lo").is_not_null()).then(
            pl.min_horizontal("started_at_lo", "started_at")
        )
    )


def _middle(earlier: str, later: str) -> pl.Expr:
    return pl.col(earlier) + (pl.col(later) - pl.col(earlier)) / 2


def _ended(rooms: pl.DataFrame, settings: Streams) -> pl.DataFrame:
    """Set the end (docs/methods.md 1.5): that of the room's own status, the middle of the gap, or null."""
    last = pl.col("creator").ne_missing(pl.col("creator").shift(-1))
    another = pl.when(~last, pl.col("first_live").shift(-1) >= pl.col("last_live")).then(
        pl.max_horizontal(pl.col("started_at").shift(-1), "last_live")
    )
    off = pl.when(pl.col("closed") | another.is_not_null()).then("next_off")
    rooms = rooms.with_columns(
        ended_at_hi=pl.coalesce("stated_end", pl.min_horizontal(off, another)),
        pending=pl.col("next_off").is_not_null() & off.is_null() & pl.col("stated_end").is_null(),
    )
    bounded = pl.col("ended_at_hi") - pl.col("last_live") <= pl.duration(hours=settings.censor_hours)
    return rooms.with_columns(
        ended_at=pl.coalesce(
            "stated_end",
            pl.when(bounded).then(_middle("last_live", "ended_at_hi")),
            pl.when(pl.col("ended_at_hi").is_not_null()).then("last_live"),
        ),
        end_censored=~bounded.fill_null(value=True) & pl.col("stated_end").is_null(),
    )
