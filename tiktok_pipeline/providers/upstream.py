"""Read TikTok's own structures, which TikHub and TikLiveAPI return: user details, lists of items.

Facts of docs/vendors.md 6: web and mobile spellings occur side by side; counts are numbers (`stats`, rounded) or exact
strings (`statsV2`); a list of stories has no `itemList` if it is empty; cursors are strings of milliseconds; `hasMore`
is a flag or 0/1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import msgspec

from tiktok_pipeline.providers import vendor
from tiktok_pipeline.providers.accounts import Account, frequent, of_one_author
from tiktok_pipeline.providers.observations import (
    Notes,
    PostReading,
    Problem,
    ProfileReading,
    Reading,
    Scalar,
    StoryReading,
    exact_precision,
    handle,
    identifier,
    web_precision,
)
from tiktok_pipeline.providers.vendor import Unreadable

# Stories live for a day (docs/vendors.md 6.8).
_STORY_LIFE = timedelta(days=1)


class Stats(msgspec.Struct):
    """Counts of a user in TikTok's web spelling; `statsV2` has the same counts as exact strings."""

    follower_count: Scalar = msgspec.field(name="followerCount", default=None)
    following_count: Scalar = msgspec.field(name="followingCount", default=None)
    heart_count: Scalar = msgspec.field(name="heartCount", default=None)
    heart: Scalar = None
    video_count: Scalar = msgspec.field(name="videoCount", default=None)


class User(msgspec.Struct):
    """A user in web spelling, with the mobile app's fields beside it."""

    id: Scalar = None
    id_str: Scalar = None
    uid: Scalar = None
    unique_id: str | None = msgspec.field(name="uniqueId", default=None)
    unique_id_mobile: str | None = msgspec.field(name="unique_id", default=None)
    sec_uid: str | None = msgspec.field(name="secUid", default=None)
    sec_uid_mobile: str | None = msgspec.field(name="sec_uid", default=None)
    nickname: str | None = None
    signature: str | None = None
    verified: bool | None = None
    private_account: bool | None = msgspec.field(name="privateAccount", default=None)
    secret: bool | int | None = None
    language: str | None = None
    region: str | None = None
    avatar_thumb: object = msgspec.field(name="avatarThumb", default=None)
    followers_beside: Scalar = msgspec.field(name="followerCount", default=None)
    follower_count: Scalar = None
    following_count: Scalar = None
    total_favorited: Scalar = None
    aweme_count: Scalar = None
    stats: Stats | None = None


class _ItemStats(msgspec.Struct):
    """Counts of an item in web spelling, then in the mobile app's."""

    play_count: Scalar = msgspec.field(name="playCount", default=None)
    digg_count: Scalar = msgspec.field(name="diggCount", default=None)
    comment_count: Scalar = msgspec.field(name="commentCount", default=None)
    share_count: Scalar = msgspec.field(name="shareCount", default=None)
    collect_count: Scalar = msgspec.field(name="collectCount", default=None)
    plays: Scalar = msgspec.field(name="play_count", default=None)
    diggs: Scalar = msgspec.field(name="digg_count", default=None)
    comments: Scalar = msgspec.field(name="comment_count", default=None)
    shares: Scalar = msgspec.field(name="share_count", default=None)
    collects: Scalar = msgspec.field(name="collect_count", default=None)


class _Media(msgspec.Struct):
    duration: Scalar = None
    play_address: object = msgspec.field(name="playAddr", default=None)
    play_addr: object = None


class _Music(msgspec.Struct):
    title: str | None = None


class _Item(msgspec.Struct):
    id: Scalar = None
    id_str: Scalar = None
    aweme_id: Scalar = None
    video_id: Scalar = None
    create_time: Scalar = msgspec.field(name="createTime", default=None)
    created: Scalar = msgspec.field(name="create_time", default=None)
    desc: str | None = None
    title: str | None = None
    is_pinned: bool | int | None = msgspec.field(name="isPinnedItem", default=None)
    is_top: bool | int | None = None
    duration: Scalar = None
    stats: _ItemStats | None = None
    statistics: _ItemStats | None = None
    video: _Media | None = None
    image_post: object = msgspec.field(name="imagePost", default=None)
    music: _Music | str | None = None
    author: User | str | None = None
    # TikLiveAPI's feed has the counts next to the id.
    play_count: Scalar = None
    digg_count: Scalar = None
    comment_count: Scalar = None
    share_count: Scalar = None
    collect_count: Scalar = None


_item = msgspec.json.Decoder(_Item)


