"""A watch asks in rounds, follows who is live into the room, and confirms an end."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import httpx
import polars as pl
import pytest

from tiktok_pipeline.capture import spending, window, window_state
from tiktok_pipeline.capture.client import open_client
from tiktok_pipeline.capture.clock import RealClock, ReplayClock, hours_between
from tiktok_pipeline.capture.deployment import Deployment
from tiktok_pipeline.capture.landing import Attempt
from tiktok_pipeline.capture.last_seen import LastSeen
from tiktok_pipeline.capture.on_air import on_air_readings
from tiktok_pipeline.capture.replay import replay_hours
from tiktok_pipeline.capture.watch import RoundRobin, watch
from tiktok_pipeline.config.settings import Retries, Routes, Settings, Watch
from tiktok_pipeline.erased.creators import ErasedCreators
from tiktok_pipeline.erased.names import hashes_of
from tiktok_pipeline.errors import BackfillError, CaptureError, SettingsError
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.providers.vendor import Target
from tiktok_pipeline.tables import CREATORS, RAW_LIVES, RAW_PROFILES, STREAMS
from tiktok_pipeline_tests.capture.fake_vendors import KEYS, MIRA, START, Handler, at, deployment, live_from, respond
from tiktok_pipeline_tests.providers import bodies
from tiktok_pipeline_tests.raw_files import landed as raw_rows
from tiktok_pipeline_tests.transforms.frames import frame


def landed(folder: Path, hours: int = 1) -> pl.DataFrame:
    span = hours_between(START, START + timedelta(hours=hours))
    return Lake(folder).scan_raw(RAW_LIVES, span).sort("requested_at", "capture_id").collect()


def offline(request: httpx.Request) -> httpx.Response:
    return respond(200, bodies.fetch_ok(bodies.fetch_live("offline")))


def test_round_robin_gives_each_creator_a_phase_of_its_own() -> None:
    rounds = RoundRobin(5, 300)
    first = [rounds.next_due(index, START) for index in range(5)]
    assert sorted(first) == first
    assert len(set(first)) == 5
    for due in first:
        assert START <= due < START + timedelta(seconds=300)
    assert rounds.next_due(2, first[2] + timedelta(seconds=1)) == first[2] + timedelta(seconds=300)
    assert rounds.next_due(2, first[2]) == first[2]


def test_a_replayed_hour_asks_each_creator_every_round_and_lands_one_file(tmp_path: Path) -> None:
    targets = [Target(f"creator{n}", f"creator{n}") for n in range(6)]

    def handle(request: httpx.Request) -> httpx.Response:
        name = request.url.path.split("/")[-2]
        live = bodies.fetch_live("offline")
        live["profile"]["handle"] = name
        return respond(200, bodies.fetch_ok(live))

    report = replay_hours(deployment(tmp_path, handle, targets), RAW_LIVES, [START], kind="watch")
    rows = landed(tmp_path)
    assert report.tally.requests == rows.height == 6 * 12
    assert rows.group_by("creator_id").len()["len"].unique().to_list() == [12]
    gaps = rows.sort("creator_id", "requested_at").select(pl.col("requested_at").diff().over("creator_id"))
    assert gaps.to_series().drop_nulls().unique().to_list() == [timedelta(seconds=300)]
    assert len(list(tmp_path.rglob("*.parquet"))) == 1
    assert rows["run_id"].unique().to_list() == ["run-1"]


def test_the_room_is_asked_when_a_stream_is_found_and_once_when_it_is_gone(tmp_path: Path) -> None:
    on_air = live_from(START + timedelta(minutes=20), START + timedelta(minutes=41))
    replay_hours(deployment(tmp_path, on_air, [MIRA]), RAW_LIVES, [START], kind="watch")
    rows = landed(tmp_path)
    rooms = rows.filter(pl.col("vendor") == "tikhub")
    assert rooms["subject"].unique().to_list() == [bodies.ROOM_ID]
    minutes = [(moment - START).total_seconds() / 60 for moment in rooms["requested_at"]]
    assert minutes == [20, 35, 45]


def test_an_end_is_confirmed_after_the_shortest_gap(tmp_path: Path) -> None:
    on_air = live_from(START, START + timedelta(minutes=21))
    replay_hours(deployment(tmp_path, on_air, [MIRA]), RAW_LIVES, [START], kind="watch")
    asked = landed(tmp_path).filter(pl.col("vendor") == "social_fetch")
    minutes = [(moment - START).total_seconds() / 60 for moment in asked["requested_at"]]
    assert minutes[5:8] == [25, 27, 30]


def test_the_next_window_knows_what_the_last_one_saw(tmp_path: Path) -> None:
    on_air = live_from(START, START + timedelta(minutes=58))
    for hour in hours_between(START, START + timedelta(hours=2)):
        replay_hours(deployment(tmp_path, on_air, [MIRA]), RAW_LIVES, [hour], kind="watch")
        seen = window_state.last_seen(Lake(tmp_path), hour + timedelta(hours=1))
        assert seen["mira.paints"].live == (hour == START)
    second = landed(tmp_path, 2).filter(pl.col("requested_at") >= START + timedelta(hours=1))
    # The end is seen at the first question of the second hour, and the room is asked for it.
    assert second["vendor"].to_list()[:2] == ["social_fetch", "tikhub"]


def test_one_span_and_single_hours_land_the_same_questions(tmp_path: Path) -> None:
    on_air = live_from(START + timedelta(minutes=50), START + timedelta(minutes=80))
    hours = hours_between(START, START + timedelta(hours=3))
    replay_hours(deployment(tmp_path / "one", on_air, [MIRA]), RAW_LIVES, hours, kind="watch")
    for hour in hours:
        replay_hours(deployment(tmp_path / "many", on_air, [MIRA]), RAW_LIVES, [hour], kind="watch")
    columns = ["capture_id", "vendor", "requested_at", "outcome", "body"]
    one, many = landed(tmp_path / "one", 3).select(columns), landed(tmp_path / "many", 3).select(columns)
    assert one.equals(many)


def test_an_hour_that_landed_is_not_asked_again(tmp_path: Path) -> None:
    here = deployment(tmp_path, offline, [MIRA])
    hours = hours_between(START, START + timedelta(hours=2))
    replay_hours(here, RAW_LIVES, hours[:1], kind="watch")
    before = {file: file.read_bytes() for file in tmp_path.rglob("*.parquet")}
    report = replay_hours(here, RAW_LIVES, hours, kind="watch")
    assert report.hours_skipped == 1
    assert report.tally.requests == 12
    assert all(file.read_bytes() == content for file, content in before.items())


def test_an_hour_in_which_nothing_was_due_is_done_too(tmp_path: Path) -> None:
    here = deployment(tmp_path, offline, [MIRA])
    hours = hours_between(START, START + timedelta(hours=3))
    first = replay_hours(here, RAW_PROFILES, hours, kind="sweep", every_hours=2)
    again = replay_hours(here, RAW_PROFILES, hours, kind="sweep", every_hours=2)
    assert first.tally.requests > 0
    assert again.tally.requests == 0
    assert again.hours_skipped == 3


def test_a_vendor_that_is_down_fails_the_window_in_words_keeps_the_rows_and_is_asked_again(tmp_path: Path) -> None:
    def down(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("nobody there")

    quick = Retries(attempts=1)
    with pytest.raises(CaptureError, match=r"no vendor answered.*social_fetch: ConnectError"):
        replay_hours(deployment(tmp_path, down, [MIRA], retries=quick), RAW_LIVES, [START], kind="watch")
    assert landed(tmp_path)["outcome"].unique().to_list() == ["network_error"]
    report = replay_hours(deployment(tmp_path, offline, [MIRA]), RAW_LIVES, [START], kind="watch")
    assert report.hours_skipped == 0
    assert landed(tmp_path)["outcome"].unique().to_list() == ["not_live"]


def test_a_window_on_the_real_clock_lands_as_it_goes_and_a_retry_goes_on(tmp_path: Path) -> None:
    here = deployment(tmp_path, offline, [MIRA])
    for _ in range(2):
        window.sweep_now(here, RAW_LIVES, RealClock(), "sweep-test")
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    rows = Lake(tmp_path).scan_raw(RAW_LIVES, [hour - timedelta(hours=1), hour]).collect()
    assert rows.height == 2
    assert rows["capture_id"].n_unique() == 2
    assert all(capture_id.startswith("lives-sweep-test-000") for capture_id in rows["capture_id"])


def test_raw_is_refused_for_any_hour_but_this_one() -> None:
    now = START + timedelta(minutes=59)
    window.check_partition(START, now)
    for hour in (START - timedelta(hours=1), START + timedelta(hours=1)):
        with pytest.raises(BackfillError, match="vendors report only the current state"):
            window.check_partition(hour, now)


def test_a_route_without_a_vendor_names_what_to_set(tmp_path: Path) -> None:
    nobody = Deployment(Lake(tmp_path), Settings(routes=Routes(live=("konbini",))), {}, [MIRA])
    with pytest.raises(SettingsError, match="KONBINI_API_KEY"):
        nobody.require_route("live")


def test_what_is_spent_is_counted_from_what_landed(tmp_path: Path) -> None:
    replay_hours(deployment(tmp_path, offline, [MIRA]), RAW_LIVES, [START], kind="watch")
    spent = spending.spent(Lake(tmp_path), [START.date()], Settings().vendors)
    assert spent == {("social_fetch", START.date()): 12.0}


def test_a_room_keeps_what_was_known_of_the_creator() -> None:
    seen = LastSeen(live=True, room_id="1", user_id="2")
    assert seen.after([], START) == seen


def renamed_at(moment: datetime) -> Handler:
    """Vendors for whom mira.paints is mira.arts from `moment` on."""

    def handle(request: httpx.Request) -> httpx.Response:
        after = at(request) >= moment
        if "tikliveapi" in request.url.host:
            assert request.url.params["userid"] == bodies.USER_ID
            name = "mira.arts" if after else "mira.paints"
            return respond(200, bodies.userinfo().replace(b"mira.paints", name.encode()))
        asked = request.url.path.split("/")[-2]
        if asked != ("mira.arts" if after else "mira.paints"):
            gone = {"lookupStatus": "not_found", "liveStatus": None, "profile": None, "live": None}
            return respond(200, bodies.fetch_ok(gone))
        return respond(200, bodies.fetch_ok(bodies.fetch_live("offline")).replace(b"mira.paints", asked.encode()))

    return handle


def test_who_renamed_is_followed_by_user_id(tmp_path: Path) -> None:
    handle = renamed_at(START + timedelta(minutes=32))
    report = replay_hours(deployment(tmp_path, handle, [MIRA]), RAW_LIVES, [START], kind="watch")
    rows = landed(tmp_path)
    assert rows["subject"].unique(maintain_order=True).to_list() == ["mira.paints", "mira.arts"]
    assert rows["creator_id"].unique().to_list() == ["mira.paints"]
    # One question found nobody, and the same round asked again under the new name.
    assert rows["outcome"].to_list() == ["not_live"] * 7 + ["not_found"] + ["not_live"] * 5
    looked_up = Lake(tmp_path).scan_raw(RAW_PROFILES, [START]).collect()
    assert looked_up["endpoint"].to_list() == ["/userinfo-by-id/"]
    assert report.rows == 14


def test_the_next_window_asks_under_the_new_name(tmp_path: Path) -> None:
    """Also before `creators` has been derived anew: what landed is enough."""
    handle = renamed_at(START + timedelta(minutes=32))
    for hour in hours_between(START, START + timedelta(hours=2)):
        replay_hours(deployment(tmp_path, handle, [MIRA]), RAW_LIVES, [hour], kind="watch")
    second = landed(tmp_path, 2).filter(pl.col("requested_at") >= START + timedelta(hours=1))
    assert second["subject"].unique().to_list() == ["mira.arts"]
    assert second.height == 12
    # A handle that somebody else has taken is not followed.
    other = replace(MIRA, user_id="999")
    assert window_state.last_seen(Lake(tmp_path), START + timedelta(hours=2))["mira.paints"].named(other) == other


def gone(request: httpx.Request) -> httpx.Response:
    """Nobody has this handle, and nobody the user id."""
    if "tikliveapi" in request.url.host:
        return respond(404, bodies.encoded({"message": "user not found"}))
    return respond(
        200, bodies.fetch_ok({"lookupStatus": "not_found", "liveStatus": None, "profile": None, "live": None})
    )


def test_who_is_gone_for_good_is_asked_more_and_more_seldom_and_looked_up_once_an_hour(tmp_path: Path) -> None:
    known = Target("mira.paints", "mira.paints", bodies.USER_ID)
    hours = hours_between(START, START + timedelta(hours=24))
    for span in (hours[:2], hours[2:3], hours[3:]):
        replay_hours(deployment(tmp_path, gone, [known]), RAW_LIVES, span, kind="watch")
    asked = [(when - START).total_seconds() / 60 for when in landed(tmp_path, 24)["requested_at"]]
    assert asked[:7] == [0, 5, 10, 20, 40, 80, 140]
    assert {later - earlier for earlier, later in pairwise(asked[6:])} == {60}
    looked_up = Lake(tmp_path).scan_raw(RAW_PROFILES, hours).collect()
    assert looked_up.height == len(asked) - 4


def test_who_comes_back_is_asked_every_round_again(tmp_path: Path) -> None:
    back = START + timedelta(minutes=30)

    def handle(request: httpx.Request) -> httpx.Response:
        return gone(request) if at(request) < back else offline(request)

    replay_hours(deployment(tmp_path, handle, [MIRA]), RAW_LIVES, [START], kind="watch")
    asked = [(when - START).total_seconds() / 60 for when in landed(tmp_path)["requested_at"]]
    assert asked == [0, 5, 10, 20, 40, 45, 50, 55]


def test_off_air_said_as_not_found_is_no_absence(tmp_path: Path) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        return respond(404, bodies.konbini_error("not_found"))

    here = deployment(tmp_path, handle, [MIRA], routes=Routes(live=("konbini",)))
    replay_hours(here, RAW_LIVES, [START], kind="watch")
    assert landed(tmp_path).height == 12


def test_who_came_due_between_two_windows_is_asked_first(tmp_path: Path) -> None:
    """Windows pause to land and to start: who would be asked in the pause must not wait for the next round."""
    targets = [Target(f"creator{n}", f"creator{n}") for n in range(10)]

    def handle(request: httpx.Request) -> httpx.Response:
        live = bodies.fetch_live("offline")
        live["profile"]["handle"] = request.url.path.split("/")[-2]
        return respond(200, bodies.fetch_ok(live))

    here = deployment(tmp_path, handle, targets)
    replay_hours(here, RAW_LIVES, [START], kind="watch")
    # The next window begins two minutes late, as after a slow start.
    late = START + timedelta(hours=1, minutes=2)
    asked: list[tuple[datetime, str]] = []

    async def second() -> None:
        def note(attempt: Attempt) -> None:
            asked.append((attempt.requested_at, attempt.request.creator_id or ""))

        async with open_client(
            KEYS, Settings(), ReplayClock(late), note, transport=httpx.MockTransport(handle)
        ) as client:
            seen = window_state.last_seen(Lake(tmp_path), late)
            await watch(client, targets, Settings().watch, until=late + timedelta(minutes=8), seen=seen)

    asyncio.run(second())
    at_once = [creator for when, creator in asked if when == late]
    assert at_once == ["creator0", "creator1", "creator2", "creator3", "creator4"]
    everybody = [(r[0], r[1]) for r in landed(tmp_path).select("requested_at", "creator_id").iter_rows()] + asked
    for target in targets:
        times = sorted(when for when, creator in everybody if creator == target.creator_id)
        assert max(b - a for a, b in pairwise(times)) <= timedelta(minutes=7)


def test_an_end_seen_just_before_a_window_ends_is_confirmed_in_the_next(tmp_path: Path) -> None:
    on_air = live_from(START, START + timedelta(minutes=57))
    # The last of four: asked at 3:45 of every round, and so at 58:45.
    targets = [*(Target(f"creator{n}", f"creator{n}") for n in range(3)), MIRA]
    for hour in hours_between(START, START + timedelta(hours=2)):
        replay_hours(deployment(tmp_path, on_air, targets), RAW_LIVES, [hour], kind="watch")
    asked = landed(tmp_path, 2).filter(pl.col("creator_id") == MIRA.creator_id, pl.col("vendor") == "social_fetch")
    minutes = [(when - START).total_seconds() / 60 for when in asked["requested_at"]]
    assert minutes[11:14] == [58.75, 60.75, 63.75]


def test_what_the_roster_knows_is_used_although_memory_does_not_know_it(tmp_path: Path) -> None:
    known = Target("mira.paints", "mira.paints", bodies.USER_ID)
    live = bodies.fetch_live()
    del live["profile"]["platformUserId"]

    def handle(request: httpx.Request) -> httpx.Response:
        if "tikhub" in request.url.host:
            assert request.url.params["user_id"] == bodies.USER_ID
            return respond(200, bodies.room_body(bodies.room()))
        return respond(200, bodies.fetch_ok(live))

    replay_hours(deployment(tmp_path, handle, [known]), RAW_LIVES, [START], kind="watch")
    assert "tikhub" in landed(tmp_path)["vendor"].to_list()


# What a poll costs is the same: a round of these takes a quarter of an hour.
SELDOM = {"round_seconds": 900, "policy": "adaptive"}


def anybody(request: httpx.Request) -> httpx.Response:
    live = bodies.fetch_live("offline")
    live["profile"]["handle"] = request.url.path.split("/")[-2]
    return respond(200, bodies.fetch_ok(live))


def taught(folder: Path, *habits: tuple[str, float]) -> list[Target]:
    """Twelve creators in the lake; some started at this hour of START's weekday for eight weeks."""
    targets = [Target(f"creator{n}", f"creator{n}") for n in range(12)]
    lake = Lake(folder)
    long_ago = START - timedelta(weeks=12)
    lake.write_whole(
        CREATORS, frame(CREATORS, *({"creator_id": t.creator_id, "first_seen_at": long_ago} for t in targets))
    )
    for week in range(1, 9):
        day = (START - timedelta(weeks=week)).replace(hour=0)
        rows = [
            {"stream_id": f"{who}:{week}", "creator_id": who, "started_at": day + timedelta(hours=hour),
             "ended_at": day + timedelta(hours=hour + 1)}
            for who, hour in habits
        ]  # fmt: skip
        lake.write_day(STREAMS, day.date(), frame(STREAMS, *rows))
    return targets


