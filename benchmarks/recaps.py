"""Measure recaps against the sandbox's truth: `python -m benchmarks.recaps`.

The sandbox's captions were written with knowledge of the rules. So the result shows that the rules run and their limits
(captions without words, two streams within three days), but nothing about real captions. To measure those, label
posts: docs/methods.md 6.2 explains how many and which. The peer is the hashtags alone, over the same posts.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from tiktok_pipeline.config.settings import Recaps
from tiktok_pipeline.sandbox.posts import TruePost
from tiktok_pipeline.sandbox.world import World
from tiktok_pipeline.tables import POST_OBSERVATIONS, STREAMS
from tiktok_pipeline.transforms.recaps import recaps

START = datetime(2026, 3, 2, tzinfo=UTC)


@dataclass(frozen=True)
class Measured:
    """Shares of posts: found ones that are recaps, recaps that are found, found ones with the right stream."""

    posts: int
    recaps: int
    precision: float
    recall: float
    right_stream: float


def measure(*, creators: int, days: int, seed: int, settings: Recaps | None = None) -> Measured:
    """Score every post of a span in which all streams are known."""
    world = World(seed, creators, start=START)
    begin, end = START + timedelta(days=4), START + timedelta(days=4 + days)
    streams = [
        {
            "stream_id": stream.rooms[0].room_id,
            "creator_id": stream.creator.handle,
            "started_at": stream.started_at,
            "ended_at": stream.ended_at,
            "ended_at_lo": stream.ended_at,
            "status": "ended",
        }
        for creator in world.creators
        for stream in world.streams(creator, START, end)
    ]
    posts = [post for creator in world.creators for post in world.posts(creator, begin, end) if not post.pinned]
    found = recaps(_observed(posts, end), _frame(STREAMS.schema, streams), settings=settings or Recaps())
    truth = {post.post_id: post.recap_of for post in posts}
    right = [truth[post_id] is not None for post_id in found["post_id"]]
    linked = [
        recap_of.rooms[0].room_id == stream_id
        for post_id, stream_id in found.select("post_id", "stream_id").iter_rows()
        if (recap_of := truth[post_id]) is not None
    ]
    many = sum(recap_of is not None for recap_of in truth.values())
    return Measured(
        len(posts), many, sum(right) / max(len(right), 1), sum(right) / max(many, 1), sum(linked) / max(len(linked), 1)
    )


def _observed(posts: list[TruePost], at: datetime) -> pl.DataFrame:
    return _frame(
        POST_OBSERVATIONS.schema,
        [
            {
                "creator_id": post.creator.handle,
                "vendor": "social_fetch",
                "observed_at": at,
                "capture_id": post.post_id,
                "post_id": post.post_id,
                "published_at": post.published_at,
                "caption": post.caption,
                "views": post.views(at.timestamp()),
                "likes": post.likes(at.timestamp()),
            }
            for post in posts
        ],
    )


def _frame(schema: pl.Schema, rows: list[dict[str, object]]) -> pl.DataFrame:
    return pl.DataFrame([dict.fromkeys(schema) | row for row in rows], schema=schema)


def main() -> None:
    """Measure the rules, and the hashtags alone, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--creators", type=int, default=100)
    parser.add_argument("--days", type=int, default=28)
    parser.add_argument("--seed", type=int, default=23)
    options = parser.parse_args()
    tags_alone = Recaps(
        live=0, recap=0, both=0, announcement=0, noise=0, base=-2.9, soon=0, next_day=0, later=0, during=0
    )
    print(f"{'':14}{'posts':>8}{'recaps':>8}{'precision':>11}{'recall':>8}{'right stream':>14}")
    for name, settings in (("ours", Recaps()), ("hashtags alone", tags_alone)):
        of = measure(creators=options.creators, days=options.days, seed=options.seed, settings=settings)
        print(f"{name:14}{of.posts:8}{of.recaps:8}{of.precision:11.1%}{of.recall:8.1%}{of.right_stream:14.1%}")
    print("invented captions: this says that the rules run, not how right they are in the field")


if __name__ == "__main__":
    main()
