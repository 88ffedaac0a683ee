"""The platform's own list of a user's stories (docs/vendors.md 6.8), which two vendors return.

No body of either vendor is published: that they return it unchanged, and the item's fields, are guesses. The
platform's names are here; each vendor's file has its formats of numbers and flags.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tiktok_pipeline.sandbox.chance import bits
from tiktok_pipeline.sandbox.stories import TrueStory
from tiktok_pipeline.sandbox.vendor import picture


@dataclass(frozen=True, slots=True)
class StoryPage:
    """One page, newest first; cursors are epoch milliseconds of the newest and the oldest story on it, 0 if empty."""

    stories: list[TrueStory]
    total: int
    newest_ms: int
    max_cursor: int
    min_cursor: int
    more_after: bool
    more_before: bool


def story_page(stories: list[TrueStory], before_ms: int, count: int) -> StoryPage:
    """Return the page of `stories` (oldest first, as in the world) that begins below a cursor; 0 is the newest."""
    times = [int(story.published_s * 1000) for story in stories]
    end = len(stories) if before_ms == 0 else sum(time < before_ms for time in times)
    first = max(end - count, 0)
    page = stories[first:end][::-1]
    return StoryPage(
        stories=page,
        total=len(stories),
        newest_ms=times[-1] if times else 0,
        max_cursor=times[end - 1] if page else 0,
        min_cursor=times[first] if page else 0,
        more_after=first > 0,
        more_before=end < len(stories),
    )


def story_item(story: TrueStory, handle: str, at: datetime) -> dict[str, Any]:
    """Return one story as the mobile app's item; ids are strings, durations milliseconds."""
    second = at.timestamp()
    item: dict[str, Any] = {
        "author": {
            "nickname": story.creator.display_name,
            "sec_uid": story.creator.sec_uid,
            "uid": story.creator.user_id,
            "unique_id": handle,
        },
        "aweme_id": story.story_id,
        "create_time": int(story.published_s),
        "desc": story.caption,
        "is_story": 1,
        "statistics": {
            "aweme_id": story.story_id,
            "collect_count": story.saves(second),
            "comment_count": story.comments(second),
            "digg_count": story.likes(second),
            "play_count": story.views(second),
            "share_count": story.shares(second),
        },
        "story": {"expired_at": int(story.expires_at.timestamp()), "viewed": False},
    }
    if story.media_type == "image":
        photo = {"height": 1920, "url_list": [picture(story.story_id, at, "photo")], "width": 1080}
        return item | {"image_post_info": {"images": [{"display_image": photo}]}}
    file = f"https://v19-webapp.tiktokcdn.example/video/{story.story_id}.mp4"
    return item | {
        "music": {"id": str(bits(story.story_id, "audio") >> 2), "title": f"original sound - {handle}"},
        "video": {
            "cover": {"url_list": [picture(story.story_id, at, "story")]},
            "duration": story.duration_s * 1000,
            "play_addr": {"height": 1280, "url_list": [file], "width": 720},
        },
    }
