"""The configuration and services that every capture window needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tiktok_pipeline.config import settings as configuration
from tiktok_pipeline.config.access import Access
from tiktok_pipeline.errors import SettingsError
from tiktok_pipeline.lake.store import Lake
from tiktok_pipeline.providers import VENDORS
from tiktok_pipeline.providers.vendor import Target


@dataclass(frozen=True)
class Deployment:
    """The inputs of a capture window.

    lake: where raw rows are written; settings: routes, limits, intervals; accesses: credentials by vendor, only vendors
    that have them; targets: the creators of the roster; run_id: the Dagster run, a column of raw; gates: a folder with
    the send times and spending that concurrent processes share, None without sharing; progress: receives progress
    messages; transport: replaces the network in tests.
    """

    lake: Lake
    settings: configuration.Settings
    accesses: Mapping[str, Access]
    targets: Sequence[Target]
    run_id: str | None = None
    gates: Path | None = None
    progress: Callable[[str], None] = field(default=lambda message: None)
    transport: httpx.AsyncBaseTransport | None = None

    def vendors_for(self, capability: str) -> list[str]:
        """Return the vendors of a capability's route that this deployment has credentials for, in order."""
        return [name for name in getattr(self.settings.routes, capability) if name in self.accesses]

    def require_route(self, capability: str) -> None:
        """Check that a vendor can serve this capability.

        Raises:
            SettingsError: no vendor of the route has credentials; the message names the missing variables.
        """
        if not self.vendors_for(capability):
            route = getattr(self.settings.routes, capability)
            wanted = "; or ".join(" and ".join(VENDORS[name].credential_variables) for name in route)
            raise SettingsError(f"no vendor can be polled for {capability}: set {wanted}")

    def may_poll(self, target: Target) -> bool:
        """Return whether the creator may be polled: False if erased. Reads the erasure list at each call."""
        erased = self.lake.erased
        return erased is None or not erased.names().any_of(
            target.creator_id, target.handle, target.user_id, target.sec_uid
        )
