"""The guard around every vendor's `judge` and `read`: an unforeseen exception costs one row, never a window or a day.

The causes that are known are mended in the vendors' own files; what this guard catches is a bug there. It becomes a
`malformed` row, or a `quarantine` row whose reason names the exception's type (`is_unforeseen` recognizes both).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tiktok_pipeline.providers.observations import Problem, Reading
from tiktok_pipeline.providers.vendor import Outcome, Unreadable, Vendor, Verdict, text

# Prefix of the error of such a verdict, and of the reason of such a problem.
UNFORESEEN = "unforeseen "


def judge(vendor: Vendor, endpoint: str, status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
    """Return the vendor's verdict on an answer; `malformed` with the exception's type where `judge` raises."""
    try:
        return vendor.judge(endpoint, status, headers, body)
    except Exception as error:
        return Verdict(Outcome.MALFORMED, UNFORESEEN + type(error).__name__)


def read(vendor: Vendor, endpoint: str, outcome: Outcome, body: bytes) -> Iterator[Reading | Problem]:
    """Yield the readings and problems in a landed body; a body that cannot be read, or an exception, is one problem."""
    try:
        yield from vendor.read(endpoint, outcome, body)
    except Unreadable as error:
        yield error.problem
    except Exception as error:
        yield Problem(UNFORESEEN + type(error).__name__, None, text(body))


def is_unforeseen(reason: str | None) -> bool:
    """Return whether a verdict's error, or a problem's reason, comes from this guard."""
    return reason is not None and reason.startswith(UNFORESEEN)
