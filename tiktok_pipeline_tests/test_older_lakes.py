"""Lakes of earlier releases: this code reads them, publishes them as they are, and derives the same values from raw.

`fixtures/make_lake.py` makes the lakes. A lake stays in the repository for as long as its release may be upgraded from.
"""

from __future__ import annotations

from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.publish.duckdb_file import publish
from tiktok_pipeline.tables import RAW_LIVES, RAW_PROFILES, RECAPS, STREAMS, TABLES
from tiktok_pipeline.upkeep.repair import repairs
from tiktok_pipeline_tests.fixtures.make_lake import DAYS, END, START, lakes, published, rebuild, release, unpack

ARCHIVES = lakes()
ARCHIVE_IDS = [archive.name.removesuffix(".tar.xz") for archive in ARCHIVES]

Rows = dict[str, list[dict[str, Any]]]


def serve(home: Path) -> None:
    with duckdb.connect() as connection:
        publish(connection, Lake(home / "lake"), home / "warehouse", now=END, keep=1)


# Columns with a newer method than in an older lake (CHANGELOG.md): deriving again changes their values.
NEWER_METHOD = {RECAPS.name: {"hits", "score", "method"}}


def differences(expected: Rows, found: Rows, *, derived_again: bool = False) -> list[str]:
    """Describe differences of tables, rows by position, and values. A column added by a release is no difference."""
    changed = NEWER_METHOD if derived_again else {}
    said = [f"{name}: {len(expected.get(name, []))} rows became {len(found.get(name, []))}"
            for name in expected if len(expected[name]) != len(found.get(name, []))]  # fmt: skip
    for name, rows in expected.items():
        for number, (old, new) in enumerate(zip(rows, found.get(name, []), strict=False)):
            said += [
                f"{name}, row {number}, {column}: {value!r} became {new.get(column)!r}"
                for column, value in old.items()
                if column not in changed.get(name, ())
                if new.get(column) != (pytest.approx(value, rel=1e-6) if isinstance(value, float) else value)
            ]
    return said


def test_there_is_a_lake_of_this_release_or_of_an_earlier_one_and_none_is_large() -> None:
    assert ARCHIVES
    assert all(archive.stat().st_size < 300_000 for archive in ARCHIVES)
    assert release(ARCHIVES[-1]) <= tuple(map(int, version("tiktok-pipeline").split(".")))


@pytest.mark.parametrize("archive", ARCHIVES, ids=ARCHIVE_IDS)
def test_an_older_lake_is_published_unchanged(archive: Path, tmp_path: Path) -> None:
    expected = unpack(archive, tmp_path)
    assert {"streams", "stream_lift", "creator_days", "leaderboard", "coverage"} <= expected.keys()
    serve(tmp_path)
    assert differences(expected, published(tmp_path / "warehouse")) == []


@pytest.mark.parametrize("archive", ARCHIVES, ids=ARCHIVE_IDS)
def test_an_older_lake_is_derived_again_from_raw_with_equal_values(archive: Path, tmp_path: Path) -> None:
    expected = unpack(archive, tmp_path)
    lake = Lake(tmp_path / "lake")
    derived = [path for layer in ("normalized", "marts") for path in (lake.root / layer).rglob("*.parquet")]
    assert derived
    for path in derived:
        path.unlink()
    rebuild(tmp_path)
    assert lake.damaged.all() == {}
    assert differences(expected, published(tmp_path / "warehouse"), derived_again=True) == []


@pytest.mark.parametrize("archive", ARCHIVES, ids=ARCHIVE_IDS)
def test_every_file_of_an_older_lake_is_read(archive: Path, tmp_path: Path) -> None:
    unpack(archive, tmp_path)
    lake = Lake(tmp_path / "lake")
    for table in (RAW_LIVES, RAW_PROFILES):
        hours = lake.raw_hours(table)
        assert {hour.date() for hour in hours} == {START.date(), END.date()}
    for table in TABLES.values():
        for path in (lake.root / table.layer / table.name).rglob("*.parquet"):
            assert pl.read_parquet(path, hive_partitioning=False).height >= 0
    assert lake.damaged.all() == {}


def without(home: Path, column: str) -> Lake:
    """The lake in `home`, with files of `streams` as a release without the column wrote them."""
    for path in (home / "lake" / "marts" / STREAMS.name).rglob("*.parquet"):
        pl.read_parquet(path, hive_partitioning=False).drop(column).write_parquet(path)
    return Lake(home / "lake")


def test_a_column_that_is_new_is_null_in_older_days(tmp_path: Path) -> None:
    expected = unpack(ARCHIVES[-1], tmp_path)
    without(tmp_path, "title")
    serve(tmp_path)
    streams = published(tmp_path / "warehouse")[STREAMS.name]
    assert len(streams) == len(expected[STREAMS.name])
    assert not any("title" in row for row in streams)


def test_an_older_day_without_a_required_column_is_skipped_and_rebuilt(tmp_path: Path) -> None:
    expected = unpack(ARCHIVES[-1], tmp_path)
    lake = without(tmp_path, "rooms")
    serve(tmp_path)
    assert STREAMS.name not in published(tmp_path / "warehouse")
    assert {path.stem for path in lake.wanted_rebuilds()} == {STREAMS.name}
    assert repairs(lake, earliest=DAYS[0], before=END.date() + timedelta(days=1))
    rebuild(tmp_path)
    assert differences(expected, published(tmp_path / "warehouse"), derived_again=True) == []


def test_a_changed_value_or_a_lost_row_is_reported(tmp_path: Path) -> None:
    expected = unpack(ARCHIVES[-1], tmp_path)
    found = {name: [dict(row) for row in rows] for name, rows in expected.items()}
    assert differences(expected, found) == []
    found["streams"][0]["airtime_s"] += 1.0
    lost = found["coverage"].pop()
    assert lost
    said = differences(expected, found)
    assert len(said) == 2
    assert "coverage" in said[0]
    assert "airtime_s" in said[1]
