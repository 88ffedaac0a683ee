"""The sample bodies of vendors: one response of one vendor, with its expected outcome."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

ROOM_ID = "7569000123456785195"
USER_ID = "6912345678901234567"
SEC_UID = "MS4wLjABAAAAsandFictionalSecUid0001"


@dataclass(frozen=True)
class Case:
    """One response of one vendor, with its expected outcome."""

    vendor: str
    endpoint: str
    about: str
    body: bytes
    outcome: str
    credits: float | None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    error: str | None = None
    retry_after_s: float | None = None
    live_state: str | None = None
    followers: int | None = None


def encoded(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
