"""Column lineage names existing columns, and every column of a mart has its sources."""

from __future__ import annotations

from graphlib import TopologicalSorter

import msgspec
import pytest

from tiktok_pipeline.config.settings import Settings
from tiktok_pipeline.tables import TABLES, Table

MARTS = [table for table in TABLES.values() if table.layer == "marts"]
ROSTER = {"handle", "niche", "tier", "user_id", "sec_uid", "note"}


@pytest.mark.parametrize("table", MARTS, ids=lambda table: table.name)
def test_every_column_of_a_mart_names_its_sources(table: Table) -> None:
    assert list(table.lineage) == [column.name for column in table.columns]


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_lineage_names_existing_columns(table: Table) -> None:
    known = {column.name for column in table.columns}
    assert {name for names in table.sources for name in names.split()} <= known
    for column, made_of in table.lineage.items():
        assert made_of, column
        for source, name in made_of:
            if source == "roster":
                assert name in ROSTER, f"{column}: roster.{name}"
            elif source == "settings":
                assert name in msgspec.structs.asdict(Settings()), f"{column}: settings.{name}"
            else:
                assert source in TABLES, f"{column}: {source}.{name}"
                assert name in TABLES[source].schema, f"{column}: {source}.{name}"


def test_lineage_follows_the_layers_and_has_no_cycle() -> None:
    layers = ("raw", "normalized", "marts")
    upstream = {
        name: {source for made_of in table.lineage.values() for source, _ in made_of if source in TABLES}
        for name, table in TABLES.items()
    }
    for name, sources in upstream.items():
        for source in sources:
            assert layers.index(TABLES[source].layer) <= layers.index(TABLES[name].layer), f"{name} reads {source}"
    # Raises if a table depends on itself.
    assert set(TopologicalSorter(upstream).static_order()) == set(TABLES)
