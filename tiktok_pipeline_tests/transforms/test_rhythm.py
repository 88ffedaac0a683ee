"""The day rhythm: evidence from clean hours, the prior of other creators, and unknown hours."""

from __future__ import annotations

import numpy as np
import pytest

from tiktok_pipeline.transforms.rhythm import (
    DEFAULT_PRIOR,
    HOURS,
    Floats,
    RhythmEvidence,
    hours_until,
    learned_prior,
    posterior,
    read_evidence,
)

QUARTER = 0.25


def peaked(hour: Floats) -> Floats:
    """Return ten an hour, and forty in the hours from 19 to 21."""
    return np.where((hour % HOURS >= 19) & (hour % HOURS < 21), 40.0, 10.0)


def evidence_of(seen: Floats, days: int = 28, rate_of_day: Floats | None = None) -> RhythmEvidence:
    """Return exact growth of `peaked` in quarters of an hour, at the hours of the day that are `seen`."""
    begin = np.arange(0, days * HOURS, QUARTER)
    begin = begin[np.isin(begin % HOURS // 1, seen)]
    level = 1.0 if rate_of_day is None else rate_of_day[(begin // HOURS).astype(int)]
    found = read_evidence(begin, np.full(begin.size, QUARTER), peaked(begin) * QUARTER * level)
    assert found is not None
    return found


ALL = np.arange(HOURS)
EVENING = np.arange(18, 22)


def test_a_sharp_observed_peak_is_found() -> None:
    hourly = posterior(evidence_of(ALL), DEFAULT_PRIOR).hourly
    assert hourly[[19, 20]] / hourly[10] == pytest.approx([4.0, 4.0], rel=0.15)
    assert hourly.mean() == pytest.approx(1.0, abs=0.02)


def test_an_unobserved_hour_keeps_the_variance_of_the_prior() -> None:
    seen = posterior(evidence_of(ALL), DEFAULT_PRIOR)
    hidden = posterior(evidence_of(np.setdiff1d(ALL, EVENING)), DEFAULT_PRIOR)
    assert hidden.covariance[20, 20] > 10 * seen.covariance[20, 20]
    assert hidden.covariance[20, 20] > 0.3 * DEFAULT_PRIOR.covariance[20, 20]
    window, clean = np.zeros(HOURS), np.ones(HOURS)
    window[19:21] = 1.0
    clean[EVENING] = 0.0
    assert hidden.ratio_variance(window, clean) > 5 * seen.ratio_variance(window, clean)


def test_days_with_only_quiet_hours_observed_do_not_change_the_rhythm() -> None:
    quicker = np.where(np.arange(28) % 2 == 0, 1.0, 3.0)
    even, uneven = (posterior(evidence_of(ALL, rate_of_day=rate), DEFAULT_PRIOR) for rate in (None, quicker))
    assert uneven.hourly == pytest.approx(even.hourly, abs=0.15)


def test_too_little_time_or_growth_is_no_evidence() -> None:
    begin = np.arange(0, 90.0)
    assert read_evidence(begin, np.ones(90), np.full(90, 10.0)) is None
    assert read_evidence(np.arange(0, 200.0), np.ones(200), np.zeros(200)) is None


def test_a_creator_without_evidence_gets_the_rhythm_of_the_others() -> None:
    prior = learned_prior([evidence_of(ALL)] * 20)
    assert int(np.argmax(prior.mean)) in (19, 20)
    assert learned_prior([]) is DEFAULT_PRIOR


def test_a_prior_is_a_valid_covariance_even_if_all_creators_hide_the_same_hours() -> None:
    prior = learned_prior([evidence_of(np.setdiff1d(ALL, EVENING))] * 20)
    assert np.linalg.eigvalsh(prior.covariance).min() > -1e-9
    assert prior.covariance[20, 20] > 0.05


def test_hours_until_add_up_to_the_time() -> None:
    at = np.array([0.0, 13.5, 24.0, 61.25])
    assert hours_until(at).sum(axis=1) == pytest.approx(at)
    assert hours_until(np.array(25.5))[:3].tolist() == [2.0, 1.5, 1.0]
