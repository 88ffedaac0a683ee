"""The content-addressed cache saves time and never changes a result."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from tiktok_pipeline.erased.creators import ErasedCreators
from tiktok_pipeline.erased.names import hashes_of
from tiktok_pipeline.lake.remembered import Remembered, day_identities, digest, identity, modules_version
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.tables import PROFILE_OBSERVATIONS
from tiktok_pipeline.transforms import follower_days, rhythm
from tiktok_pipeline.upkeep.forget.places import remove_kept_readings
from tiktok_pipeline_tests.transforms.frames import frame

FRAME = pl.DataFrame({"creator_id": ["ana", "bo"], "n": [1, 2]})


def test_a_cached_result_is_found_only_under_its_own_key_and_name(tmp_path: Path) -> None:
    remembered = Remembered(Lake(tmp_path), "sums", most=3)
    assert remembered.get("a") is None
    remembered.put("a", FRAME)
    found = remembered.get("a")
    assert found is not None
    assert found.equals(FRAME)
    assert remembered.get("b") is None
    assert Remembered(Lake(tmp_path), "others", most=3).get("a") is None


def test_the_least_recently_used_results_are_deleted_first(tmp_path: Path) -> None:
    remembered = Remembered(Lake(tmp_path), "sums", most=2)
    for number, key in enumerate("abc"):
        remembered.put(key, FRAME)
        if key != "c":
            path = tmp_path / "_remembered" / "sums" / f"{key}.parquet"
            os.utime(path, (number, number))
        if key == "b":
            assert remembered.get("a") is not None
    assert remembered.get("a") is not None
    assert remembered.get("b") is None
    assert remembered.get("c") is not None


@pytest.mark.parametrize("damage", [b"", b"PAR1 not at all", None])
def test_an_unreadable_cache_file_counts_as_missing_and_is_replaced(tmp_path: Path, damage: bytes | None) -> None:
    remembered = Remembered(Lake(tmp_path), "sums", most=2)
    path = tmp_path / "_remembered" / "sums" / "a.parquet"
    path.parent.mkdir(parents=True)
    if damage is None:
        path.mkdir()
    else:
        path.write_bytes(damage)
    assert remembered.get("a") is None
    remembered.put("a", FRAME)
    assert (remembered.get("a") is not None) == (damage is not None)


def test_without_write_permission_only_the_cache_is_lost(tmp_path: Path) -> None:
    (tmp_path / "_remembered").write_text("in the way")
    remembered = Remembered(Lake(tmp_path), "sums", most=2)
    remembered.put("a", FRAME)
    assert remembered.get("a") is None


def test_a_result_with_an_erased_creator_is_not_cached(tmp_path: Path) -> None:
    erased = ErasedCreators(tmp_path, lambda: b"k" * 32)
    remembered = Remembered(Lake(tmp_path, erased), "sums", most=2)
    remembered.put("before", FRAME)
    erased.add(hashes_of(b"k" * 32, creator_ids=["ana"]), datetime(2026, 11, 2, tzinfo=UTC))
    remembered.put("after", FRAME)
    assert remembered.get("after") is None
    remembered.put("without", FRAME.filter(pl.col("creator_id") != "ana"))
    assert remembered.get("without") is not None
    remove_kept_readings(Lake(tmp_path))
    assert remembered.get("before") is None
    remove_kept_readings(Lake(tmp_path))


def test_a_replaced_file_has_another_identity(tmp_path: Path) -> None:
    lake, day = Lake(tmp_path), date(2026, 11, 2)
    assert day_identities(lake, PROFILE_OBSERVATIONS, [day]) == {}
    path = lake.write_day(PROFILE_OBSERVATIONS, day, PROFILE_OBSERVATIONS.empty())
    first = identity(path)
    assert day_identities(lake, PROFILE_OBSERVATIONS, [day]) == {day: first}
    row = {"creator_id": "ana", "observed_at": datetime(2026, 11, 2, tzinfo=UTC), "capture_id": "1"}
    lake.write_day(PROFILE_OBSERVATIONS, day, frame(PROFILE_OBSERVATIONS, row))
    assert identity(path) != first


def test_a_digest_depends_on_the_boundaries_of_its_parts() -> None:
    assert digest("ab", "c") != digest("a", "bc")
    assert digest("ab") == digest(b"ab")


def test_the_code_version_depends_on_the_source_of_its_modules() -> None:
    assert modules_version(rhythm) == modules_version(rhythm)
    assert modules_version(rhythm) != modules_version(rhythm, follower_days)
