"""Materializations of the raw assets, as a user starts them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from tiktok_pipeline.capture.clock import ReplayClock
from tiktok_pipeline.defs.raw.raw_lives import raw_lives
from tiktok_pipeline.defs.raw.raw_profiles import raw_profiles
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.partitions import hour_key, hour_of_key
from tiktok_pipeline.resources import Pipeline
from tiktok_pipeline.sandbox.server import RunningSandbox, start_in_process
from tiktok_pipeline.tables import RAW_LIVES, RAW_PROFILES

# The hour of every test: the deployments' clock stays in it, also when the wall clock's hour ends.
_HOUR = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


def range_tags(first: datetime, last: datetime) -> dict[str, str]:
    """Tags of a run by hand over a range of hours."""
    return {
        "dagster/asset_partition_range_start": hour_key(first),
        "dagster/asset_partition_range_end": hour_key(last),
    }


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with start_in_process(seed=3, creators=8, start=datetime.now(UTC) - timedelta(days=1)) as sandbox:
        yield sandbox


@dataclass
class Deployed:
    home: Path
    environment: dict[str, str]
    handles: list[str]
    pipeline: type[Pipeline] = Pipeline

    def materialize(
        self, asset: dg.AssetsDefinition, hour: datetime, config: dict[str, Any] | None = None
    ) -> dg.ExecuteInProcessResult:
        name = asset.key.to_user_string()
        return dg.materialize(
            [asset],
            resources={"pipeline": self.pipeline(environment=self.environment)},
            partition_key=hour_key(hour),
            run_config={"ops": {name: {"config": config or {}}}},
            raise_on_error=False,
        )

    def landed(self) -> pl.DataFrame:
        files = sorted((self.home / "lake" / "raw").rglob("*.parquet"))
        return pl.concat([pl.read_parquet(file) for file in files]) if files else RAW_LIVES.empty()


@pytest.fixture
def deployed(tmp_path: Path, sandbox: RunningSandbox) -> Deployed:
    handles = [creator.handle for creator in sandbox.world.creators]
    (tmp_path / "roster.csv").write_text("\n".join(["handle", *handles, ""]))
    places = {
        "TIKTOK_PIPELINE_HOME": str(tmp_path),
        "TIKTOK_PIPELINE_ROSTER": str(tmp_path / "roster.csv"),
        "TIKTOK_PIPELINE_SETTINGS": str(tmp_path / "settings.toml"),
    }
    deployed = Deployed(tmp_path, sandbox.environment | places, handles)
    fast(deployed, 1, this_hour() + timedelta(minutes=30))
    return deployed


def this_hour() -> datetime:
    return _HOUR


def failure(result: dg.ExecuteInProcessResult) -> str:
    (event,) = (event for event in result.all_events if event.is_step_failure)
    data = event.step_failure_data.user_failure_data
    assert data is not None, "a traceback at the user"
    assert data.description
    return data.description


def test_a_run_by_hand_polls_each_creator_once(deployed: Deployed) -> None:
    result = deployed.materialize(raw_lives, this_hour())
    assert result.success
    rows = deployed.landed()
    assert rows["creator_id"].n_unique() == 8
    assert rows.filter(pl.col("attempt") == 1).height == 8
    (event,) = result.get_asset_materialization_events()
    metadata = event.materialization.metadata
    assert metadata["requests"].value == rows.height
    assert metadata["dagster/partition_row_count"].value == rows.height


def test_the_totals_of_a_run_of_hours_are_not_shown_for_each_hour(deployed: Deployed) -> None:
    hours = (this_hour() - timedelta(hours=3), this_hour() - timedelta(hours=1))
    result = dg.materialize(
        [raw_lives],
        resources={"pipeline": Pipeline(environment=deployed.environment | {"TIKTOK_PIPELINE_CLOCK": "replay"})},
        tags=range_tags(*hours),
        run_config={"ops": {"raw_lives": {"config": {"mode": "watch"}}}},
    )
    assert result.success
    events = result.get_asset_materialization_events()
    assert len(events) == 3
    for event in events:
        metadata = event.materialization.metadata
        assert metadata["run/requests"].value == metadata["dagster/row_count"].value == deployed.landed().height
        assert not {"requests", "credits", "dagster/partition_row_count"} & set(metadata)


def test_a_replay_logs_one_materialization_for_each_hour_with_rows(deployed: Deployed) -> None:
    """A sweep every second hour: the other hours have no rows and no event. Repeated, it captures nothing."""
    deployed.environment |= {"TIKTOK_PIPELINE_CLOCK": "replay"}
    midnight = this_hour().replace(hour=0) - timedelta(days=1)
    hours = {"hours": [midnight.isoformat(), (midnight + timedelta(hours=4)).isoformat()], "every_hours": 2}

    def replay() -> dg.ExecuteInProcessResult:
        return dg.materialize(
            [raw_profiles],
            resources={"pipeline": Pipeline(environment=deployed.environment)},
            run_config={"ops": {"raw_profiles": {"config": hours}}},
            instance=instance,
        )

    with dg.DagsterInstance.ephemeral() as instance:
        result = replay()
        rows = materialized(result)
        polled = [midnight + timedelta(hours=each) for each in (0, 2, 4)]
        assert rows.keys() == {hour_key(hour) for hour in polled}
        lake = Lake(deployed.home / "lake")
        assert all(lake.scan_raw(RAW_PROFILES, [hour]).collect().height == rows[hour_key(hour)] for hour in polled)
        *earlier, newest = result.get_asset_materialization_events()
        assert newest.materialization.metadata["run/requests"].value == sum(rows.values())
        assert not any("run/requests" in each.materialization.metadata for each in earlier)
        assert set(instance.get_materialized_partitions(raw_profiles.key)) == rows.keys()
        # One planned event for the table, not one for each hour.
        planned = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
        assert len(instance.get_records_for_run(result.run_id, of_type=planned).records) == 1
        assert materialized(replay()) == {}


def test_unanswered_requests_are_recorded_with_the_reason(deployed: Deployed) -> None:
    """The first vendor's budget allows five credits, the second vendor's none."""
    (deployed.home / "settings.toml").write_text(
        "[vendors.social_fetch]\ncredits_per_day = 5\n[vendors.konbini]\ncredits_per_day = 0\n"
    )
    result = deployed.materialize(raw_lives, this_hour())
    assert result.success, failure(result)
    (event,) = result.get_asset_materialization_events()
    metadata = event.materialization.metadata
    assert metadata["unanswered_questions"].value == 3
    reasons = str(metadata["unanswered"].value)
    assert "social_fetch: daily credit budget is spent; konbini: daily credit budget is spent" in reasons
    unanswered = {creator for creator in deployed.handles if creator in reasons}
    assert unanswered == set(deployed.handles) - set(deployed.landed()["creator_id"])


def test_a_second_manual_materialization_adds_rows_and_replaces_none(deployed: Deployed) -> None:
    assert deployed.materialize(raw_lives, this_hour()).success
    before = {path: path.read_bytes() for path in deployed.home.rglob("*.parquet")}
    assert deployed.materialize(raw_lives, this_hour()).success
    assert all(path.read_bytes() == content for path, content in before.items())
    rows = deployed.landed()
    assert rows["capture_id"].n_unique() == rows.height == 16


def test_a_backfill_of_raw_is_refused_and_writes_nothing(deployed: Deployed) -> None:
    result = deployed.materialize(raw_lives, this_hour() - timedelta(hours=3))
    assert not result.success
    assert "vendors report only the current state" in failure(result)
    assert not (deployed.home / "lake").exists()


def test_a_scheduled_window_that_starts_late_still_ends_on_time(deployed: Deployed) -> None:
    (deployed.home / "settings.toml").write_text(
        "[watch]\nwindow_minutes = 1\nround_seconds = 2\nmin_gap_seconds = 1\n"
    )
    start = this_hour() + timedelta(minutes=10)
    jump(deployed, start + timedelta(seconds=45))
    result = deployed.materialize(raw_lives, this_hour(), {"mode": "watch", "window_start": start.isoformat()})
    assert result.success, failure(result)
    requested = deployed.landed()["requested_at"]
    assert requested.n_unique() > 2, "several rounds"
    assert start + timedelta(seconds=54) < requested.max() <= start + timedelta(seconds=57)  # type: ignore[operator]


class JumpingClock(ReplayClock):
    """A clock for windows of the present that moves only when all polls wait, so machine load has no effect."""

    replaying = False


def jump(deployed: Deployed, start: datetime) -> None:
    """Set the deployment's clock to a `JumpingClock` that begins at `start`."""
    clock = JumpingClock(start)

    class Jumping(Pipeline):
        def clock(self) -> JumpingClock:  # type: ignore[override]
            return clock

    deployed.pipeline = Jumping


