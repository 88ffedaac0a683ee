"""Join Parquet files of one schema into one file, without decoding or encoding a row.

A Parquet file is a run of row groups and a footer that says where each column of each row group begins. `join` copies
the bytes of the row groups from several files, one after another, and writes one footer with shifted positions.
No library that this project uses can do that: each one decodes and encodes every row.

Format: https://parquet.apache.org/docs/file-format/; the footer is a Thrift struct in the compact protocol
(https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

_MAGIC = b"PAR1"

# Types of the compact protocol.
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12
_INTEGERS = (4, 5, 6)

# Field ids of parquet.thrift. FileMetaData:
_ROWS, _ROW_GROUPS, _KEYS = 3, 4, 5
# RowGroup: columns, file_offset, ordinal.
_COLUMNS, _GROUP_OFFSET, _ORDINAL = 1, 5, 7
# ColumnChunk: file_path, file_offset, meta_data, and the positions of its offset index and column index.
_FILE_PATH, _META_DATA = 1, 3
_CHUNK_POSITIONS = (2, 4, 6)
# ColumnMetaData: positions of its data pages, index page, dictionary page and Bloom filter.
_PAGE_POSITIONS = (9, 10, 11, 14)

_Fields = dict[int, tuple[int, Any]]


class JoinError(Exception):
    """A file cannot be joined: it is not Parquet, or its schema differs."""


@dataclass(frozen=True)
class Place:
    """Position of a run of whole row groups: the bytes of the data, and their bytes in the footer.

    `start` and `end` are positions of the data; `meta_start` and `meta_end` those of the row groups in the footer.
    """

    start: int
    end: int
    meta_start: int
    meta_end: int
    groups: int
    rows: int


@dataclass(frozen=True)
class Piece:
    """A run of whole row groups in a file."""

    path: Path
    place: Place


def whole(path: Path) -> Piece:
    """Return all row groups of a file as one piece.

    Raises:
        JoinError: the file is not Parquet.
        OSError: it cannot be read.
    """
    footer, position = _footer(path)
    reader = _Reader(footer)
    spans = reader.spans()
    start, end = spans.get(_ROW_GROUPS, (0, 0))
    reader.position = start
    groups = reader.list_header()[1] if end else 0
    rows = _Reader(footer, spans[_ROWS][0]).zigzag()
    return Piece(path, Place(len(_MAGIC), position, position + reader.position, position + end, groups, rows))


def join(pieces: Sequence[Piece], template: Path, path: Path) -> list[Place]:
    """Write the row groups of `pieces` to a new file, in this order.

    Args:
        pieces: pieces of files with the schema of `template`.
        template: a file that gives the schema and the other fields of the footer.
        path: the file to write.

    Returns:
        The places of the pieces in the new file.

    Raises:
        JoinError: a file is not Parquet.
        OSError: a file cannot be read or written.
    """
    footer, _ = _footer(template)
    spans = _Reader(footer).spans()
    placed: list[tuple[Place, bytes]] = []
    ordinal, stays = 0, True
    with path.open("wb") as out:
        out.write(_MAGIC)
        for piece in pieces:
            place = piece.place
            with piece.path.open("rb") as source:
                start = out.tell()
                _copy(source, out, place.start, place.end)
                source.seek(place.meta_start)
                meta = source.read(place.meta_end - place.meta_start)
            # At the start of the file, pieces of one file keep their positions and numbers.
            stays = stays and piece.path == pieces[0].path and place.start == start
            if not stays:
                meta = _moved(meta, place.groups, start - place.start, ordinal)
            ordinal += place.groups
            placed.append((replace(place, start=start, end=out.tell()), meta))
        position = out.tell()
        writer = _Writer()
        for number in sorted(spans.keys() | {_ROWS, _ROW_GROUPS}):
            if number == _ROWS:
                writer.field(number, 6)
                writer.zigzag(sum(piece.place.rows for piece in pieces))
            elif number == _ROW_GROUPS:
                writer.field(number, _LIST)
                writer.list_header(_STRUCT, ordinal)
                placed = [(_in_footer(place, writer.add(meta), position), meta) for place, meta in placed]
            elif number != _KEYS:
                writer.field(number, _Reader(footer).kind(number))
                writer.add(footer[slice(*spans[number])])
        writer.stop()
        out.write(writer.out)
        out.write(struct.pack("<I", len(writer.out)) + _MAGIC)
    return [place for place, _ in placed]


def _in_footer(place: Place, span: tuple[int, int], position: int) -> Place:
    return replace(place, meta_start=position + span[0], meta_end=position + span[1])


def _footer(path: Path) -> tuple[bytes, int]:
    """Return the footer of a file, and its position."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        if size < 12:
            raise JoinError(f"{path} is too short for Parquet")
        file.seek(size - 8)
        (length,) = struct.unpack("<I", file.read(4))
        if file.read(4) != _MAGIC or length > size - 12:
            raise JoinError(f"{path} does not end as a Parquet file")
        file.seek(size - 8 - length)
        return file.read(length), size - 8 - length


