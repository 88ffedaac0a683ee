"""The mart `creators`."""

from datetime import date, timedelta

import dagster as dg
import polars as pl

from tiktok_pipeline.defs.asset_checks import Results
from tiktok_pipeline.defs.asset_metadata import describe, shown
from tiktok_pipeline.defs.marts.daily import write_whole
from tiktok_pipeline.derive.decoded import DecodedHours
from tiktok_pipeline.derive.sightings import history, listed_accounts, summary_of
from tiktok_pipeline.lake.remembered import Remembered, chained_keys, day_identities, longest, modules_version
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.resources import Pipeline
from tiktok_pipeline.tables import ACCOUNT_SIGHTINGS, CREATORS, PROFILE_OBSERVATIONS
from tiktok_pipeline.transforms import creators as transform
from tiktok_pipeline.transforms.creators import COLUMNS, sufficient_rows
from tiktok_pipeline.transforms.creators import creators as identify
from tiktok_pipeline.transforms.identity import identities

_ABOUT = """
All creators that are or were on the roster. `creator_id` does not change with a rename; `previous_handles` lists old
handles. Counts have the best precision that a vendor returned in the last week. `identified_by` is the source of the
account. `handle_taken_by` is the other account that vendors now return for the handle, if any.
"""


@dg.asset(
    deps=[
        dg.AssetDep(table.name, partition_mapping=dg.AllPartitionMapping())
        for table in (PROFILE_OBSERVATIONS, ACCOUNT_SIGHTINGS)
    ],
    description=describe(CREATORS, _ABOUT),
    **shown(CREATORS),
)
def creators(pipeline: Pipeline) -> Results:
    """Replace the table with the current state."""
    roster = pl.DataFrame(
        [
            {"creator_id": c.creator_id, "handle": c.handle, "niche": c.niche, "tier": c.tier}
            | {"user_id": c.user_id, "sec_uid": c.sec_uid}
            for c in pipeline.roster().creators
        ],
        schema=dict.fromkeys(("creator_id", "handle", "niche", "tier", "user_id", "sec_uid"), pl.String),
    )

    def make() -> pl.DataFrame:
        lake = pipeline.lake
        newest = max(lake.days(PROFILE_OBSERVATIONS), default=date.min)
        decoded = DecodedHours.of(lake, pipeline.hash_key(), pipeline.settings().checks.shape_bodies)
        seen = history(decoded, newest + timedelta(days=1))
        summary = summary_of(lake, newest + timedelta(days=1))
        known = identities(seen, listed_accounts(pipeline.roster()), summary=summary)
        return identify(roster, profile_history(lake), known, seen, summary)

    yield from write_whole(pipeline, CREATORS, make, _numbers)


def profile_history(lake: Lake) -> pl.DataFrame:
    """Return the rows of all days of PROFILE_OBSERVATIONS that determine the mart.

    Days are read one by one. The result of older days is stored under the identities of their files, so that a day is
    read again only if its file, or that of an earlier day, was replaced.
    """
    remembered = Remembered(lake, "profile-history", most=16)
    files = day_identities(lake, PROFILE_OBSERVATIONS, lake.days(PROFILE_OBSERVATIONS))
    days, keys = sorted(files), chained_keys(modules_version(transform), files)
    stored, done = longest(keys, remembered.get)
    rows = PROFILE_OBSERVATIONS.empty().select(COLUMNS) if stored is None else stored
    for number in range(done, len(days)):
        of_day = lake.scan_days(PROFILE_OBSERVATIONS, days[number], days[number]).select(COLUMNS)
        rows = sufficient_rows(pl.concat([rows, sufficient_rows(of_day)]))
        # The newest day changes with the next derive.
        if number == len(days) - 2 and not lake.damaged.all():
            remembered.put(keys[number + 1], rows)
    return rows


def _numbers(frame: pl.DataFrame) -> dict[str, int]:
    return {"on_roster": int(frame["on_roster"].sum()), "never_seen": int(frame["last_seen_at"].is_null().sum())} | {
        "handles_taken": int(frame["handle_taken_by"].is_not_null().sum())
    }
