"""A response about another account costs itself: real windows against a real server, through the normalized tables."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from tiktok_pipeline.capture import known_accounts
from tiktok_pipeline.capture.on_air import last_rooms, on_air_readings
from tiktok_pipeline.capture.window_state import WindowState
from tiktok_pipeline.config.settings import Routes, Settings
from tiktok_pipeline.config.settings import Streams as StreamSettings
from tiktok_pipeline.derive.decoded import DecodedHours
from tiktok_pipeline.derive.sightings import history
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.providers.accounts import ANOTHER_ACCOUNT
from tiktok_pipeline.providers.vendor import Target
from tiktok_pipeline.tables import CREATORS, PROFILE_OBSERVATIONS
from tiktok_pipeline.transforms.identity import identities
from tiktok_pipeline.transforms.streams import streams
from tiktok_pipeline_tests.impostors import (
    OTHER,
    OWN,
    START,
    Deployed,
    Holds,
    Impostors,
    Person,
    at_minutes,
    known_target,
    serving,
)
from tiktok_pipeline_tests.transforms.frames import frame

# The creator streams from 01:00 to 01:40, the other account from 02:10 to 03:30.
MINE = replace(OWN, live=(at_minutes(60), at_minutes(100)))
THEIRS = replace(OTHER, live=(at_minutes(130), at_minutes(210)))


def by_id(subject: str) -> Person | None:
    """Whose id or room this is: ids belong to the same account for ever."""
    return next((p for p in (MINE, THEIRS) if subject in (p.user_id, p.room_id)), None)


def wrong_between(first: float, last: float, *vendors: str, capability: str | None = None) -> Holds:
    """The handle gives the other account in [first, last) minutes; at these vendors, for this capability."""

    def holds(vendor: str, asks: str, subject: str, at: datetime) -> Person | None:
        if subject != "odd.one":
            return by_id(subject)
        wrong = at_minutes(first) <= at < at_minutes(last)
        at_fault = (not vendors or vendor in vendors) and capability in (None, asks)
        return THEIRS if wrong and at_fault else MINE

    return holds


def strangers(frames: dict[str, pl.DataFrame]) -> pl.DataFrame:
    return frames["quarantine"].filter(pl.col("reason") == ANOTHER_ACCOUNT)


def assert_nothing_of_the_other(frames: dict[str, pl.DataFrame]) -> None:
    """No reading of the other account is left, and everything of the creator is."""
    profiles = frames["profile_observations"]
    assert THEIRS.followers not in profiles["followers"]
    assert 913_100 not in profiles["followers"]
    assert THEIRS.user_id not in profiles["user_id"]
    assert THEIRS.sec_uid not in profiles["sec_uid"]
    assert THEIRS.room_id not in frames["live_observations"]["room_id"]
    assert THEIRS.room_id not in frames["stream_variants"]["room_id"]
    for table in ("post_observations", "story_observations"):
        ids = frames[table][table[: -len("_observations")] + "_id"]
        assert not ids.str.contains(str(THEIRS.followers)).any()
    assert frames["live_observations"]["capture_id"].is_unique().all()


def own_streams(frames: dict[str, pl.DataFrame]) -> list[tuple[str | None, float]]:
    found = streams(frames["live_observations"].lazy(), settings=StreamSettings(), as_of=START + timedelta(hours=5))
    return [(room, round(airtime / 60)) for room, airtime in found.select("room_id", "airtime_s").iter_rows()]


ALL = ("lives", "profiles", "stories", "posts", "followers")


@pytest.mark.parametrize(
    ("first", "last"),
    [(125, 1e9), (125, 128), (0, 1), (0, 11), (4, 6), (65, 66), (60, 75)],
    ids=["taken for good", "once, later", "first response", "first ten minutes", "second", "once, on air",
         "a quarter of an hour on air"],
)  # fmt: skip
@pytest.mark.parametrize("target", [Target("odd.one", "odd.one"), known_target()], ids=["learned", "on the roster"])
def test_nothing_of_another_account_is_read(tmp_path: Path, first: float, last: float, target: Target) -> None:
    with serving(Impostors(wrong_between(first, last))) as vendors:
        deployed = Deployed(tmp_path, vendors, (target,))
        deployed.capture(4, tables=ALL)
        frames = deployed.normalize()
    assert_nothing_of_the_other(frames)
    assert vendors.handles == ["odd.one"]
    assert OWN.followers in frames["profile_observations"]["followers"]
    room, minutes = own_streams(frames)[0]
    assert room == MINE.room_id
    assert minutes == pytest.approx(40, abs=11)
    assert len(own_streams(frames)) == 1
    wrong = strangers(frames)
    assert not wrong.is_empty()
    assert set(wrong["value"]) <= {THEIRS.user_id, THEIRS.sec_uid, THEIRS.room_id}
    live = frames["live_observations"].join(wrong.select("capture_id"), on="capture_id")
    assert set(live["live_state"]) <= {"unknown"}
    assert set(live["reason"]) <= {ANOTHER_ACCOUNT}


# Lists of Social Fetch, and stories and posts of TikLiveAPI, name no account: such a response by itself cannot be told.
NAMING = [
    ("social_fetch", "live"), ("social_fetch", "profile"), ("konbini", "live"), ("konbini", "profile"),
    ("konbini", "stories"), ("konbini", "posts"), ("tikliveapi", "profile"), ("tikliveapi", "user_id"),
    ("tikliveapi", "identity"), ("tikhub", "room"), ("tikhub", "identity"),
]  # fmt: skip


@pytest.mark.parametrize(("vendor", "capability"), NAMING)
@pytest.mark.parametrize(("first", "last"), [(0, 11), (105, 125)], ids=["before the account is known", "after"])
def test_each_vendor_may_be_wrong_at_each_endpoint(
    tmp_path: Path, vendor: str, capability: str, first: float, last: float
) -> None:
    def holds(asked: str, asks: str, subject: str, at: datetime) -> Person | None:
        # Not found for a while, so that the user id is looked up.
        if subject == "odd.one" and at_minutes(105) <= at < at_minutes(115) and asks == "live":
            return None
        at_fault = (asked, asks) == (vendor, capability) and at_minutes(first) <= at < at_minutes(last)
        return THEIRS if at_fault else MINE if subject == "odd.one" else by_id(subject)

    routes = {name: (vendor,) for name in ("profile", "stories", "posts", "identity") if capability == name}
    if capability == "live":
        routes["live"] = (vendor,)
    if capability == "user_id":  # is asked where a profile has no user id
        routes["profile"] = ("konbini",)
    with serving(Impostors(holds)) as vendors:
        deployed = Deployed(tmp_path, vendors, settings=Settings(routes=Routes(**routes)))
        deployed.capture(3, tables=("lives", "profiles", *({"stories", "posts"} & {capability})))
        frames = deployed.normalize()
    assert_nothing_of_the_other(frames)
    assert vendors.handles == ["odd.one"]


@pytest.mark.parametrize("without", [("user_id",), ("sec_uid",), ("handle",), ("user_id", "handle")])
def test_either_id_is_enough_to_tell_accounts_apart(tmp_path: Path, without: tuple[str, ...]) -> None:
    with serving(Impostors(wrong_between(125, 1e9), without=without)) as vendors:
        deployed = Deployed(tmp_path, vendors)
        deployed.capture(4)
        frames = deployed.normalize()
    assert_nothing_of_the_other(frames)
    assert not strangers(frames).is_empty()


def test_responses_without_any_id_are_told_apart_by_their_handle(tmp_path: Path) -> None:
    other = replace(THEIRS, handle="some.other")

    def holds(vendor: str, capability: str, subject: str, at: datetime) -> Person | None:
        return other if at >= at_minutes(125) and subject == "odd.one" else MINE

    with serving(Impostors(holds, without=("user_id", "sec_uid"))) as vendors:
        deployed = Deployed(tmp_path, vendors)
        deployed.capture(4)
        frames = deployed.normalize()
    assert_nothing_of_the_other(frames)
    assert set(strangers(frames)["value"]) == {"some.other"}
    assert vendors.handles == ["odd.one"]


@pytest.mark.parametrize("first", [0, 65], ids=["first response", "later"])
def test_one_mixed_up_response_costs_a_private_creator_only_itself(tmp_path: Path, first: float) -> None:
    """Responses without ids follow the last one with ids, unless a look-up by user id found the handle at that time."""
    private = replace(MINE, private=True)

    def holds(vendor: str, capability: str, subject: str, at: datetime) -> Person | None:
        mixed_up = vendor == "social_fetch" and at_minutes(first) <= at < at_minutes(first + 5)
        return THEIRS if subject == "odd.one" and mixed_up else private if subject == "odd.one" else by_id(subject)

    with serving(Impostors(holds)) as vendors:
        deployed = Deployed(tmp_path, vendors, (known_target(),))
        deployed.capture(4)
        frames = deployed.normalize()
    assert_nothing_of_the_other(frames)
    wrong = strangers(frames)
    assert not wrong.is_empty()
    assert wrong["observed_at"].is_between(at_minutes(first), at_minutes(first + 6)).all()
    live = frames["live_observations"].filter(pl.col("vendor") == "social_fetch")
    assert live.filter(pl.col("live_state") != "unknown").height >= live.height - wrong.height
    assert len(own_streams(frames)) == 1


def test_a_private_creators_handle_that_is_taken_for_good_is_not_read(tmp_path: Path) -> None:
    private, moved = replace(MINE, private=True), replace(MINE, handle="odd.two")

    def holds(vendor: str, capability: str, subject: str, at: datetime) -> Person | None:
        taken = at >= at_minutes(125)
        if subject == "odd.one":
            return THEIRS if taken else private
        return moved if taken and subject in ("odd.two", MINE.user_id) else by_id(subject)

    with serving(Impostors(holds)) as vendors:
        deployed = Deployed(tmp_path, vendors, (known_target(),))
        deployed.capture(4, tables=ALL)
        frames = deployed.normalize()
    assert_nothing_of_the_other(frames)


def test_a_wrong_handle_with_other_ids_is_never_polled(tmp_path: Path) -> None:
    """Before the account is known, from the first response on: what made every later window poll the other handle."""
    other = replace(THEIRS, handle="some.other")

    def holds(vendor: str, capability: str, subject: str, at: datetime) -> Person | None:
        if subject == "some.other":
            return other
        return other if at < at_minutes(11) and subject == "odd.one" else MINE

    with serving(Impostors(holds)) as vendors:
        deployed = Deployed(tmp_path, vendors)
        deployed.capture(3, tables=ALL)
        frames = deployed.normalize()
    assert vendors.handles == ["odd.one"]
    assert_nothing_of_the_other(frames)


@pytest.mark.parametrize(
    "handle",
    ["../../../v1/balance?x=", "..", "a/b", "odd.one?x=1", "odd one", "", "x" * 25, "https://evil.example/x",
     "%2e%2e", "odd.one\n", "ödd", "odd.one#", "\\..\\..", "..;/", "\x00ab", "＠odd"],
)  # fmt: skip
@pytest.mark.parametrize("target", [Target("odd.one", "odd.one"), known_target()], ids=["learned", "on the roster"])
def test_a_handle_of_wrong_form_is_never_requested(tmp_path: Path, handle: str, target: Target) -> None:
    """Even where the creator's own id vouches for it."""
    odd = replace(MINE, handle=handle)

    def holds(vendor: str, capability: str, subject: str, at: datetime) -> Person | None:
        return None if at >= at_minutes(50) and subject == "odd.one" and at < at_minutes(70) else odd

    with serving(Impostors(holds)) as vendors:
        deployed = Deployed(tmp_path, vendors, (target,))
        deployed.capture(2)
    assert vendors.handles == ["odd.one"]
    paths = {path for _, path in vendors.paths}
    assert paths <= {
        "/v1/tiktok/profiles/odd.one", "/v1/tiktok/profiles/odd.one/live", "/userinfo-by-id/", "/userid/",
        "/api/v1//live/info", "/api/v1/live/info", "/api/v1//user/info",
    }  # fmt: skip


