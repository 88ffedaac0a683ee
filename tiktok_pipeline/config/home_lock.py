"""Allow one `demo`, `dev` or `replay` at a time in a home.

    running.lock     in the home: JSON with process id, command, start and end of the last program

The lock is a lock of the operating system on this file. It ends with its process, so a file that a killed process left
behind blocks nobody.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tiktok_pipeline.errors import SettingsError

_NAME = "running.lock"


class Program(msgspec.Struct, frozen=True):
    """A program that uses a home: its process id, command, start, and end; without an end it runs, or was killed."""

    pid: int
    command: str
    since: datetime
    until: datetime | None = None

    def __str__(self) -> str:
        """Return the program in words."""
        return f"`tiktok-pipeline {self.command}` (process {self.pid}, since {self.since:%Y-%m-%d %H:%M} UTC)"


@contextmanager
def home_lock(
    home: Path, command: str, *, check: Callable[[Program | None], None] = lambda before: None
) -> Iterator[None]:
    """Hold the lock of `home` for `command`. The file stays afterwards.

    Args:
        home: the folder; made if it is missing.
        command: the command that uses it.
        check: called with the program before, if any; by raising it gives the home back unchanged.

    Raises:
        SettingsError: another program holds it, which the message names; or the file cannot be written.
    """
    path = home / _NAME
    try:
        home.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise SettingsError(f"{path} cannot be written ({error.strerror}): allow it, or name another home") from None
    try:
        if not _locked(descriptor, fcntl.LOCK_EX):
            raise SettingsError(
                f"{_program(descriptor) or 'another program'} runs in {home}: stop it first, or name another folder "
                "in TIKTOK_PIPELINE_HOME"
            )
        check(_program(descriptor))
        program = Program(os.getpid(), command, datetime.now(UTC))
        _record(descriptor, program)
        try:
            yield
        finally:
            _record(descriptor, msgspec.structs.replace(program, until=datetime.now(UTC)))
    finally:
        os.close(descriptor)


def running_program(home: Path) -> Program | None:
    """Return the program that holds the lock of `home`; None if there is none. Changes nothing."""
    try:
        descriptor = os.open(home / _NAME, os.O_RDONLY)
    except OSError:
        return None
    try:
        return None if _locked(descriptor, fcntl.LOCK_SH) else _program(descriptor)
    finally:
        os.close(descriptor)


def _locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _record(descriptor: int, program: Program) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, msgspec.json.encode(program), 0)


def _program(descriptor: int) -> Program | None:
    try:
        return msgspec.json.decode(os.pread(descriptor, 4096, 0), type=Program)
    except msgspec.MsgspecError:
        return None
