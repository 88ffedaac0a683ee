"""Data that the report reads from a snapshot."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from tiktok_pipeline.errors import PublishError
from tiktok_pipeline.publish.report import brief as briefs
from tiktok_pipeline.publish.report.brief import CURVE_POINTS, Brief, read_brief
from tiktok_pipeline_tests.publish.report.rosters import AS_OF, large


def test_the_time_is_the_snapshots(brief: Brief) -> None:
    assert brief.as_of == AS_OF.replace(tzinfo=None)
    assert brief.last_whole_day == (AS_OF - timedelta(days=1)).date()


def test_live_dark_and_moving_creators_are_read(brief: Brief) -> None:
    assert brief.live["creator_id"].to_list() == ["ann"]
    assert brief.dark["creator_id"].to_list() == ["zoe"]
    moved = dict(brief.movers.select("creator_id", "vs_previous_day").iter_rows())
    assert moved["ann"] > 0 > moved["max"]
    assert "zoe" not in moved


def test_only_measurable_lifts_are_ranked_and_by_lower_bound(brief: Brief) -> None:
    assert brief.lifts["creator_id"].to_list() == ["ann", "gap", "eve", "zoe"]
    assert brief.totals["lifts_clear"] == 2
    assert brief.totals["lifts_seen"] == 4
    assert brief.totals["lifts_all"] == 6


def test_coverage_of_a_board_is_the_observed_share_of_airtime(brief: Brief) -> None:
    row = brief.boards.filter(period="week", metric="hours_watched", creator_id="gap").row(0, named=True)
    assert row["coverage"] == pytest.approx(0.42)


def test_a_long_gap_between_readings_breaks_the_curve(brief: Brief) -> None:
    gap, ann = (brief.streams.filter(creator_id=each)["stream_id"][0] for each in ("gap", "ann"))
    assert brief.curves[gap]["viewers"].null_count() == 1
    assert brief.curves[ann]["viewers"].null_count() == 0


def test_a_thinned_curve_keeps_its_peak_and_gets_no_false_gap() -> None:
    count = 10 * CURVE_POINTS
    points = pl.DataFrame(
        {
            "observed_at": [AS_OF + timedelta(minutes=3 * n) for n in range(count)],
            "viewers": [n % 97 for n in range(count)],
        },
        schema_overrides={"viewers": pl.Int64},
    )
    curve = briefs._curve(points)
    assert curve.height <= CURVE_POINTS
    assert curve["viewers"].null_count() == 0
    assert curve["viewers"].max() == 96
    assert curve["observed_at"].is_sorted()


def test_hours_are_summed_over_all_by_niche_and_by_creator(brief: Brief) -> None:
    sums = brief.hours.group_by("scope").agg(pl.col("airtime_s").sum())
    assert set(sums["scope"]) == {"all", "niche", "creator"}
    assert sums["airtime_s"].n_unique() == 1


def test_a_large_roster_is_truncated_with_the_total_count(tmp_path: Path) -> None:
    brief = read_brief(large(tmp_path, creators=120, days=2))
    assert brief.live.height == briefs.LIVE < brief.counts["live"]
    assert brief.streams.height == briefs.CARDS < brief.counts["streams"] == 240
    assert brief.coverage["creator_id"].n_unique() == briefs.WATCHED < brief.counts["coverage"]
    assert brief.boards.group_by("period", "niche", "metric").len()["len"].max() == briefs.BOARD
    assert brief.hours.filter(scope="creator")["name"].n_unique() == briefs.HEAT_CREATORS
    assert brief.hours.filter(scope="niche")["name"].n_unique() == briefs.NICHES < brief.counts["niches"]


def test_without_a_snapshot_the_error_names_the_command_to_run(tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="run `derive`"):
        read_brief(tmp_path / "tiktok.duckdb")


def test_a_file_without_the_published_tables_is_refused_with_a_reason(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "other.duckdb")) as connection:
        connection.execute("CREATE TABLE t (a INTEGER)")
    with pytest.raises(PublishError, match="report was not made"):
        read_brief(tmp_path / "other.duckdb")
