"""Query a Postgres database, as its users do."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from adbc_driver_postgresql import dbapi


def ask(url: str, sql: str) -> list[tuple[Any, ...]]:
    with closing(dbapi.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SET TimeZone = 'UTC'")
        cursor.execute(sql)
        return [tuple(row) for row in cursor.fetchall()]


def do(url: str, *statements: str) -> None:
    with closing(dbapi.connect(url, autocommit=True)) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
