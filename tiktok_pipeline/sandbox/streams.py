"""True streams of creators, with their rooms, pauses, reconnects and viewers.

Times inside are unix seconds. `habits` has the hours of the week at which a creator goes live, `growth` the followers
that a stream brings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from tiktok_pipeline.sandbox.chance import Topic, chance, generator
from tiktok_pipeline.sandbox.creators import Creator
from tiktok_pipeline.sandbox.habits import plan_starts

MIN_GAP_S = 20 * 60.0  # a shorter gap is a reconnect of the same stream, not a second stream
_SHORTEST_S, _LONGEST_S = 5 * 60.0, 240 * 60.0
_ABORTED_SHARE = 0.12  # of 5 to 14 minutes: with the log-normal's own tail about 15 % are below 15 minutes
_RECONNECT_SHARE = 0.115  # of those of 15 minutes and more, which makes 10 % of all
_PAUSE_SHARE = 0.18
_TITLES = (
    "chill night",
    "road to the top 🔥",
    "Q&A + new stuff",
    "ask me anything",
    "لنلعب معا",
    "まったり配信 🌙",
    "day 100\nno days off",
)
_ROOM_TYPE = 11  # the type nibble of a room among TikTok's time ids (docs/methods.md 1.3)


@dataclass(frozen=True, slots=True, eq=False)
class Room:
    """One room of a stream. `created_ms` is in the room id; `start_s` is a few seconds later."""

    room_id: str
    created_ms: int
    start_s: float
    end_s: float
    pauses: tuple[tuple[float, float], ...]
    peak: float

    @property
    def started_at(self) -> datetime:
        """Return when the room opened to viewers, UTC."""
        return datetime.fromtimestamp(self.start_s, UTC)

    @property
    def ended_at(self) -> datetime:
        """Return when the room closed, UTC."""
        return datetime.fromtimestamp(self.end_s, UTC)

    @property
    def title(self) -> str | None:
        """Return the host's title; one in ten rooms has none."""
        draw = chance(self.room_id, "title")
        return None if draw < 0.1 else _TITLES[int(draw * 1e6) % len(_TITLES)]

    def is_open(self, at: float) -> bool:
        """Return whether the room is open at unix second `at` (a pause is open)."""
        return self.start_s <= at < self.end_s

    def is_paused(self, at: float) -> bool:
        """Return whether the host has paused at unix second `at` (room status 3)."""
        return any(begin <= at < end for begin, end in self.pauses)

    def viewers(self, at: float) -> int:
        """Return concurrent viewers: ramp, plateau, slow decay, noise of the minute; 0 when the room is closed."""
        if not self.is_open(at):
            return 0
        noise = 0.92 + 0.16 * chance(self.room_id, int(at // 60))
        pause = 0.7 if self.is_paused(at) else 1.0
        return min(int(self._smooth(at - self.start_s) * noise * pause) + 1, self.enters(at))

    def enters(self, at: float) -> int:
        """Return cumulative enters of this room, never falling; frozen when the room closes."""
        age = min(max(at - self.start_s, 0.0), self.end_s - self.start_s)
        return 1 + int(self._smooth(age) + self._watched(age) / _STAY_S)

    def likes(self, at: float) -> int:
        """Return cumulative likes of this room."""
        return int(self.enters(at) * (1.0 + 4.0 * chance(self.room_id, "likes")))

    def gifters(self, at: float) -> int:
        """Return cumulative distinct viewers that sent a gift."""
        return int(self.enters(at) * 0.015 * chance(self.room_id, "gifters"))

    def viewer_seconds(self, at: float) -> float:
        """Return viewers x seconds by unix second `at`, without the noise of the minute."""
        return self._watched(min(max(at - self.start_s, 0.0), self.end_s - self.start_s))

    def _ramp_s(self) -> float:
        return min(480.0, 0.2 * (self.end_s - self.start_s))

    def _smooth(self, age: float) -> float:
        """Return peak (1 - exp(-age / ramp)) (1 - 0.4 age / length)."""
        slope = 0.4 / (self.end_s - self.start_s)
        return self.peak * (1.0 - math.exp(-age / self._ramp_s())) * (1.0 - slope * age)

    def _watched(self, age: float) -> float:
        """Return the integral of `_smooth` from 0 to `age`: viewer-seconds."""
        ramp, slope = self._ramp_s(), 0.4 / (self.end_s - self.start_s)
        fade = math.exp(-age / ramp)
        lost = ramp * (1.0 - fade) - slope * (ramp**2 - fade * (ramp * age + ramp**2))
        return self.peak * max(age - slope * age**2 / 2 - lost, 0.0)


_STAY_S = 240.0  # a viewer stays four minutes on average


@dataclass(frozen=True, slots=True, eq=False)
class TrueStream:
    """One true stream: one room, or two around a reconnect."""

    creator: Creator
    rooms: tuple[Room, ...]

    @property
    def start_s(self) -> float:
        """Return the start of the first room, unix seconds."""
        return self.rooms[0].start_s

    @property
    def end_s(self) -> float:
        """Return the end of the last room, unix seconds."""
        return self.rooms[-1].end_s

    @property
    def started_at(self) -> datetime:
        """Return the start of the first room, UTC."""
        return self.rooms[0].started_at

    @property
    def ended_at(self) -> datetime:
        """Return the end of the last room, UTC."""
        return self.rooms[-1].ended_at

    def room_at(self, at: float) -> Room | None:
        """Return the open room at unix second `at`; None inside a reconnect gap."""
        return next((room for room in self.rooms if room.is_open(at)), None)


def time_id(created_ms: int, kind: int, worker: int, low: int) -> str:
    """Return a TikTok time id: seconds << 32 | milliseconds << 22 | worker << 12 | type nibble << 8 | low byte.

    The worker bits distinguish two creators that start in the same millisecond.
    """
    seconds, milliseconds = divmod(created_ms, 1000)
    return str(seconds << 32 | milliseconds << 22 | (worker & 0x3FF) << 12 | kind << 8 | low)


def plan_streams(seed: int, creator: Creator, since: float, until: float) -> list[TrueStream]:
    """Plan every stream of a public creator that starts in [since, until), in order, never overlapping."""
    if creator.kind != "public":
        return []
    rng = generator(seed, Topic.STREAMS, creator.index)
    starts = plan_starts(rng, seed, creator, since, until)
    lengths = _lengths(rng, len(starts))
    peak = 0.9 * creator.followers_at_start**0.62 * math.exp(rng.normal(0.0, 0.5))
    peaks = peak * np.exp(rng.normal(0.0, 0.35, len(starts)))
    draws = rng.uniform(size=(len(starts), 12))
    streams: list[TrueStream] = []
    free_from = since
    for start, length, crowd, draw in zip(
        starts.tolist(), lengths.tolist(), peaks.tolist(), draws.tolist(), strict=True
    ):
        if start < free_from:
            continue
        streams.append(_stream(creator, start, length, crowd, draw))
        free_from = start + length + MIN_GAP_S
    return streams


def _lengths(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Draw lengths in whole seconds, 5 to 240 minutes: log-normal, and some that ended early."""
    median = 64.0 * 60.0 * math.exp(rng.normal(0.0, 0.3))
    draws = median * np.exp(rng.normal(0.0, 0.65, (count, 6)))
    fits = (draws >= _SHORTEST_S) & (draws <= _LONGEST_S)
    first = np.take_along_axis(draws, fits.argmax(axis=1)[:, None], axis=1)[:, 0]
    aborted = rng.uniform(size=count) < _ABORTED_SHARE
    lengths = np.where(aborted, rng.uniform(_SHORTEST_S, 14 * 60.0, count), first)
    whole: NDArray[np.float64] = np.floor(np.clip(lengths, _SHORTEST_S, _LONGEST_S))
    return whole


def _stream(creator: Creator, start: float, length: float, peak: float, draw: list[float]) -> TrueStream:
    """Make one stream from twelve uniform numbers."""
    end = start + length
    spans = [(start, end)]
    if length >= 15 * 60.0 and draw[0] < _RECONNECT_SHARE:
        lost = math.floor(start + length * (0.2 + 0.5 * draw[1]))
        spans = [(start, float(lost)), (float(lost + 60 + math.floor(300 * draw[2])), end)]
    rooms = []
    for number, (begin, finish) in enumerate(spans):
        room_length = finish - begin
        pauses: tuple[tuple[float, float], ...] = ()
        if room_length >= 25 * 60.0 and draw[3 + number] < _PAUSE_SHARE:
            pause = math.floor(begin + room_length * (0.2 + 0.5 * draw[5 + number]))
            pauses = ((float(pause), float(pause + 60 + math.floor(240 * draw[7 + number]))),)
        created_ms = int(begin * 1000) - 1000 - int(4000 * draw[9 + number])
        room_id = time_id(created_ms, _ROOM_TYPE, creator.index, int(256 * draw[11]))
        rooms.append(Room(room_id, created_ms, begin, finish, pauses, peak))
    return TrueStream(creator, tuple(rooms))
