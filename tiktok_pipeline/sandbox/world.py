"""The world: a pure function of seed, size, start and instant. The vendors' forms of it are not here.

    world = World(seed=7, creators=12, start=datetime(2026, 3, 2, tzinfo=UTC))
    world.followers_at(world.creators[0], instant)

Each creator's plan is made at its first use and kept; no response depends on earlier requests.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

from tiktok_pipeline.sandbox.creators import Creator, invent_creators
from tiktok_pipeline.sandbox.followers import FollowerList
from tiktok_pipeline.sandbox.growth import Growth, Purge
from tiktok_pipeline.sandbox.habits import Routine, plan_routine
from tiktok_pipeline.sandbox.posts import Feed, TruePost
from tiktok_pipeline.sandbox.rankings import ListKind, Ranking, rank, window
from tiktok_pipeline.sandbox.stories import TrueStory, plan_stories
from tiktok_pipeline.sandbox.streams import Room, TrueStream, plan_streams

DEMO_START = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday: a demo of days begins with a week's habits

# One day more than promised on both sides, so that streams and stories over an edge are included.
BEFORE, AFTER = timedelta(days=36), timedelta(days=181)


@dataclass(frozen=True)
class _Span:
    since: float
    start: float
    until: float


class _Life:
    """All activity of one creator, planned once."""

    def __init__(self, seed: int, creator: Creator, span: _Span) -> None:
        self._seed, self._creator, self._span = seed, creator, span

    @cached_property
    def streams(self) -> list[TrueStream]:
        return plan_streams(self._seed, self._creator, self._span.since, self._span.until)

    @cached_property
    def stream_starts(self) -> list[float]:
        return [stream.start_s for stream in self.streams]

    @cached_property
    def growth(self) -> Growth:
        span = self._span
        return Growth(self._seed, self._creator, self.streams, span.since, span.start, span.until)

    @cached_property
    def stories(self) -> list[TrueStory]:
        return plan_stories(self._seed, self._creator, self._span.since, self._span.until)

    @cached_property
    def feed(self) -> Feed:
        return Feed(self._seed, self._creator, self.streams, self._span.since, self._span.until)

    @cached_property
    def follower_list(self) -> FollowerList:
        return FollowerList(self._creator, self.growth)

    @cached_property
    def routine(self) -> Routine:
        return plan_routine(self._seed, self._creator, self._span.since, self._span.until)

    def streams_between(self, first: float, last: float) -> list[TrueStream]:
        """Return those that overlap [first, last): streams do not overlap each other, so their ends are sorted too."""
        begin = max(bisect_right(self.stream_starts, first) - 1, 0)
        return [s for s in self.streams[begin : bisect_left(self.stream_starts, last)] if s.end_s > first]

    @cached_property
    def rooms(self) -> dict[str, Room]:
        return {room.room_id: room for stream in self.streams for room in stream.rooms}


class World:
    """`creators` invented creators from `start` - 35 days to `start` + 180 days."""

    def __init__(self, seed: int = 7, creators: int = 12, *, start: datetime) -> None:
        if start.tzinfo is None:
            raise ValueError(f"the world's start {start} has no time zone: give it in UTC")
        self.seed = seed
        self.start = start
        self.creators = invent_creators(seed, creators, start)
        span = _Span((start - BEFORE).timestamp(), start.timestamp(), (start + AFTER).timestamp())
        self._lives = [_Life(seed, creator, span) for creator in self.creators]
        self._by_handle: dict[str, Creator] = {}
        for creator in self.creators:
            self._by_handle[creator.handle] = creator
            if creator.renamed_to is not None:
                self._by_handle[creator.renamed_to] = creator
        self._by_user_id = {creator.user_id: creator for creator in self.creators}
        self._by_worker: dict[int, list[Creator]] = {}
        for creator in self.creators:
            self._by_worker.setdefault(creator.index & 0x3FF, []).append(creator)

    def find(self, handle: str, at: datetime) -> Creator | None:
        """Return the creator with this handle (any case, @ optional) at `at`; None for missing or old handles."""
        creator = self._by_handle.get(handle.lstrip("@").lower())
        if creator is None or creator.kind == "missing":
            return None
        if creator.renamed_at is not None and self.handle_at(creator, at) != handle.lstrip("@").lower():
            return None
        return creator

    def find_id(self, user_id: str) -> Creator | None:
        """Return the creator with this numeric user id; None for missing ones."""
        creator = self._by_user_id.get(user_id)
        return None if creator is None or creator.kind == "missing" else creator

    def find_room(self, room_id: str) -> tuple[Creator, Room] | None:
        """Return this room and its creator, at whatever time it is open."""
        if not room_id.isdecimal() or len(room_id) > 19:
            return None
        for creator in self._by_worker.get(int(room_id) >> 12 & 0x3FF, []):
            room = self._lives[creator.index].rooms.get(room_id)
            if room is not None:
                return creator, room
        return None

    def handle_at(self, creator: Creator, at: datetime) -> str:
        """Return the creator's handle at `at`."""
        if creator.renamed_at is not None and creator.renamed_to is not None and at >= creator.renamed_at:
            return creator.renamed_to
        return creator.handle

    def followers_at(self, creator: Creator, at: datetime) -> int:
        """Return the exact number of followers."""
        return self._lives[creator.index].growth.followers(at.timestamp())

    def likes_at(self, creator: Creator, at: datetime) -> int:
        """Return likes over all posts."""
        return int(self.followers_at(creator, at) * creator.likes_per_follower)

    def videos_at(self, creator: Creator, at: datetime) -> int:
        """Return posts, old and new: a profile counts more than its list goes back."""
        feed = self._lives[creator.index].feed
        return max(creator.videos_at_start + feed.count(self.start.timestamp(), at.timestamp()), 0)

    def lift_between(self, creator: Creator, since: datetime, until: datetime) -> float:
        """Return followers that all streams together brought in [since, until]."""
        growth = self._lives[creator.index].growth
        return growth.lift(until.timestamp()) - growth.lift(since.timestamp())

    def stream_lift(self, stream: TrueStream, since: datetime | None = None, until: datetime | None = None) -> float:
        """Return followers that this stream alone brings: in total, or in [since, until]."""
        life = self._lives[stream.creator.index]
        lift = life.growth.lifts[bisect_right(life.stream_starts, stream.start_s) - 1]
        gained_until = lift.total if until is None else lift.gained(until.timestamp())
        return gained_until - (0.0 if since is None else lift.gained(since.timestamp()))

    def purges(self, creator: Creator, since: datetime, until: datetime) -> list[Purge]:
        """Return the purges of followers in (since, until], in order."""
        first, last = since.timestamp(), until.timestamp()
        return [purge for purge in self._lives[creator.index].growth.purges if first < purge.at_s <= last]

    def follower_list(self, creator: Creator) -> FollowerList:
        """Return the followers, newest first, and those that left."""
        return self._lives[creator.index].follower_list

    def routine(self, creator: Creator) -> Routine:
        """Return the creator's changes of habit."""
        return self._lives[creator.index].routine

    def organic_per_day(self, creator: Creator) -> float:
        """Return the mean organic growth, followers a day: the unit in which lifts are compared."""
        return self._lives[creator.index].growth.per_day

    def streams(self, creator: Creator, since: datetime, until: datetime) -> list[TrueStream]:
        """Return the true streams that overlap [since, until), in order."""
        return self._lives[creator.index].streams_between(since.timestamp(), until.timestamp())

    def room_at(self, creator: Creator, at: datetime) -> Room | None:
        """Return the open room; None when offline and inside a reconnect gap."""
        second = at.timestamp()
        life = self._lives[creator.index]
        position = bisect_right(life.stream_starts, second) - 1
        return None if position < 0 else life.streams[position].room_at(second)

    def last_room(self, creator: Creator, at: datetime) -> Room | None:
        """Return the open room, else the one that was open last; None before the first stream."""
        second = at.timestamp()
        life = self._lives[creator.index]
        position = bisect_right(life.stream_starts, second) - 1
        return None if position < 0 else [r for r in life.streams[position].rooms if r.start_s <= second][-1]

    def viewers_at(self, creator: Creator, at: datetime) -> int:
        """Return concurrent viewers, 0 when offline."""
        room = self.room_at(creator, at)
        return 0 if room is None else room.viewers(at.timestamp())

    def new_follows(self, creator: Creator, room: Room, at: datetime) -> int:
        """Return follows from inside the room by `at`, as TikTok counts them: its lift and a fifth of the organic."""
        growth = self._lives[creator.index].growth
        until = min(max(at.timestamp(), room.start_s), room.end_s)
        organic = growth.organic(until) - growth.organic(room.start_s)
        return 1 + int(growth.lift(until) - growth.lift(room.start_s) + 0.2 * organic)

    def stories(self, creator: Creator, since: datetime, until: datetime) -> list[TrueStory]:
        """Return the stories that can be seen at some time in [since, until), oldest first."""
        first, last = since.timestamp(), until.timestamp()
        return [
            s for s in self._lives[creator.index].stories if s.published_s < last and s.published_s + 86_400 > first
        ]

    def stories_at(self, creator: Creator, at: datetime) -> list[TrueStory]:
        """Return the stories that can be seen at `at`, oldest first."""
        second = at.timestamp()
        return [story for story in self._lives[creator.index].stories if story.is_shown(second)]

    def posts(self, creator: Creator, since: datetime, until: datetime) -> list[TruePost]:
        """Return the posts that are published in [since, until), oldest first."""
        return self._lives[creator.index].feed.between(since.timestamp(), until.timestamp())

    def feed(self, creator: Creator) -> Feed:
        """Return the creator's posts, to be walked page by page."""
        return self._lives[creator.index].feed

    def ranking(self, kind: ListKind, region: str, at: datetime) -> Ranking:
        """Return the live ranking of a region at `at`; a region without creators has an empty one."""
        second = at.timestamp()
        begin, _ = window(kind, second)
        rooms = (
            (creator, [room for s in self._lives[creator.index].streams_between(begin, second) for room in s.rooms])
            for creator in self.creators
            if creator.region == region and creator.kind == "public"
        )
        return rank(kind, region, second, rooms)

    def search(self, keyword: str, at: datetime) -> list[Creator]:
        """Return creators with the keyword in handle, name or niche: best match first, then by size; none for blank."""
        query = keyword.strip().lstrip("@").lower()
        if not query:
            return []
        found = []
        for creator in self.creators:
            handle = self.handle_at(creator, at)
            places = (
                handle == query,
                handle.startswith(query),
                query in handle,
                query in creator.display_name.lower(),
                query in creator.niche,
            )
            if any(places) and creator.kind != "missing":
                found.append((places.index(True), -creator.followers_at_start, creator.index))
        return [self.creators[index] for _, _, index in sorted(found)]
