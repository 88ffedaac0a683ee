"""Tables on a terminal: no value is cut, whatever the width."""

from __future__ import annotations

import pytest

from tiktok_pipeline.commands.terminal_table import TerminalColumn, print_table

COLUMNS = [
    *(
        TerminalColumn("creator", left=True),
        TerminalColumn("start (UTC)"),
        TerminalColumn("viewers", drop=2),
        TerminalColumn("lift"),
    ),
    TerminalColumn("", left=True, drop=1),
]
ROWS = [
    ("a.handle_of_24_characters", "11-17 17:14", "1,234,567", "not observable", "provisional"),
    ("bo", "11-17 17:14", "–", "[bold]12", ""),
]


@pytest.mark.parametrize("width", [10, 20, 40, 60, 80, 90, 124, 300])
def test_no_value_is_cut_and_a_table_is_not_wider_than_the_terminal(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", f"{width}")
    print_table("Streams and their lift", COLUMNS, ROWS)
    out = capsys.readouterr().out
    for row in ROWS:
        for column, value in zip(COLUMNS, row, strict=True):
            assert value in out or column.drop, value
    assert "…" not in out
    longest = max(len(line.rstrip()) for line in out.splitlines())
    assert longest <= max(width, len("  creator: a.handle_of_24_characters"))


def test_a_file_gets_every_column(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    print_table("Streams and their lift", COLUMNS, ROWS)
    out = capsys.readouterr().out
    assert all(value in out for row in ROWS for value in row)
