"""The body of a live room in TikHub's responses (docs/vendors.md 6.1): the platform's own, with damaged ids.

Its numbers went through a client with integers up to 2^53: numeric ids are damaged, their `*_str` twins correct.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec

from tiktok_pipeline.sandbox.chance import bits, chance
from tiktok_pipeline.sandbox.creators import Creator
from tiktok_pipeline.sandbox.streams import Room
from tiktok_pipeline.sandbox.vendor import picture
from tiktok_pipeline.sandbox.world import World

_LIVE, _PAUSED, _ENDED = 2, 3, 4
_COUNTS_FOLLOWS_SHARE = 2 / 3


def room_body(world: World, creator: Creator, room: Room, at: datetime) -> dict[str, Any]:
    """Return the room at `at`: live, paused or ended; the owner's follower count is of `at`, not of the room."""
    second = at.timestamp()
    ended = second >= room.end_s
    created = room.created_ms // 1000
    viewers = room.viewers(second)
    owner = _owner(creator) | {
        "display_id": world.handle_at(creator, at),
        "follow_info": {
            "follow_status": 0,
            "follower_count": world.followers_at(creator, at),
            "following_count": creator.following,
            "push_status": 0,
        },
        "own_room": {
            "room_ids": [] if ended else [damaged(room.room_id)],
            "room_ids_str": [] if ended else [room.room_id],
        },
    }
    return _static(creator, room) | {
        "finish_time": int(room.end_s) if ended else created,
        "last_ping_time": 0 if ended else int(second),
        "like_count": room.likes(second),
        "owner": owner,
        "room_pcu": viewers,
        "stats": {
            "comment_count": 0,
            "digg_count": 0,
            "enter_count": 0,
            "follow_count": world.new_follows(creator, room, at) if _counts_follows(creator) else 0,
            "gift_uv_count": room.gifters(second),
            "id": damaged(room.room_id),
            "id_str": room.room_id,
            "like_count": 0,
            "share_count": 0,
            # The platform sets this to zero in requests with user_id (docs/vendors.md 1.6).
            "total_user": 0,
            "total_user_desp": "",
            "user_count_composition": {"my_follow": 0.03, "other": 0.71, "video_detail": 0.26},
            "watermelon": 0,
        },
        "status": _ENDED if ended else _PAUSED if room.is_paused(second) else _LIVE,
        "stream_status": 0 if ended else 1,
        "user_count": viewers,
    }


def damaged(number: str) -> int:
    """Return the integer as a client with 64-bit floats prints it: 7503448765740976902 becomes ...977000."""
    return int(Decimal(repr(float(number))))


@lru_cache(maxsize=8192)
def _counts_follows(creator: Creator) -> bool:
    return chance("tikhub", "follow_count", creator.user_id) < _COUNTS_FOLLOWS_SHARE


def image(subject: str, kind: str, at: datetime) -> dict[str, Any]:
    """Return a picture as in the platform's bodies: with two addresses."""
    address = picture(subject, at, kind)
    return {
        "avg_color": "",
        "height": 0,
        "image_type": 0,
        "is_animated": False,
        "open_web_url": "",
        "uri": f"tos-sandbox/{bits(subject, kind):016x}",
        "url_list": [address, address.replace("p16", "p19")],
        "width": 0,
    }


@lru_cache(maxsize=4096)
def _owner(creator: Creator) -> dict[str, Any]:
    return {
        "allow_find_by_contacts": False,
        "avatar_large": image(creator.user_id, "large", creator.created_at),
        "avatar_medium": image(creator.user_id, "medium", creator.created_at),
        "avatar_thumb": image(creator.user_id, "thumb", creator.created_at),
        "badge_list": [],
        "bio_description": creator.bio,
        "create_time": 0,
        "id": damaged(creator.user_id),
        "id_str": creator.user_id,
        "is_follower": False,
        "is_following": False,
        "nickname": creator.display_name,
        "pay_grade": {"grade_banner": "", "level": 0, "score": 0},
        "sec_uid": creator.sec_uid,
        "secret": 0,
        "status": 1,
        "subscribe_info": {"enable_subscription": False, "is_in_grace_period": False, "subscriber_count": 0},
        "user_role": 0,
        "verified": creator.verified,
    }


@lru_cache(maxsize=4096)
def _static(creator: Creator, room: Room) -> dict[str, Any]:
    """Return the part of a room that does not change while it lasts."""
    stream_id = str(bits(room.room_id, "stream") >> 2)
    stem = f"https://pull-f5.tiktokcdn.example/stage/stream-{stream_id}"
    qualities = {
        name: {"main": {"flv": f"{stem}_{name}.flv", "hls": f"{stem}_{name}/index.m3u8", "sdk_params": "{}"}}
        for name in ("origin", "hd", "sd")
    }
    stream_data = msgspec.json.encode({"common": {"session_id": stream_id, "rule_ids": "{}"}, "data": qualities})
    return {
        "AnchorABMap": {},
        "adjust_display_order": 1,
        "admin_user_ids": [],
        "age_restricted": {"AgeInterval": 0, "restricted": False, "source": 0},
        "anchor_tab_type": 3,
        "app_id": 1233,
        "auto_cover": 0,
        "client_version": 370203,
        "commerce_info": {"commerce_permission": 0, "oec_live_enter_room_init_data": "", "product_num": 0},
        "cover": image(room.room_id, "cover", room.started_at),
        "create_time": room.created_ms // 1000,
        "deco_list": [],
        "finish_reason": 0,
        "finish_url": "",
        "game_tag": [],
        "has_commerce_goods": False,
        "hashtag": {"id": 5, "namespace": 0, "title": creator.niche.title()},
        "id": damaged(room.room_id),
        "id_str": room.room_id,
        "is_replay": False,
        "layout": 0,
        "link_mic": {"audience_id_list": [], "battle_scores": [], "channel_id": 0, "rival_anchor_id": 0},
        "live_id": 4,
        "live_room_mode": 0,
        "living_room_attrs": {"rank": 0, "room_id": damaged(room.room_id), "room_id_str": room.room_id},
        "owner_user_id": damaged(creator.user_id),
        "owner_user_id_str": "",
        "regional_restricted": {"block_list": []},
        "room_auth": {"Chat": True, "Danmaku": False, "Digg": True, "Gift": True, "Rank": 1, "Share": True},
        "room_layout": 0,
        "room_sticker_list": [],
        "share_url": f"https://m.tiktok.com/share/live/{room.room_id}/?language=en",
        "start_time": int(room.start_s),
        "stream_id": damaged(stream_id),
        "stream_id_str": stream_id,
        "stream_url": {
            "default_resolution": "SD2",
            "flv_pull_url": {"FULL_HD1": f"{stem}_hd.flv", "SD2": f"{stem}_sd.flv"},
            "hls_pull_url": f"{stem}_hd/index.m3u8",
            "id": damaged(stream_id),
            "id_str": stream_id,
            "live_core_sdk_data": {
                "pull_data": {"options": {"default_quality": {"sdk_key": "sd"}}, "stream_data": stream_data.decode()}
            },
            "resolution_name": {"ORIGION": "Original", "HD1": "720p", "SD2": "480p"},
        },
        "title": room.title or "",
        "top_fans": [],
        "with_linkmic": False,
    }
