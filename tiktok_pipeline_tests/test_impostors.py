"""Responses about another account are refused: real windows against a real server, through the normalized tables."""

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
CREATOR = replace(OWN, live=(at_minutes(60), at_minutes(100)))
OTHER_ACCOUNT = replace(OTHER, live=(at_minutes(130), at_minutes(210)))


def by_id(subject: str) -> Person | None:
    """Return the account of an id or a room: ids never move."""
    return next((p for p in (CREATOR, OTHER_ACCOUNT) if subject in (p.user_id, p.room_id)), None)


def wrong_between(first: float, last: float, *vendors: str, capability: str | None = None) -> Holds:
    """Return a `holds` that gives the other account in [first, last) minutes, at these vendors, for this capability."""

    def holds(vendor: str, polled_capability: str, subject: str, at: datetime) -> Person | None:
        if subject != "odd.one":
            return by_id(subject)
        wrong = at_minutes(first) <= at < at_minutes(last)
        at_fault = (not vendors or vendor in vendors) and capability in (None, polled_capability)
        return OTHER_ACCOUNT if wrong and at_fault else CREATOR

    return holds


def refused_readings(frames: dict[str, pl.DataFrame]) -> pl.DataFrame:
    return frames["quarantine"].filter(pl.col("reason") == ANOTHER_ACCOUNT)


def assert_no_data_of_the_other_account(frames: dict[str, pl.DataFrame]) -> None:
    """Check that no reading of the other account is left."""
    profiles = frames["profile_observations"]
    assert OTHER_ACCOUNT.followers not in profiles["followers"]
    assert 913_100 not in profiles["followers"]
    assert OTHER_ACCOUNT.user_id not in profiles["user_id"]
    assert OTHER_ACCOUNT.sec_uid not in profiles["sec_uid"]
    assert OTHER_ACCOUNT.room_id not in frames["live_observations"]["room_id"]
    assert OTHER_ACCOUNT.room_id not in frames["stream_variants"]["room_id"]
    for table in ("post_observations", "story_observations"):
        ids = frames[table][table[: -len("_observations")] + "_id"]
        assert not ids.str.contains(str(OTHER_ACCOUNT.followers)).any()
    assert frames["live_observations"]["capture_id"].is_unique().all()


def own_streams(frames: dict[str, pl.DataFrame]) -> list[tuple[str | None, float]]:
    found = streams(frames["live_observations"].lazy(), settings=StreamSettings(), as_of=START + timedelta(hours=5))
    return [(room, round(airtime / 60)) for room, airtime in found.select("room_id", "airtime_s").iter_rows()]


ALL = ("lives", "profiles", "stories", "posts", "followers")


@pytest.mark.parametrize(
    ("first", "last"),
    [(125, 1e9), (125, 128), (0, 1), (0, 11), (4, 6), (65, 66), (60, 75)],
    ids=["taken for good", "one response, later", "first response", "first ten minutes", "second response",
         "one response, on air", "a quarter of an hour on air"],
)  # fmt: skip
@pytest.mark.parametrize(
    "target", [Target("odd.one", "odd.one"), known_target()], ids=["account learned", "ids on the roster"]
)
def test_no_reading_of_another_account_is_accepted(tmp_path: Path, first: float, last: float, target: Target) -> None:
    with serving(Impostors(wrong_between(first, last))) as vendors:
        deployed = Deployed(tmp_path, vendors, (target,))
        deployed.capture(4, tables=ALL)
        frames = deployed.normalize()
    assert_no_data_of_the_other_account(frames)
    assert vendors.handles == ["odd.one"]
    assert OWN.followers in frames["profile_observations"]["followers"]
    room, minutes = own_streams(frames)[0]
    assert room == CREATOR.room_id
    assert minutes == pytest.approx(40, abs=11)
    assert len(own_streams(frames)) == 1
    wrong = refused_readings(frames)
    assert not wrong.is_empty()
    assert set(wrong["value"]) <= {OTHER_ACCOUNT.user_id, OTHER_ACCOUNT.sec_uid, OTHER_ACCOUNT.room_id}
    live = frames["live_observations"].join(wrong.select("capture_id"), on="capture_id")
    assert set(live["live_state"]) <= {"unknown"}
    assert set(live["reason"]) <= {ANOTHER_ACCOUNT}


