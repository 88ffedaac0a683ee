"""Accepted forms of Parquet files, and the detection of damage."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from tiktok_pipeline.errors import DamagedFileError
from tiktok_pipeline.lake import parquet
from tiktok_pipeline.tables import LEADERBOARD, RAW_LIVES, STREAMS
from tiktok_pipeline_tests.transforms.frames import frame

AT = datetime(2026, 11, 2, 10, 0, 1, 234567, tzinfo=UTC)

ROWS = frame(
    RAW_LIVES,
    *(
        {
            "capture_id": f"c{number}", "vendor": "konbini", "endpoint": "/v1/live", "creator_id": "7",
            "subject": "ann", "page": number, "requested_at": AT, "received_at": AT + timedelta(seconds=1),
            "observed_at": AT, "attempt": 1, "http_status": 200, "outcome": "ok", "credits": 1.0, "headers": "{}",
            "body": "{}",
        }
        for number in range(3)
    ),
)  # fmt: skip


def millisecond(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(pl.col(pl.Datetime).dt.truncate("1ms"))


SAME: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
    "extra": lambda rows: rows.with_columns(later=pl.lit("x"), empty=pl.lit(None), deep=pl.struct("page")),
    "ns": lambda rows: rows.with_columns(pl.col(pl.Datetime).dt.cast_time_unit("ns")),
    "naive": lambda rows: rows.with_columns(pl.col(pl.Datetime).dt.replace_time_zone(None)),
    "zone": lambda rows: rows.with_columns(pl.col(pl.Datetime).dt.convert_time_zone("America/New_York")),
    "category": lambda rows: rows.with_columns(pl.col(pl.String).cast(pl.Categorical)),
    "enum": lambda rows: rows.with_columns(outcome=pl.col("outcome").cast(pl.Enum(["ok", "empty"]))),
    "bytes": lambda rows: rows.with_columns(pl.col("body").cast(pl.Binary)),
    "id as number": lambda rows: rows.with_columns(pl.col("creator_id").cast(pl.Int64)),
    "wide": lambda rows: rows.with_columns(pl.col(pl.Int16, pl.Int32).cast(pl.Int64)),
    "small": lambda rows: rows.with_columns(pl.col(pl.Int16, pl.Int32).cast(pl.UInt8, strict=False).fill_null(200)),
    "float": lambda rows: rows.with_columns(pl.col(pl.Int16, pl.Int32).cast(pl.Float64)),
    "decimal": lambda rows: rows.with_columns(pl.col("credits").cast(pl.Decimal(10, 2))),
    "integer": lambda rows: rows.with_columns(pl.col("credits").cast(pl.Int64)),
    "untyped nulls": lambda rows: rows.with_columns(cursor=pl.lit(None), error=pl.lit(None), run_id=pl.lit(None)),
    "missing": lambda rows: rows.drop("cursor", "error", "run_id", "elapsed_ms", "request_id"),
    "order": lambda rows: rows.select(sorted(rows.columns, reverse=True)),
}


@pytest.mark.parametrize("written", SAME)
def test_a_file_in_another_accepted_form_gives_the_same_rows(written: str, tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    SAME[written](ROWS).write_parquet(path)
    assert parquet.problem(RAW_LIVES, path) is None
    rows, left_out = parquet.read(RAW_LIVES, path)
    assert left_out is None
    assert rows.equals(ROWS)
    assert rows.schema == RAW_LIVES.schema
    some, _ = parquet.read(RAW_LIVES, path, ["http_status", "capture_id"])
    assert some.equals(ROWS.select("capture_id", "http_status"))


def test_a_file_with_milliseconds_is_scanned_together_with_other_files(tmp_path: Path) -> None:
    rows = millisecond(ROWS)
    rows.with_columns(pl.col(pl.Datetime).dt.cast_time_unit("ms"), later=pl.lit(1)).write_parquet(
        tmp_path / "b.parquet"
    )
    ROWS.write_parquet(tmp_path / "a.parquet")
    found = parquet.scan(RAW_LIVES, [tmp_path / "a.parquet", tmp_path / "b.parquet"]).collect()
    assert found.equals(pl.concat([ROWS, rows]))


def test_a_date_written_as_a_timestamp_is_read_at_midnight_only(tmp_path: Path) -> None:
    board = frame(LEADERBOARD, {"as_of": AT.date(), "creator_id": "ann"})
    path = tmp_path / "x.parquet"
    board.with_columns(pl.col("as_of").cast(pl.Datetime("ns"))).write_parquet(path)
    assert parquet.read(LEADERBOARD, path)[0].equals(board)
    board.with_columns(as_of=pl.lit(AT)).write_parquet(path)
    with pytest.raises(DamagedFileError, match="times of day"):
        parquet.read(LEADERBOARD, path)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "12 bytes"),
    "cut off": (lambda path: path.write_bytes(path.read_bytes()[:-9]), "PAR1"),
    "csv": (lambda path: path.write_text("a,b\n1,2\n" * 9), "PAR1"),
    "folder": (lambda path: (path.unlink(), path.mkdir()), "not a file"),
    "link to nothing": (lambda path: (path.unlink(), path.symlink_to("nowhere")), "a broken link"),
    "link to itself": (lambda path: (path.unlink(), path.symlink_to(path.name)), "a broken link"),
    "pipe": (lambda path: (path.unlink(), os.mkfifo(path)), "not a file"),
    "other table": (lambda path: frame(STREAMS).write_parquet(path), "capture_id"),
    "text for numbers": (
        lambda path: ROWS.with_columns(page=pl.lit("first")).write_parquet(path), "column page is String"
    ),
    "text for times": (
        lambda path: ROWS.with_columns(requested_at=pl.lit("2026")).write_parquet(path), "column requested_at is String"
    ),
    "flag for a number": (lambda path: ROWS.with_columns(page=pl.lit(value=True)).write_parquet(path), "page is Bool"),
    "no outcome": (lambda path: ROWS.drop("outcome").write_parquet(path), "it has no outcome"),
    "untyped outcome": (lambda path: ROWS.with_columns(outcome=pl.lit(None)).write_parquet(path), "it has no outcome"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_detected_by_its_footer_with_the_reason(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    ROWS.write_parquet(path)
    make, reason = DAMAGE[damage]
    make(path)
    assert reason in (parquet.problem(RAW_LIVES, path) or "")
    with pytest.raises(DamagedFileError, match=r"x\.parquet cannot be read"):
        parquet.read(RAW_LIVES, path)


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("page", 2**40, "page"),
        ("page", 1.5, "fractions"),
        ("http_status", 70_000, "http_status"),
        ("credits", "x", "credits is String"),
        ("body", b"\xff\xfe", "column body"),
    ],
)
def test_a_value_that_does_not_fit_its_type_is_damage_and_never_null(
    column: str, value: object, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.parquet"
    ROWS.with_columns(pl.lit(value).alias(column)).write_parquet(path)
    with pytest.raises(DamagedFileError, match=reason):
        parquet.read(RAW_LIVES, path)


def test_a_raw_row_without_a_capture_id_is_skipped_and_the_others_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    ROWS.with_columns(capture_id=pl.Series(["c0", None, "c2"])).write_parquet(path)
    rows, left_out = parquet.read(RAW_LIVES, path)
    assert rows["capture_id"].to_list() == ["c0", "c2"]
    assert left_out == "1 of 3 rows have no capture_id"


def test_a_raw_row_without_another_required_value_is_read_and_reported(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    ROWS.with_columns(observed_at=pl.Series([AT, None, AT], dtype=pl.Datetime("us", "UTC"))).write_parquet(path)
    rows, wrong = parquet.read(RAW_LIVES, path)
    assert rows.height == 3
    assert wrong == "1 of 3 rows have no observed_at"


def test_any_flipped_bit_raises_no_error_other_than_damaged_file_error(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pl.concat([ROWS] * 20).write_parquet(path)
    content = path.read_bytes()
    read = refused = 0
    for position in range(0, len(content), 3):
        flipped = bytearray(content)
        flipped[position] ^= 1 << position % 8
        path.write_bytes(bytes(flipped))
        try:
            parquet.problem(RAW_LIVES, path)
            parquet.read(RAW_LIVES, path)
            read += 1
        except DamagedFileError:
            refused += 1
    assert read + refused == len(range(0, len(content), 3))
    assert refused > read / 4


def test_values_that_a_cast_would_lose_are_named() -> None:
    assert parquet.lost(RAW_LIVES, ROWS.with_columns(later=pl.lit(None))) is None
    assert parquet.lost(RAW_LIVES, ROWS.with_columns(later=pl.lit("x"))) == (
        "columns that this release does not know: later"
    )
    nanoseconds = ROWS.with_columns(pl.col("requested_at").dt.cast_time_unit("ns"))
    assert parquet.lost(RAW_LIVES, nanoseconds) is None
    later = nanoseconds.with_columns(pl.col("requested_at") + pl.duration(nanoseconds=1))
    assert parquet.lost(RAW_LIVES, later) == "nanoseconds of requested_at"
