"""Assemble the deployment: everything under defs/, the resources, and one executor.

Runs execute in one process: a process per step would take five times as long as the steps.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg

from tiktok_pipeline.capture.clock import real_clock
from tiktok_pipeline.config.settings import Places, load_settings
from tiktok_pipeline.errors import PipelineError
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.partitions import FIRST_DAY, begin_at, first_day
from tiktok_pipeline.resources import build_resources


def build_definitions(resources: Mapping[str, object] | None = None) -> dg.Definitions:
    """Build all assets, checks, jobs, schedules and sensors; `resources` replaces some resources, for tests."""
    return dg.Definitions.merge(
        dg.load_from_defs_folder(path_within_project=Path(__file__).parent),
        dg.Definitions(
            resources={**build_resources(), **(resources or {})},
            executor=dg.in_process_executor,
        ),
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Return the definitions that `dg` and the code server load: partitions begin where the deployment does.

    Dagster calls it when it loads the code location. Only then the settings and the names of the lake's day folders are
    read; `build_definitions` reads no file. If they cannot be read, partitions begin at the fixed day.
    """
    built = build_definitions()
    try:
        places = Places.from_environment()
        configured = _configured(places)
        today = min(datetime.now(UTC), real_clock().now()).date()
        return begin_at(built, first_day(Lake(places.lake), today, configured))
    except (PipelineError, OSError) as error:
        logging.getLogger(__name__).warning("Partitions begin at %s: %s", FIRST_DAY, error)
        return built


def _configured(places: Places) -> date | None:
    """Return `[partitions] first_day`; None if the settings are invalid, which each run reports."""
    try:
        return load_settings(places.settings).partitions.first_day
    except PipelineError:
        return None