def test_a_window_that_is_over_makes_no_request(deployed: Deployed) -> None:
    start = datetime.now(UTC) - timedelta(hours=2)
    config = {"mode": "watch", "window_start": start.isoformat()}
    assert deployed.materialize(raw_lives, start.replace(minute=0, second=0, microsecond=0), config).success
    assert deployed.landed().is_empty()


def fast(deployed: Deployed, speed: float, shows: datetime) -> None:
    """Set the deployment's clock to `shows` now; for an hour it has run `speed` times as fast as real time."""
    ran = timedelta(hours=1)
    anchor = f"{(datetime.now(UTC) - ran).isoformat()}/{(shows - ran * speed).isoformat()}"
    deployed.environment |= {
        "TIKTOK_PIPELINE_CLOCK_SPEED": str(speed),
        "TIKTOK_PIPELINE_CLOCK_ANCHOR": anchor,
    }


def materialized(result: dg.ExecuteInProcessResult) -> dict[str, int]:
    """Return rows by hour, as the UI shows them."""
    return {
        event.partition or "": event.materialization.metadata["dagster/partition_row_count"].value  # type: ignore[misc]
        for event in result.get_asset_materialization_events()
    }


def test_a_window_that_crosses_the_hour_is_reported_for_both_hours(deployed: Deployed) -> None:
    (deployed.home / "settings.toml").write_text("[watch]\nwindow_minutes = 20\nround_seconds = 120\n")
    start = this_hour() - timedelta(minutes=10, days=1)
    jump(deployed, start)
    config = {"mode": "watch", "window_start": start.isoformat()}
    result = deployed.materialize(raw_lives, start.replace(minute=0), config)
    assert result.success
    reported = materialized(result)
    assert reported.keys() == {hour_key(start), hour_key(start + timedelta(minutes=10))}
    lake = Lake(deployed.home / "lake")
    for hour, rows in reported.items():
        assert rows == lake.scan_raw(RAW_LIVES, [hour_of_key(hour)]).collect().height > 0


