"""A deployment with two days of the sandbox, replayed by the command line once for the whole suite.

The sandbox runs in its own process.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.request import urlopen

import duckdb
import polars as pl
import pytest

from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.sandbox.server import RunningSandbox, start_in_process
from tiktok_pipeline.sandbox.streams import TrueStream
from tiktok_pipeline_tests.commands.command_line import run_here

START = datetime(2026, 11, 2, tzinfo=UTC)
DAYS = 2
END = START + timedelta(days=DAYS)
SPAN = ("replay", f"--from={START:%F}", f"--to={END:%F}")

# Polls in rounds of five minutes see an edge at most one round late; vendors report the start.
ROUND = timedelta(seconds=300)


@dataclass
class Replayed:
    """`home` is for end-to-end tests, which change it; `untouched` is a copy for all others."""

    home: Path
    untouched: Path
    sandbox: RunningSandbox
    environment: dict[str, str]
    output: str

    @property
    def lake(self) -> Lake:
        return Lake(self.home / "lake")

    def query(self, sql: str) -> pl.DataFrame:
        with duckdb.connect(str(self.home / "warehouse" / "tiktok.duckdb"), read_only=True) as connection:
            return connection.sql(sql).pl()

    def replay(self) -> subprocess.CompletedProcess[str]:
        return self.run(*SPAN)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command in this process."""
        return run_here(arguments, self.environment, self.home)

    def watched(self) -> list[str]:
        """Return the roster handles of public creators; one of them renames."""
        return [c.handle for c in self.sandbox.world.creators if c.kind == "public"]

    def true_streams(self) -> list[TrueStream]:
        """Return the streams of polled creators that lie within the span and last longer than a round."""
        world = self.sandbox.world
        return [
            stream
            for creator in world.creators
            if creator.handle in self.watched()
            for stream in world.streams(creator, START, END)
            if stream.started_at > START + ROUND and stream.ended_at < END - 3 * ROUND
            and stream.ended_at - stream.started_at > ROUND
        ]  # fmt: skip


@pytest.fixture(scope="session")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replayed]:
    home = tmp_path_factory.mktemp("home")
    with start_in_process(seed=7, creators=14, start=START) as sandbox:
        with urlopen(f"{sandbox.url}/truth/roster.csv") as answer:
            (home / "roster.csv").write_bytes(answer.read())
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TIKTOK_PIPELINE")},
            **sandbox.environment,
            "TIKTOK_PIPELINE_HOME": str(home),
            "TIKTOK_PIPELINE_ROSTER": str(home / "roster.csv"),
            "TIKTOK_PIPELINE_SETTINGS": str(home / "settings.toml"),
            "TIKTOK_PIPELINE_CLOCK": "replay",
            "DAGSTER_HOME": "",
        }
        untouched = tmp_path_factory.mktemp("untouched") / "home"
        result = Replayed(home, untouched, sandbox, environment, "")
        done = subprocess.run(
            [sys.executable, "-m", "tiktok_pipeline.cli", *SPAN],
            env=environment, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        result.output = done.stdout
        shutil.copytree(home, untouched, symlinks=True)
        yield result
