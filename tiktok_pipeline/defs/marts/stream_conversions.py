"""The mart `stream_conversions`."""

from datetime import date

import dagster as dg
import polars as pl

from tiktok_pipeline.defs.asset_checks import Results
from tiktok_pipeline.defs.asset_metadata import describe, shown
from tiktok_pipeline.defs.marts.daily import (
    DAILY_MART,
    LONGEST_STREAM_DAYS,
    OVER_MIDNIGHT_DAYS,
    around,
    last_day_on_air,
    write_each_day,
)
from tiktok_pipeline.partitions import neighbours
from tiktok_pipeline.resources import Pipeline
from tiktok_pipeline.tables import FOLLOWER_LIST_ENTRIES, STREAM_CONVERSIONS, STREAMS
from tiktok_pipeline.transforms.stream_conversions import stream_conversions as compare

_ABOUT = """
Compares the newest followers of the last list before a stream with those of the first list after it. It counts all
followers who joined between the lists, for any reason. The two lists must overlap, lie within a day of the stream and
have no other stream between them; `flags` give the reason of a missing number. Lists hide banned accounts and end after
some pages: use `lift` for the total gain of a stream, and this table for the share of viewers who followed.

The declared dependency covers streams over one midnight: a stream over more nights extends it.
"""

# Lists lie at most a day before the start and a day after the end.
_REACH_DAYS = 1


@dg.asset(
    deps=[
        neighbours(STREAMS.name, before=_REACH_DAYS + LONGEST_STREAM_DAYS, after=_REACH_DAYS + OVER_MIDNIGHT_DAYS),
        neighbours(FOLLOWER_LIST_ENTRIES.name, before=_REACH_DAYS, after=_REACH_DAYS + OVER_MIDNIGHT_DAYS),
    ],
    description=describe(STREAM_CONVERSIONS, _ABOUT),
    **DAILY_MART,
    **shown(STREAM_CONVERSIONS),
)
def stream_conversions(context: dg.AssetExecutionContext, pipeline: Pipeline) -> Results:
    """Compare the lists around the streams that started on each day."""
    lake, settings = pipeline.lake, pipeline.settings().conversions

    def compare_day(day: date) -> pl.DataFrame:
        last = last_day_on_air(lake.scan_days(STREAMS, day, day).collect(), day)
        reached = around(day, last, before=_REACH_DAYS, after=_REACH_DAYS)
        # Streams that began long before may also lie between the lists.
        neighbours_of = around(*reached, before=LONGEST_STREAM_DAYS, after=0)
        streams = lake.scan_days(STREAMS, *neighbours_of).filter(
            pl.coalesce("ended_at", "ended_at_lo").dt.date() >= reached[0]
        )
        entries = lake.scan_days(FOLLOWER_LIST_ENTRIES, *reached)
        return compare(streams.collect(), entries.collect(), settings=settings)

    yield from write_each_day(
        context, pipeline, STREAM_CONVERSIONS, compare_day, pl.col("started_at").dt.date(), _numbers
    )


def _numbers(frame: pl.DataFrame) -> dict[str, float | int]:
    return {
        "told": int(frame["joined"].is_not_null().sum()),
        "joined": int(frame["joined"].sum() or 0),
        "conversions": int(frame["conversion"].is_not_null().sum()),
    }
