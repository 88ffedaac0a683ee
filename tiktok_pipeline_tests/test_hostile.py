"""A few hours against the hostile sandbox by the command line: every undamaged reading must be found.

`python -m benchmarks.hostile` does the same over two days.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from benchmarks.hostile.__main__ import START, Replay, replay
from benchmarks.hostile.judging import Judged, judge
from tiktok_pipeline.sandbox.server import start_in_process

END = START + timedelta(hours=6)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Replay, Judged]]:
    home: Path = tmp_path_factory.mktemp("hostile")
    with start_in_process(seed=7, creators=8, start=START, faults="hostile@0.2") as sandbox:
        done = replay(sandbox, home, START, END, reverse=True)
        yield done, judge(sandbox, home, START, END)


def test_the_replay_succeeds(hostile: tuple[Replay, Judged]) -> None:
    done, _ = hostile
    assert done.exit_code == 0, done.output[-3000:]
    assert "Traceback" not in done.output


def test_bodies_headers_and_connections_were_damaged(hostile: tuple[Replay, Judged]) -> None:
    _, judged = hostile
    assert judged.damaged.total() > 100
    assert {kind.partition(":")[0] for kind in judged.damaged} == {"body", "headers", "connection"}


def test_every_request_landed_and_no_undamaged_reading_is_lost(hostile: tuple[Replay, Judged]) -> None:
    _, judged = hostile
    assert judged.requests > 500
    undamaged, present = judged.readings[""]
    assert present == undamaged > 300
    assert judged.broken == []


def test_the_peak_memory_of_capturing_stays_below_500_mb(hostile: tuple[Replay, Judged]) -> None:
    done, _ = hostile
    assert 0 < done.capture_megabytes < 500
