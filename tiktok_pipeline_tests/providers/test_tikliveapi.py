"""TikLiveAPI: what is its own. The suite of all vendors is `test_contract.py`."""

from __future__ import annotations

from tiktok_pipeline.providers import VENDORS, tikliveapi
from tiktok_pipeline.providers.observations import FollowerReading, Problem, ProfileReading
from tiktok_pipeline.providers.vendor import Outcome
from tiktok_pipeline_tests.providers import bodies


def test_a_follower_without_an_id_is_a_problem_and_the_total_is_exact() -> None:
    body = bodies.encoded(bodies.tik_followers())
    readings = list(VENDORS["tikliveapi"].read(tikliveapi.FOLLOWERS, Outcome.OK, body))
    assert [type(r) for r in readings] == [FollowerReading, Problem, ProfileReading]
    total = readings[-1]
    assert isinstance(total, ProfileReading)
    assert (total.source, total.followers, total.followers_precision) == ("followers", 48_317, "exact")
