"""Every error that the project raises on purpose.

PipelineError
├── SettingsError          settings.toml, an environment variable or a credential is wrong
├── RosterError            the roster has a bad line
├── LakeError              the lake cannot be read or written as asked
│   └── DamagedFileError   one file of the lake cannot be read as rows of its table
├── BackfillError          raw was asked for a time that vendors cannot answer for
├── CaptureError           a window ended without one answer
├── PublishError           the warehouse could not be built or swapped, or Postgres not be published to
└── ExportError            a table could not be written to a file

A message says what happened, to whom, and what to do. Commands print it in one line and exit 1.
What a vendor answers is never an exception: it is an outcome, and lands as a raw row (see providers/vendor.py).
"""

from __future__ import annotations

from pathlib import Path


class PipelineError(Exception):
    """Base of all of them."""


class SettingsError(PipelineError):
    """settings.toml, an environment variable or a credential is wrong."""


class RosterError(PipelineError):
    """The roster has a bad line."""


class LakeError(PipelineError):
    """The lake cannot be read or written as asked."""


class DamagedFileError(LakeError):
    """One file of the lake cannot be read as rows of its table: `path` and, in words, the `reason`."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} cannot be read ({reason})")
        self.path = path
        self.reason = reason


class BackfillError(PipelineError):
    """Raw was asked for a time that vendors cannot answer for."""


class CaptureError(PipelineError):
    """A window ended without one answer from any vendor."""


class PublishError(PipelineError):
    """The warehouse could not be built or swapped, or Postgres not be published to."""


class ExportError(PipelineError):
    """A table could not be written to a file."""
