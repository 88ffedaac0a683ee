"""A deployment whose files are damaged, or whose processes are killed, goes on and loses nothing else.

`python -m benchmarks.damaged_files --rounds 50 --kills 20` tries more.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.damaged_files import kill, run


def test_damage_of_every_kind_stops_no_window_no_derive_and_no_publish(tmp_path: Path) -> None:
    told = run(2, 11, tmp_path, creators=3, most=40, days=5, hours=1, say=print)
    print(told)
    assert told.failures == []
    assert told.survived == told.rounds == 2
    assert told.rows_lost_besides == 0
    assert told.tried.total() > 40


def test_a_replay_that_is_killed_at_a_random_moment_ends_as_one_that_nobody_killed(tmp_path: Path) -> None:
    told = kill(1, 7, tmp_path, creators=3, say=print)
    print(told)
    assert told.failures == []
    assert told.survived == told.rounds == 1
    assert told.rows_lost_besides == 0
