"""A watch: the roster is asked who is live again and again, until the window ends.

Round robin: creator i of N is asked at fixed instants, i/N of a round after the round's beginning, so that the
load is even and windows join without a seam, whatever process runs them. While somebody is live their room is
asked too (cumulative viewers, TikTok's own count of new follows); when somebody was live and no longer is, the
room is asked once for the end that it knows, and the creator again after `min_gap_seconds`, to confirm. If a handle
is not found, or another account has it, it is resolved by user id: creators rename. A missing handle is polled with
growing delay.

A response about another account than the creator's changes nothing that is known of the creator. The account is the
roster's, or the one that responses agreed on (`providers/accounts.py`); only an account that is known vouches for a
new handle, and until then the roster's handle is polled.

Adaptive: as many questions a minute, each to whom it is worth most by the habits that were learned (`policy.py`); who
waited for two rounds comes first. All else is the same.

A window goes on where the last one ended: who came due while no window ran is asked first.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from tiktok_pipeline.capture.client import Answer, Client
from tiktok_pipeline.capture.habits import Habits
from tiktok_pipeline.capture.last_seen import LONGEST_ABSENCE, LastSeen, is_others, is_own, known
from tiktok_pipeline.capture.live_states import may_be_off_air
from tiktok_pipeline.capture.policy import Known, most_valuable
from tiktok_pipeline.config.settings import Watch
from tiktok_pipeline.providers.accounts import Account
from tiktok_pipeline.providers.observations import LiveReading, ProfileReading, Reading
from tiktok_pipeline.providers.vendor import Outcome, Target

# Creators that may wait for an answer at the same time. More than any vendor lets be in flight, so that a
# vendor that is slow, or one creator's retries, holds up nobody else.
_WORKERS = 64


# A handle that is gone may be a rename or a banned account: its user id is asked about once in this time.
_IDENTITY_PERIOD = timedelta(hours=1)


# How often it is decided anew whom to ask, and how many such ticks' questions may be saved up.
_TICK = timedelta(minutes=1)


_MOST_SAVED_TICKS = 3


# Somebody who has not been asked for this many rounds comes before everybody whose habits say more.
_LONGEST_ROUNDS = 2


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class RoundRobin:
    """When each creator is due: at its own phase of every round."""

    def __init__(self, creators: int, round_s: float) -> None:
        self._round = timedelta(seconds=round_s)
        self._phases = [self._round * index / max(creators, 1) for index in range(creators)]

    def next_due(self, index: int, after: datetime) -> datetime:
        """The first instant of creator `index` that is not before `after`."""
        phase = self._phases[index]
        rounds = -((_EPOCH + phase - after) // self._round)
        due = _EPOCH + phase + rounds * self._round
        return due if due >= after else due + self._round


async def watch(
    client: Client,
    targets: Sequence[Target],
    settings: Watch,
    *,
    until: datetime,
    seen: Mapping[str, LastSeen] | None = None,
    habits: Habits | None = None,
) -> None:
    """Ask `targets` until `until`: in rounds, or by `habits` (of `targets`, in their order) where they are given.

    `seen` is what earlier windows knew.
    """
    known = dict(seen or {})
    watcher = (
        _InRounds(client, list(targets), settings, until, known)
        if habits is None
        else _ByHabit(client, list(targets), settings, until, known, habits)
    )
    await client.clock.gather(watcher.work() for _ in range(min(_WORKERS, len(targets))))


@dataclass(eq=False)
class _Watcher:
    """Asks whoever is due; subclasses decide who is, and when again."""

    client: Client
    targets: list[Target]
    settings: Watch
    until: datetime
    seen: dict[str, LastSeen]

    def __post_init__(self) -> None:
        self._round = timedelta(seconds=self.settings.seconds_of_a_round)
        self._gap = timedelta(seconds=self.settings.min_gap_seconds)
        self._due: list[tuple[datetime, int]] = []

    async def work(self) -> None:
        """Take whoever is due next, wait for it, and ask; until the window ends."""
        clock = self.client.clock
        while True:
            if not self._due and not await self._plan():
                return
            if not self._due:
                continue  # somebody else took them
            if self._due[0][0] >= self.until:
                return
            due, index = heapq.heappop(self._due)
            await clock.sleep_until(due)
            if clock.now() >= self.until:
                return
            await self._ask(index)
            self._asked(index, due)

    async def _plan(self) -> bool:
        """Fill `_due` when it is empty, sleeping until it can be; False when nobody will be due in this window."""
        return False

    def _asked(self, index: int, due: datetime) -> None:
        """Note that creator `index`, who was due at `due`, has been asked."""

    def _may_not_before(self, seen: LastSeen, last: datetime) -> datetime:
        """When somebody may be asked again who was asked at `last`, or was due then."""
        if seen.unconfirmed and seen.asked_at is not None:
            return seen.asked_at + self._gap
        if seen.gone_since is not None and seen.asked_at is not None:
            absence = min(seen.asked_at - seen.gone_since, LONGEST_ABSENCE)
            last = max(last, last + absence - self._gap)
        return last + self._gap

    async def _ask(self, index: int) -> None:
        """Ask one creator, and what the answer leads to."""
        target = self.targets[index]
        before = self.seen.get(target.creator_id, LastSeen())
        before = replace(before, asked_at=self.client.clock.now(), unconfirmed=False)
        self.seen[target.creator_id] = before
        answer = await self.client.ask("live", target)
        if answer is not None and _is_lost(answer, target) and self._may_ask_identity(before, target):
            before = replace(before, identity_asked_at=self.client.clock.now())
            self.seen[target.creator_id] = before
            renamed = await current(self.client, target)
            if renamed.handle != target.handle:
                self.targets[index] = target = renamed
                answer = await self.client.ask("live", target)
            elif target.handle != target.creator_id:
                # The creator may have gone back to the first handle, or a vendor gave a wrong new one.
                first = replace(target, handle=target.creator_id)
                again = await self.client.ask("live", first)
                if again is not None and is_own(_readings(again), first):
                    self.targets[index] = target = first
                    answer = again
        if answer is None:
            return
        now = self.client.clock.now()
        readings = _readings(answer)
        if is_others(readings, target):
            # The state is unknown. Poll a creator who was on air again soon, and request the room once for its end.
            after = replace(before, live=False, live_since=None, gone_since=None)
        else:
            # "Not found" from a live endpoint may mean offline. For the decision to poll again, treat it as offline.
            after = before.after(readings, now).sighted(
                readings, target, answer.vendor.name, answer.attempt.observed_at
            )
            self.targets[index] = target = after.identified(target)
        new_room = after.live and after.room_id != before.room_id
        ended = before.live and not after.live
        gone_since = (before.gone_since or before.asked_at) if _is_gone(answer) else None
        after = replace(after, unconfirmed=ended, gone_since=gone_since)
        self.seen[target.creator_id] = after
        period = timedelta(minutes=self.settings.room_minutes)
        stale = after.live and (after.room_asked_at is None or now - after.room_asked_at >= period)
        if new_room or ended or stale:
            room = replace(target, room_id=after.room_id, user_id=target.user_id or after.user_id)
            self.seen[target.creator_id] = replace(after, room_asked_at=now)
            del answer  # its body may be large, and is not read again
            await self.client.ask("room", room)

    def _may_ask_identity(self, seen: LastSeen, target: Target) -> bool:
        asked = seen.identity_asked_at
        return target.user_id is not None and (asked is None or self.client.clock.now() - asked >= _IDENTITY_PERIOD)


class _InRounds(_Watcher):
    """Everybody once a round, at a phase of their own."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._policy = RoundRobin(len(self.targets), self._round.total_seconds())
        self._due = [(self._first_due(index), index) for index in range(len(self.targets))]
        heapq.heapify(self._due)

    def _first_due(self, index: int) -> datetime:
        """When to ask first: where earlier windows left off, in the past for who has been due since."""
        seen = self.seen.get(self.targets[index].creator_id)
        if seen is None or seen.asked_at is None:
            return self._policy.next_due(index, self.client.clock.now())
        return self._next_due(index, seen.asked_at)

    def _asked(self, index: int, due: datetime) -> None:
        heapq.heappush(self._due, (max(self._next_due(index, due), self.client.clock.now()), index))

    def _next_due(self, index: int, last: datetime) -> datetime:
        seen = self.seen.get(self.targets[index].creator_id, LastSeen())
        earliest = self._may_not_before(seen, last)
        return earliest if seen.unconfirmed and seen.asked_at is not None else self._policy.next_due(index, earliest)


