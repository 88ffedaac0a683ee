"""The followers of a creator: a list that grows only at its front, and that some leave again.

Follower number p (from 0) is always the same invented account. Growth decides which numbers have joined, and arithmetic
decides which have left, so that the cost of a page depends only on its size. Every follower count equals that of
growth: joined less left less purged. The list is never complete: banned accounts count, but are not shown, and the
platform shows only the newest.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from tiktok_pipeline.sandbox.chance import bits, chance
from tiktok_pipeline.sandbox.creators import Creator
from tiktok_pipeline.sandbox.growth import MOST_PURGES, Growth, Purge

_HIDDEN_SHARE = 1 / 8
_BANNED_SHARE = 0.02
_SHOWN = 5_000  # followers that the platform shows: a walk of any vendor ends below 250 pages
_BLOCK = 12  # one of twelve consecutive followers leaves again
_STAY_DAYS = 2.0  # about this many days after joining
assert MOST_PURGES < _BLOCK - 1  # each purge takes another place of a block than the leaver's


@dataclass(frozen=True, slots=True)
class Follower:
    """One invented account; its public facts follow from `draw`."""

    user_id: str
    draw: int

    @property
    def handle(self) -> str:
        """Return the handle, which differs from any creator's."""
        return f"user{self.draw % 10**13:013d}"

    @property
    def sec_uid(self) -> str:
        """Return the secUid of the follower."""
        return f"MS4wLjABAAAA{bits(self.draw, 'sec'):016x}{bits(self.draw, 'uid'):016x}"

    @property
    def display_name(self) -> str:
        """Return the display name."""
        return ("Mika", "نور", "さくら", "Jo 🌸", "no name", "Lu\u200dna")[self.draw % 6] + str(self.draw % 97)

    @property
    def followers(self) -> int:
        """Return the number of its own followers: few."""
        return int(math.exp((self.draw >> 8) % 9000 / 1000))

    @property
    def following(self) -> int:
        """Return the number of accounts that it follows."""
        return (self.draw >> 22) % 2000

    @property
    def videos(self) -> int:
        """Return the number of its posts: mostly none."""
        return max((self.draw >> 34) % 40 - 25, 0)

    @property
    def created_s(self) -> int:
        """Return when the account was created, unix seconds: in 2018 to 2025."""
        return 1_514_764_800 + (self.draw >> 12) % 252_000_000


@dataclass(frozen=True, slots=True)
class FollowerPage:
    """Followers, newest first, and the start of the next page (numbers below `next_start`); None at the end.

    `next_tick` is the same position as an instant, in the requested ticks: the next page has followers that joined
    before it.
    """

    followers: list[Follower]
    next_start: int | None
    next_tick: int | None


class FollowerList:
    """The follower list of one creator as a function of the instant (unix seconds)."""

    def __init__(self, creator: Creator, growth: Growth) -> None:
        self._creator, self._growth = creator, growth
        self.hidden: bool = creator.kind == "private" or chance("hidden followers", creator.user_id) < _HIDDEN_SHARE
        # Leaving is shuffled over this many blocks, a power of two, so that stays differ, from hours to days.
        self._shuffled = 1 << max(round(math.log2(max(growth.per_day * _STAY_DAYS / _BLOCK, 1.0))), 0)
        self._lag = _BLOCK * self._shuffled  # no follower leaves before this many more have joined than is needed
        self._created = creator.created_at.timestamp()

    def joined(self, at: float) -> int:
        """Return how many have ever joined, which are the numbers below this. Never falls."""
        settled = self._growth.unpurged(at) - self._lag
        return settled + self._lag if settled <= 0 else self._lag + settled + settled // (_BLOCK - 1)

    def left(self, at: float) -> int:
        """Return how many have left by themselves."""
        return max((self.joined(at) - self._lag) // _BLOCK, 0)

    def page(self, at: float, start: int | None, count: int, ticks_a_second: int = 1) -> FollowerPage:
        """Return up to `count` numbers below `start` (None: the newest), without those that left or are banned.

        A page ends between two ticks, so that an instant can represent its end; if more than a page joined in one
        tick, the rest of that tick is lost.
        """
        bottom = max(self.joined(at) - _SHOWN, self.joined(self._created))
        start = self.joined(at) if start is None else min(start, self.joined(at))
        end = max(start - count, bottom)
        if end <= bottom:
            return FollowerPage(self._shown(at, max(bottom, 0), start), None, None)
        tick = self._tick_of(end, at, ticks_a_second)
        following = self.joined(tick / ticks_a_second)
        if following >= start:
            return FollowerPage(self._shown(at, end, start), end, tick - 1)
        return FollowerPage(self._shown(at, following, start), following, tick)

    def account(self, number: int) -> Follower:
        """Return the account with this number."""
        draw = bits("follower", self._creator.user_id, number)
        return Follower(str(6_600_000_000_000_000_000 + draw % 800_000_000_000_000_000), draw >> 4)

    def is_banned(self, number: int) -> bool:
        """Return whether the list omits this account, though the total counts it."""
        return chance("banned", self._creator.user_id, number) < _BANNED_SHARE

    def leavers(self, since: float, until: float) -> Iterator[int]:
        """Yield the numbers that leave in (since, until], in the order of leaving; purges last."""
        for event in range(self.left(since), self.left(until)):
            around, place = divmod(event, self._shuffled)
            block = around * self._shuffled + (5 * place + around) % self._shuffled
            yield _BLOCK * block + self._leaver_of(block)
        for index, purge in enumerate(self._growth.purges):
            if since < purge.at_s <= until:
                step = self._purged_step(purge)
                for block in range(0, step * purge.size, step):
                    yield _BLOCK * block + (self._leaver_of(block) + 1 + index) % _BLOCK

    def is_member(self, number: int, at: float) -> bool:
        """Return whether this number has joined by `at` and neither left nor been purged."""
        return 0 <= number < self.joined(at) and self._stayed(number, at, self.left(at))

    def _shown(self, at: float, end: int, start: int) -> list[Follower]:
        left = self.left(at)
        return [
            self.account(number)
            for number in range(start - 1, end - 1, -1)
            if self._stayed(number, at, left) and not self.is_banned(number)
        ]

    def _stayed(self, number: int, at: float, left: int) -> bool:
        block, place = divmod(number, _BLOCK)
        leaver = self._leaver_of(block)
        if place == leaver:
            around, inside = divmod(block, self._shuffled)
            # The inverse of the shuffle in `leavers`.
            event = around * self._shuffled + (inside - around) * pow(5, -1, self._shuffled) % self._shuffled
            return event >= left
        for index, purge in enumerate(self._growth.purges):
            if purge.at_s <= at and place == (leaver + 1 + index) % _BLOCK:
                step = self._purged_step(purge)
                return block % step != 0 or block // step >= purge.size
        return True

    def _leaver_of(self, block: int) -> int:
        return (block * 2_654_435_761 >> 7) % _BLOCK  # Knuth's multiplicative hash: no visible pattern

    def _purged_step(self, purge: Purge) -> int:
        return max(self.joined(purge.at_s) // _BLOCK // purge.size, 1)

    def _tick_of(self, number: int, at: float, ticks_a_second: int) -> int:
        """Return the first tick by which at least `number` have joined."""
        low, high = math.floor(self._created * ticks_a_second), math.ceil(at * ticks_a_second)
        while low < high:
            middle = (low + high) // 2
            if self.joined(middle / ticks_a_second) >= number:
                high = middle
            else:
                low = middle + 1
        return low
