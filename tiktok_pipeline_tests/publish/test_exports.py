"""Exports of the published tables, whole or for a span, in files that are written atomically."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import duckdb
import polars as pl
import pytest

from tiktok_pipeline.errors import ExportError
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.publish import exports
from tiktok_pipeline.publish.catalog import PUBLISHED, time_column
from tiktok_pipeline.publish.duckdb_file import publish
from tiktok_pipeline.publish.exports import export
from tiktok_pipeline.publish.views import VIEWS
from tiktok_pipeline_tests import small_lake
from tiktok_pipeline_tests.small_lake import AS_OF, TODAY

STREAMS = sum(len(streams_of_creator) for streams_of_creator in small_lake.HOURS_WATCHED.values())


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("exports")
    small_lake.fill(Lake(home / "lake"))
    with duckdb.connect(":memory:") as connection:
        publish(connection, Lake(home / "lake"), home / "warehouse", now=AS_OF, keep=1)
    return home / "warehouse"


@pytest.mark.parametrize("name", [*(table.name for table in PUBLISHED), *VIEWS])
@pytest.mark.parametrize("form", ["csv", "xlsx", "parquet"])
def test_every_table_and_view_is_exported_in_every_format(
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


def test_a_span_selects_rows_by_their_time_column(warehouse: Path, tmp_path: Path) -> None:
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


def test_tables_without_a_time_column_are_exported_whole_or_not_at_all(warehouse: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="creators has no time column"):
        export(warehouse, "creators", "csv", start=AS_OF, output=tmp_path / "x.csv")
    assert not list(tmp_path.iterdir())


def test_every_table_with_a_day_has_a_time_column_for_spans() -> None:
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


FORMULAS = [
    "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "  =1", "\r=1", "\n=1", "\ttext", "\rtext", "\ntext", "＝1+1", "＋1", "－1",
    "＠SUM(A1)", "﹦1+1", "\u00a0=1", "\u3000＝1", "\u200b=1", "\ufeff=1", "\u202e=1", "\x0b=1", "-5",
    "=cmd|'/c calc'!A1",
]  # fmt: skip
NUMBERS = [
    "1234567890123456", "6943972350728712345", " 6943972350728712345 ", "6943972350728712345,6943972350728712346",
    "6943972350728712345, 6943972350728712346", "007", "12e5", "1E5", "1.5e10",
]  # fmt: skip
PLAIN = [
    "", "123456789012345", "0", "a=1+1", "mira:6943972350728712345", "a\n=1", "12 34", "e5", "1e", "ünï 你好", "a,b",
    'a"b', "a;b", "<r><t>x</t></r>", "l1\r\nl2", "\x1bmira", "_x0041_", "\uffff", "{=1+1}", "https://example.org/x",
    "x" * 40_000, "👩" * 20_000, " padded ", "'quoted'", "NULL", "#REF!", "</t></si>", "0.5",
]  # fmt: skip


@pytest.fixture(scope="module")
def hostile(warehouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Publish a creator for each text, as id (by number) and display name; followers are negative."""
    folder = tmp_path_factory.mktemp("hostile")
    shutil.copy(warehouse / "tiktok.duckdb", folder / "tiktok.duckdb")
    with duckdb.connect(str(folder / "tiktok.duckdb")) as connection:
        connection.execute("DELETE FROM creators")
        for n, text in enumerate([*FORMULAS, *NUMBERS, *PLAIN]):
            connection.execute(
                "INSERT INTO creators (creator_id, display_name, followers, on_roster) VALUES (?, ?, ?, true)",
                [f"c{n:03}", text, -n],
            )
    return folder


def names(path: Path, encoding: str) -> tuple[list[str], list[str]]:
    """Return the display names and the numbers of followers of a CSV."""
    with path.open(encoding=encoding, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["creator_id"] for row in rows] == [f"c{n:03}" for n in range(len(rows))]
    return [row["display_name"] for row in rows], [row["followers"] for row in rows]


def test_formulas_and_long_ids_in_a_csv_get_an_apostrophe_and_other_text_is_unchanged(
    hostile: Path, tmp_path: Path
) -> None:
    done = export(hostile, "creators", "csv", output=tmp_path / "x.csv")
    assert (done.guarded, done.numbers) == (len(FORMULAS), len(NUMBERS))
    found, followers = names(done.path, "utf-8-sig")
    assert found == [*(f"'{text}" for text in [*FORMULAS, *NUMBERS]), *PLAIN]
    assert followers == [str(-n) for n in range(len(found))], "a negative number in a column of numbers stays one"


def test_a_csv_begins_with_a_byte_order_mark_unless_it_is_for_programs(hostile: Path, tmp_path: Path) -> None:
    written = export(hostile, "creators", "csv", output=tmp_path / "x.csv")
    assert written.path.read_bytes().startswith(b"\xef\xbb\xbfcreator_id,handle,")
    unmarked = export(hostile, "creators", "csv", output=tmp_path / "unmarked.csv", mark=False)
    assert b"\xef\xbb\xbf" + unmarked.path.read_bytes() == written.path.read_bytes()
    exact = export(hostile, "creators", "csv", output=tmp_path / "exact.csv", exact=True)
    assert exact.path.read_bytes().startswith(b"creator_id,handle,")
    assert (exact.guarded, exact.numbers) == (0, 0)
    assert names(exact.path, "utf-8")[0] == [*FORMULAS, *NUMBERS, *PLAIN]


