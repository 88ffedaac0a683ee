"""Plan the follow-ups of a stream and select the due ones: pure functions of raw rows."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from tiktok_pipeline.capture import due_followups, on_air
from tiktok_pipeline.capture.clock import hours_between
from tiktok_pipeline.capture.followups import due, plan, reach, reasons
from tiktok_pipeline.capture.replay import replay_hours
from tiktok_pipeline.config.settings import Boundary, Routes
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.tables import RAW_FOLLOWERS, RAW_LIVES, RAW_POSTS, RAW_PROFILES
from tiktok_pipeline_tests.capture.fake_vendors import MIRA, START, at, deployment, live_from, respond
from tiktok_pipeline_tests.providers import bodies

MERGE = timedelta(minutes=10)
PROFILES_ONLY = Boundary(room_minutes=(), posts_minutes=(), followers_at_start=False, followers_minutes=())


def minute(number: float) -> datetime:
    return START + timedelta(minutes=number)


def readings(states: dict[float, bool | None], creator: str = "mira") -> pl.DataFrame:
    return pl.DataFrame(
        {"creator_id": creator, "polled_at": [minute(m) for m in states], "on_air": list(states.values())},
        schema={"creator_id": pl.String, "polled_at": pl.Datetime("us", "UTC"), "on_air": pl.Boolean},
    )


def planned(states: dict[float, bool | None], settings: Boundary = PROFILES_ONLY) -> list[tuple[str, float]]:
    found = plan(readings(states), settings, merge_gap=MERGE)
    return [(why, (when - START).total_seconds() / 60) for why, when in found.select("why", "at").iter_rows()]


def test_a_stream_has_follow_ups_at_its_start_its_end_and_three_times_after_it() -> None:
    assert planned({0: False, 5: True, 10: True, 15: False}) == [
        ("start", 5), ("end", 15), ("end + 15 min", 30), ("end + 60 min", 75), ("end + 180 min", 195)
    ]  # fmt: skip


def test_every_table_has_the_follow_ups_of_its_settings() -> None:
    found = plan(readings({0: False, 5: True, 10: False}), Boundary(), merge_gap=MERGE)
    by_table = dict(found.group_by("table", maintain_order=True).agg("why").iter_rows())
    assert by_table[RAW_LIVES.name] == ["end + 2 min"]
    assert by_table[RAW_POSTS.name] == ["end + 180 min", "end + 1440 min"]
    assert by_table[RAW_FOLLOWERS.name] == ["start", "end + 15 min"]
    assert len(by_table[RAW_PROFILES.name]) == 5


def test_a_failed_poll_does_not_end_a_stream() -> None:
    assert planned({0: True, 5: None, 10: True}) == [("start", 0)]


def test_streams_with_a_gap_below_the_merge_gap_are_one_stream() -> None:
    whys = planned({0: False, 5: True, 10: False, 15: True, 20: False})
    assert [why for why, _ in whys].count("start") == 1
    # The count at the first end was polled before the reconnect was visible; the later follow-ups of that end were not.
    assert [m for why, m in whys if why == "end"] == [10, 20]
    assert [m for why, m in whys if why == "end + 15 min"] == [35]


def test_a_gap_above_the_merge_gap_separates_two_streams() -> None:
    assert [m for why, m in planned({0: True, 10: False, 25: True}) if why == "start"] == [0, 25]


def test_a_follow_up_depends_on_no_later_reading() -> None:
    states: dict[float, bool | None] = {0: False, 5: True, 10: False, 14: True, 30: False, 60: True, 65: False}
    whole = plan(readings(states), Boundary(), merge_gap=MERGE)
    for now in range(0, 70):
        seen = {m: state for m, state in states.items() if m <= now}
        so_far = plan(readings(seen), Boundary(), merge_gap=MERGE).filter(pl.col("at") <= minute(now))
        assert so_far.equals(whole.filter(pl.col("at") <= minute(now)))


def test_order_and_repetition_of_readings_do_not_matter_and_creators_stay_separate() -> None:
    one = readings({0: False, 5: True, 15: False})
    other = readings({3: True, 8: False}, "bo")
    both = pl.concat([one, other, one]).sample(fraction=1.0, shuffle=True, seed=1)
    apart = pl.concat([plan(frame, Boundary(), merge_gap=MERGE) for frame in (one, other)])
    together = plan(both, Boundary(), merge_gap=MERGE)
    assert together.equals(apart.sort("at", "table", "creator_id", "why"))


def responses(*minutes: float, table: str = "raw_profiles", creator: str = "mira") -> pl.DataFrame:
    return pl.DataFrame(
        {"table": table, "creator_id": creator, "polled_at": [minute(m) for m in minutes]},
        schema={"table": pl.String, "creator_id": pl.String, "polled_at": pl.Datetime("us", "UTC")},
    )


def due_at(now: float, *response_minutes: float) -> list[str]:
    found = plan(readings({0: False, 5: True, 15: False}), PROFILES_ONLY, merge_gap=MERGE)
    return due(found, responses(*response_minutes), minute(now))["why"].to_list()


def test_a_follow_up_is_due_from_its_time_until_a_response_has_landed() -> None:
    assert due_at(4) == []
    assert due_at(6) == ["start"]
    assert due_at(6, 5.5) == []
    # An earlier sweep does not count; any later response does.
    assert due_at(6, 4.9) == ["start"]
    assert due_at(75, 15.5, 30.5) == ["end + 60 min"]


def test_missed_follow_ups_stay_due_until_the_patience_ends() -> None:
    assert due_at(32, 5.5) == ["end", "end + 15 min"]
    assert due_at(46, 5.5) == ["end + 15 min"]
    # One response completes all follow-ups that were due.
    assert due_at(33, 32.5) == []
    assert due_at(110, 5.5) == []


def test_a_response_about_another_creator_or_table_does_not_count() -> None:
    found = plan(readings({0: False, 5: True}), PROFILES_ONLY, merge_gap=MERGE)
    for landed in (responses(6, creator="bo"), responses(6, table="raw_posts")):
        assert due(found, landed, minute(7)).height == 1


def test_reasons_lists_creators_and_causes_by_table() -> None:
    found = plan(readings({0: False, 5: True, 15: False}), Boundary(), merge_gap=MERGE)
    assert reasons(due(found, responses(), minute(31))) == {
        "raw_followers": {"mira": "start, end + 15 min"},
        "raw_lives": {"mira": "end + 2 min"},
        "raw_profiles": {"mira": "start, end, end + 15 min"},
    }


def test_readings_reach_back_to_the_earliest_stream_with_due_follow_ups() -> None:
    assert reach(Boundary()) == timedelta(minutes=1470)


@pytest.mark.parametrize("wrong", [{"profile_minutes": (-1,)}, {"posts_minutes": (9999,)}, {"patience_minutes": 0}])
def test_invalid_follow_up_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="patience_minutes must be at least 1"):
        Boundary(**wrong)


def vendors(start: datetime, end: datetime) -> Any:
    """Return vendors that report Mira live in [start, end), each in its own format."""
    live = live_from(start, end)

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/live") or "tikhub" in request.url.host:
            return live(request)
        return respond(200, bodies.fetch_ok(bodies.fetch_live("offline")))

    return handle


def replayed(folder: Path, spans: list[list[datetime]]) -> pl.DataFrame:
    """Return the times of profile requests on the replay clock."""
    here = deployment(folder, vendors(minute(22), minute(81)), [MIRA])
    for hours in spans:
        replay_hours(here, RAW_LIVES, hours, kind="watch")
        replay_hours(here, RAW_PROFILES, hours, kind="sweep")
    hours = [hour for span in spans for hour in span]
    return (
        Lake(folder).scan_raw(RAW_PROFILES, hours).sort("requested_at").select("capture_id", "requested_at").collect()
    )


def test_sweeps_on_the_replay_clock_poll_at_the_times_of_follow_ups(tmp_path: Path) -> None:
    hours = hours_between(START, START + timedelta(hours=5))
    captured = replayed(tmp_path / "one", [hours])
    minutes = [(when - START).total_seconds() / 60 for when in captured["requested_at"]]
    # On air at minute 25, off air at minute 85; the others are the hourly sweeps.
    assert minutes == [0, 25, 60, 85, 100, 120, 145, 180, 240, 265]
    # A replay hour by hour gives the same rows.
    assert replayed(tmp_path / "many", [[hour] for hour in hours]).equals(captured)


def test_due_follow_ups_are_computed_from_raw_rows_only(tmp_path: Path) -> None:
    here = deployment(tmp_path, vendors(minute(22), minute(81)), [MIRA])
    replay_hours(here, RAW_LIVES, hours_between(START, START + timedelta(hours=2)), kind="watch")
    assert due_followups.due_followups(here, minute(24)).is_empty()
    first = due_followups.due_followups(here, minute(26))
    assert first["why"].to_list() == ["start", "start"]
    # The watch has already polled the ended room; no other creator was on air.
    at_end = due_followups.due_followups(here, minute(90))
    assert at_end.select("table", "why").rows() == [("raw_profiles", "end")]
    # The watch polled the room at the end; that response counts as long as the follow-up can be due.
    late = due_followups.due_followups(here, minute(116))
    assert RAW_LIVES.name not in late["table"].to_list()
    without_creators = deployment(tmp_path, vendors(minute(22), minute(81)), [])
    assert due_followups.due_followups(without_creators, minute(90)).is_empty()


def test_the_on_air_state_is_read_from_responses_of_every_vendor(tmp_path: Path) -> None:
    here = deployment(tmp_path, absent_until_live, [MIRA], routes=Routes(live=("konbini",)))
    replay_hours(here, RAW_LIVES, [START], kind="watch")
    found = on_air.on_air_readings(Lake(tmp_path), START, START + timedelta(hours=1)).sort("polled_at")
    assert found["on_air"].to_list()[:4] == [False, False, True, True]
    assert found["on_air"].null_count() == 0


def absent_until_live(request: httpx.Request) -> httpx.Response:
    """Respond as KonbiniAPI does, with 404 while off air; Mira is live from minute 10."""
    if at(request) < minute(10):
        return respond(404, bodies.konbini_error("not_found"))
    return respond(200, bodies.encoded({"data": bodies.konbini_live()}))
