"""Watch: poll the live state of every creator on the roster repeatedly until the window ends.

Round robin: creator i of N is polled at fixed times, i/N of a round after the start of the round. The load is even, and
windows continue each other without a gap, in any process. While a creator is on air, the room is requested too
(cumulative viewers, TikTok's own count of new follows). When a stream ends, the room is requested once for its exact
end, and the creator is polled again after `min_gap_seconds`, to confirm. If a handle is not found, or belongs to
another account, resolve it by user id: creators rename. A missing handle is polled with growing delay.

A response about another account does not change the state of the creator. The account is that of the roster, or the one
that responses agreed on (`providers/accounts.py`). A new handle is accepted only for a known account; until then the
roster's handle is polled.

Adaptive: the same number of polls per minute, ordered by their value under the estimated habits (`poll_priority.py`). A
creator without a poll for two rounds comes first. Everything else is the same.

A window continues the previous one: creators that became due between windows are polled first.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from tiktok_pipeline.capture.client import Client, Response
from tiktok_pipeline.capture.habits import Habits
from tiktok_pipeline.capture.last_seen import LONGEST_ABSENCE, LastSeen, account_of, is_others, is_own
from tiktok_pipeline.capture.live_states import may_be_off_air
from tiktok_pipeline.capture.poll_priority import Known, most_valuable
from tiktok_pipeline.config.settings import Watch
from tiktok_pipeline.providers.accounts import Account
from tiktok_pipeline.providers.observations import LiveReading, ProfileReading, Reading
from tiktok_pipeline.providers.vendor import Outcome, Target

# Creators that may wait for a response at the same time. This exceeds the requests in flight of any vendor, so that a
# slow vendor, or the retries of one creator, does not delay the others.
_WORKERS = 64


# A missing handle may be a rename or a banned account: its user id is resolved at most once in this time.
_IDENTITY_PERIOD = timedelta(hours=1)


# How often the adaptive order is computed, and how many ticks' worth of polls may accumulate.
_TICK = timedelta(minutes=1)


_MOST_SAVED_TICKS = 3


# A creator without a poll for this many rounds comes before all others.
_LONGEST_ROUNDS = 2


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class RoundRobin:
    """The poll times of each creator: a fixed phase of every round."""

    def __init__(self, creators: int, round_s: float) -> None:
        self._round = timedelta(seconds=round_s)
        self._phases = [self._round * index / max(creators, 1) for index in range(creators)]

    def next_due(self, index: int, after: datetime) -> datetime:
        """Return the first poll time of creator `index` at or after `after`."""
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
    """Poll `targets` until `until`: in rounds, or by `habits` (of `targets`, in their order) if they are given.

    `seen` is the state that earlier windows left.
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
    """Polls creators that are due; subclasses decide the order and the next poll time."""

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
        """Take the next due creator, wait for its time, and poll; repeat until the window ends."""
        clock = self.client.clock
        while True:
            if not self._due and not await self._plan():
                return
            if not self._due:
                continue  # another worker took them
            if self._due[0][0] >= self.until:
                return
            due, index = heapq.heappop(self._due)
            await clock.sleep_until(due)
            if clock.now() >= self.until:
                return
            await self._poll(index)
            self._polled(index, due)

    async def _plan(self) -> bool:
        """Fill the empty `_due`, sleeping if necessary; return False if nothing is due again in this window."""
        return False

    def _polled(self, index: int, due: datetime) -> None:
        """Record that creator `index`, who was due at `due`, has been polled."""

    def _earliest_poll(self, seen: LastSeen, last: datetime) -> datetime:
        """Return the earliest next poll of a creator that was polled, or due, at `last`."""
        if seen.unconfirmed and seen.polled_at is not None:
            return seen.polled_at + self._gap
        if seen.missing_since is not None and seen.polled_at is not None:
            absence = min(seen.polled_at - seen.missing_since, LONGEST_ABSENCE)
            last = max(last, last + absence - self._gap)
        return last + self._gap

    async def _poll(self, index: int) -> None:
        """Poll one creator, and make the requests that follow from the response."""
        target = self.targets[index]
        before = self.seen.get(target.creator_id, LastSeen())
        before = replace(before, polled_at=self.client.clock.now(), unconfirmed=False)
        self.seen[target.creator_id] = before
        response = await self.client.request("live", target)
        if response is not None and _is_lost(response, target) and self._may_request_identity(before, target):
            before = replace(before, identity_polled_at=self.client.clock.now())
            self.seen[target.creator_id] = before
            renamed = await current(self.client, target)
            if renamed.handle != target.handle:
                self.targets[index] = target = renamed
                response = await self.client.request("live", target)
            elif target.handle != target.creator_id:
                # The creator may have returned to the first handle, or a vendor gave a wrong new one.
                first = replace(target, handle=target.creator_id)
                retried = await self.client.request("live", first)
                if retried is not None and is_own(_readings(retried), first):
                    self.targets[index] = target = first
                    response = retried
        if response is None:
            return
        now = self.client.clock.now()
        readings = _readings(response)
        if is_others(readings, target):
            # The state is unknown. Poll a creator who was on air again soon, and request the room once for its end.
            after = replace(before, live=False, live_since=None, missing_since=None)
        else:
            # "Not found" from a live endpoint may mean offline. For the decision to poll again, treat it as offline.
            after = before.after(readings, now).sighted(
                readings, target, response.vendor.name, response.attempt.observed_at
            )
            self.targets[index] = target = after.identified(target)
        new_room = after.live and after.room_id != before.room_id
        ended = before.live and not after.live
        missing_since = (before.missing_since or before.polled_at) if _is_missing(response) else None
        after = replace(after, unconfirmed=ended, missing_since=missing_since)
        self.seen[target.creator_id] = after
        period = timedelta(minutes=self.settings.room_minutes)
        stale = after.live and (after.room_polled_at is None or now - after.room_polled_at >= period)
        if new_room or ended or stale:
            room = replace(target, room_id=after.room_id, user_id=target.user_id or after.user_id)
            self.seen[target.creator_id] = replace(after, room_polled_at=now)
            del response  # the body may be large, and is not read again
            await self.client.request("room", room)

    def _may_request_identity(self, seen: LastSeen, target: Target) -> bool:
        last = seen.identity_polled_at
        return target.user_id is not None and (last is None or self.client.clock.now() - last >= _IDENTITY_PERIOD)


