"""Thin resources: what assets need of the outside, read from the environment when a run starts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dagster as dg
from dagster_duckdb import DuckDBResource
from pydantic import Field, PrivateAttr

from tiktok_pipeline.capture import known_accounts
from tiktok_pipeline.capture.clock import RealClock, real_clock, replaying
from tiktok_pipeline.capture.deployment import Deployment
from tiktok_pipeline.config import roster, settings
from tiktok_pipeline.config.access import accesses
from tiktok_pipeline.erased.creators import ErasedCreators
from tiktok_pipeline.errors import PipelineError
from tiktok_pipeline.lake.store import Damaged, Lake


@contextmanager
def plain_failures() -> Iterator[None]:
    """Turn an expected error into a failure in its own words: a stack trace would bury what to do about it."""
    try:
        yield
    except PipelineError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None


class Pipeline(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The deployment as the environment describes it; `environment` overrides single variables, for tests."""

    environment: dict[str, str] = Field(default={}, description="Variables that override the environment's.")
    # Of all reads of a run, whichever asset made them.
    _damaged: Damaged = PrivateAttr(default_factory=Damaged)

    @property
    def variables(self) -> dict[str, str]:
        """The environment with the overrides."""
        return {**os.environ, **self.environment}

    @property
    def places(self) -> settings.Places:
        """Where things lie."""
        with plain_failures():
            return settings.Places.from_environment(self.variables)

    @property
    def lake(self) -> Lake:
        """The lake: its writes obey the list of erased creators; damaged files are collected for the whole run."""
        return Lake(self.places.lake, ErasedCreators(self.places.lake, self.hash_key), self._damaged)

    def settings(self) -> settings.Settings:
        """What settings.toml says."""
        with plain_failures():
            return settings.load_settings(self.places.settings)

    def roster(self) -> roster.Roster:
        """Who is watched."""
        with plain_failures():
            erased = ErasedCreators(self.places.lake, self.hash_key)
            return roster.without_erased(roster.read_roster(self.places.roster), self.places.roster, erased.names())

    def postgres_url(self) -> str | None:
        """The Postgres that is published to, if any: TIKTOK_PIPELINE_POSTGRES_URL."""
        with plain_failures():
            return settings.postgres_url(self.variables)

    def hash_key(self) -> bytes:
        """The key that followers' ids are hashed with: TIKTOK_PIPELINE_HASH_KEY, else one made for this home."""
        with plain_failures():
            return settings.hash_key(self.places.home, self.variables)

    @property
    def replaying(self) -> bool:
        """Whether the replay clock is set."""
        with plain_failures():
            return replaying(self.variables)

    def clock(self) -> RealClock:
        """The real clock."""
        with plain_failures():
            return real_clock(self.variables)

    def deployment(self, run_id: str, progress: Callable[[str], None]) -> Deployment:
        """What a capture window needs."""
        with plain_failures():
            return Deployment(
                lake=self.lake,
                settings=self.settings(),
                accesses=accesses(self.variables),
                targets=known_accounts.known_as(self.lake, [creator.target for creator in self.roster().creators]),
                run_id=run_id,
                gates=self.places.home / "gates",
                progress=progress,
            )


def build_resources() -> dict[str, object]:
    """The resources of the deployment. DuckDB is in memory: snapshots are attached to it, never opened by it."""
    return {"pipeline": Pipeline(), "duckdb": DuckDBResource(database=":memory:")}