def test_a_scheduled_sweep_that_begins_in_the_next_hour_polls_and_is_reported_there(deployed: Deployed) -> None:
    scheduled = this_hour() - timedelta(minutes=2, days=1)
    fast(deployed, 1, scheduled + timedelta(minutes=5))
    config = {"window_start": scheduled.isoformat()}
    result = deployed.materialize(raw_profiles, scheduled.replace(minute=0), config)
    assert result.success
    assert materialized(result) == {hour_key(scheduled + timedelta(minutes=5)): deployed.landed().height}


def test_an_old_scheduled_sweep_that_is_started_again_is_rejected(deployed: Deployed) -> None:
    scheduled = datetime.now(UTC) - timedelta(days=3)
    config = {"window_start": scheduled.isoformat()}
    result = deployed.materialize(raw_profiles, scheduled.replace(minute=0, second=0, microsecond=0), config)
    assert "vendors report only the current state" in failure(result)
    assert not (deployed.home / "lake").exists()


def test_a_boundary_run_polls_due_creators_only(deployed: Deployed) -> None:
    handles = (deployed.home / "roster.csv").read_text().split()[1:]
    config = {"mode": "boundary", "due": {handles[2]: "end", "somebody.else": "start"}}
    result = deployed.materialize(raw_profiles, this_hour(), config)
    assert result.success
    assert deployed.landed()["creator_id"].unique().to_list() == [handles[2]]
    assert "boundary-" in deployed.landed()["capture_id"][0]


def test_without_a_vendor_the_asset_is_skipped_with_the_reason(deployed: Deployed) -> None:
    deployed.environment |= dict.fromkeys(("SOCIAL_FETCH_API_KEY", "KONBINI_API_KEY"), "")
    result = deployed.materialize(raw_lives, this_hour())
    assert result.success
    assert result.get_asset_materialization_events() == []
    assert deployed.landed().is_empty()