@dataclass(eq=False)
class _ByHabit(_Watcher):
    """Each minute those whom it is worth most to ask, as many as rounds would."""

    habits: Habits

    def __post_init__(self) -> None:
        super().__post_init__()
        self._tick = self.client.clock.now()
        self._a_tick = len(self.targets) * (_TICK / self._round)
        self._saved = 0.0
        # Chosen and not answered yet.
        self._under_way: set[int] = set()

    async def _plan(self) -> bool:
        tick = self._tick
        if tick >= self.until:
            return False
        await self.client.clock.sleep_until(tick)
        if tick == self._tick:  # whoever wakes first decides for all
            self._tick = max(tick, self.client.clock.now()) + _TICK
            self._choose(self.client.clock.now())
        return True

    def _choose(self, now: datetime) -> None:
        self._saved = min(self._saved + self._a_tick, _MOST_SAVED_TICKS * max(self._a_tick, 1.0))
        chosen = most_valuable(
            self.habits,
            self._known(now),
            now,
            count=int(self._saved),
            shortest_min=self._gap / timedelta(minutes=1),
            longest_min=min(_LONGEST_ROUNDS * self._round / timedelta(minutes=1), self.settings.max_gap_minutes),
        )
        self._saved -= len(chosen)
        self._under_way.update(chosen)
        for place, index in enumerate(chosen):
            heapq.heappush(self._due, (now + _TICK * place / len(chosen), index))

    def _known(self, now: datetime) -> Known:
        seen = [self.seen.get(target.creator_id, LastSeen()) for target in self.targets]
        minutes = [0.0 if index in self._under_way else self._since_asked(last, now) for index, last in enumerate(seen)]
        ages = [(now - last.live_since) / timedelta(minutes=1) if last.live_since else 0.0 for last in seen]
        return Known(
            asked=np.array(minutes, dtype=np.float64),
            live=np.array([last.live for last in seen]),
            age=np.array(ages, dtype=np.float64),
            confirm=np.array([last.unconfirmed for last in seen]),
        )

    def _since_asked(self, last: LastSeen, now: datetime) -> float:
        """Minutes since the last question; none while somebody who is gone is not to be asked again yet."""
        if last.asked_at is None:
            return float("inf")
        if now < self._may_not_before(last, last.asked_at):
            return 0.0
        return (now - last.asked_at) / timedelta(minutes=1)

    def _asked(self, index: int, due: datetime) -> None:
        self._under_way.discard(index)


async def current(client: Client, target: Target) -> Target:
    """Return `target` with the current handle of its user id; unchanged if no response confirms another handle."""
    answer = await client.ask("identity", target)
    for reading in _readings(answer) if answer is not None else ():
        if isinstance(reading, ProfileReading) and reading.handle:
            account = Account.of(reading.user_id, reading.sec_uid)
            return replace(target, handle=reading.handle) if known(target).is_same(account) else target
    return target


def _is_lost(answer: Answer, target: Target) -> bool:
    """Return whether the handle is missing or taken: it does not exist, or another account has it."""
    return _is_gone(answer) or is_others(_readings(answer), target)


def _is_gone(answer: Answer) -> bool:
    return answer.outcome is Outcome.NOT_FOUND and not may_be_off_air(_readings(answer))


def _readings(answer: Answer) -> list[Reading]:
    return [r for r in answer.readings() if isinstance(r, LiveReading | ProfileReading)]
