"""Define the errors that the project raises on purpose.

PipelineError
├── SettingsError          settings.toml, an environment variable or a credential is invalid
├── RosterError            the roster has a bad line
├── LakeError              the lake cannot be read or written
│   └── DamagedFileError   one file of the lake cannot be read as rows of its table
├── BackfillError          raw was requested for a time that vendors do not report
├── CaptureError           no request of a window got a usable response
├── PublishError           the warehouse could not be built or swapped, or Postgres could not be written
└── ExportError            a table could not be written to a file

A message states the problem, the creator or file, and the remedy. Commands print it in one line and exit 1.
A vendor's response never raises an error here: it is an outcome, and lands as a raw row (see providers/vendor.py).
"""

from __future__ import annotations

from pathlib import Path


class PipelineError(Exception):
    """Base of all errors of the project."""


class SettingsError(PipelineError):
    """settings.toml, an environment variable or a credential is invalid."""


class RosterError(PipelineError):
    """The roster has a bad line."""


class LakeError(PipelineError):
    """The lake cannot be read or written."""


class DamagedFileError(LakeError):
    """One file of the lake cannot be read as rows of its table: `path`, and the `reason` as text."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} cannot be read ({reason})")
        self.path = path
        self.reason = reason


class BackfillError(PipelineError):
    """Raw was requested for a time that vendors do not report."""


class CaptureError(PipelineError):
    """No request of a window got a usable response."""


class PublishError(PipelineError):
    """The warehouse could not be built or swapped, or Postgres could not be written."""


class ExportError(PipelineError):
    """A table could not be written to a file."""