# Lists of Social Fetch, and stories and posts of TikLiveAPI, name no account: alone, such a response cannot be
# attributed.
NAMING = [
    ("social_fetch", "live"), ("social_fetch", "profile"), ("konbini", "live"), ("konbini", "profile"),
    ("konbini", "stories"), ("konbini", "posts"), ("tikliveapi", "profile"), ("tikliveapi", "user_id"),
    ("tikliveapi", "identity"), ("tikhub", "room"), ("tikhub", "identity"),
]  # fmt: skip


@pytest.mark.parametrize(("vendor", "capability"), NAMING)
@pytest.mark.parametrize(
    ("first", "last"), [(0, 11), (105, 125)], ids=["before the account is known", "after the account is known"]
)
def test_any_vendor_may_be_wrong_at_any_endpoint(
    tmp_path: Path, vendor: str, capability: str, first: float, last: float
) -> None:
    def holds(polled_vendor: str, polled_capability: str, subject: str, at: datetime) -> Person | None:
        # Not found for a while, so the poller looks up the user id.
        if subject == "odd.one" and at_minutes(105) <= at < at_minutes(115) and polled_capability == "live":
            return None
        at_fault = (polled_vendor, polled_capability) == (vendor, capability) and at_minutes(first) <= at < at_minutes(
            last
        )
        return OTHER_ACCOUNT if at_fault else CREATOR if subject == "odd.one" else by_id(subject)

    routes = {name: (vendor,) for name in ("profile", "stories", "posts", "identity") if capability == name}
    if capability == "live":
        routes["live"] = (vendor,)
    if capability == "user_id":  # Polled if a profile has no user id.
        routes["profile"] = ("konbini",)
    with serving(Impostors(holds)) as vendors:
        deployed = Deployed(tmp_path, vendors, settings=Settings(routes=Routes(**routes)))
        deployed.capture(3, tables=("lives", "profiles", *({"stories", "posts"} & {capability})))
        frames = deployed.normalize()
    assert_no_data_of_the_other_account(frames)
    assert vendors.handles == ["odd.one"]


@pytest.mark.parametrize("without", [("user_id",), ("sec_uid",), ("handle",), ("user_id", "handle")])
def test_either_id_is_enough_to_distinguish_accounts(tmp_path: Path, without: tuple[str, ...]) -> None:
    with serving(Impostors(wrong_between(125, 1e9), without=without)) as vendors:
        deployed = Deployed(tmp_path, vendors)
        deployed.capture(4)
        frames = deployed.normalize()
    assert_no_data_of_the_other_account(frames)
    assert not refused_readings(frames).is_empty()


def test_responses_without_any_id_are_distinguished_by_their_handle(tmp_path: Path) -> None:
    other = replace(OTHER_ACCOUNT, handle="some.other")

    def holds(vendor: str, capability: str, subject: str, at: datetime) -> Person | None:
        return other if at >= at_minutes(125) and subject == "odd.one" else CREATOR

    with serving(Impostors(holds, without=("user_id", "sec_uid"))) as vendors:
        deployed = Deployed(tmp_path, vendors)
        deployed.capture(4)
        frames = deployed.normalize()
    assert_no_data_of_the_other_account(frames)
    assert set(refused_readings(frames)["value"]) == {"some.other"}
    assert vendors.handles == ["odd.one"]