def renames_at(minutes: float, *, taken_at: float = 1e9) -> Holds:
    """The creator is new.name from then on; the old handle is free, and taken by the other account later."""
    renamed = replace(MINE, handle="new.name")

    def holds(vendor: str, capability: str, subject: str, at: datetime) -> Person | None:
        after = at >= at_minutes(minutes)
        mine = renamed if after else MINE
        if subject == "odd.one":
            return THEIRS if at >= at_minutes(taken_at) else None if after else mine
        if subject == "new.name":
            return mine if after else None
        return mine if subject in (MINE.user_id, MINE.room_id) else THEIRS if subject == THEIRS.user_id else None

    return holds


@pytest.mark.parametrize("target", [Target("odd.one", "odd.one"), known_target()], ids=["learned", "on the roster"])
def test_a_rename_is_followed_and_the_old_handle_is_nobodys_business(tmp_path: Path, target: Target) -> None:
    with serving(Impostors(renames_at(52, taken_at=110))) as vendors:
        deployed = Deployed(tmp_path, vendors, (target,))
        deployed.capture(4)
        frames = deployed.normalize()
    assert vendors.handles == ["odd.one", "new.name"]
    assert_nothing_of_the_other(frames)
    assert own_streams(frames) == [(MINE.room_id, pytest.approx(40, abs=6))]
    live = [path for at, path in vendors.paths if at >= at_minutes(60) and path.endswith("/live")]
    assert set(live) == {"/v1/tiktok/profiles/new.name/live"}
    # The hourly sweep still asks for the old handle; what it gets is another account's.
    assert set(strangers(frames)["value"]) <= {THEIRS.user_id}


