"""Prepare Superset's own database: add the user `admin`, and allow one table name in two databases.

`start.sh` runs it with Superset's Python; a second run changes nothing.
"""

from __future__ import annotations

import os
from pathlib import Path

from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import inspect
from sqlalchemy.engine import Connection
from superset.app import create_app

_UNIQUE_NAMES = {"uq": "unique_%(table_name)s_%(column_0_name)s"}


def drop_unique_table_names(connection: Connection) -> None:
    """Let a table of DuckDB and one of Postgres have the same name.

    Superset dropped that constraint in 2016, but its migration skips SQLite without an error: SQLite can drop a
    constraint without a name only by rebuilding the table (apache/superset, issues 407 and 33134).
    """
    unique = inspect(connection).get_unique_constraints("tables")
    if not any(constraint["column_names"] == ["table_name"] for constraint in unique):
        return
    operations = Operations(MigrationContext.configure(connection))
    with operations.batch_alter_table("tables", naming_convention=_UNIQUE_NAMES) as table:
        table.drop_constraint("unique_tables_table_name", type_="unique")


def main() -> None:
    """Prepare the database; see the module docstring."""
    app = create_app()
    with app.app_context():
        from superset import db  # noqa: PLC0415  (usable only within an app context)

        with db.engine.begin() as connection:
            drop_unique_table_names(connection)
        users = app.appbuilder.sm
        # Not `fab create-admin --password`: any user of the machine could read the password in the process list.
        password = (Path(os.environ["SUPERSET_HOME"]) / "admin.password").read_text(encoding="utf-8").strip()
        if users.find_user("admin") is None:
            users.add_user("admin", "Admin", "Admin", "admin@localhost", users.find_role("Admin"), password=password)


if __name__ == "__main__":
    main()
