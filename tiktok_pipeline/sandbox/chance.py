"""The source of all randomness in the sandbox. It keeps no state between two calls."""

from __future__ import annotations

from enum import IntEnum
from hashlib import blake2b

import numpy as np


class Topic(IntEnum):
    """The purpose of a generator: topics have separate numbers, so that one can change without the others."""

    CREATORS = 1
    STREAMS = 2
    GROWTH = 3
    STORIES = 4
    POSTS = 5
    PURGES = 6
    ROUTINES = 7
    NEW_HABITS = 8


def generator(seed: int, topic: Topic, index: int = 0) -> np.random.Generator:
    """Return the generator of one topic of one creator: the same three numbers always give the same draws."""
    return np.random.default_rng([seed, int(topic), index])


def bits(*key: object) -> int:
    """Return 64 bits that depend only on the key, the same in every process (`hash()` is salted)."""
    return int.from_bytes(blake2b(repr(key).encode(), digest_size=8).digest())


def chance(*key: object) -> float:
    """Return a number in [0, 1) that depends only on the key."""
    return bits(*key) / 2.0**64