class _InRounds(_Watcher):
    """Polls each creator once a round, at a fixed phase."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._rounds = RoundRobin(len(self.targets), self._round.total_seconds())
        self._due = [(self._first_due(index), index) for index in range(len(self.targets))]
        heapq.heapify(self._due)

    def _first_due(self, index: int) -> datetime:
        """Return the first poll time: after the last poll of earlier windows, in the past for an overdue creator."""
        seen = self.seen.get(self.targets[index].creator_id)
        if seen is None or seen.polled_at is None:
            return self._rounds.next_due(index, self.client.clock.now())
        return self._next_due(index, seen.polled_at)

    def _polled(self, index: int, due: datetime) -> None:
        heapq.heappush(self._due, (max(self._next_due(index, due), self.client.clock.now()), index))

    def _next_due(self, index: int, last: datetime) -> datetime:
        seen = self.seen.get(self.targets[index].creator_id, LastSeen())
        earliest = self._earliest_poll(seen, last)
        return earliest if seen.unconfirmed and seen.polled_at is not None else self._rounds.next_due(index, earliest)


@dataclass(eq=False)
class _ByHabit(_Watcher):
    """Polls the most valuable creators each minute, as many as in rounds."""

    habits: Habits

    def __post_init__(self) -> None:
        super().__post_init__()
        self._tick = self.client.clock.now()
        self._a_tick = len(self.targets) * (_TICK / self._round)
        self._saved = 0.0
        # Chosen, and without a response so far.
        self._under_way: set[int] = set()

    async def _plan(self) -> bool:
        tick = self._tick
        if tick >= self.until:
            return False
        await self.client.clock.sleep_until(tick)
        if tick == self._tick:  # the first worker to wake decides for all
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
        minutes = [0.0 if index in self._under_way else self._since_poll(last, now) for index, last in enumerate(seen)]
        ages = [(now - last.live_since) / timedelta(minutes=1) if last.live_since else 0.0 for last in seen]
        return Known(
            since_poll=np.array(minutes, dtype=np.float64),
            live=np.array([last.live for last in seen]),
            age=np.array(ages, dtype=np.float64),
            confirm=np.array([last.unconfirmed for last in seen]),
        )

    def _since_poll(self, last: LastSeen, now: datetime) -> float:
        """Return the minutes since the last poll; 0 for a missing handle that must not be polled yet."""
        if last.polled_at is None:
            return float("inf")
        if now < self._earliest_poll(last, last.polled_at):
            return 0.0
        return (now - last.polled_at) / timedelta(minutes=1)

    def _polled(self, index: int, due: datetime) -> None:
        self._under_way.discard(index)


async def current(client: Client, target: Target) -> Target:
    """Return `target` with the current handle of its user id; unchanged if no response confirms another handle."""
    response = await client.request("identity", target)
    for reading in _readings(response) if response is not None else ():
        if isinstance(reading, ProfileReading) and reading.handle:
            account = Account.of(reading.user_id, reading.sec_uid)
            return replace(target, handle=reading.handle) if account_of(target).is_same(account) else target
    return target


def _is_lost(response: Response, target: Target) -> bool:
    """Return whether the handle does not exist, or belongs to another account."""
    return _is_missing(response) or is_others(_readings(response), target)


def _is_missing(response: Response) -> bool:
    return response.outcome is Outcome.NOT_FOUND and not may_be_off_air(_readings(response))


def _readings(response: Response) -> list[Reading]:
    return [r for r in response.readings() if isinstance(r, LiveReading | ProfileReading)]
