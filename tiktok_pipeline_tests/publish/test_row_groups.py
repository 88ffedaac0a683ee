"""Concatenated Parquet files give the rows of all their parts in every reader, and damage is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest

from tiktok_pipeline.publish.row_groups import JoinError, Piece, join, whole


def part(folder: Path, number: int, rows: int, writer: str) -> tuple[Path, pl.DataFrame]:
    rows_of = pl.DataFrame(
        {
            "id": [f"{number}-{row % 7}" for row in range(rows)],
            "count": [None if row % 5 == 0 else row * number for row in range(rows)],
            "flag": [row % 3 == 0 for row in range(rows)],
            "ratio": [row / 7 for row in range(rows)],
            "at": [datetime(2026, 11, number, tzinfo=UTC)] * rows,
        },
        schema={"id": pl.String, "count": pl.Int64, "flag": pl.Boolean, "ratio": pl.Float64,
                "at": pl.Datetime("us", "UTC")},
    )  # fmt: skip
    path = folder / f"{number}.parquet"
    if writer == "polars":
        rows_of.write_parquet(path, row_group_size=100)
    elif writer == "pyarrow":
        pq.write_table(rows_of.to_arrow(), path, row_group_size=100, write_page_index=True)
    else:
        duckdb.sql("SET TimeZone = 'UTC'")
        rows_of.write_parquet(folder / "source.parquet")
        source = f"SELECT * FROM '{folder / 'source.parquet'}'"
        duckdb.sql(f"COPY ({source}) TO '{path}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 2048)")
    return path, rows_of


@pytest.mark.parametrize("writer", ["duckdb", "polars", "pyarrow"])
def test_a_concatenated_file_gives_the_rows_of_all_parts_in_every_reader(writer: str, tmp_path: Path) -> None:
    made = [part(tmp_path, number, rows, writer) for number, rows in ((1, 5_000), (2, 1), (3, 0), (4, 3_000))]
    pieces = [whole(path) for path, _ in made]
    joined = tmp_path / "joined.parquet"
    placed = [Piece(joined, place) for place in join(pieces, made[0][0], joined)]
    expected = pl.concat([rows for _, rows in made])
    for path, rows in (
        (joined, expected),
        # Concatenated again in another order, so that positions move both ways.
        (_joined(tmp_path / "again.parquet", [placed[3], placed[0]]), pl.concat([made[3][1], made[0][1]])),
        (_joined(tmp_path / "third.parquet", [placed[0], placed[1]]), pl.concat([made[0][1], made[1][1]])),
    ):
        assert pl.read_parquet(path).with_columns(pl.col("at").dt.convert_time_zone("UTC")).equals(rows)
        assert pl.from_arrow(pq.read_table(path)).with_columns(pl.col("at").dt.convert_time_zone("UTC")).equals(rows)
        assert duckdb.sql(f"SELECT count(*), count(count) FROM '{path}'").fetchall() == [
            (rows.height, rows["count"].count())
        ]
        # Statistics and Bloom filters are read at their moved positions.
        wanted = rows.filter(pl.col("id") == "1-3").height
        assert duckdb.sql(f"SELECT count(*) FROM '{path}' WHERE id = '1-3'").fetchall() == [(wanted,)]


def _joined(path: Path, pieces: list) -> Path:  # type: ignore[type-arg]
    join(pieces, pieces[0].path, path)
    return path


@pytest.mark.parametrize("damage", [b"", b"PAR1", b"noise" * 9, b"PAR1" + b"\xff" * 40 + b"\x10\x00\x00\x00PAR1"])
def test_a_file_that_is_not_parquet_is_refused(damage: bytes, tmp_path: Path) -> None:
    file = tmp_path / "bad.parquet"
    file.write_bytes(damage)
    with pytest.raises(JoinError):
        whole(file)
