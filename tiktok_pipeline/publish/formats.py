"""Numbers and times in readable form. A missing value is a dash, never 0."""

from __future__ import annotations

import math
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal

UNKNOWN = "–"
# Larger numbers, infinity and NaN have no decimal places to round.
_EXACT = 1e15
_STEPS = ((1e9, "B"), (1e6, "M"), (1e3, "k"))


def count(value: float | None) -> str:
    """Return a number in at most four characters: 7, 2.5, 940, 12.3k, 4.62M."""
    if value is None:
        return UNKNOWN
    size = abs(value)
    for step, letter in _STEPS:
        # From here on three digits round up to the next unit: 999,600 is 1M, not 1000k.
        if size >= 0.9995 * step:
            return _digits(value / step) + letter
    return _digits(value) if size < 10 else _whole(value)


def gained(value: float | None) -> str:
    """Return followers gained or lost: whole, with a sign; a value that rounds to 0 has no sign."""
    if value is None:
        return UNKNOWN
    text = _whole(value) if abs(value) < 1000 else count(value)
    return text if text.startswith("−") or text == "0" else f"+{text}"


def exactly(value: float | None) -> str:
    """Return all digits, in groups of three."""
    return UNKNOWN if value is None else _whole(value)


def percent(share: float | None) -> str:
    """Return a share of one as a percentage: 64 %, 7.3 %, under 0.1 %."""
    if share is None:
        return UNKNOWN
    size = abs(share) * 100
    if 0 < size < 0.1:
        return "under 0.1 %"
    return f"{fixed(share * 100, 1 if 0 < size < 9.95 else 0)} %"


def duration(seconds: float | None) -> str:
    """Return a length in one form everywhere: 45 s, 12 min, 1 h 44 min; from a hundred hours on whole hours, 312 h."""
    if seconds is None:
        return UNKNOWN
    minutes = _half_up(seconds / 60)
    if seconds < 90:
        return f"{_half_up(seconds)} s"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 6000:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{_half_up(seconds / 3600):,} h"


def change(value: float | None) -> str:
    """Return a change with its direction: ▲ 12.3k, ▼ 940; = for none."""
    if value is None:
        return UNKNOWN
    return "=" if value == 0 else f"{'▲' if value > 0 else '▼'} {count(abs(value))}"


def fixed(value: float, places: int) -> str:
    """Return a number with so many decimal places. Halves are rounded away from zero, as page.js does."""
    if not abs(value) < _EXACT:
        return f"{value:.{places}f}"
    return str(Decimal(value).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP))


def _half_up(value: float) -> int:
    return math.floor(value + 0.5)


def day(at: date | datetime | None) -> str:
    """Return a day: Fri 13 Nov."""
    return UNKNOWN if at is None else f"{at:%a} {at.day} {at:%b}"


def long_day(at: date | datetime) -> str:
    """Return a day in full: Friday, 13 November 2026."""
    return f"{at:%A}, {at.day} {at:%B %Y}"


def clock(at: datetime | None) -> str:
    """17:43."""
    return UNKNOWN if at is None else f"{at:%H:%M}"


def moment(at: datetime | None) -> str:
    """Return day and time: Fri 13 Nov, 17:43."""
    return UNKNOWN if at is None else f"{day(at)}, {clock(at)}"


def short_moment(at: datetime) -> str:
    """Return day and time without the weekday: 13 Nov, 17:43."""
    return f"{at.day} {at:%b}, {clock(at)}"


def _digits(value: float) -> str:
    """Return at most three digits, without trailing zeros."""
    size = abs(value)
    text = fixed(value, 0 if size >= 99.95 else 1 if size >= 9.995 else 2)
    return _minus(text.rstrip("0").rstrip(".") if "." in text else text)


def _whole(value: float) -> str:
    return _minus(f"{int(fixed(value, 0)):,}" if abs(value) < _EXACT else f"{value:,.0f}")


def _minus(text: str) -> str:
    """Return the text with a typographic minus; zero has no sign."""
    return text.lstrip("-") if float(text.replace(",", "")) == 0 else text.replace("-", "−")
