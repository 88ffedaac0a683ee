"""Read and change roster.csv, the list of creators that are polled.

The file may come from a spreadsheet: any usual encoding, separator, line end and column name is read, and a handle may
be a profile URL. A bad line is reported with its number and does not stop the others. A change rewrites only the lines
that it affects; all others keep their bytes.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from urllib.parse import unquote

from tiktok_pipeline.config import delimited
from tiktok_pipeline.config.delimited import DelimitedRecord, Text, line_of
from tiktok_pipeline.erased.names import Names
from tiktok_pipeline.errors import RosterError
from tiktok_pipeline.files import replacing
from tiktok_pipeline.providers.identifiers import is_handle, is_rounded
from tiktok_pipeline.providers.vendor import Target

TIERS = ("a", "b", "c")
_USER_ID = re.compile(r"[1-9][0-9]{4,19}")
_SEC_UID = re.compile(r"MS4wLjAB[A-Za-z0-9_-]{1,248}={0,2}")
_PROFILE_URL = re.compile(r"(?:https?:)?(?:/{2,})?(?:[a-z0-9-]+\.)*tiktok\.com/+(?:@|%40)([^/?#]*)(?:[/?#].*)?", re.I)
_URL = re.compile(r"[a-z][a-z0-9+.-]*:/{1,2}|(?:[a-z0-9-]+\.)+[a-z]{2,}/", re.I)

# A spreadsheet keeps 15 digits of a number and replaces the others by zeros, or by an exponent.
_DIGITS_OF_A_SPREADSHEET = 15
_SCIENTIFIC = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?e[+-]?[0-9]+", re.I)
_DECIMAL = re.compile(r"([0-9]+)[.,][0-9]+")

# A roster of a hundred thousand creators has about 6 MB.
LARGEST_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Creator:
    """One line of the roster. `handle` is the first one, in lower case: it is the creator_id and never changes."""

    handle: str
    niche: str = ""
    tier: str = "b"
    user_id: str = ""
    sec_uid: str = ""
    note: str = ""

    @property
    def creator_id(self) -> str:
        """The id of the creator: it stays the same when the creator renames."""
        return self.handle

    @property
    def target(self) -> Target:
        """The identifiers for requests to vendors."""
        return Target(self.creator_id, self.handle, self.user_id or None, self.sec_uid or None)


COLUMNS = tuple(column.name for column in fields(Creator))

# Other names of the columns, compared as letters and digits in lower case. If a file has several, the first in the list
# wins. `id` and `name` are left out on purpose: one is often a row number, the other a display name.
_NAMES = {
    "handle": (
        "handle", "handles", "username", "usernames", "uniqueid", "tiktokhandle", "tiktokusername", "creatorhandle",
        "profileurl", "profilelink", "tiktokprofile", "tiktokurl", "tiktoklink", "url", "link", "profile", "user",
        "users", "account", "accounts", "creator", "creators",
    ),
    "niche": ("niche", "niches", "category", "topic", "vertical"),
    "tier": ("tier",),
    "user_id": ("userid", "uid", "tiktokid", "tiktokuserid"),
    "sec_uid": ("secuid", "secuserid"),
    "note": ("note", "notes", "comment", "comments", "remark", "remarks"),
}  # fmt: skip

# If one of these is the first line of a list, it may be a header or a handle: report it instead of guessing.
_AMBIGUOUS = {"name", "names", "id", "ids", "list", "nickname", "displayname", "tiktok"}


@dataclass(frozen=True)
class Roster:
    """The creators of a file in its order, the problems of its bad lines, and notes on tolerated deviations.

    Each problem and note names the file, and the line if it concerns one.
    """

    creators: tuple[Creator, ...]
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read_roster(path: Path, *, importing: bool = False) -> Roster:
    """Read the roster in the CSV file at `path`.

    Args:
        path: a file with a header, separated by commas, semicolons or tabs.
        importing: read a file from another source. A list of handles without a header is accepted. A line with a
            damaged id is left out; in the roster itself, the creator is kept without the id, so that polling continues.

    Raises:
        RosterError: the file cannot be read, is not text, is too large, or has no column `handle`.
    """
    return _parse(_load(path), path.name, importing=importing)


def without_erased(read: Roster, path: Path, erased: Names) -> Roster:
    """Leave out creators that `forget` erased; a problem names the line of each, without naming the creator."""
    refused = [
        creator
        for creator in (read.creators if erased else ())
        if erased.any_of(creator.creator_id, creator.handle, creator.user_id, creator.sec_uid)
    ]
    if not refused:
        return read
    sheet = _sheet(_load(path), path.name, importing=True)
    lines = {plain_handle(sheet.cells(record)["handle"]): record.line for record in sheet.records}
    problems = [
        f"{path.name}, line {lines.get(creator.handle, '?')}: this creator was erased with `forget` and is not polled; "
        "to poll them again, run `tiktok-pipeline roster add HANDLE --again`"
        for creator in refused
    ]
    kept = tuple(creator for creator in read.creators if creator not in refused)
    return replace(read, creators=kept, problems=(*read.problems, *problems))


def parse_roster(text: str, name: str = "roster.csv", *, importing: bool = False) -> Roster:
    """Read a roster from text; see `read_roster`."""
    return _parse(delimited.decode(text.encode()), name, importing=importing)


@dataclass(frozen=True)
class _Sheet:
    """A file with its header: the index of each known column, and the records below."""

    text: Text
    separator: str
    header: DelimitedRecord | None
    columns: dict[str, int]
    ignored: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """The number of cells that a record may have."""
        return len(self.header.cells) if self.header else 1

    @property
    def records(self) -> Iterable[DelimitedRecord]:
        """Every record below the header, without blank ones."""
        start = self.header.end if self.header else delimited.begin(self.text.lines)[0]
        one_line = [at for name, at in self.columns.items() if name != "note"]
        for record in delimited.records(self.text.lines, self.separator, start, one_line=one_line):
            if any(_trimmed(cell) for cell in record.cells):
                yield record

    def cells(self, record: DelimitedRecord) -> dict[str, str]:
        """Return the cells of a record by column, unchanged; missing ones are empty."""
        return {name: record.cells[at] if at < len(record.cells) else "" for name, at in self.columns.items()}


def _load(path: Path) -> Text:
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_BYTES + 1)
    except FileNotFoundError:
        raise RosterError(f"no roster at {path}: add creators with `tiktok-pipeline roster add HANDLE`") from None
    except IsADirectoryError:
        raise RosterError(f"{path} is a folder: name the CSV file in it") from None
    except OSError as error:
        raise RosterError(f"{path} cannot be read: {error.strerror}") from None
    if len(raw) > LARGEST_BYTES:
        raise RosterError(f"{path} has more than {LARGEST_BYTES // 1024**2} MB: this is not a list of creators")
    try:
        return delimited.decode(raw)
    except ValueError as error:
        raise RosterError(f"{path.name} {error}") from None


def _sheet(text: Text, name: str, *, importing: bool) -> _Sheet:
    """Find separator and header.

    Raises:
        RosterError: no column is `handle`, and the file is not an imported list of handles.
    """
    start, separator = delimited.begin(text.lines)
    found = []
    for candidate in (separator,) if separator else delimited.SEPARATORS:
        header = next(iter(delimited.records(text.lines, candidate, start)), None)
        if header is not None:
            columns, ignored = _columns(header)
            found.append(_Sheet(text, candidate, header, columns, ignored))
    # Of candidates with equally many known columns, take the one with the most cells; then the first, as max does.
    best = max(
        found, key=lambda sheet: (len(sheet.columns), len(sheet.header.cells if sheet.header else ())), default=None
    )
    if best is None or best.header is None:
        raise RosterError(f"{name}, line 1: has no column handle; columns are {', '.join(COLUMNS)}")
    if "handle" in best.columns:
        return best
    if importing and not best.columns:
        typed = text.lines[start].strip()
        if is_handle(plain_handle(typed)):
            if _plain_name(typed) in _AMBIGUOUS:
                raise RosterError(
                    f"{name}, line {start + 1}: {typed!r} may be a header or a handle: write `handle` above"
                )
            # A list of handles has no quotes and separators; a line that has them is reported as a bad handle.
            return _Sheet(text, ",", None, {"handle": 0})
    reason = best.header.problem or "has no column handle"
    raise RosterError(f"{name}, line {best.header.line}: {reason}; columns are {', '.join(COLUMNS)}")


def _columns(header: DelimitedRecord) -> tuple[dict[str, int], tuple[str, ...]]:
    """Return the index of each known column, and the ignored columns. A column's own name wins over other names."""
    if header.problem:
        return {}, ()
    plain = [_plain_name(cell) for cell in header.cells]
    columns = {}
    for column, names in _NAMES.items():
        at = next((plain.index(name) for name in names if name in plain), None)
        if at is not None:
            columns[column] = at
    taken = set(columns.values())
    return columns, tuple(_trimmed(cell) for at, cell in enumerate(header.cells) if at not in taken and _trimmed(cell))


