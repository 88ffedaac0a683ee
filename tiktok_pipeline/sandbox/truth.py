"""The truth over HTTP at `/truth/...`: for tests and benchmarks only. No vendor's responses contain it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from tiktok_pipeline.sandbox.creators import Creator
from tiktok_pipeline.sandbox.ledger import Ledger
from tiktok_pipeline.sandbox.rankings import LISTS
from tiktok_pipeline.sandbox.streams import TrueStream
from tiktok_pipeline.sandbox.vendor import Response
from tiktok_pipeline.sandbox.world import World

_MOST_JOINED = 200_000  # ids in one row: a day of the largest creator; more would be a response of many megabytes
_ROSTER = ("handle", "niche", "tier", "user_id", "sec_uid", "note")


class Truth:
    """The `/truth` routes. Creators are named by their handle at the start of the world, as on the roster."""

    def __init__(self, world: World, ledger: Ledger) -> None:
        self._world, self._ledger = world, ledger
        self._creators = {creator.handle: creator for creator in world.creators}
        self._rows: Mapping[str, Callable[[_Query], list[dict[str, Any]]]] = {
            "/truth/creators": self._creator_rows,
            "/truth/streams": self._stream_rows,
            "/truth/followers": self._follower_rows,
            "/truth/lift": self._lift_rows,
            "/truth/stories": self._story_rows,
            "/truth/posts": self._post_rows,
            "/truth/followers-list": self._follower_list_rows,
            "/truth/rankings": self._ranking_rows,
            "/truth/ledger": lambda query: self._ledger.totals(),
            "/truth/log": lambda query: self._ledger.log(),
            "/truth/faults": lambda query: self._ledger.damages(),
            "/truth/now": lambda query: [{"now": query.now}],
        }

    def respond(self, path: str, pairs: list[tuple[str, str]], now: datetime) -> Response:
        """Return rows as a JSON list; the roster as CSV; 400 with a message if the request is wrong."""
        if path == "/truth/roster.csv":
            return Response(200, self._roster(), content_type=b"text/csv; charset=utf-8")
        rows = self._rows.get(path)
        if rows is None:
            known = ", ".join([*self._rows, "/truth/roster.csv"])
            return Response(404, msgspec.json.encode({"error": f"nothing at {path}; the truth is at {known}"}))
        try:
            return Response(200, msgspec.json.encode(rows(_Query(pairs, now))))
        except ValueError as error:
            return Response(400, msgspec.json.encode({"error": str(error)}))

    def _creator_rows(self, query: _Query) -> list[dict[str, Any]]:
        world = self._world
        return [
            {
                "handle": creator.handle,
                "handle_now": world.handle_at(creator, query.now),
                "renamed_to": creator.renamed_to,
                "renamed_at": creator.renamed_at,
                "user_id": creator.user_id,
                "sec_uid": creator.sec_uid,
                "display_name": creator.display_name,
                "niche": creator.niche,
                "tier": creator.tier,
                "kind": creator.kind,
                "verified": creator.verified,
                "habit": creator.habit,
                "habit_changes_to": world.routine(creator).then,
                "habit_changes_at": _instant(world.routine(creator).changes_s),
                "weeks_off": [_instant(week) for week in world.routine(creator).weeks_off],
                "region": creator.region,
                "hides_followers": world.follower_list(creator).hidden,
                "utc_offset_h": creator.utc_offset_h,
                "followers": world.followers_at(creator, query.now),
                "organic_per_day": world.organic_per_day(creator),
            }
            for creator in world.creators
        ]

    def _stream_rows(self, query: _Query) -> list[dict[str, Any]]:
        since, until = query.time("from"), query.time("to")
        streams = [s for creator in self._chosen(query) for s in self._world.streams(creator, since, until)]
        return [self._stream_row(stream) for stream in sorted(streams, key=lambda s: (s.start_s, s.creator.index))]

    def _stream_row(self, stream: TrueStream) -> dict[str, Any]:
        world = self._world
        rooms = [
            {
                "room_id": room.room_id,
                "created_at": datetime.fromtimestamp(room.created_ms / 1000, UTC),
                "started_at": room.started_at,
                "ended_at": room.ended_at,
                "pauses": [[datetime.fromtimestamp(edge, UTC) for edge in pause] for pause in room.pauses],
                "viewers_total": room.enters(room.end_s),
                "likes": room.likes(room.end_s),
                "new_follows": world.new_follows(stream.creator, room, room.ended_at),
            }
            for room in stream.rooms
        ]
        # Every tenth of a minute, because the curve is smooth within a minute.
        by_room = [
            [room.viewers(room.start_s + 6.0 * step) for step in range(int((room.end_s - room.start_s) // 6) + 1)]
            for room in stream.rooms
        ]
        viewers = [count for counts in by_room for count in counts]
        airtime = sum(room.end_s - room.start_s for room in stream.rooms)
        return {
            "creator": stream.creator.handle,
            "user_id": stream.creator.user_id,
            "room_id": stream.rooms[0].room_id,
            "title": stream.rooms[0].title,
            "started_at": stream.started_at,
            "ended_at": stream.ended_at,
            "rooms": rooms,
            "reconnects": len(rooms) - 1,
            "airtime_s": airtime,
            "peak_viewers": max(viewers),
            "average_viewers": sum(viewers) / len(viewers),
            "hours_watched": sum(viewers) / len(viewers) * airtime / 3600,
            "viewers_total": sum(room["viewers_total"] for room in rooms),
            "likes": sum(room["likes"] for room in rooms),
            "lift": world.stream_lift(stream),
            "lift_at_end": world.stream_lift(stream, until=stream.ended_at),
        }

    def _follower_rows(self, query: _Query) -> list[dict[str, Any]]:
        """Return several instants at once: `at` repeated, or separated by commas."""
        rows = []
        for creator in self._chosen(query):
            for at in query.times("at"):
                lift = self._world.lift_between(creator, self._world.start, at)
                followers = self._world.followers_at(creator, at)
                rows.append({"creator": creator.handle, "at": at, "followers": followers, "lift_since_start": lift})
        return rows

    def _lift_rows(self, query: _Query) -> list[dict[str, Any]]:
        """Return followers that streams brought in [from, to], all of a creator together, and purged followers."""
        since, until = query.time("from"), query.time("to")
        return [
            {
                "creator": creator.handle,
                "lift": self._world.lift_between(creator, since, until),
                "change": self._world.followers_at(creator, until) - self._world.followers_at(creator, since),
                "purged": sum(purge.size for purge in self._world.purges(creator, since, until)),
            }
            for creator in self._chosen(query)
        ]

    def _story_rows(self, query: _Query) -> list[dict[str, Any]]:
        since, until = query.time("from"), query.time("to")
        return [
            {
                "creator": creator.handle,
                "story_id": story.story_id,
                "published_at": story.published_at,
                "expires_at": story.expires_at,
                "media_type": story.media_type,
                "duration_s": story.duration_s,
                "caption": story.caption,
                "views": story.views(story.expires_at.timestamp()),
                "likes": story.likes(story.expires_at.timestamp()),
            }
            for creator in self._chosen(query)
            for story in self._world.stories(creator, since, until)
        ]

    def _post_rows(self, query: _Query) -> list[dict[str, Any]]:
        """Return posts published in [from, to), with their counts at `to`; `recap_of`: first room of the stream."""
        since, until = query.time("from"), query.time("to")
        second = until.timestamp()
        return [
            {
                "creator": creator.handle,
                "post_id": post.post_id,
                "published_at": post.published_at,
                "caption": post.caption,
                "pinned": post.pinned,
                "duration_s": post.duration_s,
                "recap_of": None if post.recap_of is None else post.recap_of.rooms[0].room_id,
                "views": post.views(second),
                "likes": post.likes(second),
                "comments": post.comments(second),
                "shares": post.shares(second),
                "saves": post.saves(second),
            }
            for creator in self._chosen(query)
            for post in self._world.posts(creator, since, until)
        ]

    def _follower_list_rows(self, query: _Query) -> list[dict[str, Any]]:
        """Return joined and left followers in (from, to]; `banned_ids` are the joined ones that no list ever shows."""
        since, until = query.time("from").timestamp(), query.time("to").timestamp()
        rows = []
        for creator in self._chosen(query):
            members = self._world.follower_list(creator)
            joined = range(members.joined(since), members.joined(until))
            if len(joined) > _MOST_JOINED:
                raise ValueError(f"{len(joined)} joined {creator.handle!r}: ask for a shorter span than {_MOST_JOINED}")
            rows.append(
                {
                    "creator": creator.handle,
                    "hidden": members.hidden,
                    "total_from": self._world.followers_at(creator, query.time("from")),
                    "total_to": self._world.followers_at(creator, query.time("to")),
                    "joined": len(joined),
                    "left": members.left(until) - members.left(since),
                    "purged": sum(p.size for p in self._world.purges(creator, query.time("from"), query.time("to"))),
                    "joined_ids": [members.account(number).user_id for number in joined],
                    "left_ids": [members.account(number).user_id for number in members.leavers(since, until)],
                    "banned_ids": [members.account(n).user_id for n in joined if members.is_banned(n)],
                }
            )
        return rows

    def _ranking_rows(self, query: _Query) -> list[dict[str, Any]]:
        """Return every list of every region at `at` (repeated or with commas; without it, now)."""
        instants = query.times("at") if query.text("at") is not None else [query.now]
        regions = sorted({creator.region for creator in self._world.creators})
        lists = [(at, self._world.ranking(kind, region, at)) for at in instants for kind in LISTS for region in regions]
        return [
            {
                "at": at,
                "list": ranking.kind,
                "region": ranking.region,
                "window_start": _instant(ranking.begin_s),
                "rank": row.rank,
                "score": row.score,
                "score_unit": ranking.unit,
                "creator": row.creator.handle,
                "user_id": row.creator.user_id,
            }
            for at, ranking in lists
            for row in ranking.rows
        ]

    def _chosen(self, query: _Query) -> list[Creator]:
        handle = query.text("creator")
        if handle is None:
            return self._world.creators
        if handle not in self._creators:
            raise ValueError(f"no creator starts as {handle!r}: the handles are at /truth/creators")
        return [self._creators[handle]]

    def _roster(self) -> bytes:
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(_ROSTER)
        rows.writerows((c.handle, c.niche, c.tier, c.user_id, c.sec_uid, "") for c in self._world.creators)
        return text.getvalue().encode()


class _Query:
    """The query string, with parsed times."""

    def __init__(self, pairs: list[tuple[str, str]], now: datetime) -> None:
        self._pairs, self.now = pairs, now

    def text(self, name: str) -> str | None:
        """Return the first value, or None."""
        return next((value for key, value in self._pairs if key == name), None)

    def times(self, name: str) -> list[datetime]:
        """Return all instants of a parameter."""
        values = [part for key, value in self._pairs if key == name for part in value.split(",")]
        if not values:
            raise ValueError(f"{name} is required: an RFC 3339 time")
        return [_time(name, value) for value in values]

    def time(self, name: str) -> datetime:
        """Return the one instant of a parameter."""
        return self.times(name)[0]


def _instant(second: float | None) -> datetime | None:
    return None if second is None else datetime.fromtimestamp(second, UTC)


def _time(name: str, value: str) -> datetime:
    # An unescaped + of an offset arrives as a blank.
    try:
        at = datetime.fromisoformat(value.replace(" ", "+"))
    except ValueError:
        raise ValueError(f"{name}={value!r} is not an RFC 3339 time") from None
    if at.tzinfo is None:
        raise ValueError(f"{name}={value!r} has no time zone")
    return at
