"""Cached credit sums of closed hours never change a day's total."""

from __future__ import annotations

import math
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from tiktok_pipeline.capture import spending
from tiktok_pipeline.capture.clock import hours_between
from tiktok_pipeline.config.settings import Settings
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.tables import RAW_LIVES, RAW_PROFILES, RAW_TABLES
from tiktok_pipeline.upkeep.compaction import compact
from tiktok_pipeline_tests.capture.landed_rows import CREATORS, START, Landing

DAY = START.date()
PRICES = Settings().vendors


def from_all_rows(lake: Lake) -> dict[str, float]:
    hours = hours_between(START, START + timedelta(days=1))
    rows = pl.concat([lake.scan_raw(table, hours).select("vendor", "credits").collect() for table in RAW_TABLES]).rows()
    found: dict[str, list[float]] = {}
    for vendor, credits in rows:
        reported = credits is not None and math.isfinite(credits) and credits >= 0
        price = PRICES[vendor].credits_per_request if vendor in PRICES else 1.0
        found.setdefault(vendor, []).append(credits if reported else price)
    return {vendor: math.fsum(amounts) for vendor, amounts in found.items()}


def spent(lake: Lake) -> dict[str, float]:
    return {vendor: credits for (vendor, day), credits in spending.spent(lake, [DAY], PRICES).items() if day == DAY}


def kept(lake: Lake) -> Path:
    return lake.root / "_sums" / "credits" / f"{DAY}.json"


@pytest.mark.parametrize("seed", [1, 2])
def test_cached_sums_equal_sums_over_all_raw_rows(tmp_path: Path, seed: int) -> None:
    landing = Landing(Lake(tmp_path), seed)
    for _ in range(20):
        landing.go_on(landing.chance.choice([3, 30, 70]))
        event = landing.chance.random()
        files = sorted(landing.lake.folder(RAW_LIVES).rglob("*.parquet"))
        if event < 0.3:
            compact(landing.lake, [RAW_LIVES, RAW_PROFILES], now=landing.now, window=timedelta(minutes=10))
        elif event < 0.5:
            file = landing.chance.choice(files)
            landing.lake.rewrite(file, pl.read_parquet(file).filter(pl.col("creator_id") != "bo"))
        elif event < 0.6:
            landing.chance.choice(files).unlink()
        elif event < 0.7:
            kept(landing.lake).write_bytes(landing.chance.choice([b"", b"{}", b"[1]", b'{"version":99}', b"\xff"]))
        assert spent(landing.lake) == pytest.approx(from_all_rows(landing.lake))


def test_an_hour_with_unchanged_files_is_not_read_again(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    Landing(lake, 3).go_on(130)
    before = spent(lake)
    # Cached sums are valid as long as name, size and modification time of the files match.
    kept(lake).write_text(kept(lake).read_text().replace('"unreported":0', '"unreported":1000'))
    assert spent(lake) != before


def test_cached_sums_name_no_creator_and_old_ones_are_deleted(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    Landing(lake, 4).go_on(30)
    old = kept(lake).with_name("2026-10-20.json")
    old.parent.mkdir(parents=True)
    old.write_text("{}")
    spent(lake)
    assert not any(creator in kept(lake).read_text() for creator in CREATORS)
    assert not old.exists()


def test_credits_are_counted_also_if_cached_sums_cannot_be_written(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    Landing(lake, 5).go_on(30)
    (tmp_path / "_sums").write_text("a file, where the folder should be")
    assert spent(lake) == pytest.approx(from_all_rows(lake))


def test_an_hour_with_a_damaged_file_is_read_and_reported_by_every_window(tmp_path: Path) -> None:
    Landing(Lake(tmp_path), 6).go_on(30)
    damaged = Lake(tmp_path).hour_folder(RAW_LIVES, START) / "damaged.parquet"
    damaged.write_bytes(b"PAR1")
    for _ in range(2):
        lake = Lake(tmp_path)
        spent(lake)
        assert list(lake.damaged.all()) == [damaged]
