"""A lake of two tables with the same generation."""

from __future__ import annotations

from datetime import date

from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.tables import COVERAGE, CREATORS
from tiktok_pipeline_tests.transforms.frames import frame

DAY = date(2026, 11, 2)


def fill(lake: Lake, generation: int, rows: int = 50) -> None:
    """Write two tables with the same generation, so that a reader can detect a mix."""
    creators = [
        {"creator_id": f"c{n}", "handle": f"c{n}", "followers": generation, "on_roster": True,
         "previous_handles": ["old", "older"]}
        for n in range(rows)
    ]  # fmt: skip
    lake.write_whole(CREATORS, frame(CREATORS, *creators))
    covered = [{"day": DAY, "creator_id": f"c{n}", "polls": generation, "known_polls": 0} for n in range(rows)]
    lake.write_day(COVERAGE, DAY, frame(COVERAGE, *covered))
