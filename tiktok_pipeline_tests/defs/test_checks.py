"""Checks as a user meets them: on materialized assets, and before publishing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from tiktok_pipeline.commands import runs
from tiktok_pipeline.definitions import build_definitions
from tiktok_pipeline.defs.asset_checks import Checking
from tiktok_pipeline.defs.marts import coverage, creators, leaderboard, stories, stream_lift, streams, vendor_usage
from tiktok_pipeline.errors import PipelineError
from tiktok_pipeline.lake.blocked_days import blocked_days
from tiktok_pipeline.tables import RAW_LIVES, STREAMS, TABLES
from tiktok_pipeline_tests.checks.rows import SOUND, sound
from tiktok_pipeline_tests.defs.deployed import DAY, Deployed

START = datetime(2026, 11, 2, tzinfo=UTC)

# Per mart, the module and the function that makes its frame.
MAKERS: dict[str, tuple[Any, str]] = {
    "streams": (streams, "rebuild"),
    "stream_lift": (stream_lift, "estimate"),
    "leaderboard": (leaderboard, "rank"),
    "stories": (stories, "summarize"),
    "vendor_usage": (vendor_usage, "account"),
    "coverage": (coverage, "measure"),
    "creators": (creators, "identify"),
}

BREAKS: dict[str, tuple[dict[str, Any], str]] = {
    "streams": ({"airtime_s": 9000.0, "coverage_ratio": 0.4}, "airtime_s = end"),
    "stream_lift": ({"lift": 81.0, "lift_pct": 8.1}, "lift = naive_delta - expected_organic"),
    "leaderboard": ({"rank": 2, "rank_change": 1}, "rank follows value"),
    "stories": ({"completeness": 2.0}, "completeness is between 0 and 1"),
    "vendor_usage": ({"ok": 1}, "requests = the sum of their outcomes"),
    "coverage": ({"known_polls": 99}, "known_polls <= polls"),
    "creators": ({"followers": -1}, "followers is not negative"),
}


@pytest.fixture
def deployed(tmp_path: Path) -> Iterator[Deployed]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Deployed(tmp_path, instance)


def checks(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str], dg.AssetCheckEvaluation]:
    return {(e.asset_key.to_user_string(), e.check_name): e for e in result.get_asset_check_evaluations()}


def replace_transform(monkeypatch: pytest.MonkeyPatch, mart: str, frame: pl.DataFrame) -> None:
    """Let the mart's transform return `frame` for any input."""
    module, name = MAKERS[mart]

    def made(*given: Any, **_: Any) -> pl.DataFrame:
        # `coverage` also measures creators without a poll, given as a DataFrame. This world has no such creators.
        without_polls = mart == "coverage" and isinstance(given[0], pl.DataFrame)
        return frame.clear() if without_polls else frame

    monkeypatch.setattr(module, name, made)


def prepared(deployed: Deployed) -> None:
    """Land the minimum that the marts need: one reading of the day."""
    deployed.lake.write_day(TABLES["live_observations"], DAY, sound("live_observations"))
    deployed.lake.write_raw(RAW_LIVES, START, "w-00", RAW_LIVES.empty())


@pytest.mark.parametrize("mart", MAKERS)
def test_a_sound_mart_is_written_and_its_check_reports_the_rows(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch, mart: str
) -> None:
    prepared(deployed)
    replace_transform(monkeypatch, mart, sound(mart))
    result = deployed.run(mart)
    assert result.success
    check = checks(result)[mart, "contract"]
    assert check.passed
    assert check.severity == dg.AssetCheckSeverity.ERROR
    assert check.metadata["rows"].value == len(SOUND[mart])
    assert deployed.lake.scan_all(TABLES[mart]).collect().height == len(SOUND[mart])


