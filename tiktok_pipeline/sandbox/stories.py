"""The stories of a creator: none to four a day, live for 24 hours, with views that grow with age."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np

from tiktok_pipeline.sandbox.chance import Topic, chance, generator
from tiktok_pipeline.sandbox.creators import Creator
from tiktok_pipeline.sandbox.streams import time_id

LIFETIME = timedelta(hours=24)
_DAY = 86_400.0
_POST_TYPE = 5  # the type nibble: any that is not a room's
_CAPTIONS = (
    "good morning ☀️",
    "live tonight!",
    "behind the scenes",
    "",
    "swipe 👉 #{niche}",
    "قريبا 🔥",
    "thank you all ❤️",
)


@dataclass(frozen=True, slots=True, eq=False)
class TrueStory:
    """One story. Its counts are functions of the instant."""

    creator: Creator
    story_id: str
    published_s: float
    media_type: Literal["video", "image"]
    duration_s: int
    caption: str
    reach: float

    @property
    def published_at(self) -> datetime:
        """Return when it was published, UTC."""
        return datetime.fromtimestamp(self.published_s, UTC)

    @property
    def expires_at(self) -> datetime:
        """Return when it disappears, UTC."""
        return self.published_at + LIFETIME

    def is_shown(self, at: float) -> bool:
        """Return whether it can be seen at unix second `at`."""
        return self.published_s <= at < self.published_s + _DAY

    def views(self, at: float) -> int:
        """Return views by unix second `at`: towards `reach` with an e-folding of six hours, frozen at its end."""
        age = min(max(at - self.published_s, 0.0), _DAY)
        return int(self.reach * -math.expm1(-age / 21_600.0))

    def likes(self, at: float) -> int:
        """Return likes by unix second `at`."""
        return int(self.views(at) * (0.02 + 0.06 * chance(self.story_id, "likes")))

    def comments(self, at: float) -> int:
        """Return comments by unix second `at`."""
        return self.likes(at) // 14

    def shares(self, at: float) -> int:
        """Return shares by unix second `at`."""
        return self.likes(at) // 30

    def saves(self, at: float) -> int:
        """Return saves by unix second `at`."""
        return self.likes(at) // 45


def plan_stories(seed: int, creator: Creator, since: float, until: float) -> list[TrueStory]:
    """Plan every story of a public creator that is published in [since, until), in order."""
    if creator.kind != "public":
        return []
    rng = generator(seed, Topic.STORIES, creator.index)
    days = since + _DAY * np.arange(math.ceil((until - since) / _DAY))
    a_day = rng.binomial(4, rng.uniform(0.05, 0.7), len(days))
    times = np.repeat(days, a_day) + rng.uniform(0, _DAY, int(a_day.sum()))
    times = np.sort(times[times < until])
    reaches = 0.08 * creator.followers_at_start * np.exp(rng.normal(0.0, 0.6, len(times)))
    draws = rng.uniform(size=(len(times), 4))
    stories = []
    for time, reach, draw in zip(times.tolist(), reaches.tolist(), draws.tolist(), strict=True):
        is_image = draw[0] < 0.4
        caption = _CAPTIONS[int(draw[1] * len(_CAPTIONS))].format(niche=creator.niche)
        stories.append(
            TrueStory(
                creator=creator,
                story_id=time_id(int(time * 1000), _POST_TYPE, creator.index, int(256 * draw[2])),
                published_s=float(math.floor(time)),
                media_type="image" if is_image else "video",
                duration_s=0 if is_image else 4 + int(draw[3] * 50),
                caption=caption,
                reach=reach,
            )
        )
    return stories
