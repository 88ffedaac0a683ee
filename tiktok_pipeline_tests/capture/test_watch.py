"""A watch polls in rounds, polls the room of a live creator, and confirms ends."""

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


def test_round_robin_gives_each_creator_its_own_phase() -> None:
    rounds = RoundRobin(5, 300)
    first = [rounds.next_due(index, START) for index in range(5)]
    assert sorted(first) == first
    assert len(set(first)) == 5
    for due in first:
        assert START <= due < START + timedelta(seconds=300)
    assert rounds.next_due(2, first[2] + timedelta(seconds=1)) == first[2] + timedelta(seconds=300)
    assert rounds.next_due(2, first[2]) == first[2]


def test_a_replayed_hour_polls_each_creator_every_round_and_lands_one_file(tmp_path: Path) -> None:
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


def test_the_room_is_polled_when_a_stream_is_found_and_once_after_its_end(tmp_path: Path) -> None:
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
    polls = landed(tmp_path).filter(pl.col("vendor") == "social_fetch")
    minutes = [(moment - START).total_seconds() / 60 for moment in polls["requested_at"]]
    assert minutes[5:8] == [25, 27, 30]


def test_a_window_continues_with_the_states_of_the_previous_window(tmp_path: Path) -> None:
    on_air = live_from(START, START + timedelta(minutes=58))
    for hour in hours_between(START, START + timedelta(hours=2)):
        replay_hours(deployment(tmp_path, on_air, [MIRA]), RAW_LIVES, [hour], kind="watch")
        seen = window_state.last_seen(Lake(tmp_path), hour + timedelta(hours=1))
        assert seen["mira.paints"].live == (hour == START)
    second = landed(tmp_path, 2).filter(pl.col("requested_at") >= START + timedelta(hours=1))
    # The end is seen at the first poll of the second hour, and the room is polled for it.
    assert second["vendor"].to_list()[:2] == ["social_fetch", "tikhub"]


def test_one_span_and_single_hours_land_the_same_requests(tmp_path: Path) -> None:
    on_air = live_from(START + timedelta(minutes=50), START + timedelta(minutes=80))
    hours = hours_between(START, START + timedelta(hours=3))
    replay_hours(deployment(tmp_path / "one", on_air, [MIRA]), RAW_LIVES, hours, kind="watch")
    for hour in hours:
        replay_hours(deployment(tmp_path / "many", on_air, [MIRA]), RAW_LIVES, [hour], kind="watch")
    columns = ["capture_id", "vendor", "requested_at", "outcome", "body"]
    one, many = landed(tmp_path / "one", 3).select(columns), landed(tmp_path / "many", 3).select(columns)
    assert one.equals(many)


def test_a_landed_hour_is_not_polled_again(tmp_path: Path) -> None:
    here = deployment(tmp_path, offline, [MIRA])
    hours = hours_between(START, START + timedelta(hours=2))
    replay_hours(here, RAW_LIVES, hours[:1], kind="watch")
    before = {file: file.read_bytes() for file in tmp_path.rglob("*.parquet")}
    report = replay_hours(here, RAW_LIVES, hours, kind="watch")
    assert report.hours_skipped == 1
    assert report.tally.requests == 12
    assert all(file.read_bytes() == content for file, content in before.items())


def test_an_hour_without_a_due_poll_is_complete_too(tmp_path: Path) -> None:
    here = deployment(tmp_path, offline, [MIRA])
    hours = hours_between(START, START + timedelta(hours=3))
    first = replay_hours(here, RAW_PROFILES, hours, kind="sweep", every_hours=2)
    again = replay_hours(here, RAW_PROFILES, hours, kind="sweep", every_hours=2)
    assert first.tally.requests > 0
    assert again.tally.requests == 0
    assert again.hours_skipped == 3


