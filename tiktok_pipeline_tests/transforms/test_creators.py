"""Who creators are now."""

from __future__ import annotations

from typing import Any

import polars as pl

from tiktok_pipeline.tables import PROFILE_OBSERVATIONS
from tiktok_pipeline.transforms.creators import creators
from tiktok_pipeline_tests.transforms.frames import frame, hours

ROSTER_COLUMNS = ("creator_id", "handle", "niche", "tier", "user_id", "sec_uid")


def roster(*handles: str) -> pl.DataFrame:
    rows = [{"creator_id": h, "handle": h, "niche": "art", "tier": "b", "user_id": "", "sec_uid": ""} for h in handles]
    return pl.DataFrame(rows, schema=dict.fromkeys(ROSTER_COLUMNS, pl.String))


def seen(creator: str, hour: float, **more: Any) -> dict[str, Any]:
    return {
        "creator_id": creator, "vendor": "social_fetch", "observed_at": hours(hour),
        "capture_id": f"{creator}{hour}", "source": "profile", "handle": creator,
    } | more  # fmt: skip


def test_an_id_stays_through_renames_and_the_old_handles_are_kept() -> None:
    profiles = frame(
        PROFILE_OBSERVATIONS,
        seen("mira", 1, user_id="69", handle="mira"),
        seen("mira", 2, handle="mira.paints"),
        seen("mira", 3, handle="mira.arts"),
    )
    row = creators(roster("mira"), profiles).row(0, named=True)
    assert (row["creator_id"], row["handle"]) == ("mira", "mira.arts")
    assert row["previous_handles"] == ["mira", "mira.paints"]
    assert row["user_id"] == "69"
    assert (row["first_seen_at"], row["last_seen_at"]) == (hours(1), hours(3))


def test_an_exact_count_of_this_week_beats_a_newer_rounded_one() -> None:
    exact = seen("mira", 0, followers=1_234_567, followers_precision="exact")
    rounded = seen("mira", 9, followers=1_200_000, followers_precision="rounded")
    assert creators(roster("mira"), frame(PROFILE_OBSERVATIONS, rounded, exact))["followers"].to_list() == [1_234_567]
    stale = seen("mira", -24 * 8, followers=1_000_001, followers_precision="exact")
    assert creators(roster("mira"), frame(PROFILE_OBSERVATIONS, rounded, stale))["followers"].to_list() == [1_200_000]


def test_who_left_the_roster_or_was_never_seen_has_a_row() -> None:
    frame_ = creators(roster("new"), frame(PROFILE_OBSERVATIONS, seen("gone", 1)))
    assert frame_.select("creator_id", "on_roster", "niche").rows() == [("gone", False, None), ("new", True, "art")]
    assert frame_["last_seen_at"].null_count() == 1
    assert frame_["previous_handles"].to_list() == [[], []]
