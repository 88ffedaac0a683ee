"""Drift reports fields that vendors add, change or drop, with a masked example and never a real value."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import polars as pl

from tiktok_pipeline.checks.check_result import CheckResult
from tiktok_pipeline.checks.drift import drift
from tiktok_pipeline.config.settings import Checks
from tiktok_pipeline.tables import PAYLOAD_SHAPES
from tiktok_pipeline.transforms.payload_shapes import payload_shapes, sample
from tiktok_pipeline_tests.transforms.frames import hours

SETTINGS = Checks(shape_bodies=40, drift_min_bodies=20)
USER = {"id": "7001", "name": "Ann Smith 93", "stats": {"followers": 12, "likes": None}}
BODY = {"data": {"user": USER, "items": [{"views": 5, "pinned": False}]}}


def raw(*bodies: Any, day: int = 0, outcome: str = "ok", endpoint: str = "/v1/user") -> pl.DataFrame:
    """Return one raw row per body."""
    return pl.DataFrame(
        [
            {"capture_id": f"{day}-{n:05}", "vendor": "konbini", "endpoint": endpoint, "outcome": outcome,
             "observed_at": hours(24 * day) + timedelta(seconds=n),
             "body": body if isinstance(body, str) else json.dumps(body)}
            for n, body in enumerate(bodies)
        ],
        schema_overrides={"observed_at": PAYLOAD_SHAPES.schema["observed_at"]},
    )  # fmt: skip


def shapes(*bodies: Any, day: int = 0, **more: Any) -> pl.DataFrame:
    return payload_shapes(raw(*bodies, day=day, **more), bodies=SETTINGS.shape_bodies)


def drift_of(today: pl.DataFrame, *before: pl.DataFrame) -> CheckResult:
    known = pl.concat([frame.with_columns(day=pl.lit(day)) for day, frame in enumerate(before)]) if before else (
        PAYLOAD_SHAPES.empty().with_columns(day=pl.lit(0)))  # fmt: skip
    return drift(today, known, settings=SETTINGS)


def changed(**data: Any) -> dict[str, Any]:
    return {"data": BODY["data"] | data}


def test_a_sample_gives_paths_types_and_counts() -> None:
    found = shapes(BODY, {"data": {"user": {"id": 7001}}})
    rows = {(row["path"], row["type"]): row for row in found.iter_rows(named=True)}
    assert ("data.user.stats.followers", "number") in rows
    assert ("data.items[].pinned", "boolean") in rows
    assert ("data.user.stats.likes", "null") in rows
    assert {rows["data.user.id", "string"]["bodies"], rows["data.user.id", "number"]["bodies"]} == {1}
    assert rows["data.user", "object"]["bodies"] == 2
    assert set(found["sampled"]) == {2}
    assert rows["data.user.name", "string"]["example"] == "aaa aaaaa 00"
    assert found.schema == PAYLOAD_SHAPES.schema
    assert not found.select(PAYLOAD_SHAPES.key).is_duplicated().any()


def test_the_sample_is_bounded_and_does_not_depend_on_row_order() -> None:
    bodies = [{"n": 1, f"only_{chr(97 + n % 26)}{chr(97 + n // 26)}": 1} for n in range(500)]
    rows = raw(*bodies)
    found = payload_shapes(rows, bodies=40)
    assert set(found["sampled"]) == {40}
    assert found.sort("path").equals(
        payload_shapes(rows.sample(fraction=1, shuffle=True, seed=1), bodies=40).sort("path")
    )
    # Bodies from all over the day, not the first of the day.
    seen = found.filter(pl.col("path") != "n")["capture_id"].str.slice(2).cast(pl.Int64)
    assert seen.min() < 50  # type: ignore[operator]
    assert seen.max() > 450  # type: ignore[operator]
    # Sampling a sample gives the sample of the whole.
    parts = [sample(rows[start : start + 100], 40) for start in range(0, 500, 100)]
    assert payload_shapes(pl.concat(parts), bodies=40).sort("path").equals(found.sort("path"))


def test_only_successful_responses_have_a_shape() -> None:
    assert shapes(BODY, outcome="server_error").is_empty()
    assert shapes("<html>", '{"cut":').is_empty()


def test_keys_that_are_data_are_masked_in_paths() -> None:
    found = shapes(
        {
            "by_user": {"7001234567890": 1, "7001234567891": 2},
            "big": {f"k{chr(97 + n // 26)}{chr(97 + n % 26)}": n for n in range(300)},
        }
    )
    assert set(found["path"]) == {"by_user", "by_user.*", "big", "big.*"}


def test_known_fields_are_no_drift() -> None:
    verdict = drift_of(shapes(*[BODY] * 30, day=1), shapes(*[BODY] * 30))
    assert verdict.passed
    assert verdict.numbers["new_fields"] == verdict.numbers["vanished_fields"] == 0


def test_a_new_field_is_reported_by_its_topmost_part_with_a_masked_example() -> None:
    today = [BODY] * 29 + [changed(badge={"label": "Secret Name", "level": 3}, mood="Zoe is sad")]
    verdict = drift_of(shapes(*today, day=1), shapes(*[BODY] * 30))
    assert not verdict.passed
    assert verdict.numbers["new_fields"] == 2
    assert "konbini /v1/user: data.badge is new (object)" in verdict.message
    assert "data.mood is new (string, such as aaa aa aaa)" in verdict.message
    assert "badge.label" not in verdict.message
    assert not any(word in verdict.message for word in ("Secret", "Zoe"))


def test_a_field_of_another_type_is_reported() -> None:
    today = changed(user=USER | {"id": 7001})
    verdict = drift_of(shapes(*[today] * 30, day=1), shapes(*[BODY] * 30))
    assert not verdict.passed
    assert "data.user.id was string and is number, such as 0000" in verdict.message


def test_a_field_that_was_always_null_may_get_a_value() -> None:
    today = changed(user=USER | {"stats": {"followers": 12, "likes": 5}})
    assert drift_of(shapes(*[today] * 30, day=1), shapes(*[BODY] * 30)).passed


def test_a_vanished_field_is_reported() -> None:
    today = {"data": {"user": {"id": "7001", "name": "Bo"}, "items": BODY["data"]["items"]}}
    verdict = drift_of(shapes(*[today] * 30, day=1), shapes(*[BODY] * 30))
    assert not verdict.passed
    assert verdict.numbers["vanished_fields"] == 1
    assert "data.user.stats is missing (was object)" in verdict.message
    assert "followers" not in verdict.message


def test_a_field_of_list_items_that_vanished_is_reported_but_an_empty_list_is_not() -> None:
    without = changed(items=[{"pinned": True}])
    gone = drift_of(shapes(*[without] * 30, day=1), shapes(*[BODY] * 30))
    assert "data.items[].views is missing" in gone.message
    assert drift_of(shapes(*[changed(items=[])] * 30, day=1), shapes(*[BODY] * 30)).passed


def test_a_rare_field_that_is_absent_today_has_not_vanished() -> None:
    known = shapes(*[BODY] * 25, *[changed(note="x")] * 5)
    assert drift_of(shapes(*[BODY] * 30, day=1), known).passed


def test_too_few_bodies_today_report_no_vanished_field() -> None:
    assert drift_of(shapes(*[{"data": {}}] * 5, day=1), shapes(*[BODY] * 30)).passed


def test_a_new_endpoint_reports_no_drift_during_its_first_days() -> None:
    first = drift_of(shapes(*[BODY] * 30))
    assert first.passed
    assert "1 endpoints have no baseline yet" in first.message
    assert drift_of(shapes(*[changed(new=1)] * 30, day=1), shapes(*[BODY] * 5)).passed


def test_drift_is_reported_for_one_day_and_then_known() -> None:
    before, today = shapes(*[BODY] * 30), shapes(*[changed(new=1)] * 30, day=1)
    assert not drift_of(today, before).passed
    assert drift_of(shapes(*[changed(new=1)] * 30, day=2), before, today).passed