def _copy(source: BinaryIO, out: BinaryIO, start: int, end: int) -> None:
    """Append bytes of a file: within the kernel if possible, and without a copy if the filesystem supports it."""
    out.flush()
    position = out.tell()
    while start < end:
        try:
            done = os.copy_file_range(source.fileno(), out.fileno(), end - start, start, position)
        except (OSError, AttributeError):
            done = 0
        if not done:
            source.seek(start)
            block = source.read(min(end - start, 1 << 20))
            if not block:
                raise JoinError("a file ends within its row groups")
            out.seek(position)
            done = out.write(block)
            out.flush()
        start, position = start + done, position + done
    out.seek(position)


def _moved(meta: bytes, groups: int, shift: int, ordinal: int) -> bytes:
    """Return row groups of a footer with positions shifted, and numbered from `ordinal`."""
    reader, writer = _Reader(meta), _Writer()
    for number in range(groups):
        group = reader.struct()
        _shift(group, (_GROUP_OFFSET,), shift)
        if _ORDINAL in group:
            group[_ORDINAL] = (group[_ORDINAL][0], ordinal + number)
            if ordinal + number > 2**15 - 1:
                del group[_ORDINAL]
        for column in group[_COLUMNS][1][1]:
            if _FILE_PATH in column:
                raise JoinError("columns lie in another file")
            _shift(column, _CHUNK_POSITIONS, shift)
            if _META_DATA in column:
                _shift(column[_META_DATA][1], _PAGE_POSITIONS, shift)
        writer.struct(group)
    return bytes(writer.out)


def _shift(fields: _Fields, numbers: Sequence[int], shift: int) -> None:
    for number in numbers:
        # Writers put 0 if there is no position.
        if number in fields and fields[number][1] > 0:
            kind, position = fields[number]
            fields[number] = (kind, position + shift)