def test_by_habit_as_many_questions_go_to_whoever_is_about_to_start(tmp_path: Path) -> None:
    targets = taught(tmp_path, ("creator3", 10.5), ("creator7", 22.0))
    work = deployment(tmp_path, anybody, targets, watch=Watch(**SELDOM))  # type: ignore[arg-type]
    report = replay_hours(work, RAW_LIVES, hours_between(START, START + timedelta(hours=1)), kind="watch")
    asked = landed(tmp_path)["creator_id"]
    # Four rounds of twelve would be 48 questions.
    assert 46 <= report.tally.requests <= 48
    counts = dict(asked.value_counts().iter_rows())
    assert counts["creator3"] >= 2 * counts["creator7"]
    assert counts["creator3"] == max(counts.values())
    assert min(counts.values()) >= 2


def test_by_habit_nobody_waits_longer_than_two_rounds_or_is_asked_too_soon(tmp_path: Path) -> None:
    targets = taught(tmp_path, *((f"creator{n}", 10 + n / 4) for n in range(6)))
    work = deployment(tmp_path, anybody, targets, watch=Watch(**SELDOM))  # type: ignore[arg-type]
    # Single windows: each begins with what landed.
    for hour in hours_between(START, START + timedelta(hours=3)):
        replay_hours(work, RAW_LIVES, [hour], kind="watch")
    rows = landed(tmp_path, 3).sort("creator_id", "requested_at")
    gaps = rows.select(pl.col("requested_at").diff().over("creator_id")).to_series().drop_nulls()
    assert gaps.min() >= timedelta(seconds=120)  # type: ignore[operator]
    assert gaps.max() <= timedelta(minutes=34)  # type: ignore[operator]


