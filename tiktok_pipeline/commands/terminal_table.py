"""Tables on a terminal of any width: no value is cut or broken, whatever the width."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

# Width of a file or a pipe, unless COLUMNS is set.
_FILE_WIDTH = 124


@dataclass(frozen=True)
class TerminalColumn:
    """A column of a table: `left` aligns text; the column with the highest `drop` is left out first, 0 never."""

    name: str
    left: bool = False
    drop: int = 0


def print_table(title: str, columns: Sequence[TerminalColumn], rows: Sequence[Sequence[str]]) -> None:
    """Print a table with the columns that fit; where not even the needed ones fit, print a list."""
    console = Console(soft_wrap=True)
    wide = console.is_terminal or os.environ.get("COLUMNS", "").isdigit()
    width = console.width if wide else _FILE_WIDTH
    shown = list(range(len(columns)))
    while True:
        table = _table(title, [columns[place] for place in shown], [[row[place] for place in shown] for row in rows])
        # Measured without the limit of this terminal.
        needed = Console(width=10_000).measure(table).maximum
        if needed <= width:
            Console(width=max(width, needed)).print(table)
            return
        optional = [place for place in shown if columns[place].drop]
        if not optional:
            break
        shown.remove(max(optional, key=lambda place: columns[place].drop))
    console.print(title)
    for row in rows:
        console.print()
        for column, value in zip(columns, row, strict=True):
            if value:
                console.print(
                    f"  {column.name}: {value}" if column.name else f"  {value}", markup=False, highlight=False
                )
    console.print()


def _table(title: str, columns: Sequence[TerminalColumn], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for column in columns:
        table.add_column(column.name, justify="left" if column.left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    return table