def _parse(text: Text, name: str, *, importing: bool) -> Roster:
    sheet = _sheet(text, name, importing=importing)
    creators: dict[str, Creator] = {}
    by_user_id: dict[str, Creator] = {}
    previous_id, filled = "", False
    problems: list[str] = []
    notes = _notes(sheet, name)
    header = sheet.header and [_plain_name(cell) for cell in sheet.header.cells]
    for record in sheet.records:
        where = f"{name}, line {record.line}: "
        if header and [_plain_name(cell) for cell in record.cells] == header:
            notes.append(f"{where}repeats the header and is skipped")
            continue
        cells = sheet.cells(record)
        creator, wrong, damaged = _creator(**cells)
        surplus = record.problem or _surplus(sheet, record)
        if surplus:
            # Its cells may be in the wrong columns: do not report their contents as further problems.
            problems.append(where + surplus)
            continue
        if not wrong and creator.creator_id in creators:
            wrong.append(f"@{creator.handle} is listed twice")
        elif not wrong and creator.user_id and creator.user_id in by_user_id:
            other = by_user_id[creator.user_id].handle
            wrong.append(f"@{creator.handle} has the user_id of @{other}: list each creator once")
        keep = not wrong and not (damaged and importing)
        if wrong or damaged:
            polled = [f"@{creator.handle} is polled by its handle alone"] if keep else []
            problems.append(where + "; ".join([*wrong, *damaged, *polled]))
        if keep:
            creators[creator.creator_id] = creator
            notes += [f"{where}{doubt}" for doubt in _doubts(creator, cells)]
            if creator.user_id:
                one_less = str(int(creator.user_id) - 1)
                if not filled and one_less == previous_id:
                    notes.append(
                        f"{where}@{creator.handle} has the user_id of the line above plus 1: a spreadsheet may have "
                        "filled the column; compare it with the profile"
                    )
                filled = one_less == previous_id
                by_user_id[creator.user_id] = creator
            previous_id = creator.user_id
            if record.end - record.first > 1 and _hides_lines(sheet, record):
                notes.append(
                    f"{where}the quoted note ends in line {record.end}: close its quotation mark if it should not"
                )
    return Roster(tuple(creators.values()), tuple(problems), tuple(notes))


