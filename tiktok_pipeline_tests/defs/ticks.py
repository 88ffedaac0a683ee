"""Evaluate ticks as Dagster's code server does: with the resources of the definitions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from dagster._core.definitions.schedule_definition import ScheduleExecutionData
    from dagster._core.definitions.sensor_definition import SensorExecutionData


def schedule_tick(
    repository: dg.RepositoryDefinition, instance: dg.DagsterInstance, name: str, at: datetime | None = None
) -> ScheduleExecutionData:
    """Evaluate a tick of a schedule, now or `at` another time."""
    with dg.build_schedule_context(
        instance=instance,
        scheduled_execution_time=at or datetime.now(UTC),
        repository_def=repository,
        resources=repository.get_top_level_resources(),
    ) as context:
        return repository.get_schedule_def(name).evaluate_tick(context)


def sensor_tick(
    repository: dg.RepositoryDefinition, instance: dg.DagsterInstance, name: str, cursor: str | None = None
) -> SensorExecutionData:
    """Evaluate a tick of a sensor."""
    with dg.build_sensor_context(
        instance=instance,
        cursor=cursor,
        repository_def=repository,
        resources=repository.get_top_level_resources(),
    ) as context:
        return repository.get_sensor_def(name).evaluate_tick(context)
