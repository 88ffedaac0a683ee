"""Read vendor access from the environment: credentials, base URLs and network settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from tiktok_pipeline.config.network import DIRECT, Network, checked_url
from tiktok_pipeline.errors import SettingsError
from tiktok_pipeline.providers import VENDORS, Vendor


@dataclass(frozen=True)
class Access:
    """A vendor with its base URL, credentials and network settings. Credentials appear in no repr and no message."""

    vendor: Vendor
    base_url: str
    credentials: tuple[str, ...] = field(repr=False)
    network: Network = field(default=DIRECT, repr=False)

    def user_names(self) -> list[str]:
        """Return the credentials that are user names."""
        return self._credentials(user_names=True)

    def secrets(self) -> list[str]:
        """Return all other credentials: keys and passwords."""
        return self._credentials(user_names=False)

    def _credentials(self, *, user_names: bool) -> list[str]:
        named = zip(self.vendor.credential_variables, self.credentials, strict=True)
        return [value for variable, value in named if variable.endswith("_USERNAME") == user_names]


def accesses(environment: Mapping[str, str] = os.environ) -> dict[str, Access]:
    """Return the vendors that have all their credentials; others are off.

    Raises:
        SettingsError: a base URL or a proxy is invalid, or a credential cannot be sent in a header.
    """
    network = Network.from_environment(environment)
    found = {}
    for name, vendor in VENDORS.items():
        credentials = tuple(environment.get(variable, "").strip() for variable in vendor.credential_variables)
        if not all(credentials):
            continue
        for variable, credential in zip(vendor.credential_variables, credentials, strict=True):
            if not (credential.isascii() and credential.isprintable()):
                raise SettingsError(f"{variable} has characters that no HTTP header can carry; copy it again")
        variable = vendor.base_url_variable
        base_url = checked_url(variable, environment.get(variable, "").strip() or vendor.base_url)
        network.proxy(base_url)  # raises for an invalid proxy before the first request
        found[name] = Access(vendor, base_url, credentials, network)
    return found


def missing(vendor: Vendor, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return the credential variables of `vendor` that are not set."""
    return [variable for variable in vendor.credential_variables if not environment.get(variable, "").strip()]
