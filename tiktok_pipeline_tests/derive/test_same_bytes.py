"""Incremental derives give the same bytes as one derive from scratch, for any order of raw files."""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tiktok_pipeline.config.settings import Places
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.partitions import day_range_tags
from tiktok_pipeline.resources import Pipeline, build_resources
from tiktok_pipeline.tables import RAW_LIVES, RAW_TABLES, TABLES
from tiktok_pipeline.upkeep.compaction import compact
from tiktok_pipeline.upkeep.forget.erase import forget
from tiktok_pipeline_tests.defs.deployed import assets_of_the_deployment
from tiktok_pipeline_tests.replayed import DAYS, START, Replayed

KEY = "a hash key of this test"
FIRST, LAST = START.date(), START.date() + timedelta(days=DAYS - 1)


@dataclass
class Home:
    """A deployment in a folder, derived in this process."""

    path: Path
    roster: Path
    instance: dg.DagsterInstance

    @property
    def lake(self) -> Lake:
        return Lake(self.path / "lake")

    @property
    def environment(self) -> dict[str, str]:
        return {
            "TIKTOK_PIPELINE_HOME": str(self.path),
            "TIKTOK_PIPELINE_ROSTER": str(self.path / "roster.csv"),
            "TIKTOK_PIPELINE_SETTINGS": str(self.path / "settings.toml"),
            "TIKTOK_PIPELINE_HASH_KEY": KEY,
            "TIKTOK_PIPELINE_CLOCK": "replay",
        }

    def derive(self, first: date = FIRST, last: date = LAST, **tags: str) -> dg.ExecuteInProcessResult:
        if not (self.path / "roster.csv").exists():
            shutil.copyfile(self.roster, self.path / "roster.csv")
        result = dg.materialize(
            assets_of_the_deployment(),
            selection=dg.AssetSelection.groups("normalized", "marts"),
            resources={**build_resources(), "pipeline": Pipeline(environment=self.environment)},
            instance=self.instance,
            tags={**day_range_tags(first, last), **tags},
            raise_on_error=False,
        )
        assert result.success
        return result

    def forget(self, handle: str) -> None:
        places = Places.from_environment(self.environment)
        forget(handle, places, KEY.encode())

    def derived(self) -> dict[str, bytes]:
        """Return the bytes of every file of a derived table."""
        layers = sorted({table.layer for table in TABLES.values()} - {"raw"})
        files = [path for layer in layers for path in (self.path / "lake" / layer).rglob("*.parquet")]
        return {str(path.relative_to(self.path)): path.read_bytes() for path in sorted(files)}

    def raw_files(self) -> list[Path]:
        return sorted((self.path / "lake" / "raw").rglob("*.parquet"))


@pytest.fixture
def homes(tmp_path: Path, replayed: Replayed) -> Any:
    with dg.DagsterInstance.ephemeral() as instance:

        def new(name: str) -> Home:
            (tmp_path / name).mkdir()
            return Home(tmp_path / name, replayed.untouched / "roster.csv", instance)

        yield new


def land(home: Home, files: list[Path], source: Path) -> None:
    for file in files:
        target = home.path / file.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)


def in_batches(files: list[Path], number: int, chance: random.Random) -> list[list[Path]]:
    """Split `files` into batches, nearly in order of time: some come late, some hours in pieces."""
    by_hour = sorted(files, key=lambda file: (file.parent.parent.name, file.parent.name, file.name))
    batches: list[list[Path]] = [[] for _ in range(number)]
    for index, file in enumerate(by_hour):
        on_time = index * number // len(by_hour)
        late = chance.random() < 0.15
        batches[chance.randrange(on_time, number) if late else on_time].append(file)
    return batches


@pytest.mark.parametrize("seed", [1])
def test_incremental_derives_give_the_same_bytes_as_one_derive(homes: Any, replayed: Replayed, seed: int) -> None:
    chance = random.Random(seed)
    home: Home = homes("bit by bit")
    source = Home(replayed.untouched, replayed.untouched / "roster.csv", home.instance)
    erased = chance.choice(replayed.watched())
    for number, files in enumerate(in_batches(source.raw_files(), 3, chance)):
        land(home, files, replayed.untouched)
        home.derive()
        if number == 0:
            done = compact(home.lake, RAW_TABLES, now=START + timedelta(hours=14), window=timedelta(minutes=10))
            assert done.hours > 5
        if number == 1:
            home.forget(erased)
    home.derive()

    scratch: Home = homes("from scratch")
    shutil.copytree(home.path / "lake" / "raw", scratch.path / "lake" / "raw")
    shutil.copyfile(home.path / "lake" / "_erased.json", scratch.path / "lake" / "_erased.json")
    shutil.copyfile(home.path / "roster.csv", scratch.path / "roster.csv")
    scratch.derive()

    there, expected = home.derived(), scratch.derived()
    assert sorted(there) == sorted(expected)
    assert [name for name, content in expected.items() if there[name] != content] == []
    assert home.lake.days(RAW_LIVES) == [FIRST, LAST]