def profile(user: User, stats: Stats | None, notes: Notes, exact: Stats | None = None) -> ProfileReading:
    """Return a profile; counts of `exact` (statsV2) and of the mobile user are exact, those of `stats` rounded."""
    stats = stats or user.stats or Stats()
    followers, precision, unit = None, None, None
    for value, rounding, field in (
        (exact.follower_count if exact else None, exact_precision, "statsV2.followerCount"),
        (user.follower_count, exact_precision, "user.follower_count"),
        (stats.follower_count, web_precision, "stats.followerCount"),
    ):
        if followers is None:
            followers, precision, unit = notes.followers(value, rounding, field)
    best = exact or stats
    return ProfileReading(
        source="profile",
        user_id=identifier(user.id_str, user.id, user.uid),
        sec_uid=identifier(user.sec_uid, user.sec_uid_mobile),
        handle=handle(user.unique_id or user.unique_id_mobile),
        display_name=user.nickname,
        bio=user.signature,
        avatar_url=notes.address(user.avatar_thumb, "avatarThumb"),
        verified=user.verified,
        private=_flag(user.private_account if user.private_account is not None else user.secret),
        language=user.language,
        region=user.region,
        followers=followers,
        following=_first(notes, "followingCount", best.following_count, stats.following_count, user.following_count),
        likes=_first(notes, "heartCount", best.heart_count, best.heart, stats.heart_count, user.total_favorited),
        videos=_first(notes, "videoCount", best.video_count, stats.video_count, user.aweme_count),
        followers_precision=precision,
        followers_unit=unit,
    )


def posts(items: list[msgspec.Raw], notes: Notes) -> Iterator[Reading | Problem]:
    """Yield the posts of a list and their author; an unreadable post is a problem, and reading continues."""
    yield from _items(items, _post, "post", notes)


def stories(items: list[msgspec.Raw], notes: Notes) -> Iterator[Reading | Problem]:
    """Yield the stories of a list and their author; a story is an item that expires after a day."""
    yield from _items(items, _story, "story", notes)


def _items(
    items: list[msgspec.Raw], read: Callable[[_Item, Notes], Reading], source: str, notes: Notes
) -> Iterator[Reading | Problem]:
    found: list[tuple[Reading, Account]] = []
    handles: dict[Account, str | None] = {}
    for raw in items:
        try:
            item = vendor.decode(_item, raw, notes)
            reading = read(item, notes)
        except Unreadable as error:
            yield error.problem
            continue
        author = item.author if isinstance(item.author, User) else User()
        account = Account.of(
            identifier(author.id_str, author.id, author.uid), identifier(author.sec_uid, author.sec_uid_mobile)
        )
        handles.setdefault(account, handle(author.unique_id or author.unique_id_mobile))
        found.append((reading, account))
    yield from of_one_author(found, "itemList[].author")
    account = frequent(account for _, account in found)
    # In a list that was requested by id, a handle without an id is not evidence of the account.
    if account:
        yield ProfileReading(source=source, user_id=account.user_id, sec_uid=account.sec_uid, handle=handles[account])


def _post(item: _Item, notes: Notes) -> PostReading:
    return PostReading(
        post_id=_item_id(item),
        published_at=_published(item, notes),
        caption=item.desc or item.title,
        pinned=_flag(item.is_pinned if item.is_pinned is not None else item.is_top),
        duration_s=_length(item, notes),
        **_counts(item, notes),
    )


def _story(item: _Item, notes: Notes) -> StoryReading:
    published = _published(item, notes)
    media = item.video or _Media()
    return StoryReading(
        story_id=_item_id(item),
        published_at=published,
        expires_at=published + _STORY_LIFE if published else None,
        media_type="image" if item.image_post else "video" if item.video else None,
        duration_s=_length(item, notes),
        caption=item.desc or item.title,
        media_url=notes.address(media.play_address, "playAddr") or notes.address(media.play_addr, "play_addr"),
        music=item.music.title if isinstance(item.music, _Music) else None,
        **_counts(item, notes),
    )


def _published(item: _Item, notes: Notes) -> datetime | None:
    return notes.instant(item.create_time, "createTime") or notes.instant(item.created, "create_time")


# TikTok's ids of posts are 64-bit numbers that contain their time: 17 to 19 digits since 2016.
_POST_ID = re.compile(r"[0-9]{15,20}")


def _item_id(item: _Item) -> str:
    """Return TikTok's id of an item, equal for all vendors; `aweme_id` may be an id of the vendor's storage."""
    ids = [found for value in (item.id_str, item.video_id, item.aweme_id, item.id) if (found := identifier(value))]
    if not ids:
        raise Unreadable("an item without an id", "itemList[].id", None)
    return next((found for found in ids if _POST_ID.fullmatch(found)), ids[0])


def _counts(item: _Item, notes: Notes) -> dict[str, int | None]:
    stats = item.stats or item.statistics or _ItemStats()
    return {
        "views": _first(notes, "playCount", stats.play_count, stats.plays, item.play_count),
        "likes": _first(notes, "diggCount", stats.digg_count, stats.diggs, item.digg_count),
        "comments": _first(notes, "commentCount", stats.comment_count, stats.comments, item.comment_count),
        "shares": _first(notes, "shareCount", stats.share_count, stats.shares, item.share_count),
        "saves": _first(notes, "collectCount", stats.collect_count, stats.collects, item.collect_count),
    }


def _length(item: _Item, notes: Notes) -> float | None:
    """Return seconds. The mobile app sends milliseconds: posts are under 10,000 s, and few are under 10 s in ms."""
    video = item.video.duration if item.video else None
    length = notes.seconds(item.duration if item.duration is not None else video, "duration")
    return length / 1000 if length is not None and length >= 10_000 else length


def _first(notes: Notes, field: str, *values: Scalar) -> int | None:
    return next((found for value in values if (found := notes.count(value, field)) is not None), None)


def _flag(value: bool | int | None) -> bool | None:
    return None if value is None else bool(value)
