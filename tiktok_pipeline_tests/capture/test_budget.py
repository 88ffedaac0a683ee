"""The daily credit cap holds within a window and across windows."""

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


def test_landed_credits_count_for_their_day_and_the_next_day_starts_at_zero(budget: Budget) -> None:
    assert [budget.reserve(DAY, 1, 10) for _ in range(4)] == [True, True, True, False]
    assert not budget.affords(DAY, 1, 10)
    assert budget.affords(NEXT, 1, 10)


def test_settling_a_free_response_frees_credits_and_an_expensive_one_uses_more(budget: Budget) -> None:
    assert budget.reserve(DAY, 1, 8)
    assert not budget.affords(DAY, 1, 8)
    budget.settle(DAY, -1)
    assert budget.reserve(DAY, 1, 8)
    budget.settle(DAY, 3)
    assert not budget.affords(DAY, 1, 10)


def test_concurrent_windows_never_exceed_the_cap_together(tmp_path: Path) -> None:
    path = tmp_path / "vendor.credits"

    def spend(_: int) -> int:
        budget = SharedBudget(path, {DAY: 5.0})
        return sum(budget.reserve(DAY, 1, 100) for _ in range(60))

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(spend, range(4))) == 95


@pytest.mark.parametrize("left", [b"", b'{"2026-11-', None])
def test_a_lost_or_truncated_budget_file_is_rebuilt_from_landed_rows(tmp_path: Path, left: bytes | None) -> None:
    path = tmp_path / "vendor.credits"
    if left is not None:
        path.write_bytes(left)
    budget = SharedBudget(path, {DAY: 9.0})
    assert budget.reserve(DAY, 1, 10)
    assert not budget.reserve(DAY, 1, 10)


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), float("-inf")])
def test_settling_a_non_finite_amount_changes_nothing(budget: Budget, odd: float) -> None:
    budget.settle(DAY, odd)
    assert [budget.reserve(DAY, 1, 10) for _ in range(4)] == [True, True, True, False]


def test_invalid_totals_are_ignored(tmp_path: Path) -> None:
    assert OwnBudget({DAY: float("nan"), NEXT: -5.0}).reserve(DAY, 1, 1)
    path = tmp_path / "vendor.credits"
    for content in ('{"2026-11-02": NaN}', '{"2026-11-02": "9"}', "[9]", "9", '{"2026-11-02": -7}', "\x00\xff"):
        path.write_text(content)
        budget = SharedBudget(path, {DAY: 9.0})
        assert [budget.reserve(DAY, 1, 10), budget.reserve(DAY, 1, 10)] == [True, False]
