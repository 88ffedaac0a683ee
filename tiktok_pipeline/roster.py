"""Who is watched: roster.csv, read line by line; a bad line is named and does not stop the others.

Changes touch the lines that they are about and leave all others as they were typed, bad ones too.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from tiktok_pipeline.errors import RosterError
from tiktok_pipeline.providers.vendor import Target

TIERS = ("a", "b", "c")
_HANDLE = re.compile(r"[a-z0-9._]{1,64}")
_USER_ID = re.compile(r"\d{5,25}")


@dataclass(frozen=True)
class Creator:
    """One line of the roster. `handle` is as first added, lower-case: it is the creator_id, for good."""

    handle: str
    niche: str = ""
    tier: str = "b"
    user_id: str = ""
    sec_uid: str = ""
    note: str = ""

    @property
    def creator_id(self) -> str:
        """The id that never changes, also when the creator renames."""
        return self.handle

    @property
    def target(self) -> Target:
        """Whom vendors are asked for."""
        return Target(self.creator_id, self.handle, self.user_id or None, self.sec_uid or None)


COLUMNS = tuple(column.name for column in fields(Creator))


@dataclass(frozen=True)
class Roster:
    """The good lines, in the file's order, and what is wrong with the others."""

    creators: tuple[Creator, ...]
    problems: tuple[str, ...] = ()


def read_roster(path: Path) -> Roster:
    """The roster in the CSV file at `path`.

    Raises:
        RosterError: there is no such file, it is not UTF-8, or its header is wrong.
    """
    return parse_roster(_text(path), path.name)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise RosterError(f"no roster at {path}: add creators with `tiktok-pipeline roster add HANDLE`") from None
    except UnicodeDecodeError:
        raise RosterError(f"{path.name} is not UTF-8: save it as CSV UTF-8") from None
    except OSError as error:
        raise RosterError(f"{path} cannot be read: {error.strerror}") from None


def parse_roster(text: str, name: str = "roster.csv") -> Roster:
    """The roster in CSV text; see `read_roster`."""
    reader = csv.reader(io.StringIO(text))
    header = [cell.strip().lower() for cell in next(reader, [])]
    unknown = [column for column in header if column not in COLUMNS]
    if "handle" not in header or unknown:
        said = f"has unknown columns {', '.join(unknown)}" if unknown else "has no column handle"
        raise RosterError(f"{name}, line 1: {said}; columns are {', '.join(COLUMNS)}")
    creators: dict[str, Creator] = {}
    problems = []
    for cells in reader:
        line = reader.line_num
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) > len(header):
            problems.append(f"{name}, line {line}: {len(cells)} cells, the header has {len(header)}")
            continue
        row = dict(zip(header, (cell.strip() for cell in cells), strict=False))
        try:
            creator = make_creator(**row)
        except RosterError as error:
            problems.append(f"{name}, line {line}: {error}")
            continue
        if creator.creator_id in creators:
            problems.append(f"{name}, line {line}: @{creator.handle} is listed twice")
            continue
        creators[creator.creator_id] = creator
    return Roster(tuple(creators.values()), tuple(problems))


def make_creator(
    handle: str = "", niche: str = "", tier: str = "", user_id: str = "", sec_uid: str = "", note: str = ""
) -> Creator:
    """A creator from what an operator typed: `@` and case of the handle are ignored.

    Raises:
        RosterError: a value that cannot be right; says which.
    """
    plain = plain_handle(handle)
    if not _HANDLE.fullmatch(plain):
        raise RosterError(f"{handle!r} is no handle: letters, digits, dots and underscores")
    tier = tier.strip().lower() or "b"
    if tier not in TIERS:
        raise RosterError(f"@{plain} has tier {tier!r}; tiers are a, b and c")
    if user_id and not _USER_ID.fullmatch(user_id):
        raise RosterError(f"@{plain} has user_id {user_id!r}: digits only (a spreadsheet may have rounded it)")
    return Creator(plain, niche.strip().lower(), tier, user_id, sec_uid.strip(), note.strip())


def plain_handle(typed: str) -> str:
    """A handle without `@`, in lower case."""
    return typed.strip().lstrip("@").lower()


def add_creators(path: Path, creators: Sequence[Creator]) -> None:
    """Add lines to the roster at `path`; it is made where there is none.

    Raises:
        RosterError: the file cannot be read, or lacks a column that is needed while it has bad lines, which a new
            header would give another meaning.
    """
    text = _text(path) if path.exists() else ""
    if not text.strip():
        _write(path, _lines(COLUMNS, creators, header=True))
        return
    read = parse_roster(text, path.name)
    header = [cell.strip().lower() for cell in next(csv.reader(io.StringIO(text)))]
    lacking, plain = [column for column in COLUMNS if column not in header], Creator("")
    if any(getattr(creator, column) != getattr(plain, column) for creator in creators for column in lacking):
        if read.problems:
            raise RosterError("; ".join(read.problems))
        _write(path, _lines(COLUMNS, (*read.creators, *creators), header=True))
        return
    _write(path, text + ("" if text.endswith("\n") else "\n") + _lines(header, creators, header=False))


def remove_creator(path: Path, handle: str) -> bool:
    """Remove every line of the creator with this handle, as first added, from the roster at `path`; whether any was.

    Raises:
        RosterError: the file cannot be read, or its header is wrong.
    """
    text = _text(path)
    parse_roster(text, path.name)
    lines = text.splitlines(keepends=True)
    reader = csv.reader(iter(lines))
    column = [cell.strip().lower() for cell in next(reader)].index("handle")
    kept, begin = lines[: reader.line_num], reader.line_num
    for cells in reader:
        if column >= len(cells) or plain_handle(cells[column]) != plain_handle(handle):
            kept += lines[begin : reader.line_num]
        begin = reader.line_num
    if len(kept) == len(lines):
        return False
    _write(path, "".join(kept))
    return True


def _lines(columns: Sequence[str], creators: Iterable[Creator], *, header: bool) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if header:
        writer.writerow(columns)
    writer.writerows([getattr(creator, column) for column in columns] for creator in creators)
    return text.getvalue()


def _write(path: Path, text: str) -> None:
    """Replace the file, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}.new")
    staged.write_text(text, encoding="utf-8")
    staged.replace(path)
