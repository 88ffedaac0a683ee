"""The leaderboard: ranks, shares, periods, niches and intervals."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl
import pytest

from tiktok_pipeline.tables import CREATORS, LEADERBOARD, RECAPS, STREAM_LIFT, STREAMS
from tiktok_pipeline.transforms.leaderboard import leaderboard
from tiktok_pipeline_tests.transforms.frames import frame, hours

TODAY = date(2026, 11, 2)

CREATOR_ROWS = frame(
    CREATORS,
    {"creator_id": "ana", "niche": "art", "on_roster": True, "first_seen_at": hours(-24 * 59.5)},
    {"creator_id": "bo", "niche": "art", "on_roster": True, "first_seen_at": hours(-24 * 13)},
    {"creator_id": "cy", "niche": "food", "on_roster": True, "first_seen_at": hours(-20)},
)


def stream(creator: str, start_h: float, airtime_h: float, **more: Any) -> dict[str, Any]:
    return {
        "stream_id": f"{creator}:{start_h}",
        "creator_id": creator,
        "started_at": hours(start_h),
        "airtime_s": airtime_h * 3600,
        "peak_viewers": 100,
        "hours_watched": airtime_h * 50,
        "average_viewers": 50.0,
    } | more


def lift(creator: str, start_h: float, value: float | None, half: float = 10.0, **more: Any) -> dict[str, Any]:
    bounds = {} if value is None else {"lift_lo": value - half, "lift_hi": value + half}
    return {
        "stream_id": f"{creator}:{start_h}", "creator_id": creator, "lift": value,
        "observable": value is not None,
    } | bounds | more  # fmt: skip


def board(
    streams: list[dict[str, Any]], lifts: list[dict[str, Any]], recaps: tuple[dict[str, Any], ...] = (), **where: str
) -> pl.DataFrame:
    whole = leaderboard(
        frame(STREAMS, *streams), frame(STREAM_LIFT, *lifts), frame(RECAPS, *recaps), CREATOR_ROWS, TODAY
    )
    wanted = {"period": "day", "niche": "*", "metric": "airtime"} | where
    return whole.filter(pl.all_horizontal(pl.col(k) == v for k, v in wanted.items())).sort("rank", "creator_id")


def test_ties_share_a_rank_and_the_next_rank_is_skipped() -> None:
    rows = board([stream("ana", 1, 2), stream("bo", 2, 2), stream("cy", 3, 1)], [])
    assert rows["creator_id"].to_list() == ["ana", "bo", "cy"]
    assert rows["rank"].to_list() == [1, 1, 3]
    assert rows["share"].to_list() == pytest.approx([0.4, 0.4, 0.2])


def test_a_niche_has_its_own_board() -> None:
    streams = [stream("ana", 1, 1), stream("bo", 2, 2), stream("cy", 3, 9)]
    assert board(streams, [], niche="art")["creator_id"].to_list() == ["bo", "ana"]
    assert board(streams, [], niche="food")["rank"].to_list() == [1]


def test_rank_change_is_against_the_previous_period_of_the_same_length() -> None:
    streams = [stream("ana", 1, 1), stream("bo", 2, 2), stream("ana", -20, 5), stream("bo", -20, 1)]
    rows = board([*streams, stream("cy", 3, 0.5)], [])
    assert rows["creator_id"].to_list() == ["bo", "ana", "cy"]
    assert rows["previous_rank"].to_list() == [2, 1, None]
    assert rows["rank_change"].to_list() == [1, -1, None]
    assert rows["is_new"].to_list() == [False, False, True]


def test_only_creators_polled_all_through_the_period_before_can_be_new() -> None:
    streams = [stream("ana", 1, 1), stream("bo", 2, 2), stream("cy", 3, 3)]
    for period, new in (("day", [True, True, True]), ("week", [True, True, None]), ("month", [True, None, None])):
        rows = board(streams, [], period=period).sort("creator_id")
        assert rows["is_new"].to_list() == new, period
        assert rows["rank_change"].to_list() == [None] * 3


def test_boards_of_lift_over_a_week_or_a_month_need_three_streams_with_a_lift() -> None:
    streams = [stream(creator, start, 1) for creator in ("ana", "bo") for start in (1, -24, -48)]
    lifts = [lift(s["creator_id"], at, 5) for s, at in zip(streams, (1, -24, -48) * 2, strict=True)]
    lifts[-1] |= {"flags": ["viral_overlap"]}
    for metric in ("lift", "lift_per_hour"):
        assert board(streams, lifts, metric=metric)["creator_id"].to_list() == ["ana", "bo"]
        for period in ("week", "month"):
            assert board(streams, lifts, metric=metric, period=period)["creator_id"].to_list() == ["ana"]
    assert board(streams, lifts, metric="streams", period="week")["value"].to_list() == [3, 3]


def test_an_uncertain_lift_leads_by_value_and_not_by_lower_bound() -> None:
    streams = [stream("ana", 1, 1), stream("bo", 2, 1), stream("cy", 3, 1)]
    lifts = [lift("ana", 1, 100, half=90), lift("bo", 2, 80, half=5), lift("cy", 3, 80, half=5)]
    rows = board(streams, lifts, metric="lift")
    assert rows["creator_id"].to_list() == ["ana", "bo", "cy"]
    assert rows["rank"].to_list() == [1, 2, 2]
    assert rows["confident_rank"].to_list() == [3, 1, 1]
    assert board(streams, lifts)["confident_rank"].to_list() == [None] * 3


def test_a_viral_stream_does_not_count_and_one_with_unknown_posts_does() -> None:
    streams = [stream("ana", 1, 1), stream("ana", 5, 1), stream("ana", 9, 1)]
    flags: tuple[list[str], ...] = (["viral_overlap"], ["viral_unknown"], [])
    lifts = [lift("ana", start, 10, flags=flag) for start, flag in zip((1, 5, 9), flags, strict=True)]
    assert board(streams, lifts, metric="lift")["value"].to_list() == [20]


def test_periods_end_with_the_day() -> None:
    streams = [stream("ana", 1, 1), stream("ana", -24 * 6, 1), stream("ana", -24 * 7, 1), stream("ana", -24 * 29, 1)]
    for period, hours_on_air in (("day", 1), ("week", 2), ("month", 4)):
        assert board(streams, [], period=period)["value"].to_list() == [hours_on_air * 3600]
    assert board(streams, [], period="week")["previous_rank"].to_list() == [1]


def test_average_viewers_are_a_ratio_of_sums() -> None:
    streams = [
        stream("ana", 1, 1, hours_watched=100.0, average_viewers=100.0),
        stream("ana", 5, 3, hours_watched=30.0, average_viewers=10.0),
    ]
    assert board(streams, [], metric="average_viewers")["value"].to_list() == pytest.approx([130 / 4])


def test_a_sum_of_lifts_has_an_interval_between_independent_and_dependent_errors() -> None:
    streams = [stream("ana", 1, 1), stream("ana", 5, 1)]
    rows = board(streams, [lift("ana", 1, 100), lift("ana", 5, 50)], metric="lift")
    assert rows["value"].to_list() == [150]
    half = rows["value_hi"][0] - rows["value"][0]
    assert 10 * 2**0.5 < half < 20
    assert rows["value"][0] - rows["value_lo"][0] == pytest.approx(half)
    per_hour = board(streams, [lift("ana", 1, 100), lift("ana", 5, 50)], metric="lift_per_hour")
    assert per_hour["value"].to_list() == [75]


def test_errors_shared_by_a_creators_streams_add_up_in_a_sum() -> None:
    streams = [stream("ana", 1, 1), stream("ana", 4, 1)]

    def half(shared: float) -> float:
        lifts = [lift("ana", start, 50, half=10, lift_shared=shared) for start in (1, 4)]
        rows = board(streams, lifts, metric="lift")
        return float(rows["value_hi"][0] - rows["value"][0])

    assert half(10.0) == pytest.approx(20.0)
    assert 10 * 2**0.5 < half(0.0) < half(6.0) < 20.0
    # More than the whole interval cannot be shared.
    assert half(99.0) == pytest.approx(20.0)


def test_unobservable_or_confounded_lifts_are_left_out_and_not_zero() -> None:
    streams = [stream("ana", 1, 1), stream("bo", 2, 1), stream("cy", 3, 1)]
    lifts = [
        lift("ana", 1, None),
        lift("bo", 2, 900, flags=["viral_overlap"]),
        lift("cy", 3, -5, flags=["few_placebo"]),
    ]
    rows = board(streams, lifts, metric="lift")
    assert rows["creator_id"].to_list() == ["cy"]


def test_streams_with_unknown_viewers_are_on_no_viewer_board() -> None:
    unseen = {"peak_viewers": None, "hours_watched": None, "average_viewers": None}
    streams = [stream("ana", 1, 1, **unseen)]
    for metric in ("peak_viewers", "hours_watched", "average_viewers"):
        assert board(streams, [], metric=metric).is_empty()
    assert board(streams, [], metric="active_days")["value"].to_list() == [1]


def test_no_streams_give_an_empty_board_with_the_right_columns() -> None:
    empty = leaderboard(STREAMS.empty(), STREAM_LIFT.empty(), RECAPS.empty(), CREATOR_ROWS, TODAY)
    assert empty.schema == LEADERBOARD.schema
    assert empty.is_empty()


def test_recaps_count_on_their_day_of_publishing_also_without_a_stream() -> None:
    published = {"ana": (1, 2, -23), "cy": (3,), "bo": (-30, -31)}
    recaps = tuple(
        {"creator_id": creator, "post_id": f"{creator}{hour}", "published_at": hours(hour)}
        for creator, when in published.items()
        for hour in when
    )
    today = board([stream("bo", 1, 1)], [], recaps, metric="recaps")
    assert today.select("creator_id", "value", "rank", "share").rows() == [("ana", 2, 1, 2 / 3), ("cy", 1, 2, 1 / 3)]
    assert today["previous_rank"].to_list() == [1, None]
    assert board([], [], recaps, metric="recaps", period="week")["value"].to_list() == [3, 2, 1]
    assert board([], [], recaps, metric="recaps", niche="art")["creator_id"].to_list() == ["ana"]