# Dates as spreadsheets show them, of the dotted forms that are also handles.
_DATE = re.compile(
    r"(?:0?[1-9]|[12][0-9]|3[01])\.(?:0?[1-9]|1[0-2])\.(?:[0-9]{2}|(?:19|20)[0-9]{2})"
    r"|(?:19|20)[0-9]{2}\.(?:0?[1-9]|1[0-2])\.(?:0?[1-9]|[12][0-9]|3[01])"
)
_WHOLE_DECIMAL = re.compile(r"[0-9]+\.0")


def _doubts(creator: Creator, cells: Mapping[str, str]) -> Iterator[str]:
    """Yield notes on values that are valid, but that a spreadsheet may have changed."""
    handle = creator.handle
    if creator.user_id and is_rounded(creator.user_id):
        yield f"@{handle} has user_id {creator.user_id}: it may be rounded; compare it with the profile"
    changed = "a spreadsheet may have changed the handle"
    if _DATE.fullmatch(handle):
        yield f"@{handle} may be a date: {changed}"
    elif _WHOLE_DECIMAL.fullmatch(handle):
        yield f"@{handle} may be a number: {changed}"
    elif handle in ("true", "false"):
        yield f"@{handle} may be a truth value: {changed}"
    for column in ("niche", "note"):
        typed = cells.get(column, "")
        if _is_misread(typed):
            yield f"{column} {_shown(typed)} may be UTF-8 read as Windows-1252: open the file as UTF-8"


def _is_misread(typed: str) -> bool:
    """Return whether the text is UTF-8 that was decoded as Windows-1252, such as `mÃºsica`."""
    if typed.isascii():
        return False
    try:
        typed.encode("cp1252").decode("utf-8")
    except UnicodeError:
        return False
    return True


def _notes(sheet: _Sheet, name: str) -> list[str]:
    notes = []
    if sheet.ignored:
        many = f"{', '.join(sheet.ignored[:5])}{' ...' if len(sheet.ignored) > 5 else ''}"
        notes.append(f"{name}: ignored columns: {many}; columns are {', '.join(COLUMNS)}")
    if sheet.text.encoding == "cp1252":
        notes.append(f"{name}: is not UTF-8 and is read as Windows-1252: save it as CSV UTF-8 if letters look wrong")
    return notes


