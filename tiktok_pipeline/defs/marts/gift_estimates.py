"""The mart `gift_estimates`."""

from datetime import date

import dagster as dg
import polars as pl

from tiktok_pipeline.config.known_gifts import read_known_gifts
from tiktok_pipeline.defs.asset_checks import Results
from tiktok_pipeline.defs.asset_metadata import describe, shown
from tiktok_pipeline.defs.marts.daily import DAILY_MART, OVER_MIDNIGHT_DAYS, around, last_day_on_air, write_each_day
from tiktok_pipeline.lake.reads import Once
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.partitions import neighbours
from tiktok_pipeline.resources import Pipeline, plain_failures
from tiktok_pipeline.tables import CREATORS, GIFT_ESTIMATES, LIVE_OBSERVATIONS, RECAPS, STREAM_LIFT, STREAMS
from tiktok_pipeline.transforms.gift_estimates import COMPARED_DAYS, gift_signals
from tiktok_pipeline.transforms.gift_estimates import gift_estimates as estimate

_ABOUT = """
Vendors do not report gifts. `gift_index` ranks a stream among those of its follower tier in the last seven days, by
observable signals; it has no unit. `low`, `mid` and `high` are diamonds. They are null unless `[gifts]` in the settings
names a file of streams with known gifts. Then they are a 90 % range, often a factor of ten wide. Never add them up, and
never use them to explain lift: lift is one of the signals.

The declared dependency covers streams over one midnight, and not the streams with known gifts: those are read on
whichever day they were.
"""

# Recaps of a stream are posted until three days after it.
_RECAP_DAYS = 3


@dg.asset(
    deps=[
        neighbours(STREAMS.name, before=COMPARED_DAYS - 1),
        neighbours(STREAM_LIFT.name, before=COMPARED_DAYS - 1),
        neighbours(RECAPS.name, before=COMPARED_DAYS - 1, after=OVER_MIDNIGHT_DAYS + _RECAP_DAYS),
        neighbours(LIVE_OBSERVATIONS.name, before=COMPARED_DAYS - 1, after=OVER_MIDNIGHT_DAYS),
        CREATORS.name,
    ],
    description=describe(GIFT_ESTIMATES, _ABOUT),
    **DAILY_MART,
    **shown(GIFT_ESTIMATES),
)
def gift_estimates(context: dg.AssetExecutionContext, pipeline: Pipeline) -> Results:
    """Estimate the gifts of the streams that started on each day."""
    lake = pipeline.lake
    with plain_failures():
        known = read_known_gifts(pipeline.settings().gifts.path)
    creators = Once(lambda: lake.scan_all(CREATORS).select("creator_id", "followers").collect())
    training = Once(lambda: _signals_of(lake, known["stream_id"], creators()))

    def estimate_day(day: date) -> pl.DataFrame:
        week = _signals(lake, *around(day, day, before=COMPARED_DAYS - 1, after=0), creators())
        signals = pl.concat([week, *training()]).unique("stream_id", keep="first", maintain_order=True)
        return estimate(day, signals, known)

    yield from write_each_day(context, pipeline, GIFT_ESTIMATES, estimate_day, pl.col("started_at").dt.date(), _numbers)


def _signals(lake: Lake, first: date, last: date, creators: pl.DataFrame) -> pl.DataFrame:
    """Return the signals of the streams that started from `first` to `last`."""
    streams = lake.scan_days(STREAMS, first, last).collect()
    over = last_day_on_air(streams, last)
    gifters = lake.scan_days(LIVE_OBSERVATIONS, first, over).filter(pl.col("gifters").is_not_null())
    return gift_signals(
        streams,
        lake.scan_days(STREAM_LIFT, first, last).collect(),
        lake.scan_days(RECAPS, *around(first, over, before=0, after=_RECAP_DAYS)).collect(),
        gifters.collect(),
        creators,
    )


def _signals_of(lake: Lake, stream_ids: pl.Series, creators: pl.DataFrame) -> list[pl.DataFrame]:
    """Return the signals of single streams of any day, by day; streams that the lake does not have are skipped."""
    requested = lake.scan_all(STREAMS).filter(pl.col("stream_id").is_in(stream_ids.implode()))
    days = requested.select(pl.col("started_at").dt.date().unique().sort()).collect().to_series()
    return [_signals(lake, day, day, creators).filter(pl.col("stream_id").is_in(stream_ids.implode())) for day in days]


def _numbers(frame: pl.DataFrame) -> dict[str, float | int]:
    return {
        "with_index": int(frame["gift_index"].is_not_null().sum()),
        "with_range": int(frame["high"].is_not_null().sum()),
    }
