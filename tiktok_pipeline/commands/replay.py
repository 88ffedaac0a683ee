"""Replay a span with the production assets: one run captures, one run derives."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from tiktok_pipeline.capture.clock import replaying
from tiktok_pipeline.commands.instance import only_program, records_without_fsync, use_instance
from tiktok_pipeline.config import access, roster
from tiktok_pipeline.config.settings import Places, load_settings
from tiktok_pipeline.errors import RosterError, SettingsError

# A longer run would hold too much in memory, and lose too much if it is killed.
_DAYS_A_RUN = 14

# Progress is shown at this interval.
_SAY_EVERY_S = 2.0


def replay(start: datetime, end: datetime, *, say: Callable[[str], None]) -> None:
    """Capture, derive and publish [start, end) on the replay clock.

    Raises:
        RosterError: the roster cannot be read, or has no creators.
        SettingsError: no vendor has credentials, the clock is real, or the span is empty, not whole hours, or not over
            yet.
        SettingsError: another program runs in the home.
        PipelineError: a run failed; its reason.
    """
    if not replaying():
        raise SettingsError(
            "replay needs vendors that support past times: point the *_BASE_URL variables at one "
            "(tiktok-pipeline sandbox) and set TIKTOK_PIPELINE_CLOCK=replay"
        )
    for bound in (start, end):
        if bound != bound.replace(minute=0, second=0, microsecond=0):
            raise SettingsError(f"{bound:%Y-%m-%dT%H:%M} is not a whole hour")
    if end <= start:
        raise SettingsError(f"the span from {start:%Y-%m-%dT%H:%M} to {end:%Y-%m-%dT%H:%M} is empty")
    places = Places.from_environment()
    # Captured windows are not polled again: a span with an empty roster would stay empty.
    if not roster.read_roster(places.roster).creators:
        raise RosterError(
            f"{places.roster} has no creators to watch: add some with `tiktok-pipeline roster add HANDLE`, or name "
            "another file in TIKTOK_PIPELINE_ROSTER"
        )
    with only_program(places, "replay"):
        _check_span(places, start, end)
        load_settings(places.settings)
        if not access.accesses(os.environ):
            raise SettingsError("no vendor has credentials: set those that `tiktok-pipeline sandbox` prints")
        replay_span(places, start, end, say=say)


def replay_span(places: Places, start: datetime, end: datetime, *, say: Callable[[str], None]) -> None:
    """Capture, derive and publish [start, end) in a home whose lock this process holds.

    Raises:
        SettingsError: the span has no partitions, or is not over yet.
        PipelineError: a run failed; its reason.
    """
    _check_span(places, start, end)
    from tiktok_pipeline.commands import runs  # noqa: PLC0415 - Dagster takes a second to import

    with _progress(say), records_without_fsync():
        begin = start
        while begin < end:
            stop = min(end, begin + timedelta(days=_DAYS_A_RUN))
            say(f"capturing {begin:%Y-%m-%d %H:%M} to {stop:%Y-%m-%d %H:%M}")
            runs.run_capture(begin, stop)
            begin = stop
        say("deriving and publishing")
        runs.run_derive(start, end)


def _check_span(places: Places, start: datetime, end: datetime) -> None:
    use_instance(places)
    from tiktok_pipeline.commands import runs  # noqa: PLC0415 - Dagster takes a second to import

    runs.check_span(start, end)


class _progress(logging.Handler):
    """Print log messages of capture windows, at most every few seconds."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._say = say
        self._last = time.monotonic()
        self._logger = logging.getLogger("tiktok_pipeline")

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING or time.monotonic() - self._last >= _SAY_EVERY_S:
            self._last = time.monotonic()
            self._say("  " + record.getMessage())

    def __enter__(self) -> None:
        self._level = self._logger.level
        self._logger.setLevel(logging.INFO)
        self._logger.addHandler(self)

    def __exit__(self, *exception: object) -> None:
        self._logger.removeHandler(self)
        self._logger.setLevel(self._level)