def _surplus(sheet: _Sheet, record: DelimitedRecord) -> str | None:
    """Return why the cells of a record do not fit the columns; None if they fit."""
    if any(_trimmed(cell) for cell in record.cells[sheet.width :]):
        return f"{len(record.cells)} cells, the header has {sheet.width}: quote text that holds a separator"
    return None


def _hides_lines(sheet: _Sheet, record: DelimitedRecord) -> bool:
    """Return whether lines inside a quoted note look like roster lines: a quotation mark may be missing."""
    for line in sheet.text.lines[record.first + 1 : record.end]:
        cells = line.split(sheet.separator)
        at = sheet.columns["handle"]
        if len(cells) >= sheet.width > at and is_handle(plain_handle(cells[at].strip(' "'))):
            return True
    return False


def make_creator(
    handle: str = "", niche: str = "", tier: str = "", user_id: str = "", sec_uid: str = "", note: str = ""
) -> Creator:
    """Make a creator from typed values. `@` and case of the handle are ignored; a profile URL is accepted.

    Raises:
        RosterError: invalid values; names all of them.
    """
    creator, wrong, damaged = _creator(handle, niche, tier, user_id, sec_uid, note)
    if wrong or damaged:
        raise RosterError("; ".join([*wrong, *damaged]))
    return creator


def _creator(
    handle: str = "", niche: str = "", tier: str = "", user_id: str = "", sec_uid: str = "", note: str = ""
) -> tuple[Creator, list[str], list[str]]:
    """Return a creator, errors of handle or tier, and errors of ids; a damaged id is left empty."""
    wrong, damaged = [], []
    plain = plain_handle(handle)
    if not is_handle(plain):
        wrong.append(f"{_shown(handle)} is no handle: {_why_no_handle(plain)}")
    tier = _trimmed(tier).lower() or "b"
    if tier not in TIERS:
        wrong.append(f"{_named(plain)} has tier {_shown(tier)}; tiers are a, b and c")
    user_id, sec_uid = _id(user_id), _id(sec_uid)
    reason = _why_no_user_id(user_id) if user_id else None
    if reason:
        damaged.append(f"{_named(plain)} has user_id {_shown(user_id)}: {reason}")
        user_id = ""
    if sec_uid and not _SEC_UID.fullmatch(sec_uid):
        damaged.append(
            f"{_named(plain)} has sec_uid {_shown(sec_uid)}: a secUid begins with MS4wLjAB and has no spaces"
        )
        sec_uid = ""
    return Creator(plain, _trimmed(niche).lower(), tier, user_id, sec_uid, _trimmed(note, fold=False)), wrong, damaged


def plain_handle(typed: str) -> str:
    """Normalize a typed handle or profile URL: without `@`, in lower case."""
    plain = _trimmed(typed).strip("<>").strip()
    url = _PROFILE_URL.fullmatch(plain)
    return (unquote(url[1]) if url else plain).strip().lstrip("@").strip().lower()


def _why_no_handle(plain: str) -> str:
    if _URL.match(plain):
        return "this URL names no profile (https://www.tiktok.com/@handle)"
    return "2 to 24 letters, digits, dots and underscores, without two dots in a row"


def _why_no_user_id(user_id: str) -> str | None:
    if _SCIENTIFIC.fullmatch(user_id):
        return "a spreadsheet rounded it (scientific form): format the column as text and enter the id again"
    digits = user_id.lstrip("'")
    decimal = _DECIMAL.fullmatch(digits)
    if decimal or digits != user_id:
        return "digits only (a spreadsheet changed it): format the column as text and enter the id again"
    if not _USER_ID.fullmatch(user_id):
        return "5 to 20 digits, the first not 0, and nothing else"
    if len(user_id) > _DIGITS_OF_A_SPREADSHEET and not user_id[_DIGITS_OF_A_SPREADSHEET:].strip("0"):
        return (
            f"a spreadsheet rounded it (zeros after {_DIGITS_OF_A_SPREADSHEET} digits): format the column as text and "
            "enter the id again, or leave it empty"
        )
    return None


def _named(handle: str) -> str:
    return f"@{handle}" if is_handle(handle) else _shown(handle)


def _shown(typed: str) -> str:
    """Quote a value for a message: on one line, at most 60 characters."""
    return repr(typed if len(typed) <= 60 else typed[:57] + "...")


def _plain_name(cell: str) -> str:
    """Normalize a column name to letters and digits in lower case, without parts in brackets; empty for an @handle."""
    name = re.sub(r"\(.*?\)", "", _trimmed(cell).lower())
    return "" if name.startswith("@") else "".join(character for character in name if character.isalnum())


