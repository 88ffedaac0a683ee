"""The cap of a day: held within a window and between windows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import pytest

from tiktok_pipeline.capture.budget import Budget, OwnBudget, SharedBudget

DAY, NEXT = date(2026, 11, 2), date(2026, 11, 3)


@pytest.fixture(params=["own", "shared"])
def budget(request: pytest.FixtureRequest, tmp_path: Path) -> Budget:
    landed = {DAY: 7.0}
    return OwnBudget(landed) if request.param == "own" else SharedBudget(tmp_path / "gates" / "vendor.credits", landed)


def test_what_landed_counts_and_the_next_day_is_new(budget: Budget) -> None:
    assert [budget.reserve(DAY, 1, 10) for _ in range(4)] == [True, True, True, False]
    assert not budget.affords(DAY, 1, 10)
    assert budget.affords(NEXT, 1, 10)


def test_an_answer_that_cost_nothing_gives_back_and_one_that_cost_more_takes(budget: Budget) -> None:
    assert budget.reserve(DAY, 1, 8)
    assert not budget.affords(DAY, 1, 8)
    budget.settle(DAY, -1)
    assert budget.reserve(DAY, 1, 8)
    budget.settle(DAY, 3)
    assert not budget.affords(DAY, 1, 10)


def test_windows_side_by_side_never_overspend_together(tmp_path: Path) -> None:
    path = tmp_path / "vendor.credits"

    def spend(_: int) -> int:
        mine = SharedBudget(path, {DAY: 5.0})
        return sum(mine.reserve(DAY, 1, 100) for _ in range(60))

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(spend, range(4))) == 95


@pytest.mark.parametrize("left", [b"", b'{"2026-11-', None])
def test_a_file_that_is_lost_or_cut_short_is_counted_again_from_what_landed(tmp_path: Path, left: bytes | None) -> None:
    path = tmp_path / "vendor.credits"
    if left is not None:
        path.write_bytes(left)
    budget = SharedBudget(path, {DAY: 9.0})
    assert budget.reserve(DAY, 1, 10)
    assert not budget.reserve(DAY, 1, 10)


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), float("-inf")])
def test_an_amount_that_is_no_number_changes_nothing(budget: Budget, odd: float) -> None:
    budget.settle(DAY, odd)
    assert [budget.reserve(DAY, 1, 10) for _ in range(4)] == [True, True, True, False]


def test_totals_that_are_no_amounts_are_none(tmp_path: Path) -> None:
    assert OwnBudget({DAY: float("nan"), NEXT: -5.0}).reserve(DAY, 1, 1)
    path = tmp_path / "vendor.credits"
    for content in ('{"2026-11-02": NaN}', '{"2026-11-02": "9"}', "[9]", "9", '{"2026-11-02": -7}', "\x00\xff"):
        path.write_text(content)
        budget = SharedBudget(path, {DAY: 9.0})
        assert [budget.reserve(DAY, 1, 10), budget.reserve(DAY, 1, 10)] == [True, False]
