"""Raw rows to observations, including the quarantine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from tiktok_pipeline.providers import konbini, social_fetch
from tiktok_pipeline.providers.observations import ABSENT
from tiktok_pipeline.tables import LIVE_OBSERVATIONS, RAW_LIVES, RAW_PROFILES, TABLES
from tiktok_pipeline.transforms import observations
from tiktok_pipeline.transforms.identity import requests_of
from tiktok_pipeline.transforms.observations import NORMALIZED, profile_existence, settle_absences
from tiktok_pipeline_tests.providers import bodies

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


def raw(*rows: dict[str, Any]) -> pl.DataFrame:
    default = {
        "vendor": "social_fetch",
        "endpoint": social_fetch.LIVE,
        "creator_id": "mira.paints",
        "subject": "mira.paints",
        "observed_at": NOON,
        "outcome": "ok",
        "page": 0,
    }
    numbered = [{"capture_id": f"c-{n}"} | default | row for n, row in enumerate(rows)]
    return pl.DataFrame(
        [{column: row.get(column) for column in RAW_LIVES.schema} for row in numbered], schema=RAW_LIVES.schema
    )


def read_bodies(rows: pl.DataFrame, table: str) -> dict[str, pl.DataFrame]:
    return observations.read_bodies(rows, table, hash_key=b"test key")


def text(body: bytes) -> str:
    return body.decode()


LIVE = text(bodies.fetch_ok(bodies.fetch_live()))


def test_one_body_gives_rows_in_every_table_that_it_concerns() -> None:
    frames = read_bodies(raw({"body": LIVE}), "raw_lives")
    heights = {name: frame.height for name, frame in frames.items()}
    assert heights == {
        "profile_observations": 1,
        "live_observations": 1,
        "stream_variants": 1,
        "story_observations": 0,
        "post_observations": 0,
        "follower_list_entries": 0,
        "live_ranking_entries": 0,
        "search_hits": 0,
        "quarantine": 0,
    }
    for table in NORMALIZED:
        assert frames[table.name].schema == TABLES[table.name].schema
    live = frames["live_observations"].row(0, named=True)
    assert (live["creator_id"], live["capture_id"], live["room_id"]) == ("mira.paints", "c-0", bodies.ROOM_ID)
    assert live["started_at"] == datetime(2026, 11, 2, 18, 0, 5, tzinfo=UTC)


def test_a_failed_poll_is_unknown_and_never_off_air() -> None:
    rows = [
        {"outcome": outcome, "body": body}
        for outcome, body in [
            ("server_error", text(bodies.fetch_error("internal_error"))),
            ("network_error", None),
            ("rate_limited", "slow down"),
            ("malformed", "<html>"),
            ("malformed", ""),
            ("not_found", text(bodies.fetch_ok({"lookupStatus": "not_found"}))),
        ]
    ]
    live = read_bodies(raw(*rows), "raw_lives")["live_observations"]
    assert live["live_state"].to_list() == ["unknown"] * len(rows)
    assert live["reason"].to_list() == [row["outcome"] for row in rows]


def test_one_bad_row_is_quarantined_with_its_reason_and_blocks_no_other() -> None:
    bad = bodies.fetch_live()
    bad["profile"]["verified"] = "perhaps"
    frames = read_bodies(
        raw(
            {"body": text(bodies.fetch_ok(bad))},
            {"body": '{"data":'},
            {"outcome": "malformed", "body": "<html>" * 99},
            {"body": LIVE},
        ),
        "raw_lives",
    )
    quarantine = frames["quarantine"]
    assert quarantine["capture_id"].to_list() == ["c-0", "c-1", "c-2"]
    assert quarantine["field"].to_list() == ["$.data.profile.verified", None, None]
    assert quarantine["value"].str.len_chars().max() == 200
    assert quarantine["table"].unique().to_list() == ["raw_lives"]
    assert frames["live_observations"].filter(pl.col("live_state") == "live")["capture_id"].to_list() == ["c-0", "c-3"]


def test_an_outcome_of_a_newer_release_is_quarantined_and_its_state_unknown() -> None:
    frames = read_bodies(raw({"outcome": "teapot", "body": LIVE}, {"body": LIVE}), "raw_lives")
    assert frames["quarantine"]["reason"].to_list() == ["an outcome that this release does not know"]
    assert sorted(frames["live_observations"]["live_state"]) == ["live", "unknown"]


def test_an_unknown_endpoint_is_quarantined() -> None:
    frames = read_bodies(raw({"endpoint": "/v9/oracle", "body": "{}"}), "raw_lives")
    assert frames["quarantine"]["value"].to_list() == ["social_fetch /v9/oracle"]


def absences(*moments: datetime) -> pl.DataFrame:
    rows = [
        {"vendor": "konbini", "endpoint": konbini.LIVE, "outcome": "not_found", "observed_at": moment,
         "body": text(bodies.konbini_error("not_found"))}
        for moment in moments
    ]  # fmt: skip
    return read_bodies(raw(*rows), "raw_lives")["live_observations"]


def profile_responses(*responses: tuple[datetime, bool]) -> pl.DataFrame:
    return pl.DataFrame(
        [{"creator_id": "mira.paints", "observed_at": at, "known": known} for at, known in responses],
        schema={"creator_id": pl.String, "observed_at": LIVE_OBSERVATIONS.schema["observed_at"], "known": pl.Boolean},
    )


def states(live: pl.DataFrame) -> list[str]:
    return live.sort("observed_at")["live_state"].to_list()


def test_an_absence_is_off_air_only_if_the_profile_is_known() -> None:
    hours = [NOON + timedelta(hours=n) for n in range(3)]
    live = absences(*hours)
    assert live["reason"].unique().to_list() == [ABSENT]
    assert states(settle_absences(live, profile_responses())) == ["unknown"] * 3
    assert states(settle_absences(live, profile_responses((NOON - timedelta(hours=1), True)))) == ["ended"] * 3
    # Found, then not found: from then on the state is unknown.
    later = profile_responses((NOON - timedelta(hours=1), True), (NOON + timedelta(minutes=90), False))
    assert states(settle_absences(live, later)) == ["ended", "ended", "unknown"]
    assert states(settle_absences(live, profile_responses((NOON - timedelta(days=3), True)))) == ["unknown"] * 3


def test_the_first_profile_vouches_for_earlier_readings() -> None:
    assert states(settle_absences(absences(NOON), profile_responses((NOON + timedelta(minutes=5), True)))) == ["ended"]


def test_other_unknown_states_stay_unknown() -> None:
    live = read_bodies(raw({"outcome": "server_error"}), "raw_lives")["live_observations"]
    assert states(settle_absences(live, profile_responses((NOON, True)))) == ["unknown"]


def test_existence_is_read_from_profile_outcomes_alone() -> None:
    rows = raw(
        {"endpoint": social_fetch.PROFILE, "outcome": "ok"},
        {"endpoint": social_fetch.PROFILE, "outcome": "private"},
        {"endpoint": social_fetch.PROFILE, "outcome": "not_found"},
        {"endpoint": social_fetch.PROFILE, "outcome": "server_error"},
        {"endpoint": social_fetch.LIVE, "outcome": "ok"},
    )
    assert profile_existence(requests_of(rows, RAW_PROFILES))["known"].to_list() == [True, False, False]
