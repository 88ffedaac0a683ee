"""Read delimited text as spreadsheets write it: encoding, separator, line ends, and records with their line numbers.

This module does not interpret columns; roster.py does. The text is kept line by line, so that a change of one record
leaves the bytes of all others unchanged.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

SEPARATORS = (",", ";", "\t", "|")

# Longer marks first: the UTF-32 mark begins with the UTF-16 mark.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

# Excel's workbooks, new (a zip archive) and old.
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")

# Control characters that text files do not contain: all but tab, line ends, form feeds and the end mark of DOS.
_BINARY = re.compile(r"[\x00-\x08\x0e-\x19\x1b-\x1f]")

# Excel reads the separator from a first line such as `sep=;`.
_SEPARATOR_LINE = re.compile(r'\s*"?sep=(.)"?\s*', re.IGNORECASE)

_BREAK = re.compile(r"[\r\n]")

# A quoted cell may span lines. A longer record is treated as an open quote; this also bounds the work on such files.
_LONGEST_RECORD = 50

OPEN_QUOTE = "a quotation mark is not closed, or text follows the closing one"


@dataclass(frozen=True)
class Text:
    """A text file: its lines with their ends, and the encoding and byte order mark to write it back."""

    lines: tuple[str, ...]
    encoding: str = "utf-8"
    mark: bytes = b""

    @property
    def line_end(self) -> str:
        """The end of the first line; a line feed if it has none."""
        ends = re.search(r"\r\n|\r|\n", self.lines[0]) if self.lines else None
        return ends[0] if ends else "\n"

    def encode(self, lines: Sequence[str]) -> bytes:
        """Return the bytes of a file with these lines, in the same encoding.

        Raises:
            UnicodeEncodeError: the encoding lacks a character.
        """
        return self.mark + "".join(lines).encode(self.encoding)


@dataclass(frozen=True)
class DelimitedRecord:
    """One record: its cells as typed, its lines (`first` from 0, `end` not included), and its error, if any.

    The cells of a record with a problem are its line split at every separator.
    """

    first: int
    end: int
    cells: tuple[str, ...]
    problem: str | None = None

    @property
    def line(self) -> int:
        """The number of its first line, counted from 1."""
        return self.first + 1


def decode(raw: bytes) -> Text:
    """Decode UTF-8, UTF-16, UTF-32 or Windows-1252, with or without a byte order mark.

    Raises:
        ValueError: the bytes are not text; the message describes them and how to convert them.
    """
    if raw.startswith(_WORKBOOKS):
        raise ValueError("is a workbook or an archive, not text: save the sheet as CSV UTF-8")
    mark, encoding = next((known for known in _BYTE_ORDER_MARKS if raw.startswith(known[0])), (b"", _guess(raw)))
    body = raw[len(mark) :]
    try:
        text = body.decode(encoding)
    except UnicodeDecodeError:
        if mark or encoding != "utf-8":
            raise ValueError(f"is damaged: it begins as {encoding.upper()} and is not; save it as CSV UTF-8") from None
        text, encoding = _windows(body), "cp1252"
    if _BINARY.search(text):
        raise ValueError("is not text: save it as CSV UTF-8")
    # Only these end a line; str.splitlines also splits at separators that may occur inside a cell.
    return Text(tuple(io.StringIO(text, newline="")), encoding, mark)


def _guess(raw: bytes) -> str:
    """Return the encoding of text without a byte order mark, on the assumption that its first character is ASCII."""
    if len(raw) > 1 and (raw[0] == 0) != (raw[1] == 0):
        return "utf-16-be" if raw[0] == 0 else "utf-16-le"
    return "utf-8"


def _windows(body: bytes) -> str:
    try:
        return body.decode("cp1252")
    except UnicodeDecodeError:
        raise ValueError("is neither UTF-8 nor Windows-1252: save it as CSV UTF-8") from None


def begin(lines: Sequence[str]) -> tuple[int, str | None]:
    """Return the index of the first line that may be a header, and the separator from a line `sep=` above it."""
    at, separator = 0, None
    while at < len(lines):
        named = _SEPARATOR_LINE.fullmatch(lines[at].lstrip("\ufeff"))
        if named and separator is None:
            separator = named[1]
        elif lines[at].strip():
            break
        at += 1
    return at, separator


def records(
    lines: Sequence[str], separator: str, start: int = 0, *, one_line: Collection[int] = ()
) -> Iterator[DelimitedRecord]:
    """Yield the records from line `start` on, without empty lines.

    After an unreadable record, continue with the line after its first line.

    Args:
        lines: lines with their ends.
        separator: one character.
        start: the first line to read, from 0.
        one_line: indices of cells that contain no line break: a break in one of them is treated as an open quote.
    """
    at = first = start

    def feed() -> Iterator[str]:
        nonlocal at
        while at < len(lines) and at - first < _LONGEST_RECORD:
            at += 1
            yield lines[at - 1]

    while at < len(lines):
        first = at
        try:
            for cells in csv.reader(feed(), delimiter=separator, strict=True, skipinitialspace=True):
                if at - first > 1 and any(_BREAK.search(cell) for n, cell in enumerate(cells) if n in one_line):
                    raise csv.Error
                if cells:
                    yield DelimitedRecord(first, at, tuple(cells))
                first = at
        except csv.Error:
            cut = tuple(cell.strip().strip('"') for cell in lines[first].split(separator))
            at = first + 1
            yield DelimitedRecord(first, at, cut, OPEN_QUOTE)


def line_of(cells: Sequence[str], separator: str, line_end: str) -> str:
    """Format one record as a line, quoted where necessary."""
    text = io.StringIO()
    csv.writer(text, delimiter=separator, lineterminator=line_end).writerow(cells)
    return text.getvalue()
