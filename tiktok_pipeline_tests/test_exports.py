"""Exports: what is published, whole or a span, in files that appear when they are whole."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from tiktok_pipeline import exports
from tiktok_pipeline.errors import ExportError
from tiktok_pipeline.exports import export
from tiktok_pipeline.lake import Lake
from tiktok_pipeline.published import PUBLISHED, time_column
from tiktok_pipeline.views import VIEWS
from tiktok_pipeline.warehouse import publish
from tiktok_pipeline_tests import small_lake
from tiktok_pipeline_tests.small_lake import AS_OF, TODAY

STREAMS = sum(len(told) for told in small_lake.HOURS_WATCHED.values())


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("exports")
    small_lake.fill(Lake(home / "lake"))
    with duckdb.connect(":memory:") as connection:
        publish(connection, Lake(home / "lake"), home / "warehouse", now=AS_OF, keep=1)
    return home / "warehouse"


@pytest.mark.parametrize("name", [*(table.name for table in PUBLISHED), *VIEWS])
@pytest.mark.parametrize("form", ["csv", "xlsx", "parquet"])
def test_every_table_and_view_is_written_in_every_form(
    warehouse: Path, tmp_path: Path, name: str, form: exports.Format
) -> None:
    written = export(warehouse, name, form, output=tmp_path / f"it.{form}")
    assert [path.name for path in tmp_path.iterdir()] == [f"it.{form}"]
    if form == "parquet":
        assert pl.read_parquet(written.path).height == written.rows
    elif form == "csv":
        with duckdb.connect(":memory:") as connection:
            read = connection.sql(f"SELECT * FROM read_csv('{written.path}', header = true, all_varchar = true)")
            of = next((t for t in PUBLISHED if t.name == name), None) or VIEWS[name]
            assert read.columns == [column.name for column in of.columns]
            assert len(read.fetchall()) == written.rows
    else:
        assert len(re.findall("<row ", sheet(written.path))) == written.rows + 1


def sheet(path: Path, part: str = "worksheets/sheet1") -> str:
    with zipfile.ZipFile(path) as book:
        return book.read(f"xl/{part}.xml").decode()


def test_a_span_is_chosen_by_the_time_that_a_row_belongs_to(warehouse: Path, tmp_path: Path) -> None:
    day = datetime(TODAY.year, TODAY.month, TODAY.day, tzinfo=UTC)
    path = tmp_path / "x.parquet"
    assert export(warehouse, "streams", "parquet", start=day, output=path).rows == 3
    assert export(warehouse, "streams", "parquet", end=day, output=path).rows == STREAMS - 3
    two = export(warehouse, "stream_overview", "parquet", start=day - timedelta(days=1), end=day, output=path)
    assert two.rows == 2
    assert set(pl.read_parquet(path)["started_at"].dt.date()) == {TODAY - timedelta(days=1)}
    assert export(warehouse, "coverage", "parquet", start=day, output=path).rows == 5
    assert export(warehouse, "movers", "parquet", end=day, output=path).rows == 0


def test_a_span_that_ends_before_it_begins_is_refused(warehouse: Path, tmp_path: Path) -> None:
    later, earlier = datetime(2026, 11, 7, tzinfo=UTC), datetime(2026, 11, 5, tzinfo=UTC)
    with pytest.raises(ExportError, match="is empty"):
        export(warehouse, "streams", "csv", start=later, end=earlier, output=tmp_path / "x.csv")


def test_what_has_no_time_is_exported_whole_or_not_at_all(warehouse: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="creators has no time of its own"):
        export(warehouse, "creators", "csv", start=AS_OF, output=tmp_path / "x.csv")
    assert not list(tmp_path.iterdir())


def test_every_table_with_a_day_has_a_time_to_choose_by() -> None:
    for of in (*PUBLISHED, *VIEWS.values()):
        whole = getattr(of, "files", "day") == "whole"
        assert (time_column(of) is not None) or whole, of.name


def test_a_csv_runs_no_formula_in_a_spreadsheet(warehouse: Path, tmp_path: Path) -> None:
    guarded = export(warehouse, "creators", "csv", output=tmp_path / "safe.csv")
    assert guarded.guarded == 5
    names = pl.read_csv(guarded.path)["display_name"]
    assert all(name.startswith("'=HYPERLINK(") for name in names)
    plain = export(warehouse, "creators", "csv", output=tmp_path / "exact.csv", exact=True)
    assert plain.guarded == 0
    assert pl.read_csv(plain.path)["display_name"].str.starts_with("=HYPERLINK(").all()


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "  =1", "\r=1", "\n=1"])
def test_everything_that_a_spreadsheet_takes_for_a_formula_is_guarded(text: str) -> None:
    with duckdb.connect(":memory:") as connection:
        row = connection.execute("SELECT regexp_matches(?, ?)", [text, exports._FORMULA]).fetchone()
        assert row == (True,)
        row = connection.execute("SELECT regexp_matches(?, ?)", [f"a{text}", exports._FORMULA]).fetchone()
        assert row == (False,)


def test_an_excel_file_has_types_a_frozen_header_and_no_formula(warehouse: Path, tmp_path: Path) -> None:
    book = export(warehouse, "stream_overview", "xlsx", output=tmp_path / "x.xlsx").path
    written = sheet(book)
    assert "<f>" not in written
    assert 'state="frozen"' in written
    assert "HYPERLINK" in sheet(book, "sharedStrings")
    assert "<hyperlink" not in written
    # 2026-11-05 18:55 as Excel counts days; viewer-hours as a number; a flag as a flag.
    assert "<v>46331.788194" in written
    assert "<v>40</v>" in written
    assert 't="b"' in written


def test_more_rows_than_a_sheet_holds_are_refused_in_words(
    warehouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "EXCEL_ROWS", 10)
    with pytest.raises(ExportError, match=r"coverage has 145 rows and an Excel sheet holds 10: narrow it"):
        export(warehouse, "coverage", "xlsx", output=tmp_path / "x.xlsx")
    assert not list(tmp_path.iterdir())


def test_a_text_that_no_cell_holds_is_cut_and_told(
    warehouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "_EXCEL_CELL", 10)
    written = export(warehouse, "creators", "xlsx", output=tmp_path / "x.xlsx")
    # Five display names and four lists of handles.
    assert written.cut == 5 + 4
    assert "=HYPERLINK(" not in sheet(written.path, "sharedStrings")


def test_a_file_that_fails_leaves_the_old_one(warehouse: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("old")
    with pytest.raises(ExportError, match="is not published; what is: "):
        export(warehouse, "no_such_table", "csv", output=path)
    with pytest.raises(ExportError, match="was not written"):
        export(warehouse, "creators", "csv", output=tmp_path / "no" / "folder" / "x.csv")
    assert path.read_text() == "old"


def run(folder: Path, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tiktok_pipeline.cli", "export", *arguments],
        cwd=folder, env={**os.environ, "TIKTOK_PIPELINE_HOME": str(home)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_command_names_the_file_after_what_is_in_it(warehouse: Path, tmp_path: Path) -> None:
    done = run(tmp_path, warehouse.parent, "streams", "--from", f"{TODAY}", "--to", f"{TODAY + timedelta(days=1)}")
    assert done.returncode == 0, done.stderr
    assert "3 rows of streams" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["streams-from-2026-11-05-to-2026-11-06.csv"]
    done = run(tmp_path, warehouse.parent, "creators")
    assert "5 texts that look like formulas" in done.stdout
    for arguments, code, said in (
        (["nothing"], 1, "is not published"),
        (["streams", "--format", "doc"], 2, "doc"),
    ):
        done = run(tmp_path, warehouse.parent, *arguments)
        assert done.returncode == code
        assert said in done.stderr
    done = run(tmp_path, tmp_path / "empty", "streams")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "nothing is published" in done.stderr
