"""Run one window in its own process: see `hostile.measured_window`."""

from __future__ import annotations

import json
import re
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import polars as pl

from tiktok_pipeline.capture import window
from tiktok_pipeline.capture.clock import RealClock
from tiktok_pipeline.capture.deployment import Deployment
from tiktok_pipeline.capture.replay import replay_hours
from tiktok_pipeline.config.access import Access
from tiktok_pipeline.config.settings import Responses, Retries, Settings
from tiktok_pipeline.errors import PipelineError
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.providers import VENDORS
from tiktok_pipeline.providers.vendor import Limits, Target
from tiktok_pipeline.resources import Pipeline
from tiktok_pipeline.tables import TABLES
from tiktok_pipeline_tests.raw_files import all_raw


def main(options: dict[str, object]) -> None:
    lake, table, creators = (
        Lake(Path(str(options["lake"]))),
        TABLES[str(options["table"])],
        int(str(options["creators"])),
    )
    limits = Limits(requests_per_second=10_000, max_in_flight=int(str(options.get("in_flight", 32))), timeout_s=20)
    settings = Settings(
        vendors=dict.fromkeys(VENDORS, limits),
        retries=Retries(attempts=2, backoff_seconds=0.01, circuit_failures=100_000),
        responses=Responses(deadline_seconds=float(str(options.get("deadline_s", 30)))),
    )
    secrets = {name: tuple("sandbox-secret" for _ in vendor.credential_variables) for name, vendor in VENDORS.items()}
    accesses = {name: Access(vendor, str(options["url"]), secrets[name]) for name, vendor in VENDORS.items()}
    targets = [Target(f"c{n}", f"creator{n}", user_id=str(10**18 + n)) for n in range(creators)]
    assert Pipeline().variables  # A run's process has imported Dagster as well.
    progress: list[str] = []
    here = Deployment(lake, settings, accesses, targets, progress=progress.append)
    begun = time.perf_counter()
    try:
        if options.get("replay"):
            hour = datetime(2026, 11, 2, 10, tzinfo=UTC)
            replay_hours(here, table, [hour, hour + timedelta(hours=1)], kind="sweep")
        else:
            window.sweep_now(here, table, RealClock(), "sweep-hostile")
    except PipelineError as error:
        progress.append(str(error))
    seconds = time.perf_counter() - begun
    # Not `getrusage`: its peak starts with that of the parent process.
    status = Path("/proc/self/status").read_text()
    peak_mb = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]
    counts = (
        all_raw(lake, table)
        .group_by("vendor", "outcome", "error", "http_status")
        .agg(rows=pl.len(), bytes=pl.col("body").str.len_bytes().sum())
        .sort("vendor", "outcome", "error", "http_status")
        .collect()
    )
    sys.stdout.write(
        msgspec.json.encode(
            {"peak_mb": peak_mb, "seconds": seconds, "rows": counts.to_dicts(), "progress": progress}
        ).decode()
        + "\n"
    )


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