@pytest.mark.parametrize("first", [0, 65], ids=["first response", "later response"])
def test_a_mixed_up_response_about_a_private_creator_costs_only_itself(tmp_path: Path, first: float) -> None:
    """Responses without ids count as the account of the last response with ids, unless a look-up by user id finds
    the handle at that time.
    """
    private = replace(CREATOR, private=True)

    def holds(vendor: str, capability: str, subject: str, at: datetime) -> Person | None:
        mixed_up = vendor == "social_fetch" and at_minutes(first) <= at < at_minutes(first + 5)
        return (
            OTHER_ACCOUNT if subject == "odd.one" and mixed_up else private if subject == "odd.one" else by_id(subject)
        )

    with serving(Impostors(holds)) as vendors:
        deployed = Deployed(tmp_path, vendors, (known_target(),))
        deployed.capture(4)
        frames = deployed.normalize()
    assert_no_data_of_the_other_account(frames)
    wrong = refused_readings(frames)
    assert not wrong.is_empty()
    assert wrong["observed_at"].is_between(at_minutes(first), at_minutes(first + 6)).all()
    live = frames["live_observations"].filter(pl.col("vendor") == "social_fetch")
    assert live.filter(pl.col("live_state") != "unknown").height >= live.height - wrong.height
    assert len(own_streams(frames)) == 1


def test_a_private_creators_taken_handle_is_not_read(tmp_path: Path) -> None:
    private, moved = replace(CREATOR, private=True), replace(CREATOR, handle="odd.two")

    def holds(vendor: str, capability: str, subject: str, at: datetime) -> Person | None:
        taken = at >= at_minutes(125)
        if subject == "odd.one":
            return OTHER_ACCOUNT if taken else private
        return moved if taken and subject in ("odd.two", CREATOR.user_id) else by_id(subject)

    with serving(Impostors(holds)) as vendors:
        deployed = Deployed(tmp_path, vendors, (known_target(),))
        deployed.capture(4, tables=ALL)
        frames = deployed.normalize()
    assert_no_data_of_the_other_account(frames)


def test_a_wrong_handle_with_other_ids_is_never_polled(tmp_path: Path) -> None:
    """The wrong responses come first, before the account is known. Formerly, every later window then polled the
    other handle.
    """
    other = replace(OTHER_ACCOUNT, handle="some.other")

    def holds(vendor: str, capability: str, subject: str, at: datetime) -> Person | None:
        if subject == "some.other":
            return other
        return other if at < at_minutes(11) and subject == "odd.one" else CREATOR

    with serving(Impostors(holds)) as vendors:
        deployed = Deployed(tmp_path, vendors)
        deployed.capture(3, tables=ALL)
        frames = deployed.normalize()
    assert vendors.handles == ["odd.one"]
    assert_no_data_of_the_other_account(frames)


@pytest.mark.parametrize(
    "handle",
    ["../../../v1/balance?x=", "..", "a/b", "odd.one?x=1", "odd one", "", "x" * 25, "https://evil.example/x",
     "%2e%2e", "odd.one\n", "ödd", "odd.one#", "\\..\\..", "..;/", "\x00ab", "＠odd"],
)  # fmt: skip
@pytest.mark.parametrize(
    "target", [Target("odd.one", "odd.one"), known_target()], ids=["account learned", "ids on the roster"]
)
def test_a_handle_of_wrong_form_is_never_requested(tmp_path: Path, handle: str, target: Target) -> None:
    """Even if the creator's own id comes with it."""
    odd = replace(CREATOR, handle=handle)

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
    """Return a `holds` in which the creator renames to new.name; the other account may take the old handle later."""
    renamed = replace(CREATOR, handle="new.name")

    def holds(vendor: str, capability: str, subject: str, at: datetime) -> Person | None:
        after = at >= at_minutes(minutes)
        creator = renamed if after else CREATOR
        if subject == "odd.one":
            return OTHER_ACCOUNT if at >= at_minutes(taken_at) else None if after else creator
        if subject == "new.name":
            return creator if after else None
        return (
            creator
            if subject in (CREATOR.user_id, CREATOR.room_id)
            else OTHER_ACCOUNT
            if subject == OTHER_ACCOUNT.user_id
            else None
        )

    return holds


