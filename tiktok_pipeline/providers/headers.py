"""Read response headers as numbers and times. An invalid header counts as absent, never as an error."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# No cached response is older than this: a larger value is wrong.
_OLDEST_S = 86_400.0

# Longest credible wait in seconds: a larger value is wrong, or means "not today".
_LONGEST_WAIT_S = 366 * 86_400.0


def number(headers: Mapping[str, str], name: str) -> float | None:
    """Return a header as a finite number that is not negative; None where it is missing or anything else.

    A header that was sent twice arrives joined by a comma. It is no number, also where both are equal.
    """
    return _number(headers.get(name))


def age_s(headers: Mapping[str, str]) -> float:
    """Return how many seconds ago a cached answer was true, by `Age`: 0 to a day; 0 where it is missing or wrong."""
    said = number(headers, "age")
    return said if said is not None and said <= _OLDEST_S else 0.0


def retry_after(headers: Mapping[str, str], body: bytes, now: datetime | None = None) -> float | None:
    """Return the seconds to wait: `Retry-After` as seconds or as a date, else "after N seconds" in the body's text.

    Some vendors give the wait only in words (docs/vendors.md 5.3). A wrong header is ignored: the usual
    backoff applies.
    """
    written = str(headers.get("retry-after") or "").strip()
    if written:
        seconds = _number(written)
        if seconds is None and (until := _date(written)) is not None:
            # Compare the date with the server's own clock, not with the local one.
            reference = _date(str(headers.get("date") or "")) or now or datetime.now(UTC)
            seconds = max(0.0, (until - reference).total_seconds())
        return seconds if seconds is not None and seconds <= _LONGEST_WAIT_S else None
    in_words = re.search(rb"after (\d{1,9}) seconds?", body[:2000], re.IGNORECASE)
    return _number(in_words.group(1).decode()) if in_words else None


def _number(written: str | None) -> float | None:
    # [0-9], not \d: headers have no digits of other scripts.
    if written is None or not re.fullmatch(r"[0-9]{1,18}(\.[0-9]{1,18})?", str(written).strip()):
        return None
    found = float(written)
    return found if math.isfinite(found) else None


def _date(written: str) -> datetime | None:
    """Return an HTTP date; one without a zone, or with the zone `-0000`, is UTC."""
    try:
        moment = parsedate_to_datetime(written)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError, AttributeError):
        return None
    return moment
