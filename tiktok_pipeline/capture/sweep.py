"""Sweeps: poll every creator, search and ranking of one raw table once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from tiktok_pipeline import tables
from tiktok_pipeline.capture.client import Client, Response
from tiktok_pipeline.capture.last_seen import is_others
from tiktok_pipeline.capture.watch import current
from tiktok_pipeline.capture.window_state import WindowState
from tiktok_pipeline.providers.observations import PostReading, ProfileReading
from tiktok_pipeline.providers.vendor import Outcome, Target

Sweep = Callable[[Client, Sequence[Target], WindowState], Awaitable[None]]

# Interval of each sweep, hours, for its schedule and for replays. Follower counts change hourly. Stories live for 24
# hours, so two hours miss none. Posts gain most of their views within a day. Follower lists and searches are expensive
# and change slowly. An hourly ranking is not available after its hour.
EVERY_HOURS = {
    tables.RAW_PROFILES.name: 1,
    tables.RAW_STORIES.name: 2,
    tables.RAW_POSTS.name: 6,
    tables.RAW_FOLLOWERS.name: 24,
    tables.RAW_LIVE_RANKINGS.name: 1,
    tables.RAW_USER_SEARCHES.name: 24,
}

# A page holds 35 stories, and stories live for a day. More than 70 at once indicate an automated account.
_STORY_PAGES = 2

_RANKINGS = ("hourly", "daily")


async def sweep_lives(client: Client, targets: Sequence[Target], state: WindowState) -> None:
    """Request the live state of each target once."""
    await client.clock.gather(_run(client.request("live", target)) for target in targets)


async def sweep_rooms(client: Client, targets: Sequence[Target], state: WindowState) -> None:
    """Request the last known room of each target once; an ended room reports its end."""
    await client.clock.gather(_run(client.request("room", target)) for target in targets)


async def sweep_profiles(client: Client, targets: Sequence[Target], state: WindowState) -> None:
    """Request every profile once; also the user id if neither roster nor profile contains it."""
    await client.clock.gather(_profile(client, target) for target in targets)


async def sweep_stories(client: Client, targets: Sequence[Target], state: WindowState) -> None:
    """Request the stories of every target, page by page."""
    await client.clock.gather(_run(client.walk("stories", target, pages=_STORY_PAGES)) for target in targets)


async def sweep_posts(client: Client, targets: Sequence[Target], state: WindowState) -> None:
    """Request each creator's newest posts, page by page, until all posts of a page are known."""
    known = state.known_posts
    pages = state.settings.sweeps.post_pages

    def all_known(target: Target) -> Callable[[Response], bool]:
        def enough(response: Response) -> bool:
            # Pinned posts come first, out of order, marked or not: one known post does not end a walk.
            posts = [reading.post_id for reading in response.readings() if isinstance(reading, PostReading)]
            return bool(posts) and all((target.creator_id, post_id) in known for post_id in posts)

        return enough

    await client.clock.gather(
        _run(client.walk("posts", target, pages=pages, enough=all_known(target))) for target in targets
    )


async def sweep_followers(client: Client, targets: Sequence[Target], state: WindowState) -> None:
    """Request the newest followers of every target, page by page."""
    pages = state.settings.sweeps.follower_pages
    await client.clock.gather(_run(client.walk("followers", target, pages=pages)) for target in targets)


async def sweep_live_rankings(client: Client, targets: Sequence[Target], state: WindowState) -> None:
    """Request the live rankings of every region in the settings, and the ranks of creators who are on air."""
    sweeps = state.settings.sweeps
    subjects = [f"{kind}:{region}" for region in sweeps.ranking_regions for kind in _RANKINGS]
    await client.clock.gather(
        _run(client.request("live_ranking", Target("", "", subject=subject))) for subject in subjects
    )
    if sweeps.ranking_of_live:
        on_air = state.on_air(targets, client.clock.now())
        await client.clock.gather(_run(client.request("live_ranking_of", target)) for target in on_air)


async def sweep_user_searches(client: Client, targets: Sequence[Target], state: WindowState) -> None:
    """Search for users by every keyword in the settings."""
    keywords = state.settings.sweeps.keywords
    await client.clock.gather(
        _run(client.request("user_search", Target("", "", subject=keyword))) for keyword in keywords
    )


async def _run(request: Coroutine[Any, Any, object]) -> None:
    """Run a request and drop its response: all bodies of a sweep may not fit in memory."""
    await request


async def _profile(client: Client, target: Target) -> None:
    response = await client.request("profile", target)
    if response is None:
        return
    readings = list(response.readings())
    if response.outcome is Outcome.NOT_FOUND or is_others(readings, target):
        if target.user_id:
            renamed = await current(client, target)
            if renamed.handle != target.handle:
                await client.request("profile", renamed)
        return
    if response.outcome is not Outcome.OK or target.user_id:
        return
    has_id = any(isinstance(reading, ProfileReading) and reading.user_id for reading in readings)
    del response, readings  # the body may be large, and is not read again
    if not has_id:
        await client.request("user_id", target)
