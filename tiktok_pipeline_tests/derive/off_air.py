"""The response of a vendor about a creator who is off air."""

from __future__ import annotations

USER_ID = "6912345678901234567"

OFF_AIR = {"data": {"lookupStatus": "found", "liveStatus": "offline", "live": None,
                    "profile": {"handle": "ana", "platformUserId": USER_ID, "followerCount": 1200}}}  # fmt: skip
