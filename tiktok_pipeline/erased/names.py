"""Test values against the names of erased creators, which are stored as keyed hashes and cannot be read back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Literal

from tiktok_pipeline.providers import VENDORS
from tiktok_pipeline.tables import TABLES

# creator: creator_id. handle: present or past. word: a handle that cannot be a word of a language, so that it is also
# redacted in free text without an @. id: user id or secUid. follower: key in follower_list_entries. name: display name.
Kind = Literal["creator", "handle", "word", "id", "follower", "name"]

# A number with at least this many digits is not a count. TikTok's ids have 16 to 19 digits.
LONG_ID = 15

# Shorter values also occur by chance in unrelated text.
_SHORTEST_WORD = 5
_SHORTEST_NAME = 6

# Size of the cache of tested values: bodies repeat the same few thousand tokens.
_CACHE_SIZE = 200_000


class Names:
    """Keyed hashes of names, and the test whether a value matches one.

    Args:
        key: the deployment's hash key.
        hashes: the results of `hashed` for all names.
    """

    def __init__(self, key: bytes, hashes: Iterable[str]) -> None:
        self._key = key
        self._hashes = frozenset(hashes)
        self._cache: dict[tuple[Kind, str], bool] = {}

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def matches(self, kind: Kind, value: str) -> bool:
        """Return whether `value` is a name of this kind. Only ids and display names are case-sensitive."""
        known = self._cache.get((kind, value))
        if known is None:
            known = hashed(self._key, kind, value) in self._hashes
            if len(self._cache) >= _CACHE_SIZE:
                self._cache.clear()
            self._cache[kind, value] = known
        return known

    def matches_any(self, token: str) -> bool:
        """Return whether a token is a creator_id, a handle or an id."""
        return self.matches("handle", token) or self.matches("creator", token) or self.matches("id", token)

    def any_of(
        self, creator_id: str | None, handle: str | None, user_id: str | None = None, sec_uid: str | None = None
    ) -> bool:
        """Return whether a creator with any of these ids is erased; None is not tested."""
        return (
            (bool(creator_id) and self.matches("creator", str(creator_id)))
            or (bool(handle) and self.matches("handle", str(handle)))
            or any(self.matches("id", value) for value in (user_id, sec_uid) if value)
        )


def hashed(key: bytes, kind: Kind, value: str) -> str:
    """Return the keyed hash of a name, 32 hex digits."""
    plain = value if kind in ("id", "follower", "name") else value.strip().lstrip("@").lower()
    # Bodies may contain half a surrogate pair.
    message = f"{kind}\0{plain}".encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(message, key=key, digest_size=16, person=b"erased")
    return digest.hexdigest()


def follower_key(key: bytes, user_id: str) -> str:
    """Return the key of a follower in `follower_list_entries`."""
    return hashlib.blake2b(user_id.encode(), key=key, digest_size=16).hexdigest()


def is_distinctive(handle: str) -> bool:
    """Return whether a handle cannot be a word: it has a digit, dot or underscore, and is no table or vendor name."""
    return (
        len(handle) >= _SHORTEST_WORD
        and any(character in "0123456789._" for character in handle)
        and handle not in TABLES
        and handle not in VENDORS
    )


def hashes_of(
    key: bytes,
    *,
    creator_ids: Iterable[str] = (),
    handles: Iterable[str] = (),
    ids: Iterable[str] = (),
    display_names: Iterable[str] = (),
) -> set[str]:
    """Hash all names of a creator, by kind. Display names under six characters are left out: they are not unique."""
    handles, ids = list(handles), list(ids)
    found = {hashed(key, "creator", value) for value in creator_ids}
    found |= {hashed(key, "handle", value) for value in handles}
    found |= {hashed(key, "word", value) for value in handles if is_distinctive(value)}
    found |= {hashed(key, "id", value) for value in ids}
    found |= {hashed(key, "follower", follower_key(key, value)) for value in ids}
    return found | {hashed(key, "name", value) for value in display_names if len(value) >= _SHORTEST_NAME}


NO_NAMES = Names(b"", ())
