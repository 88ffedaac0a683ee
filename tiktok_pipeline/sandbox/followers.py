"""Who follows a creator: a list that only grows at its front, of which some leave again.

Follower number p (from 0) is the same invented account for ever; which numbers have joined follows from growth, which
of them have left follows from arithmetic, so a page costs what it shows. Every follower count is that of growth:
joined less left less purged. The list is never complete: banned accounts count, but are not shown, and the platform
shows only the newest.
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
_SHOWN = 5_000  # how far back the platform shows a list: a walk of any vendor ends below 250 pages
_BLOCK = 12  # one of twelve consecutive followers leaves again
_STAY_DAYS = 2.0  # about so many days of joining later
assert MOST_PURGES < _BLOCK - 1  # each purge takes another place of a block than the leaver's


@dataclass(frozen=True, slots=True)
class Follower:
    """One invented account; its public facts follow from `draw`."""

    user_id: str
    draw: int

    @property
    def handle(self) -> str:
        """The handle: unlike any creator's."""
        return f"user{self.draw % 10**13:013d}"

    @property
    def sec_uid(self) -> str:
        """A secUid of a follower."""
        return f"MS4wLjABAAAA{bits(self.draw, 'sec'):016x}{bits(self.draw, 'uid'):016x}"

    @property
    def display_name(self) -> str:
        """What it calls itself."""
        return ("Mika", "نور", "さくら", "Jo 🌸", "no name", "Lu\u200dna")[self.draw % 6] + str(self.draw % 97)

    @property
    def followers(self) -> int:
        """Its own followers: few."""
        return int(math.exp((self.draw >> 8) % 9000 / 1000))

    @property
    def following(self) -> int:
        """Whom it follows."""
        return (self.draw >> 22) % 2000

    @property
    def videos(self) -> int:
        """Its posts: mostly none."""
        return max((self.draw >> 34) % 40 - 25, 0)

    @property
    def created_s(self) -> int:
        """When the account was made, unix seconds: in 2018 to 2025."""
        return 1_514_764_800 + (self.draw >> 12) % 252_000_000


@dataclass(frozen=True, slots=True)
class FollowerPage:
    """Followers, newest first, and where the next page begins (numbers below `next_start`); none at the end.

    `next_tick` is the same place as an instant, in the ticks that were asked for: the next page is of those who
    joined before it.
    """

    followers: list[Follower]
    next_start: int | None
    next_tick: int | None


class FollowerList:
    """The follower list of one creator as a function of the instant (unix seconds)."""

    def __init__(self, creator: Creator, growth: Growth) -> None:
        self._creator, self._growth = creator, growth
        self.hidden: bool = creator.kind == "private" or chance("hidden followers", creator.user_id) < _HIDDEN_SHARE
        # Leaving is shuffled over this many blocks, a power of two: so stays differ, from hours to days.
        self._shuffled = 1 << max(round(math.log2(max(growth.per_day * _STAY_DAYS / _BLOCK, 1.0))), 0)
        self._lag = _BLOCK * self._shuffled  # nobody leaves before this many more have joined than is needed
        self._created = creator.created_at.timestamp()

    def joined(self, at: float) -> int:
        """How many have ever joined: the numbers below this have. Never falls."""
        settled = self._growth.unpurged(at) - self._lag
        return settled + self._lag if settled <= 0 else self._lag + settled + settled // (_BLOCK - 1)

    def left(self, at: float) -> int:
        """How many have left of their own will."""
        return max((self.joined(at) - self._lag) // _BLOCK, 0)

    def page(self, at: float, start: int | None, count: int, ticks_a_second: int = 1) -> FollowerPage:
        """Up to `count` numbers below `start` (none: the newest), less those who have left or are banned.

        A page ends between two ticks, so that an instant can stand for its end; where more than a page joined in
        one tick, the rest of that tick is lost.
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
        """The account with this number."""
        draw = bits("follower", self._creator.user_id, number)
        return Follower(str(6_600_000_000_000_000_000 + draw % 800_000_000_000_000_000), draw >> 4)

    def is_banned(self, number: int) -> bool:
        """Whether the list leaves this account out, though the total counts it."""
        return chance("banned", self._creator.user_id, number) < _BANNED_SHARE

    def leavers(self, since: float, until: float) -> Iterator[int]:
        """The numbers that leave in (since, until], in the order in which they go; purges last."""
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
        """Whether this number has joined by `at` and neither left nor been purged."""
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
        return (block * 2_654_435_761 >> 7) % _BLOCK  # Knuth's multiplicative hash: no pattern that a reader would see

    def _purged_step(self, purge: Purge) -> int:
        return max(self.joined(purge.at_s) // _BLOCK // purge.size, 1)

    def _tick_of(self, number: int, at: float, ticks_a_second: int) -> int:
        """The first tick by which at least `number` have joined."""
        low, high = math.floor(self._created * ticks_a_second), math.ceil(at * ticks_a_second)
        while low < high:
            middle = (low + high) // 2
            if self.joined(middle / ticks_a_second) >= number:
                high = middle
            else:
                low = middle + 1
        return low