@pytest.mark.parametrize("mart", MAKERS)
def test_a_wrong_mart_does_not_replace_the_stored_one(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch, mart: str
) -> None:
    prepared(deployed)
    replace_transform(monkeypatch, mart, sound(mart))
    assert deployed.run(mart).success
    before = deployed.lake.scan_all(TABLES[mart]).collect()
    changed, says = BREAKS[mart]
    replace_transform(monkeypatch, mart, sound(mart, **changed))
    result = deployed.run(mart)
    part = "whole" if TABLES[mart].files == "whole" else f"{DAY}"
    check = checks(result)[mart, "contract"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert says in (check.description or "")
    assert f"not replaced: {part}" in (check.description or "")
    assert check.metadata["examples"].value
    assert deployed.lake.scan_all(TABLES[mart]).collect().equals(before)
    # Dagster counts every partition of a run as materialized; the event's metadata says that this one was not replaced.
    (event,) = result.asset_materializations_for_node(mart)
    assert says in str(event.metadata["not_replaced"].value)
    (blocked,) = blocked_days(deployed.lake)
    assert (blocked.table, blocked.part) == (mart, part)


def test_a_day_is_blocked_from_its_first_failure_until_it_is_replaced(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared(deployed)
    replace_transform(monkeypatch, "streams", sound("streams", reconnects=7))
    deployed.run("streams")
    (first,) = blocked_days(deployed.lake)
    deployed.run("streams")
    assert [each.since for each in blocked_days(deployed.lake)] == [first.since]
    replace_transform(monkeypatch, "streams", sound("streams"))
    assert deployed.run("streams").success
    assert blocked_days(deployed.lake) == []


def test_a_transform_that_raises_blocks_only_its_own_day(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared(deployed)
    made = streams.rebuild

    def broken(live: Any, **more: Any) -> pl.DataFrame:
        if more["as_of"].date() == DAY and live.collect().height:
            raise ValueError("title of ana: hello")
        return made(live, **more)

    monkeypatch.setattr(streams, "rebuild", broken)
    result = deployed.run("streams", "coverage", "warehouse", "report")
    assert result.success
    check = checks(result)["streams", "contract"]
    assert not check.passed
    assert "ValueError" in (check.description or "")
    # The text of an exception may quote data, so only the run's log holds it.
    assert "hello" not in (check.description or "")
    assert checks(result)["coverage", "contract"].passed
    assert deployed.served("SELECT count(*) FROM coverage") == [(1,)]


def test_rows_stored_during_a_run_are_not_from_the_future(deployed: Deployed) -> None:
    """On a fast clock a run takes longer than the tolerated clock skew."""
    checking = Checking.of(TABLES["live_observations"], deployed.pipeline)
    moments = iter(
        [START + timedelta(hours=n) for n in (0, 0, 2)]
    )  # The clock is read for the check, and for the record of blocked days.
    checking.now = lambda: next(moments)
    reading = sound("live_observations")
    assert not checking.passes(reading, "before it was read")
    assert checking.passes(reading, "after")


def test_an_invalid_day_does_not_block_the_other_days_of_the_run(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared(deployed)
    later = timedelta(days=1)
    shift = [pl.col(name) + later for name, dtype in STREAMS.schema.items() if dtype == STREAMS.schema["started_at"]]
    bad = sound("streams", reconnects=7, stream_id="ana:2").with_columns(shift)
    replace_transform(monkeypatch, "streams", pl.concat([sound("streams"), bad]))
    result = deployed.run("streams", last=DAY + later)
    assert "not replaced: 2026-11-03;" in (checks(result)["streams", "contract"].description or "")
    assert deployed.lake.scan_all(STREAMS).collect()["stream_id"].to_list() == ["ana:1"]


def test_a_blocked_day_keeps_its_rows_while_everything_else_is_published(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared(deployed)
    replace_transform(monkeypatch, "streams", sound("streams"))
    assert deployed.run("streams", "warehouse").success
    assert deployed.served("SELECT stream_id, reconnects FROM streams") == [("ana:1", 1)]
    assert deployed.served("SELECT stands_still FROM publication") == [(None,)]

    replace_transform(monkeypatch, "streams", sound("streams", reconnects=5))
    replace_transform(monkeypatch, "coverage", sound("coverage"))
    result = deployed.run("streams", "coverage", "creators", "warehouse", "report")
    assert result.success
    assert not checks(result)["streams", "contract"].passed
    assert deployed.served("SELECT stream_id, reconnects FROM streams") == [("ana:1", 1)]
    assert deployed.served("SELECT polls FROM coverage") == [(10,)]
    assert deployed.served("SELECT creator_id FROM creators") == [("ana",)]
    (stands_still,) = deployed.served("SELECT stands_still FROM publication")[0]
    assert stands_still.startswith("streams 2026-11-02 (since 20")
    page = (deployed.home / "report" / "index.html").read_text()
    assert "streams 2026-11-02 (since" in page

    # Once the day is valid again, the next publication no longer mentions it.
    replace_transform(monkeypatch, "streams", sound("streams"))
    deployed.run("streams", "warehouse", "report")
    assert deployed.served("SELECT stands_still FROM publication") == [(None,)]
    assert "is not up to date" not in (deployed.home / "report" / "index.html").read_text()


def test_derive_publishes_everything_else_and_then_names_the_blocked_day_in_one_line(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "dagster").mkdir()
    for name, value in {**deployed.pipeline.variables, "DAGSTER_HOME": str(tmp_path / "dagster")}.items():
        monkeypatch.setenv(name, value)
    deployed.land(*[offline()] * 30)
    replace_transform(monkeypatch, "coverage", sound("coverage", known_polls=99))
    with pytest.raises(PipelineError) as error:
        runs.run_derive(START, START + timedelta(days=1))
    message = str(error.value)
    assert message.startswith("published, but some days are blocked: coverage not replaced: 2026-11-02; ")
    assert "known_polls <= polls" in message
    assert "\n" not in message
    assert deployed.served("SELECT count(*) FROM live_observations") == [(30,)]
    assert deployed.served("SELECT sum(requests) FROM vendor_usage") == [(30,)]
    assert "coverage 2026-11-02" in str(deployed.served("SELECT stands_still FROM publication"))
    assert (deployed.home / "report" / "index.html").exists()


def test_every_derived_table_has_a_contract_check_and_no_check_stops_later_assets() -> None:
    graph = build_definitions().get_repository_def().asset_graph
    specs = [graph.get_check_spec(key) for key in graph.asset_check_keys]
    assert {spec.asset_key.to_user_string() for spec in specs if spec.name == "contract"} == {
        table.name for table in TABLES.values() if table.layer != "raw"
    }
    # Dagster skips everything downstream of a failed `blocking` check.
    assert not any(spec.blocking for spec in specs)
    assert all(spec.description for spec in specs)
    assert {spec.name for spec in specs} - {"contract"} == {
        "freshness", "readability", "drift", "completeness", "vendor_errors", "budget", "files",
    }  # fmt: skip


def offline(**more: Any) -> dict[str, Any]:
    return {"data": {"lookupStatus": "found", "liveStatus": "offline"} | more}


def observed(deployed: Deployed, **days: date) -> dict[tuple[str, str], dg.AssetCheckEvaluation]:
    names = ["live_observations", "quarantine", "payload_shapes"]
    return checks(deployed.run(*names, **days))


def test_drift_warns_of_a_new_vendor_field_and_blocks_no_publishing(deployed: Deployed) -> None:
    deployed.land(*[offline()] * 30)
    first = observed(deployed)["payload_shapes", "drift"]
    assert first.passed
    deployed.land(*[offline()] * 29, offline(mood="Sad Zoe"), day=DAY + timedelta(days=1))
    found = observed(deployed, first=DAY + timedelta(days=1), last=DAY + timedelta(days=1))["payload_shapes", "drift"]
    assert (found.passed, found.severity, found.blocking) == (False, dg.AssetCheckSeverity.WARN, False)
    assert "data.mood is new (string, such as aaa aaa)" in (found.description or "")
    assert found.metadata["new_fields"].value == 1


def test_unreadable_bodies_warn(deployed: Deployed) -> None:
    deployed.land(*[offline()] * 10)
    assert observed(deployed)["quarantine", "readability"].passed
    deployed.land({"nothing": "known"}, *[offline()] * 10, outcome="malformed")
    found = observed(deployed)["quarantine", "readability"]
    assert not found.passed
    assert found.severity == dg.AssetCheckSeverity.WARN


def test_freshness_checks_readings_of_today_and_ignores_runs_of_past_days(deployed: Deployed) -> None:
    deployed.land(offline())
    past = observed(deployed)["live_observations", "freshness"]
    assert past.passed
    assert "past days" in (past.description or "")
    now = datetime.now(UTC)
    for minutes, passes in ((5, True), (90, False)):
        at = now - timedelta(minutes=minutes)
        for file in (deployed.lake.root / "raw").rglob("*.parquet"):
            file.unlink()
        deployed.land(offline(), day=at.date(), requested_at=at, received_at=at, observed_at=at)
        # The rows land in one hour of that day; which one does not matter here.
        found = observed(deployed, first=at.date(), last=at.date())["live_observations", "freshness"]
        assert found.passed is passes, found.description


def test_coverage_warns_of_creators_without_a_poll(deployed: Deployed) -> None:
    prepared(deployed)
    assert checks(deployed.run("coverage"))["coverage", "completeness"].passed
    (deployed.home / "roster.csv").write_text("handle\nana\nbo\n")
    found = checks(deployed.run("coverage"))["coverage", "completeness"]
    assert not found.passed
    assert "1 of 2 creators" in (found.description or "")


def test_vendor_usage_warns_of_failing_vendors_and_of_credits_near_the_cap(deployed: Deployed) -> None:
    deployed.land(*[offline()] * 90)
    sane = checks(deployed.run("vendor_usage"))
    assert sane["vendor_usage", "vendor_errors"].passed
    assert sane["vendor_usage", "budget"].passed
    (deployed.home / "settings.toml").write_text("[vendors.social_fetch]\ncredits_per_day = 100\n")
    assert not checks(deployed.run("vendor_usage"))["vendor_usage", "budget"].passed
    deployed.land(*[offline()] * 90, outcome="server_error")
    found = checks(deployed.run("vendor_usage"))["vendor_usage", "vendor_errors"]
    assert "100% of 90 attempts at social_fetch failed" in (found.description or "")


def shown(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    """Return what the UI shows of each partition ("" for a table without): name -> value."""
    return {
        event.partition or "": {
            name: value.value for name, value in event.step_materialization_data.materialization.metadata.items()
        }
        for event in result.all_events
        if event.is_step_materialization
    }


def test_each_day_of_a_run_shows_its_own_rows_numbers_and_chart(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared(deployed)
    replace_transform(monkeypatch, "streams", sound("streams"))
    days = shown(deployed.run("streams", last=DAY + timedelta(days=1)))
    first, second = days["2026-11-02"], days["2026-11-03"]
    assert first["dagster/partition_row_count"] == 1
    assert (first["airtime_hours"], first["median_detection_delay_s"], first["peak_viewers"]) == (2.0, 20.0, 90)
    assert "01:00    90 ··████··" in first["on_air"]
    # No creator was on air: 0 hours, but no delay and no chart.
    assert second == {"dagster/partition_row_count": 0, "live_now": 0, "airtime_hours": 0.0, "hours_watched": 0.0}


def test_lifts_are_drawn_with_intervals_and_a_week_with_its_hours(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared(deployed)
    replace_transform(monkeypatch, "stream_lift", sound("stream_lift"))
    lifts = str(shown(deployed.run("stream_lift"))["2026-11-02"]["lifts"])
    assert "─●" in lifts
    assert "+8.00 %" in lifts
    assert "ana" not in lifts
    deployed.lake.write_day(TABLES["stream_hours"], DAY, sound("stream_hours"))
    assert "Mon   ██" in shown(deployed.run("creator_hours"))[""]["week"]


def test_vendor_usage_shows_each_vendor_separately(deployed: Deployed) -> None:
    deployed.land(*[offline()] * 90)
    day = shown(deployed.run("vendor_usage"))["2026-11-02"]
    assert (day["requests"], day["credits"]) == (90, 90)
    assert (day["requests_social_fetch"], day["credits_social_fetch"], day["p95_ms_social_fetch"]) == (90, 90, 5.0)


def test_readings_show_creators_and_the_number_of_unreadable_bodies(deployed: Deployed) -> None:
    deployed.land(*[offline()] * 3, {"data": 5})
    result = deployed.run("live_observations", "quarantine")
    metadata = {
        event.asset_key.to_user_string(): event.step_materialization_data.materialization.metadata
        for event in result.all_events
        if event.is_step_materialization and event.asset_key is not None
    }
    live, quarantine = metadata["live_observations"], metadata["quarantine"]
    assert live["creators"].value == 1
    assert live["creators_seen_live"].value == 0
    assert live["unknown_share"].value == 0.25
    assert (quarantine["captures"].value, quarantine["captures_in_quarantine"].value) == (4, 1)
