"""Read from Dagster's events why steps failed."""

from __future__ import annotations

import dagster as dg


def failure_reason(event: dg.DagsterEvent) -> tuple[str, bool]:
    """Return the reason of a failed step, and whether the failure was expected: raised as `dg.Failure` with a text."""
    failure = event.step_failure_data
    if failure.user_failure_data is not None and failure.user_failure_data.description:
        return failure.user_failure_data.description, True
    if failure.error is None:
        return "", False
    return (failure.error.cause or failure.error).message.strip(), False
