"""The posts of a creator: up to two regular ones a day, recap clips of streams, and one or two old ones pinned on top.

Only instants, reaches and links to streams are planned, as arrays; a post is made on request. Recap clips follow
docs/methods.md 9.1: after about half of the streams, some during the stream, the rest within 72 hours.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tiktok_pipeline.sandbox.captions import PHRASES
from tiktok_pipeline.sandbox.chance import Topic, bits, chance, generator
from tiktok_pipeline.sandbox.creators import Creator
from tiktok_pipeline.sandbox.streams import TrueStream, time_id

_HOUR, _DAY = 3600.0, 86_400.0
_POST_TYPE = 6  # the type nibble: neither a room's nor a story's
_RECAPPED_SHARE = 0.5
_DURING_SHARE = 0.2
_SOONEST_IN_STREAM_S = 300.0  # highlights are cut some five minutes after the moment (docs/methods.md 6.1)
_LATEST_RECAP_S = 72 * _HOUR
_WITHOUT_CAPTION_SHARE, _ANNOUNCEMENT_SHARE, _NOISE_SHARE = 0.05, 0.10, 0.02
_NO_STREAM = -1  # in `recaps`: no clip of a stream


@dataclass(frozen=True, slots=True, eq=False)
class TruePost:
    """One post. Its counts are functions of the instant."""

    creator: Creator
    post_id: str
    published_s: float
    duration_s: int
    caption: str | None
    pinned: bool
    recap_of: TrueStream | None
    reach: float

    @property
    def published_at(self) -> datetime:
        """Return when it was published, UTC."""
        return datetime.fromtimestamp(self.published_s, UTC)

    def views(self, at: float) -> int:
        """Return views by unix second `at`: most of `reach` in three days (e-folding 20 hours), then a slow tail."""
        age = max(at - self.published_s, 0.0)
        return int(self.reach * (-math.expm1(-age / (20 * _HOUR)) + 0.05 * math.log1p(age / _DAY)))

    def likes(self, at: float) -> int:
        """Return likes by unix second `at`."""
        return int(self.views(at) * (0.03 + 0.09 * chance(self.post_id, "likes")))

    def comments(self, at: float) -> int:
        """Return comments by unix second `at`."""
        return self.likes(at) // 22

    def shares(self, at: float) -> int:
        """Return shares by unix second `at`."""
        return self.likes(at) // 15

    def saves(self, at: float) -> int:
        """Return saves by unix second `at`."""
        return self.likes(at) // 12


class Feed:
    """All posts of one creator in a span, and the pinned ones from before it."""

    def __init__(self, seed: int, creator: Creator, streams: list[TrueStream], since: float, until: float) -> None:
        self._creator, self._streams = creator, streams
        self._published, self._recaps, self._reaches = array("d"), array("i"), array("d")
        self._pinned: list[TruePost] = []
        if creator.kind != "public":
            return
        rng = generator(seed, Topic.POSTS, creator.index)
        ages = rng.uniform(25 * _DAY, 260 * _DAY, int(rng.integers(1, 3))).tolist()
        usual = 0.1 * creator.followers_at_start
        self._pinned = [self._post(float(math.floor(since - age)), 15 * usual, None, pinned=True) for age in ages]
        regular = _regular_times(rng, creator, since, until)
        clips, of = _recap_times(rng, streams)
        times = np.concatenate([regular, clips])
        recaps = np.concatenate([np.full(len(regular), _NO_STREAM), of])
        reaches = usual * np.exp(rng.normal(0.0, 0.9, len(times))) * np.where(recaps == _NO_STREAM, 1.0, 0.5)
        # At most one post a second: a cursor that is an instant must distinguish two posts.
        whole, kept = np.unique(np.floor(times), return_index=True)
        inside = whole < until
        self._published = array("d", whole[inside].tolist())
        self._recaps = array("i", recaps[kept][inside].tolist())
        self._reaches = array("d", reaches[kept][inside].tolist())

    def pinned(self) -> list[TruePost]:
        """Return the posts that the creator shows on top, months old, in the order of the profile."""
        return list(self._pinned)

    def count(self, since: float, until: float) -> int:
        """Return how many were published in [since, until), without pinned ones; negative if `until` comes first."""
        return bisect_left(self._published, until) - bisect_left(self._published, since)

    def between(self, since: float, until: float) -> list[TruePost]:
        """Return the posts published in [since, until), oldest first, pinned ones too."""
        old = sorted((p for p in self._pinned if since <= p.published_s < until), key=lambda p: p.published_s)
        first, last = bisect_left(self._published, since), bisect_left(self._published, until)
        return [*old, *(self._number(n) for n in range(first, last))]

    def page(self, at: float, before: float | None, count: int) -> tuple[list[TruePost], bool]:
        """Return (the `count` newest unpinned posts at `at`, published before `before`; whether older ones exist)."""
        end = bisect_right(self._published, at)
        if before is not None:
            end = min(end, bisect_left(self._published, before))
        first = max(end - count, 0)
        return [self._number(n) for n in range(end - 1, first - 1, -1)], first > 0

    def _number(self, number: int) -> TruePost:
        stream = self._recaps[number]
        recap_of = None if stream == _NO_STREAM else self._streams[stream]
        return self._post(self._published[number], self._reaches[number], recap_of, pinned=False)

    def _post(self, published: float, reach: float, recap_of: TrueStream | None, *, pinned: bool) -> TruePost:
        draw = bits(self._creator.user_id, "post", published)
        created_ms = int(published * 1000) - 5000 - draw % 25_000  # an id is 5 to 30 s older than its post
        return TruePost(
            creator=self._creator,
            post_id=time_id(created_ms, _POST_TYPE, self._creator.index, draw >> 20 & 0xFF),
            published_s=published,
            duration_s=7 + (draw >> 28) % 110,
            caption=_caption(self._creator, draw >> 36, is_recap=recap_of is not None),
            pinned=pinned,
            recap_of=recap_of,
            reach=reach,
        )


def _regular_times(rng: np.random.Generator, creator: Creator, since: float, until: float) -> NDArray[np.float64]:
    days = since + _DAY * np.arange(math.ceil((until - since) / _DAY))
    a_day = rng.binomial(2, min(creator.videos_per_day / 2.5, 0.95), len(days))
    return np.repeat(days, a_day) + rng.uniform(0, _DAY, int(a_day.sum()))


def _recap_times(rng: np.random.Generator, streams: list[TrueStream]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return (instants, stream numbers) of the clips: in the stream, or 0-3, 3-24 or 24-72 hours after its end."""
    starts, ends = np.array([s.start_s for s in streams]), np.array([s.end_s for s in streams])
    clips = np.where(rng.uniform(size=len(streams)) < _RECAPPED_SHARE, 1 + rng.binomial(2, 0.3, len(streams)), 0)
    of = np.repeat(np.arange(len(streams)), clips)
    band, place, during = rng.uniform(size=(3, len(of)))
    lows = np.select([band < 0.5, band < 0.8], [120.0, 3 * _HOUR], 24 * _HOUR)
    highs = np.select([band < 0.5, band < 0.8], [3 * _HOUR, 24 * _HOUR], _LATEST_RECAP_S)
    after = ends[of] + lows + place * (highs - lows)
    first = starts[of] + _SOONEST_IN_STREAM_S
    inside = first + place * (ends[of] - first)
    return np.where((during < _DURING_SHARE) & (ends[of] > first), inside, after), of


@lru_cache(maxsize=65_536)
def _caption(creator: Creator, draw: int, *, is_recap: bool) -> str | None:
    share = (draw & 0xFFF) / 4096
    phrases = PHRASES[creator.language]
    if share < _WITHOUT_CAPTION_SHARE:
        return None
    share -= _WITHOUT_CAPTION_SHARE
    if is_recap:
        choices = phrases.recap
    elif share < _ANNOUNCEMENT_SHARE:
        choices = phrases.announcement
    elif share < _ANNOUNCEMENT_SHARE + _NOISE_SHARE:
        choices = phrases.noise
    else:
        choices = phrases.everyday
    return choices[(draw >> 12) % len(choices)].format(number=1 + (draw >> 20) % 12, niche=creator.niche)
