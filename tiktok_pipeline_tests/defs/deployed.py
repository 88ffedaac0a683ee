"""A deployment whose assets are materialized in this process."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import polars as pl

from tiktok_pipeline.definitions import build_definitions
from tiktok_pipeline.defs.skipping import REBUILD_TAG
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.partitions import day_range_tags
from tiktok_pipeline.providers.social_fetch import LIVE
from tiktok_pipeline.publish.duckdb_file import LINK
from tiktok_pipeline.resources import Pipeline, build_resources
from tiktok_pipeline.tables import RAW_LIVES, RAW_PROFILES, TABLES

DAY = date(2026, 11, 2)


@cache
def assets_of_the_deployment() -> list[Any]:
    return list(build_definitions().assets or [])


class Deployed:
    """A home with a lake, a roster, settings and a Dagster instance."""

    def __init__(self, home: Path, instance: dg.DagsterInstance) -> None:
        self.lake, self.home, self.instance = Lake(home / "lake"), home, instance
        (home / "roster.csv").write_text("handle\nana\n")
        self.pipeline = Pipeline(
            environment={
                "TIKTOK_PIPELINE_HOME": str(home),
                "TIKTOK_PIPELINE_ROSTER": str(home / "roster.csv"),
                "TIKTOK_PIPELINE_SETTINGS": str(home / "settings.toml"),
            }
        )

    def run(self, *assets: str, first: date = DAY, last: date = DAY) -> dg.ExecuteInProcessResult:
        daily = any(name in TABLES and TABLES[name].files == "day" for name in assets)
        return dg.materialize(
            assets_of_the_deployment(),
            selection=dg.AssetSelection.assets(*assets),
            resources={**build_resources(), "pipeline": self.pipeline},
            instance=self.instance,
            # Tests replace the function that makes a day; the fingerprint of its inputs does not show that.
            tags={REBUILD_TAG: "test", **(day_range_tags(first, last) if daily else {})},
            raise_on_error=False,
        )

    def land(self, *bodies: Any, day: date = DAY, profile: bool = False, **more: Any) -> None:
        """Land raw rows of the day, a minute apart."""
        at = datetime(day.year, day.month, day.day, 1, tzinfo=UTC)
        table = RAW_PROFILES if profile else RAW_LIVES
        rows = [
            {
                "capture_id": f"w-{day}-{n:04}", "vendor": "social_fetch", "endpoint": LIVE,
                "creator_id": "ana", "subject": "ana", "page": 0, "attempt": 1, "outcome": "ok", "http_status": 200,
                "requested_at": at, "received_at": at, "observed_at": at, "headers": "{}", "body": json.dumps(body),
                "credits": 1.0, "elapsed_ms": 5.0,
            } | more
            for n, body in enumerate(bodies)
        ]  # fmt: skip
        empty = dict.fromkeys(table.schema.names())
        self.lake.write_raw(table, at, f"w-{at:%H}", pl.DataFrame([empty | row for row in rows], schema=table.schema))

    def served(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.home / "warehouse" / LINK), read_only=True) as connection:
            return connection.execute(sql).fetchall()
