"""Sweeps: everybody is asked once."""

from __future__ import annotations

from collections.abc import Sequence

from tiktok_pipeline.capture.client import Client
from tiktok_pipeline.capture.watch import current
from tiktok_pipeline.providers.observations import ProfileReading
from tiktok_pipeline.providers.vendor import Outcome, Target

# Cadences of the schedules, and of a replay: follower counts move by the hour, and a story that is seen every
# two hours of its 24 is missed by nobody.
PROFILE_SWEEP_HOURS = 1
STORY_SWEEP_HOURS = 2

# A page holds 35 stories and they live a day: whoever has more than 70 alive is not a person.
_STORY_PAGES = 2


async def sweep_lives(client: Client, targets: Sequence[Target]) -> None:
    """Ask once who is live."""
    await client.clock.gather(client.ask("live", target) for target in targets)


async def sweep_profiles(client: Client, targets: Sequence[Target]) -> None:
    """Ask once for every profile; for the user id too, where neither roster nor profile says it."""
    await client.clock.gather(_profile(client, target) for target in targets)


async def sweep_stories(client: Client, targets: Sequence[Target]) -> None:
    """Ask once for everybody's stories, page by page."""
    await client.clock.gather(client.walk("stories", target, pages=_STORY_PAGES) for target in targets)


async def _profile(client: Client, target: Target) -> None:
    answer = await client.ask("profile", target)
    if answer is None:
        return
    if answer.outcome is Outcome.NOT_FOUND and target.user_id:
        renamed = await current(client, target)
        if renamed.handle != target.handle:
            await client.ask("profile", renamed)
        return
    if answer.outcome is not Outcome.OK or target.user_id:
        return
    if not any(isinstance(reading, ProfileReading) and reading.user_id for reading in answer.readings()):
        await client.ask("user_id", target)
