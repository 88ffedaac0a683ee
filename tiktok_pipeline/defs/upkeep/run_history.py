"""Deletion of superseded runs in Dagster's own records."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from tiktok_pipeline.defs.upkeep.group import UPKEEP
from tiktok_pipeline.resources import Pipeline

_ABOUT = """
Deletes runs, with their events and logs, that ended more than `[retention] run_days` ago and that a later run
superseded. Dagster's event log has no retention of its own: on SQLite a run of `derive` takes 1 MB, others 0.1 to 0.3.

A run stays, regardless of age, while it holds the newest materialization of any partition (without it, the partition
would look unmaterialized), and while there is no later run of the same job and partitions. Runs of upkeep also stay:
they are small, and their metadata shows the growth of the deployment.

Runs every day with the job `upkeep`.
"""

_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]

# Tags that identify a run's partitions, beside its job.
_PARTITION_TAGS = ("dagster/partition", "dagster/asset_partition_range_start", "dagster/asset_partition_range_end")

# The job whose metadata is the history of the deployment's size.
_STAYS = "upkeep"

_PAGE = 500


@dg.asset(description=_ABOUT, kinds={"dagster"}, **UPKEEP)
def run_history(context: dg.AssetExecutionContext, pipeline: Pipeline) -> dg.MaterializeResult[None]:
    """Delete superseded runs."""
    # Dagster dates its records by wall-clock time, even if the pipeline's clock is fast.
    before = datetime.now(UTC) - timedelta(days=pipeline.settings().retention.run_days)
    deleted = superseded_runs(context.instance, before)
    for run_id in deleted:
        delete_run(context.instance, run_id)
    return dg.MaterializeResult(metadata={"runs_deleted": len(deleted), "runs_kept": context.instance.get_runs_count()})


def superseded_runs(instance: dg.DagsterInstance, before: datetime) -> list[str]:
    """Return runs with their last update before `before` that are no longer needed, oldest first."""
    needed = _newest_makers(instance)
    newest: dict[tuple[str, ...], str] = {}
    old = []
    for record in _ended_runs(instance, before):
        run = record.dagster_run
        newest[run.job_name, *(run.tags.get(tag, "") for tag in _PARTITION_TAGS)] = run.run_id
        if run.job_name != _STAYS:
            old.append(run.run_id)
    needed.update(newest.values())
    return [run_id for run_id in old if run_id not in needed]


def delete_run(instance: dg.DagsterInstance, run_id: str) -> None:
    """Delete a run with its events and logs."""
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    instance.delete_run(run_id)
    # On SQLite the events of a run are in a file of their own, which Dagster empties and leaves.
    shard = getattr(instance.event_log_storage, "path_for_shard", None)
    if shard is not None:
        # SQLite keeps its journal beside the file while another process, such as the webserver, has it open.
        for suffix in ("", "-wal", "-shm"):
            Path(f"{shard(run_id)}{suffix}").unlink(missing_ok=True)


def _newest_makers(instance: dg.DagsterInstance) -> set[str]:
    """Return the runs that hold the newest materialization of an asset, or of one of its partitions."""
    makers: set[str] = set()
    for asset in instance.get_asset_keys():
        newest = instance.fetch_materializations(asset, limit=1).records
        makers.update(record.run_id for record in newest)
        by_partition = instance.get_latest_storage_id_by_partition(asset, dg.DagsterEventType.ASSET_MATERIALIZATION)
        events = list(by_partition.values())
        for begin in range(0, len(events), _PAGE):
            some = dg.AssetRecordsFilter(asset_key=asset, storage_ids=events[begin : begin + _PAGE])
            makers.update(record.run_id for record in instance.fetch_materializations(some, limit=_PAGE).records)
    return makers


def _ended_runs(instance: dg.DagsterInstance, before: datetime) -> Iterator[dg.RunRecord]:
    """Yield runs that ended, with their last update before `before`, oldest first, a page at a time."""
    ended = dg.RunsFilter(statuses=_ENDED, updated_before=before)
    cursor = None
    while page := instance.get_run_records(ended, limit=_PAGE, cursor=cursor, ascending=True):
        yield from page
        cursor = page[-1].dagster_run.run_id
