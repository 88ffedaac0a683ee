"""The published views over a lake that is small enough to check by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.publish.duckdb_file import LINK, publish
from tiktok_pipeline.publish.views import VIEWS
from tiktok_pipeline.tables import STREAMS
from tiktok_pipeline_tests import small_lake
from tiktok_pipeline_tests.small_lake import AS_OF, TODAY


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("views")
    small_lake.fill(Lake(folder / "lake"))
    with duckdb.connect(":memory:") as connection:
        publish(connection, Lake(folder / "lake"), folder / "warehouse", now=AS_OF + timedelta(hours=9), keep=1)
    return folder / "warehouse"


def rows(warehouse: Path, view: str) -> dict[str, dict[str, object]]:
    with duckdb.connect(str(warehouse / LINK), read_only=True) as reader:
        return {row["creator_id"]: row for row in reader.sql(f"SELECT * FROM {view}").pl().rows(named=True)}


def naive(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None)


def test_live_now_shows_the_last_reported_viewers(warehouse: Path) -> None:
    live = rows(warehouse, "live_now")
    assert live.keys() == {"on_air"}
    assert live["on_air"]["viewers"] == 321
    assert live["on_air"]["viewers_at"] == naive(AS_OF - timedelta(minutes=10))
    assert live["on_air"]["handle"] == "on_air.now"


def test_movers_compare_with_the_previous_day_and_two_medians(warehouse: Path) -> None:
    riser = rows(warehouse, "movers")["riser"]
    assert riser["day"] == TODAY
    assert (riser["hours_watched"], riser["previous_day"]) == (100.0, 40.0)
    # 40, 30, 20, 10 and three days off air; 20 known days within 28, of which 15 off air.
    assert riser["median_7d"] == 10.0
    assert (riser["median_28d"], riser["known_days_28d"]) == (0.0, 20)
    assert (riser["vs_previous_day"], riser["vs_median_7d"], riser["vs_median_28d"]) == (60.0, 90.0, 100.0)


def test_an_unknown_day_is_null_and_a_day_off_air_is_0(warehouse: Path) -> None:
    movers = rows(warehouse, "movers")
    assert movers["unseen"]["hours_watched"] is None
    assert movers["unseen"]["vs_median_28d"] is None
    assert movers["unseen"]["known_days_28d"] == 25
    assert (movers["quiet"]["hours_watched"], movers["quiet"]["vs_previous_day"]) == (0.0, 0.0)


def test_a_stream_without_viewer_counts_makes_the_day_unknown(warehouse: Path) -> None:
    mute = rows(warehouse, "movers")["mute"]
    assert (mute["hours_watched"], mute["previous_day"], mute["vs_previous_day"]) == (None, 7.0, None)


def test_only_creators_seen_off_air_went_dark(warehouse: Path) -> None:
    dark = rows(warehouse, "went_dark")
    assert dark.keys() == {"quiet"}
    assert dark["quiet"]["days_dark"] == 5
    assert dark["quiet"]["last_stream_ended_at"] == naive(AS_OF - timedelta(days=5, hours=4))
    assert dark["quiet"]["known_polls_3d"] == 27


def test_an_overview_has_one_row_a_stream_with_its_marts(warehouse: Path) -> None:
    with duckdb.connect(str(warehouse / LINK), read_only=True) as reader:
        overview = reader.sql("SELECT * FROM stream_overview").pl()
    streams = sum(len(streams_of_creator) for streams_of_creator in small_lake.HOURS_WATCHED.values())
    assert overview.height == overview["stream_id"].n_unique() == streams
    riser = overview.row(by_predicate=pl.col("stream_id") == "riser:0", named=True)
    assert (riser["lift"], riser["lift_flags"], riser["vendors"]) == (12.5, "few_placebo,late_before", "konbini,tikhub")
    assert overview.filter(stream_id="quiet:5")["lift"].to_list() == [None]


def test_leaderboard_today_shows_handles(warehouse: Path) -> None:
    board = rows(warehouse, "leaderboard_today")
    assert (board["riser"]["rank"], board["riser"]["handle"]) == (1, "riser.now")


def test_overviews_begin_with_names_and_give_durations_in_hours_and_minutes(warehouse: Path) -> None:
    with duckdb.connect(str(warehouse / LINK), read_only=True) as reader:
        for view in ("stream_overview", "leaderboard_today", "leaderboard_overview"):
            assert reader.sql(f"SELECT * FROM {view}").columns[:3] == ["handle", "display_name", "niche"]
        wrong = (
            "SELECT count(*) FROM stream_overview WHERE abs(airtime_min * 60 - airtime_s) > 1e-6 "
            "OR abs(airtime_h * 3600 - airtime_s) > 1e-6 "
            "OR abs(gap_since_previous_h * 3600 - gap_since_previous_s) > 1e-6 "
            "OR abs(detection_delay_min * 60 - detection_delay_s) > 1e-6"
        )
        assert reader.sql(wrong).fetchall() == [(0,)]
        hours = "SELECT count(*) FROM leaderboard_overview WHERE (value_h IS NOT NULL) <> (metric = 'airtime')"
        assert reader.sql(hours).fetchall() == [(0,)]
        every = "SELECT (SELECT count(*) FROM leaderboard_overview), (SELECT count(*) FROM leaderboard)"
        ((overview, board),) = reader.sql(every).fetchall()
        assert overview == board > 0


def test_an_overview_has_every_column_of_streams() -> None:
    assert {column.name for column in STREAMS.columns} <= {column.name for column in VIEWS["stream_overview"].columns}
