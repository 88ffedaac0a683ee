"""Which vendors this deployment may ask: credentials and base URLs, from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from tiktok_pipeline.errors import SettingsError
from tiktok_pipeline.providers import VENDORS, Vendor


@dataclass(frozen=True)
class Access:
    """A vendor with what it takes to ask it. Credentials are left out of every repr and message."""

    vendor: Vendor
    base_url: str
    credentials: tuple[str, ...] = field(repr=False)


def accesses(environment: Mapping[str, str] = os.environ) -> dict[str, Access]:
    """The vendors that have all their credentials; one without is off.

    Raises:
        SettingsError: a base URL is not http(s), or a credential cannot stand in a header.
    """
    found = {}
    for name, vendor in VENDORS.items():
        credentials = tuple(environment.get(variable, "").strip() for variable in vendor.credential_variables)
        if not all(credentials):
            continue
        for variable, credential in zip(vendor.credential_variables, credentials, strict=True):
            if not (credential.isascii() and credential.isprintable()):
                raise SettingsError(f"{variable} has characters that no HTTP header can carry; copy it again")
        base_url = (environment.get(vendor.base_url_variable) or vendor.base_url).rstrip("/")
        if not base_url.startswith(("http://", "https://")):
            raise SettingsError(f"{vendor.base_url_variable} must begin with http:// or https://")
        found[name] = Access(vendor, base_url, credentials)
    return found


def missing(vendor: Vendor, environment: Mapping[str, str] = os.environ) -> list[str]:
    """The credential variables of `vendor` that are not set."""
    return [variable for variable in vendor.credential_variables if not environment.get(variable, "").strip()]
