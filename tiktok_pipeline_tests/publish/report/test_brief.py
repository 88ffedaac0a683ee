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
    everyone = brief.scopes["*"]
    assert (everyone["clear_week"], everyone["lifts_week"], everyone["streams_week"]) == (2, 4, 6)


def test_coverage_of_a_board_is_the_observed_share_of_airtime(brief: Brief) -> None:
    row = brief.boards.filter(period="week", metric="hours_watched", creator_id="gap").row(0, named=True)
    assert row["coverage"] == pytest.approx(0.42)


def test_a_long_gap_between_readings_breaks_the_curve(brief: Brief) -> None:
    gap, ann = (brief.streams.filter(creator_id=each)["stream_id"][0] for each in ("gap", "ann"))
    assert brief.curves.filter(stream_id=gap)["viewers"].null_count() == 1
    assert brief.curves.filter(stream_id=ann)["viewers"].null_count() == 0


def test_a_thinned_curve_keeps_its_peak_and_gets_no_false_gap() -> None:
    count = 10 * CURVE_POINTS
    points = pl.DataFrame(
        {
            "stream_id": ["ann:1"] * count,
            "observed_at": [AS_OF + timedelta(minutes=3 * n) for n in range(count)],
            "viewers": [n % 97 for n in range(count)],
        },
        schema_overrides={"viewers": pl.Int64},
    )
    curve = briefs.thinned_curves(points)
    assert curve.height <= CURVE_POINTS
    assert curve["viewers"].null_count() == 0
    assert curve["viewers"].max() == 96
    assert curve["observed_at"].is_sorted()


def test_hours_are_summed_over_all_by_niche_and_by_creator(brief: Brief) -> None:
    sums = brief.hours.group_by("scope").agg(pl.col("airtime_s").sum())
    assert set(sums["scope"]) == {"all", "niche", "creator"}
    assert sums["airtime_s"].n_unique() == 1


def test_every_niche_and_creator_has_rows_in_every_section(tmp_path: Path) -> None:
    brief = read_brief(large(tmp_path, creators=120, days=2))
    everyone = brief.scopes["*"]
    assert everyone["n_streams"] == 240
    assert brief.live.height == everyone["live"] == 40, "every creator on air has a row"
    for frame in (brief.streams, brief.lifts, brief.boards, brief.coverage, brief.trends):
        assert frame["creator_id"].n_unique() == 120
    assert brief.hours.filter(scope="creator")["name"].n_unique() == 120
    assert brief.hours.filter(scope="niche")["name"].n_unique() == len(brief.scopes) - 1 == 40
    assert brief.depth is None


def test_a_roster_beyond_the_limit_carries_the_first_places_and_the_numbers_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(briefs, "CREATORS", 60)
    brief = read_brief(large(tmp_path, creators=120, days=2))
    assert brief.stats.height == 60
    assert brief.scopes["*"]["streams_week"] == 240
    assert sum(numbers["streams_week"] for niche, numbers in brief.scopes.items() if niche != "*") == 240
    first = brief.boards.filter(period="week", metric="lift")["rank"].head(briefs.BOARD).to_list()
    assert first == list(range(1, briefs.BOARD + 1))
    # 40 niches of three creators: their first places fit, not all the second ones.
    assert brief.depth == 1
    places = brief.boards.filter(period="week", metric="lift", niche_rank=1)
    assert places["niche"].n_unique() == 40


def test_numbers_of_a_niche_are_those_of_its_creators(brief: Brief) -> None:
    for niche, numbers in brief.scopes.items():
        rows = brief.stats if niche == "*" else brief.stats.filter(niche=niche)
        for name in ("streams_week", "airtime_s_week", "hours_watched_week", "live", "n_stories"):
            assert numbers[name] == pytest.approx(rows[name].sum() if rows[name].count() else None), (niche, name)


def test_without_a_snapshot_the_error_names_the_command_to_run(tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="run `derive`"):
        read_brief(tmp_path / "tiktok.duckdb")


def test_a_file_without_the_published_tables_is_refused_with_a_reason(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "other.duckdb")) as connection:
        connection.execute("CREATE TABLE t (a INTEGER)")
    with pytest.raises(PublishError, match="report was not made"):
        read_brief(tmp_path / "other.duckdb")