def test_a_handle_that_is_taken_at_once_is_left_by_user_id(tmp_path: Path) -> None:
    """No response ever says that the handle does not exist."""
    with serving(Impostors(renames_at(52, taken_at=52))) as vendors:
        deployed = Deployed(tmp_path, vendors)
        deployed.capture(4)
        frames = deployed.normalize()
    assert vendors.handles == ["odd.one", "new.name"]
    assert_nothing_of_the_other(frames)
    assert own_streams(frames) == [(MINE.room_id, pytest.approx(40, abs=6))]


@pytest.mark.parametrize("damaged", ["6912345678901235000", "6912345678901234688"])
def test_an_id_that_was_rounded_is_not_another_account(tmp_path: Path, damaged: str) -> None:
    rounded = replace(MINE, user_id=damaged)

    def holds(vendor: str, capability: str, subject: str, at: datetime) -> Person | None:
        return rounded if at_minutes(70) <= at < at_minutes(90) else MINE

    with serving(Impostors(holds, without=("sec_uid",))) as vendors:
        deployed = Deployed(tmp_path, vendors)
        deployed.capture(3)
        frames = deployed.normalize()
    assert strangers(frames).is_empty()
    assert own_streams(frames) == [(MINE.room_id, pytest.approx(40, abs=6))]


