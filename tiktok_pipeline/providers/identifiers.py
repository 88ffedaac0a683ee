"""Validate the form of TikTok's handles and ids before they are used in requests, and compare spellings of one id.

Everything in a body is data. A handle or an id becomes part of a request only if it has the form defined here. The
roster follows the same rules. Ids of another form are kept in the tables unchanged, and are never requested.
"""

from __future__ import annotations

import re
from urllib.parse import quote

# Letters, digits, underscores and periods, 2 to 24 characters; no two periods in a row, which have a meaning in paths.
_HANDLE = re.compile(r"(?!.*\.\.)[a-z0-9_.]{2,24}")
# User ids and room ids: numbers of up to 64 bits.
_NUMBER = re.compile(r"[1-9][0-9]{0,19}")
# A secUid is URL-safe Base64 of about 70 characters, and never a number.
_SEC_UID = re.compile(r"(?![0-9]+\Z)[A-Za-z0-9_\-]{10,190}=*")

# A cursor is opaque but short: a longer text is not a cursor.
_LONGEST_CURSOR = 2_000

# Above this, floats do not represent every integer.
_EXACT_FLOATS = 2**53


def is_handle(value: str) -> bool:
    """Return whether `value` has the form of a handle: lower case, without `@`."""
    return _HANDLE.fullmatch(value) is not None


def is_number(value: str) -> bool:
    """Return whether `value` has the form of a numeric id: of a user, a room or a post."""
    return _NUMBER.fullmatch(value) is not None


def is_sec_uid(value: str) -> bool:
    """Return whether `value` has the form of a secUid."""
    return _SEC_UID.fullmatch(value) is not None


def is_cursor(value: str) -> bool:
    """Return whether `value` may be sent as a cursor: short, printable, and encodable."""
    return len(value) <= _LONGEST_CURSOR and value.isprintable()


def path_part(value: str) -> str:
    """Return `value` percent-encoded as one part of a path."""
    return quote(value, safe="")


def same_number(one: str, other: str) -> bool:
    """Return whether two numeric ids are equal, also if one of them was rounded to a float by a client.

    JavaScript prints a float with zeros (7503448765740977000), C prints its exact value (7503448765740977152).
    """
    if one == other:
        return True
    if not (is_number(one) and is_number(other)) or min(int(one), int(other)) <= _EXACT_FLOATS:
        return False
    return float(one) == float(other) and (is_rounded(one) or is_rounded(other))


def is_rounded(number: str) -> bool:
    """Return whether a numeric id has the digits of a float, and so may stand for several ids."""
    value = int(number)
    return value > _EXACT_FLOATS and (value % 1000 == 0 or value == int(float(value)))
