"""The report of one client: the same page, made from the client's rows alone.

The restriction is in the database, before anything is read, so that no part of the page can carry the data of other
creators. Ranks and shares are computed again among the client's creators: a share of a total would reveal the total.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl

from tiktok_pipeline.errors import PublishError
from tiktok_pipeline.publish.sql import quoted_name, quoted_text


@dataclass(frozen=True)
class ClientScope:
    """The creators of a client: a niche, or handles (also former ones, and creator ids).

    `name` is shown as the title of the report.
    """

    name: str
    niche: str | None = None
    handles: frozenset[str] = frozenset()


def handles(names: Iterable[str]) -> frozenset[str]:
    """Return handles without @, in lower case."""
    return frozenset(name.strip().removeprefix("@").lower() for name in names)


# Of the tables without creators, only this one is shown: vendors' costs are no client's.
_WHOLE = ("publication",)

_OWN_BOARDS = """
    SELECT as_of, period, niche, metric, creator_id, value, value_lo, value_hi,
           CASE WHEN share IS NOT NULL THEN value / nullif(sum(value) OVER board, 0) END AS share,
           rank() OVER (board ORDER BY value DESC) AS rank,
           CAST(NULL AS BIGINT) AS previous_rank, CAST(NULL AS BIGINT) AS rank_change,
           CAST(NULL AS BIGINT) AS confident_rank, CAST(NULL AS BOOLEAN) AS is_new
    FROM served.leaderboard WHERE creator_id IN (SELECT creator_id FROM client)
    WINDOW board AS (PARTITION BY as_of, period, niche, metric)
"""


def restrict(connection: duckdb.DuckDBPyConnection, snapshot: Path, client: ClientScope) -> None:
    """Make every published table and view appear with the client's rows only.

    Raises:
        PublishError: no creator of the client is published.
    """
    connection.execute(f"ATTACH {quoted_text(str(snapshot))} AS served (READ_ONLY)")
    connection.execute("USE served")
    known = connection.execute(
        "SELECT creator_id, lower(handle), coalesce(lower(previous_handles), ''), niche FROM served.creators"
    ).fetchall()
    connection.execute("USE memory")
    mine = {
        creator
        for creator, handle, former, niche in known
        if (client.niche is not None and niche == client.niche)
        or client.handles & {creator, handle, *filter(None, former.split(","))}
    }
    if not mine:
        raise PublishError(_nobody(client, {str(row[3]) for row in known if row[3]}, {str(row[1]) for row in known}))
    connection.register("client_rows", pl.DataFrame({"creator_id": sorted(mine)}))
    connection.execute("CREATE TEMP TABLE client AS SELECT creator_id FROM client_rows")
    connection.unregister("client_rows")
    columns = connection.execute(
        "SELECT table_name, bool_or(column_name = 'creator_id') FROM duckdb_columns() "
        "WHERE database_name = 'served' GROUP BY table_name ORDER BY table_name"
    ).fetchall()
    for table, of_creators in columns:
        rows = f"SELECT * FROM served.{quoted_name(table)}"
        if table == "leaderboard":
            rows = _OWN_BOARDS
        elif of_creators:
            rows += " WHERE creator_id IN (SELECT creator_id FROM client)"
        elif table not in _WHOLE:
            rows += " WHERE false"
        connection.execute(f"CREATE TEMP VIEW {quoted_name(table)} AS {rows}")


def _nobody(client: ClientScope, niches: set[str], known: set[str]) -> str:
    if client.niche is not None:
        near = difflib.get_close_matches(client.niche, sorted(niches), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"published are: {', '.join(sorted(niches)) or 'none'}"
        return f"no creator of niche {client.niche!r} is published; {hint}"
    wanted = sorted(client.handles)
    if not wanted:
        return f"{client.name} names no creator"
    near = [match for each in wanted for match in difflib.get_close_matches(each, sorted(known), n=1)]
    hint = f"; did you mean @{near[0]}?" if near else ""
    return f"no creator {', '.join('@' + each for each in wanted[:5])} is published{hint}"
