"""Social Fetch: what is its own. The suite of all vendors is `test_contract.py`."""

from __future__ import annotations

from tiktok_pipeline.providers import VENDORS, social_fetch
from tiktok_pipeline.providers.observations import Problem, ProfileReading, VariantReading
from tiktok_pipeline.providers.vendor import Outcome
from tiktok_pipeline_tests.providers import bodies


def test_a_wrong_type_is_reported_with_its_field() -> None:
    body = bodies.fetch_ok({"lookupStatus": "found", "profile": {"verified": "perhaps"}, "metrics": None})
    (problem,) = (
        r for r in VENDORS["social_fetch"].read(social_fetch.PROFILE, Outcome.OK, body) if isinstance(r, Problem)
    )
    assert problem.field == "$.data.profile.verified"
    assert problem.value == "perhaps"


def test_counts_are_exact() -> None:
    exact = next(
        r
        for r in VENDORS["social_fetch"].read(social_fetch.LIVE, Outcome.OK, bodies.fetch_ok(bodies.fetch_live()))
        if isinstance(r, ProfileReading)
    )
    assert (exact.followers_precision, exact.followers_unit) == ("exact", 1)


def test_variants_have_codec_size_and_bitrate() -> None:
    (variant,) = (
        r
        for r in VENDORS["social_fetch"].read(social_fetch.LIVE, Outcome.OK, bodies.fetch_ok(bodies.fetch_live()))
        if isinstance(r, VariantReading)
    )
    assert (variant.codec, variant.source, variant.quality) == ("h265", "hevc", "origin")
    assert (variant.width, variant.height, variant.bitrate_bps) == (1080, 1920, 4_000_000)