def test_an_unavailable_vendor_fails_the_window_with_a_reason_keeps_the_rows_and_is_polled_again(
    tmp_path: Path,
) -> None:
    def down(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused")

    quick = Retries(attempts=1)
    with pytest.raises(CaptureError, match=r"no vendor answered.*social_fetch: ConnectError"):
        replay_hours(deployment(tmp_path, down, [MIRA], retries=quick), RAW_LIVES, [START], kind="watch")
    assert landed(tmp_path)["outcome"].unique().to_list() == ["network_error"]
    report = replay_hours(deployment(tmp_path, offline, [MIRA]), RAW_LIVES, [START], kind="watch")
    assert report.hours_skipped == 0
    assert landed(tmp_path)["outcome"].unique().to_list() == ["not_live"]


def test_a_window_on_the_real_clock_lands_continuously_and_a_retry_continues(tmp_path: Path) -> None:
    here = deployment(tmp_path, offline, [MIRA])
    for _ in range(2):
        window.sweep_now(here, RAW_LIVES, RealClock(), "sweep-test")
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    rows = Lake(tmp_path).scan_raw(RAW_LIVES, [hour - timedelta(hours=1), hour]).collect()
    assert rows.height == 2
    assert rows["capture_id"].n_unique() == 2
    assert all(capture_id.startswith("lives-sweep-test-000") for capture_id in rows["capture_id"])


def test_raw_is_refused_for_any_hour_but_the_current() -> None:
    now = START + timedelta(minutes=59)
    window.check_partition(START, now)
    for hour in (START - timedelta(hours=1), START + timedelta(hours=1)):
        with pytest.raises(BackfillError, match="vendors report only the current state"):
            window.check_partition(hour, now)


def test_a_route_without_a_vendor_fails_and_names_the_missing_variables(tmp_path: Path) -> None:
    without_vendors = Deployment(Lake(tmp_path), Settings(routes=Routes(live=("konbini",))), {}, [MIRA])
    with pytest.raises(SettingsError, match="KONBINI_API_KEY"):
        without_vendors.require_route("live")


def test_spent_credits_are_counted_from_landed_rows(tmp_path: Path) -> None:
    replay_hours(deployment(tmp_path, offline, [MIRA]), RAW_LIVES, [START], kind="watch")
    spent = spending.spent(Lake(tmp_path), [START.date()], Settings().vendors)
    assert spent == {("social_fetch", START.date()): 12.0}


def test_room_rows_keep_the_known_ids_of_the_creator() -> None:
    seen = LastSeen(live=True, room_id="1", user_id="2")
    assert seen.after([], START) == seen


def renamed_at(moment: datetime) -> Handler:
    """Return vendors for which mira.paints is renamed mira.arts from `moment` on."""

    def handle(request: httpx.Request) -> httpx.Response:
        after = at(request) >= moment
        if "tikliveapi" in request.url.host:
            assert request.url.params["userid"] == bodies.USER_ID
            name = "mira.arts" if after else "mira.paints"
            return respond(200, bodies.userinfo().replace(b"mira.paints", name.encode()))
        requested = request.url.path.split("/")[-2]
        if requested != ("mira.arts" if after else "mira.paints"):
            not_found = {"lookupStatus": "not_found", "liveStatus": None, "profile": None, "live": None}
            return respond(200, bodies.fetch_ok(not_found))
        return respond(200, bodies.fetch_ok(bodies.fetch_live("offline")).replace(b"mira.paints", requested.encode()))

    return handle


def test_a_renamed_creator_is_followed_by_user_id(tmp_path: Path) -> None:
    handle = renamed_at(START + timedelta(minutes=32))
    report = replay_hours(deployment(tmp_path, handle, [MIRA]), RAW_LIVES, [START], kind="watch")
    rows = landed(tmp_path)
    assert rows["subject"].unique(maintain_order=True).to_list() == ["mira.paints", "mira.arts"]
    assert rows["creator_id"].unique().to_list() == ["mira.paints"]
    # One poll did not find the handle; the same round polled again under the new one.
    assert rows["outcome"].to_list() == ["not_live"] * 7 + ["not_found"] + ["not_live"] * 5
    looked_up = Lake(tmp_path).scan_raw(RAW_PROFILES, [START]).collect()
    assert looked_up["endpoint"].to_list() == ["/userinfo-by-id/"]
    assert report.rows == 14


def test_the_next_window_polls_the_new_handle(tmp_path: Path) -> None:
    """Raw rows are enough: `creators` need not be derived again."""
    handle = renamed_at(START + timedelta(minutes=32))
    for hour in hours_between(START, START + timedelta(hours=2)):
        replay_hours(deployment(tmp_path, handle, [MIRA]), RAW_LIVES, [hour], kind="watch")
    second = landed(tmp_path, 2).filter(pl.col("requested_at") >= START + timedelta(hours=1))
    assert second["subject"].unique().to_list() == ["mira.arts"]
    assert second.height == 12
    # A handle that another account has taken is not followed.
    other = replace(MIRA, user_id="999")
    assert window_state.last_seen(Lake(tmp_path), START + timedelta(hours=2))["mira.paints"].named(other) == other


def missing_handle(request: httpx.Request) -> httpx.Response:
    """Respond that neither the handle nor the user id exists."""
    if "tikliveapi" in request.url.host:
        return respond(404, bodies.encoded({"message": "user not found"}))
    return respond(
        200, bodies.fetch_ok({"lookupStatus": "not_found", "liveStatus": None, "profile": None, "live": None})
    )


def test_a_missing_handle_is_polled_with_growing_delay_and_resolved_once_an_hour(tmp_path: Path) -> None:
    known = Target("mira.paints", "mira.paints", bodies.USER_ID)
    hours = hours_between(START, START + timedelta(hours=24))
    for span in (hours[:2], hours[2:3], hours[3:]):
        replay_hours(deployment(tmp_path, missing_handle, [known]), RAW_LIVES, span, kind="watch")
    polls = [(when - START).total_seconds() / 60 for when in landed(tmp_path, 24)["requested_at"]]
    assert polls[:7] == [0, 5, 10, 20, 40, 80, 140]
    assert {later - earlier for earlier, later in pairwise(polls[6:])} == {60}
    looked_up = Lake(tmp_path).scan_raw(RAW_PROFILES, hours).collect()
    assert looked_up.height == len(polls) - 4


def test_a_missing_handle_that_exists_again_is_polled_every_round(tmp_path: Path) -> None:
    back = START + timedelta(minutes=30)

    def handle(request: httpx.Request) -> httpx.Response:
        return missing_handle(request) if at(request) < back else offline(request)

    replay_hours(deployment(tmp_path, handle, [MIRA]), RAW_LIVES, [START], kind="watch")
    polls = [(when - START).total_seconds() / 60 for when in landed(tmp_path)["requested_at"]]
    assert polls == [0, 5, 10, 20, 40, 45, 50, 55]


def test_a_not_found_response_that_means_off_air_is_no_missing_handle(tmp_path: Path) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        return respond(404, bodies.konbini_error("not_found"))

    here = deployment(tmp_path, handle, [MIRA], routes=Routes(live=("konbini",)))
    replay_hours(here, RAW_LIVES, [START], kind="watch")
    assert landed(tmp_path).height == 12


def test_a_creator_who_became_due_between_two_windows_is_polled_first(tmp_path: Path) -> None:
    """Windows pause to land and to start: a creator due in the pause must not wait for the next round."""
    targets = [Target(f"creator{n}", f"creator{n}") for n in range(10)]

    def handle(request: httpx.Request) -> httpx.Response:
        live = bodies.fetch_live("offline")
        live["profile"]["handle"] = request.url.path.split("/")[-2]
        return respond(200, bodies.fetch_ok(live))

    here = deployment(tmp_path, handle, targets)
    replay_hours(here, RAW_LIVES, [START], kind="watch")
    # The next window begins two minutes late, as after a slow start.
    late = START + timedelta(hours=1, minutes=2)
    polls: list[tuple[datetime, str]] = []

    async def second() -> None:
        def note(attempt: Attempt) -> None:
            polls.append((attempt.requested_at, attempt.request.creator_id or ""))

        async with open_client(
            KEYS, Settings(), ReplayClock(late), note, transport=httpx.MockTransport(handle)
        ) as client:
            seen = window_state.last_seen(Lake(tmp_path), late)
            await watch(client, targets, Settings().watch, until=late + timedelta(minutes=8), seen=seen)

    asyncio.run(second())
    at_once = [creator for when, creator in polls if when == late]
    assert at_once == ["creator0", "creator1", "creator2", "creator3", "creator4"]
    all_polls = [(r[0], r[1]) for r in landed(tmp_path).select("requested_at", "creator_id").iter_rows()] + polls
    for target in targets:
        times = sorted(when for when, creator in all_polls if creator == target.creator_id)
        assert max(b - a for a, b in pairwise(times)) <= timedelta(minutes=7)


def test_an_end_seen_just_before_a_window_ends_is_confirmed_in_the_next(tmp_path: Path) -> None:
    on_air = live_from(START, START + timedelta(minutes=57))
    # The last of four creators: polled at 3:45 of every round, and so at 58:45.
    targets = [*(Target(f"creator{n}", f"creator{n}") for n in range(3)), MIRA]
    for hour in hours_between(START, START + timedelta(hours=2)):
        replay_hours(deployment(tmp_path, on_air, targets), RAW_LIVES, [hour], kind="watch")
    polls = landed(tmp_path, 2).filter(pl.col("creator_id") == MIRA.creator_id, pl.col("vendor") == "social_fetch")
    minutes = [(when - START).total_seconds() / 60 for when in polls["requested_at"]]
    assert minutes[11:14] == [58.75, 60.75, 63.75]


def test_user_ids_from_the_roster_are_used_if_raw_rows_have_none(tmp_path: Path) -> None:
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


# The price of a poll is equal for both; a round of these takes a quarter of an hour.
SELDOM = {"round_seconds": 900, "policy": "adaptive"}


def respond_offline(request: httpx.Request) -> httpx.Response:
    live = bodies.fetch_live("offline")
    live["profile"]["handle"] = request.url.path.split("/")[-2]
    return respond(200, bodies.fetch_ok(live))


def taught_lake(folder: Path, *habits: tuple[str, float]) -> list[Target]:
    """Land twelve creators; some started at this hour of START's weekday for eight weeks."""
    targets = [Target(f"creator{n}", f"creator{n}") for n in range(12)]
    lake = Lake(folder)
    long_ago = START - timedelta(weeks=12)
    lake.write_whole(
        CREATORS, frame(CREATORS, *({"creator_id": t.creator_id, "first_seen_at": long_ago} for t in targets))
    )
    for week in range(1, 9):
        day = (START - timedelta(weeks=week)).replace(hour=0)
        rows = [
            {"stream_id": f"{creator_id}:{week}", "creator_id": creator_id, "started_at": day + timedelta(hours=hour),
             "ended_at": day + timedelta(hours=hour + 1)}
            for creator_id, hour in habits
        ]  # fmt: skip
        lake.write_day(STREAMS, day.date(), frame(STREAMS, *rows))
    return targets


def test_by_habit_more_polls_go_to_creators_who_are_about_to_start(tmp_path: Path) -> None:
    targets = taught_lake(tmp_path, ("creator3", 10.5), ("creator7", 22.0))
    work = deployment(tmp_path, respond_offline, targets, watch=Watch(**SELDOM))  # type: ignore[arg-type]
    report = replay_hours(work, RAW_LIVES, hours_between(START, START + timedelta(hours=1)), kind="watch")
    polls = landed(tmp_path)["creator_id"]
    # Four rounds of twelve would be 48 polls.
    assert 46 <= report.tally.requests <= 48
    counts = dict(polls.value_counts().iter_rows())
    assert counts["creator3"] >= 2 * counts["creator7"]
    assert counts["creator3"] == max(counts.values())
    assert min(counts.values()) >= 2


def test_by_habit_no_creator_waits_longer_than_two_rounds_or_is_polled_too_soon(tmp_path: Path) -> None:
    targets = taught_lake(tmp_path, *((f"creator{n}", 10 + n / 4) for n in range(6)))
    work = deployment(tmp_path, respond_offline, targets, watch=Watch(**SELDOM))  # type: ignore[arg-type]
    # Single windows: each starts from landed rows.
    for hour in hours_between(START, START + timedelta(hours=3)):
        replay_hours(work, RAW_LIVES, [hour], kind="watch")
    rows = landed(tmp_path, 3).sort("creator_id", "requested_at")
    gaps = rows.select(pl.col("requested_at").diff().over("creator_id")).to_series().drop_nulls()
    assert gaps.min() >= timedelta(seconds=120)  # type: ignore[operator]
    assert gaps.max() <= timedelta(minutes=34)  # type: ignore[operator]


def test_by_habit_an_end_is_confirmed_and_a_missing_handle_is_not_polled(tmp_path: Path) -> None:
    targets = taught_lake(tmp_path)[:1]
    ends = START + timedelta(minutes=31)

    def handle(request: httpx.Request) -> httpx.Response:
        return (
            live_from(START, ends)(request)
            if request.url.path.split("/")[-2] != "creator1"
            else respond_offline(request)
        )

    minutely = Watch(round_seconds=300, policy="adaptive")
    work = deployment(tmp_path / "live", handle, [replace(targets[0], handle="mira.paints")], watch=minutely)
    replay_hours(work, RAW_LIVES, [START], kind="watch")
    polls = landed(tmp_path / "live").filter(pl.col("vendor") == "social_fetch")["requested_at"]
    after = [moment - ends for moment in polls if moment >= ends]
    assert timedelta(minutes=2) <= after[1] - after[0] <= timedelta(minutes=5)

    work = deployment(tmp_path / "gone", missing_handle, [replace(targets[0], user_id="77")], watch=minutely)
    replay_hours(work, RAW_LIVES, hours_between(START, START + timedelta(hours=6)), kind="watch")
    live = landed(tmp_path / "gone", 6).filter(pl.col("endpoint").str.contains("live"))
    assert live.height < 6 * 12 / 3


def test_a_creator_erased_during_a_window_is_polled_no_more_and_none_of_their_rows_land(tmp_path: Path) -> None:
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
    # Rows that the window received before stay in memory only.
    assert landed(tmp_path)["creator_id"].unique().to_list() == ["bo"]
    assert not any("mira.paints" in creators for creators in report.tally.failures.values())


def test_a_window_skips_files_of_a_newer_release(tmp_path: Path) -> None:
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