@pytest.mark.parametrize(
    "target", [Target("odd.one", "odd.one"), known_target()], ids=["account learned", "ids on the roster"]
)
def test_a_rename_is_followed_and_responses_under_the_old_handle_are_refused(tmp_path: Path, target: Target) -> None:
    with serving(Impostors(renames_at(52, taken_at=110))) as vendors:
        deployed = Deployed(tmp_path, vendors, (target,))
        deployed.capture(4)
        frames = deployed.normalize()
    assert vendors.handles == ["odd.one", "new.name"]
    assert_no_data_of_the_other_account(frames)
    assert own_streams(frames) == [(CREATOR.room_id, pytest.approx(40, abs=6))]
    live = [path for at, path in vendors.paths if at >= at_minutes(60) and path.endswith("/live")]
    assert set(live) == {"/v1/tiktok/profiles/new.name/live"}
    # The hourly sweep still polls the old handle; its response is about another account.
    assert set(refused_readings(frames)["value"]) <= {OTHER_ACCOUNT.user_id}


def test_a_handle_that_is_taken_at_once_is_replaced_through_the_user_id(tmp_path: Path) -> None:
    """No response ever reports the handle as missing."""
    with serving(Impostors(renames_at(52, taken_at=52))) as vendors:
        deployed = Deployed(tmp_path, vendors)
        deployed.capture(4)
        frames = deployed.normalize()
    assert vendors.handles == ["odd.one", "new.name"]
    assert_no_data_of_the_other_account(frames)
    assert own_streams(frames) == [(CREATOR.room_id, pytest.approx(40, abs=6))]


@pytest.mark.parametrize("damaged", ["6912345678901235000", "6912345678901234688"])
def test_a_rounded_id_is_not_another_account(tmp_path: Path, damaged: str) -> None:
    rounded = replace(CREATOR, user_id=damaged)

    def holds(vendor: str, capability: str, subject: str, at: datetime) -> Person | None:
        return rounded if at_minutes(70) <= at < at_minutes(90) else CREATOR

    with serving(Impostors(holds, without=("sec_uid",))) as vendors:
        deployed = Deployed(tmp_path, vendors)
        deployed.capture(3)
        frames = deployed.normalize()
    assert refused_readings(frames).is_empty()
    assert own_streams(frames) == [(CREATOR.room_id, pytest.approx(40, abs=6))]


def test_days_derived_in_any_order_give_the_same_bytes(tmp_path: Path) -> None:
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


def test_wrong_responses_before_midnight_are_outvoted_by_the_next_day(tmp_path: Path) -> None:
    wrong = wrong_between(0, 23 * 60 + 30)
    with serving(Impostors(wrong)) as vendors:
        deployed = Deployed(tmp_path, vendors)
        deployed.capture(4, start=START + timedelta(hours=23), tables=("profiles",))
        frames = deployed.normalize(days=2)
    assert frames["profile_observations"]["followers"].to_list() == [OWN.followers] * 3
    assert refused_readings(frames).height == 1


def test_a_wrong_new_handle_is_replaced_by_the_first_one_within_the_hour(tmp_path: Path) -> None:
    """The vendor that resolves user ids gives the right id with a wrong handle, now and later."""
    wrong = replace(CREATOR, handle="some.other")

    def holds(vendor: str, capability: str, subject: str, at: datetime) -> Person | None:
        if capability == "identity":
            return wrong
        if subject == "some.other":
            return replace(OTHER_ACCOUNT, handle="some.other")
        return None if at_minutes(40) <= at < at_minutes(46) else CREATOR

    with serving(Impostors(holds)) as vendors:
        deployed = Deployed(tmp_path, vendors)
        deployed.capture(3, tables=("lives",))
        frames = deployed.normalize()
    assert vendors.handles == ["odd.one", "some.other"]
    last = [path for at, path in vendors.paths if at >= at_minutes(110)]
    assert all("odd.one" in path for path in last if path.endswith("/live"))
    assert_no_data_of_the_other_account(frames)


