"""Run `forget` and kill it with SIGKILL at a chosen point.

    python -m tiktok_pipeline_tests.upkeep.forget.killed HANDLE N

Points are counted: every progress message, and every step before a file is replaced, removed or written by SQLite.
With N = 0 it runs to its end and prints the number of passed points.
"""

import os
import signal
import sqlite3
import sys
from pathlib import Path
from typing import Any

from tiktok_pipeline.commands.forget import _records
from tiktok_pipeline.config.settings import Places, hash_key, postgres_url
from tiktok_pipeline.upkeep.forget.erase import forget


class Points:
    """Counts points, and kills the process at one of them."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.passed = 0

    def pass_one(self, *_: object) -> None:
        self.passed += 1
        if self.passed == self.last:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(self, owner: Any, name: str) -> None:
        """Count a point before every call of a method."""
        real = getattr(owner, name)

        def counted(*arguments: Any, **named: Any) -> Any:
            self.pass_one()
            return real(*arguments, **named)

        setattr(owner, name, counted)


def main() -> None:
    """Run the command; see the module's docstring."""
    handle, last = sys.argv[1], int(sys.argv[2])
    points = Points(last)
    places = Places.from_environment()
    records = _records(places)
    points.before(Path, "replace")
    points.before(Path, "unlink")
    real = sqlite3.connect

    class Counted(sqlite3.Connection):
        def execute(self, *arguments: Any) -> sqlite3.Cursor:
            if arguments[0].startswith(("UPDATE", "VACUUM", "PRAGMA wal")):
                points.pass_one()
            return super().execute(*arguments)

    sqlite3.connect = lambda *a, **n: real(*a, **({"factory": Counted} | n))  # type: ignore[assignment,misc]
    forget(handle, places, hash_key(places.home), postgres_url(), records=records, progress=points.pass_one)
    print(points.passed)


if __name__ == "__main__":
    main()
