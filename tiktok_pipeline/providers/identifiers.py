"""The form of TikTok's handles and ids: what may be requested, and what two spellings of one id have in common.

Everything in a body is data. A handle or an id becomes part of a request only if it has the form that is written here;
the roster obeys the same rules. Ids of any other form are kept in the tables as they came, and never requested.
"""

from __future__ import annotations

import re
from urllib.parse import quote

# Letters, digits, underscores and periods, 2 to 24 characters; never two periods in a row, which paths are built of.
_HANDLE = re.compile(r"(?!.*\.\.)[a-z0-9_.]{2,24}")
# User ids and room ids: numbers of up to 64 bits.
_NUMBER = re.compile(r"[1-9][0-9]{0,19}")
# A secUid is URL-safe Base64 of some 70 characters, never a number.
_SEC_UID = re.compile(r"(?![0-9]+\Z)[A-Za-z0-9_\-]{10,190}=*")

# A cursor is opaque, but never long: a longer text is not a cursor.
_LONGEST_CURSOR = 2_000

# Above this, a float cannot hold every integer.
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
    """Return whether two numeric ids are the same, also where one of them was rounded to a float on its way.

    JavaScript prints a float with zeros (7503448765740977000), C prints its exact value (7503448765740977152).
    """
    if one == other:
        return True
    if not (is_number(one) and is_number(other)) or min(int(one), int(other)) <= _EXACT_FLOATS:
        return False
    return float(one) == float(other) and (is_rounded(one) or is_rounded(other))


def is_rounded(number: str) -> bool:
    """Return whether a numeric id has the form of a float's digits, and so may stand for many ids."""
    value = int(number)
    return value > _EXACT_FLOATS and (value % 1000 == 0 or value == int(float(value)))
