"""What every capture window needs to know of the deployment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tiktok_pipeline import settings as configuration
from tiktok_pipeline.capture.access import Access
from tiktok_pipeline.lake import Lake
from tiktok_pipeline.providers.vendor import Target


@dataclass(frozen=True)
class Deployment:
    """Whom to ask about whom, where to land it, and whom to tell how it goes.

    `gates` is a folder in which the processes of a deployment tell each other when they asked a vendor; `transport`
    is for tests.
    """

    lake: Lake
    settings: configuration.Settings
    accesses: Mapping[str, Access]
    targets: Sequence[Target]
    run_id: str | None = None
    gates: Path | None = None
    progress: Callable[[str], None] = field(default=lambda message: None)
    transport: httpx.AsyncBaseTransport | None = None

    def may_poll(self, target: Target) -> bool:
        """Return whether the creator may be polled, that is, is not erased. Reads the list at each call."""
        erased = self.lake.erased
        return erased is None or not erased.names().any_of(
            target.creator_id, target.handle, target.user_id, target.sec_uid
        )
