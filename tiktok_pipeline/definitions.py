"""Assemble the deployment: everything under defs/, the resources, and one executor.

Runs execute in one process: a process per step would take five times as long as the steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import dagster as dg

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
    """Return the definitions that `dg` and the code server load."""
    return build_definitions()
