"""Invent the creators of the world: identities, sizes and tastes. Their activity is in streams, growth and stories."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import NormalDist
from typing import Literal

import numpy as np

from tiktok_pipeline.sandbox.chance import Topic, generator

Kind = Literal["public", "private", "missing"]
Habit = Literal["weekly", "daily", "irregular", "rare"]

# Cumulative: 45 % weekly slots, 20 % a daily window, 25 % irregular, 10 % rare (docs/methods.md 9.1).
HABIT_SHARES: tuple[tuple[float, Habit], ...] = ((0.45, "weekly"), (0.65, "daily"), (0.90, "irregular"), (1.0, "rare"))

NICHES = ("gaming", "beauty", "music", "cooking", "fitness", "talk")

_SYLLABLES = ("vel", "mo", "ra", "qui", "bin", "zo", "tal", "ish", "ko", "lun", "fen", "dri", "wex", "pa", "nou", "sky")
_SUFFIXES = {
    "gaming": ("plays", "gg", "pixels"),
    "beauty": ("glow", "looks", "shades"),
    "music": ("sings", "beats", "keys"),
    "cooking": ("kitchen", "bakes", "spice"),
    "fitness": ("moves", "lifts", "runs"),
    "talk": ("talks", "says", "room"),
}
_EMOJI = {"gaming": "🎮", "beauty": "💄", "music": "🎧", "cooking": "🍜", "fitness": "🏋️‍♀️", "talk": "🎙️"}
_BIOS = (
    "{emoji} {niche} every week\nnew here? say hi 👋",
    "just {niche}. no drama.",
    "بث مباشر كل مساء {emoji}\n{niche}",
    "שידור חי כמעט כל ערב {emoji}",
    "毎晩ライブ{emoji}よろしくね",
    "{niche} | {niche} | more {niche}\n\n✉️ business in the link",
    "",
)
_NAME_FORMS = ("{name}", "{name} {emoji}", "✨{name}✨", "{name} نجمة", "{name} ライブ", "THE {name}")

# (hours from UTC, language, region): creators of one niche live in several zones, so midnight UTC falls everywhere.
_HOMES = (
    (-8.0, "en", "US"),
    (-5.0, "en", "US"),
    (-3.0, "pt", "BR"),
    (0.0, "en", "GB"),
    (1.0, "de", "DE"),
    (2.0, "he", "IL"),
    (3.0, "ar", "SA"),
    (5.5, "en", "IN"),
    (8.0, "id", "ID"),
    (9.0, "ja", "JP"),
)


@dataclass(frozen=True, slots=True, eq=False)
class Creator:
    """One invented creator. `handle` is the one at the start of the world; ids never change."""

    index: int
    handle: str
    user_id: str
    sec_uid: str
    display_name: str
    bio: str
    niche: str
    tier: str
    kind: Kind
    verified: bool
    language: str
    region: str
    utc_offset_h: float
    created_at: datetime
    habit: Habit
    followers_at_start: int
    following: int
    likes_per_follower: float
    videos_at_start: int
    videos_per_day: float
    renamed_to: str | None
    renamed_at: datetime | None


def invent_creators(seed: int, count: int, start: datetime) -> list[Creator]:
    """Invent `count` creators. Of 8 or more, one in twelve is private (at least one), as many missing or renaming."""
    rng = generator(seed, Topic.CREATORS)
    odd = max(1, count // 12) if count >= 8 else 0
    order = [int(i) for i in rng.permutation(count)]
    private, missing, renaming = set(order[:odd]), set(order[odd : 2 * odd]), set(order[2 * odd : 3 * odd])
    hidden, public = order[: 2 * odd], order[2 * odd :]
    sizes: dict[int, int] = {}
    habits: dict[int, Habit] = {}
    for group in (hidden, public):  # apart, so that the public ones alone span all sizes and habits
        sizes |= zip(group, _sizes(rng, len(group)), strict=True)
        habits |= zip(group, _habits(rng, len(group)), strict=True)
    taken: set[str] = set()
    creators = []
    for index in range(count):
        kind: Kind = "private" if index in private else "missing" if index in missing else "public"
        niche = NICHES[index % len(NICHES)]
        handle = _handle(rng, niche, taken)
        renames = index in renaming
        new_handle = _handle(rng, niche, taken)
        renamed_at = start + timedelta(hours=int(rng.integers(24, 108)), minutes=int(rng.integers(0, 60)))
        name = handle.replace(".", " ").replace("_", " ").title()
        emoji = _EMOJI[niche]
        offset, language, region = _HOMES[int(rng.integers(len(_HOMES)))]
        followers = sizes[index]
        creators.append(
            Creator(
                index=index,
                handle=handle,
                user_id=str(int(rng.integers(6_600_000_000_000_000_000, 7_400_000_000_000_000_000))),
                sec_uid="MS4wLjABAAAA" + base64.urlsafe_b64encode(rng.bytes(48)).decode(),
                display_name=_NAME_FORMS[int(rng.integers(len(_NAME_FORMS)))].format(name=name, emoji=emoji),
                bio=_BIOS[int(rng.integers(len(_BIOS)))].format(niche=niche, emoji=emoji),
                niche=niche,
                tier="a" if followers >= 1_000_000 else "b" if followers >= 30_000 else "c",
                kind=kind,
                verified=followers > 400_000,
                language=language,
                region=region,
                utc_offset_h=offset,
                created_at=start - timedelta(days=int(rng.integers(400, 2500)), seconds=int(rng.integers(86_400))),
                habit=habits[index],
                followers_at_start=followers,
                following=int(rng.integers(8, 2400)),
                likes_per_follower=float(rng.uniform(4.0, 40.0)),
                videos_at_start=int(rng.integers(40, 1500)),
                videos_per_day=float(rng.uniform(0.2, 2.5)),
                renamed_to=new_handle if renames else None,
                renamed_at=renamed_at if renames else None,
            )
        )
    return creators


def _sizes(rng: np.random.Generator, count: int) -> list[int]:
    """Draw log-normal follower counts (docs/methods.md 9.1), stratified so that a few creators span all sizes."""
    normal = NormalDist(math.log(120_000), 1.9)
    sizes = [math.exp(normal.inv_cdf((rank + rng.uniform(0.05, 0.95)) / count)) for rank in range(count)]
    if count >= 3:
        # Even among few: one below the web app's first rounding step, one far above its last.
        sizes[0] = min(sizes[0], rng.uniform(2_000, 9_000))
        sizes[-1] = max(sizes[-1], rng.uniform(4e6, 25e6))
    return [int(min(max(size, 1_500), 60_000_000)) for size in rng.permutation(sizes)]


def _habits(rng: np.random.Generator, count: int) -> list[Habit]:
    """Draw habits in exactly the shares of `HABIT_SHARES`."""
    habits = [next(habit for limit, habit in HABIT_SHARES if (rank + 0.5) / count < limit) for rank in range(count)]
    return [habits[int(i)] for i in rng.permutation(count)]


def _handle(rng: np.random.Generator, niche: str, taken: set[str]) -> str:
    """Draw a handle that is unused in this world, and improbable outside."""
    while True:
        name = "".join(_SYLLABLES[int(i)] for i in rng.integers(len(_SYLLABLES), size=3))
        suffix = _SUFFIXES[niche][int(rng.integers(3))]
        handle = f"{name}{'._'[int(rng.integers(2))]}{suffix}{int(rng.integers(10, 99))}"
        if handle not in taken:
            taken.add(handle)
            return handle