def test_a_wrong_key_is_a_readable_error_and_a_raw_row(deployed: Deployed) -> None:
    deployed.environment |= {"SOCIAL_FETCH_API_KEY": "sfk_wrong", "KONBINI_API_KEY": ""}
    (deployed.home / "settings.toml").write_text("[vendors.social_fetch]\nmax_in_flight = 1\n")
    result = deployed.materialize(raw_lives, this_hour())
    assert not result.success
    reason = failure(result)
    assert "social_fetch: unauthorized" in reason
    assert "sfk_wrong" not in reason
    rows = deployed.landed()
    assert rows["outcome"].unique().to_list() == ["unauthorized"]
    # One refusal stops further requests to this account.
    assert rows.height == 1


def test_an_unreachable_vendor_is_passed_over(deployed: Deployed) -> None:
    deployed.environment |= {"SOCIAL_FETCH_BASE_URL": "http://127.0.0.1:9"}
    (deployed.home / "settings.toml").write_text("[retries]\nattempts = 1\n")
    result = deployed.materialize(raw_lives, this_hour())
    assert result.success
    successful = deployed.landed().filter(pl.col("http_status").is_not_null())
    assert successful["vendor"].unique().to_list() == ["konbini"]
    assert successful["creator_id"].n_unique() == 8


def test_a_bad_roster_line_excludes_only_that_line(deployed: Deployed) -> None:
    roster = deployed.home / "roster.csv"
    roster.write_text(roster.read_text() + "not a handle!\n")
    assert deployed.materialize(raw_profiles, this_hour()).success
    assert deployed.landed()["creator_id"].n_unique() == 8


def test_no_roster_and_unknown_settings_are_readable_errors(deployed: Deployed) -> None:
    (deployed.home / "settings.toml").write_text("[wach]\n")
    assert "unknown key `wach`" in failure(deployed.materialize(raw_lives, this_hour()))
    (deployed.home / "settings.toml").unlink()
    (deployed.home / "roster.csv").unlink()
    assert "roster add HANDLE" in failure(deployed.materialize(raw_lives, this_hour()))


def test_an_unknown_handle_is_a_raw_row_and_affects_no_other_creator(deployed: Deployed) -> None:
    roster = deployed.home / "roster.csv"
    roster.write_text(roster.read_text() + "nobody.has.this.name\n")
    assert deployed.materialize(raw_profiles, this_hour()).success
    rows = deployed.landed().filter(pl.col("creator_id") == "nobody.has.this.name")
    assert rows["outcome"].to_list() == ["not_found"]


def test_on_the_replay_clock_a_past_hour_is_captured_once(deployed: Deployed) -> None:
    deployed.environment |= {"TIKTOK_PIPELINE_CLOCK": "replay"}
    hour = this_hour() - timedelta(hours=30)
    assert deployed.materialize(raw_lives, hour).success
    first = {path: path.read_bytes() for path in deployed.home.rglob("*.parquet")}
    assert deployed.materialize(raw_lives, hour).success
    assert {path: path.read_bytes() for path in deployed.home.rglob("*.parquet")} == first
    rows = Lake(deployed.home / "lake").scan_raw(RAW_LIVES, [hour]).collect()
    assert rows["requested_at"].unique().to_list() == [hour]


def test_a_run_by_hand_captures_now_also_if_the_hour_has_changed_since_it_was_chosen(deployed: Deployed) -> None:
    fast(deployed, 1, this_hour() + timedelta(seconds=30))
    before = this_hour() - timedelta(hours=1)
    result = deployed.materialize(raw_profiles, before)
    assert result.success
    # The rows are of the hour in which the run made its requests.
    assert materialized(result) == {hour_key(this_hour()): deployed.landed().height}
    fast(deployed, 1, this_hour() + timedelta(minutes=30))
    assert "vendors report only the current state" in failure(deployed.materialize(raw_profiles, before))


def test_with_a_fast_clock_the_newest_partition_means_now(deployed: Deployed) -> None:
    """As in `make dev`: the UI offers the newest hour of the system time."""
    shows = this_hour() - timedelta(days=3) + timedelta(minutes=20)
    fast(deployed, 60, shows)
    newest = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    result = deployed.materialize(raw_profiles, newest)
    assert result.success
    hours = {hour_of_key(key) for key in materialized(result)}
    assert min(hours) >= shows.replace(minute=0)
    assert max(hours) <= shows + timedelta(hours=2)
    assert "vendors report" in failure(deployed.materialize(raw_profiles, newest - timedelta(days=1)))
