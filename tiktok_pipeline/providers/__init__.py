"""Requests to vendors and readings of their responses: one file per vendor.

`VENDORS` is the registry of vendors. This folder uses no Dagster, no network and no clock: a vendor turns a capability
and a target into a request, and a response into a verdict and observations.
"""

from tiktok_pipeline.providers.konbini import Konbini
from tiktok_pipeline.providers.social_fetch import SocialFetch
from tiktok_pipeline.providers.tikhub import TikHub
from tiktok_pipeline.providers.tikliveapi import TikLiveAPI
from tiktok_pipeline.providers.vendor import Vendor

VENDORS: dict[str, Vendor] = {vendor.name: vendor for vendor in (Konbini(), SocialFetch(), TikLiveAPI(), TikHub())}

__all__ = ["VENDORS", "Vendor"]
