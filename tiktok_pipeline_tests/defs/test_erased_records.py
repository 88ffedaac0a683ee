"""Erasure removes a creator's names from Dagster's records, and keeps every run, event and look-alike word."""

import json
import os
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg2
import pytest

from tiktok_pipeline.defs.upkeep.erased_records import erase_records, redacted_record
from tiktok_pipeline.erased.names import Names, hashes_of
from tiktok_pipeline_tests.upkeep.forget.deployment import CREATOR, RENAMED, USER_ID, dagster_records

ZOE = Names(b"k", hashes_of(b"k", creator_ids=[CREATOR], handles=[CREATOR, RENAMED], ids=[USER_ID]))
# Each of these handles is also a word of Dagster's records.
WORDS = ("boundary", "success", "config", "label", "due", "ops", "max")


def word(handle: str) -> Names:
    return Names(b"k", hashes_of(b"k", creator_ids=[handle], handles=[handle]))


@pytest.mark.parametrize("handle", WORDS)
def test_a_handle_that_is_a_dagster_word_leaves_the_records_readable(handle: str) -> None:
    record = {
        "__class__": "DagsterRun",
        "status": "SUCCESS",
        "run_config": {"ops": {"boundary": {"config": {"mode": "boundary", "due": {"max": "x", "ann": "x"}}}}},
        "metadata": [{"label": "rows", "value": "success"}, {"label": "config", "value": "max of ops is due"}],
    }
    kept = json.loads(redacted_record(json.dumps(record), word(handle)))
    if handle == "max":
        del record["run_config"]["ops"]["boundary"]["config"]["due"]["max"]  # type: ignore[index]
    assert kept == record


def test_creators_in_boundary_runs_and_on_air_are_removed() -> None:
    record = {"due": {"ok": "start", "ann": "end"}, "cursor": json.dumps({"broadcasts": {"ok": {}, "ann": {}}})}
    kept = json.loads(redacted_record(json.dumps(record), word("ok")))
    assert kept == {"due": {"ann": "end"}, "cursor": '{"broadcasts": {"ann": {}}}'}


def test_tables_of_unanswered_requests_and_examples_of_checks_lose_only_the_erased_name() -> None:
    table = "| request | times | creators | reason |\n|---|---|---|---|\n| live | 3 | ann, ok and 2 more | ok is down |"
    record = [{"label": "unanswered", "value": table}, {"label": "examples", "value": ["ok", "2026-11-02 ann"]}]
    kept = json.loads(redacted_record(json.dumps(record), word("ok")))
    assert kept[0]["value"] == table.replace("ann, ok and", "ann, [erased] and")
    assert kept[1]["value"] == ["[erased]", "2026-11-02 ann"]


def test_text_that_is_not_json_loses_mentions_only() -> None:
    assert redacted_record("all ok: asked @ok", word("ok")) == "all ok: asked @[erased]"
    assert redacted_record('{"broken": "@ok"', word("ok")) == '{"broken": "@[erased]"'


def test_charts_of_the_report_are_dropped_because_they_show_handles() -> None:
    record = {"md_str": "![Lift](data:image/png;base64,iVBORw0KGgo=)"}
    assert json.loads(redacted_record(json.dumps(record), word("ok"))) == {"md_str": "![Lift]([erased])"}


def test_records_in_postgres_are_redacted_and_every_run_stays(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres_url.replace("postgresql://", "postgresql+psycopg2://")
    (tmp_path / "dagster.yaml").write_text(
        f"telemetry: {{enabled: false}}\nstorage: {{postgres: {{postgres_url: '{url}'}}}}\n"
    )
    dagster_records(tmp_path)
    assert dumped(postgres_url).count("zoe") > 10
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    assert erase_records(ZOE, [CREATOR, RENAMED, USER_ID], False) > 10
    left = dumped(postgres_url)
    assert "zoe" not in left
    assert USER_ID not in left
    with dg.DagsterInstance.get() as instance:
        runs = instance.get_runs()
        assert sorted(list(run.run_config["ops"]["boundary"]["config"]["due"]) for run in runs) == [
            ["ann", "max"],
            ["max"],
        ]
        assert instance.get_materialized_partitions(dg.AssetKey("boundary")) == {"a"}
        for run in runs:
            assert instance.all_logs(run.run_id)
    # A second call without the names searches every record and finds nothing to change.
    assert erase_records(ZOE, None, True) == 0
    assert os.environ["DAGSTER_HOME"] == str(tmp_path)


def dumped(url: str) -> str:
    """Return every value of every table, and the server's statistics of them."""
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
        )
        lines: list[Any] = []
        for (table,) in cursor.fetchall():
            cursor.execute(f'SELECT t::text FROM "{table}" t')
            lines += cursor.fetchall()
        cursor.execute("SELECT s::text FROM pg_stats s WHERE schemaname = 'public'")
        lines += cursor.fetchall()
    return "\n".join(line for (line,) in lines)
