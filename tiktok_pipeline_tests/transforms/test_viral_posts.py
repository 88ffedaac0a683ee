"""The flag of viral posts of a lift: viral, harmless, or unknown."""

from __future__ import annotations

from typing import Any

import pytest

from tiktok_pipeline.tables import POST_OBSERVATIONS
from tiktok_pipeline_tests.transforms.counts import END, START, captured, every, lift_of, stream, with_lift
from tiktok_pipeline_tests.transforms.frames import frame

COUNTS = every(15, with_lift(300))
AFTER = END + 1

# Six old posts, polled every six hours: each has a thousand views at the age of a day.
USUAL = [
    row for n in range(6) for row in captured(f"old-{n}", 6.0 * n, {6.0 * n + 6 * k: 250 * k for k in range(1, 5)})
]
# The sweeps continue until after the window, so that posts published in it are known.
SEEN_AFTER = captured("old-5", 30.0, {AFTER + 3: 1_500})


def viral_flag(*posts: dict[str, Any], usual: list[dict[str, Any]] = USUAL, **more: Any) -> str | None:
    row = lift_of(COUNTS, stream(), posts=frame(POST_OBSERVATIONS, *usual, *posts), **more)
    flags = [flag for flag in row["flags"] if flag.startswith("viral")]
    assert len(flags) <= 1
    assert row["flags"] == sorted(row["flags"])
    # A flag is a warning and does not suppress the estimate.
    assert row["observable"]
    return flags[0] if flags else None


def test_without_a_post_near_the_stream_no_flag_is_set() -> None:
    assert viral_flag(*SEEN_AFTER) is None


@pytest.mark.parametrize(("gained", "flag"), [(2_900, None), (3_100, "viral_overlap")])
def test_a_post_that_gains_three_usual_first_days_in_the_window_is_viral(gained: int, flag: str | None) -> None:
    before = captured("new", START - 20, {START - 6: 500, START: 1_000})
    assert viral_flag(*before, *captured("new", START - 20, {AFTER: 1_000 + gained}), *SEEN_AFTER) == flag


def test_views_between_captures_are_interpolated_linearly() -> None:
    # 12,000 in eight hours, of which the window has three: 4,500.
    assert viral_flag(*captured("new", START - 20, {START - 2: 0, START + 6: 12_000})) == "viral_overlap"
    assert viral_flag(*captured("new", START - 20, {START - 2: 0, START + 6: 7_000})) is None


def test_a_post_published_within_the_window_starts_at_zero() -> None:
    assert viral_flag(*captured("new", START + 1, {AFTER + 1: 6_000})) == "viral_overlap"
    assert viral_flag(*captured("new", START + 1, {AFTER + 1: 3_000})) is None


def test_posts_older_than_a_day_or_after_the_window_are_ignored() -> None:
    old = captured("new", START - 25, {START: 0, AFTER: 90_000})
    late = captured("late", AFTER + 0.5, {AFTER + 3: 90_000})
    assert viral_flag(*old, *late) is None


def test_without_polls_of_posts_the_flag_is_unknown() -> None:
    assert viral_flag(usual=[]) == "viral_unknown"
    assert viral_flag(*captured("theirs", START, {AFTER: 5}, creator_id="bo"), usual=[]) == "viral_unknown"


def test_until_a_sweep_after_the_window_the_flag_is_unknown() -> None:
    assert viral_flag() == "viral_unknown"
    assert viral_flag(*SEEN_AFTER, as_of=AFTER + 2) == "viral_unknown"
    # Views gained so far are enough.
    assert viral_flag(*captured("new", START - 20, {START: 10, END: 9_000})) == "viral_overlap"


def test_with_fewer_than_three_posts_a_new_post_is_unknown() -> None:
    new = captured("new", START - 20, {START - 1: 0, AFTER: 90_000})
    assert viral_flag(*new, usual=[row for row in USUAL if row["post_id"] in ("old-0", "old-1")]) == "viral_unknown"


def test_captures_too_far_apart_give_bounds_only() -> None:
    far = {START - 10: 1_000, AFTER + 10: 9_000}
    assert viral_flag(*captured("new", START - 20, far)) == "viral_unknown"
    assert viral_flag(*captured("new", START - 20, far | {AFTER + 10: 3_900})) is None


def test_a_count_of_views_that_falls_is_a_cached_response() -> None:
    fallen = captured("new", START - 20, {START - 3: 8_000, START - 1: 500, AFTER: 8_100})
    assert viral_flag(*fallen, *SEEN_AFTER) is None


def test_a_stream_without_counts_around_it_gets_no_viral_flag() -> None:
    row = lift_of([], stream(), posts=frame(POST_OBSERVATIONS, *USUAL))
    assert not {"viral_unknown", "viral_overlap"} & set(row["flags"])
