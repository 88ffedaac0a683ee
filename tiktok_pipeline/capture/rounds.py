"""Check that a round of live polls fits: roster size and rate limit against `[watch] round_seconds`."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from tiktok_pipeline.capture.rate_limit import limit_for, sustained_rate
from tiktok_pipeline.config.settings import Settings


@dataclass(frozen=True)
class Round:
    """One round of live polls: a poll for each creator, by the first vendor of the route that has credentials.

    polls: polls of one round; planned: its length in the settings; needed: its shortest length by the rate limit;
    enough_per_second: the lowest rate limit for which a round fits.
    Room requests, retries, sweeps and slow responses take additional time: `needed` is a lower bound.
    """

    vendor: str
    polls: int
    requests_per_second: float
    planned: timedelta
    needed: timedelta
    enough_per_second: float

    @property
    def fits(self) -> bool:
        """Whether the polls of a round can be sent within it."""
        return self.needed <= self.planned

    @property
    def summary(self) -> str:
        """The needed and the planned length of a round."""
        return (
            f"{self.vendor} needs {_seconds(self.needed)} s for a round of {self.polls:,} polls; "
            f"planned are {_seconds(self.planned)} s"
        )

    @property
    def problem(self) -> str | None:
        """The size of the excess, and the settings to change; None if a round fits."""
        if self.fits:
            return None
        share = self.planned / self.needed
        # Rounded up, so that a rate below 1 is enough when it is copied from this message.
        rate = math.ceil(self.enough_per_second * 1000) / 1000
        most = math.floor(self.polls * share)
        return (
            f"{self.summary}: at {self.requests_per_second:g} requests a second a round is "
            f"{1 / share:.1f} times as long, and streams are found later. Set [watch] round_seconds (and "
            f"max_gap_minutes) to at least {_seconds(self.needed)} s, or [vendors.{self.vendor}] requests_per_second "
            f"to at least {rate:g} if your plan allows it, or keep at most {most:,} creators on the roster"
        )


def live_round(settings: Settings, creators: int, vendors: Collection[str], *, replaying: bool = False) -> Round | None:
    """Return the round of a roster of `creators`; None without creators or without a vendor to poll.

    Args:
        settings: the route, the rate limits and the length of a round.
        creators: creators on the roster.
        vendors: the vendors with credentials.
        replaying: on the replay clock, requests need no margin.
    """
    vendor = next((name for name in settings.routes.live if name in vendors), None)
    if vendor is None or creators == 0:
        return None
    limit = settings.vendors[vendor].requests_per_second
    planned = timedelta(seconds=settings.watch.seconds_of_a_round)
    return Round(
        vendor=vendor,
        polls=creators,
        requests_per_second=limit,
        planned=planned,
        needed=timedelta(seconds=creators / sustained_rate(limit, replaying=replaying)),
        enough_per_second=limit_for(creators / planned.total_seconds(), replaying=replaying),
    )


def _seconds(length: timedelta) -> str:
    return f"{math.ceil(length.total_seconds()):,}"
