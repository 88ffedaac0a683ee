"""Incremental follow-up planning equals planning from all raw rows, whatever happens to the files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from tiktok_pipeline.capture import due_followups, followups, known_accounts, on_air
from tiktok_pipeline.capture.clock import hours_between
from tiktok_pipeline.capture.deployment import Deployment
from tiktok_pipeline.capture.history import LiveHistory
from tiktok_pipeline.capture.live_states import USABLE_OUTCOMES, is_request_for
from tiktok_pipeline.config.access import accesses
from tiktok_pipeline.config.settings import Boundary, Settings
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.providers.vendor import Target
from tiktok_pipeline.tables import RAW_LIVES, RAW_PROFILES, TABLES
from tiktok_pipeline.upkeep.compaction import compact
from tiktok_pipeline_tests.capture.landed_rows import CREATORS, START, Landing, account, fetch, frame

KEYS = accesses(
    {
        "SOCIAL_FETCH_API_KEY": "k",
        "KONBINI_API_KEY": "k",
        "TIKHUB_USERNAME": "u",
        "TIKHUB_PASSWORD": "p",
        "TIKLIVEAPI_API_KEY": "k",
    }
)
SHORT = Boundary(profile_minutes=(0, 5), room_minutes=(2,), posts_minutes=(), followers_minutes=(), patience_minutes=10)
DAY = Boundary()


def from_all_rows(here: Deployment, now: datetime) -> pl.DataFrame:
    """Return the due follow-ups, computed from all readings of the whole span."""
    settings, until = here.settings, now + timedelta(microseconds=1)
    since = now - timedelta(minutes=settings.boundary.patience_minutes)
    merge_gap = timedelta(minutes=settings.streams.merge_gap_minutes)
    begin = since - followups.reach(settings.boundary) - merge_gap
    targets = known_accounts.identified(here.lake, here.targets, until)
    found = followups.plan(
        on_air.on_air_readings(here.lake, begin, until, targets), settings.boundary, merge_gap=merge_gap
    )
    listed = [target.creator_id for target in targets]
    found = found.filter(pl.col("at") >= since, pl.col("at") < until, pl.col("creator_id").is_in(listed))
    responses = [
        here.lake.scan_raw(TABLES[table], hours_between(begin, until))
        .filter(is_request_for(capability), pl.col("outcome").is_in(USABLE_OUTCOMES), pl.col("requested_at") < until)
        .select(pl.lit(table).alias("table"), "creator_id", polled_at="requested_at")
        .collect()
        for table, capability in followups.CAPABILITIES.items()
    ]
    return followups.due(found, pl.concat(responses), now)


def roster(*, known: Sequence[str] = (), without: Sequence[str] = ()) -> list[Target]:
    return [
        Target(creator, creator, *(account(creator) if creator in known else ()))
        for creator in CREATORS
        if creator not in without
    ]


def deployed(folder: Path, settings: Boundary = DAY, targets: Sequence[Target] = ()) -> Deployment:
    return Deployment(Lake(folder), Settings(boundary=settings), KEYS, list(targets) or roster())


@pytest.mark.parametrize(("seed", "settings"), [(1, DAY), (3, SHORT)])
def test_incremental_planning_equals_full_planning_after_landings_compactions_and_roster_changes(
    tmp_path: Path, seed: int, settings: Boundary
) -> None:
    here = deployed(tmp_path, settings)
    landing, history = Landing(here.lake, seed), LiveHistory()
    landing.go_on(150)
    due = 0
    for _ in range(16):
        landing.go_on(landing.chance.choice([1, 1, 2, 9, 45]))
        event = landing.chance.random()
        if event < 0.1:
            compact(here.lake, [RAW_LIVES, RAW_PROFILES], now=landing.now, window=timedelta(minutes=10))
        elif event < 0.2:
            known = landing.chance.sample(CREATORS, 3)
            here = replace(here, targets=roster(known=known, without=landing.chance.sample(CREATORS, 1)))
        elif event < 0.25:
            # `forget` rewrites a file.
            file = landing.chance.choice(sorted(here.lake.folder(RAW_LIVES).rglob("*.parquet")))
            here.lake.rewrite(file, pl.read_parquet(file).filter(pl.col("creator_id") != "bo"))
        elif event < 0.28:
            landing.chance.choice(sorted(here.lake.folder(RAW_LIVES).rglob("*.parquet"))).unlink()
        elif event < 0.31:
            file = landing.chance.choice(sorted(here.lake.folder(RAW_LIVES).rglob("*.parquet")))
            file.with_name("damaged.parquet").write_bytes(b"PAR1")
        expected = from_all_rows(here, landing.now)
        assert due_followups.due_followups(here, landing.now, history).rows() == expected.rows()
        assert due_followups.due_followups(here, landing.now).rows() == expected.rows()
        due += expected.height
    assert due


def test_each_update_reads_only_files_that_landed_since_the_last(tmp_path: Path) -> None:
    here = deployed(tmp_path, targets=roster(known=CREATORS))
    landing, history = Landing(here.lake, 5), LiveHistory()
    landing.go_on(300)
    landing.land(1.0)
    due_followups.due_followups(here, landing.now, history)
    read = history.rows_read
    due_followups.due_followups(here, landing.now, history)
    assert history.rows_read == read
    landing.go_on(5)
    landing.land(1.0)
    due_followups.due_followups(here, landing.now, history)
    assert read < history.rows_read < read + 50
    read = history.rows_read
    # The compacted file holds rows that were read before.
    compact(here.lake, [RAW_LIVES], now=landing.now, window=timedelta(minutes=10))
    due_followups.due_followups(here, landing.now, history)
    assert history.rows_read == read


def test_a_late_reading_between_dropped_ones_is_read_with_its_neighbours(tmp_path: Path) -> None:
    here = deployed(tmp_path, targets=roster(known=CREATORS))
    history = LiveHistory()

    def land(name: str, *polls: tuple[int, bool]) -> None:
        rows = [
            {
                "capture_id": f"{name}-{minute}",
                "vendor": "social_fetch",
                "endpoint": "/v1/tiktok/profiles/{handle}/live",
                "creator_id": "ana",
                "subject": "ana",
                "requested_at": START + timedelta(minutes=minute),
                "received_at": START + timedelta(minutes=minute),
                "observed_at": START + timedelta(minutes=minute),
                "outcome": "ok" if on_air else "not_live",
                "body": fetch("ana", "live" if on_air else "offline").decode(),
            }
            for minute, on_air in polls
        ]
        here.lake.write_raw(RAW_LIVES, START, name, frame(RAW_LIVES, rows))

    land("first", *((minute, True) for minute in range(0, 50, 5)))
    now = START + timedelta(minutes=50)
    due_followups.due_followups(here, now, history)
    land("late", (22, False))
    found = due_followups.due_followups(here, now, history)
    assert found.rows() == from_all_rows(here, now).rows()
    assert "end" in found["why"].to_list()


def test_a_clock_that_is_set_back_rebuilds_the_history(tmp_path: Path) -> None:
    here = deployed(tmp_path)
    landing, history = Landing(here.lake, 6), LiveHistory()
    landing.go_on(200)
    for minutes in (0, -60, -10):
        now = landing.now + timedelta(minutes=minutes)
        assert due_followups.due_followups(here, now, history).rows() == from_all_rows(here, now).rows()
