"""Texts of the alerts: the problem, the object, the next step, and a link. docs/operations.md explains each."""

from __future__ import annotations

from datetime import timedelta

from tiktok_pipeline.alerts.on_air import Notice
from tiktok_pipeline.alerts.outbox import Message
from tiktok_pipeline.capture.redaction import Redactor

_LONGEST_REASON = 600


def run_failed(job: str, reason: str, link: str, redactor: Redactor) -> Message:
    """Return the alert of a run that failed for another reason than a check."""
    text = redactor.text(" ".join(reason.split()))[:_LONGEST_REASON]
    return Message(f"run:{job}", f"A run of `{job}` failed: {text or 'no reason was recorded'}. See {link}.")


def day_blocked(table: str, check: str, found: str, link: str) -> Message:
    """Return the alert of days that a blocking check rejected; they keep their last good file."""
    return Message(
        f"blocked:{table}:{check}",
        f"{table} is not updated: its check `{check}` failed. {found[:_LONGEST_REASON]}. See {link}.",
    )


def check_warned(table: str, check: str, found: str, link: str) -> Message:
    """Return the alert of a non-blocking check: staleness, budget, drift, coverage, vendors, quarantine."""
    return Message(f"check:{table}:{check}", f"{table}, check `{check}`: {found[:_LONGEST_REASON]}. See {link}.")


def stale(within: timedelta) -> Message:
    """Return the alert of missing raw files while capture is on; read from the lake, as there may be no run."""
    return Message(
        "stale",
        f"No response of a vendor was stored for {within.total_seconds() / 60:.0f} minutes. Is the daemon running, is "
        "the schedule `watch` on, do its runs succeed? `tiktok-pipeline check` shows the state of each vendor.",
    )


def on_air(notice: Notice, handle: str) -> Message:
    """Return the notice of a creator that went live, or whose stream ended."""
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
