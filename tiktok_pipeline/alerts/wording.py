"""What each alert says: what happened, to whom, what to do, where to look. docs/operations.md has more of each."""

from __future__ import annotations

from datetime import timedelta

from tiktok_pipeline.alerts.on_air import Notice
from tiktok_pipeline.alerts.outbox import Message
from tiktok_pipeline.capture.redaction import Redactor

_LONGEST_REASON = 600


def run_failed(job: str, reason: str, link: str, redactor: Redactor) -> Message:
    """A run failed, for a reason that no check gave."""
    said = redactor.text(" ".join(reason.split()))[:_LONGEST_REASON]
    return Message(f"run:{job}", f"A run of `{job}` failed: {said or 'no reason was recorded'}. See {link}.")


def day_blocked(table: str, check: str, found: str, link: str) -> Message:
    """Days of a table that a blocking check refused: they keep their last good file; all else is published."""
    return Message(
        f"blocked:{table}:{check}",
        f"{table} stands still: its check `{check}` failed. {found[:_LONGEST_REASON]}. See {link}.",
    )


def check_warned(table: str, check: str, found: str, link: str) -> Message:
    """A check that stops nothing failed: staleness, budget, drift, coverage, vendors, quarantine."""
    return Message(f"check:{table}:{check}", f"{table}, check `{check}`: {found[:_LONGEST_REASON]}. See {link}.")


def stale(within: timedelta) -> Message:
    """Nothing lands, though capture is on: told from the lake, because no run may be there to tell."""
    return Message(
        "stale",
        f"No answer of a vendor has landed for {within.total_seconds() / 60:.0f} minutes. Is the daemon running, is "
        "the schedule `watch` on, do its runs succeed? `tiktok-pipeline check` says how each vendor is.",
    )


def on_air(notice: Notice, handle: str) -> Message:
    """Somebody went live, or their stream ended."""
    key = f"live:{notice.creator_id}:{notice.since.isoformat()}"
    if notice.ended_at is None:
        watched = f", {notice.viewers:,} viewers" if notice.viewers is not None else ""
        title = f": {notice.title}" if notice.title else ""
        return Message(
            key,
            f"@{handle} is live since {notice.since:%H:%M} UTC{watched}{title} https://www.tiktok.com/@{handle}/live",
        )
    minutes = max((notice.ended_at - notice.since).total_seconds() / 60, 0)
    return Message(f"{key}:end", f"@{handle} ended at {notice.ended_at:%H:%M} UTC, after {minutes:.0f} minutes.")
