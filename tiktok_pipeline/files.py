"""Replace files in one step, so that readers see the old file or the new one, also after a loss of power."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(
    path: Path, *, durable: bool = False, place: Callable[[Path, Path], object] = Path.replace
) -> Iterator[Path]:
    """Yield a path to write to; at the end that file replaces `path`. On an error `path` stays as it was.

    durable: sync the content first, so that a loss of power cannot leave an empty file.
    place: moves the written file to `path`.

    Raises:
        OSError: the file cannot be written or moved.
    """
    staged = path.with_name(f".{path.name.lstrip('.')}.{uuid.uuid4().hex}.next")
    try:
        yield staged
        if durable:
            sync(staged)
        place(staged, path)
    finally:
        staged.unlink(missing_ok=True)


def replace_bytes(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Replace a file in one step; make its folder if it is missing. See `replacing`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, durable=durable) as staged:
        staged.write_bytes(content)


def sync(path: Path) -> None:
    """Flush the content of a file, or the entries of a folder, to disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