def test_by_habit_an_end_is_confirmed_and_somebody_gone_is_left_alone(tmp_path: Path) -> None:
    targets = taught(tmp_path)[:1]
    ends = START + timedelta(minutes=31)

    def handle(request: httpx.Request) -> httpx.Response:
        return live_from(START, ends)(request) if request.url.path.split("/")[-2] != "creator1" else anybody(request)

    minutely = Watch(round_seconds=300, policy="adaptive")
    work = deployment(tmp_path / "live", handle, [replace(targets[0], handle="mira.paints")], watch=minutely)
    replay_hours(work, RAW_LIVES, [START], kind="watch")
    asked = landed(tmp_path / "live").filter(pl.col("vendor") == "social_fetch")["requested_at"]
    after = [moment - ends for moment in asked if moment >= ends]
    assert timedelta(minutes=2) <= after[1] - after[0] <= timedelta(minutes=5)

    work = deployment(tmp_path / "gone", gone, [replace(targets[0], user_id="77")], watch=minutely)
    replay_hours(work, RAW_LIVES, hours_between(START, START + timedelta(hours=6)), kind="watch")
    live = landed(tmp_path / "gone", 6).filter(pl.col("endpoint").str.contains("live"))
    assert live.height < 6 * 12 / 3


def test_a_creator_who_is_erased_during_a_window_is_polled_no_more_and_nothing_of_them_lands(tmp_path: Path) -> None:
    erased = ErasedCreators(tmp_path, lambda: b"k")
    bo = Target("bo", "bo")
    polled: list[tuple[str, datetime]] = []

    def handle(request: httpx.Request) -> httpx.Response:
        name = request.url.path.split("/")[-2]
        polled.append((name, at(request)))
        if at(request) >= START + timedelta(minutes=30) and not erased.entries():
            erased.add(hashes_of(b"k", creator_ids=["mira.paints"], handles=["mira.paints"]), START)
        live = bodies.fetch_live("offline")
        live["profile"]["handle"] = name
        return respond(200, bodies.fetch_ok(live))

    deployed = replace(deployment(tmp_path, handle, [MIRA, bo]), lake=Lake(tmp_path, erased))
    report = replay_hours(deployed, RAW_LIVES, [START], kind="watch")
    assert {name for name, _ in polled} == {"mira.paints", "bo"}
    assert max(when for name, when in polled if name == "mira.paints") <= START + timedelta(minutes=35)
    assert max(when for name, when in polled if name == "bo") > START + timedelta(minutes=50)
    # What the window had received of them before stays in memory only.
    assert landed(tmp_path)["creator_id"].unique().to_list() == ["bo"]
    assert not any("mira.paints" in who for who in report.tally.unanswered.values())


def test_a_window_passes_over_what_a_newer_release_landed(tmp_path: Path) -> None:
    lake, hour = Lake(tmp_path), datetime(2026, 11, 2, 10, tzinfo=UTC)
    rows = raw_rows("a", "b", "c").with_columns(creator_id=pl.lit("ann"))
    odd = rows.with_columns(
        vendor=pl.Series(["acme", "konbini", "konbini"]),
        outcome=pl.Series(["ok", "teapot", None]),
    )
    lake.write_raw(RAW_LIVES, hour, "w-0000", odd)
    now = hour + timedelta(minutes=30)
    assert not any(seen.live for seen in window_state.last_seen(lake, now).values())
    assert on_air_readings(lake, hour, now).is_empty()
