"""Guard every vendor's `judge` and `read`: an unforeseen exception costs one row, not a window or a day.

Known causes are handled in the vendors' own files; an exception here is a bug there. It becomes a `malformed` row, or
a `quarantine` row with the type of the exception as its reason (`is_unforeseen` recognizes both).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tiktok_pipeline.providers.observations import Problem, Reading
from tiktok_pipeline.providers.vendor import Outcome, Unreadable, Vendor, Verdict, text

# Prefix of the verdict's error, and of the problem's reason.
UNFORESEEN = "unforeseen "


def judge(vendor: Vendor, endpoint: str, status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
    """Return the vendor's verdict on a response; `malformed` with the exception's type if `judge` raises."""
    try:
        return vendor.judge(endpoint, status, headers, body)
    except Exception as error:
        return Verdict(Outcome.MALFORMED, UNFORESEEN + type(error).__name__)


def read(vendor: Vendor, endpoint: str, outcome: Outcome, body: bytes) -> Iterator[Reading | Problem]:
    """Yield the readings and problems in a landed body; an unreadable body, or an exception, gives one problem."""
    try:
        yield from vendor.read(endpoint, outcome, body)
    except Unreadable as error:
        yield error.problem
    except Exception as error:
        yield Problem(UNFORESEEN + type(error).__name__, None, text(body))


def is_unforeseen(reason: str | None) -> bool:
    """Return whether a verdict's error, or a problem's reason, comes from this guard."""
    return reason is not None and reason.startswith(UNFORESEEN)
