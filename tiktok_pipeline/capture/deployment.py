"""What every capture window needs to know of the deployment."""

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

    def vendors_for(self, capability: str) -> list[str]:
        """Return the vendors of a capability's route that this deployment has credentials for, in order."""
        return [name for name in getattr(self.settings.routes, capability) if name in self.accesses]

    def require_route(self, capability: str) -> None:
        """Refuse a window that no vendor can serve.

        Raises:
            SettingsError: no vendor of the route has credentials; names the variables.
        """
        if not self.vendors_for(capability):
            route = getattr(self.settings.routes, capability)
            wanted = "; or ".join(" and ".join(VENDORS[name].credential_variables) for name in route)
            raise SettingsError(f"no vendor can be polled for {capability}: set {wanted}")

    def may_poll(self, target: Target) -> bool:
        """Return whether the creator may be polled, that is, is not erased. Reads the list at each call."""
        erased = self.lake.erased
        return erased is None or not erased.names().any_of(
            target.creator_id, target.handle, target.user_id, target.sec_uid
        )
