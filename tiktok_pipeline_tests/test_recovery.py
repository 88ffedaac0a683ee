"""Failures of several hours end with fresh tables that mark unknown spans, without an operator."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from urllib.request import urlopen

import dagster as dg
import polars as pl
import pytest

from tiktok_pipeline.commands import runs
from tiktok_pipeline.definitions import build_definitions
from tiktok_pipeline.defs.skipping import REBUILD_TAG
from tiktok_pipeline.errors import PipelineError
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.partitions import day_range_tags
from tiktok_pipeline.sandbox.server import RunningSandbox, start_in_process
from tiktok_pipeline.tables import COVERAGE, LIVE_OBSERVATIONS, STREAM_LIFT, STREAMS, TABLES, VENDOR_USAGE

START = datetime(2026, 3, 2, tzinfo=UTC)


@dataclass
class Deployed:
    home: Path
    monkeypatch: pytest.MonkeyPatch

    @property
    def lake(self) -> Lake:
        return Lake(self.home / "lake")

    def use(self, sandbox: RunningSandbox) -> None:
        """Use the same vendors at another address, as after a repair."""
        for name, value in sandbox.environment.items():
            self.monkeypatch.setenv(name, value)
        if not (self.home / "roster.csv").exists():
            with urlopen(f"{sandbox.url}/truth/roster.csv") as answer:
                (self.home / "roster.csv").write_bytes(answer.read())

    def table(self, name: str) -> pl.DataFrame:
        return self.lake.scan_all(TABLES[name]).collect()


@pytest.fixture
def deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployed:
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    for name, value in {
        "TIKTOK_PIPELINE_HOME": str(tmp_path),
        "TIKTOK_PIPELINE_ROSTER": str(tmp_path / "roster.csv"),
        "TIKTOK_PIPELINE_SETTINGS": str(tmp_path / "settings.toml"),
        "TIKTOK_PIPELINE_CLOCK": "replay",
        "DAGSTER_HOME": str(tmp_path / "dagster"),
    }.items():
        monkeypatch.setenv(name, value)
    return Deployed(tmp_path, monkeypatch)


def hour(number: float) -> datetime:
    return START + timedelta(hours=number)


def test_while_a_vendor_is_down_the_next_one_is_polled_and_the_first_one_again_afterwards(
    deployed: Deployed,
) -> None:
    (deployed.home / "settings.toml").write_text("[retries]\nattempts = 1\n")
    with start_in_process(seed=3, creators=6, start=START) as up:
        deployed.use(up)
        runs.run_capture(hour(13), hour(14))
        public = {creator.handle for creator in up.world.creators if creator.kind == "public"}
    with start_in_process(seed=3, creators=6, start=START, faults="down-social_fetch") as down:
        deployed.use(down)
        runs.run_capture(hour(14), hour(16))
    with start_in_process(seed=3, creators=6, start=START) as repaired:
        deployed.use(repaired)
        runs.run_capture(hour(16), hour(17))
        runs.run_derive(hour(0), hour(24))
    live = deployed.table("live_observations").filter(pl.col("creator_id").is_in(public))

    def vendors(first: int, last: int) -> set[str]:
        known = live.filter(
            pl.col("live_state") != "unknown", pl.col("reason").is_null() | (pl.col("vendor") != "tikhub")
        )
        within = known.filter(pl.col("observed_at") >= hour(first), pl.col("observed_at") < hour(last))
        return set(within["vendor"]) - {"tikhub"}

    assert vendors(13, 14) == {"social_fetch"}
    assert vendors(14, 16) == {"konbini"}
    assert vendors(16, 17) == {"social_fetch"}
    # A failed response gives an unknown state, never off air; a stream that lasted all the time is one stream.
    failed = live.filter(pl.col("vendor") == "social_fetch", pl.col("reason") == "server_error")
    assert set(failed["live_state"]) <= {"unknown"}
    gaps = deployed.table("coverage").filter(pl.col("creator_id").is_in(public))["largest_gap_s"]
    assert gaps.max() is not None
    assert float(gaps.max()) <= 900  # type: ignore[arg-type]
    # The open circuit saved most requests to the failing vendor.
    usage = deployed.table("vendor_usage").filter(pl.col("vendor") == "social_fetch")
    assert usage["requests"].sum() < live.filter(pl.col("vendor") == "konbini").height * 3


def test_a_run_fails_with_a_reason_if_every_vendor_is_down_and_the_next_one_continues(deployed: Deployed) -> None:
    (deployed.home / "settings.toml").write_text(
        '[retries]\nattempts = 1\n[routes]\nlive = ["social_fetch"]\nprofile = ["social_fetch"]\n'
    )
    with start_in_process(seed=3, creators=4, start=START) as up:
        deployed.use(up)
        runs.run_capture(hour(12), hour(13))
    with start_in_process(seed=3, creators=4, start=START, faults="down-social_fetch") as down:
        deployed.use(down)
        with pytest.raises(PipelineError, match="no vendor answered"):
            runs.run_capture(hour(13), hour(15))
    with start_in_process(seed=3, creators=4, start=START) as repaired:
        deployed.use(repaired)
        runs.run_capture(hour(15), hour(16))
        runs.run_derive(hour(0), hour(24))
        live = deployed.table("live_observations")
        while_down = live.filter(
            pl.col("vendor") == "social_fetch",
            pl.col("observed_at").is_between(hour(13), hour(15), closed="left"),
        )
        assert while_down["live_state"].unique().to_list() == ["unknown"]
        assert not invented(deployed, repaired)
    assert live["observed_at"].max() > hour(15.5)  # type: ignore[operator]


def test_a_day_without_polls_is_marked_and_gets_no_invented_stream(deployed: Deployed) -> None:
    with start_in_process(seed=3, creators=8, start=START) as sandbox:
        deployed.use(sandbox)
        runs.run_capture(hour(14), hour(24))
        runs.run_capture(hour(48), hour(54))
        runs.run_derive(hour(0), hour(72))
        assert not invented(deployed, sandbox)
        unseen = {
            creator.handle
            for creator in sandbox.world.creators
            for stream in sandbox.world.streams(creator, hour(26), hour(46))
            if stream.started_at > hour(25) and stream.ended_at < hour(47)
        }
    assert unseen, "no stream on that day: choose another seed"
    missed = date(2026, 3, 3)
    coverage = deployed.lake.scan_days(COVERAGE, missed, missed).collect()
    assert coverage.height == 8
    assert coverage["polls"].unique().to_list() == [0]
    assert coverage["largest_gap_s"].null_count() == 8
    for table in TABLES.values():
        if table.layer != "raw" and table.files == "day":
            assert deployed.lake.day_file(table, missed).exists(), table.name
    for table in (LIVE_OBSERVATIONS, STREAMS, STREAM_LIFT, VENDOR_USAGE):
        assert deployed.lake.scan_days(table, missed, missed).collect().is_empty(), table.name
    # A stream whose end or later count falls into that day has no observable lift.
    lifts = deployed.table("stream_lift")
    streams = deployed.table("streams").filter(pl.col("status") == "lost")
    of_lost = lifts.join(streams, on="stream_id", how="semi")
    assert of_lost.filter("observable").is_empty()
    late = lifts.filter(pl.col("after_at") - pl.col("ended_at") > timedelta(hours=12))
    assert late.is_empty()


def invented(deployed: Deployed, sandbox: RunningSandbox) -> list[dict[str, object]]:
    """Return the found streams that are not in the world."""
    by_handle = {creator.handle: creator for creator in sandbox.world.creators}
    minute = timedelta(minutes=1)
    return [
        row
        for row in deployed.table("streams").rows(named=True)
        if not sandbox.world.streams(
            by_handle[row["creator_id"]], row["started_at"] - minute, row["ended_at_lo"] + minute
        )
    ]


def digests(lake: Lake) -> dict[str, str]:
    return {
        str(path.relative_to(lake.root)): sha256(path.read_bytes()).hexdigest()
        for layer in ("normalized", "marts")
        for path in (lake.root / layer).rglob("*.parquet")
    }


def test_late_rows_are_derived_with_the_trailing_days_and_repeated_derives_give_the_same_bytes(
    deployed: Deployed,
) -> None:
    with start_in_process(seed=3, creators=6, start=START) as sandbox:
        deployed.use(sandbox)
        runs.run_capture(hour(18), hour(30))
        late = [
            (file, file.read_bytes())
            for table in ("raw_lives", "raw_profiles")
            for n in range(20, 23)
            for file in deployed.lake.hour_files(TABLES[table], hour(n))
        ]
        for file, _ in late:
            file.unlink()
        runs.run_derive(hour(0), hour(48))
        without = digests(deployed.lake)
        for file, content in late:
            file.write_bytes(content)
        runs.run_derive(hour(0), hour(48))
        whole = digests(deployed.lake)
    assert whole.keys() == without.keys()
    assert whole != without
    # A backfill of some days, in any batches, changes no byte.
    derive = build_definitions().resolve_job_def("derive")
    for first, last in ((date(2026, 3, 3), date(2026, 3, 3)), (date(2026, 3, 2), date(2026, 3, 3))):
        with dg.DagsterInstance.get() as instance:
            tags = {**day_range_tags(first, last), REBUILD_TAG: "yes"}
            assert derive.execute_in_process(instance=instance, tags=tags).success
        assert digests(deployed.lake) == whole
