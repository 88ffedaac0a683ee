"""The names of erased creators as keyed hashes: a value can be tested against them, and none can be read from them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Literal

from tiktok_pipeline.providers import VENDORS
from tiktok_pipeline.tables import TABLES

# creator: creator_id. handle: present or past. word: a handle that is no word of a language, so that it is redacted
# in free text without an @ as well. id: user id or secUid. follower: key in follower_list_entries. name: display name.
Kind = Literal["creator", "handle", "word", "id", "follower", "name"]

# From this many digits on a number is no count. TikTok's ids have 16 to 19 digits.
LONG_ID = 15

# Shorter values are also found inside unrelated text.
_SHORTEST_WORD = 5
_SHORTEST_NAME = 6

# Size of the cache of tested values: bodies repeat the same few thousand tokens.
_MOST_REMEMBERED = 200_000


class Names:
    """Keyed hashes of names, and the test whether a value is one of them.

    Args:
        key: the deployment's hash key.
        hashes: what `hashed` returned for each name.
    """

    def __init__(self, key: bytes, hashes: Iterable[str]) -> None:
        self._key = key
        self._hashes = frozenset(hashes)
        self._remembered: dict[tuple[Kind, str], bool] = {}

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def knows(self, kind: Kind, value: str) -> bool:
        """Whether `value` is a name of this kind. Case counts for ids and display names only."""
        known = self._remembered.get((kind, value))
        if known is None:
            known = hashed(self._key, kind, value) in self._hashes
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            self._remembered[kind, value] = known
        return known

    def knows_any(self, token: str) -> bool:
        """Whether a token is a creator's id, a handle or an id."""
        return self.knows("handle", token) or self.knows("creator", token) or self.knows("id", token)

    def any_of(
        self, creator_id: str | None, handle: str | None, user_id: str | None = None, sec_uid: str | None = None
    ) -> bool:
        """Whether a creator with these ids is erased; None is not tested."""
        return (
            (bool(creator_id) and self.knows("creator", str(creator_id)))
            or (bool(handle) and self.knows("handle", str(handle)))
            or any(self.knows("id", value) for value in (user_id, sec_uid) if value)
        )


def hashed(key: bytes, kind: Kind, value: str) -> str:
    """Return the keyed hash of a name, 32 hex digits."""
    plain = value if kind in ("id", "follower", "name") else value.strip().lstrip("@").lower()
    # Bodies may hold half a surrogate pair.
    said = f"{kind}\0{plain}".encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(said, key=key, digest_size=16, person=b"erased")
    return digest.hexdigest()


def follower_key(key: bytes, user_id: str) -> str:
    """Return the key that stands for a follower in `follower_list_entries`."""
    return hashlib.blake2b(user_id.encode(), key=key, digest_size=16).hexdigest()


def is_distinctive(handle: str) -> bool:
    """Whether a handle cannot be a word: it has a digit, a dot or an underscore, and is no name of this pipeline."""
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
    """Hash all names of a creator, by kind. Display names under six characters are left out: they are anybody's."""
    handles, ids = list(handles), list(ids)
    found = {hashed(key, "creator", value) for value in creator_ids}
    found |= {hashed(key, "handle", value) for value in handles}
    found |= {hashed(key, "word", value) for value in handles if is_distinctive(value)}
    found |= {hashed(key, "id", value) for value in ids}
    found |= {hashed(key, "follower", follower_key(key, value)) for value in ids}
    return found | {hashed(key, "name", value) for value in display_names if len(value) >= _SHORTEST_NAME}


NO_NAMES = Names(b"", ())
