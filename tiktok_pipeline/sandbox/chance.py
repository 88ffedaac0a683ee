"""Where everything random in the sandbox comes from. Nothing here remembers anything between two calls."""

from __future__ import annotations

from enum import IntEnum
from hashlib import blake2b

import numpy as np


class Topic(IntEnum):
    """What a generator is for: topics do not share their numbers, so one can change without the others."""

    CREATORS = 1
    STREAMS = 2
    GROWTH = 3
    STORIES = 4
    POSTS = 5
    PURGES = 6
    ROUTINES = 7
    NEW_HABITS = 8


def generator(seed: int, topic: Topic, index: int = 0) -> np.random.Generator:
    """The generator of one topic of one creator: the same three numbers give the same draws for ever."""
    return np.random.default_rng([seed, int(topic), index])


def bits(*key: object) -> int:
    """64 bits that depend on the key alone, the same in every process (`hash()` is salted, so is no use)."""
    return int.from_bytes(blake2b(repr(key).encode(), digest_size=8).digest())


def chance(*key: object) -> float:
    """A number in [0, 1) that depends on the key alone."""
    return bits(*key) / 2.0**64
