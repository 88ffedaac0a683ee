"""The mart `creators`: current identity, handles and counts."""

from __future__ import annotations

import itertools
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from tiktok_pipeline.providers.accounts import Account
from tiktok_pipeline.tables import ACCOUNT_SIGHTINGS, PROFILE_OBSERVATIONS
from tiktok_pipeline.transforms import creators as mart
from tiktok_pipeline.transforms.identity import Identities, identities
from tiktok_pipeline_tests.transforms.frames import frame, hours

ROSTER_COLUMNS = ("creator_id", "handle", "niche", "tier", "user_id", "sec_uid")


NO_IDENTITIES = Identities()
MIRA_IDENTITIES = Identities({"mira": Account("69")}, {"mira": "roster"})


def creators(listed: pl.DataFrame, profiles: pl.DataFrame, known: Identities = NO_IDENTITIES) -> pl.DataFrame:
    return mart.creators(listed, profiles, known, ACCOUNT_SIGHTINGS.empty().lazy())


def roster(*handles: str) -> pl.DataFrame:
    rows = [{"creator_id": h, "handle": h, "niche": "art", "tier": "b", "user_id": "", "sec_uid": ""} for h in handles]
    return pl.DataFrame(rows, schema=dict.fromkeys(ROSTER_COLUMNS, pl.String))


def seen(creator: str, hour: float, **more: Any) -> dict[str, Any]:
    return {
        "creator_id": creator, "vendor": "social_fetch", "observed_at": hours(hour),
        "capture_id": f"{creator}{hour}", "source": "profile", "handle": creator,
    } | more  # fmt: skip


def test_an_id_stays_through_renames_and_old_handles_are_kept() -> None:
    profiles = frame(
        PROFILE_OBSERVATIONS,
        seen("mira", 1, user_id="69", handle="mira"),
        seen("mira", 2, user_id="69", handle="mira.paints"),
        seen("mira", 3, user_id="69", handle="mira.arts"),
        # No id confirms this handle.
        seen("mira", 3, handle="some.other"),
    )
    row = creators(roster("mira"), profiles, MIRA_IDENTITIES).row(0, named=True)
    assert (row["creator_id"], row["handle"]) == ("mira", "mira.arts")
    assert row["previous_handles"] == ["mira", "mira.paints"]
    assert row["user_id"] == "69"
    assert (row["first_seen_at"], row["last_seen_at"]) == (hours(1), hours(3))


def test_an_exact_count_of_this_week_takes_precedence_over_a_newer_rounded_one() -> None:
    exact = seen("mira", 0, followers=1_234_567, followers_precision="exact")
    rounded = seen("mira", 9, followers=1_200_000, followers_precision="rounded")
    assert creators(roster("mira"), frame(PROFILE_OBSERVATIONS, rounded, exact))["followers"].to_list() == [1_234_567]
    stale = seen("mira", -24 * 8, followers=1_000_001, followers_precision="exact")
    assert creators(roster("mira"), frame(PROFILE_OBSERVATIONS, rounded, stale))["followers"].to_list() == [1_200_000]


def test_creators_that_left_the_roster_or_were_never_seen_have_a_row() -> None:
    frame_ = creators(roster("new"), frame(PROFILE_OBSERVATIONS, seen("gone", 1)))
    assert frame_.select("creator_id", "on_roster", "niche").rows() == [("gone", False, None), ("new", True, "art")]
    assert frame_["last_seen_at"].null_count() == 1
    assert frame_["previous_handles"].to_list() == [[], []]


def test_a_handle_from_a_response_is_not_used_before_the_account_is_known() -> None:
    profiles = frame(PROFILE_OBSERVATIONS, seen("mira", 1, user_id="69", handle="mira.paints"))
    row = creators(roster("mira"), profiles).row(0, named=True)
    assert (row["handle"], row["identified_by"]) == ("mira", None)
    row = creators(roster("mira"), profiles, MIRA_IDENTITIES).row(0, named=True)
    assert (row["handle"], row["identified_by"]) == ("mira.paints", "roster")


def sighted(first: float, last: float, user_id: str | None, **more: Any) -> dict[str, Any]:
    return {
        "creator_id": "mira", "vendor": "social_fetch", "endpoint": "e", "subject": "mira", "asked_by": "handle",
        "observed_at": hours(first), "last_observed_at": hours(last), "capture_id": f"c{first}", "user_id": user_id,
        "handle": "mira", "responses": 5,
    } | more  # fmt: skip


def handle_taken(*sightings: dict[str, Any]) -> tuple[Any, Any]:
    history = frame(ACCOUNT_SIGHTINGS, *sightings).lazy()
    profiles = frame(PROFILE_OBSERVATIONS, seen("mira", 1, user_id="69"))
    row = mart.creators(roster("mira"), profiles, identities(history, {}), history).row(0, named=True)
    return row["handle_taken_by"], row["handle_taken_at"]


def test_a_taken_handle_is_shown_with_the_other_account_and_the_time() -> None:
    own = sighted(0, 5, "69")
    assert handle_taken(own) == (None, None)
    assert handle_taken(own, sighted(6, 30, "77")) == ("77", hours(6))
    # Days later, and by another vendor as well.
    assert handle_taken(own, sighted(6, 80, "77"), sighted(7, 79, "77", vendor="konbini")) == ("77", hours(6))
    # A later response about the creator cancels one wrong response.
    assert handle_taken(own, sighted(6, 6, "77"), sighted(7, 9, "69")) == (None, None)
    # The creator returns, and the handle is taken a second time.
    assert handle_taken(own, sighted(6, 8, "77"), sighted(9, 12, "69"), sighted(13, 15, "77")) == ("77", hours(13))


@st.composite
def histories(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw readings of two creators with any ids, names and counts, many at the same time."""
    return draw(
        st.lists(
            st.builds(
                seen,
                st.sampled_from(["mira", "bo"]),
                st.integers(0, 24 * 12),
                source=st.sampled_from(["profile", "live"]),
                handle=st.sampled_from([None, "mira", "bo", "mira.paints", "other"]),
                user_id=st.sampled_from([None, "69", "70"]),
                sec_uid=st.sampled_from([None, "MS4"]),
                display_name=st.sampled_from([None, "Mira", "M."]),
                verified=st.sampled_from([None, True, False]),
                followers=st.sampled_from([None, 0, 1_003, 1_200]),
                followers_precision=st.sampled_from([None, "exact", "rounded"]),
            ),
            max_size=25,
            unique_by=lambda row: (row["capture_id"], row["source"]),
        )
    )


@given(rows=histories(), cuts=st.lists(st.integers(0, 24 * 12), max_size=3), known=st.booleans())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_the_sufficient_rows_of_a_history_give_the_same_creators(
    rows: list[dict[str, Any]], cuts: list[int], known: bool
) -> None:
    profiles = frame(PROFILE_OBSERVATIONS, *rows)
    kept = PROFILE_OBSERVATIONS.empty().select(mart.COLUMNS)
    edges = [-1, *sorted(cuts), 24 * 12]
    for low, high in itertools.pairwise(edges):
        part = profiles.filter(pl.col("observed_at") > hours(low), pl.col("observed_at") <= hours(high))
        kept = mart.sufficient_rows(pl.concat([kept, mart.sufficient_rows(part)]))
    accounts = MIRA_IDENTITIES if known else NO_IDENTITIES
    assert_frame_equal(creators(roster("mira"), kept, accounts), creators(roster("mira"), profiles, accounts))
    assert kept.equals(mart.sufficient_rows(profiles))