class _Reader:
    """Read the compact protocol from bytes."""

    def __init__(self, data: bytes, position: int = 0) -> None:
        self._data, self.position = data, position

    def spans(self) -> dict[int, tuple[int, int]]:
        """Return the start and end of each field's value in the struct at the start."""
        self.position = 0
        return {number: span for number, _, span in self._fields()}

    def kind(self, wanted: int) -> int:
        """Return the type of a field of the struct at the start."""
        self.position = 0
        return next(kind for number, kind, _ in self._fields() if number == wanted)

    def _fields(self) -> list[tuple[int, int, tuple[int, int]]]:
        found: list[tuple[int, int, tuple[int, int]]] = []
        number = 0
        while True:
            number, kind = self._header(number)
            if not kind:
                return found
            start = self.position
            self.value(kind)
            found.append((number, kind, (start, self.position)))

    def _header(self, before: int) -> tuple[int, int]:
        byte = self._byte()
        kind, delta = byte & 15, byte >> 4
        if not kind:
            return before, 0
        return (before + delta if delta else self.zigzag()), kind

    def struct(self) -> _Fields:
        """Read a struct: field id -> type and value."""
        fields: _Fields = {}
        number = 0
        while True:
            number, kind = self._header(number)
            if not kind:
                return fields
            fields[number] = kind, self.value(kind)

    def value(self, kind: int) -> Any:
        """Read a value of a type: lists as their type and values, structs as dicts."""
        if kind in _INTEGERS:
            return self.zigzag()
        if kind == _BINARY:
            length = self._varint()
            return self._take(length)
        if kind == _STRUCT:
            return self.struct()
        if kind in (_LIST, _SET):
            of, length = self.list_header()
            return of, [self._byte() if of in (_TRUE, _FALSE) else self.value(of) for _ in range(length)]
        if kind in (_TRUE, _FALSE):
            return kind == _TRUE
        if kind == _BYTE:
            return self._byte()
        if kind == _DOUBLE:
            return self._take(8)
        raise JoinError(f"the footer has a value of type {kind}")

    def list_header(self) -> tuple[int, int]:
        """Read the type and the number of a list's values."""
        byte = self._byte()
        length = byte >> 4
        return byte & 15, self._varint() if length == 15 else length

    def zigzag(self) -> int:
        """Read a signed integer."""
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    def _byte(self) -> int:
        if self.position >= len(self._data):
            raise JoinError("the footer is cut off")
        byte = self._data[self.position]
        self.position += 1
        return byte

    def _take(self, length: int) -> bytes:
        taken = self._data[self.position : self.position + length]
        self.position += length
        if len(taken) != length:
            raise JoinError("the footer is cut off")
        return taken


class _Writer:
    """Write the compact protocol."""

    def __init__(self) -> None:
        self.out = bytearray()
        self._before = 0

    def field(self, number: int, kind: int) -> None:
        """Write the header of a field of the outermost struct."""
        self._before = self._header(self._before, number, kind)

    def stop(self) -> None:
        """End a struct."""
        self.out.append(0)

    def add(self, encoded: bytes) -> tuple[int, int]:
        """Write encoded bytes; return their start and end."""
        start = len(self.out)
        self.out += encoded
        return start, len(self.out)

    def struct(self, fields: _Fields) -> None:
        """Write a struct."""
        before = 0
        for number, (kind, value) in sorted(fields.items()):
            before = self._header(before, number, kind)
            if kind not in (_TRUE, _FALSE):
                self._value(kind, value)
        self.stop()

    def list_header(self, kind: int, length: int) -> None:
        """Write the type and the number of a list's values."""
        if length < 15:
            self.out.append(length << 4 | kind)
        else:
            self.out.append(15 << 4 | kind)
            self._varint(length)

    def zigzag(self, value: int) -> None:
        """Write a signed integer."""
        self._varint(value << 1 if value >= 0 else (-value << 1) - 1)

    def _header(self, before: int, number: int, kind: int) -> int:
        delta = number - before
        if 0 < delta < 16:
            self.out.append(delta << 4 | kind)
        else:
            self.out.append(kind)
            self.zigzag(number)
        return number

    def _value(self, kind: int, value: Any) -> None:
        if kind in _INTEGERS:
            self.zigzag(value)
        elif kind == _BINARY:
            self._varint(len(value))
            self.out += value
        elif kind == _STRUCT:
            self.struct(value)
        elif kind in (_LIST, _SET):
            of, values = value
            self.list_header(of, len(values))
            for each in values:
                if of in (_TRUE, _FALSE):
                    self.out.append(each)
                else:
                    self._value(of, each)
        elif kind == _BYTE:
            self.out.append(value)
        else:
            self.out += value

    def _varint(self, value: int) -> None:
        while value > 127:
            self.out.append(value & 127 | 128)
            value >>= 7
        self.out.append(value)
