"""The mart `leaderboard`."""

from datetime import date

import dagster as dg
import polars as pl

from tiktok_pipeline.defs.asset_checks import Results
from tiktok_pipeline.defs.asset_metadata import describe, shown
from tiktok_pipeline.defs.marts.daily import DAILY_MART, around, before_any_capture, write_each_day
from tiktok_pipeline.partitions import neighbours
from tiktok_pipeline.resources import Pipeline
from tiktok_pipeline.tables import CREATORS, LEADERBOARD, RECAPS, STREAM_LIFT, STREAMS
from tiktok_pipeline.transforms.leaderboard import LOOKBACK_DAYS
from tiktok_pipeline.transforms.leaderboard import leaderboard as rank

_ABOUT = """
One board for each period (day, week of 7 days, month of 30), niche (`*` is all creators) and metric, as of the end of
the day. Ties share a rank. `rank_change` is positive for a rise, and null for a creator who had no rank before. Streams
count in the period of their start. Lift counts if it is observable and not confounded; boards of a week or a month
need three such lifts. `confident_rank` ranks by the lower bound. The lift of the last day is provisional.
"""


@dg.asset(
    deps=[
        neighbours(STREAMS.name, before=LOOKBACK_DAYS),
        neighbours(STREAM_LIFT.name, before=LOOKBACK_DAYS),
        neighbours(RECAPS.name, before=LOOKBACK_DAYS),
        CREATORS.name,
    ],
    description=describe(LEADERBOARD, _ABOUT),
    **DAILY_MART,
    **shown(LEADERBOARD),
)
def leaderboard(context: dg.AssetExecutionContext, pipeline: Pipeline) -> Results:
    """Rank the creators as of the end of each day."""
    lake = pipeline.lake
    creators = lake.scan_all(CREATORS).select("creator_id", "niche", "first_seen_at").collect()

    def rank_day(day: date) -> pl.DataFrame:
        # Of earlier days, only streams that went on into the first capture are known: too few for a ranking.
        if before_any_capture(lake, day):
            return LEADERBOARD.empty()
        window = around(day, day, before=LOOKBACK_DAYS, after=0)
        streams, lift, recaps = (lake.scan_days(table, *window).collect() for table in (STREAMS, STREAM_LIFT, RECAPS))
        return rank(streams, lift, recaps, creators, day)

    yield from write_each_day(context, pipeline, LEADERBOARD, rank_day, pl.col("as_of"), made_from=creators)
