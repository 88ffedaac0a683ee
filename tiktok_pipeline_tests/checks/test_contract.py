"""The contract check reports each kind of violation, and passes valid rows."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from tiktok_pipeline.checks.contract import contract
from tiktok_pipeline.tables import COVERAGE, LIVE_OBSERVATIONS, STREAMS, TABLES
from tiktok_pipeline_tests.checks.rows import SOUND, sound
from tiktok_pipeline_tests.transforms.frames import hours

LATEST = hours(24)


@pytest.mark.parametrize("name", SOUND)
def test_valid_rows_pass(name: str) -> None:
    verdict = contract(TABLES[name], sound(name), latest=LATEST)
    assert verdict.passed, verdict.message
    assert verdict.numbers["rows"] == len(SOUND[name])


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_an_empty_day_passes(table: object) -> None:
    assert contract(table, table.empty(), latest=LATEST).passed  # type: ignore[attr-defined,arg-type]


def test_a_missing_column_is_named() -> None:
    verdict = contract(STREAMS, sound("streams").drop("title"), latest=LATEST)
    assert not verdict.passed
    assert "title is missing" in verdict.message


def test_a_column_of_another_type_is_named_with_both_types() -> None:
    verdict = contract(COVERAGE, sound("coverage").with_columns(pl.col("polls").cast(pl.Int32)), latest=LATEST)
    assert not verdict.passed
    assert "polls is Int32, not Int64" in verdict.message


def test_an_unknown_column_is_named() -> None:
    verdict = contract(COVERAGE, sound("coverage").with_columns(extra=1), latest=LATEST)
    assert "extra is not in tables.py" in verdict.message


def test_a_null_in_a_required_column_is_named_with_its_row() -> None:
    verdict = contract(STREAMS, sound("streams", status=None), latest=LATEST)
    assert not verdict.passed
    assert "status (1)" in verdict.message
    assert verdict.examples == ("stream_id=ana:1",)
    assert verdict.numbers["null_values"] == 1


def test_a_duplicate_key_is_reported() -> None:
    rows = pl.concat([sound("streams"), sound("streams")])
    verdict = contract(STREAMS, rows, latest=LATEST)
    assert not verdict.passed
    assert "2 rows of streams share a key (stream_id)" in verdict.message
    assert verdict.examples == ("stream_id=ana:1",)


@pytest.mark.parametrize("table", [LIVE_OBSERVATIONS, STREAMS, COVERAGE], ids=lambda table: table.name)
def test_times_in_the_future_are_rejected(table: object) -> None:
    before = hours(0) - timedelta(days=1)
    verdict = contract(table, sound(table.name), latest=before)  # type: ignore[attr-defined,arg-type]
    assert not verdict.passed
    assert verdict.numbers["from_the_future"] == 1
    assert "from after 2026-11-01" in verdict.message