def _trimmed(cell: str, *, fold: bool = True) -> str:
    """Strip control characters, invisible characters and surrounding spaces from a cell.

    With `fold`, full-width letters become plain ones, and every run of spaces one space. Without it, characters inside
    the cell stay: joiners are part of emoji, line breaks part of a note.
    """
    if cell.isascii() and cell.isprintable():
        return " ".join(cell.split()) if fold else cell.strip()
    if not fold:
        return cell.strip("".join({c for c in cell if c.isspace() or unicodedata.category(c) in ("Cc", "Cf")}))
    folded = unicodedata.normalize("NFKC", cell)
    kept = "".join(c for c in folded if c.isspace() or unicodedata.category(c) not in ("Cc", "Cf"))
    return " ".join(kept.split())


# Spreadsheets keep the digits of an id if it is written as `="6943..."`.
_AS_TEXT = re.compile(r'="([^"]*)"')


def _id(cell: str) -> str:
    plain = _trimmed(cell)
    as_text = _AS_TEXT.fullmatch(plain)
    return as_text[1] if as_text else plain


def add_creators(path: Path, creators: Sequence[Creator]) -> None:
    """Append creators to the roster at `path`, in its encoding, separator and line ends; create a missing file.

    Missing columns are added to its header.

    Raises:
        RosterError: the file cannot be read or written, its encoding lacks a character, or a needed column is missing
            while lines have more cells than the header: a new column would change the meaning of these cells.
    """
    text = _load(path) if os.path.exists(path) else Text(())
    if not "".join(text.lines).strip("\ufeff \t\r\n"):
        _write(path, text, [line_of(COLUMNS, ",", "\n")] + [line_of(_cells(c, COLUMNS), ",", "\n") for c in creators])
        return
    sheet = _sheet(text, path.name, importing=False)
    assert sheet.header is not None  # only imported lists have no header
    lines, end = list(text.lines), text.line_end
    names: list[str | None] = [None] * len(sheet.header.cells)
    for column, at in sheet.columns.items():
        names[at] = column
    unset = Creator("")
    missing = [
        column
        for column in COLUMNS
        if column not in sheet.columns
        and any(getattr(creator, column) != getattr(unset, column) for creator in creators)
    ]
    if missing:
        wide = next((record for record in sheet.records if len(record.cells) > len(names)), None)
        if wide:
            raise RosterError(
                f"{path.name}, line {wide.line}: {len(wide.cells)} cells, the header has {len(names)}: correct it, or "
                f"add the column {missing[0]} to the header"
            )
        names += missing
        last = sheet.header.end - 1
        bare = lines[last].rstrip("\r\n")
        lines[last] = bare + sheet.separator + sheet.separator.join(missing) + lines[last][len(bare) :]
    if not lines[-1].endswith(("\r", "\n")):
        lines[-1] += end
    lines += [line_of(_cells(creator, names), sheet.separator, end) for creator in creators]
    _write(path, text, lines)


def remove_creator(path: Path, handle: str) -> bool:
    """Remove every line of the creator with this handle, as first added, from the roster at `path`.

    Returns:
        True if there was one.

    Raises:
        RosterError: the file cannot be read or written, or its header is invalid.
    """
    text = _load(path)
    sheet = _sheet(text, path.name, importing=False)
    plain, column = plain_handle(handle), sheet.columns["handle"]
    removed = {
        line
        for record in sheet.records
        if len(record.cells) > column and plain_handle(record.cells[column]) == plain
        for line in range(record.first, record.end)
    }
    if removed:
        _write(path, text, [line for at, line in enumerate(text.lines) if at not in removed])
    return bool(removed)


def _cells(creator: Creator, columns: Sequence[str | None]) -> list[str]:
    return [getattr(creator, column) if column else "" for column in columns]


def _write(path: Path, text: Text, lines: Sequence[str]) -> None:
    """Replace the file in one step; keep links, owner and permissions."""
    try:
        raw = text.encode(lines)
    except UnicodeEncodeError as error:
        lacks = error.object[error.start : error.end]
        raise RosterError(f"{path.name} is Windows-1252, which lacks {lacks!r}: save it as CSV UTF-8") from None
    target = path.resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as staged:
            staged.write_bytes(raw)
            if target.exists():
                shutil.copymode(target, staged)
                # Only root may change the owner; for other users the owner is already the same.
                with contextlib.suppress(OSError):
                    shutil.chown(staged, target.stat().st_uid, target.stat().st_gid)
    except OSError as error:
        raise RosterError(f"{path} was not changed: {error.strerror}") from None
