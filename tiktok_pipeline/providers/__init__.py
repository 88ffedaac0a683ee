"""How to ask and how to read one vendor: one file each.

`VENDORS` is the registration: a vendor that is listed here exists. No Dagster, no network and no clock in this
folder: a vendor turns a question into a request, and an answer into a verdict and observations.
"""

from tiktok_pipeline.providers.konbini import Konbini
from tiktok_pipeline.providers.social_fetch import SocialFetch
from tiktok_pipeline.providers.tikhub import TikHub
from tiktok_pipeline.providers.tikliveapi import TikLiveAPI
from tiktok_pipeline.providers.vendor import Vendor

VENDORS: dict[str, Vendor] = {vendor.name: vendor for vendor in (Konbini(), SocialFetch(), TikLiveAPI(), TikHub())}

__all__ = ["VENDORS", "Vendor"]
