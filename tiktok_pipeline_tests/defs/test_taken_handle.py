"""A handle that another account takes during capture, followed from the windows to the marts and the report."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from tiktok_pipeline.definitions import build_definitions
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.partitions import day_range_tags
from tiktok_pipeline.publish.duckdb_file import LINK, publish
from tiktok_pipeline.publish.report.brief import read_brief
from tiktok_pipeline.publish.report.page import render
from tiktok_pipeline.resources import Pipeline, build_resources
from tiktok_pipeline.tables import CREATORS, LIVE_OBSERVATIONS, PROFILE_OBSERVATIONS, QUARANTINE, STREAMS
from tiktok_pipeline_tests.impostors import OWN, START, Deployed, Impostors, Person, always, at_minutes, serving

# Vendor bodies under the handle from 02:40 on: of an account that had been on air since 02:10.
SINCE = at_minutes(160)
OTHER_ROOM = "7706359316978076417"
PERSON = {
    "type": "Person", "id": "x", "url": "x", "entityId": "MS4wLjABAAAAsomebodyelse", "name": "odd.one",
    "preferredUsername": "odd.one", "isPrivate": False, "isVerified": False, "isLive": False,
    "followerCount": 913120, "followingCount": 3, "likeCount": 9, "mediaCount": 2,
}  # fmt: skip
PROFILE = {
    "platform": "tiktok", "handle": "odd.one", "displayName": "odd.one", "bio": "b", "avatarUrl": None,
    "verified": False, "platformUserId": "7999999999999999999", "secUid": "MS4wLjABAAAAsomebodyelse",
}  # fmt: skip
META = {"requestId": "r", "creditsCharged": 1, "version": "v1"}
TAKEN: dict[str, Any] = {
    "/konbini/v1/tiktok/users/odd.one/live": {"data": {
        "type": "Video", "id": "x", "url": "x", "entityId": OTHER_ROOM, "isLive": True,
        "published": "2026-11-10T02:10:00.000Z", "viewerCount": 43, "viewCount": 1800, "content": "hello",
        "attributedTo": PERSON, "attachment": [],
    }},
    "/konbini/v1/tiktok/users/odd.one": {"data": PERSON},
    "/social_fetch/v1/tiktok/profiles/odd.one/live": {"data": {
        "lookupStatus": "found", "liveStatus": "live", "profile": PROFILE | {"followerCount": 913120},
        "live": {"roomId": OTHER_ROOM, "title": "hello", "coverUrl": None, "startedAt": "2026-11-10T02:10:00.000Z",
                 "viewerCount": 43, "streams": []},
    }, "meta": META},
    "/social_fetch/v1/tiktok/profiles/odd.one": {"data": {
        "lookupStatus": "found", "profile": PROFILE,
        "metrics": {"followers": 913120, "following": 3, "likes": 9, "posts": 2},
    }, "meta": META},
    "/tikliveapi/userinfo-by-username/": {
        "user": {"id": "7999999999999999999", "uniqueId": "odd.one", "secUid": "MS4wLjABAAAAsomebodyelse",
                 "nickname": "odd.one"},
        "stats": {"followerCount": 913120, "followingCount": 3, "heartCount": 9, "videoCount": 2},
    },
}  # fmt: skip
OBSERVED = ("profile_observations", "live_observations", "quarantine", "account_sightings")
CREATOR = Person(
    OWN.user_id, OWN.sec_uid, "odd.one", OWN.followers, (at_minutes(60), at_minutes(100)), "7706359310000000001"
)


class Taken(Impostors):
    """The vendors of this case: the creator's bodies until `SINCE`, then those of the other account."""

    def answer(self, path: str, query: dict[str, str], at: datetime) -> tuple[int, bytes]:
        own = super().answer(path, query, at)
        return (200, json.dumps(TAKEN[path]).encode()) if at >= SINCE and path in TAKEN else own


@pytest.mark.parametrize("vendors", [("social_fetch", "tikhub"), ("konbini", "tikliveapi")], ids=lambda v: v[0])
def test_rows_of_an_account_that_took_a_handle_enter_no_mart_and_are_shown(
    tmp_path: Path, vendors: tuple[str, ...]
) -> None:
    with serving(Taken(always(CREATOR))) as server:
        Deployed(tmp_path / "lake", server, vendors=vendors).capture(4)
    (tmp_path / "roster.csv").write_text("handle\nodd.one\n")
    environment = {
        "TIKTOK_PIPELINE_HOME": str(tmp_path),
        "TIKTOK_PIPELINE_ROSTER": str(tmp_path / "roster.csv"),
        "TIKTOK_PIPELINE_SETTINGS": str(tmp_path / "settings.toml"),
    }
    assets = list(build_definitions().assets or [])
    with dg.DagsterInstance.ephemeral() as instance:
        for names in (OBSERVED, ("creators",), ("streams",)):
            done = dg.materialize(
                assets,
                selection=dg.AssetSelection.assets(*names),
                resources={**build_resources(), "pipeline": Pipeline(environment=environment)},
                instance=instance,
                tags={} if names == ("creators",) else day_range_tags(START.date(), START.date()),
            )
            assert done.success
    lake = Lake(tmp_path / "lake")
    followers = lake.scan_all(PROFILE_OBSERVATIONS).collect()["followers"].drop_nulls()
    assert set(followers) <= {OWN.followers, 48_300}
    assert len(followers)
    live = lake.scan_all(LIVE_OBSERVATIONS).collect()
    assert OTHER_ROOM not in live["room_id"]
    late = live.filter(live["observed_at"] >= SINCE, live["vendor"].is_in(["social_fetch", "konbini"]))
    assert set(late["live_state"]) == {"unknown"}
    assert [row["room_id"] for row in lake.scan_all(STREAMS).collect().iter_rows(named=True)] == [CREATOR.room_id]
    quarantined = lake.scan_all(QUARANTINE).collect()
    assert set(quarantined["reason"]) == {"another account"}
    assert set(quarantined["value"]) <= {"7999999999999999999", "MS4wLjABAAAAsomebodyelse"}
    creator = lake.scan_all(CREATORS).collect().row(0, named=True)
    taken = {"social_fetch": "7999999999999999999", "konbini": "MS4wLjABAAAAsomebodyelse"}[vendors[0]]
    assert creator["handle_taken_by"] in (taken, "7999999999999999999")
    assert SINCE <= creator["handle_taken_at"] <= at_minutes(185)
    assert creator["identified_by"] == "responses"
    assert (creator["sec_uid"], creator["followers"]) == (OWN.sec_uid, followers[-1])
    with duckdb.connect(":memory:") as connection:
        publish(connection, lake, tmp_path / "warehouse", now=at_minutes(240), keep=1)
    page = render(read_brief(tmp_path / "warehouse" / LINK))
    assert "Handles that were taken" in page
    assert creator["handle_taken_by"] in page