def test_a_day_can_be_rebuilt_in_any_order_and_gives_the_same(tmp_path: Path) -> None:
    with serving(Impostors(wrong_between(23 * 60 + 40, 24 * 60 + 10))) as vendors:
        deployed = Deployed(tmp_path, vendors)
        deployed.capture(3, start=at_minutes(23 * 60))
        deployed.normalize(days=2)
    files = sorted(path for path in (tmp_path / "normalized").rglob("*.parquet"))
    before = {path: path.read_bytes() for path in files}
    for path in files:
        path.unlink()
    # The second day first, then the first.
    deployed.normalize(start=START + timedelta(days=1))
    deployed.normalize()
    deployed.normalize(start=START + timedelta(days=1))
    assert {path: path.read_bytes() for path in files} == before


def test_the_first_responses_before_midnight_are_outvoted_by_the_next_day(tmp_path: Path) -> None:
    wrong = wrong_between(0, 23 * 60 + 30)
    with serving(Impostors(wrong)) as vendors:
        deployed = Deployed(tmp_path, vendors)
        deployed.capture(4, start=START + timedelta(hours=23), tables=("profiles",))
        frames = deployed.normalize(days=2)
    assert frames["profile_observations"]["followers"].to_list() == [OWN.followers] * 3
    assert strangers(frames).height == 1


def test_a_wrong_new_handle_is_left_for_the_first_one_within_the_hour(tmp_path: Path) -> None:
    """The vendor that resolves user ids gives the right id with a wrong handle, and goes on to."""
    wrong = replace(MINE, handle="some.other")

    def holds(vendor: str, capability: str, subject: str, at: datetime) -> Person | None:
        if capability == "identity":
            return wrong
        if subject == "some.other":
            return replace(THEIRS, handle="some.other")
        return None if at_minutes(40) <= at < at_minutes(46) else MINE

    with serving(Impostors(holds)) as vendors:
        deployed = Deployed(tmp_path, vendors)
        deployed.capture(3, tables=("lives",))
        frames = deployed.normalize()
    assert vendors.handles == ["odd.one", "some.other"]
    last = [path for at, path in vendors.paths if at >= at_minutes(110)]
    assert all("odd.one" in path for path in last if path.endswith("/live"))
    assert_nothing_of_the_other(frames)


def test_what_was_learned_is_used_by_the_next_windows_and_presumptions_are_not(tmp_path: Path) -> None:
    target = Target("odd.one", "odd.one")
    lake = Lake(tmp_path)
    row = {"creator_id": "odd.one", "handle": "new.name", "user_id": OWN.user_id, "sec_uid": OWN.sec_uid}
    lake.write_whole(CREATORS, frame(CREATORS, row | {"identified_by": "responses", "on_roster": True}))
    assert known_accounts.known_as(lake, [target]) == [replace(known_target(), handle="new.name")]
    # The operator gave another id since.
    other = replace(target, user_id=OTHER.user_id)
    assert known_accounts.known_as(lake, [other]) == [other]
    lake.write_whole(CREATORS, frame(CREATORS, row | {"on_roster": True}))
    assert known_accounts.known_as(lake, [target]) == [target]


