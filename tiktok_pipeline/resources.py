"""Dagster resources: thin wrappers that read the environment when a run starts."""

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
    """Turn an expected error into a Dagster failure with its message only: a stack trace would hide the remedy."""
    try:
        yield
    except PipelineError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None


class Pipeline(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The deployment that the environment describes; `environment` overrides single variables, for tests."""

    environment: dict[str, str] = Field(default={}, description="Variables that override the environment.")
    # Damaged files in all reads of a run, over all assets.
    _damaged: Damaged = PrivateAttr(default_factory=Damaged)

    @property
    def variables(self) -> dict[str, str]:
        """The environment with the overrides."""
        return {**os.environ, **self.environment}

    @property
    def places(self) -> settings.Places:
        """The paths of the deployment."""
        with plain_failures():
            return settings.Places.from_environment(self.variables)

    @property
    def lake(self) -> Lake:
        """The lake. Its writes leave out erased creators; damaged files are collected for the whole run."""
        return Lake(self.places.lake, ErasedCreators(self.places.lake, self.hash_key), self._damaged)

    def settings(self) -> settings.Settings:
        """Load settings.toml."""
        with plain_failures():
            return settings.load_settings(self.places.settings)

    def roster(self) -> roster.Roster:
        """Read the roster, without erased creators."""
        with plain_failures():
            erased = ErasedCreators(self.places.lake, self.hash_key)
            return roster.without_erased(roster.read_roster(self.places.roster), self.places.roster, erased.names())

    def postgres_url(self) -> str | None:
        """Return the URL in TIKTOK_PIPELINE_POSTGRES_URL, to which tables are published; None if it is not set."""
        with plain_failures():
            return settings.postgres_url(self.variables)

    def hash_key(self) -> bytes:
        """Return the key for hashing followers' ids: TIKTOK_PIPELINE_HASH_KEY, or else the one in this home."""
        with plain_failures():
            return settings.hash_key(self.places.home, self.variables)

    @property
    def replaying(self) -> bool:
        """Whether the replay clock is set."""
        with plain_failures():
            return replaying(self.variables)

    def clock(self) -> RealClock:
        """Return the real clock."""
        with plain_failures():
            return real_clock(self.variables)

    def deployment(self, run_id: str, progress: Callable[[str], None]) -> Deployment:
        """Return the inputs of a capture window."""
        with plain_failures():
            return Deployment(
                lake=self.lake,
                settings=self.settings(),
                accesses=accesses(self.variables),
                targets=known_accounts.with_derived_accounts(
                    self.lake, [creator.target for creator in self.roster().creators]
                ),
                run_id=run_id,
                gates=self.places.home / "gates",
                progress=progress,
            )


def build_resources() -> dict[str, object]:
    """Build the resources. DuckDB runs in memory: snapshots are attached to it, and it never opens one itself."""
    return {"pipeline": Pipeline(), "duckdb": DuckDBResource(database=":memory:")}
