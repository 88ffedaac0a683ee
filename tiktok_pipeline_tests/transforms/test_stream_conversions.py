"""Compare follower lists around a stream: known joins and leaves, and values that must stay null."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiktok_pipeline.config.settings import Conversions
from tiktok_pipeline.tables import FOLLOWER_LIST_ENTRIES, STREAMS
from tiktok_pipeline.transforms.stream_conversions import stream_conversions
from tiktok_pipeline_tests.transforms.frames import frame, hours

Row = dict[str, Any]


def stream(start: float = 10, end: float | None = 11, **more: Any) -> Row:
    creator = more.get("creator_id", "ana")
    return {
        "stream_id": f"{creator}:{start}", "creator_id": creator, "started_at": hours(start), "viewers_total": 1_000,
        "ended_at": None if end is None else hours(end), "ended_at_lo": hours(start if end is None else end),
    } | more  # fmt: skip


def walk(
    hour: float, followers: Sequence[object], *, total: int | None = 100_000, size: int = 50, **more: Any
) -> list[Row]:
    """Return a list as walked at an hour, newest follower first, in pages."""
    vendor = more.get("vendor", "tikliveapi")
    return [
        {
            "creator_id": "ana", "vendor": vendor, "observed_at": hours(hour + place // size / 3600),
            "capture_id": f"{vendor}-{hour}-{place // size}", "follower_key": str(follower), "page": place // size,
            "position": place % size + 1, "list_total": total,
        } | more
        for place, follower in enumerate(followers)
    ]  # fmt: skip


def conversion(*entries: list[Row], streams: Sequence[Row] = (), **constants: Any) -> Row:
    """Return the conversion of the first stream."""
    of = list(streams) or [stream()]
    rows = stream_conversions(
        frame(STREAMS, *of),
        frame(FOLLOWER_LIST_ENTRIES, *(row for rows in entries for row in rows)),
        settings=Conversions(**constants),
    ).rows(named=True)
    assert len(rows) == len(of)
    return next(row for row in rows if row["stream_id"] == of[0]["stream_id"])


OLD = list(range(1_000, 900, -1))
NEW = [f"new{n}" for n in range(7)]


def test_followers_above_the_shared_ones_have_joined() -> None:
    row = conversion(walk(9.5, OLD), walk(11.5, [*NEW, *OLD][:100]))
    assert (row["joined"], row["left_recent"], row["compared"]) == (7, 0, 93)
    assert (row["list_seen"], row["list_total"], row["complete"]) == (100, 100_000, False)
    assert row["conversion"] == 0.007
    assert (row["before_at"], row["after_at"], row["vendor"]) == (hours(9.5), hours(11.5), "tikliveapi")
    assert row["flags"] == []


def test_leaving_followers_are_counted_only_where_both_lists_reach() -> None:
    stayed = [key for key in OLD if key not in (999, 950, 901)]
    row = conversion(walk(9.5, OLD), walk(11.5, [*NEW, *stayed][:60]))
    # 950 has left and is in reach; 901 may still follow, below the end of the walk.
    assert (row["joined"], row["left_recent"], row["left"]) == (7, 2, None)


def test_an_old_follower_that_moves_up_because_others_left_has_not_joined() -> None:
    row = conversion(walk(9.5, OLD), walk(11.5, [*NEW, *OLD[5:], 900, 899, 898]))
    assert (row["joined"], row["left_recent"]) == (7, 5)


def test_lists_without_overlap_give_null_and_not_all_joined() -> None:
    row = conversion(walk(9.5, OLD), walk(11.5, [f"new{n}" for n in range(100)]))
    assert (row["joined"], row["left_recent"], row["conversion"]) == (None, None, None)
    assert row["flags"] == ["lists_do_not_meet"]
    returned = conversion(walk(9.5, OLD), walk(11.5, [999, *(f"new{n}" for n in range(99))]))
    assert returned["joined"] is None, "one who went and came back does not make two lists meet"


def test_complete_lists_give_the_total_of_leaving_followers() -> None:
    before, after = [1, 2, 3, 4, 5], ["x", "y", 2, 3]
    row = conversion(walk(9.5, before, total=5), walk(11.5, after, total=4))
    assert (row["joined"], row["left"], row["complete"]) == (2, 3, True)
    emptied = conversion(walk(9.5, before, total=5), walk(11.5, ["x"], total=1))
    assert (emptied["joined"], emptied["left"]) == (1, 5)
    unknown = conversion(walk(9.5, before, total=None), walk(11.5, after, total=None))
    assert (unknown["complete"], unknown["left"]) == (None, None)


def test_a_missing_page_ends_the_list_there() -> None:
    after = walk(11.5, [*NEW, *OLD][:100])
    without = [row for row in walk(9.5, OLD, size=20) if row["page"] != 1]
    row = conversion(without, after)
    assert (row["joined"], row["compared"]) == (7, 20)


def test_without_a_list_on_each_side_the_result_is_null() -> None:
    assert conversion(walk(11.5, OLD))["flags"] == ["no_list_before"]
    assert conversion(walk(9.5, OLD))["flags"] == ["no_list_after"]
    neither = conversion()
    assert (neither["joined"], neither["complete"], neither["vendor"]) == (None, None, None)
    assert neither["flags"] == ["no_list_after", "no_list_before"]
    far = conversion(walk(-15, OLD), walk(36, OLD))
    assert far["flags"] == ["no_list_after", "no_list_before"]


def test_a_list_from_the_first_minutes_of_the_stream_counts_as_before_and_is_flagged() -> None:
    row = conversion(walk(2, OLD[10:]), walk(10.1, OLD), walk(11.5, [*NEW, *OLD]))
    assert (row["joined"], row["flags"], row["before_at"]) == (7, ["late_before"], hours(10.1))
    later = conversion(walk(2, OLD[10:]), walk(10.3, OLD), walk(11.5, [*NEW, *OLD]))
    assert later["before_at"] == hours(2)
    short = conversion(walk(10.1, OLD), streams=[stream(10, 10.05)])
    assert short["before_at"] is None, "a list from after the end is not one from before it"


def test_lists_far_from_the_stream_give_joined_and_no_conversion() -> None:
    row = conversion(walk(0, OLD), walk(24, [*NEW, *OLD]))
    assert (row["joined"], row["conversion"], row["flags"]) == (7, None, ["wide_bracket"])
    assert conversion(walk(0, OLD), walk(24, [*NEW, *OLD]), tight_hours=20.0)["conversion"] == 0.007


def test_streams_that_share_their_lists_cannot_be_distinguished() -> None:
    lists = walk(9.5, OLD), walk(15, [*NEW, *OLD])
    row = conversion(*lists, streams=[stream(), stream(13, 14)])
    assert (row["joined"], row["conversion"]) == (None, None)
    assert row["flags"] == ["shared_bracket", "wide_bracket"]
    assert conversion(*lists, streams=[stream(), stream(13, 14, creator_id="bo"), stream(16, 17)])["joined"] == 7


def test_lists_of_two_vendors_are_never_compared() -> None:
    row = conversion(walk(9.5, OLD, vendor="social_fetch"), walk(11.5, [*NEW, *OLD]))
    assert row["joined"] is None
    both = conversion(
        walk(2, OLD, vendor="social_fetch"), walk(20, OLD, vendor="social_fetch"),
        walk(9.5, OLD), walk(11.5, [*NEW, *OLD]),
    )  # fmt: skip
    assert (both["joined"], both["vendor"]) == (7, "tikliveapi")


def test_a_stream_without_an_end_or_without_viewers_has_no_conversion() -> None:
    lists = walk(9.5, OLD), walk(11.5, [*NEW, *OLD])
    assert conversion(*lists, streams=[stream(10, None)])["flags"] == ["no_end"]
    for viewers in (None, 0):
        row = conversion(*lists, streams=[stream(viewers_total=viewers)])
        assert (row["joined"], row["conversion"]) == (7, None)


def test_a_follower_on_two_pages_counts_once() -> None:
    row = conversion(walk(9.5, OLD), walk(11.5, [*NEW, NEW[0], *OLD]))
    assert (row["joined"], row["list_seen"]) == (7, 107)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 60), st.sets(st.integers(0, 199)), st.integers(20, 120), st.integers(20, 120))
def test_counts_equal_the_truth(joined: int, left: set[int], depth_before: int, depth_after: int) -> None:
    """A list of 200 of which some leave while others join: every value that is not null is true."""
    members = [f"old{n}" for n in range(200)]
    after = [*(f"new{n}" for n in range(joined)), *(key for n, key in enumerate(members) if n not in left)]
    row = conversion(walk(9.5, members[:depth_before]), walk(11.5, after[:depth_after]))
    if row["joined"] is None:
        assert "lists_do_not_meet" in row["flags"]
        return
    assert row["joined"] == joined
    assert row["left_recent"] == len([n for n in left if n < row["compared"]])
    assert row["compared"] <= depth_before


def test_the_order_of_the_entries_changes_nothing() -> None:
    before, after = walk(9.5, OLD), walk(11.5, [*NEW, *OLD])
    assert conversion(before, after) == conversion(after[::-1], before[::-1])


@pytest.mark.parametrize("constants", [{"reach_hours": 25.0}, {"tight_hours": 0.0}, {"late_minutes": -1.0}])
def test_settings_that_need_more_than_the_neighbouring_days_are_refused(constants: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="hours"):
        Conversions(**constants)
