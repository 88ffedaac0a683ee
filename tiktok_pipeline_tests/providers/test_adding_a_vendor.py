"""The steps of docs/adding-a-vendor.md: a one-class vendor is polled, landed, read, priced and checked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import httpx
import msgspec
import polars as pl
import pytest

from tiktok_pipeline.capture.deployment import Deployment
from tiktok_pipeline.capture.replay import replay_hours
from tiktok_pipeline.commands.check import check_deployment
from tiktok_pipeline.config.access import accesses
from tiktok_pipeline.config.settings import load_settings
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.providers import VENDORS, vendor
from tiktok_pipeline.providers.observations import LiveReading, Problem, Reading
from tiktok_pipeline.providers.vendor import Limits, Outcome, Request, Target, Verdict
from tiktok_pipeline.tables import RAW_LIVES
from tiktok_pipeline.transforms.observations import read_bodies
from tiktok_pipeline.transforms.vendor_usage import vendor_usage

START = datetime(2026, 11, 2, 10, tzinfo=UTC)
LIVE = "/is-live/{name}"


class _Body(msgspec.Struct):
    on: bool


_body = msgspec.json.Decoder(_Body)


class Toy(vendor.Vendor):
    """A vendor that reports the live state only."""

    name: ClassVar[str] = "toy"
    base_url_variable: ClassVar[str] = "TOY_BASE_URL"
    base_url: ClassVar[str] = "https://toy.example"
    credential_variables: ClassVar[tuple[str, ...]] = ("TOY_KEY",)
    endpoints: ClassVar[Mapping[str, str]] = {LIVE: "live"}
    limits: ClassVar[Limits] = Limits(requests_per_second=2, credits_per_request=0.25)

    def authentication(self, credentials: tuple[str, ...]) -> dict[str, str]:
        return {"X-Toy": credentials[0]}

    def request(self, capability: str, target: Target, *, page: int = 0, cursor: str | None = None) -> Request | None:
        if capability != "live":
            return None
        return Request(LIVE, target.handle, LIVE.format(name=target.handle), creator_id=target.creator_id)

    def judge(self, endpoint: str, status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
        return vendor.judge_not_json(status, headers, body) or Verdict(
            Outcome.OK if status == 200 else Outcome.SERVER_ERROR
        )

    def read(self, endpoint: str, outcome: Outcome, body: bytes) -> Iterator[Reading | Problem]:
        if outcome is Outcome.OK:
            on = vendor.decode(_body, body).on
            yield LiveReading(live_state="live" if on else "ended", evidence="weak")


def test_one_file_and_its_registration_add_a_vendor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VENDORS, "toy", Toy())
    (tmp_path / "settings.toml").write_text('[routes]\nlive = ["toy"]\n[vendors.toy]\nmax_in_flight = 1\n')
    settings = load_settings(tmp_path / "settings.toml")
    assert settings.vendors["toy"].requests_per_second == 2
    environment = {"TOY_KEY": "toy-secret", "TIKTOK_PIPELINE_HOME": str(tmp_path)}

    def handle(request: httpx.Request) -> httpx.Response:
        assert request.headers["x-toy"] == "toy-secret"
        return httpx.Response(200, json={"on": request.url.path.endswith("/ana")})

    targets = [Target("ana", "ana"), Target("bo", "bo")]
    here = Deployment(
        Lake(tmp_path / "lake"), settings, accesses(environment), targets, transport=httpx.MockTransport(handle)
    )
    report = replay_hours(here, RAW_LIVES, [START], kind="sweep")
    assert report.tally.credits == 0.5
    raw = Lake(tmp_path / "lake").scan_raw(RAW_LIVES, [START]).collect()
    live = read_bodies(raw, "raw_lives", hash_key=b"k")["live_observations"].sort("creator_id")
    assert live.select("creator_id", "vendor", "live_state").rows() == [("ana", "toy", "live"), ("bo", "toy", "ended")]
    assert vendor_usage(raw).select("vendor", "endpoint", "requests", "credits").rows() == [("toy", LIVE, 2, 0.5)]
    assert "toy-secret" not in json.dumps(raw.select(pl.all().cast(pl.String)).to_dicts())


def test_check_lists_the_added_vendor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VENDORS, "toy", Toy())
    findings = {f.what: f for f in check_deployment({"TIKTOK_PIPELINE_HOME": str(tmp_path)})}
    assert findings["vendor toy"].message == "not used: to use it, set TOY_KEY"
