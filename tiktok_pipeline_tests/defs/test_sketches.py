"""Text charts show their rows, stay small, and contain no handle."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl

from tiktok_pipeline.defs.marts import sketches
from tiktok_pipeline.tables import CREATOR_HOURS, STREAM_LIFT, STREAMS, Table

NOON = datetime(2026, 11, 6, 12, tzinfo=UTC)


def lift(lift: float | None, lo: float | None, hi: float | None, **more: object) -> dict[str, object]:
    known = {"stream_id": "ana:1", "creator_id": "ana", "started_at": NOON, "followers_before": 1000}
    return known | {"lift": lift, "lift_lo": lo, "lift_hi": hi, "observable": True, "is_final": True} | more


def stream(began: datetime, hours: float, **more: object) -> dict[str, object]:
    ended = began + timedelta(hours=hours)
    row = {"stream_id": f"ana:{began}", "creator_id": "ana", "started_at": began, "ended_at": ended}
    return row | {"status": "ended", "airtime_s": 3600 * hours, "peak_viewers": 1200} | more


def rows(table: Table, *given: dict[str, object]) -> pl.DataFrame:
    schema = table.schema
    return pl.DataFrame([dict.fromkeys(schema.names()) | row for row in given], schema=schema)


def drawn(sketch: str | None) -> list[str]:
    assert sketch is not None
    return sketch.split("```")[1].strip("\n").split("\n")


def test_a_lift_is_drawn_right_of_zero_with_its_interval_and_the_most_certain_first() -> None:
    unsure, sure = lift(2.0, -1.0, 5.0, started_at=NOON + timedelta(hours=1)), lift(30.0, 20.0, 40.0, is_final=False)
    first, second = drawn(sketches.lifts(rows(STREAM_LIFT, unsure, sure)))
    assert first.startswith("12:00 ")
    assert "+3.00 %* " in first
    assert first.index("│") < first.index("─") < first.index("●") < first.rindex("─")
    assert second.startswith("13:00 ")
    assert "+0.20 %  " in second
    assert second.index("─") < first.index("│") < second.index("●")


def test_a_loss_is_drawn_left_of_zero() -> None:
    (line,) = drawn(sketches.lifts(rows(STREAM_LIFT, lift(-20.0, -30.0, -10.0))))
    assert line.index("●") < line.index("│")
    assert "−2.00 %" in line


def test_unobservable_lifts_are_not_drawn() -> None:
    assert sketches.lifts(rows(STREAM_LIFT, lift(5.0, 1.0, 9.0, observable=False), lift(None, None, None))) is None
    assert sketches.lifts(STREAM_LIFT.empty()) is None


def test_streams_are_drawn_at_their_half_hours_and_summed() -> None:
    sketch = sketches.on_air(rows(STREAMS, stream(NOON, 1), stream(NOON + timedelta(minutes=30), 1, peak_viewers=None)))
    hours, first, second, together = drawn(sketch)
    bars = [line[12:60] for line in (first, second, together)]
    assert bars[0] == "·" * 24 + "██" + "·" * 22
    assert bars[1] == "·" * 25 + "██" + "·" * 21
    assert bars[2] == "·" * 24 + "121" + "·" * 21
    assert hours.index("12") == 12 + 24
    assert first.startswith("12:00  1.2k ")
    assert second.startswith("12:30     – ")


def test_streams_over_midnight_and_live_ones_are_marked() -> None:
    late, live = stream(NOON + timedelta(hours=11), 3), stream(NOON, 0.25, ended_at=None, status="live")
    _, first, second, _ = drawn(sketches.on_air(rows(STREAMS, late, live)))
    assert first.endswith("·●")
    assert first[12:60].count("█") == 1
    assert second[12:61] == "·" * 46 + "██▶"
    assert sketches.on_air(STREAMS.empty()) is None


def test_the_week_is_darkest_at_the_hour_with_most_airtime() -> None:
    cells = [{"creator_id": name, "weekday": 1, "hour": 20, "airtime_s": 1800.0} for name in ("ana", "bo")]
    cells.append({"creator_id": "ana", "weekday": 7, "hour": 0, "airtime_s": 600.0})
    sketch = sketches.week(rows(CREATOR_HOURS, *cells))
    lines = drawn(sketch)
    assert lines[1] == "Mon " + " " * 40 + "██"
    assert lines[7] == "Sun ░░"
    assert "up to 1 h 00 min" in str(sketch)
    assert sketches.week(CREATOR_HOURS.empty()) is None


def test_a_day_of_many_streams_stays_small_reports_the_rest_and_has_no_names() -> None:
    many = [NOON + timedelta(minutes=n) for n in range(300)]
    streams = sketches.on_air(rows(STREAMS, *[stream(at, 1) for at in many]))
    lifts = sketches.lifts(rows(STREAM_LIFT, *[lift(5.0, 1.0, 9.0, started_at=at) for at in many]))
    for sketch in (streams, lifts):
        assert sketch is not None
        assert len(sketch.encode()) < 4000
        assert f"and {300 - sketches.MOST_ROWS} more" in sketch
        assert "ana" not in sketch
