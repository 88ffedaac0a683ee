"""A deployment continues after its files are damaged or its processes killed, and loses no other row.

`python -m benchmarks.damaged_files --rounds 50 --kills 20` tries more.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.damaged_files import kill, run


def test_damaged_files_of_every_kind_stop_no_window_no_derive_and_no_publish(tmp_path: Path) -> None:
    outcome = run(2, 11, tmp_path, creators=3, most=40, days=5, hours=1, report=print)
    print(outcome)
    assert outcome.failures == []
    assert outcome.survived == outcome.rounds == 2
    assert outcome.rows_lost_besides == 0
    assert outcome.tried.total() > 40


def test_a_replay_killed_at_random_and_repeated_ends_with_the_rows_of_an_uninterrupted_one(tmp_path: Path) -> None:
    outcome = kill(1, 7, tmp_path, creators=3, report=print)
    print(outcome)
    assert outcome.failures == []
    assert outcome.survived == outcome.rounds == 1
    assert outcome.rows_lost_besides == 0
