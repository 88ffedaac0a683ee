"""Parse response headers as numbers and times. An invalid header counts as absent and is never an error."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# Largest credible age of a cached response; a larger value is wrong.
_OLDEST_S = 86_400.0

# Longest credible wait in seconds: a larger value is wrong, or means "not today".
_LONGEST_WAIT_S = 366 * 86_400.0


def number(headers: Mapping[str, str], name: str) -> float | None:
    """Return a header as a finite, non-negative number; None if it is missing or anything else.

    A header that was sent twice arrives joined by a comma. This is not a number, even if both values are equal.
    """
    return _number(headers.get(name))


def age_s(headers: Mapping[str, str]) -> float:
    """Return the age in seconds of a cached response, from `Age`: 0 to a day; 0 if the header is missing or wrong."""
    age = number(headers, "age")
    return age if age is not None and age <= _OLDEST_S else 0.0


def retry_after(headers: Mapping[str, str], body: bytes, now: datetime | None = None) -> float | None:
    """Return the seconds to wait: from `Retry-After` (seconds or a date), or from "after N seconds" in the body.

    Some vendors report the wait only as text (docs/vendors.md 5.3). An invalid header is ignored: the usual backoff
    applies.
    """
    value = str(headers.get("retry-after") or "").strip()
    if value:
        seconds = _number(value)
        if seconds is None and (until := _date(value)) is not None:
            # Compare the date with the server's clock, not with the local one.
            reference = _date(str(headers.get("date") or "")) or now or datetime.now(UTC)
            seconds = max(0.0, (until - reference).total_seconds())
        return seconds if seconds is not None and seconds <= _LONGEST_WAIT_S else None
    in_words = re.search(rb"after (\d{1,9}) seconds?", body[:2000], re.IGNORECASE)
    return _number(in_words.group(1).decode()) if in_words else None


def _number(value: str | None) -> float | None:
    # [0-9], not \d: digits of other scripts are invalid in headers.
    if value is None or not re.fullmatch(r"[0-9]{1,18}(\.[0-9]{1,18})?", str(value).strip()):
        return None
    found = float(value)
    return found if math.isfinite(found) else None


def _date(value: str) -> datetime | None:
    """Parse an HTTP date; without a zone, or with the zone `-0000`, it is UTC."""
    try:
        moment = parsedate_to_datetime(value)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError, AttributeError):
        return None
    return moment
