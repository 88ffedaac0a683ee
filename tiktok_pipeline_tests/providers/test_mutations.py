"""For any bytes and headers: no exception escapes, and values that the damage does not touch are still read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import pytest

from tiktok_pipeline.providers import VENDORS, guard
from tiktok_pipeline.providers.konbini import Konbini
from tiktok_pipeline.providers.observations import Problem, Reading
from tiktok_pipeline.providers.vendor import Outcome, Verdict
from tiktok_pipeline_tests.providers.mutations import try_mutations, valid_bodies

BODIES, SEEDS = 24_000, 4


@pytest.mark.parametrize("seed", range(SEEDS))
def test_damage_costs_only_the_values_that_it_touches_and_no_exception_escapes(seed: int) -> None:
    tried = try_mutations(BODIES // SEEDS, seed)
    assert tried.failures == []
    assert tried.bodies == BODIES // SEEDS
    assert tried.values_kept > tried.bodies  # Enough values are tracked for the check to mean something.


def test_every_endpoint_with_readings_is_damaged() -> None:
    tried = {(valid.case.vendor, valid.case.endpoint) for valid in valid_bodies()}
    silent = {"balance"}
    assert tried == {
        (vendor.name, endpoint)
        for vendor in VENDORS.values()
        for endpoint, capability in vendor.endpoints.items()
        if capability not in silent
    }


class _Broken(Konbini):
    """A vendor whose file has a bug."""

    name: ClassVar[str] = "broken"

    def judge(self, endpoint: str, status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
        raise ZeroDivisionError

    def read(self, endpoint: str, outcome: Outcome, body: bytes) -> Iterator[Reading | Problem]:
        yield Problem("the first")
        raise RecursionError


def test_an_exception_in_a_vendors_file_becomes_one_malformed_row_and_one_problem() -> None:
    verdict = guard.judge(_Broken(), "/live", 200, {}, b"{}")
    assert (verdict.outcome, verdict.error, verdict.credits) == (
        Outcome.MALFORMED,
        "unforeseen ZeroDivisionError",
        None,
    )
    first, unforeseen = guard.read(_Broken(), "/live", Outcome.OK, b'{"a": 1}')
    assert first == Problem("the first")
    assert unforeseen == Problem("unforeseen RecursionError", None, '{"a": 1}')
    assert guard.is_unforeseen(verdict.error)
    assert not guard.is_unforeseen(None)
