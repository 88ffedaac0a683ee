"""What goes wrong for hours ends in tables that are fresh, and that say what is not known; without a person."""

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
        """The same vendors at another address, as after they were repaired."""
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


def test_while_a_vendor_is_down_for_hours_the_next_one_answers_and_it_is_asked_again_when_it_is_back(
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
        said = live.filter(
            pl.col("live_state") != "unknown", pl.col("reason").is_null() | (pl.col("vendor") != "tikhub")
        )
        within = said.filter(pl.col("observed_at") >= hour(first), pl.col("observed_at") < hour(last))
        return set(within["vendor"]) - {"tikhub"}

    assert vendors(13, 14) == {"social_fetch"}
    assert vendors(14, 16) == {"konbini"}
    assert vendors(16, 17) == {"social_fetch"}
    # What failed says nothing, least of all off air; and a stream that went on all the while is one stream.
    failed = live.filter(pl.col("vendor") == "social_fetch", pl.col("reason") == "server_error")
    assert set(failed["live_state"]) <= {"unknown"}
    gaps = deployed.table("coverage").filter(pl.col("creator_id").is_in(public))["largest_gap_s"]
    assert gaps.max() is not None
    assert float(gaps.max()) <= 900  # type: ignore[arg-type]
    # The circuit spared the vendor most of what it would have refused.
    usage = deployed.table("vendor_usage").filter(pl.col("vendor") == "social_fetch")
    assert usage["requests"].sum() < live.filter(pl.col("vendor") == "konbini").height * 3


def test_when_every_vendor_is_down_the_run_fails_in_words_and_the_next_one_goes_on(deployed: Deployed) -> None:
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


def test_a_day_that_nobody_polled_says_so_and_invents_nothing(deployed: Deployed) -> None:
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
    assert unseen, "nobody streamed on that day: another seed"
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
    # A stream whose end, or the count after it, would lie in that day has no lift to show.
    lifts = deployed.table("stream_lift")
    streams = deployed.table("streams").filter(pl.col("status") == "lost")
    of_lost = lifts.join(streams, on="stream_id", how="semi")
    assert of_lost.filter("observable").is_empty()
    late = lifts.filter(pl.col("after_at") - pl.col("ended_at") > timedelta(hours=12))
    assert late.is_empty()


def invented(deployed: Deployed, sandbox: RunningSandbox) -> list[dict[str, object]]:
    """Streams that the world never had."""
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


def test_what_lands_late_is_derived_with_the_trailing_days_and_any_range_again_is_the_same_bytes(
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
    # A backfill of some days, in the batches that a policy or a person chooses, changes no byte.
    derive = build_definitions().resolve_job_def("derive")
    for first, last in ((date(2026, 3, 3), date(2026, 3, 3)), (date(2026, 3, 2), date(2026, 3, 3))):
        with dg.DagsterInstance.get() as instance:
            tags = {**day_range_tags(first, last), REBUILD_TAG: "yes"}
            assert derive.execute_in_process(instance=instance, tags=tags).success
        assert digests(deployed.lake) == whole