def test_an_excel_file_has_every_text_as_text(hostile: Path, tmp_path: Path) -> None:
    done = export(hostile, "creators", "xlsx", output=tmp_path / "x.xlsx")
    assert done.cut == 2
    markup = sheet(done.path)
    for never in ("<f>", "<f ", "<hyperlink", "<is>"):
        assert never not in markup
    space = {"": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}
    with zipfile.ZipFile(done.path) as book:
        assert book.testzip() is None
        for name in book.namelist():
            ElementTree.fromstring(book.read(name))
        shared = ElementTree.fromstring(book.read("xl/sharedStrings.xml"))
    strings = [item.findtext("t", None, space) for item in shared.findall("si", space)]
    assert None not in strings
    read = {re.sub("_x([0-9A-F]{4})_", lambda code: chr(int(code[1], 16)), text or "") for text in strings}
    for text in [*FORMULAS, *NUMBERS, *PLAIN]:
        expected = {"<r><t>x</t></r>": "<r><t>x</t></r> ", "x" * 40_000: "x" * 32_767, "👩" * 20_000: "👩" * 16_383}
        assert not text or expected.get(text, text) in read, repr(text[:30])
    assert all(len(text.encode("utf-16-le")) <= 2 * 32_767 for text in read)
    assert "<v>-3</v>" in markup


def test_many_links_and_non_finite_numbers_break_no_excel_file(warehouse: Path, tmp_path: Path) -> None:
    shutil.copy(warehouse / "tiktok.duckdb", tmp_path / "tiktok.duckdb")
    with duckdb.connect(str(tmp_path / "tiktok.duckdb")) as connection:
        connection.execute(
            "INSERT INTO creators (creator_id, display_name, on_roster) "
            "SELECT 'u' || n, 'https://example.org/' || n, true FROM range(70000) t(n)"
        )
        connection.execute("UPDATE streams SET hours_watched = 'nan', average_viewers = '-inf'")
    done = export(tmp_path, "creators", "xlsx", output=tmp_path / "x.xlsx")
    assert done.rows == 70_005
    assert "<hyperlink" not in sheet(done.path)
    done = export(tmp_path, "streams", "xlsx", output=tmp_path / "y.xlsx")
    assert "#NUM!" in sheet(done.path)


def test_an_excel_file_has_types_a_frozen_header_and_no_formula(warehouse: Path, tmp_path: Path) -> None:
    book = export(warehouse, "stream_overview", "xlsx", output=tmp_path / "x.xlsx").path
    written = sheet(book)
    assert "<f>" not in written
    assert 'state="frozen"' in written
    assert "HYPERLINK" in sheet(book, "sharedStrings")
    assert "<hyperlink" not in written
    # 2026-11-05 18:55 as Excel counts days; viewer-hours as a number; a flag as a boolean.
    assert "<v>46331.788194" in written
    assert "<v>40</v>" in written
    assert 't="b"' in written


def test_an_excel_file_has_a_filter_widths_and_number_formats(warehouse: Path, tmp_path: Path) -> None:
    book = export(warehouse, "stream_overview", "xlsx", output=tmp_path / "x.xlsx").path
    styles = sheet(book, "styles")
    for code in ("#,##0", "#,##0.00", "0.0%", "yyyy-mm-dd hh:mm:ss"):
        assert f'formatCode="{code}"' in styles
    widths = [float(width) for width in re.findall(r'<col [^>]*width="([\d.]+)"', sheet(book))]
    assert min(widths) > 7
    assert max(widths) < 60, "a long text may not push the numbers off the screen"
    assert "<autoFilter" in sheet(book) or "<autoFilter" in sheet(book, "tables/table1")


def test_more_rows_than_a_sheet_can_hold_are_refused_with_a_reason(
    warehouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "EXCEL_ROWS", 10)
    with pytest.raises(ExportError, match=r"coverage has 145 rows, but an Excel sheet holds at most 10: narrow it"):
        export(warehouse, "coverage", "xlsx", output=tmp_path / "x.xlsx")
    assert not list(tmp_path.iterdir())


def test_a_text_too_long_for_a_cell_is_cut_and_reported(
    warehouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "_EXCEL_CELL", 10)
    written = export(warehouse, "creators", "xlsx", output=tmp_path / "x.xlsx")
    # Five display names and four lists of handles.
    assert written.cut == 5 + 4
    assert "=HYPERLINK(" not in sheet(written.path, "sharedStrings")


def test_a_failing_export_leaves_the_old_file(warehouse: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("old")
    with pytest.raises(ExportError, match="is not published; published are: "):
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


def test_the_command_names_the_file_after_its_content(warehouse: Path, tmp_path: Path) -> None:
    done = run(tmp_path, warehouse.parent, "streams", "--from", f"{TODAY}", "--to", f"{TODAY + timedelta(days=1)}")
    assert done.returncode == 0, done.stderr
    assert "3 rows of streams" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["streams-from-2026-11-05-to-2026-11-06.csv"]
    done = run(tmp_path, warehouse.parent, "creators")
    assert "5 texts that look like formulas" in done.stdout
    assert (tmp_path / "creators.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    for option in ("--exact", "--no-bom"):
        run(tmp_path, warehouse.parent, "creators", option)
        assert (tmp_path / "creators.csv").read_bytes().startswith(b"creator_id,")
    for arguments, code, reason in (
        (["nothing"], 1, "is not published"),
        (["streams", "--format", "doc"], 2, "doc"),
    ):
        done = run(tmp_path, warehouse.parent, *arguments)
        assert done.returncode == code
        assert reason in done.stderr
    done = run(tmp_path, tmp_path / "empty", "streams")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "nothing is published" in done.stderr
