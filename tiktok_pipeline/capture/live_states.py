"""Decode what a raw row of a live poll reports: on air, off air, a missing handle, or nothing.

The outcome decides for all responses except `ok`; those are decoded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl

from tiktok_pipeline.capture.last_seen import account_of
from tiktok_pipeline.providers import VENDORS, guard
from tiktok_pipeline.providers.accounts import contradiction
from tiktok_pipeline.providers.observations import ABSENT, ON_AIR, LiveReading, ProfileReading
from tiktok_pipeline.providers.vendor import FATES, Fate, Outcome, Target

# Outcomes of a response that settles its request.
USABLE_OUTCOMES = [outcome.value for outcome, fate in FATES.items() if fate is Fate.USABLE]

# The kind of a response: everything that decides its meaning, except its body.
KIND = pl.concat_str("vendor", "endpoint", "outcome", separator=" ")


def is_request_for(capability: str) -> pl.Expr:
    """Match raw rows of requests for this capability about a creator."""
    endpoints = [
        (pl.col("vendor") == vendor.name) & (pl.col("endpoint") == endpoint)
        for vendor in VENDORS.values()
        for endpoint, provided in vendor.endpoints.items()
        if provided == capability
    ]
    return pl.any_horizontal(endpoints) & pl.col("creator_id").is_not_null()


def readings_of(kind: str, body: str | None) -> list[LiveReading | ProfileReading]:
    """Return the live state and profile in a response of this kind."""
    vendor, endpoint, outcome = kind.split(" ")
    return decode(vendor, endpoint, outcome, body)


def decode(vendor: str, endpoint: str, outcome: str, body: str | None) -> list[LiveReading | ProfileReading]:
    """Return the live state and profile in a response; nothing if the body cannot be decoded."""
    readings = guard.read(VENDORS[vendor], endpoint, Outcome(outcome), (body or "").encode())
    return [reading for reading in readings if isinstance(reading, LiveReading | ProfileReading)]


def reports_missing(kind: str) -> bool:
    """Return whether this kind of response reports a missing handle; False if it may also mean off air."""
    return kind.endswith(f" {Outcome.NOT_FOUND.value}") and not may_be_off_air(readings_of(kind, None))


def reported_on_air(
    kind: str, readings: Sequence[LiveReading | ProfileReading], target: Target | None = None, subject: str = ""
) -> bool | None:
    """Return whether a response reports on air; None if it reports no state, or is about another account.

    "Not found" counts as off air if the endpoint gives the same response for creators who are off air. The decision
    to poll again is the same for both.
    """
    if kind.endswith(f" {Outcome.NOT_LIVE.value}"):
        return False
    if is_about_another(readings, target, subject):
        return None
    for reading in readings:
        if isinstance(reading, ProfileReading):
            continue
        if reading.live_state in ON_AIR:
            return True
        if reading.live_state == "ended" or may_be_off_air([reading]):
            return False
    return None


def is_about_another(readings: Iterable[object], target: Target | None, subject: str) -> bool:
    """Return whether a response to a request by the handle `subject` is about another account than the target's."""
    # The handle that was requested counts: the creator may have another one by now.
    return target is not None and contradiction(readings, account_of(target), subject) is not None


def may_be_off_air(readings: Iterable[object]) -> bool:
    """Return whether "not found" may also mean off air: some vendors do not distinguish the two."""
    return any(isinstance(reading, LiveReading) and reading.reason == ABSENT for reading in readings)
