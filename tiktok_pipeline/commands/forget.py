"""`tiktok-pipeline forget HANDLE`: ask for confirmation, erase, and print what was removed."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable

from tiktok_pipeline.commands.instance import use_instance
from tiktok_pipeline.config.settings import Places, hash_key, postgres_url
from tiktok_pipeline.errors import PipelineError
from tiktok_pipeline.upkeep.forget.erase import Erased, Records, forget

# Time limit for a confirmation on standard input, so that a script without one does not wait for ever.
_ANSWER_WITHIN_S = 1.0


def run_forget(
    handle: str, *, as_creator: str | None, echo: Callable[[str], None], progress: Callable[[str], None]
) -> None:
    """Erase a creator and print what was removed.

    Args:
        handle: the creator's present or past handle.
        as_creator: which creator_id is meant, if several creators had the handle.
        progress: called with messages.

    Raises:
        PipelineError: the creator is unknown, something could not be erased, or files stay that name the creator.
    """
    places = Places.from_environment()
    records = _records(places)
    erased = forget(
        handle, places, hash_key(places.home), postgres_url(), as_creator=as_creator, records=records, progress=progress
    )
    for line in lines(erased):
        echo(line)
    if records is None:
        echo("Dagster's records: no instance found; set DAGSTER_HOME as for the services, and run this again")
    if erased.left:
        named = ", ".join(map(str, erased.left))
        raise PipelineError(
            f"all data of the pipeline is erased, but these files name the creator: {named}; remove them"
        )


def lines(erased: Erased) -> list[str]:
    """Return the result as lines of text."""
    found = [f"{table:<24} {rows:>9,} rows" for table, rows in sorted(erased.rows.items())]
    found += [f"{table:<24} {rows:>9,} rows of others redacted" for table, rows in sorted(erased.redacted.items())]
    if erased.records is not None:
        found.append(f"{'Dagster':<24} {erased.records:>9,} records redacted")
    found += [f"{'export':<24} removed {path}" for path in erased.exports]
    found.append(f"{'roster':<24} {'removed' if erased.from_roster else 'was not listed':>9}")
    if erased.resumed is not None:
        found.append(f"completed the erasure that began on {erased.resumed:%Y-%m-%d %H:%M} UTC and was interrupted")
    total = erased.rows.total()
    found.append(f"forgot {erased.creator_id}: {total:,} rows; run `derive` to rank the boards again")
    return found


def confirmed(ask: Callable[[], bool]) -> bool:
    """Return whether to go on: on a terminal `ask` decides, else the text on standard input, else yes.

    A script needs no confirmation; `n` on its standard input stops the command.
    """
    if sys.stdin is None or sys.stdin.closed:
        return True
    if sys.stdin.isatty():
        return ask()
    try:
        ready, _, _ = select.select([sys.stdin], [], [], _ANSWER_WITHIN_S)
    except (OSError, ValueError):
        return True
    answer = sys.stdin.readline().strip().lower() if ready else ""
    return answer in ("", "y", "yes")


def _records(places: Places) -> Records | None:
    """Return the function that erases Dagster's records; None if this machine has no instance."""
    if not os.environ.get("DAGSTER_HOME") and not (places.home / "dagster").exists():
        return None
    use_instance(places)
    from tiktok_pipeline.defs.upkeep.erased_records import erase_records  # noqa: PLC0415 - imports Dagster

    return erase_records
