"""Every query of docs/queries.md and of the data dictionary runs in DuckDB and in Postgres."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from adbc_driver_postgresql import dbapi

from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.publish import postgres
from tiktok_pipeline.publish.example_queries import EXAMPLES
from tiktok_pipeline_tests.replayed import Replayed

DOCUMENT = Path(__file__).parents[2] / "docs" / "queries.md"

_QUESTION = re.compile(
    r"^## (?P<number>\d+)\. (?P<question>.+?)\n(?P<text>.*?)```sql\n(?P<sql>.+?);\n```\n\nColumns: (?P<columns>.+?)\n"
    r"(?:Null: (?P<null>\w+), .+?\n)?(?P<empty>Empty when: .+?\n)?",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Question:
    number: int
    question: str
    sql: str
    columns: list[str]
    may_be_null: str | None
    may_be_empty: bool


def questions() -> list[Question]:
    return [
        Question(int(q["number"]), q["question"], q["sql"], q["columns"].split(", "), q["null"], q["empty"] is not None)
        for q in _QUESTION.finditer(DOCUMENT.read_text())
    ]


QUESTIONS = questions()


def test_the_title_states_the_number_of_queries() -> None:
    text = DOCUMENT.read_text()
    assert [q.number for q in QUESTIONS] == list(range(1, len(QUESTIONS) + 1))
    assert len(QUESTIONS) == text.count("\n## ") == text.count("```sql") >= 20
    words = {20: "Twenty", 21: "Twenty-one", 22: "Twenty-two", 23: "Twenty-three", 24: "Twenty-four", 25: "Twenty-five"}
    assert text.startswith(f"# {words[len(QUESTIONS)]} questions")


@pytest.fixture(scope="module")
def published(replayed: Replayed, new_database: Callable[[], str]) -> Iterator[tuple[duckdb.DuckDBPyConnection, Any]]:
    url = new_database()
    postgres.publish(url, Lake(replayed.untouched / "lake"), now=datetime(2026, 11, 6, tzinfo=UTC))
    with (
        duckdb.connect(str(replayed.untouched / "warehouse" / "tiktok.duckdb"), read_only=True) as on_duckdb,
        closing(dbapi.connect(url)) as connection,
        connection.cursor() as on_postgres,
    ):
        on_postgres.execute("SET search_path = tiktok")
        on_postgres.execute("SET TIME ZONE 'UTC'")
        connection.commit()
        yield on_duckdb, on_postgres


@pytest.mark.parametrize("asked", QUESTIONS, ids=[f"{q.number}" for q in QUESTIONS])
def test_every_example_query_returns_rows(asked: Question, published: tuple[duckdb.DuckDBPyConnection, Any]) -> None:
    mine, theirs = published
    answer = mine.execute(asked.sql)
    assert [column[0] for column in answer.description or ()] == asked.columns
    rows = answer.fetchall()
    assert rows or asked.may_be_empty
    # A column that is null throughout answers nothing.
    for place, column in enumerate(asked.columns):
        assert not rows or column == asked.may_be_null or any(row[place] is not None for row in rows), column
    theirs.execute(asked.sql)
    assert [column[0] for column in theirs.description] == asked.columns
    assert len(theirs.fetchall()) == len(rows)


@pytest.mark.parametrize("question", QUESTIONS, ids=[f"{q.number}" for q in QUESTIONS])
def test_every_query_returns_the_promised_columns_and_rows(
    question: Question, published: tuple[duckdb.DuckDBPyConnection, Any]
) -> None:
    on_duckdb, on_postgres = published
    result = on_duckdb.execute(question.sql)
    assert [column[0] for column in result.description or ()] == question.columns
    rows = result.fetchall()
    assert rows or question.may_be_empty
    # A column that is null in every row does not answer the question.
    for place, column in enumerate(question.columns):
        assert not rows or column == question.may_be_null or any(row[place] is not None for row in rows), column
    on_postgres.execute(question.sql)
    assert [column[0] for column in on_postgres.description] == question.columns
    assert len(on_postgres.fetchall()) == len(rows)


# The deployment's two days have no such rows: no quarantine, ranking or search, and no creator went dark.
_EMPTY = {"quarantine", "live_now", "went_dark", "raw_live_rankings", "raw_user_searches",
          "live_ranking_entries", "search_hits"}  # fmt: skip


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_of_the_dictionary_runs(
    name: str, replayed: Replayed, published: tuple[duckdb.DuckDBPyConnection, Any]
) -> None:
    on_duckdb, _ = published
    on_duckdb.execute(f"SET file_search_path = '{replayed.untouched}'")
    rows = on_duckdb.execute(EXAMPLES[name]).fetchall()
    assert rows or name in _EMPTY
