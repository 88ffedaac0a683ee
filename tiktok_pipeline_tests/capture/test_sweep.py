"""A sweep polls each target once; ranking sweeps poll the lists and regions of the settings."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx

from tiktok_pipeline.capture.clock import hours_between
from tiktok_pipeline.capture.replay import replay_hours
from tiktok_pipeline.config.settings import Sweeps
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.providers.tikhub import RANKING, RANKING_OF
from tiktok_pipeline.tables import RAW_LIVE_RANKINGS, RAW_LIVES
from tiktok_pipeline_tests.capture.fake_vendors import MIRA, START, deployment, live_from, respond
from tiktok_pipeline_tests.providers import bodies


def test_the_ranking_list_of_each_live_creators_room_is_polled(tmp_path: Path) -> None:
    hours = hours_between(START, START + timedelta(hours=3))
    on_air = live_from(START + timedelta(minutes=50), START + timedelta(minutes=70))

    def handle(request: httpx.Request) -> httpx.Response:
        if "ranking" in request.url.path:
            ranked = {"code": 0, "data": {"data": bodies.ranking(), "status_code": 0}}
            return respond(200, bodies.encoded(ranked))
        return on_air(request)

    chosen = Sweeps(ranking_of_live=True)
    work = deployment(tmp_path, handle, [replace(MIRA, user_id=bodies.USER_ID)], sweeps=chosen)
    replay_hours(work, RAW_LIVES, hours, kind="watch")
    replay_hours(work, RAW_LIVE_RANKINGS, hours, kind="sweep")
    rows = Lake(tmp_path).scan_raw(RAW_LIVE_RANKINGS, hours).collect()
    # At 11:00 Mira is on air, and at no other full hour; the settings name no region.
    assert rows["requested_at"].to_list() == [START + timedelta(hours=1)]
    assert rows["endpoint"].to_list() == [RANKING_OF]
    assert rows["subject"].to_list() == [bodies.ROOM_ID]
    assert rows["creator_id"].to_list() == ["mira.paints"]


def test_only_the_rankings_in_the_settings_are_polled(tmp_path: Path) -> None:
    requested = []

    def handle(request: httpx.Request) -> httpx.Response:
        requested.append(request.url.path)
        ranked = {"code": 0, "data": {"data": bodies.ranking(), "status_code": 0}}
        return respond(200, bodies.encoded(ranked))

    replay_hours(deployment(tmp_path / "none", handle, [MIRA]), RAW_LIVE_RANKINGS, [START], kind="sweep")
    assert not requested
    named = deployment(tmp_path / "us", handle, [MIRA], sweeps=Sweeps(ranking_regions=("US",)))
    replay_hours(named, RAW_LIVE_RANKINGS, [START], kind="sweep")
    assert requested == [RANKING, RANKING]
