"""Invalid values and duplicate keys in normalized tables become null or are dropped, and are reported in quarantine."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from tiktok_pipeline.checks.contract import contract
from tiktok_pipeline.checks.identities import RULES, identities
from tiktok_pipeline.tables import QUARANTINE, RAW_LIVES, TABLES
from tiktok_pipeline.transforms.observations import NORMALIZED
from tiktok_pipeline.transforms.soundness import correct_ages, make_sound
from tiktok_pipeline_tests.transforms.frames import frame, hours

NOW = hours(10)


def row(table: str, **changed: Any) -> dict[str, Any]:
    """Return a valid row of a normalized table, with some columns changed."""
    about = {"creator_id": "ana", "vendor": "konbini", "observed_at": hours(1), "capture_id": "c1"}
    plain: dict[str, dict[str, Any]] = {
        "profile_observations": {"source": "profile"},
        "live_observations": {"live_state": "live", "evidence": "strong"},
        "stream_variants": {"codec": "h264", "source": "primary", "quality": "hd"},
        "story_observations": {"story_id": "s1"},
        "post_observations": {"post_id": "p1"},
        "follower_list_entries": {"follower_key": "f1", "page": 0, "position": 1},
        "live_ranking_entries": {"list": "hourly", "ranked_user_id": "7"},
        "search_hits": {"keyword": "chess", "rank": 1},
        "quarantine": {"table": "raw_lives", "reason": "broken"},
    }
    return about | plain[table] | changed


def sound(table: str, *rows: dict[str, Any]) -> dict[str, pl.DataFrame]:
    """Return all normalized frames after cleaning these rows of one table; all their checks must pass."""
    frames = {each.name: each.empty() for each in NORMALIZED} | {table: frame(TABLES[table], *rows)}
    made = make_sound(frames, "raw_lives")
    for name, rows_made in made.items():
        verdict = contract(TABLES[name], rows_made, latest=NOW)
        assert verdict.passed, verdict.message
        if name in RULES:
            verdict = identities(TABLES[name], rows_made)
            assert verdict.passed, verdict.message
    return made


# Table, changed columns, the columns that become null, and the reason.
NULLED: list[tuple[str, dict[str, Any], tuple[str, ...], str]] = [
    ("profile_observations", {"following": -1}, ("following",), "negative count"),
    ("profile_observations", {"likes": 2**63 - 1}, ("likes",), "implausible count"),
    ("profile_observations", {"followers": 10**11, "followers_precision": "exact", "followers_unit": 1},
     ("followers", "followers_precision", "followers_unit"), "implausible count"),
    ("profile_observations", {"followers": 5, "followers_precision": "exact", "followers_unit": 100},
     ("followers_precision", "followers_unit"), "precision contradicts"),
    ("profile_observations", {"followers": 5, "followers_precision": "rounded", "followers_unit": 1},
     ("followers_precision", "followers_unit"), "precision contradicts"),
    ("profile_observations", {"followers": 1_234, "followers_precision": "rounded", "followers_unit": 100},
     ("followers_precision", "followers_unit"), "precision contradicts"),
    ("profile_observations", {"followers": 5, "followers_precision": "rounded", "followers_unit": 0},
     ("followers_precision", "followers_unit"), "precision contradicts"),
    ("profile_observations", {"followers": 5, "followers_precision": "rounded"},
     ("followers_precision",), "precision contradicts"),
    ("profile_observations", {"user_id": " "}, ("user_id",), "empty id"),
    ("profile_observations", {"sec_uid": "x" * 201}, ("sec_uid",), "id too long"),
    ("live_observations", {"room_id": ""}, ("room_id",), "empty id"),
    ("live_observations", {"viewers": -3}, ("viewers",), "negative count"),
    ("live_observations", {"started_at": datetime(2015, 12, 31, tzinfo=UTC)}, ("started_at",), "time before 2016"),
    ("live_observations", {"started_at": hours(1.5)}, ("started_at",), "time after the reading"),
    ("live_observations", {"started_at": hours(-24 * 61)}, ("started_at",), "start 60 days ago"),
    ("live_observations", {"ended_at": hours(0.5)}, ("ended_at",), "end of a room that has not ended"),
    ("live_observations", {"live_state": "unknown", "ended_at": hours(0.5)}, ("ended_at",), "has not ended"),
    ("live_observations", {"live_state": "ended", "started_at": hours(0.5), "ended_at": hours(0.4)}, ("ended_at",),
     "end before the start"),
    ("live_observations", {"live_state": "ended", "ended_at": datetime(9999, 1, 1, tzinfo=UTC)}, ("ended_at",),
     "time after the reading"),
    ("story_observations", {"published_at": hours(0.5), "expires_at": hours(0.4)}, ("expires_at",),
     "expiry before the publication"),
    ("story_observations", {"published_at": hours(0.5), "expires_at": datetime(2099, 1, 1, tzinfo=UTC)},
     ("expires_at",), "implausible expiry"),
    ("story_observations", {"published_at": hours(5)}, ("published_at",), "time after the reading"),
    ("story_observations", {"duration_s": math.inf}, ("duration_s",), "not a finite number"),
    ("post_observations", {"duration_s": math.nan}, ("duration_s",), "not a finite number"),
    ("post_observations", {"duration_s": -1.0}, ("duration_s",), "implausible duration"),
    ("post_observations", {"duration_s": 1e9}, ("duration_s",), "implausible duration"),
    ("post_observations", {"views": -1}, ("views",), "negative count"),
    ("live_ranking_entries", {"rank": 0}, ("rank",), "no place in a list"),
    ("live_ranking_entries", {"window_start": datetime(2099, 1, 1, tzinfo=UTC)}, ("window_start",), "after the read"),
    ("follower_list_entries", {"list_total": -1}, ("list_total",), "negative count"),
    ("stream_variants", {"bitrate_bps": -1}, ("bitrate_bps",), "negative count"),
    ("search_hits", {"followers": -1}, ("followers",), "negative count"),
]  # fmt: skip


@pytest.mark.parametrize(("table", "changed", "nulled", "reason"), NULLED)
def test_an_impossible_value_becomes_null_and_is_quarantined(
    table: str, changed: dict[str, Any], nulled: tuple[str, ...], reason: str
) -> None:
    made = sound(table, row(table, **changed), row(table, capture_id="c2"))
    found = made[table].filter(pl.col("capture_id") == "c1").row(0, named=True)
    for name in nulled:
        assert found[name] is None
    assert {name: found[name] for name in changed if name not in nulled} == {
        name: value for name, value in changed.items() if name not in nulled
    }
    (note,) = made["quarantine"].rows(named=True)
    assert reason in note["reason"]
    assert (note["capture_id"], note["table"], note["field"]) == ("c1", "raw_lives", nulled[0])
    assert made[table].height == 2


@pytest.mark.parametrize(
    ("table", "changed"),
    [
        ("story_observations", {"story_id": ""}),
        ("post_observations", {"post_id": "  "}),
        ("post_observations", {"post_id": "7" * 5_000}),
        ("live_ranking_entries", {"ranked_user_id": ""}),
        ("follower_list_entries", {"position": 0}),
        ("follower_list_entries", {"page": -1}),
        ("follower_list_entries", {"page": 2**62}),
        ("search_hits", {"rank": -5}),
    ],
)
def test_a_row_without_a_usable_key_is_dropped_and_quarantined(table: str, changed: dict[str, Any]) -> None:
    made = sound(table, row(table, **changed), row(table, capture_id="c2"))
    assert made[table]["capture_id"].to_list() == ["c2"]
    assert made["quarantine"]["capture_id"].to_list() == ["c1"]


@pytest.mark.parametrize(
    ("table", "key", "different"),
    [
        ("post_observations", {"post_id": "p1"}, [{"views": n, "caption": f"caption {n}"} for n in range(38)]),
        ("story_observations", {"story_id": "s1"}, [{"views": 1}, {"views": 2, "likes": 1}, {}]),
        ("live_observations", {}, [{"live_state": "unknown", "evidence": "weak"}, {"room_id": "7"}, {}]),
        ("profile_observations", {}, [{"user_id": "1"}, {"user_id": "2"}, {"user_id": "1", "verified": True}]),
        ("stream_variants", {"codec": None, "source": None, "quality": None}, [{"label": "a"}, {"label": "b"}]),
        ("follower_list_entries", {}, [{"position": n} for n in (5, 2, 9)]),
        ("live_ranking_entries", {}, [{"rank": 4}, {"rank": 2}, {"rank": None}]),
        ("search_hits", {}, [{"handle": "bo"}, {"handle": "cy"}]),
    ],
)
def test_of_rows_with_one_key_the_same_one_is_kept_for_any_order(
    table: str, key: dict[str, Any], different: list[dict[str, Any]]
) -> None:
    rows = [row(table, **key, **each) for each in different]
    kept = []
    for seed in range(6):
        random.Random(seed).shuffle(rows)
        made = sound(table, *rows, row(table, capture_id="c2"))
        kept.append(made[table].sort("capture_id"))
        assert "kept once" in made["quarantine"]["reason"].item()
    assert kept[0].height == 2
    assert all(each.equals(kept[0]) for each in kept)


def test_the_more_informative_row_is_kept() -> None:
    unknown = row("live_observations", live_state="unknown", evidence="weak", title="long gone", viewers=5)
    assert sound("live_observations", unknown, row("live_observations"))["live_observations"]["live_state"].item() == (
        "live"
    )
    places = sound("follower_list_entries", *(row("follower_list_entries", position=n) for n in (5, 2, 9)))
    assert places["follower_list_entries"]["position"].item() == 2


def test_equal_faults_are_one_row_of_the_quarantine() -> None:
    notes = [row("quarantine", value=value) for value in ("b", "a", None)]
    made = sound("quarantine", *notes, row("quarantine", field="x"))
    assert made["quarantine"].sort("field", nulls_last=True)["value"].to_list() == [None, "a"]
    # The same fault in two items of one body is one row too.
    posts = [row("post_observations", post_id=f"p{n}", views=-n) for n in range(1, 4)]
    assert sound("post_observations", *posts)["quarantine"]["value"].to_list() == ["-1"]


def test_sound_rows_are_unchanged() -> None:
    for table in NORMALIZED:
        rows = frame(table, row(table.name))
        made = sound(table.name, row(table.name))
        assert made[table.name].equals(rows)
        if table is not QUARANTINE:
            assert made["quarantine"].is_empty()


def test_a_nul_character_is_removed_from_texts() -> None:
    made = sound("live_observations", row("live_observations", title="a\0b", room_id="7\0"))
    assert made["live_observations"].select("title", "room_id").row(0) == ("ab", "7")


@pytest.mark.parametrize("age", [timedelta(days=3650), timedelta(days=1), timedelta(hours=-2)])
def test_an_impossible_age_is_ignored_and_quarantined(age: timedelta) -> None:
    raw = pl.DataFrame(
        [
            {"creator_id": "ana", "vendor": "konbini", "capture_id": "c1", "received_at": hours(5),
             "observed_at": hours(5) - age},
            {"creator_id": "ana", "vendor": "konbini", "capture_id": "c2", "received_at": hours(5),
             "observed_at": hours(4)},
        ],
        schema_overrides={name: RAW_LIVES.schema[name] for name in ("received_at", "observed_at")},
    )  # fmt: skip
    dated, noted = correct_ages(raw, "raw_lives")
    assert dated["observed_at"].to_list() == [hours(5), hours(4)]
    assert noted["capture_id"].to_list() == ["c1"]
    assert noted.schema == QUARANTINE.schema
