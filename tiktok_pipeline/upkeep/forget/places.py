"""Erase creators from files: the lake, the report, and other files below a deployment's home."""

from __future__ import annotations

import contextlib
import shutil
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import polars as pl

from tiktok_pipeline import tables
from tiktok_pipeline.derive import decoded, up_to_date
from tiktok_pipeline.erased.creators import FILE
from tiktok_pipeline.erased.mentions import redact_text
from tiktok_pipeline.erased.names import Names
from tiktok_pipeline.erased.rows import clear, is_in_a_cell
from tiktok_pipeline.lake import remembered
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.publish.catalog import PUBLISHED
from tiktok_pipeline.publish.views import VIEWS
from tiktok_pipeline.tables import Table

# Creators are identified by these tables: erase from them last, so that a repeated `forget` still finds all names.
_LAST = (tables.PROFILE_OBSERVATIONS, tables.CREATORS)
# Folders of the lake that only cache results: `forget` removes them as a whole.
_CACHES = (decoded.FOLDER, up_to_date.FOLDER, remembered.FOLDER)
_EXPORTS = frozenset((".csv", ".xlsx", ".parquet", ".next", ".part", ".html"))


def erase_lake(
    lake: Lake,
    names: Names,
    terms: list[str] | None,
    removed: Counter[str],
    redacted: Counter[str],
    progress: Callable[[str], None],
) -> list[str]:
    """Erase from every table, file by file, each replaced as a whole.

    Args:
        lake: within `Lake.exclusive`.
        names: the creators to erase.
        terms: texts of which every mention contains one, lower-case; None if some names are unknown, so that every
            body is searched.
        removed: rows removed, by table; added to.
        redacted: redacted rows of others, by table; added to.
        progress: called with messages.

    Returns:
        The problems of files that cannot be read. All others were erased from.

    Raises:
        LakeError: a file cannot be rewritten.
    """
    broken = []
    ordered = sorted(tables.TABLES.values(), key=lambda table: table in _LAST)
    for table in ordered:
        files = sorted(lake.folder(table).rglob("*.parquet"))
        if files:
            progress(f"{table.name}: {len(files):,} files")
        for path in files:
            try:
                _erase_file(lake, table, path, names, terms, removed, redacted)
            except (pl.exceptions.PolarsError, OSError) as error:
                broken.append(f"{path} cannot be read ({str(error).splitlines()[0]})")
    return broken


def _erase_file(
    lake: Lake,
    table: Table,
    path: Path,
    names: Names,
    terms: list[str] | None,
    removed: Counter[str],
    redacted: Counter[str],
) -> None:
    frame = pl.read_parquet(path, hive_partitioning=False)
    if terms is not None and not _may_mention(frame, terms):
        return
    cleared = clear(frame, names)
    if cleared.removed or cleared.redacted:
        lake.rewrite(path, cleared.frame)
        removed.update({table.name: cleared.removed} if cleared.removed else {})
        redacted.update({table.name: cleared.redacted} if cleared.redacted else {})


def _may_mention(frame: pl.DataFrame, terms: list[str]) -> bool:
    """Return whether any text of the frame contains a term. A JSON escape may hide one: escaped texts count too."""
    if "follower_key" in frame.columns:
        return True
    texts = [
        pl.col(name).str.to_lowercase().str.contains_any([*terms, "\\u"]).any()
        for name, dtype in frame.schema.items()
        if dtype == pl.String
    ]
    lists = [
        pl.col(name).list.join(",").str.to_lowercase().str.contains_any(terms).any()
        for name, dtype in frame.schema.items()
        if dtype == pl.List(pl.String)
    ]
    found = [*texts, *lists]
    return bool(found) and bool(frame.select(pl.any_horizontal(found)).item())


def remove_leftovers(lake: Lake) -> int:
    """Remove leftovers of killed processes in the lake's staging folder; return how many files.

    Call it within `Lake.exclusive` and while no write is under way (`ErasedCreators.locked`).
    """
    left = [path for path in lake.staging().glob("*") if path.is_file() and not path.name.startswith(".")]
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)


def remove_kept_readings(lake: Lake) -> None:
    """Remove decoded readings, remembered results and records of derived days: the next `derive` rebuilds them.

    Call it while no write is under way (`ErasedCreators.locked`).
    """
    for folder in _CACHES:
        shutil.rmtree(lake.root / folder, ignore_errors=True)


def remove_staged_copies(*files: Path | None) -> None:
    """Remove half-written new versions of files that are replaced as a whole."""
    for file in files:
        if file is not None:
            target = file.resolve()
            for suffix in ("new", "next"):
                for left in target.parent.glob(f".{target.name}*.{suffix}"):
                    left.unlink(missing_ok=True)


def remove_pages(folder: Path, names: Names) -> int:
    """Remove the report's pages that name them; return how many. The next report makes the others' pages again."""
    removed = 0
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        named = names.matches("creator", path.stem)
        # The index shows creators by many texts: remove it in any case; it is made again.
        if named or path.name.startswith((".", "index.")) or is_in_a_cell(_text(path), names):
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def erase_other_files(home: Path, skipped: Iterable[Path], names: Names) -> tuple[list[Path], list[Path]]:
    """Remove exports below a folder that name the creator, and find other files that do.

    Returns:
        Exports that were removed: they can be made again. And files of other programs: they stay.
    """
    removed, left = [], []
    for path in _files(home, {*skipped}):
        if not _names_them(path, names):
            continue
        if _is_export(path):
            path.unlink(missing_ok=True)
            removed.append(path)
        else:
            left.append(path)
    return removed, left


def stray_files(lake: Lake, names: Names) -> list[Path]:
    """Return files of the lake that are no data and name the creator: in `_aside/`, or beside a table's files."""
    own = [lake.staging(), lake.root / FILE, *(lake.root / folder for folder in _CACHES)]
    layers = tuple(lake.root / layer for layer in sorted({table.layer for table in tables.TABLES.values()}))
    return [
        path
        for path in _files(lake.root, {*own})
        if not (path.suffix == ".parquet" and any(layer in path.parents for layer in layers))
        and _names_them(path, names)
    ]


def _files(folder: Path, skipped: set[Path]) -> Iterator[Path]:
    if not folder.exists():
        return
    for path in sorted(folder.iterdir()):
        if path in skipped or path.is_symlink():
            continue
        if path.is_dir():
            yield from _files(path, skipped)
        elif path.is_file():
            yield path


def _is_export(path: Path) -> bool:
    """Return whether `tiktok-pipeline export` uses this file name: a published table or view, and perhaps a span."""
    stem = path.name.lstrip(".").split(".")[0]
    published = {table.name for table in PUBLISHED} | VIEWS.keys()
    return path.suffix in _EXPORTS and any(
        stem == name or stem.startswith((f"{name}-from-", f"{name}-to-")) for name in published
    )


def _names_them(path: Path, names: Names) -> bool:
    """Return whether a file names them. Cells of exports are compared whole; elsewhere common words are skipped."""
    try:
        with contextlib.suppress(pl.exceptions.PolarsError):
            if path.suffix == ".parquet":
                cleared = clear(pl.read_parquet(path, hive_partitioning=False), names)
                return cleared.removed + cleared.redacted > 0
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                texts = [archive.read(name).decode("utf-8", "replace") for name in archive.namelist()]
            return any(is_in_a_cell(text, names) for text in texts)
        text = _text(path)
    except (OSError, zipfile.BadZipFile, RuntimeError):
        return False
    return is_in_a_cell(text, names) if _is_export(path) else redact_text(text, names) != text


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace")
