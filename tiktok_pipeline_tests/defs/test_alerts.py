"""The alert sensors: real runs of a real instance, real requests to a receiver on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from tiktok_pipeline.definitions import build_definitions
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.providers.social_fetch import LIVE
from tiktok_pipeline.tables import CREATORS, RAW_LIVES
from tiktok_pipeline_tests.alerts.receiver import Receiver, receiving
from tiktok_pipeline_tests.checks.rows import sound
from tiktok_pipeline_tests.defs.ticks import sensor_tick
from tiktok_pipeline_tests.providers.bodies import fetch_live, fetch_ok

SECRET = "sk-live-0123456789"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def home(tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TIKTOK_PIPELINE_HOME", str(tmp_path))
    monkeypatch.setenv("TIKTOK_PIPELINE_SETTINGS", str(tmp_path / "settings.toml"))
    monkeypatch.setenv("TIKTOK_PIPELINE_ALERT_WEBHOOK", receiver.url)
    monkeypatch.setenv("TIKTOK_PIPELINE_UI_URL", "https://dagster.example")
    monkeypatch.setenv("KONBINI_API_KEY", SECRET)
    return tmp_path


class Sensor:
    """Ticks of one sensor, each with the cursor of the previous one, as the daemon evaluates them."""

    def __init__(self, name: str, instance: dg.DagsterInstance) -> None:
        self._repository = build_definitions().get_repository_def()
        self._name = name
        self._instance = instance
        self.cursor: str | None = None

    def tick(self) -> str:
        result = sensor_tick(self._repository, self._instance, self._name, self.cursor)
        assert not result.run_requests
        self.cursor = result.cursor
        return result.skip_message or ""


@pytest.fixture
def alerts(instance: dg.DagsterInstance, home: Path) -> Sensor:
    """Return the sensor after its first tick, which ignores earlier events."""
    sensor = Sensor("alerts", instance)
    sensor.tick()
    return sensor


def derive(instance: dg.DagsterInstance, *checks: dg.AssetCheckResult, error: Exception | None = None) -> str:
    """Run a job called derive whose asset `streams` has these check results, or fails."""

    @dg.asset(
        name="streams",
        check_specs=[
            dg.AssetCheckSpec(
                check.check_name or "", asset="streams", blocking=check.severity == dg.AssetCheckSeverity.ERROR
            )
            for check in checks
        ],
    )
    def made() -> Iterator[Any]:
        if error is not None:
            raise error
        yield dg.MaterializeResult(check_results=checks)

    job = dg.define_asset_job("derive", selection=[made])
    definitions = dg.Definitions(assets=[made], jobs=[job], executor=dg.in_process_executor)
    result = definitions.resolve_job_def("derive").execute_in_process(instance=instance, raise_on_error=False)
    run_id: str = result.run_id
    return run_id


def warning(message: str, name: str = "drift") -> dg.AssetCheckResult:
    return dg.AssetCheckResult(check_name=name, passed=False, severity=dg.AssetCheckSeverity.WARN, description=message)


def test_without_a_webhook_the_sensors_send_nothing(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    for name in ("alerts", "go_live"):
        assert "TIKTOK_PIPELINE_ALERT_WEBHOOK is not set" in Sensor(name, instance).tick()


def test_a_failed_run_is_reported_with_its_reason_and_a_link(
    alerts: Sensor, instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    run_id = derive(instance, error=dg.Failure(description="the disk is full: free some", allow_retries=False))
    alerts.tick()
    assert receiver.texts == [
        f"A run of `derive` failed: the disk is full: free some. See https://dagster.example/runs/{run_id}."
    ]


def test_a_failed_run_is_reported_once_and_a_good_run_not_at_all(
    alerts: Sensor, instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    derive(instance, error=ValueError("boom"))
    derive(instance)
    for _ in range(3):
        alerts.tick()
    assert len(receiver.texts) == 1
    assert "boom" in receiver.texts[0]


def test_failures_from_before_the_sensor_was_switched_on_are_not_reported(
    instance: dg.DagsterInstance, home: Path, receiver: Receiver
) -> None:
    derive(instance, error=ValueError("old"))
    sensor = Sensor("alerts", instance)
    sensor.tick()
    assert receiver.texts == []
    derive(instance, error=ValueError("new"))
    sensor.tick()
    assert len(receiver.texts) == 1
    assert "new" in receiver.texts[0]


def test_the_same_job_failing_again_is_counted_and_not_reported_each_time(
    alerts: Sensor, instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    for _ in range(3):
        derive(instance, error=ValueError("boom"))
        alerts.tick()
    assert len(receiver.texts) == 1


def test_an_alert_contains_no_credential(alerts: Sensor, instance: dg.DagsterInstance, receiver: Receiver) -> None:
    derive(instance, error=ValueError(f"GET https://api.example/?key={SECRET} and {receiver.url}"))
    alerts.tick()
    assert len(receiver.texts) == 1
    assert SECRET not in receiver.texts[0]
    assert "very-secret-part" not in receiver.texts[0]


def test_a_blocked_day_is_one_alert_with_table_and_reason(
    alerts: Sensor, instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    broken = dg.AssetCheckResult(
        check_name="contract", passed=False, severity=dg.AssetCheckSeverity.ERROR, description="ranks are wrong"
    )
    derive(instance, broken)
    alerts.tick()
    (text,) = receiver.texts
    assert text.startswith("streams is not updated: its check `contract` failed. ranks are wrong.")


def test_warnings_of_checks_are_reported_each_under_its_own_name(
    alerts: Sensor, instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    passing = dg.AssetCheckResult(check_name="coverage", passed=True)
    run_id = derive(instance, warning("data.mood is new"), warning("80 of 100 credits", "budget"), passing)
    alerts.tick()
    assert receiver.texts == [
        f"streams, check `drift`: data.mood is new. See https://dagster.example/runs/{run_id}.",
        f"streams, check `budget`: 80 of 100 credits. See https://dagster.example/runs/{run_id}.",
    ]


def test_a_receiver_that_is_down_crashes_nothing_and_gets_the_messages_later(
    alerts: Sensor, instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    receiver.status = 503
    derive(instance, error=ValueError("boom"))
    assert alerts.tick() == "the alert webhook responded with HTTP 503; 1 messages wait for it"
    assert "1 messages wait" in alerts.tick()
    receiver.status = 200
    assert alerts.tick() == "1 messages were sent, 0 wait"
    assert len(receiver.texts) == 1
    assert alerts.tick() == "0 messages were sent, 0 wait"


def land(home: Path, at: datetime, status: str | None = "live", **more: Any) -> None:
    """Land one live response, as a window does."""
    row = {
        **dict.fromkeys(RAW_LIVES.schema.names()),
        "capture_id": f"w-{at.isoformat()}", "vendor": "social_fetch", "endpoint": LIVE, "creator_id": "ana",
        "subject": "mira.paints", "page": 0, "attempt": 1, "outcome": "ok", "http_status": 200, "requested_at": at,
        "received_at": at, "observed_at": at, "headers": "{}", "body": fetch_ok(fetch_live(status)).decode(),
    } | more  # fmt: skip
    frame = pl.DataFrame([row], schema=RAW_LIVES.schema)
    Lake(home / "lake").write_raw(RAW_LIVES, at, f"w-{at:%H%M%S%f}", frame)


def watch_once(instance: dg.DagsterInstance) -> None:
    """Run a job called watch, which marks capture as switched on."""

    @dg.op
    def nothing() -> None: ...

    @dg.job
    def watch() -> None:
        nothing()

    watch.execute_in_process(instance=instance)


def test_missing_responses_are_reported_if_capture_was_on(
    alerts: Sensor, instance: dg.DagsterInstance, home: Path, receiver: Receiver
) -> None:
    now = datetime.now(UTC)
    alerts.tick()
    assert receiver.texts == []  # No capture has ever run, so nothing is missing.
    watch_once(instance)
    land(home, now - timedelta(minutes=5))
    alerts.tick()
    assert receiver.texts == []
    for file in (home / "lake").rglob("*.parquet"):
        file.unlink()
    land(home, now - timedelta(minutes=70))
    alerts.tick()
    alerts.tick()
    (text,) = receiver.texts
    assert text.startswith("No response of a vendor was stored for 60 minutes.")


def test_on_the_replay_clock_no_alert_is_sent(
    alerts: Sensor, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    monkeypatch.setenv("TIKTOK_PIPELINE_CLOCK", "replay")
    derive(instance, error=ValueError("boom"))
    assert "replay" in alerts.tick()
    assert receiver.texts == []


def test_go_live_alerts_are_off_by_default(instance: dg.DagsterInstance, home: Path, receiver: Receiver) -> None:
    sensor = Sensor("go_live", instance)
    assert sensor.tick() == "[alerts] go_live is not true"
    land(home, datetime.now(UTC))
    sensor.tick()
    assert receiver.texts == []


def test_started_and_ended_streams_are_reported_once(
    instance: dg.DagsterInstance, home: Path, receiver: Receiver
) -> None:
    (home / "settings.toml").write_text("[alerts]\ngo_live = true\n")
    Lake(home / "lake").write_whole(CREATORS, sound("creators", handle="mira.paints"))
    sensor, now = Sensor("go_live", instance), datetime.now(UTC)
    land(home, now - timedelta(minutes=14), "offline")
    sensor.tick()
    land(home, now - timedelta(minutes=13.5))
    for _ in range(2):
        sensor.tick()
    assert len(receiver.texts) == 1
    assert receiver.texts[0].startswith("@mira.paints is live since ")
    assert "https://www.tiktok.com/@mira.paints/live" in receiver.texts[0]
    for minutes in (13, 10.5):
        land(home, now - timedelta(minutes=minutes), "offline")
    for _ in range(2):
        sensor.tick()
    assert len(receiver.texts) == 2
    assert receiver.texts[1].startswith("@mira.paints ended at ")


def test_a_notice_waits_for_an_unreachable_receiver(
    instance: dg.DagsterInstance, home: Path, receiver: Receiver
) -> None:
    (home / "settings.toml").write_text("[alerts]\ngo_live = true\n")
    sensor, now = Sensor("go_live", instance), datetime.now(UTC)
    land(home, now - timedelta(minutes=3), "offline")
    sensor.tick()
    receiver.status = 500
    land(home, now - timedelta(minutes=1))
    assert "1 messages wait" in sensor.tick()
    receiver.status = 200
    sensor.tick()
    assert len(receiver.texts) == 1
