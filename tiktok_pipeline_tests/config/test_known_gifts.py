"""Reading, validating and erasing from the operator's file of known gifts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiktok_pipeline.commands.check import check_deployment
from tiktok_pipeline.config.known_gifts import forget_known_gifts, read_known_gifts
from tiktok_pipeline.errors import SettingsError


def written(folder: Path, text: str) -> Path:
    path = folder / "gifts.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_a_file_no_gift_is_known() -> None:
    assert read_known_gifts(None).is_empty()
    assert forget_known_gifts(None, "ana") == 0


def test_ids_stay_text_and_other_columns_are_ignored(tmp_path: Path) -> None:
    path = written(
        tmp_path, "\ufeffnote,stream_id,diamonds\nx,ana:7531095702089370381,1200\n,bo:2026-11-02T10:00:00Z,0.5\n"
    )
    assert read_known_gifts(path).rows() == [("ana:7531095702089370381", 1200.0), ("bo:2026-11-02T10:00:00Z", 0.5)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("stream_id\nana:1\n", "line 1: the columns must be stream_id, diamonds"),
        ("", "line 1"),
        ("stream_id,diamonds\nana:1,5\nana:2,many\n", "line 3: 'ana:2', 'many'"),
        ("stream_id,diamonds\nana:1,-5\n", "line 2"),
        ("stream_id,diamonds\nana:1,nan\n", "line 2"),
        ("stream_id,diamonds\nana:1\n", "line 2"),
        ("stream_id,diamonds\n7531,5\n", "line 2"),
        ("stream_id,diamonds\nana:1,1,200\n", "line 2: more cells"),
        ("stream_id,diamonds\nana:1,5\nana:1,6\n", "line 3: ana:1 is listed twice"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        read_known_gifts(written(tmp_path, text))


def test_a_missing_file_is_reported_with_the_setting_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"known_streams: .*gifts\.csv cannot be read"):
        read_known_gifts(tmp_path / "gifts.csv")


def test_forget_removes_a_creators_lines_and_keeps_the_others_unchanged(tmp_path: Path) -> None:
    path = written(
        tmp_path, 'note,stream_id,diamonds\nmine,ana:1,5\nhers,ana.b:1,6\n"a, b",bo:2026-11-02T10:00:00Z,7\n'
    )
    assert forget_known_gifts(path, "ana") == 1
    assert path.read_text() == 'note,stream_id,diamonds\nhers,ana.b:1,6\n"a, b",bo:2026-11-02T10:00:00Z,7\n'
    before = path.stat()
    assert forget_known_gifts(path, "ana") == 0
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert [entry.name for entry in tmp_path.iterdir()] == ["gifts.csv"]


def test_check_reads_the_file_and_names_the_bad_line(tmp_path: Path) -> None:
    gifts, settings = tmp_path / "gifts.csv", tmp_path / "settings.toml"
    environment = {"TIKTOK_PIPELINE_HOME": str(tmp_path), "TIKTOK_PIPELINE_SETTINGS": str(settings)}

    def found() -> dict[str, tuple[bool, str]]:
        return {finding.what: (finding.good, finding.message) for finding in check_deployment(environment)}

    assert "known gifts" not in found()
    settings.write_text(f'[gifts]\nknown_streams = "{gifts}"\n')
    gifts.write_text("stream_id,diamonds\nana:1,5\n")
    assert found()["known gifts"] == (True, "streams with known gifts: 1")
    gifts.write_text("stream_id,diamonds\nana:1,\n")
    good, message = found()["known gifts"]
    assert not good
    assert "gifts.csv, line 2" in message
