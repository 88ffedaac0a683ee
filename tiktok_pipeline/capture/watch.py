"""A watch: the roster is asked who is live again and again, until the window ends.

Round robin: creator i of N is asked at fixed instants, i/N of a round after the round's beginning, so that the
load is even and windows join without a seam, whatever process runs them. While somebody is live their room is
asked too (cumulative viewers, TikTok's own count of new follows); when somebody was live and no longer is, the
room is asked once for the end that it knows, and the creator again after `min_gap_seconds`, to confirm.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from tiktok_pipeline.capture.client import Answer, Client
from tiktok_pipeline.providers.observations import LiveReading, ProfileReading, Reading
from tiktok_pipeline.providers.vendor import Target
from tiktok_pipeline.settings import Watch

# Creators that may wait for an answer at the same time. More than any vendor lets be in flight, so that a
# vendor that is slow, or one creator's retries, holds up nobody else.
_WORKERS = 64

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class LastSeen:
    """What is remembered of a creator from one question to the next."""

    live: bool = False
    room_id: str | None = None
    user_id: str | None = None
    room_asked_at: datetime | None = None

    def after(self, readings: Iterable[object]) -> LastSeen:
        """This, and what an answer added."""
        seen = self
        for reading in readings:
            if isinstance(reading, ProfileReading):
                seen = replace(seen, user_id=reading.user_id or seen.user_id)
            elif isinstance(reading, LiveReading):
                live = reading.live_state in ("live", "paused")
                seen = replace(seen, live=live, room_id=reading.room_id or seen.room_id)
        return seen


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
) -> None:
    """Ask `targets` in rounds until `until`; `seen` is what earlier windows knew."""
    watcher = _Watcher(client, targets, settings, until, dict(seen or {}))
    await client.clock.gather(watcher.work() for _ in range(min(_WORKERS, len(targets))))


class _Watcher:
    def __init__(
        self,
        client: Client,
        targets: Sequence[Target],
        settings: Watch,
        until: datetime,
        seen: dict[str, LastSeen],
    ) -> None:
        self._client = client
        self._targets = targets
        self._settings = settings
        self._until = until
        self._seen = seen
        self._policy = RoundRobin(len(targets), settings.round_seconds)
        now = client.clock.now()
        self._due = [(self._policy.next_due(index, now), index) for index in range(len(targets))]
        heapq.heapify(self._due)

    async def work(self) -> None:
        """Take whoever is due next, wait for it, ask, and put it back; until the window ends."""
        clock = self._client.clock
        while self._due and self._due[0][0] < self._until:
            due, index = heapq.heappop(self._due)
            await clock.sleep_until(due)
            if clock.now() >= self._until:
                return
            confirm = await self._ask(self._targets[index])
            gap = timedelta(seconds=self._settings.min_gap_seconds)
            again = clock.now() + gap if confirm else self._policy.next_due(index, due + gap)
            heapq.heappush(self._due, (max(again, clock.now()), index))

    async def _ask(self, target: Target) -> bool:
        """Ask one creator; whether the answer is to be confirmed soon."""
        before = self._seen.get(target.creator_id, LastSeen(user_id=target.user_id))
        answer = await self._client.ask("live", target)
        if answer is None:
            return False
        readings = _readings(answer)
        # "Not found" from a live endpoint may mean offline: for the question whether to look again, it does.
        after = before.after(readings)
        self._seen[target.creator_id] = after
        new_room = after.live and after.room_id != before.room_id
        ended = before.live and not after.live
        now = self._client.clock.now()
        period = timedelta(minutes=self._settings.room_minutes)
        stale = after.live and (after.room_asked_at is None or now - after.room_asked_at >= period)
        if new_room or ended or stale:
            room = replace(target, room_id=after.room_id, user_id=after.user_id)
            self._seen[target.creator_id] = replace(after, room_asked_at=now)
            await self._client.ask("room", room)
        return ended


def _readings(answer: Answer) -> list[Reading]:
    return [r for r in answer.readings() if isinstance(r, LiveReading | ProfileReading)]
