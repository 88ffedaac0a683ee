"""Write files so that a reader sees the old one or the new one, and so that they outlive a loss of power."""

from __future__ import annotations

import os
import uuid
from pathlib import Path


def replace_bytes(path: Path, content: bytes) -> None:
    """Write a file as a whole, and make its folder where there is none.

    Raises:
        OSError: it cannot be written; what was there before stays.
    """
    staged = path.with_name(f".{path.name.lstrip('.')}.{uuid.uuid4().hex}.next")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        staged.write_bytes(content)
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Make the content of a file, or the names that a folder holds, outlive a loss of power."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
