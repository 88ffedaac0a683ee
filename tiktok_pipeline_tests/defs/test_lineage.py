"""Declared partition mappings are the days that the assets read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from tiktok_pipeline.definitions import build_definitions
from tiktok_pipeline.defs.skipping import REBUILD_TAG
from tiktok_pipeline.lake.reads import recording
from tiktok_pipeline.partitions import day_range_tags
from tiktok_pipeline.resources import build_resources
from tiktok_pipeline.tables import (
    CREATORS,
    FOLLOWER_LIST_ENTRIES,
    LIVE_OBSERVATIONS,
    POST_OBSERVATIONS,
    PROFILE_OBSERVATIONS,
    STORY_OBSERVATIONS,
    STREAMS,
    TABLES,
)
from tiktok_pipeline_tests.defs.deployed import Deployed, assets_of_the_deployment
from tiktok_pipeline_tests.derive.off_air import OFF_AIR, USER_ID
from tiktok_pipeline_tests.transforms.frames import frame

DAY = date(2026, 11, 2)
NEXT = DAY + timedelta(days=1)
MIDNIGHT = datetime(2026, 11, 3, tzinfo=UTC)

DEFINITIONS = build_definitions()
SPECS = {spec.key.to_user_string(): spec for spec in DEFINITIONS.resolve_all_asset_specs()}
DAILY = sorted(name for name, table in TABLES.items() if table.files == "day" and table.layer == "marts")
# Made together, from the same raw rows.
NORMALIZED = sorted(name for name, table in TABLES.items() if table.layer == "normalized")

_FILE = re.compile(r"(?:raw|normalized|marts)/(\w+)/date=(\d{4}-\d\d-\d\d)/.+")

# Reads that the assets' descriptions name instead: the sightings of earlier days, which the same step makes.
UNDECLARED = {"account_sightings"}


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """One creator, and a stream over one midnight."""
    home: Path = tmp_path_factory.mktemp("lineage")
    with dg.DagsterInstance.ephemeral() as instance:
        here = Deployed(home, instance)
        # Without an id, the next day's responses would help to identify the account.
        (home / "roster.csv").write_text(f"handle,user_id\nana,{USER_ID}\n")
        for ago in (-1, 0, 1):
            here.land(OFF_AIR, day=DAY + timedelta(days=ago))
        stream = {
            "stream_id": "ana:1", "creator_id": "ana", "started_at": MIDNIGHT - timedelta(hours=1),
            "started_at_hi": MIDNIGHT - timedelta(hours=1), "ended_at": MIDNIGHT + timedelta(hours=1),
            "ended_at_lo": MIDNIGHT + timedelta(hours=1), "status": "ended", "rooms": 1, "reconnects": 0,
            "airtime_s": 7200.0, "observed_s": 7200.0, "coverage_ratio": 1.0, "observations": 9,
            "vendors": ["konbini"],
        }  # fmt: skip
        here.lake.write_day(STREAMS, DAY, frame(STREAMS, stream))
        for hours in (-1, 1):
            at = MIDNIGHT + timedelta(hours=hours)
            reading = {
                "creator_id": "ana", "vendor": "konbini", "observed_at": at, "capture_id": f"c{hours}",
                "live_state": "live" if hours < 0 else "ended", "evidence": "strong",
            }  # fmt: skip
            here.lake.write_day(LIVE_OBSERVATIONS, at.date(), frame(LIVE_OBSERVATIONS, reading))
        for table in (PROFILE_OBSERVATIONS, POST_OBSERVATIONS, STORY_OBSERVATIONS, FOLLOWER_LIST_ENTRIES):
            here.lake.write_day(table, DAY, table.empty())
        creator = {"creator_id": "ana", "handle": "ana", "on_roster": True, "previous_handles": []}
        here.lake.write_whole(CREATORS, frame(CREATORS, creator))
        yield here


def declared(name: str) -> dict[str, tuple[int, int]]:
    """Table -> first and last day of the declared windows, relative to the day that is made."""
    found = {}
    for dep in SPECS[name].deps:
        if isinstance(dep.partition_mapping, dg.TimeWindowPartitionMapping):
            mapping = dep.partition_mapping
            found[dep.asset_key.to_user_string()] = (mapping.start_offset, mapping.end_offset)
    return found


def days_read(deployed: Deployed, *names: str) -> dict[str, tuple[int, int]]:
    """Table -> first and last day that one run over DAY reads of other assets' daily and hourly files."""
    with recording() as reads:
        result = dg.materialize(
            assets_of_the_deployment(),
            selection=dg.AssetSelection.assets(*names),
            resources={**build_resources(), "pipeline": deployed.pipeline},
            instance=deployed.instance,
            tags={REBUILD_TAG: "test", **day_range_tags(DAY, DAY)},
        )
    assert all(evaluation.passed for evaluation in result.get_asset_check_evaluations() if evaluation.blocking)
    found: dict[str, set[int]] = {}
    for path in reads.all():
        match = _FILE.fullmatch(path)
        if match and match[1] not in names:
            found.setdefault(match[1], set()).add((date.fromisoformat(match[2]) - DAY).days)
    assert found, names
    return {table: (min(days), max(days)) for table, days in found.items() if table not in UNDECLARED}


@pytest.mark.parametrize("name", [name for name in DAILY if name != "streams"])
def test_a_mart_declares_the_days_that_it_reads(name: str, deployed: Deployed) -> None:
    assert days_read(deployed, name) == declared(name)


def test_streams_declare_the_days_that_they_read(deployed: Deployed) -> None:
    # Last: it replaces the streams of the day.
    assert days_read(deployed, "streams") == declared("streams")


def test_the_normalized_tables_declare_the_raw_days_that_they_read(deployed: Deployed) -> None:
    read = days_read(deployed, *NORMALIZED)
    for name in NORMALIZED:
        assert declared(name) == read, name


def test_an_asset_that_may_read_more_days_states_it_in_its_description() -> None:
    for name in ("streams", "stream_lift", "stream_hours", "stream_conversions", "gift_estimates", *NORMALIZED):
        assert "The declared dependency" in (SPECS[name].description or ""), name