def test_single_hours_know_what_one_span_knows(tmp_path: Path) -> None:
    """Nothing is derived between them: what was agreed on is read from raw."""
    holds = renames_at(52, taken_at=52)
    with serving(Impostors(holds)) as one, serving(Impostors(holds)) as many:
        Deployed(tmp_path / "one", one).capture(3, tables=("lives",))
        Deployed(tmp_path / "many", many).capture(3, tables=("lives",), single_hours=True)
    assert one.handles == many.handles == ["odd.one", "new.name"]


def test_moments_around_streams_leave_out_another_accounts_stream(tmp_path: Path) -> None:
    with serving(Impostors(wrong_between(125, 1e9))) as vendors:
        deployed = Deployed(tmp_path, vendors)
        deployed.capture(4, tables=("lives",))
    targets = known_accounts.identified(deployed.lake, deployed.targets, at_minutes(240))
    assert targets == [known_target()]
    readings = on_air_readings(deployed.lake, START, at_minutes(240), targets)
    on_air = readings.filter("on_air")["polled_at"]
    assert (on_air.min(), on_air.max()) == (at_minutes(60), at_minutes(95))
    assert WindowState(deployed.deployment(), START, at_minutes(240)).on_air(targets, at_minutes(200)) == []
    assert last_rooms(deployed.lake, targets, START, at_minutes(240))[0].room_id == MINE.room_id


def test_days_of_an_earlier_release_tell_who_a_creator_is(tmp_path: Path) -> None:
    """They have profiles and no sightings, and their raw rows are gone; the creator has renamed since."""
    renamed = replace(MINE, handle="new.name")

    def holds(vendor: str, capability: str, subject: str, at: datetime) -> Person | None:
        return {"new.name": renamed, "odd.one": THEIRS}.get(subject, MINE)

    lake = Lake(tmp_path)
    for ago, handle in ((3, "odd.one"), (2, "new.name")):
        rows = [
            {"creator_id": "odd.one", "vendor": "social_fetch", "observed_at": START - timedelta(days=ago, hours=n),
             "capture_id": f"c{ago}{n}", "source": "profile", "handle": handle, "user_id": OWN.user_id}
            for n in (1, 2)
        ]  # fmt: skip
        day = (START - timedelta(days=ago + 1)).date()
        lake.write_day(PROFILE_OBSERVATIONS, day, frame(PROFILE_OBSERVATIONS, *rows))
    known = identities(history(DecodedHours.of(lake, b"key", 40), START.date()), {})
    assert known.account("odd.one").user_id == OWN.user_id
    assert known.known_by["odd.one"] == "responses"
    with serving(Impostors(holds)) as vendors:
        deployed = Deployed(tmp_path, vendors, (replace(known_target(), handle="new.name"),))
        deployed.capture(1, tables=("lives",))
        assert_nothing_of_the_other(deployed.normalize())


@pytest.mark.parametrize("seed", range(int(os.environ.get("IMPOSTOR_SEEDS", "6"))))
def test_whatever_vendors_mix_up_nothing_of_the_other_account_is_read(tmp_path: Path, seed: int) -> None:
    """Random vendors, endpoints and stretches, up to an hour long, in five hours; one in three before it is known."""
    chance = random.Random(seed)
    without = chance.choice([(), (), ("user_id",), ("sec_uid",), ("handle",)])
    # Without a secUid Konbini gives no id: its responses by themselves cannot be told apart.
    at_fault = [each for each in NAMING if each[0] != "konbini" or "sec_uid" not in without]
    faults = []
    for _ in range(chance.randrange(1, 6)):
        first = chance.choice([0, chance.uniform(0, 60), chance.uniform(60, 280), chance.uniform(60, 280)])
        longest = 24 if first < 60 else 70
        vendor, capability = chance.choice([*at_fault, ("social_fetch", "live"), ("social_fetch", "profile")])
        faults.append((vendor, capability, first, first + chance.uniform(1, longest)))

    def holds(vendor: str, capability: str, subject: str, at: datetime) -> Person | None:
        minute = (at - START) / timedelta(minutes=1)
        if any(f[:2] == (vendor, capability) and f[2] <= minute < f[3] for f in faults):
            return THEIRS
        return MINE if subject == "odd.one" else by_id(subject)

    with serving(Impostors(holds, without=without)) as vendors:
        deployed = Deployed(tmp_path, vendors)
        deployed.capture(5, tables=ALL, single_hours=chance.random() < 0.3)
        frames = deployed.normalize()
    assert vendors.handles == ["odd.one"], faults
    assert_nothing_of_the_other(frames)
