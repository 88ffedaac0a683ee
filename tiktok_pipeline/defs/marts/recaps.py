"""The mart `recaps`."""

from datetime import date, timedelta

import dagster as dg
import polars as pl

from tiktok_pipeline.defs.asset_checks import Results
from tiktok_pipeline.defs.asset_metadata import describe, shown
from tiktok_pipeline.defs.marts.daily import DAILY_MART, LONGEST_STREAM_DAYS, around, write_each_day
from tiktok_pipeline.partitions import neighbours
from tiktok_pipeline.resources import Pipeline
from tiktok_pipeline.tables import POST_OBSERVATIONS, RECAPS, STREAMS
from tiktok_pipeline.transforms.recaps import recaps as recognize

_ABOUT = """
A post gets a score from the words of its caption, in 16 languages, and from the time since a known stream. A score at
or above the threshold makes it a recap. It belongs to the newest stream that started before it, within 72 hours of the
end. `stream_id` is null if there is no such stream. Recaps without typical words (`this happened on live`) are missed.
With two streams within three days, the assigned stream may be the wrong one.
"""

# Views grow most in the first days; a later reading of an old post must not change a final day.
_READ_DAYS_AFTER = 2
# A stream ends at most 72 hours before its recap.
_ENDED_DAYS_BEFORE = 3
_STREAM_DAYS = _ENDED_DAYS_BEFORE + LONGEST_STREAM_DAYS


@dg.asset(
    deps=[
        neighbours(POST_OBSERVATIONS.name, before=1, after=_READ_DAYS_AFTER),
        neighbours(STREAMS.name, before=_STREAM_DAYS),
    ],
    description=describe(RECAPS, _ABOUT),
    **DAILY_MART,
    **shown(RECAPS),
)
def recaps(context: dg.AssetExecutionContext, pipeline: Pipeline) -> Results:
    """Recognize the recaps among the posts that were published on each day."""
    lake, settings = pipeline.lake, pipeline.settings().recaps

    def recognize_day(day: date) -> pl.DataFrame:
        # Include the day before: if vendors disagree on the day, the post belongs to the earlier one only.
        posts = lake.scan_days(POST_OBSERVATIONS, *around(day, day, before=1, after=_READ_DAYS_AFTER))
        streams = lake.scan_days(STREAMS, *around(day, day, before=_STREAM_DAYS, after=0)).filter(
            pl.coalesce("ended_at", "ended_at_lo").dt.date() >= day - timedelta(days=_ENDED_DAYS_BEFORE)
        )
        published = posts.filter(pl.col("published_at").min().over("creator_id", "post_id").dt.date() == day)
        return recognize(published.collect(), streams.collect(), settings=settings)

    yield from write_each_day(context, pipeline, RECAPS, recognize_day, pl.col("published_at").dt.date(), _numbers)


def _numbers(frame: pl.DataFrame) -> dict[str, float | int]:
    return {"of_known_streams": int(frame["stream_id"].is_not_null().sum()), "views": int(frame["views"].sum() or 0)}