def test_later_windows_use_identified_accounts_and_no_presumed_ones(tmp_path: Path) -> None:
    target = Target("odd.one", "odd.one")
    lake = Lake(tmp_path)
    row = {"creator_id": "odd.one", "handle": "new.name", "user_id": OWN.user_id, "sec_uid": OWN.sec_uid}
    lake.write_whole(CREATORS, frame(CREATORS, row | {"identified_by": "responses", "on_roster": True}))
    assert known_accounts.with_derived_accounts(lake, [target]) == [replace(known_target(), handle="new.name")]
    # The operator has entered another id since.
    other = replace(target, user_id=OTHER.user_id)
    assert known_accounts.with_derived_accounts(lake, [other]) == [other]
    lake.write_whole(CREATORS, frame(CREATORS, row | {"on_roster": True}))
    assert known_accounts.with_derived_accounts(lake, [target]) == [target]


def test_single_hours_poll_the_same_handles_as_one_span(tmp_path: Path) -> None:
    """No derive runs between them: accounts are identified from raw rows."""
    holds = renames_at(52, taken_at=52)
    with serving(Impostors(holds)) as one, serving(Impostors(holds)) as many:
        Deployed(tmp_path / "one", one).capture(3, tables=("lives",))
        Deployed(tmp_path / "many", many).capture(3, tables=("lives",), single_hours=True)
    assert one.handles == many.handles == ["odd.one", "new.name"]


def test_follow_ups_exclude_the_stream_of_another_account(tmp_path: Path) -> None:
    with serving(Impostors(wrong_between(125, 1e9))) as vendors:
        deployed = Deployed(tmp_path, vendors)
        deployed.capture(4, tables=("lives",))
    targets = known_accounts.identified(deployed.lake, deployed.targets, at_minutes(240))
    assert targets == [known_target()]
    readings = on_air_readings(deployed.lake, START, at_minutes(240), targets)
    on_air = readings.filter("on_air")["polled_at"]
    assert (on_air.min(), on_air.max()) == (at_minutes(60), at_minutes(95))
    assert WindowState(deployed.deployment(), START, at_minutes(240)).on_air(targets, at_minutes(200)) == []
    assert last_rooms(deployed.lake, targets, START, at_minutes(240))[0].room_id == CREATOR.room_id


def test_days_of_an_earlier_release_still_identify_a_creator(tmp_path: Path) -> None:
    """These days have profiles but no sightings and no raw rows; the creator has renamed since."""
    renamed = replace(CREATOR, handle="new.name")

    def holds(vendor: str, capability: str, subject: str, at: datetime) -> Person | None:
        return {"new.name": renamed, "odd.one": OTHER_ACCOUNT}.get(subject, CREATOR)

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
        assert_no_data_of_the_other_account(deployed.normalize())


@pytest.mark.parametrize("seed", range(int(os.environ.get("IMPOSTOR_SEEDS", "6"))))
def test_random_mix_ups_of_vendors_add_no_reading_of_the_other_account(tmp_path: Path, seed: int) -> None:
    """Random vendors, endpoints and spans up to an hour within five hours; one in three before the account is known."""
    chance = random.Random(seed)
    without = chance.choice([(), (), ("user_id",), ("sec_uid",), ("handle",)])
    # Without a secUid Konbini gives no id, so its responses alone cannot be attributed.
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
            return OTHER_ACCOUNT
        return CREATOR if subject == "odd.one" else by_id(subject)

    with serving(Impostors(holds, without=without)) as vendors:
        deployed = Deployed(tmp_path, vendors)
        deployed.capture(5, tables=ALL, single_hours=chance.random() < 0.3)
        frames = deployed.normalize()
    assert vendors.handles == ["odd.one"], faults
    assert_no_data_of_the_other_account(frames)
